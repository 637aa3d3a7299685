#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/task.h"
#include "role/worker_impl.h"

#define SWEEP_PAUSE_MS 500

struct drop {
	struct store *store;
	char *url;
	struct err e;
	int rc;
};

static void drop_work(void *arg)
{
	struct drop *d = arg;

	FAULT("in_delete");
	d->rc = store_delete(d->store, d->url, &d->e);
}

static void drop_done(void *arg)
{
	struct drop *d = arg;

	if (d->rc != 0)
		log_warn("an old state could not be removed: %s", d->e.text);
	free(d->url);
	free(d);
}

/* Failing to remove garbage harms nobody: it is told, not tried again. Never in the loop: the store
 * may hang. */
void worker_garbage_drop(struct worker *w, char *url)
{
	struct drop *d;
	struct err e;

	if (url == NULL)
		return;
	d = calloc(1, sizeof(*d));
	if (d == NULL || w->store == NULL) {
		free(d);
		free(url);
		return;
	}
	d->store = w->store;
	d->url = url;
	if (task_start(w->loop, drop_work, drop_done, d, &e) != NULL)
		return;
	log_warn("an old state stays until the next owner removes it: %s", e.text);
	free(d);
	free(url);
}

struct sweep {
	const struct worker *w;
	struct blob_number before;
	char *keep;
	struct err e;
	int rc;
};

static void sweep_work(void *arg)
{
	struct sweep *s = arg;
	const struct worker *w = s->w;

	s->rc = 0;
	if (w->store != NULL)
		s->rc = store_sweep(w->store, w->job->name, s->before, s->keep, &s->e);
	if (s->rc == 0)
		s->rc = transfer_tidy(w->dir, worker_job_uid(w), &s->e);
}

static void sweep_done(void *arg)
{
	struct sweep *s = arg;

	if (s->rc != 0)
		log_warn("what is left of earlier states could not be removed: %s", s->e.text);
	free(s->keep);
	free(s);
}

static void sweep_start(struct worker *w, struct blob_number before)
{
	struct sweep *s = calloc(1, sizeof(*s));
	struct err e;

	if (s == NULL)
		return; /* the next owner will */
	s->w = w;
	s->before = before;
	s->keep = w->record.url != NULL ? strdup(w->record.url) : NULL;
	if ((w->record.url == NULL || s->keep != NULL) &&
	    task_start(w->loop, sweep_work, sweep_done, s, &e) != NULL)
		return;
	free(s->keep);
	free(s);
}

/* Not while the job starts: nobody waits for this. */
void worker_garbage_plan(struct worker *w)
{
	if (!w->swept)
		w->sweep_at = msec_add(clock_now(), SWEEP_PAUSE_MS);
}

/*
 * A worker that dies between the upload and the commit leaves a blob that no record names, and so
 * does every commit with a release: after that no store is waited for. Why none can come to name
 * one that is removed here: the record that we found is the last one of all owners before us, as
 * none of them can commit any more. Whatever record there will be - ours, those of the owners after
 * us, also if we have lost the lock by now and do not know - names the blob of that record, which
 * is kept, or one that was put under our epoch or a later one, which is not touched. No name is
 * used twice. Without a record nothing is certain: somebody may want to put it back.
 */
void worker_garbage_sweep(struct worker *w)
{
	w->sweep_at = MSEC_NEVER;
	if (w->swept || !w->have_record)
		return;
	w->swept = true;
	sweep_start(w, (struct blob_number){ w->epoch, 0 });
}

/*
 * The race: an attempt at an older commit may be carried out ever so late, by a member of etcd that
 * hung. Each asks for the record that was there before it (wire_commit()), and with the last commit
 * that one is gone for good; so it is refused. Locally a commit is over when it is answered, and a
 * power cut brings back nothing from before one that is durable. What is uploaded from now on gets
 * a number that is larger than the last record's.
 */
void worker_garbage_sweep_ours(struct worker *w)
{
	sweep_start(w, (struct blob_number){ w->epoch, w->record.seq });
}
