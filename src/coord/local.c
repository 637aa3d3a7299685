/*
 * local.c - the coordinator of one machine: a queue in a lock file (places.h) and a directory of
 * small files beside it (local_dir.h). This is the loop's side; the steps are in local_tenure.h.
 *
 * The number of a place is the epoch of the tenure that it leads to. A worker owns the job when its
 * place is the first one; until then a task sleeps in the kernel for the place next before it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/task.h"
#include "coord/coord_impl.h"
#include "coord/local_tenure.h"
#include "coord/survey_impl.h"

/* How often an owner looks whether its lock file is still the one that others queue at, in
 * seconds. */
#define GUARD_INTERVAL 1.
/* Between two tries to adopt, likewise. */
#define ADOPT_AGAIN .2

enum phase {
	PHASE_IDLE,       /* has not asked, or its acquire failed */
	PHASE_QUEUED,     /* asked; the task is at it */
	PHASE_OWNER,      /* granted */
	PHASE_COMMITTING, /* owner, with a commit under way */
	PHASE_LEAVING,    /* owner, with a release under way */
	PHASE_GONE,       /* gave its place up */
};

struct local {
	struct coord base;
	enum phase phase;
	bool busy;         /* a task runs, and this struct is its argument */
	bool closed;       /* by coord_close(), and left to the task to free */
	bool leave_wanted; /* coord_release() came while a commit was under way */
	bool adopting;
	msec adopt_by; /* no more tries then */
	bool blind;    /* the lock file, or the record, could not be seen, and that was said */
	struct ev_timer guard; /* of an owner */
	struct ev_timer post;
	void (*answer)(struct local *l); /* what to do when `post` fires */

	struct tenure tenure; /* the task's while busy */
	enum tenure_step step;
	bool release; /* the commit is to release, too */
	enum coord_result committed;

	/* Not the tenure's: a release may be answered while a task still waits in the queue. */
	enum coord_result released;
	struct err release_err;
};

/* ---- On the task's thread ---- */

static void work_queue_up(void *arg)
{
	struct local *l = arg;

	l->step = tenure_queue_up(&l->tenure);
}

static void work_wait(void *arg)
{
	struct local *l = arg;

	l->step = tenure_wait(&l->tenure);
}

static void work_adopt(void *arg)
{
	struct local *l = arg;

	l->step = tenure_adopt(&l->tenure);
}

/*
 * Record before release: the next owner reads it as soon as it is first. A release that fails does
 * not undo the commit; the lock then goes with the anchor.
 */
static void work_commit(void *arg)
{
	struct local *l = arg;

	l->committed = tenure_commit(&l->tenure);
	if (l->committed == COORD_OK && l->release)
		tenure_leave(&l->tenure);
}

static void work_leave(void *arg)
{
	struct local *l = arg;

	l->released = tenure_leave(&l->tenure);
	l->release_err = l->tenure.err;
}

/* ---- In the loop. A hook may close the coord, so it is always the last thing called. ---- */

static struct local *local_of(struct coord *c)
{
	return (struct local *)c; /* base is the first member */
}

static void free_local(struct local *l)
{
	tenure_destroy(&l->tenure);
	free(l);
}

static void on_post(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct local *l = w->data;

	(void)loop;
	(void)revents;
	l->answer(l);
}

/* Answers from the loop, never from inside the call that asked. */
static void post(struct local *l, void (*answer)(struct local *l))
{
	l->answer = answer;
	ev_timer_stop(l->base.loop, &l->post);
	ev_timer_set(&l->post, 0., 0.);
	ev_timer_start(l->base.loop, &l->post);
}

static int start(struct local *l, void (*work)(void *arg), void (*done)(void *arg))
{
	l->busy = task_start(l->base.loop, work, done, l, &l->tenure.err) != NULL;
	return l->busy ? 0 : -1;
}

/* Begins every `done`: false when the coord was closed meanwhile, and now is freed. */
static bool is_still_open(struct local *l)
{
	l->busy = false;
	if (!l->closed)
		return true;
	free_local(l);
	return false;
}

static void answer_failed(struct local *l)
{
	struct err e = l->tenure.err;

	/*
	 * A place with nobody behind it would block the queue. Not so after a failed adoption: what
	 * is left of the job may still run under that lock, and the worker must stop it first.
	 */
	if (!l->adopting)
		tenure_give_up(&l->tenure, NULL);
	l->phase = PHASE_IDLE;
	l->base.hooks.failed(l->base.ctx, COORD_UNUSABLE, &e);
}

/* It watches; it is no reason for the loop to go on. */
static void start_guard(struct local *l)
{
	ev_timer_start(l->base.loop, &l->guard);
	ev_unref(l->base.loop);
}

static void stop_guard(struct local *l)
{
	if (!ev_is_active(&l->guard))
		return;
	ev_ref(l->base.loop);
	ev_timer_stop(l->base.loop, &l->guard);
}

/*
 * Nobody can keep an operator from removing the directory, and whoever comes then finds it empty
 * and owns the job as well. A job that never saves anything would not notice by a commit. During
 * one that looks by itself. A disk that does not answer proves nothing: the kernel still keeps out
 * who finds the file.
 */
static void on_guard(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct local *l = w->data;
	bool was_blind = l->blind;
	struct err e;
	int held;

	(void)loop;
	(void)revents;
	if (l->phase == PHASE_COMMITTING)
		return;
	held = tenure_holds_lock_file(&l->tenure, &e);
	l->blind = held < 0;
	if (held == 0) {
		stop_guard(l);
		l->base.hooks.lost(l->base.ctx, 0, &e);
	} else if (l->blind && !was_blind) {
		l->base.hooks.wavering(l->base.ctx, COORD_UNUSABLE, &e);
	} else if (was_blind && !l->blind) {
		l->base.hooks.kept(l->base.ctx);
	}
}

static void answer_granted(struct local *l)
{
	struct record r = l->tenure.record;

	/* Taken out: the hook may commit at once, which puts the new record in. */
	memset(&l->tenure.record, 0, sizeof(l->tenure.record));
	l->phase = PHASE_OWNER;
	if (!l->adopting)
		tenure_begin(&l->tenure);
	start_guard(l);
	l->base.hooks.granted(l->base.ctx, l->tenure.place, l->tenure.has_record ? &r : NULL);
	record_clear(&r);
}

static void answer_freed(struct local *l)
{
	struct record r = l->tenure.record;
	bool found = l->tenure.has_record;

	memset(&l->tenure.record, 0, sizeof(l->tenure.record));
	l->phase = PHASE_GONE;
	l->base.hooks.freed(l->base.ctx, found ? &r : NULL);
	record_clear(&r);
}

static void done_step(void *arg);

static void answer_waiting(struct local *l)
{
	char holder[LOCAL_HOLDER_MAX];

	/* Out of the way of the task, which begins before the hook, as that may close. */
	memcpy(holder, l->tenure.holder, sizeof(holder));
	if (start(l, work_wait, done_step) == 0)
		l->base.hooks.waiting(l->base.ctx, holder);
	else
		answer_failed(l);
}

static void adopt_again(struct local *l)
{
	if (start(l, work_adopt, done_step) != 0)
		answer_failed(l);
}

/* A disk that cannot be read may come back: the job may be dumping under the lock, which the anchor
 * keeps. What is damaged, or not ours, stays so. */
static bool may_adopt_yet(const struct local *l)
{
	return l->adopting && !fs_is_none(l->tenure.err.code) && clock_now() < l->adopt_by;
}

static void adopt_later(struct local *l)
{
	struct err e = l->tenure.err;
	bool was_blind = l->blind;

	l->blind = true;
	l->answer = adopt_again;
	ev_timer_set(&l->post, ADOPT_AGAIN, 0.);
	ev_timer_start(l->base.loop, &l->post);
	if (!was_blind)
		l->base.hooks.wavering(l->base.ctx, COORD_UNUSABLE, &e);
}

static void answer_no_place(struct local *l)
{
	if (may_adopt_yet(l))
		adopt_later(l);
	else
		answer_failed(l);
}

static void done_step(void *arg)
{
	struct local *l = arg;

	/* Gone: released while the task waited, and what it found is of no use any more. */
	if (!is_still_open(l) || l->phase == PHASE_GONE)
		return;
	switch (l->step) {
	case TENURE_FIRST: answer_granted(l); break;
	case TENURE_BEHIND: answer_waiting(l); break;
	case TENURE_FREED: answer_freed(l); break;
	case TENURE_FAILED: answer_no_place(l); break;
	case TENURE_LEFT: break;
	}
}

static void begin(struct local *l, void (*work)(void *arg))
{
	assert(l->phase == PHASE_IDLE && !l->busy);
	l->phase = PHASE_QUEUED;
	l->tenure.left = false; /* a failed acquire before this one gave its place up */
	if (start(l, work, done_step) != 0)
		post(l, answer_failed);
}

static void local_acquire(struct coord *c)
{
	struct local *l = local_of(c);

	l->adopting = false;
	begin(l, work_queue_up);
}

static void local_adopt(struct coord *c, uint64_t lease, uint64_t epoch)
{
	struct local *l = local_of(c);

	(void)lease;
	l->adopting = true;
	l->adopt_by = msec_add(clock_now(), c->conf->ttl);
	l->tenure.place = epoch;
	begin(l, work_adopt);
}

/* Its place went with the anchor. */
static void local_bury(struct coord *c, uint64_t lease)
{
	(void)c;
	(void)lease;
}

static int local_started(struct coord *c, pid_t job, struct err *e)
{
	return tenure_started(&local_of(c)->tenure, job, e);
}

static void answer_released(struct local *l)
{
	struct err e = l->release_err;
	enum coord_result result = l->released;

	l->phase = PHASE_GONE;
	l->base.hooks.released(l->base.ctx, result, result == COORD_OK ? NULL : &e);
}

static void done_leave(void *arg)
{
	struct local *l = arg;

	if (is_still_open(l))
		answer_released(l);
}

static void release_owner(struct local *l)
{
	l->phase = PHASE_LEAVING;
	stop_guard(l);
	if (start(l, work_leave, done_leave) == 0)
		return;
	/* A lock must not stay for want of a thread: this takes but a few system calls. */
	work_leave(l);
	post(l, answer_released);
}

/* At once and without a thread: the task may sleep in the queue for hours. */
static void release_place(struct local *l)
{
	int rc = tenure_give_up(&l->tenure, &l->release_err);

	l->phase = PHASE_GONE;
	l->released = rc == 0 ? COORD_OK : COORD_FAILED;
	post(l, answer_released);
}

static void release_now(struct local *l)
{
	switch (l->phase) {
	case PHASE_IDLE:
	case PHASE_QUEUED:
	case PHASE_GONE: release_place(l); break;
	case PHASE_OWNER: release_owner(l); break;
	/* Not before its rename, which would hit the record of the owner after us. */
	case PHASE_COMMITTING: l->leave_wanted = true; break;
	case PHASE_LEAVING: break;
	}
}

static void local_release(struct coord *c, bool left_nothing)
{
	(void)left_nothing; /* nobody announces itself here */
	release_now(local_of(c));
}

static void answer_committed(struct local *l)
{
	struct err e = l->tenure.err;
	enum coord_result result = l->committed;

	record_clear(&l->tenure.record);
	l->phase = result == COORD_OK && l->release ? PHASE_GONE : PHASE_OWNER;
	if (l->phase == PHASE_GONE || result == COORD_LOST)
		stop_guard(l);
	if (l->leave_wanted) {
		l->leave_wanted = false;
		release_now(l);
	}
	l->base.hooks.committed(l->base.ctx, result, result == COORD_OK ? NULL : &e);
}

static void done_commit(void *arg)
{
	struct local *l = arg;

	if (is_still_open(l))
		answer_committed(l);
}

static void local_commit(struct coord *c, const struct record *record, bool release)
{
	struct local *l = local_of(c);
	struct tenure *t = &l->tenure;

	assert(l->phase == PHASE_OWNER && !l->busy);
	assert(record->epoch == t->place);
	l->phase = PHASE_COMMITTING;
	l->release = release;
	if (record_copy(&t->record, record, &t->err) == 0 &&
	    start(l, work_commit, done_commit) == 0)
		return;
	l->committed = COORD_FAILED;
	post(l, answer_committed);
}

/*
 * A task may sleep in the queue for hours. It keeps this struct, and frees it in the loop when it
 * wakes; but it must not keep the place, which the caller's anchor decides about from now on. A
 * commit keeps the lock to its end: it must not write when the next owner has begun.
 */
static void local_close(struct coord *c)
{
	struct local *l = local_of(c);

	ev_timer_stop(l->base.loop, &l->post);
	stop_guard(l);
	l->closed = true;
	if (!l->busy)
		free_local(l);
	else if (l->phase == PHASE_QUEUED || l->phase == PHASE_GONE)
		tenure_abandon(&l->tenure);
}

static int local_anchor(const struct conf *conf, const struct job_conf *job, int *fd, struct err *e)
{
	struct local_dir dir;

	if (local_dir_init(&dir, conf, job, e) != 0)
		return -1;
	*fd = local_dir_create(&dir, e);
	local_dir_clear(&dir);
	return *fd >= 0 ? 0 : -1;
}

static struct coord *local_open(const struct coord_setup *setup, struct err *e)
{
	struct local *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		err_set(e, "cannot use the coordinator: out of memory");
		return NULL;
	}
	if (tenure_init(&l->tenure, setup->conf, setup->job, setup->anchor, e) != 0) {
		free(l);
		return NULL;
	}
	ev_timer_init(&l->post, on_post, 0., 0.);
	l->post.data = l;
	ev_timer_init(&l->guard, on_guard, GUARD_INTERVAL, GUARD_INTERVAL);
	l->guard.data = l;
	l->phase = PHASE_IDLE;
	return &l->base;
}

/* What is still held goes with the anchor. */
static void local_farewell(struct coord *c)
{
	(void)c;
}

/* Its lock is not lost but with the machine, and nothing else waits to be known. */
static bool local_is_announced(const struct coord *c)
{
	(void)c;
	return true;
}

static uint64_t local_predecessor(const struct coord *c)
{
	return ((const struct local *)c)->tenure.predecessor;
}

static uint64_t local_lease(const struct coord *c)
{
	(void)c;
	return 0;
}

/* The kernel keeps the lock as long as somebody has the anchor. */
static msec local_safe_until(const struct coord *c)
{
	(void)c;
	return MSEC_NEVER;
}

static msec local_mute_by(const struct coord *c)
{
	(void)c;
	return MSEC_NEVER;
}

const struct coord_ops coord_local_ops = {
	.anchor = local_anchor,
	.open = local_open,
	.acquire = local_acquire,
	.adopt = local_adopt,
	.bury = local_bury,
	.started = local_started,
	.commit = local_commit,
	.release = local_release,
	.farewell = local_farewell,
	.close = local_close,
	.is_announced = local_is_announced,
	.predecessor = local_predecessor,
	.lease = local_lease,
	.safe_until = local_safe_until,
	.mute_by = local_mute_by,
	.check = local_check,
	.survey = local_survey,
};
