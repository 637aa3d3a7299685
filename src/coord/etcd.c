/*
 * etcd.c - the coordinator of many machines: etcd's own lock recipe, with the state record beside
 * the queue. This file keeps the phases and the lease; see etcd_impl.h for the others.
 *
 *   <ns>/jobs/<job>/lock/<lease id, hex>   the queue; the lowest create revision owns the job, and
 *                                          is the epoch
 *   <ns>/jobs/<job>/state                  the record
 *   <ns>/jobs/<job>/owner                  the epoch of the last owner, decimal, also if it
 *                                          committed nothing; not there when its job can have
 *                                          left nothing that is not in the record
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "coord/etcd_impl.h"
#include "coord/survey_impl.h"

static struct etcd *etcd_of(struct coord *c)
{
	return (struct etcd *)c; /* base is the first member */
}

static const struct etcd *etcd_of_const(const struct coord *c)
{
	return (const struct etcd *)c;
}

static void on_post(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct etcd *t = w->data;

	(void)loop;
	(void)revents;
	t->answer(t);
}

void etcd_post(struct etcd *t, void (*answer)(struct etcd *t))
{
	t->answer = answer;
	ev_timer_stop(t->base.loop, &t->post);
	ev_timer_set(&t->post, 0., 0.);
	ev_timer_start(t->base.loop, &t->post);
}

void etcd_look_away(struct etcd *t)
{
	ask_cancel(&t->look);
	if (t->watch != NULL)
		etcd_cancel(t->watch);
	t->watch = NULL;
	ev_timer_stop(t->base.loop, &t->look_due);
	ev_timer_stop(t->base.loop, &t->away_due);
}

void etcd_unwatch(struct etcd *t)
{
	etcd_look_away(t);
	ask_cancel(&t->announcement);
	ev_timer_stop(t->base.loop, &t->grant_due);
	ev_timer_stop(t->base.loop, &t->settle_due);
}

void etcd_rest(struct etcd *t)
{
	etcd_unwatch(t);
	ask_cancel(&t->step);
	ev_timer_stop(t->base.loop, &t->back_due);
	free(t->text);
	t->text = NULL;
}

/*
 * A place with nobody behind it would block the queue until its lease ends. Not so after a failed
 * adoption: the lease is a dead worker's, and what became of it is not known. And a lease that may
 * have been granted or not has no place yet: the next attempt takes it.
 */
void etcd_fail(struct etcd *t, enum coord_trouble trouble, const struct err *e)
{
	struct err why = *e;

	etcd_rest(t);
	t->phase = PHASE_IDLE;
	if (t->adopting)
		keeper_drop(&t->keeper);
	else if (t->keeper.id != 0 && !t->keeper.doubtful)
		keeper_part(&t->keeper, t->base.conf->ttl, NULL);
	t->base.hooks.failed(t->base.ctx, trouble, &why);
}

/* ---- The lease ---- */

static void join_or_leave(struct etcd *t)
{
	if (t->leave_wanted)
		etcd_leave(t);
	else
		etcd_join(t);
}

static void on_ready(void *ctx)
{
	struct etcd *t = ctx;
	struct err e;

	t->wavering = false;
	if (t->leave_wanted) {
		etcd_leave(t);
	} else if (view_set_own(&t->view, t->keeper.id, &e) != 0) {
		etcd_fail(t, COORD_STRANGE, &e);
	} else if (t->adopting) {
		keeper_rely(&t->keeper);
		t->phase = PHASE_QUEUED;
		etcd_look(t);
	} else {
		/* The lease is told before anything hangs on it: should this process die, somebody
		 * must know what to give back. */
		etcd_post(t, join_or_leave);
		t->base.hooks.kept(t->base.ctx);
	}
}

static void on_refused(void *ctx, enum etcd_code code, const struct err *e)
{
	struct etcd *t = ctx;

	if (t->leave_wanted)
		etcd_leave(t);
	else
		etcd_fail(t, etcd_trouble(code), e);
}

static bool is_owner(const struct etcd *t)
{
	return t->phase == PHASE_OWNER || t->phase == PHASE_COMMITTING ||
	       t->phase == PHASE_RELEASING;
}

static void on_renewed(void *ctx)
{
	struct etcd *t = ctx;
	bool told = t->wavering;

	t->wavering = false;
	if (t->phase == PHASE_QUEUED)
		etcd_queue_renewed(t);
	/* A waiter is heard of when there is news, not with every renewal. */
	if (is_owner(t) || told)
		t->base.hooks.kept(t->base.ctx);
}

static void on_wavering(void *ctx, enum etcd_code code, const struct err *e)
{
	struct etcd *t = ctx;

	t->wavering = true;
	t->base.hooks.wavering(t->base.ctx, etcd_trouble(code), e);
}

static void on_lost(void *ctx, const struct err *e)
{
	struct etcd *t = ctx;

	switch (t->phase) {
	case PHASE_JOINING:
	case PHASE_QUEUED: etcd_fail(t, COORD_UNREACHABLE, e); break;
	case PHASE_OWNER:
	case PHASE_COMMITTING:
	case PHASE_RELEASING:
	case PHASE_LEAVING: etcd_lose(t, lease_kill_by(&t->keeper.lease), e); break;
	case PHASE_LEASING: on_ready(t); break; /* of an adoption: the key goes with it */
	case PHASE_IDLE:
	case PHASE_CLEANING:
	case PHASE_DOUBT:
	case PHASE_GONE: break;
	}
}

static const struct keeper_hooks keeper_hooks = {
	.ready = on_ready,
	.refused = on_refused,
	.renewed = on_renewed,
	.wavering = on_wavering,
	.lost = on_lost,
};

/* ---- In ---- */

static void begin(struct etcd *t)
{
	assert(t->phase == PHASE_IDLE);
	t->phase = PHASE_LEASING;
	t->leave_wanted = false;
	t->announced = false;
	t->doubt = false;
	t->wavering = false;
	t->started = false;
	t->left_nothing = false;
	t->note_due = false;
	t->predecessor = 0;
	t->holder[0] = '\0';
}

/* Refused: nothing else can be done about it. */
static void on_cleaned(void *ctx, const struct err *e)
{
	struct etcd *t = ctx;

	(void)e;
	if (t->phase != PHASE_CLEANING)
		return; /* the worker goes */
	t->inherits = false;
	t->phase = PHASE_LEASING;
	keeper_begin(&t->keeper, t->base.conf->ttl, ETCD_PATIENCE);
}

static void acquire(struct coord *c)
{
	struct etcd *t = etcd_of(c);

	begin(t);
	t->adopting = false;
	if (t->inherits) {
		/* However long etcd is away: the leases that it knows live on when it is back. */
		t->phase = PHASE_CLEANING;
		keeper_part(&t->keeper, MSEC_NEVER, on_cleaned);
		return;
	}
	keeper_begin(&t->keeper, c->conf->ttl, ETCD_PATIENCE);
}

/*
 * Tried for as long as the lease may live: what the dead worker's job dumps hangs on it. The lease
 * is kept even where everything else is refused, but not for longer than it would have lived by
 * itself: the master does not count on a rescue that has not got the lock.
 */
static void adopt(struct coord *c, uint64_t lease, uint64_t epoch)
{
	struct etcd *t = etcd_of(c);

	begin(t);
	t->adopting = true;
	t->started = true; /* for all we know */
	t->epoch = epoch;
	t->adopt_by = msec_add(clock_now(), c->conf->ttl);
	keeper_adopt(&t->keeper, lease, c->conf->ttl, c->conf->ttl);
}

/* It is this one's lease until it is given back, so that there is one at a time to tell of: should
 * this process die before, the next one is told of the same. */
static void bury(struct coord *c, uint64_t lease)
{
	struct etcd *t = etcd_of(c);

	assert(t->phase == PHASE_IDLE);
	t->inherits = true;
	keeper_inherit(&t->keeper, lease);
}

/* Whoever takes over does so when the lease has ended, and does not see this machine's processes.
 */
static int started(struct coord *c, pid_t job, struct err *e)
{
	(void)job;
	(void)e;
	etcd_of(c)->started = true;
	return 0;
}

/* ---- The rest of coord.h ---- */

/* The lock outlives a worker by its lease. */
static int anchor(const struct conf *conf, const struct job_conf *job, int *fd, struct err *e)
{
	(void)conf;
	(void)job;
	(void)e;
	*fd = -1;
	return 0;
}

static void on_look_due(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	etcd_look(w->data);
}

static void on_grant_due(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	etcd_grant(w->data);
}

static void on_away_due(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	etcd_look_away(w->data);
}

static void on_settle_due(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	etcd_settle(w->data);
}

static void on_back_due(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	etcd_look_back(w->data);
}

static void on_loss(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	etcd_tell_loss(w->data);
}

static int open_parts(struct etcd *t, const struct coord_setup *setup, struct err *e)
{
	if (view_init(&t->view, setup->conf->ns, setup->job->name, e) != 0)
		return -1;
	t->client = etcd_client_open(setup->loop, setup->conf, e);
	if (t->client == NULL)
		return -1;
	if (keeper_open(&t->keeper, setup->loop, t->client, &keeper_hooks, t, e) == 0)
		return 0;
	etcd_client_close(t->client);
	return -1;
}

static struct coord *open_etcd(const struct coord_setup *setup, struct err *e)
{
	struct etcd *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		err_set(e, "cannot use the coordinator: out of memory");
		return NULL;
	}
	if (open_parts(t, setup, e) != 0) {
		view_clear(&t->view);
		free(t);
		return NULL;
	}
	ask_init(&t->step, setup->loop, t->client);
	ask_init(&t->announcement, setup->loop, t->client);
	ask_init(&t->look, setup->loop, t->client);
	ev_timer_init(&t->post, on_post, 0., 0.);
	ev_timer_init(&t->look_due, on_look_due, 0., 0.);
	ev_timer_init(&t->grant_due, on_grant_due, 0., 0.);
	ev_set_priority(&t->grant_due, EV_MINPRI); /* what arrives meanwhile comes first */
	ev_timer_init(&t->away_due, on_away_due, 0., 0.);
	ev_set_priority(&t->away_due, EV_MINPRI); /* the request goes out first */
	ev_timer_init(&t->settle_due, on_settle_due, 0., 0.);
	ev_timer_init(&t->loss, on_loss, 0., 0.);
	ev_timer_init(&t->back_due, on_back_due, 0., 0.);
	t->post.data = t;
	t->loss.data = t;
	t->back_due.data = t;
	t->look_due.data = t;
	t->grant_due.data = t;
	t->away_due.data = t;
	t->settle_due.data = t;
	t->phase = PHASE_IDLE;
	return &t->base;
}

static void close_etcd(struct coord *c)
{
	struct etcd *t = etcd_of(c);

	etcd_rest(t);
	ev_timer_stop(c->loop, &t->post);
	ev_timer_stop(c->loop, &t->loss);
	keeper_close(&t->keeper);
	etcd_client_close(t->client);
	view_clear(&t->view);
	free(t);
}

static bool is_announced(const struct coord *c)
{
	return etcd_of_const(c)->announced;
}

static uint64_t predecessor(const struct coord *c)
{
	return etcd_of_const(c)->predecessor;
}

static uint64_t lease(const struct coord *c)
{
	return etcd_of_const(c)->keeper.id;
}

/* Nothing has to end with the lease of one that waits: it is tried on until etcd says that it is
 * gone. */
static msec safe_until(const struct coord *c)
{
	const struct keeper *k = &etcd_of_const(c)->keeper;

	return keeper_is_relied_on(k) ? lease_kill_by(&k->lease) : MSEC_NEVER;
}

static msec mute_by(const struct coord *c)
{
	const struct keeper *k = &etcd_of_const(c)->keeper;

	return keeper_is_relied_on(k) ? lease_mute_by(&k->lease) : MSEC_NEVER;
}

const struct coord_ops coord_etcd_ops = {
	.anchor = anchor,
	.open = open_etcd,
	.acquire = acquire,
	.adopt = adopt,
	.bury = bury,
	.started = started,
	.commit = etcd_commit,
	.release = etcd_give_up,
	.step_aside = etcd_step_aside,
	.farewell = etcd_farewell,
	.close = close_etcd,
	.is_announced = is_announced,
	.predecessor = predecessor,
	.lease = lease,
	.safe_until = safe_until,
	.mute_by = mute_by,
	.check = etcd_check,
	.survey = etcd_survey,
};
