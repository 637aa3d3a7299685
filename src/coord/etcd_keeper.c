#include "coord/etcd_keeper.h"

#include <assert.h>
#include <bsd/stdlib.h>
#include <inttypes.h>
#include <string.h>

#include "coord/etcd_wire.h"

/*
 * etcd grants more than it was asked for, if that is less than one and a half of its election
 * time-outs; and that time-out it takes up to 50 s.
 */
#define TTL_RAISED_MAX 75000

static void rearm(struct keeper *k)
{
	alarm_set(&k->alarm, k->held ? lease_deadline(&k->lease) : MSEC_NEVER);
}

static void stop_renewing(struct keeper *k)
{
	if (k->renewal != NULL)
		etcd_cancel(k->renewal);
	k->renewal = NULL;
	alarm_set(&k->alarm, MSEC_NEVER);
}

/* What is told if the next renewals get no answer at all. */
static void expect_answers(struct keeper *k)
{
	err_set(&k->why, "no answer from etcd, or this process was suspended");
}

static void lose(struct keeper *k)
{
	struct err e = k->why;

	stop_renewing(k);
	k->hooks->lost(k->ctx, &e);
}

/* What of an answer is believed. Less than what is true is always safe. */
static msec to_msec(const struct keeper *k, int64_t seconds)
{
	msec most = k->asked > TTL_RAISED_MAX ? k->asked : TTL_RAISED_MAX;

	return seconds < most / 1000 ? seconds * 1000 : most;
}

/* How long the lease lives from when that was asked; 0: it is gone; -1 with why: not known. */
static msec read_keepalive(
    const struct keeper *k, const struct etcd_answer *answer, struct err *why)
{
	struct wire_lease lease;

	if (answer->code == ETCD_NOT_FOUND) {
		*why = answer->e;
		return 0;
	}
	if (answer->code != ETCD_OK) {
		*why = answer->e;
		return -1;
	}
	if (wire_read_keepalive(answer->body, &lease, why) != 0)
		return -1;
	if (lease.id != k->id)
		return err_set(why, "etcd's answer is about another lease than the one asked for");
	if (lease.ttl <= 0)
		err_set(why, "etcd does not know the lease any more: it ran out or was revoked");
	return to_msec(k, lease.ttl);
}

/* While the lease is being given back, its end is what is wanted. */
static void note_gone(struct keeper *k)
{
	enum lease_action action = lease_gone(&k->lease);

	if (action == LEASE_LOST && !(keeper_is_parting(k) && k->id == k->parting_id))
		lose(k);
}

static enum etcd_code why_not(const struct etcd_answer *answer, msec ttl)
{
	if (ttl == 0)
		return ETCD_NOT_FOUND;
	return answer->code == ETCD_OK ? ETCD_GARBAGE : answer->code;
}

static void waver(struct keeper *k, enum etcd_code code)
{
	struct err e = k->why;

	k->hooks->wavering(k->ctx, code, &e);
}

static void on_renewal(void *ctx, const struct etcd_answer *answer)
{
	struct keeper *k = ctx;
	msec ttl = read_keepalive(k, answer, &k->why);

	k->renewal = NULL;
	if (ttl == 0) {
		note_gone(k);
	} else if (ttl < 0) {
		lease_failed(&k->lease, clock_now());
		rearm(k);
		/* After a suspend there may be no time left to try on: then it is lost. */
		if (k->lease.failures == 1 && !lease_is_over(&k->lease, clock_now()))
			waver(k, why_not(answer, ttl));
	} else {
		lease_renewed(&k->lease, ttl);
		expect_answers(k);
		rearm(k);
		k->hooks->renewed(k->ctx);
	}
}

static void renew(struct keeper *k)
{
	json_t *body = wire_lease_id(k->id);

	if (body != NULL)
		k->renewal = etcd_call(k->client, "/v3/lease/keepalive", body,
		    lease_attempt_until(&k->lease), true, on_renewal, k, &k->why);
	else
		err_set(&k->why, "out of memory");
	json_decref(body);
	if (k->renewal == NULL)
		lease_failed(&k->lease, clock_now());
}

static void on_alarm(void *ctx)
{
	struct keeper *k = ctx;

	switch (lease_tick(&k->lease, clock_now())) {
	case LEASE_NOTHING: break;
	case LEASE_RENEW: renew(k); break;
	case LEASE_LOST:
		err_add(&k->why, "the lease could not be renewed in time");
		lose(k);
		return;
	}
	rearm(k);
}

static void on_silence(void *ctx, const struct etcd_answer *last)
{
	struct keeper *k = ctx;
	struct err e = last->e;

	k->hooks->wavering(k->ctx, last->code, &e);
}

static void on_parting_silence(void *ctx, const struct etcd_answer *last)
{
	struct keeper *k = ctx;

	if (k->parted != NULL)
		on_silence(k, last);
}

int keeper_open(struct keeper *k, struct ev_loop *loop, struct etcd_client *client,
    const struct keeper_hooks *hooks, void *ctx, struct err *e)
{
	memset(k, 0, sizeof(*k));
	k->loop = loop;
	k->client = client;
	k->hooks = hooks;
	k->ctx = ctx;
	ask_init(&k->asking, loop, client);
	ask_when_silent(&k->asking, on_silence);
	ask_init(&k->parting, loop, client);
	ask_when_silent(&k->parting, on_parting_silence);
	burials_init(&k->burials, loop, client);
	return alarm_open(&k->alarm, loop, on_alarm, k, e);
}

void keeper_drop(struct keeper *k)
{
	ask_cancel(&k->asking);
	stop_renewing(k);
	k->held = false;
	k->doubtful = false;
	k->id = 0;
}

void keeper_close(struct keeper *k)
{
	keeper_drop(k);
	ask_cancel(&k->parting);
	burials_close(&k->burials);
	alarm_close(&k->alarm);
}

static void hold(struct keeper *k, msec ttl)
{
	uint64_t seed;

	/* Only for jitter: any seed that differs from the neighbour's will do. */
	arc4random_buf(&seed, sizeof(seed));
	lease_init(&k->lease, ttl, k->asking.sent, seed);
	expect_answers(k);
	k->held = true;
	k->doubtful = false;
	rearm(k);
	k->hooks->ready(k->ctx);
}

static void on_adopted(void *ctx, const struct etcd_answer *answer)
{
	struct keeper *k = ctx;
	struct err e;
	msec ttl = read_keepalive(k, answer, &e);

	if (ttl > 0) {
		hold(k, ttl);
		return;
	}
	if (ttl == 0 && !k->doubtful) {
		k->hooks->lost(k->ctx, &e);
		return;
	}
	if (ttl == 0)
		keeper_drop(k);
	k->hooks->refused(k->ctx, why_not(answer, ttl), &e);
}

uint64_t keeper_choose_id(void)
{
	uint64_t id;

	do {
		arc4random_buf(&id, sizeof(id));
		id &= INT64_MAX;
	} while (id == 0);
	return id;
}

/* It exists by an attempt that we have had no answer to; a keepalive tells how long it lives. */
static void take_own(struct keeper *k)
{
	ask_start(&k->asking, "/v3/lease/keepalive", wire_lease_id(k->id), k->asking.until,
	    on_adopted, k);
}

static int read_grant(const struct keeper *k, json_t *body, struct wire_lease *lease, struct err *e)
{
	if (wire_read_grant(body, lease, e) != 0)
		return -1;
	if (lease->id != k->id)
		return err_set(e, "etcd has granted another lease than the one asked for");
	return 0;
}

static void on_grant(void *ctx, const struct etcd_answer *answer)
{
	struct keeper *k = ctx;
	struct wire_lease lease;
	struct err e = answer->e;

	k->doubtful |= k->asking.unsure || answer->unknown;
	if (answer->code == ETCD_EXISTS && k->doubtful) {
		take_own(k);
	} else if (answer->code != ETCD_OK) {
		if (!k->doubtful)
			keeper_drop(k);
		k->hooks->refused(k->ctx, answer->code, &e);
	} else if (read_grant(k, answer->body, &lease, &e) != 0) {
		k->doubtful = true;
		k->hooks->refused(k->ctx, ETCD_GARBAGE, &e);
	} else {
		hold(k, to_msec(k, lease.ttl));
	}
}

void keeper_begin(struct keeper *k, msec ttl, msec patience)
{
	uint64_t id = k->doubtful ? k->id : keeper_choose_id();
	bool doubtful = k->doubtful;

	keeper_drop(k);
	k->id = id;
	k->asked = ttl;
	k->doubtful = doubtful;
	ask_start(&k->asking, "/v3/lease/grant", wire_grant(id, ttl / 1000),
	    msec_add(clock_now(), patience), on_grant, k);
}

void keeper_adopt(struct keeper *k, uint64_t id, msec ttl, msec patience)
{
	keeper_drop(k);
	k->id = id;
	k->asked = ttl;
	ask_start(&k->asking, "/v3/lease/keepalive", wire_lease_id(id),
	    msec_add(clock_now(), patience), on_adopted, k);
}

void keeper_inherit(struct keeper *k, uint64_t id)
{
	keeper_drop(k);
	k->id = id;
}

void keeper_rely(struct keeper *k)
{
	if (!k->held)
		return;
	lease_rely(&k->lease);
	rearm(k);
}

bool keeper_is_relied_on(const struct keeper *k)
{
	return k->held && k->lease.relied_on;
}

static void on_revoked(void *ctx, const struct etcd_answer *answer)
{
	struct keeper *k = ctx;
	struct err e = answer->e;
	bool gone = answer->code == ETCD_OK || answer->code == ETCD_NOT_FOUND;

	/* There may be a new one already, when this one was given up in the background. */
	if (gone && k->id == k->parting_id)
		keeper_drop(k);
	if (k->parted != NULL)
		k->parted(k->ctx, gone ? NULL : &e);
}

void keeper_part(struct keeper *k, msec patience, void (*parted)(void *ctx, const struct err *e))
{
	assert(k->id != 0);
	if (keeper_is_parting(k) && k->parting_id != k->id)
		burials_add(&k->burials, k->parting_id, k->parting.until);
	ask_cancel(&k->parting);
	if (parted == NULL)
		stop_renewing(k);
	k->parting_id = k->id;
	k->doubtful = false;
	k->parted = parted;
	ask_start(&k->parting, "/v3/lease/revoke", wire_lease_id(k->id),
	    msec_add(clock_now(), patience), on_revoked, k);
}

void keeper_hurry(struct keeper *k, msec patience)
{
	ask_hurry(&k->asking, msec_add(clock_now(), patience));
	ask_hurry(&k->parting, msec_add(clock_now(), patience));
}

bool keeper_is_parting(struct keeper *k)
{
	return ask_is_busy(&k->parting);
}

bool keeper_is_fresh(const struct keeper *k)
{
	return k->held && lease_is_fresh(&k->lease, clock_now());
}
