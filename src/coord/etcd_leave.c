/* The way out: of the queue, of the lock, of the process. */
#include <unistd.h>

#include "coord/etcd_impl.h"
#include "coord/etcd_wire.h"

static void answer_released(struct etcd *t)
{
	t->phase = PHASE_GONE;
	t->base.hooks.released(t->base.ctx, COORD_OK, NULL);
}

static void on_parted(void *ctx, const struct err *e)
{
	struct etcd *t = ctx;

	if (t->phase != PHASE_LEAVING)
		return; /* it was lost meanwhile, and that has been told */
	if (e == NULL)
		answer_released(t);
	else
		t->base.hooks.released(t->base.ctx, COORD_FAILED, e);
}

/* Not succeeded: an attempt before this one did it, or the key has gone otherwise. It is not ours
 * any more. */
static void on_released(void *ctx, const struct etcd_answer *answer)
{
	struct etcd *t = ctx;
	struct err e = answer->e;
	bool succeeded;

	if (answer->code != ETCD_OK || wire_read_succeeded(answer->body, &succeeded, &e) != 0) {
		/* Out of space it refuses a put, and would take the deletion. */
		if (!etcd_is_passing(answer))
			t->note_due = false;
		t->base.hooks.released(t->base.ctx, COORD_FAILED, &e);
		return;
	}
	t->aside_until = msec_add(clock_now(), ETCD_ASIDE);
	answer_released(t);
}

/*
 * No state of ours, nor one of an owner before us that we might have taken over. What another
 * machine may have does not count any more once we are announced.
 */
static bool leaves_nothing(const struct etcd *t)
{
	return t->left_nothing ? t->announced : !t->started && t->predecessor == 0;
}

/* The lease would take the lock key with it, but not the owner key. */
void etcd_release(struct etcd *t)
{
	struct owner_change owner = etcd_owner_change(t, leaves_nothing(t));

	etcd_rest(t);
	t->phase = PHASE_RELEASING;
	ask_start(&t->step, "/v3/kv/txn",
	    wire_release(t->view.own_key, t->epoch, owner.key, owner.value),
	    msec_add(clock_now(), ETCD_RELEASE_PATIENCE), on_released, t);
}

/* With the lease goes the key. Also in doubt: what the job left may be gone on from, if the owner
 * key says that it was the last. */
void etcd_leave(struct etcd *t)
{
	etcd_rest(t);
	t->phase = PHASE_LEAVING;
	/* Else a waiter could not go while etcd is away: what is left of its place ends with the
	 * lease. */
	keeper_rely(&t->keeper);
	/* A doubtful lease keeps nobody waiting; coord_farewell() gives it back. */
	if (t->keeper.id != 0 && !t->keeper.doubtful)
		keeper_part(&t->keeper, ETCD_RELEASE_PATIENCE, on_parted);
	else
		etcd_post(t, answer_released);
}

void etcd_give_up(struct coord *c, bool left_nothing)
{
	struct etcd *t = (struct etcd *)c;

	t->left_nothing = left_nothing;
	switch (t->phase) {
	case PHASE_IDLE:
	case PHASE_CLEANING:
	case PHASE_JOINING:
	case PHASE_QUEUED:
	case PHASE_DOUBT:
	case PHASE_GONE: etcd_leave(t); break;
	case PHASE_OWNER: etcd_release(t); break;
	/* A grant that is cancelled might be carried out behind its revocation. */
	case PHASE_LEASING:
		t->leave_wanted = true;
		keeper_hurry(&t->keeper, ETCD_FAREWELL_PATIENCE);
		break;
	/* Its outcome would not be told. */
	case PHASE_COMMITTING: t->leave_wanted = true; break;
	case PHASE_RELEASING:
		if (!ask_is_busy(&t->step))
			etcd_release(t);
		break;
	case PHASE_LEAVING:
		if (!keeper_is_parting(&t->keeper))
			etcd_leave(t);
		break;
	}
}

/* Runs the loop: there is nothing else left to do for it. */
static void wait_until_parted(struct etcd *t)
{
	while (keeper_is_parting(&t->keeper) || burials_are_under_way(&t->keeper.burials))
		ev_run(t->base.loop, EVRUN_ONCE);
}

/* After an orderly release. */
void etcd_step_aside(const struct coord *c)
{
	msec left = ((const struct etcd *)c)->aside_until - clock_now();

	if (left > 0)
		usleep((useconds_t)left * 1000);
}

/* What was under way is not waited for any more, so its answer must find nothing to go on with: the
 * lease that it counts on goes. */
void etcd_farewell(struct coord *c)
{
	struct etcd *t = (struct etcd *)c;

	etcd_rest(t);
	ev_timer_stop(c->loop, &t->post);
	ev_timer_stop(c->loop, &t->loss);
	t->phase = PHASE_GONE;
	/* Of attempts that failed. */
	keeper_hurry(&t->keeper, ETCD_FAREWELL_PATIENCE);
	burials_hurry(&t->keeper.burials, msec_add(clock_now(), ETCD_FAREWELL_PATIENCE));
	wait_until_parted(t);
	if (t->keeper.id == 0)
		return;
	keeper_part(&t->keeper, ETCD_FAREWELL_PATIENCE, NULL);
	wait_until_parted(t);
}
