/*
 * alarm.h - one absolute deadline in an event loop.
 *
 * On CLOCK_BOOTTIME like every deadline here: the loop's own timers stand still while the machine
 * is suspended, and a lease does not.
 */
#ifndef BASE_ALARM_H
#define BASE_ALARM_H

#include <ev.h>

#include "base/clock.h"
#include "base/err.h"

struct alarm {
	struct ev_io io;
	struct ev_loop *loop;
	msec at;
	void (*ring)(void *ctx);
	void *ctx;
};

/* Embedded in its owner; ring(ctx) is called from the loop at or after the deadline, once per
 * alarm_set(). */
int alarm_open(
    struct alarm *a, struct ev_loop *loop, void (*ring)(void *ctx), void *ctx, struct err *e);
void alarm_close(struct alarm *a);

/* Replaces the deadline. MSEC_NEVER: none. One in the past rings at once, from the loop. */
void alarm_set(struct alarm *a, msec at);

#endif
