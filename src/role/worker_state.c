#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/task.h"
#include "role/worker_impl.h"

uid_t worker_job_uid(const struct worker *w)
{
	return w->job->switch_user ? w->job->uid : geteuid();
}

gid_t worker_job_gid(const struct worker *w)
{
	return w->job->switch_user ? w->job->gid : getegid();
}

int worker_state_peek(const struct worker *w, struct state_id *id, struct err *e)
{
	return transfer_peek(w->dir, worker_job_uid(w), id, e);
}

bool worker_never_had_a_state(const struct worker *w)
{
	/* Of a rescue, by what the dead worker reported: it may not have been granted anything yet.
	 */
	bool had = w->setup->rescue && w->setup->known_seq != 0;
	struct state_id id;
	struct err e;

	return !had && !w->have_record && !w->have_saved_id && worker_state_peek(w, &id, &e) == 0;
}

bool worker_state_unsaved(const struct worker *w, struct state_id *id)
{
	struct err e;

	return worker_state_peek(w, id, &e) > 0 &&
	       !(w->have_saved_id && state_id_equal(id, &w->saved_id));
}

struct preparation {
	struct store *store;
	struct err e;
	int rc;
};

static void prepare_work(void *arg)
{
	struct preparation *p = arg;

	FAULT("in_prepare");
	p->rc = store_prepare(p->store, &p->e);
}

static void prepare_done(void *arg)
{
	struct preparation *p = arg;

	if (p->rc < 0)
		log_error("\"state.url\": %s", p->e.text);
	else if (p->rc > 0)
		log_warn("\"state.url\": %s", p->e.text);
	free(p);
}

/*
 * A store that is away, or hangs, is no reason not to queue: whether the job's state is in it only
 * the record tells, and small states need none. Who needs it says what is missing, and tries again;
 * this is for those who do not need it now, and have to hear of it all the same.
 */
static void prepare_store(struct worker *w)
{
	struct preparation *p = calloc(1, sizeof(*p));
	struct err e;

	err_set(&e, "out of memory");
	if (p != NULL) {
		p->store = w->store;
		if (task_start(w->loop, prepare_work, prepare_done, p, &e) != NULL)
			return;
		free(p);
	}
	log_warn("\"state.url\" is looked at when it is needed: %s", e.text);
}

static int open_store(struct worker *w, struct err *e)
{
	const struct store_place place = { w->conf->work_dir, w->conf->state_dir };
	char url[2 * PATH_MAX];

	/* As in the coordinator: in another namespace a job of this name is another job, and counts
	 * its epochs from 1, too. */
	snprintf(url, sizeof(url), "file://%s%s/jobs", w->conf->state_dir, w->conf->ns);
	w->store = store_open(url, &place, e);
	if (w->store == NULL)
		return err_add(e, "cannot use the \"url\" of \"state\"");
	prepare_store(w);
	return 0;
}

void worker_state_place(struct worker *w)
{
	snprintf(w->dir, sizeof(w->dir), "%s/jobs/%s", w->conf->work_dir, w->job->name);
}

int worker_state_open(struct worker *w, struct err *e)
{
	return w->conf->state_dir != NULL ? open_store(w, e) : 0;
}

void worker_state_granted(struct worker *w, const struct record *record)
{
	struct err e;

	record_clear(&w->record);
	w->have_record = record != NULL;
	if (record == NULL)
		return;
	/* A rescue finds one of the tenure that it ends. */
	w->began = record->epoch == w->epoch
		       ? record->after
		       : (struct record_trace){ record->epoch, record->seq, record->clean };
	if (record_copy(&w->record, record, &e) == 0)
		return;
	/* Going on without it would start the job from nothing. The lock goes with the anchor;
	 * nothing has begun. */
	log_error("%s", e.text);
	_exit(1);
}

/*
 * There is something else in the place of the state, or of its directory: no look will ever find a
 * state there, but a restore makes both anew. Not where the directories of all jobs are gone: they
 * may be on a disk that comes back, with what is newer there.
 */
static bool is_out_of_place(const struct worker *w, int code)
{
	char above[PATH_MAX];

	snprintf(above, sizeof(above), "%s/" CONF_JOBS_DIR, w->conf->work_dir);
	if (code == ENOENT)
		return access(above, F_OK) == 0;
	return fs_is_none(code);
}

const char *worker_state_restored(const struct worker *w, bool *gone, struct err *e)
{
	struct state_id id;
	int rc = worker_state_peek(w, &id, e);

	*gone =
	    rc < 0 ? is_out_of_place(w, e->code) : rc == 0 && w->have_record && !w->record.empty;
	if (rc == 0 && *gone)
		err_set(e,
		    "%s/" STATE_FILE " was removed while the job did not run: the job is not "
		    "started before its state is restored once more",
		    w->dir);
	if (rc < 0)
		err_add(e, "the job is not started, as its state cannot be looked at");
	if (rc < 0 || *gone)
		return NULL;
	if (rc == 0)
		return "none";
	return w->run_clean ? "clean" : "crash";
}
