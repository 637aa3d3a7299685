/*
 * backoff.h - when to start a job again that ended by itself. Pure: no clock, no I/O.
 *
 * The delay doubles from min to max with every failure and falls back to min after a quiet
 * failure_window. Jitter (a quarter either way) keeps jobs that failed together from coming back
 * together.
 */
#ifndef POLICY_BACKOFF_H
#define POLICY_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "conf/conf.h"

#define BACKOFF_FAILURES_MAX CONF_FAILURES_MAX

struct backoff {
	msec min, max, window;
	int max_failures;
	msec delay;                          /* the next one, before jitter */
	msec last;                           /* the last end that was told */
	msec failures[BACKOFF_FAILURES_MAX]; /* ring of the times of failures */
	int n, head;
	uint64_t random;
};

void backoff_init(
    struct backoff *b, msec min, msec max, msec window, int max_failures, uint64_t seed);

/* The job ended well, unasked: the delay until its restart. */
msec backoff_ended(struct backoff *b, msec now);

/* A quarter more or less. */
msec backoff_jitter(struct backoff *b, msec delay);

#define BACKOFF_GIVE_UP ((msec)-1)

/* The job failed: the delay until its restart, or BACKOFF_GIVE_UP when that was failure
 * max_failures within the window. */
msec backoff_failed(struct backoff *b, msec now);

#endif
