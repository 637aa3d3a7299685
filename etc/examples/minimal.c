/*
 * minimal - the smallest useful job: waits for SIGINT, cleans up for 5 seconds, exits with 0. Uses
 * no library: this is all that graceful asks for. SIGTERM is left as it is: no time, so die.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void on_int(int signo)
{
	stop = signo;
}

int main(void)
{
	struct sigaction sa = { .sa_handler = on_int };
	sigset_t blocked, waiting;
	unsigned left = 5;

	/* Blocked but while we wait: a signal between the test of stop and the wait is not lost. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	sigdelset(&waiting, SIGINT);
	/* Said in so many words, as a shell starts programs in the background with SIGINT ignored.
	 */
	sigaction(SIGINT, &sa, NULL);
	while (!stop)
		sigsuspend(&waiting);
	puts("cleaning up");
	fflush(stdout);
	while (left > 0)
		left = sleep(left);
	puts("done");
	return 0;
}
