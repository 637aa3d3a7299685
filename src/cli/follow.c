#include "cli/follow.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cli/find.h"
#include "cli/statusview.h"
#include "conf/conf.h"

#define TICK_NSEC 250000000

/* Where the kernel has no more inotify instances for this user: ticks, each of which may mean a
 * change. */
static int open_ticks(const char *run_dir, struct err *e)
{
	static const struct itimerspec often = { { 0, TICK_NSEC }, { 0, TICK_NSEC } };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return err_sys(e, "cannot watch %s", run_dir);
	timerfd_settime(fd, 0, &often, NULL);
	return fd;
}

int follow_open(const char *run_dir, struct err *e)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0)
		return open_ticks(run_dir, e);
	if (follow_again(fd, run_dir, e) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int follow_again(int fd, const char *run_dir, struct err *e)
{
	if (inotify_add_watch(fd, run_dir, IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_ONLYDIR) <
	    0)
		return err_sys(e, "cannot watch %s", run_dir);
	return 0;
}

/*
 * Events without a name are about the directory itself, or tell that some were lost. The lock file
 * is closed when its master is killed.
 */
static bool is_ours(const struct inotify_event *event)
{
	return event->len == 0 || strcmp(event->name, STATUS_FILE) == 0 ||
	       strcmp(event->name, CONF_PID_FILE) == 0 || strcmp(event->name, CONF_LOCK_FILE) == 0;
}

bool follow_changed(int fd)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool changed = false;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR)) {
		if (n == sizeof(uint64_t))
			return true; /* a tick; every event is longer */
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const void *)(buf + at);

			changed |= is_ours(event);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	return changed;
}
