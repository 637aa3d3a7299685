/*
 * Keeping a lease: scripts for each rule of lease.h, and random play against a server whose lease
 * truly lives and dies, through a network that delays and loses, by a client that gets suspended.
 *
 * A failure of the random play prints its seed; see dice.h for playing it again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coord/lease.h"
#include "dice.h"

#define TTL 15000
#define MARGIN 3000 /* of that TTL */
#define T0 1000000

/* ---- Scripts ---- */

static struct lease fresh_lease(msec ttl)
{
	struct lease l;

	lease_init(&l, ttl, T0, 7);
	lease_rely(&l);
	return l;
}

/* Lets the renewal that is due go out, and returns when that was. */
static msec send_renewal(struct lease *l)
{
	msec at = lease_deadline(l);

	assert_int_equal(lease_tick(l, at), LEASE_RENEW);
	return at;
}

static void assert_lost_at(struct lease *l, msec at)
{
	assert_int_equal(lease_tick(l, at - 1), LEASE_NOTHING);
	assert_int_equal(lease_deadline(l), at);
	assert_int_equal(lease_tick(l, at), LEASE_LOST);
	assert_int_equal(lease_tick(l, at), LEASE_NOTHING);
	assert_int_equal(lease_deadline(l), MSEC_NEVER);
}

static void renews_at_a_third(void **state)
{
	struct lease l = fresh_lease(TTL);

	(void)state;
	assert_int_equal(lease_end(&l), T0 + TTL);
	for (int i = 0; i < 100; i++) {
		msec before = l.sent;
		msec at = send_renewal(&l);

		assert_in_range(at - before, TTL / 3 - TTL / 30, TTL / 3);
		assert_int_equal(lease_tick(&l, at + 1), LEASE_NOTHING); /* one at a time */
		lease_renewed(&l, TTL);
		assert_int_equal(lease_end(&l), at + TTL);
	}
}

static void jitter_spreads(void **state)
{
	struct lease a, b;

	(void)state;
	lease_init(&a, TTL, T0, 1);
	lease_init(&b, TTL, T0, 99991);
	assert_int_not_equal(lease_deadline(&a), lease_deadline(&b));
}

static void counts_from_sending(void **state)
{
	struct lease l = fresh_lease(TTL);
	msec sent = send_renewal(&l);

	(void)state;
	assert_int_equal(lease_tick(&l, sent + 4000), LEASE_NOTHING);
	lease_renewed(&l, TTL); /* 4 s later */
	assert_int_equal(lease_end(&l), sent + TTL);
}

/* The answer to the first attempt is lost, that to the second says from when it counts. */
static void counts_the_attempt_that_was_answered(void **state)
{
	struct lease l = fresh_lease(TTL);
	msec first = send_renewal(&l);

	(void)state;
	assert_int_equal(lease_attempt_until(&l), first + 1000);
	lease_failed(&l, first + 1000);
	assert_int_equal(lease_end(&l), T0 + TTL);
	assert_int_equal(lease_tick(&l, first + 1000), LEASE_RENEW);
	lease_renewed(&l, TTL);
	assert_int_equal(lease_end(&l), first + 1000 + TTL);
}

static void slow_replies_do_no_harm(void **state)
{
	struct lease l = fresh_lease(TTL);

	(void)state;
	for (int i = 0; i < 50; i++) {
		msec at = send_renewal(&l);

		assert_int_equal(lease_tick(&l, at + 6000), LEASE_NOTHING);
		lease_renewed(&l, TTL);
		/* The next one is overdue, and goes out at once. */
		assert_int_equal(lease_tick(&l, at + 6000), LEASE_RENEW);
		lease_renewed(&l, TTL);
		assert_int_equal(lease_end(&l), at + 6000 + TTL);
	}
}

static void a_reply_after_the_loss_changes_nothing(void **state)
{
	struct lease l = fresh_lease(TTL);

	(void)state;
	send_renewal(&l);
	assert_lost_at(&l, T0 + TTL - MARGIN);
	lease_renewed(&l, TTL);
	assert_true(l.lost);
	assert_int_equal(lease_end(&l), T0 + TTL);
	assert_int_equal(lease_tick(&l, T0 + TTL), LEASE_NOTHING);
	assert_int_equal(lease_deadline(&l), MSEC_NEVER);
	assert_false(lease_is_fresh(&l, T0 + TTL - MARGIN));
}

static void suspended_beyond_the_end(void **state)
{
	struct lease l = fresh_lease(TTL);

	(void)state;
	assert_true(lease_is_fresh(&l, T0 + 1));
	assert_false(lease_is_fresh(&l, T0 + 60000));
	assert_int_equal(lease_tick(&l, T0 + 60000), LEASE_LOST);
	assert_true(lease_kill_by(&l) < T0 + 60000);
}

/* Asleep for so long that the renewal's answer is worth nothing when it is read. */
static void suspended_with_a_renewal_under_way(void **state)
{
	struct lease l = fresh_lease(TTL);
	msec sent = send_renewal(&l);

	(void)state;
	lease_renewed(&l, TTL);
	assert_false(lease_is_fresh(&l, sent + TTL - MARGIN));
	assert_int_equal(lease_tick(&l, sent + TTL - MARGIN), LEASE_LOST);
}

static void server_says_gone(void **state)
{
	struct lease l = fresh_lease(TTL);

	(void)state;
	send_renewal(&l);
	assert_int_equal(lease_gone(&l), LEASE_LOST);
	assert_int_equal(lease_end(&l), 0);
	assert_int_equal(lease_kill_by(&l), 0);
	assert_int_equal(lease_tick(&l, T0 + TTL), LEASE_NOTHING);
	assert_int_equal(lease_deadline(&l), MSEC_NEVER);
}

/* It was told already; but nothing is left of the time that was told with it. */
static void gone_after_lost(void **state)
{
	struct lease l = fresh_lease(TTL);

	(void)state;
	send_renewal(&l);
	assert_lost_at(&l, T0 + TTL - MARGIN);
	assert_int_equal(lease_gone(&l), LEASE_NOTHING);
	assert_int_equal(lease_kill_by(&l), 0);
}

static void another_ttl_counts(void **state)
{
	struct lease l = fresh_lease(TTL);
	msec sent = send_renewal(&l);

	(void)state;
	lease_renewed(&l, 5000);
	assert_int_equal(lease_end(&l), sent + 5000); /* also when that is earlier than before */
	assert_in_range(lease_deadline(&l) - sent, 1500, 1667);
	send_renewal(&l);
	assert_lost_at(&l, sent + 5000 - 1000); /* and so does its margin */
}

/* No etcd says so; who believed it would not renew in time what nobody else keeps. */
static void more_than_was_granted_does_not(void **state)
{
	struct lease l = fresh_lease(TTL);
	msec sent = send_renewal(&l);

	(void)state;
	lease_renewed(&l, 24 * 3600 * 1000);
	assert_int_equal(lease_end(&l), sent + TTL);
	assert_in_range(lease_deadline(&l) - sent, TTL / 3 - TTL / 30, TTL / 3);
	/* What was less for once may be again what was granted, and no more. */
	sent = send_renewal(&l);
	lease_renewed(&l, 5000);
	assert_int_equal(lease_end(&l), sent + 5000);
	sent = send_renewal(&l);
	lease_renewed(&l, TTL + 1);
	assert_int_equal(lease_end(&l), sent + TTL);
	send_renewal(&l);
	assert_lost_at(&l, sent + TTL - MARGIN);
}

static void margins(void **state)
{
	static const struct {
		msec ttl, margin;
	} cases[] = { { 1000, 500 }, { 2000, 1000 }, { 5000, 1000 }, { 15000, 3000 },
		{ 3600000, 720000 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lease l = fresh_lease(cases[i].ttl);
		msec lost_at = T0 + cases[i].ttl - cases[i].margin;

		send_renewal(&l);
		assert_lost_at(&l, lost_at);
		/* Time to stop, and time to be dead. */
		assert_true(lease_kill_by(&l) > lost_at);
		assert_int_equal(lease_end(&l) - lease_kill_by(&l), cases[i].margin / 4);
	}
}

static void fails_over_at_once_and_then_pauses(void **state)
{
	struct lease l = fresh_lease(TTL);
	msec at = send_renewal(&l);

	(void)state;
	lease_failed(&l, at);
	assert_int_equal(lease_deadline(&l), at);
	assert_int_equal(send_renewal(&l), at);
	lease_failed(&l, at);
	assert_in_range(lease_deadline(&l) - at, 750, 1250);
	at = send_renewal(&l);
	lease_renewed(&l, TTL);
	assert_in_range(lease_deadline(&l) - at, TTL / 3 - TTL / 30, TTL / 3);
	/* Forgotten: the next failure is a first one again. */
	at = send_renewal(&l);
	lease_failed(&l, at);
	assert_int_equal(lease_deadline(&l), at);
}

/* All endpoints refuse: never in a hot loop, and lost when it is time. */
static void endless_failures(void **state)
{
	static const msec ttls[] = { 1000, 2000, 5000, 15000, 600000 };

	(void)state;
	for (size_t i = 0; i < sizeof(ttls) / sizeof(ttls[0]); i++) {
		struct lease l = fresh_lease(ttls[i]);
		enum lease_action action;
		msec now = T0;
		int sent = 0;

		do {
			msec at = lease_deadline(&l);

			assert_true(at > now || sent <= 1);
			now = at;
			action = lease_tick(&l, now);
			assert_int_not_equal(action, LEASE_NOTHING);
			if (action == LEASE_RENEW) {
				sent++;
				lease_failed(&l, now);
			}
		} while (action != LEASE_LOST);
		assert_in_range(sent, 2, 2 + ttls[i] / 75);
		assert_true(now < lease_kill_by(&l));
	}
}

/* Nobody relies on it: a place in a queue is not given up because etcd is away. */
static void tried_until_it_is_gone(void **state)
{
	struct lease l;
	msec at;

	(void)state;
	lease_init(&l, TTL, T0, 7);
	at = send_renewal(&l);
	for (int i = 0; i < 100; i++) {
		lease_failed(&l, at + 1000);
		at = send_renewal(&l);
	}
	assert_true(at > T0 + 3 * TTL);
	assert_false(lease_is_fresh(&l, at));
	lease_renewed(&l, TTL);
	assert_int_equal(lease_end(&l), at + TTL);
	assert_true(lease_is_fresh(&l, at));
	lease_rely(&l);
	assert_int_equal(lease_tick(&l, at + TTL - MARGIN), LEASE_LOST);
}

/* The same, but the server does not know it any more. */
static void gone_before_anybody_relied_on_it(void **state)
{
	struct lease l;

	(void)state;
	lease_init(&l, TTL, T0, 7);
	send_renewal(&l);
	assert_int_equal(lease_gone(&l), LEASE_LOST);
	assert_int_equal(lease_deadline(&l), MSEC_NEVER);
}

static void freshness(void **state)
{
	struct lease l = fresh_lease(TTL);
	msec sent;

	(void)state;
	assert_true(lease_is_fresh(&l, T0 + TTL / 2 - 1));
	assert_false(lease_is_fresh(&l, T0 + TTL / 2));
	sent = send_renewal(&l);
	lease_failed(&l, sent + 1000);
	assert_false(lease_is_fresh(&l, T0 + TTL / 2));
	sent = send_renewal(&l);
	lease_renewed(&l, TTL);
	assert_true(lease_is_fresh(&l, sent + TTL / 2 - 1));
}

/* ---- Random play ---- */

#define MESSAGES_MAX 64
#define LEASES 30000

/* On its way to the server, or back. */
struct message {
	msec at;
	msec sent; /* names the renewal */
	bool reply;
	msec ttl; /* of a reply; 0: the lease is gone */
};

struct world {
	uint64_t seed;
	struct dice dice;
	struct lease lease;
	msec now;
	msec awake_at; /* the client does nothing before */
	msec ttl;
	msec true_end;
	bool true_gone;
	int loss;     /* percent of messages */
	bool gentle;  /* never two attempts in a row */
	msec latency; /* at most, one way */
	msec outage_until;
	int losses_told;
	int renewals;
	struct message messages[MESSAGES_MAX];
	size_t n;
};

static void demand(const struct world *w, bool holds, const char *rule)
{
	if (!holds)
		fail_msg("broken at %lld: %s\nplay it again: GRACEFUL_TEST_SEED=%llu "
			 "GRACEFUL_TEST_RUNS=1",
		    (long long)w->now, rule, (unsigned long long)w->seed);
}

static void post(struct world *w, struct message m)
{
	if (w->now < w->outage_until)
		return;
	if (dice_chance(&w->dice, w->loss) && !(w->gentle && w->lease.failures > 0))
		return;
	demand(w, w->n < MESSAGES_MAX, "the model has room");
	m.at = w->now + dice_roll(&w->dice, w->latency + 1);
	w->messages[w->n++] = m;
}

/* Times at the server: it lets a lease live at least as long as it said. */
static void serve(struct world *w, const struct message *m)
{
	struct message reply = { .sent = m->sent, .reply = true };

	if (w->now >= w->true_end && dice_chance(&w->dice, 50))
		w->true_gone = true;
	if (!w->true_gone) {
		w->true_end = w->now + w->ttl;
		reply.ttl = w->ttl;
	}
	post(w, reply);
}

static void told_lost(struct world *w)
{
	demand(w, ++w->losses_told == 1, "lost is told once");
}

static void take_reply(struct world *w, const struct message *m)
{
	if (!w->lease.renewing || m->sent != w->lease.sent)
		return; /* of an attempt that was given up */
	if (m->ttl > 0)
		lease_renewed(&w->lease, m->ttl);
	else if (lease_gone(&w->lease) == LEASE_LOST)
		told_lost(w);
}

static void tick(struct world *w)
{
	msec planned = lease_deadline(&w->lease);

	switch (lease_tick(&w->lease, w->now)) {
	case LEASE_NOTHING: demand(w, lease_deadline(&w->lease) > w->now, "no hot loop"); break;
	case LEASE_RENEW:
		w->renewals++;
		post(w, (struct message){ .sent = w->now });
		break;
	case LEASE_LOST:
		told_lost(w);
		demand(w, w->now >= planned, "not lost before its time");
		if (w->now == planned)
			demand(w, lease_kill_by(&w->lease) > w->now, "time to stop");
		break;
	}
}

static void deliver(struct world *w)
{
	for (size_t i = 0; i < w->n;) {
		struct message m = w->messages[i];

		if (m.at > w->now || (m.reply && w->now < w->awake_at)) {
			i++;
			continue;
		}
		w->messages[i] = w->messages[--w->n];
		if (m.reply)
			take_reply(w, &m);
		else
			serve(w, &m);
	}
}

/* The loop of a client that is awake: replies, time-outs and the tick, in any order. */
static void live(struct world *w)
{
	struct lease *l = &w->lease;

	if (w->now < w->awake_at)
		return;
	if (l->renewing && !l->lost && w->now >= lease_attempt_until(l))
		lease_failed(l, w->now);
	if (w->now >= lease_deadline(l))
		tick(w);
}

static void disturb(struct world *w)
{
	if (dice_chance(&w->dice, 2))
		w->awake_at = w->now + dice_roll(&w->dice, 2 * w->ttl);
	if (dice_chance(&w->dice, 2))
		w->outage_until = w->now + dice_roll(&w->dice, w->ttl);
	if (dice_chance(&w->dice, 2))
		w->true_end += dice_roll(&w->dice, w->ttl); /* a new leader */
}

static msec next_moment(struct world *w)
{
	const struct lease *l = &w->lease;
	msec at = lease_deadline(l);

	if (l->renewing && !l->lost)
		at = msec_min(at, lease_attempt_until(l));
	if (at < w->awake_at)
		at = w->awake_at;
	for (size_t i = 0; i < w->n; i++)
		at = msec_min(at, w->messages[i].at);
	return at > w->now ? at : w->now + 1;
}

static void begin(struct world *w, uint64_t seed)
{
	static const msec ttls[] = { 1000, 2000, 5000, 15000, 60000 };

	*w = (struct world){ .seed = seed, .dice = { seed }, .now = T0 };
	w->ttl = ttls[dice_roll(&w->dice, 5)];
	/* The server got the request for the lease some time after it was sent. */
	w->true_end = T0 + dice_roll(&w->dice, 500) + w->ttl;
	lease_init(&w->lease, w->ttl, T0, seed);
	lease_rely(&w->lease);
}

static void check(const struct world *w)
{
	const struct lease *l = &w->lease;

	demand(w, lease_end(l) <= w->true_end, "never held beyond its true end");
	demand(w, lease_kill_by(l) <= lease_end(l), "dead before the end");
	demand(w, !lease_is_fresh(l, w->now) || w->now < w->true_end, "fresh is alive");
}

static uint64_t losses;

static void play_lossy(uint64_t seed)
{
	struct world w;

	begin(&w, seed);
	w.loss = (int)dice_roll(&w.dice, 60);
	w.latency = dice_roll(&w.dice, w.ttl / 2);
	for (int step = 0; step < 2000 && !(w.lease.lost && w.n == 0); step++) {
		w.now = next_moment(&w);
		deliver(&w);
		live(&w);
		disturb(&w);
		check(&w);
	}
	losses += (uint64_t)w.losses_told;
	demand(&w, w.lease.lost == (w.losses_told == 1), "a loss is told");
}

static void random_play(void **state)
{
	uint64_t runs = dice_play(LEASES, play_lossy);

	(void)state;
	/* The play is about both: leases that live and leases that are lost. */
	assert_true(runs < 100 || (losses > runs / 10 && losses < runs));
}

static void play_gentle(uint64_t seed)
{
	struct world w;

	begin(&w, seed);
	if (w.ttl < 5000)
		return; /* too short for an attempt to be lost */
	w.latency = 90;
	w.loss = 30;
	w.gentle = true;
	while (w.now < T0 + 100 * w.ttl) {
		w.now = next_moment(&w);
		deliver(&w);
		live(&w);
		check(&w);
		demand(&w, w.losses_told == 0, "never lost");
	}
	demand(&w, w.renewals < 100 * 8, "few renewals");
}

/* Messages are lost, but never those of two attempts in a row: it lives for ever. */
static void reachable_server(void **state)
{
	(void)state;
	dice_play(300, play_gentle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(renews_at_a_third),
		cmocka_unit_test(jitter_spreads),
		cmocka_unit_test(counts_from_sending),
		cmocka_unit_test(counts_the_attempt_that_was_answered),
		cmocka_unit_test(slow_replies_do_no_harm),
		cmocka_unit_test(a_reply_after_the_loss_changes_nothing),
		cmocka_unit_test(suspended_beyond_the_end),
		cmocka_unit_test(suspended_with_a_renewal_under_way),
		cmocka_unit_test(server_says_gone),
		cmocka_unit_test(gone_after_lost),
		cmocka_unit_test(another_ttl_counts),
		cmocka_unit_test(more_than_was_granted_does_not),
		cmocka_unit_test(margins),
		cmocka_unit_test(fails_over_at_once_and_then_pauses),
		cmocka_unit_test(endless_failures),
		cmocka_unit_test(tried_until_it_is_gone),
		cmocka_unit_test(gone_before_anybody_relied_on_it),
		cmocka_unit_test(freshness),
		cmocka_unit_test(random_play),
		cmocka_unit_test(reachable_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
