/*
 * herald.h - what the init system is told about the master, and when, as pure decisions.
 *
 * The words are those of sd_notify: READY, RELOADING, STOPPING, STATUS, WATCHDOG,
 * EXTEND_TIMEOUT_USEC. herald_next() compares what is so with what was said, so that a message
 * that could not be sent is made up for by the next one and nothing has to be queued. No I/O, no
 * clock.
 */
#ifndef POLICY_HERALD_H
#define POLICY_HERALD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

#define HERALD_MAX 640 /* bytes of a message with its NUL */
#define HERALD_STATUS_MAX 320
#define HERALD_STATES 12

/* The master at a glance. */
struct herald_view {
	bool up, stopping;
	size_t jobs;
	size_t gone; /* jobs of which nothing is held here */
	size_t in_state[HERALD_STATES];
	/* Stopping: by then it has ended, as its jobs' deadlines have it. */
	msec ends;
	/* Stopping: a job that is waited for, and its own words ("" if it has none). NULL: none. */
	const char *job, *words;
	int percent; /* of its state, which is on its way; -1: none is, or it is small */
};

/* Zeroes it, then counts a job in by the name of its state in status.json. */
void herald_view_init(struct herald_view *v);
void herald_view_add(struct herald_view *v, const char *state);

struct herald_said {
	bool ready, stopping;
	char status[HERALD_STATUS_MAX];
};

struct herald {
	msec watchdog; /* between two signs of life; 0: nobody waits for any */
	struct herald_said said;
	/* What the message that is being sent says. */
	struct herald_said saying;
	bool says_status, says_alive;
	msec extends_to;
	/* Not before: the next status, sign of life, anything. */
	msec status_at, alive_at, retry_at;
	msec ends, extended_to; /* as last seen; time to stop was asked for until then */
	bool status_waits;
};

/* watchdog: WATCHDOG_USEC as msec, 0: none; half of it lies between two signs of life. */
void herald_init(struct herald *h, msec watchdog, msec now);

/* A reload begins: the text of the message for that. READY=1 is due when it has ended, which is
 * before the next herald_next(). */
void herald_reload(struct herald *h, uint64_t monotonic_usec, char buf[HERALD_MAX]);

/* True: buf is to be sent now; answer: herald_sent(). */
bool herald_next(struct herald *h, const struct herald_view *v, msec now, char buf[HERALD_MAX]);
void herald_sent(struct herald *h, bool ok, msec now);

/* When herald_next() may have something new by itself. */
msec herald_deadline(const struct herald *h);

#endif
