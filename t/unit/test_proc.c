/*
 * What /proc tells of a process, whatever the process calls itself, and what it tells of one that
 * is gone, or when there is no descriptor to look with.
 */
#include "child_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/proc.h"

#define PATIENCE 60000 /* msec; what takes longer is taken for something that never comes */

/* A child that ends when it is told to by this end of a pipe, or when the test does. */
static pid_t start(void (*body)(void), int *leash)
{
	int ends[2], ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		ssize_t n;

		close(ends[1]);
		if (body != NULL)
			body();
		close(ready[0]);
		close(ready[1]);
		n = read(ends[0], &c, 1);
		_exit(n == 0 ? 0 : 1);
	}
	close(ends[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 0);
	close(ready[0]);
	*leash = ends[1];
	return pid;
}

static struct proc_stat look(pid_t pid)
{
	struct proc_stat p;

	assert_int_equal(proc_stat(pid, &p), 0);
	return p;
}

/* Without reaping it. */
static void wait_for_state(pid_t pid, char state)
{
	msec end = clock_now() + PATIENCE;

	while (look(pid).state != state) {
		if (clock_now() > end)
			fail_msg("pid %d is %c, not %c", (int)pid, look(pid).state, state);
		usleep(1000);
	}
}

static void test_this_process(void **state)
{
	struct proc_stat p = look(getpid());

	(void)state;
	assert_int_equal(p.state, 'R');
	assert_int_equal(p.parent, getppid());
	assert_int_equal(p.session, getsid(0));
	assert_int_equal(p.threads, 1);
	assert_true(p.born > 0 && p.born == look(getpid()).born);
	assert_false(p.forked_only);
}

static void lead_a_session(void)
{
	CHECK(setsid() == getpid());
}

static void test_a_child(void **state)
{
	int leash;
	pid_t pid = start(lead_a_session, &leash);

	(void)state;
	assert_int_equal(look(pid).parent, getpid());
	assert_int_equal(look(pid).session, pid);
	assert_true(look(pid).born >= look(getpid()).born);
	assert_true(look(pid).forked_only);
	kill(pid, SIGSTOP);
	wait_for_state(pid, 'T');
	kill(pid, SIGCONT);
	close(leash);
	wait_for_state(pid, 'Z');
	assert_int_equal(look(pid).threads, 1);
	assert_true(look(pid).forked_only);
	assert_int_equal(wait_for(pid), 0);
}

static void run_true(void)
{
	execl("/bin/true", "true", NULL);
}

static void test_one_that_has_called_exec(void **state)
{
	pid_t pid = start_child(run_true);

	(void)state;
	wait_for_state(pid, 'Z');
	assert_false(look(pid).forked_only);
	assert_int_equal(wait_for(pid), 0);
}

static void take_a_name(void)
{
	CHECK(prctl(PR_SET_NAME, "a) Z 1 (b) X 2") == 0);
}

static void test_its_name_tells_nothing(void **state)
{
	int leash;
	pid_t pid = start(take_a_name, &leash);

	(void)state;
	wait_for_state(pid, 'S');
	assert_int_equal(look(pid).parent, getpid());
	assert_int_equal(look(pid).session, getsid(0));
	close(leash);
	assert_int_equal(wait_for(pid), 0);
}

static int life[2];

static void *outlive_the_first(void *ignored)
{
	ssize_t n;
	char c;

	(void)ignored;
	n = read(life[0], &c, 1);
	_exit(n == 0 ? 0 : 1);
}

static void leave_a_thread_behind(void)
{
	pthread_t other;

	close(life[1]);
	CHECK(pthread_create(&other, NULL, outlive_the_first, NULL) == 0);
	pthread_exit(NULL);
}

static void test_a_first_thread_that_has_ended(void **state)
{
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(life, O_CLOEXEC), 0);
	pid = start_child(leave_a_thread_behind);
	wait_for_state(pid, 'Z');
	assert_int_equal(look(pid).threads, 2);
	close(life[1]);
	assert_int_equal(wait_for(pid), 0);
	close(life[0]);
}

static void test_one_that_is_gone(void **state)
{
	struct proc_stat p;
	struct proc_status s;
	int leash;
	pid_t pid = start(NULL, &leash);

	(void)state;
	close(leash);
	assert_int_equal(wait_for(pid), 0);
	assert_int_equal(proc_stat(pid, &p), -1);
	assert_true(errno == ENOENT || errno == ESRCH);
	assert_true(p.state == 0 && p.parent == 0 && p.born == 0);
	assert_int_equal(proc_status(pid, &s), -1);
	assert_true(errno == ENOENT || errno == ESRCH);
}

static void look_without_a_descriptor(void)
{
	struct rlimit none = { 0, 0 };
	struct proc_stat p;
	struct proc_status s;

	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	CHECK(proc_stat(getpid(), &p) == -1 && errno == EMFILE);
	CHECK(proc_status(getpid(), &s) == -1 && errno == EMFILE);
	CHECK(p.state == 0 && s.caught == 0);
}

static void test_no_descriptor_says_nothing_of_the_process(void **state)
{
	(void)state;
	in_child(look_without_a_descriptor);
}

static void on_signal(int signo)
{
	(void)signo;
}

static void mind_signals(void)
{
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	CHECK(sigprocmask(SIG_SETMASK, &blocked, NULL) == 0);
	CHECK(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
	CHECK(signal(SIGHUP, on_signal) != SIG_ERR);
}

static bool has(uint64_t set, int signo)
{
	return (set >> (signo - 1) & 1) != 0;
}

static void test_signals(void **state)
{
	struct proc_status s;
	int leash;
	pid_t pid = start(mind_signals, &leash);

	(void)state;
	assert_int_equal(proc_status(pid, &s), 0);
	assert_true(has(s.blocked, SIGUSR1) && !has(s.blocked, SIGUSR2));
	assert_true(has(s.ignored, SIGUSR2) && !has(s.ignored, SIGHUP));
	assert_true(has(s.caught, SIGHUP) && !has(s.caught, SIGTERM));
	close(leash);
	assert_int_equal(wait_for(pid), 0);
}

static void change_users(void)
{
	CHECK(setresgid(0, NOBODY, NOBODY - 1) == 0);
	CHECK(setresuid(0, NOBODY, NOBODY - 1) == 0);
}

static void test_users(void **state)
{
	struct proc_status s;
	int leash;
	pid_t pid;

	(void)state;
	assert_int_equal(proc_status(getpid(), &s), 0);
	assert_true(s.uid[0] == getuid() && s.uid[1] == geteuid());
	assert_true(s.gid[0] == getgid() && s.gid[1] == getegid());
	if (geteuid() != 0)
		skip();
	pid = start(change_users, &leash);
	assert_int_equal(proc_status(pid, &s), 0);
	assert_true(s.uid[0] == 0 && s.uid[1] == NOBODY && s.uid[2] == NOBODY - 1);
	assert_int_equal(s.uid[3], NOBODY);
	assert_true(s.gid[0] == 0 && s.gid[1] == NOBODY && s.gid[2] == NOBODY - 1);
	assert_int_equal(s.gid[3], NOBODY);
	close(leash);
	assert_int_equal(wait_for(pid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_this_process),
		cmocka_unit_test(test_a_child),
		cmocka_unit_test(test_one_that_has_called_exec),
		cmocka_unit_test(test_its_name_tells_nothing),
		cmocka_unit_test(test_a_first_thread_that_has_ended),
		cmocka_unit_test(test_one_that_is_gone),
		cmocka_unit_test(test_no_descriptor_says_nothing_of_the_process),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
