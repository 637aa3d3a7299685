#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/task.h"
#include "coord/leftover.h"
#include "role/worker_impl.h"
#include "state/left.h"

#define NOTE_MAX (PATH_MAX + JOB_NAME_MAX + 32)

/* Beside the job's directory: no job's name begins with a dot. */
static void note_path(const struct worker *w, char path[NOTE_MAX])
{
	snprintf(path, NOTE_MAX, "%s/" CONF_JOBS_DIR "/.left-%s", w->conf->work_dir, w->job->name);
}

static void set_realm(const struct worker *w, struct left *left)
{
	const struct conf *c = w->conf;

	/* Not the endpoints: they may be other ones of the same cluster. */
	if (c->coord == CONF_COORD_ETCD)
		snprintf(left->realm, sizeof(left->realm), "etcd:%s", c->ns);
	else
		snprintf(left->realm, sizeof(left->realm), "local:%s%s", c->local_path, c->ns);
}

static int write_note(const struct worker *w, const struct left *left, struct err *e)
{
	char boot[LEFTOVER_BOOT_MAX];
	char path[NOTE_MAX];

	note_path(w, path);
	leftover_boot(boot);
	return left_write(path, left, boot, e);
}

/*
 * Whether the file in the state's place may be what the last run left. Not once that was found to
 * be no state: a restore that nobody waits for any more may be putting the last committed one
 * there.
 */
static bool is_of_last_run(const struct life *l)
{
	return l->ran && (l->placed || l->rescue);
}

/* Without a note the next restore would put the last committed state over it. */
static void keep_aside(const struct worker *w, const struct err *why)
{
	char name[REJECTED_MAX];
	struct err e;

	if (transfer_reject(w->dir, name, &e) == 0)
		log_error(
		    "the last state of the job could not be committed, and is kept as %s/%s; the "
		    "job will go on from the last committed one: %s",
		    w->dir, name, why->text);
	else
		log_error("%s/" STATE_FILE " could not be committed, and will be replaced by the "
			  "last committed state: %s",
		    w->dir, why->text);
}

/* Nobody shall go on from what can never be committed, such as one that is too large. Nor is there
 * a note that would last, while a thread is about to remove one. */
static int note(const struct worker *w, const struct left *left, bool refused, struct err *e)
{
	if (refused)
		return err_set(e, "it can never be, as it is");
	if (w->forgetting)
		return err_set(e, "the note about an older one is not removed yet");
	return write_note(w, left, e);
}

/* exempt: a file that is as good as committed; all zero: none. */
static void keep(struct worker *w, const struct state_id *exempt)
{
	/* A rescue may have lost it before it was granted. */
	struct left left = { .epoch = w->setup->rescue ? w->setup->rescue_epoch : w->epoch,
		.clean = w->life.clean };
	struct err e;
	bool refused;

	if (w->left_kept || !w->life.ran || w->life.dump == LIFE_DUMP_CLEAN)
		return;
	FAULT("before_note");
	if (!worker_state_unsaved(w, &left.id) || state_id_proves(exempt, &left.id))
		return;
	refused = state_id_equal(&left.id, &w->refused_id);
	if (!refused && !is_of_last_run(&w->life))
		return;
	w->left_kept = true;
	set_realm(w, &left);
	if (note(w, &left, refused, &e) == 0)
		log_warn("%s/" STATE_FILE
			 " could not be committed and stays there: the job goes on "
			 "from it if nobody owns the job before this machine does epoch=%" PRIu64,
		    w->dir, left.epoch);
	else
		keep_aside(w, &e);
}

void worker_left_keep(struct worker *w)
{
	static const struct state_id none;

	keep(w, &none);
}

/* Not behind a thread that hangs, as it may be this disk that does not answer: the release must
 * get out. */
void worker_left_keep_early(struct worker *w)
{
	static const struct state_id none;

	if (w->abandoned == 0 && !(w->life.awaited & LIFE_RESTORE))
		keep(w, worker_is_in_doubt(w) ? &w->doubt.id : &none);
}

/* Should the coordinator be mistaken, or count anew because somebody emptied it: nobody else, and
 * nobody later, has committed anything. */
static bool is_outdated(const struct worker *w, uint64_t predecessor)
{
	const struct record *r = &w->record;

	if (!w->have_record || r->epoch < predecessor)
		return false;
	return r->epoch > predecessor || strcmp(r->instance, w->conf->instance) != 0;
}

struct left_search worker_left_search(const struct worker *w)
{
	uint64_t predecessor = coord_predecessor(w->coord);
	struct left_search s = { .predecessor = is_outdated(w, predecessor) ? 0 : predecessor };

	if (w->have_saved_id)
		s.saved = w->saved_id;
	s.refused = w->refused_id;
	return s;
}

/* Whether the owner that left it, or took it over, is the last one before us. */
static bool is_newest(const struct worker *w, const struct left *left, uint64_t predecessor)
{
	struct left here;

	set_realm(w, &here);
	return strcmp(left->realm, here.realm) == 0 && predecessor != 0 &&
	       (left->epoch == predecessor || left->taken == predecessor);
}

/*
 * What is in the place of the state, as there is a note. Something else than the file that it
 * speaks of is in no record, either: an operator, whom the log led there, gave it another owner or
 * mode; or it was gone on from, and no backup came to its end since.
 */
static enum worker_left look_for(
    const struct worker *w, const struct left *left, const struct state_id *saved, struct err *e)
{
	struct state_id id;
	int rc = worker_state_peek(w, &id, e);

	if (rc == 0 || (rc > 0 && state_id_equal(&id, saved)))
		return LEFT_NONE;
	if (rc < 0 && e->code != 0)
		return LEFT_FAILED;
	return rc > 0 && state_id_equal(&id, &left->id) ? LEFT_GOES_ON : LEFT_MOVED;
}

/* The job's last run left what cannot be committed, and is to start from the last good state. */
static bool is_refused(const struct worker *w, const struct state_id *refused)
{
	struct state_id id;
	struct err e;

	return refused->ino != 0 && worker_state_peek(w, &id, &e) > 0 &&
	       state_id_equal(&id, refused);
}

/* No more of them than the next owner would leave there. */
static enum worker_left move_aside(const struct worker *w, char moved[REJECTED_MAX], struct err *e)
{
	struct err why;

	if (transfer_reject(w->dir, moved, e) != 0)
		return LEFT_FAILED;
	transfer_tidy(w->dir, worker_job_uid(w), &why);
	return LEFT_MOVED;
}

/*
 * Names the new epoch in the note: until a commit, this process may die, too. Beside the old one,
 * as the coordinator may not know yet that we are the owner: if it never learns that, our job will
 * not have run.
 */
static bool take(const struct worker *w, struct left *left, uint64_t predecessor, struct err *e)
{
	left->epoch = predecessor;
	left->taken = w->epoch;
	return write_note(w, left, e) == 0;
}

enum worker_left worker_left_find(const struct worker *w, const struct left_search *s,
    char moved[REJECTED_MAX], bool *clean, struct err *e)
{
	enum worker_left found = LEFT_NONE;
	char boot[LEFTOVER_BOOT_MAX];
	char path[NOTE_MAX];
	struct left left;
	int rc;

	note_path(w, path);
	leftover_boot(boot);
	rc = left_read(path, boot, &left, e);
	if (rc < 0)
		return LEFT_FAILED;
	/* Also of what was gone on from, though the note about it is there still. */
	if (is_refused(w, &s->refused))
		found = LEFT_MOVED;
	else if (rc > 0)
		found = look_for(w, &left, &s->saved, e);
	if (found == LEFT_GOES_ON && !is_newest(w, &left, s->predecessor))
		found = LEFT_MOVED;
	if (found == LEFT_GOES_ON) {
		*clean = left.clean;
		return take(w, &left, s->predecessor, e) ? LEFT_GOES_ON : LEFT_FAILED;
	}
	if (found == LEFT_MOVED)
		found = move_aside(w, moved, e);
	if (found != LEFT_FAILED)
		left_remove(path);
	return found;
}

static void forget(void *arg)
{
	char path[NOTE_MAX];

	FAULT("in_forget");
	note_path(arg, path);
	left_remove(path);
}

static void forgotten(void *arg)
{
	struct worker *w = arg;

	w->forgetting = false;
}

/* While the job runs, beside the loop. At the end this process must not leave before it is done. */
void worker_left_committed(struct worker *w)
{
	struct err e;

	/* A rescue does not know whether the dead worker's job had gone on from it. What was kept
	 * was not committed: it is the mark that was. */
	if ((!w->goes_on && !w->forgetting && !w->setup->rescue) || w->left_kept)
		return;
	if (!w->kin)
		forget(w);
	else if (!w->forgetting)
		w->forgetting = task_start(w->loop, forget, forgotten, w, &e) != NULL;
	w->goes_on = w->kin && !w->forgetting; /* without a thread, at the next commit */
}
