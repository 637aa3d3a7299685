/*
 * complaints.h - why jobs cannot get their locks, as the master's log tells it.
 *
 * Each worker tries again and again, and mostly all of them for the same reason: a hundred jobs and
 * a wrong password would be a hundred lines every few seconds. So workers only report the reason,
 * and the master says it: once for all jobs that share it, with reminders (policy/trouble.h). What
 * is wrong with one job alone is said of that job.
 */
#ifndef ROLE_COMPLAINTS_H
#define ROLE_COMPLAINTS_H

#include "base/clock.h"
#include "policy/trouble.h"
#include "role/post.h"

struct complaints {
	struct trouble shared[COORD_TROUBLES];
};

/* The post has a new report, or (gone) no worker any more that could be in trouble. */
void complaints_note(struct complaints *c, struct post *p, bool gone, msec now);
/* Reminders that are due. */
void complaints_tick(struct complaints *c, const struct fleet *f, msec now);
msec complaints_deadline(const struct complaints *c, const struct fleet *f);

#endif
