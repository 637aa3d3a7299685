#include <stdio.h>
#include <string.h>

#include "role/worker_impl.h"

/* The steps before the next owner's first are those of giving the job up. */
static struct stamps *stamps_of(struct worker *w, enum stamp which)
{
	return which < STAMP_GRANTED ? &w->gave.stamps : &w->took.stamps;
}

void worker_stamp(struct worker *w, enum stamp which)
{
	struct stamps *s = stamps_of(w, which);

	/* When the job ended before it was restarted, or before this was asked for, is no step. */
	if ((which == STAMP_STARTED && !w->life.stopping) || which == STAMP_TOLD)
		memset(&w->gave.stamps, 0, sizeof(w->gave.stamps));
	if (which == STAMP_STARTED && s->at[which] != 0)
		return;
	stamps_take(s, which);
}

/* What is left of a hand-over before the last one would make the gap too long. */
static bool is_direct(const struct worker *w, const struct record *record)
{
	uint64_t predecessor = coord_predecessor(w->coord);

	return predecessor == 0 || predecessor == record->epoch;
}

void worker_stamps_granted(struct worker *w, const struct record *record)
{
	memset(&w->took, 0, sizeof(w->took));
	if (record != NULL) {
		/* A record that somebody edited may have anything there. */
		if (conf_job_name_ok(record->instance))
			snprintf(w->took.peer, sizeof(w->took.peer), "%s", record->instance);
		w->took.size = record->size;
		w->took.clean = record->clean;
		if (is_direct(w, record))
			memcpy(w->took.stamps.at, record->stamps.at,
			    STAMP_GRANTED * sizeof(record->stamps.at[0]));
	}
	stamps_take(&w->took.stamps, STAMP_GRANTED);
}

void worker_stamps_report(struct worker *w)
{
	struct report *r = &w->report;

	if (w->took.stamps.at[STAMP_STARTED] != 0) {
		r->took = w->took;
		r->took.epoch = w->epoch;
	}
	if (w->epoch != 0 && w->gave.stamps.at[STAMP_RELEASED] != 0) {
		r->gave = w->gave;
		r->gave.epoch = w->epoch;
		r->gave.size = r->size;
		r->gave.clean = r->clean;
	}
}
