/*
 * trouble.h - when to say that something does not work, that many meet at once and again and again.
 *
 * One line when it begins, one when it is over, and between them a reminder at growing intervals,
 * with how many it concerns. One that comes and goes and comes again before a reminder would have
 * been due is not told anew. Pure: no I/O, no clock.
 */
#ifndef POLICY_TROUBLE_H
#define POLICY_TROUBLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"

/* Zeroed: nobody is in trouble. */
struct trouble {
	size_t n; /* how many are in it */
	size_t most;
	bool told;
	msec since;
	msec remind_at;
	msec pause;
};

/* One more. True: it is to be told. */
bool trouble_enter(struct trouble *t, msec now);
/* One less. True: nobody is left in it, which is to be told. */
bool trouble_leave(struct trouble *t);
/* True: it still lasts, and is to be told again. */
bool trouble_is_due(struct trouble *t, msec now);
/* When that may be; MSEC_NEVER when nobody is in it. */
msec trouble_deadline(const struct trouble *t);

#endif
