#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/etcd_impl.h"
#include "coord/etcd_wire.h"

/* So often a record that somebody else put there is overwritten by one commit. */
#define CLASHES_MAX 5
/* Between two looks at what became of a commit (seconds), when etcd refuses to tell. */
#define BACK_PAUSE 0.5

/* ---- The announcement ---- */

/* etcd does not take it: no reason to end a job that runs already. Its note will not be taken. */
static void announcement_failed(struct etcd *t, const struct err *e)
{
	struct err why = *e;

	if (t->announced)
		return;
	err_add(&why, "cannot write %s", t->view.owner_key);
	etcd_lose(t, 0, &why);
}

static void on_announced(void *ctx, const struct etcd_answer *answer)
{
	struct etcd *t = ctx;
	struct err e = answer->e;
	bool succeeded;

	t->note_due = false;
	if (answer->code != ETCD_OK || wire_read_succeeded(answer->body, &succeeded, &e) != 0) {
		announcement_failed(t, &e);
	} else if (!succeeded) {
		etcd_own_key_gone(t);
	} else if (!t->announced) {
		t->announced = true;
		t->base.hooks.announced(t->base.ctx);
	}
}

static void announce(struct etcd *t)
{
	ask_start(&t->announcement, "/v3/kv/txn",
	    wire_put_owned(t->view.own_key, t->epoch, t->view.owner_key, t->number), MSEC_NEVER,
	    on_announced, t);
}

/*
 * Before the job, or behind its start: etcd_impl.h says when. The owner that is adopted did it
 * likewise; and it may have died before it had landed, which harms nobody. If the number is that of
 * an owner before it, it had to wait with its job.
 */
void etcd_announce(struct etcd *t)
{
	snprintf(t->number, sizeof(t->number), "%ju", (uintmax_t)t->epoch);
	t->note_due = t->predecessor == 0 || !t->adopting;
	t->announced = t->predecessor == 0 || (t->adopting && t->predecessor == t->epoch);
	if (!t->announced && !t->adopting)
		announce(t);
}

void etcd_announce_late(struct etcd *t)
{
	if (t->predecessor == 0 && !t->adopting)
		announce(t);
}

struct owner_change etcd_owner_change(const struct etcd *t, bool left_nothing)
{
	if (left_nothing)
		return (struct owner_change){ t->view.owner_key, NULL };
	if (t->started && t->note_due)
		return (struct owner_change){ t->view.owner_key, t->number };
	return (struct owner_change){ NULL, NULL };
}

/* ---- Commits ---- */

static void finish(struct etcd *t, enum coord_result result, const struct err *e)
{
	bool released = result == COORD_OK && t->release;
	struct err why; /* the hook's, also if it closes the coord */

	if (e != NULL)
		t->err = *e;
	why = t->err;
	free(t->text);
	t->text = NULL;
	ev_timer_stop(t->base.loop, &t->away_due);
	t->phase = t->doubt ? PHASE_DOUBT : PHASE_OWNER;
	if (released)
		t->aside_until = msec_add(clock_now(), ETCD_ASIDE);
	if (released || result == COORD_LOST) {
		etcd_rest(t);
		t->phase = PHASE_GONE;
	}
	if (t->phase == PHASE_OWNER && t->leave_wanted)
		etcd_release(t);
	else if (t->phase == PHASE_OWNER && t->release && t->watch == NULL)
		etcd_look(t);
	else if (t->phase == PHASE_DOUBT && t->leave_wanted)
		etcd_leave(t);
	t->base.hooks.committed(t->base.ctx, result, result == COORD_OK ? NULL : &why);
}

static void send(struct etcd *t);

static bool is_ours(const struct etcd *t, const struct wire_kv *state)
{
	return state->value_len == strlen(t->text) &&
	       memcmp(state->value, t->text, state->value_len) == 0;
}

/*
 * The next owner has begun from it, and committed before we could read back. Of the owners behind
 * that one the record knows nothing of us any more.
 */
static bool is_after_ours(const struct etcd *t, const struct wire_kv *state)
{
	struct record r;
	struct err e;
	bool is;

	if (record_decode(state->value, state->value_len, &r, &e) != 0)
		return false;
	is = r.after.epoch == t->trace.epoch && r.after.seq == t->trace.seq &&
	     r.after.clean == t->trace.clean;
	record_clear(&r);
	return is;
}

/*
 * What etcd has says what became of the transaction. Either an attempt did all, and its answer was
 * lost; or the lock is not ours any more; or nothing came of it. Where somebody else edited the
 * record it never will, as it asked for the one before: so it is made again. Where not even that
 * happened, the last attempt was refused; one before it may still be on its way through the
 * cluster.
 */
static void decide(struct etcd *t, const struct wire_kv *lock, const struct wire_kv *state)
{
	struct err e;

	if (state->value != NULL && (is_ours(t, state) || is_after_ours(t, state))) {
		t->view.state_mod = state->mod_revision;
		finish(t, COORD_OK, NULL);
	} else if (lock->key == NULL || lock->create_revision != t->epoch) {
		err_set(&e, "%s is gone: its lease ended, or somebody deleted it", t->view.own_key);
		finish(t, COORD_LOST, &e);
	} else if (t->unsure && state->mod_revision == t->view.state_mod) {
		finish(t, COORD_UNSURE, NULL);
	} else if (++t->clashes <= CLASHES_MAX) {
		t->view.state_mod = state->mod_revision;
		send(t);
	} else {
		err_set(&e, "something else keeps writing %s", t->view.state_key);
		finish(t, COORD_FAILED, &e);
	}
}

static int read_back(struct etcd *t, json_t *body, struct err *e)
{
	struct wire_kv lock, state;

	if (wire_read_txn_kv(body, 0, &lock, e) < 0)
		return -1;
	if (wire_read_txn_kv(body, 1, &state, e) < 0) {
		wire_kv_clear(&lock);
		return -1;
	}
	decide(t, &lock, &state);
	wire_kv_clear(&lock);
	wire_kv_clear(&state);
	return 0;
}

/*
 * Refused as well: a paced commit is answered, so that the failure is told and the next one tried.
 * With a release there is nothing else to do; who waits for that has a deadline.
 */
static void on_looked_back(void *ctx, const struct etcd_answer *answer)
{
	struct etcd *t = ctx;
	struct err e;

	if (answer->code == ETCD_OK && read_back(t, answer->body, &e) == 0)
		return;
	if (!t->release && !etcd_is_passing(answer)) {
		finish(t, COORD_UNSURE, NULL);
		return;
	}
	ev_timer_set(&t->back_due, BACK_PAUSE, 0.);
	ev_timer_start(t->base.loop, &t->back_due);
}

void etcd_look_back(struct etcd *t)
{
	const char *keys[] = { t->view.own_key, t->view.state_key };

	ask_start(&t->step, "/v3/kv/txn", wire_get_all(keys, 2), MSEC_NEVER, on_looked_back, t);
}

/*
 * A refusal is an outcome only if no attempt before it may have been carried out, and a yes that
 * cannot be understood is none either. Otherwise it is what etcd has that decides, as it is read in
 * the order of all that was carried out before.
 */
static void not_committed(struct etcd *t, const struct etcd_answer *answer, const struct err *e)
{
	t->unsure = t->step.unsure || answer->unknown || answer->code == ETCD_OK;
	if (!t->unsure) {
		finish(t, COORD_FAILED, e);
		return;
	}
	t->err = *e;
	etcd_look_back(t);
}

/* -1: the answer is nonsense. Otherwise it led to an end, or to a look at the reason. */
static int read_outcome(struct etcd *t, json_t *body, struct err *e)
{
	uint64_t revision;
	bool succeeded;

	if (wire_read_succeeded(body, &succeeded, e) != 0 ||
	    wire_read_revision(body, &revision, e) != 0)
		return -1;
	if (succeeded) {
		t->view.state_mod = revision;
		finish(t, COORD_OK, NULL);
	} else {
		err_set(&t->err, "it was refused, and etcd does not tell why");
		etcd_look_back(t);
	}
	return 0;
}

static void on_committed(void *ctx, const struct etcd_answer *answer)
{
	struct etcd *t = ctx;
	struct err e = answer->e;

	if (answer->code != ETCD_OK || read_outcome(t, answer->body, &e) != 0)
		not_committed(t, answer, &e);
}

/*
 * Until its outcome is known, however long that takes: etcd tells whether the lock is ours. When
 * the record is not clean, the job may have left a newer state here.
 */
static void send(struct etcd *t)
{
	struct owner_change owner = etcd_owner_change(t, t->trace.clean);

	t->unsure = false;
	ask_start(&t->step, "/v3/kv/txn",
	    wire_commit(t->view.own_key, t->epoch, t->view.state_key, t->view.state_mod, t->text,
		t->release, owner.key, owner.value),
	    MSEC_NEVER, on_committed, t);
}

static void answer_no_text(struct etcd *t)
{
	struct err e = t->err;

	finish(t, COORD_FAILED, &e);
}

/* A backup was on its way when the loss was told. */
static void answer_too_late(struct etcd *t)
{
	struct err why = t->err;

	t->base.hooks.committed(t->base.ctx, COORD_FAILED, &why);
}

void etcd_commit(struct coord *c, const struct record *record, bool release)
{
	struct etcd *t = (struct etcd *)c;

	if (t->phase == PHASE_GONE) {
		etcd_post(t, answer_too_late);
		return;
	}
	assert(t->phase == PHASE_OWNER || t->phase == PHASE_DOUBT);
	assert((t->announced || t->adopting) && record->epoch == t->epoch);
	t->phase = PHASE_COMMITTING;
	t->release = release;
	t->clashes = 0;
	t->trace = (struct record_trace){ record->epoch, record->seq, record->clean };
	/* Its own key's end is no news then, and would be told at the very moment when etcd has the
	 * next owner to tell of it. Behind the request, which etcd can begin with meanwhile. */
	if (release)
		ev_timer_start(t->base.loop, &t->away_due);
	t->text = record_encode(record, &t->err);
	if (t->text != NULL)
		send(t);
	else
		etcd_post(t, answer_no_text);
}

/* ---- The lock is lost ---- */

void etcd_tell_loss(struct etcd *t)
{
	struct err why = t->err;

	t->base.hooks.lost(t->base.ctx, t->until, &why);
}

static void tell_loss_next(struct etcd *t)
{
	ev_timer_set(&t->loss, 0., 0.);
	ev_timer_start(t->base.loop, &t->loss);
}

/*
 * By the clock, as nobody answers: the job has to end. But the key may be there when etcd is back,
 * and commits are conditional on it. One that is under way goes on.
 */
static void fall_into_doubt(struct etcd *t, msec until, const struct err *e)
{
	struct err why = *e;

	t->doubt = true;
	etcd_unwatch(t);
	if (t->phase == PHASE_OWNER) {
		etcd_rest(t);
		t->phase = PHASE_DOUBT;
	}
	t->base.hooks.lost(t->base.ctx, until, &why);
}

/* A release that is under way, also of a place in the queue. */
static bool is_releasing(struct etcd *t)
{
	return (t->phase == PHASE_RELEASING && ask_is_busy(&t->step)) ||
	       (t->phase == PHASE_LEAVING && keeper_is_parting(&t->keeper));
}

/* What is under way gives the lock up: its outcome tells whether that was in time. */
static bool is_ending(struct etcd *t)
{
	return t->phase == PHASE_COMMITTING ? t->release : is_releasing(t);
}

/* What is under way is answered first. */
void etcd_lose(struct etcd *t, msec until, const struct err *e)
{
	enum etcd_phase phase = t->phase;
	bool releasing = is_releasing(t);
	struct err why = *e;

	/* By this very request, maybe, whose answer was lost: it is asked for again. */
	if (until == 0 && is_ending(t))
		return;
	if (until != 0 && t->announced && (phase == PHASE_OWNER || phase == PHASE_COMMITTING)) {
		fall_into_doubt(t, until, e);
		return;
	}
	t->until = until;
	t->err = why;
	etcd_rest(t);
	t->phase = PHASE_GONE;
	if (phase == PHASE_COMMITTING) {
		tell_loss_next(t);
		t->base.hooks.committed(t->base.ctx, COORD_UNSURE, &why);
	} else if (releasing) {
		tell_loss_next(t);
		t->base.hooks.released(t->base.ctx, COORD_FAILED, &why);
	} else {
		t->base.hooks.lost(t->base.ctx, until, &why);
	}
}

void etcd_own_key_gone(struct etcd *t)
{
	struct err e;

	err_set(&e, "%s is gone: its lease ended, or somebody deleted it", t->view.own_key);
	etcd_lose(t, 0, &e);
}
