/*
 * pacer.h - when a running job's state is backed up. Pure: no clock, no I/O.
 *
 * A job replaces its state file when it likes; the pacer sees to it that a change is backed up
 * within `interval`, at once when an operator asked or when the job was told (checkpoint_signal) to
 * write one, never two backups at a time, and that a failed one is tried again.
 */
#ifndef POLICY_PACER_H
#define POLICY_PACER_H

#include <stdbool.h>

#include "base/clock.h"

enum pacer_action {
	PACER_NOTHING = 0,
	PACER_SIGNAL = 1, /* send checkpoint_signal to the job */
	PACER_SAVE = 2,   /* back the state file up; pacer_saved() must follow */
};

struct pacer {
	msec interval; /* MSEC_NEVER: only when asked */
	bool signals;  /* the job has a checkpoint_signal */
	bool on;
	bool changed; /* the file was replaced since the last backup began */
	bool asked;   /* the next change, or what is changed already, goes out at once */
	bool told;    /* the job was signalled: the next change is its answer, and asked for */
	bool saving;
	msec next;  /* of the interval */
	msec retry; /* not before this after a failure */
	msec delay;
};

void pacer_init(struct pacer *p, msec interval, bool signals);
/* The job runs from now on, or ceased to. */
void pacer_start(struct pacer *p, msec now);
void pacer_stop(struct pacer *p);

/* Each returns what is to be done, a sum of pacer_actions. */
unsigned pacer_changed(struct pacer *p, msec now);
/* The record is out of date whatever the file says, as the job runs: goes out in a moment, when
 * that has come to its first instruction, no signal to the job. */
unsigned pacer_stale(struct pacer *p, msec now);
unsigned pacer_ask(struct pacer *p, msec now);
unsigned pacer_saved(struct pacer *p, bool ok, msec now);
unsigned pacer_tick(struct pacer *p, msec now);

/* When to call pacer_tick(). */
msec pacer_deadline(const struct pacer *p);

#endif
