#include "base/sig.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static void set_of(const int *signals, sigset_t *set)
{
	sigemptyset(set);
	for (const int *s = signals; *s != 0; s++)
		sigaddset(set, *s);
}

/* Leaves alone what is so already: to set SIG_DFL forgets a SIGWINCH or SIGCHLD that waits. */
static void make_default(int signo)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	struct sigaction now;

	if (sigaction(signo, NULL, &now) != 0 || now.sa_handler != SIG_DFL)
		sigaction(signo, &dfl, NULL);
}

void sig_hold(const int *signals)
{
	struct sigaction ign = { .sa_handler = SIG_IGN };
	sigset_t set;

	set_of(signals, &set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (const int *s = signals; *s != 0; s++)
		make_default(*s);
	sigaction(SIGPIPE, &ign, NULL);
	sigaction(SIGXFSZ, &ign, NULL);
}

int sig_open(const int *signals, struct err *e)
{
	sigset_t set;
	int fd;

	sig_hold(signals);
	set_of(signals, &set);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "cannot make a signal descriptor");
	if (sigprocmask(SIG_SETMASK, &set, NULL) != 0) {
		err_sys(e, "cannot block signals");
		close(fd);
		return -1;
	}
	return fd;
}

int sig_next(int fd, struct sig_from *from)
{
	struct signalfd_siginfo si;
	ssize_t n;

	do {
		n = read(fd, &si, sizeof(si));
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(si))
		return 0;
	if (from != NULL)
		*from = (struct sig_from){ .pid = (int)si.ssi_pid,
			.kernel = si.ssi_code == SI_KERNEL,
			.queued = si.ssi_code == SI_QUEUE,
			.value = si.ssi_int };
	return (int)si.ssi_signo;
}

/*
 * By the bare system call: sigaction() refuses the two signals that the C library keeps for itself,
 * and make, for one, starts its children with these ignored.
 */
void sig_reset(void)
{
	/* The kernel's struct, whose layout depends on the machine: all zero is SIG_DFL on each. */
	static const unsigned long dfl[8];
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		syscall(SYS_rt_sigaction, s, dfl, NULL,
		    (size_t)(NSIG - 1) / 8); /* fails for KILL and STOP */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void sig_block_all(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, old);
}

void sig_restore(const sigset_t *old)
{
	sigprocmask(SIG_SETMASK, old, NULL);
}

static int realtime_number(const char *name)
{
	char *end;
	long n = 0;

	if (strncasecmp(name, "RTMIN", 5) != 0)
		return 0;
	name += 5;
	if (*name == '+') {
		if (!isdigit((unsigned char)name[1]))
			return 0; /* strtol() would take spaces and signs */
		n = strtol(name + 1, &end, 10);
		if (*end != '\0')
			return 0;
	} else if (*name != '\0') {
		return 0;
	}
	return n <= SIGRTMAX - SIGRTMIN ? SIGRTMIN + (int)n : 0;
}

int sig_number(const char *name)
{
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (int s = 1; s < SIGRTMIN; s++) {
		const char *abbrev = sigabbrev_np(s);

		if (abbrev != NULL && strcasecmp(name, abbrev) == 0)
			return s;
	}
	return realtime_number(name);
}

const char *sig_name(int signo)
{
	static char buf[24];
	const char *abbrev = sigabbrev_np(signo);

	if (abbrev != NULL)
		snprintf(buf, sizeof(buf), "SIG%s", abbrev);
	else if (signo >= SIGRTMIN && signo <= SIGRTMAX)
		snprintf(buf, sizeof(buf), "SIGRTMIN+%d", signo - SIGRTMIN);
	else
		snprintf(buf, sizeof(buf), "signal %d", signo);
	return buf;
}
