#include "base/alarm.h"

#include <stdint.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void on_expired(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct alarm *a = io->data;
	uint64_t times;

	(void)loop;
	(void)revents;
	if (read(io->fd, &times, sizeof(times)) != (ssize_t)sizeof(times))
		return; /* set anew since the loop looked */
	a->at = MSEC_NEVER;
	a->ring(a->ctx);
}

int alarm_open(
    struct alarm *a, struct ev_loop *loop, void (*ring)(void *ctx), void *ctx, struct err *e)
{
	int fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "cannot make a timer");
	a->loop = loop;
	a->at = MSEC_NEVER;
	a->ring = ring;
	a->ctx = ctx;
	ev_io_init(&a->io, on_expired, fd, EV_READ);
	a->io.data = a;
	ev_io_start(loop, &a->io);
	return 0;
}

void alarm_close(struct alarm *a)
{
	ev_io_stop(a->loop, &a->io);
	close(a->io.fd);
}

void alarm_set(struct alarm *a, msec at)
{
	struct itimerspec when = { 0 };

	if (at == a->at)
		return;
	a->at = at;
	if (at != MSEC_NEVER) {
		/* All zero would disarm it. */
		msec t = at > 0 ? at : 1;

		when.it_value.tv_sec = t / 1000;
		when.it_value.tv_nsec = (t % 1000) * 1000000;
	}
	timerfd_settime(a->io.fd, TFD_TIMER_ABSTIME, &when, NULL);
}
