/* Signals become flags, and one descriptor that wakes whoever waits. */
#include "lib/lib.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#if ATOMIC_BOOL_LOCK_FREE != 2
#error "the flags are set in signal handlers and must be lock-free"
#endif

static atomic_bool stop_asked, hurry_asked, checkpoint_asked;
static int wake_fd = -1;

/* Cannot fail for want of room before 2^64 calls. Keeps errno: it runs in handlers. */
static void wake(void)
{
	uint64_t one = 1;
	int saved = errno;
	ssize_t n = write(wake_fd, &one, sizeof(one));

	(void)n;
	errno = saved;
}

/* A child that does not exec keeps the handlers, and shares the descriptor; it must end as any
 * program does. The signal is blocked here, and comes again when the handler returns. */
static bool left_to_child(int signo)
{
	if (!lib_in_child())
		return false;
	(void)signal(signo, SIG_DFL);
	(void)raise(signo);
	return true;
}

static void on_stop(int signo)
{
	if (left_to_child(signo))
		return;
	/* Hurry first: who sees the stop must not miss the hurry that came with it. */
	if (signo == SIGTERM)
		atomic_store(&hurry_asked, true);
	atomic_store(&stop_asked, true);
	wake();
}

static void on_checkpoint(int signo)
{
	if (left_to_child(signo))
		return;
	atomic_store(&checkpoint_asked, true);
	wake();
}

static int take_signal(int signo, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };
	sigset_t set;

	sigfillset(&sa.sa_mask);
	if (sigaction(signo, &sa, NULL) < 0)
		return -1;
	sigemptyset(&set);
	sigaddset(&set, signo);
	errno = pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return errno == 0 ? 0 : -1;
}

int lib_signals_setup(void)
{
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return -1;
	if (take_signal(SIGINT, on_stop) < 0 || take_signal(SIGTERM, on_stop) < 0) {
		close(wake_fd);
		wake_fd = -1;
		return -1;
	}
	return 0;
}

/* A handler without a descriptor to write to would be a job that sleeps through its stop signal. */
static int take_extra_signal(int signo, void (*handler)(int))
{
	if (wake_fd >= 0)
		return take_signal(signo, handler);
	errno = EINVAL;
	return -1;
}

int graceful_stop_signal(int signo)
{
	return take_extra_signal(signo, on_stop);
}

int graceful_checkpoint_signal(int signo)
{
	return take_extra_signal(signo, on_checkpoint);
}

bool graceful_should_stop(void)
{
	return atomic_load(&stop_asked);
}

bool graceful_should_hurry(void)
{
	return atomic_load(&hurry_asked);
}

/*
 * The descriptor is emptied whether or not the flag is set: another thread's handler may have set
 * the flag, lost it to us, and only then written. And it is emptied before the flag is taken, so
 * that a request which comes in between leaves it readable. A stop signal that was emptied with it
 * is put back.
 */
bool graceful_should_checkpoint(void)
{
	int saved = errno;
	uint64_t count;
	ssize_t n = read(wake_fd, &count, sizeof(count));
	bool asked = atomic_exchange(&checkpoint_asked, false);

	(void)n;
	errno = saved;
	if (atomic_load(&stop_asked))
		wake();
	return asked;
}

int graceful_fd(void)
{
	return wake_fd;
}
