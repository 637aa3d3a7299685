#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/task.h"
#include "coord/leftover.h"
#include "role/worker_impl.h"

struct vigil {
	struct worker *w;
	struct leftover leftover;
	struct err e;
	int rc;
};

static bool is_never_off(void *ctx)
{
	(void)ctx;
	return false;
}

static void vigil_work(void *arg)
{
	struct vigil *v = arg;

	v->rc = leftover_wait(&v->leftover, v->w->job, is_never_off, NULL, &v->e);
}

/* Who cannot see whether the job lives must not release the lock: the lease runs out by itself. */
static _Noreturn void despair(const struct err *e)
{
	log_error(
	    "cannot tell when the job ends, so its lock is left to its time-out: %s", e->text);
	_exit(1);
}

/* How it ended is nobody's to know: not our child. */
static void vigil_done(void *arg)
{
	struct vigil *v = arg;

	if (v->rc != 0)
		despair(&v->e);
	worker_tell(v->w, LIFE_EV_CLEARED, 0);
	free(v);
}

static int begin_vigil(struct worker *w, struct err *e)
{
	struct vigil *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return err_set(e, "out of memory");
	v->w = w;
	v->leftover.main = w->setup->rescue_job;
	v->leftover.born = w->setup->rescue_job_born;
	v->leftover.epoch = w->setup->rescue_epoch;
	v->leftover.uid = leftover_uid(w->job);
	snprintf(v->leftover.state, sizeof(v->leftover.state), "%.*s/" STATE_FILE,
	    (int)(sizeof(v->leftover.state) - sizeof(STATE_FILE) - 1), w->dir);
	if (task_start(w->loop, vigil_work, vigil_done, v, e) != NULL)
		return 0;
	free(v);
	return -1;
}

void worker_alone_watch(struct worker *w)
{
	struct err e;

	if (begin_vigil(w, &e) != 0)
		despair(&e);
}
