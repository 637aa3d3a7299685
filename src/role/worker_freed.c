#include "role/worker_impl.h"

/*
 * What the record knows of the last commit under this epoch: it is that one, or the one that the
 * next owner began from. Of an owner before that nothing is known any more.
 */
static bool find_last_commit(uint64_t epoch, const struct record *r, struct record_trace *last)
{
	if (r->epoch == epoch)
		*last = (struct record_trace){ r->epoch, r->seq, r->clean };
	else
		*last = r->after;
	return last->epoch == epoch;
}

/* The job left no state, and there never was one: a release is all that its end takes. */
static bool had_no_state(const struct worker *w, const struct record *record)
{
	struct state_id id;

	return w->setup->left.clean && (record == NULL || record->empty) &&
	       !worker_state_unsaved(w, &id);
}

/*
 * Only what ends a run of the job is committed as clean, and before each start the master is told
 * of the last commit. So a clean one that it was not told of came after the end of the last run.
 */
bool worker_freed_in_order(const struct worker *w, const struct record *record)
{
	const struct worker_setup *s = w->setup;
	struct record_trace last;

	if (!s->left.placed || s->left.settled || had_no_state(w, record))
		return true;
	return record != NULL && find_last_commit(s->rescue_epoch, record, &last) && last.clean &&
	       last.seq > s->known_seq;
}
