#include <inttypes.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/task.h"
#include "role/worker_impl.h"

/* What the loop may change while the thread is at work - a stop marks the record, frees the one
 * before and leaves - is here as it was at the beginning. */
struct restore {
	struct worker *w;
	struct record record; /* to be restored; empty: the job starts from nothing */
	struct left_search search;
	enum worker_left left;
	char moved[REJECTED_MAX];
	bool clean; /* what was left */
	struct state_id id;
	struct err e;
	int rc;
};

static void restore_free(struct restore *r)
{
	if (r == NULL)
		return;
	record_clear(&r->record);
	free(r);
}

static void restore_work(void *arg)
{
	struct restore *r = arg;
	const struct worker *w = r->w;

	FAULT("in_restore");
	r->rc = transfer_prepare(w->dir, worker_job_uid(w), worker_job_gid(w), &r->e);
	if (r->rc == 0)
		r->left = worker_left_find(w, &r->search, r->moved, &r->clean, &r->e);
	if (r->left == LEFT_FAILED)
		r->rc = -1;
	if (r->rc == 0 && r->left != LEFT_GOES_ON)
		r->rc = transfer_restore(w->dir, worker_job_uid(w), worker_job_gid(w), w->store,
		    &r->record, &r->id, &r->e);
}

static void note_restored(struct worker *w, const struct restore *r)
{
	const struct record *from = &r->record;

	w->have_saved_id = !from->empty;
	w->saved_id = r->id;
	w->run_clean = from->clean;
	if (w->have_saved_id)
		log_info("restored the state epoch=%" PRIu64 " seq=%" PRIu64 " size=%" PRIu64
			 " clean=%d",
		    from->epoch, from->seq, from->size, from->clean);
}

/* Newer than the record, and not in it: it is committed as soon as the job runs. */
static void note_left(struct worker *w, const struct restore *r)
{
	w->have_saved_id = false;
	w->goes_on = true;
	w->run_clean = r->clean;
	log_info("nobody owned the job since its state could not be committed here under epoch "
		 "%" PRIu64 ": it goes on from the state that it left",
	    r->search.predecessor);
}

static void tell_moved(const struct worker *w, const struct restore *r)
{
	log_warn("a state that the job left here could not be committed, and never can be, or the "
		 "job may have run elsewhere since, or the machine was restarted, or somebody "
		 "changed the file: it is kept as %s/%s",
	    w->dir, r->moved);
}

static void tell_failure(struct worker *w, struct err *e, const char *what)
{
	err_add(e, "%s, so the job is not started", what);
	log_error("%s", e->text);
	worker_note_failure(w, e->text);
}

static void answer(struct worker *w, struct restore *r)
{
	if (r->rc != 0)
		tell_failure(w, &r->e, "cannot restore the state");
	else if (r->left == LEFT_GOES_ON)
		note_left(w, r);
	else
		note_restored(w, r);
	worker_stamp(w, STAMP_RESTORED);
	w->restore_done = true;
	w->restore_ev = r->rc == 0 ? LIFE_EV_RESTORED : LIFE_EV_RESTORE_FAILED;
	worker_restore_announced(w);
}

/*
 * After a stop nobody waits for it. What it put into the directory is the next restore's to
 * replace, and it puts nothing there under the next worker's feet: the master forks that one when
 * this process is reaped (fleet.h), which a thread that is stuck in the kernel puts off, and which
 * comes after the last thing that it does. Only when the master was killed, too, may another one's
 * worker begin between our release and our end, a moment later. A copy that was made before is
 * swept away by its restore, and can be put nowhere any more.
 */
static void restore_done(void *arg)
{
	struct restore *r = arg;
	struct worker *w = r->w;

	FAULT("after_restore");
	if (r->left == LEFT_MOVED)
		tell_moved(w, r);
	if (w->life.state == LIFE_RESTORING)
		answer(w, r);
	else
		log_warn("the restore of the state has ended after all, too late");
	restore_free(r);
}

void worker_restore_announced(struct worker *w)
{
	if (!w->restore_done || !coord_is_announced(w->coord))
		return;
	w->restore_done = false;
	worker_tell(w, w->restore_ev, 0);
}

/* The record went while this master was running: an empty directory must not pass for a job that
 * never had a state. */
static bool has_lost_record(const struct worker *w)
{
	return w->setup->known_seq > (w->have_record ? w->record.seq : 0);
}

static bool is_restored_quickly(const struct record *r)
{
	return r->empty || (r->data != NULL && r->size <= WORKER_QUICK_MAX);
}

static struct restore *restore_new(struct worker *w, struct err *e)
{
	struct restore *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		err_set(e, "out of memory");
		return NULL;
	}
	r->w = w;
	r->search = worker_left_search(w);
	if (!w->have_record) {
		r->record.empty = true;
	} else if (record_copy(&r->record, &w->record, e) != 0) {
		restore_free(r);
		return NULL;
	}
	return r;
}

void worker_restore_begin(struct worker *w)
{
	struct restore *r;
	struct err e;

	FAULT("before_restore");
	if (has_lost_record(w)) {
		err_set(&e,
		    "put it back (seq=%" PRIu64 "), or restart graceful to go on without it",
		    w->setup->known_seq);
		tell_failure(w, &e, "the coordinator has lost the record of the state");
		worker_tell(w, LIFE_EV_RESTORE_FAILED, 0);
		return;
	}
	r = restore_new(w, &e);
	if (r != NULL && is_restored_quickly(&r->record)) {
		restore_work(r);
		restore_done(r);
		return;
	}
	if (r != NULL && task_start(w->loop, restore_work, restore_done, r, &e) != NULL)
		return;
	restore_free(r);
	tell_failure(w, &e, "cannot restore the state");
	worker_tell(w, LIFE_EV_RESTORE_FAILED, 0);
}
