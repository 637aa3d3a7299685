#include <string.h>

#include "role/worker_impl.h"

#define TRIES_MAX 16 /* to make one record certain, before a newer state is tried */

bool worker_is_in_doubt(const struct worker *w)
{
	return w->doubt.record.epoch != 0;
}

/*
 * While it is not known of one blob whether it counts, no other is uploaded: a coordinator that is
 * in that trouble for long would fill the store with one for each try. Every so many-th paced save
 * does upload one: what is in doubt may be what everybody reads, and must not become old. What
 * travels in the record costs no store anything, so the newest is tried each time.
 */
bool worker_doubt_comes_first(struct worker *w)
{
	struct doubt *d = &w->doubt;

	if (d->record.url == NULL)
		return false;
	if (w->saving != SAVE_PACED || d->tries < TRIES_MAX)
		return true;
	d->tries = 0;
	return false;
}

void worker_doubt_begin(struct worker *w, struct record *r, const struct state_id *id)
{
	struct doubt *d = &w->doubt;

	record_clear(&d->record);
	*d = (struct doubt){ .record = *r, .id = *id };
	memset(r, 0, sizeof(*r));
}

void worker_doubt_goes_on(struct worker *w)
{
	w->doubt.tries++;
}

void worker_doubt_end(struct worker *w)
{
	if (!worker_is_in_doubt(w))
		return;
	record_clear(&w->doubt.record);
	worker_garbage_sweep_ours(w);
}
