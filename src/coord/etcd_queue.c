#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "coord/etcd_impl.h"
#include "coord/etcd_wire.h"

/* After a watch that ended sooner than this (msec), the next one waits for so long (seconds). */
#define WATCH_SHORT 1000
#define WATCH_PAUSE 0.5

/* ---- Into the queue ---- */

static void on_joined(void *ctx, const struct etcd_answer *answer)
{
	struct etcd *t = ctx;

	if (answer->code != ETCD_OK) {
		etcd_fail(t, etcd_trouble(answer->code), &answer->e);
		return;
	}
	FAULT("after_join");
	t->phase = PHASE_QUEUED;
	etcd_look(t);
}

/*
 * Safe to repeat: a key that is there already stays as it is. And it is repeated until etcd
 * answers, as a place that was given up while etcd is away would stay in the queue with nobody
 * behind it.
 */
void etcd_join(struct etcd *t)
{
	struct err e;
	char *value = holder_encode(t->base.conf->instance, &e);

	if (value == NULL) {
		etcd_fail(t, COORD_STRANGE, &e);
		return;
	}
	t->phase = PHASE_JOINING;
	ask_start(&t->step, "/v3/kv/txn",
	    wire_acquire(t->view.own_key, value, t->keeper.id, t->view.locks), MSEC_NEVER,
	    on_joined, t);
	free(value);
}

/* ---- The watch: all of the job for a waiter, the own key for an owner ---- */

static void look_later(struct etcd *t)
{
	ev_timer_set(&t->look_due, WATCH_PAUSE, 0.);
	ev_timer_start(t->base.loop, &t->look_due);
}

/* However it ended: what happened meanwhile shows in a range, and the next watch goes on from it.
 */
static void watch_ended(struct etcd *t)
{
	t->watch = NULL;
	if (clock_now() - t->watch_since >= WATCH_SHORT)
		etcd_look(t);
	else
		look_later(t);
}

static void on_watch_created(void *ctx)
{
	(void)ctx;
}

static void advance(struct etcd *t);

static void on_watch_events(void *ctx, json_t *result)
{
	struct etcd *t = ctx;
	struct err e;

	if (view_apply(&t->view, result, &e) != 0) {
		etcd_cancel(t->watch);
		watch_ended(t);
	} else if (t->phase == PHASE_QUEUED) {
		advance(t);
	} else if (t->view.own != t->epoch) {
		etcd_own_key_gone(t);
	}
}

static void on_watch_done(void *ctx, const struct etcd_answer *answer)
{
	(void)answer;
	watch_ended(ctx);
}

static const struct etcd_watch_hooks watch_hooks = {
	.created = on_watch_created,
	.events = on_watch_events,
	.done = on_watch_done,
};

/* From where the view ends; instead of the one that there may be. */
static void start_watch(struct etcd *t, const char *prefix)
{
	json_t *body = wire_watch_prefix(prefix, t->view.revision + 1);
	struct err e;

	if (t->watch != NULL)
		etcd_cancel(t->watch);
	t->watch = NULL;
	t->watch_since = clock_now();
	if (body != NULL)
		t->watch = etcd_watch(t->client, body, &watch_hooks, t, &e);
	json_decref(body);
	if (t->watch == NULL)
		look_later(t);
}

/* ---- In the queue ---- */

static void show_first(const struct etcd *t, char text[HOLDER_TEXT_MAX])
{
	const struct view_place *first = &t->view.ahead[0];

	if (!holder_show(first->value, strlen(first->value), text))
		snprintf(text, HOLDER_TEXT_MAX, "key %s, which is no worker's", first->key);
}

static void wait_in_queue(struct etcd *t)
{
	char text[HOLDER_TEXT_MAX];

	if (t->watch == NULL)
		start_watch(t, t->view.prefix);
	show_first(t, text);
	if (strcmp(text, t->holder) == 0)
		return;
	strcpy(t->holder, text);
	t->base.hooks.waiting(t->base.ctx, text);
}

static int read_record(struct etcd *t, struct record *record, bool *found, struct err *e)
{
	*found = t->view.state != NULL;
	if (!*found || record_decode(t->view.state, t->view.state_len, record, e) == 0)
		return 0;
	return err_add(e, "%s is damaged, put a good one back or delete it", t->view.state_key);
}

/*
 * Epochs rise for ever, as others fence by them. A record of a later one is from another etcd, or
 * from before this one was restored.
 */
static int check_epoch(const struct etcd *t, const struct record *record, struct err *e)
{
	if (record->epoch < t->view.own || (t->adopting && record->epoch == t->view.own))
		return 0;
	return err_set(e,
	    "%s is of epoch %ju, and this lock's is only %ju: was it brought here from another "
	    "etcd? To go on from it with fencing tokens that start anew, put 1 for its \"epoch\"",
	    t->view.state_key, (uintmax_t)record->epoch, (uintmax_t)t->view.own);
}

/* A waiter's watch sees the own key as well. */
static void settle_later(struct etcd *t)
{
	ev_timer_set(&t->settle_due, ETCD_ASIDE / 1000., 0.);
	ev_timer_start(t->base.loop, &t->settle_due);
}

void etcd_settle(struct etcd *t)
{
	etcd_announce_late(t);
	if (ask_is_busy(&t->look) || ev_is_active(&t->look_due))
		return; /* the watch has broken, and the next one is that of the own key */
	if (t->phase == PHASE_COMMITTING && t->release)
		return; /* we look away */
	start_watch(t, t->view.own_key);
}

static void grant(struct etcd *t)
{
	struct record record;
	struct err e;
	bool found;

	if (read_record(t, &record, &found, &e) != 0) {
		etcd_fail(t, COORD_UNUSABLE, &e);
		return;
	}
	if (found && check_epoch(t, &record, &e) != 0) {
		record_clear(&record);
		etcd_fail(t, COORD_UNUSABLE, &e);
		return;
	}
	/* What came between its end and this call may have set it again: once is enough. */
	ev_timer_stop(t->base.loop, &t->grant_due);
	ask_cancel(&t->look); /* one of a waiter, that the watch has overtaken */
	keeper_rely(&t->keeper);
	t->phase = PHASE_OWNER;
	t->epoch = t->view.own;
	t->predecessor = t->view.owner;
	etcd_announce(t);
	settle_later(t);
	t->base.hooks.granted(t->base.ctx, t->epoch, found ? &record : NULL);
	if (found)
		record_clear(&record);
}

static void own_place_lost(struct etcd *t)
{
	struct err e;

	err_set(&e, "%s is gone: its lease ended, or somebody deleted it", t->view.own_key);
	etcd_fail(t, COORD_UNUSABLE, &e);
}

/* The lease is of no use to anyone, and is given back at the end. */
static void freed(struct etcd *t)
{
	struct record record;
	bool found = false;
	struct err e;

	if (read_record(t, &record, &found, &e) != 0) {
		etcd_fail(t, COORD_UNUSABLE, &e);
		return;
	}
	etcd_rest(t);
	t->phase = PHASE_GONE;
	t->base.hooks.freed(t->base.ctx, found ? &record : NULL);
	if (found)
		record_clear(&record);
}

/* Of the dead worker whose lock is to be adopted. */
static void advance_adopted(struct etcd *t)
{
	const struct view *v = &t->view;
	struct err e;

	if (v->own == 0) {
		freed(t);
	} else if (!t->keeper.held) {
		look_later(t); /* its lease has ended, and it is about to go */
	} else if (v->own != t->epoch || v->n_ahead > 0) {
		err_set(&e, "%s: this master does not hold epoch %ju any more", v->own_key,
		    (uintmax_t)t->epoch);
		etcd_fail(t, COORD_UNUSABLE, &e);
	} else if (keeper_is_fresh(&t->keeper)) {
		grant(t);
	}
}

/*
 * The view says why the record in it is the last one. But a process that was suspended may read old
 * news here. So what else has arrived is read first, such as the end of our own key; and the lease
 * must have been renewed lately, and otherwise the next renewal leads to a new look. With both, the
 * own key and the lease have been looked at after the queue, as granted() promises, without a
 * request: the key is within the prefix that is watched, and while the lease lives nothing but a
 * person's hand deletes it.
 */
void etcd_grant(struct etcd *t)
{
	if (keeper_is_fresh(&t->keeper))
		grant(t);
}

static void advance(struct etcd *t)
{
	const struct view *v = &t->view;

	if (t->adopting)
		advance_adopted(t);
	else if (v->own == 0)
		own_place_lost(t);
	else if (v->n_ahead > 0)
		wait_in_queue(t);
	else
		ev_timer_start(t->base.loop, &t->grant_due);
}

void etcd_queue_renewed(struct etcd *t)
{
	if (t->view.own != 0 && t->view.n_ahead == 0 && !ask_is_busy(&t->look))
		etcd_look(t);
}

/* ---- Looking ---- */

/*
 * To leave a queue costs a place in it. To give an adoption up costs the dump of a job that may be
 * at it: users may be mended and crowds pass, and the lease, for which no user is asked, keeps the
 * lock until then.
 */
static void view_refused(struct etcd *t, enum coord_trouble trouble, const struct err *e)
{
	if (t->adopting && t->keeper.held && clock_now() < t->adopt_by)
		look_later(t);
	else
		etcd_fail(t, trouble, e);
}

static void on_view(void *ctx, const struct etcd_answer *answer)
{
	struct etcd *t = ctx;
	struct err e = answer->e;

	if (answer->code != ETCD_OK)
		view_refused(t, etcd_trouble(answer->code), &e);
	else if (view_read(&t->view, answer->body, &e) != 0)
		view_refused(t, COORD_STRANGE, &e);
	else
		advance(t);
}

/* What cannot be seen now does no harm yet: commits are fenced, and the lease tells of the rest. */
static void on_own_key(void *ctx, const struct etcd_answer *answer)
{
	struct etcd *t = ctx;
	struct wire_kv kv;
	struct err e;
	int rc = -1;

	if (answer->code == ETCD_OK && wire_read_revision(answer->body, &t->view.revision, &e) == 0)
		rc = wire_read_kv(answer->body, 0, &kv, &e);
	if (rc < 0) {
		look_later(t);
		return;
	}
	t->view.own = rc == 1 ? kv.create_revision : 0;
	wire_kv_clear(&kv);
	if (t->view.own == t->epoch)
		start_watch(t, t->view.own_key);
	else
		etcd_own_key_gone(t);
}

/*
 * Anew, if one is under way: what it waits for may be an endpoint that hangs. A waiter keeps its
 * place for as long as its lease may live, and a rescue its lock; one whose lease has ended has no
 * time to lose.
 */
void etcd_look(struct etcd *t)
{
	msec until = t->adopting ? t->adopt_by : MSEC_NEVER;

	if (t->adopting && !t->keeper.held)
		until = msec_min(until, msec_add(clock_now(), ETCD_PATIENCE));
	ev_timer_stop(t->base.loop, &t->look_due);
	ask_cancel(&t->look);
	if (t->phase == PHASE_QUEUED)
		ask_start(
		    &t->look, "/v3/kv/range", wire_get_prefix(t->view.prefix), until, on_view, t);
	else
		ask_start(
		    &t->look, "/v3/kv/range", wire_get(t->view.own_key), MSEC_NEVER, on_own_key, t);
}
