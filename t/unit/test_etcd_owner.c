/*
 * The etcd coordinator and a server that answers in an order, or not at all, as a real one does
 * once in a thousand times. It knows one job and one lock, which the first who asks gets at once.
 */
#include "fake_etcd_test.h"

#include <jansson.h>
#include <limits.h>
#include <netinet/in.h>
#include <resolv.h>

#include "coord/coord.h"
#include "coord/etcd_impl.h"
#include "coord_test.h"

static char namespace[] = "/scripted";
static struct ev_loop *loop;
static struct fake_etcd etcd;
static struct job_conf job;
static struct coord *coord;

static unsigned granted, failed, committed, released, lost;
static uint64_t epoch;
static enum coord_result result;

/* What the server does. */
static bool hold_ends;         /* commits and releases are held until the lease is given back */
static bool hold_revokes;      /* these are not answered */
static bool spoil_ranges;      /* they are answered with what is no answer */
static unsigned refuse_ranges; /* so many are refused */
static struct fake_conn *held; /* the one that is held */
static char key[256];          /* of the lock, as it travels; empty: there is none */
static const char *commits; /* what becomes of each attempt, of serve_commit(); "": all succeed */
static const char *looks;   /* the same, of serve_look() */
static char stored[1024];   /* as it travels; empty: there is none */
static unsigned state_mod;
static uint64_t granted_ids[8], revoked[8];
static unsigned grants, revocations, revoked_n, ends, watches;

static void on_granted(void *ctx, uint64_t e, const struct record *record)
{
	(void)ctx;
	(void)record;
	epoch = e;
	granted++;
}

static void on_announced(void *ctx)
{
	(void)ctx;
}

static void on_waiting(void *ctx, const char *holder)
{
	(void)ctx;
	fail_msg("waits for %s", holder);
}

static void on_failed(void *ctx, enum coord_trouble why, const struct err *e)
{
	(void)ctx;
	(void)why;
	(void)e;
	failed++;
}

static void on_freed(void *ctx, const struct record *record)
{
	(void)ctx;
	(void)record;
}

static void on_kept(void *ctx)
{
	(void)ctx;
}

static void on_wavering(void *ctx, enum coord_trouble trouble, const struct err *e)
{
	(void)ctx;
	(void)trouble;
	(void)e;
}

static void on_lost(void *ctx, msec until, const struct err *e)
{
	(void)ctx;
	(void)until;
	(void)e;
	lost++;
}

static void on_committed(void *ctx, enum coord_result how, const struct err *e)
{
	(void)ctx;
	(void)e;
	result = how;
	committed++;
}

static void on_released(void *ctx, enum coord_result how, const struct err *e)
{
	(void)ctx;
	(void)e;
	result = how;
	released++;
}

static const struct coord_hooks hooks = {
	.granted = on_granted,
	.announced = on_announced,
	.waiting = on_waiting,
	.failed = on_failed,
	.freed = on_freed,
	.kept = on_kept,
	.wavering = on_wavering,
	.lost = on_lost,
	.committed = on_committed,
	.released = on_released,
};

/* ---- The server ---- */

static void done(struct fake_conn *c)
{
	fake_answer(c, 200, "{\"header\":{\"revision\":\"9\"},\"succeeded\":true}");
}

static void serve_revoke(struct fake_conn *c)
{
	revocations++;
	if (hold_revokes)
		return;
	revoked[revoked_n++ % 8] = fake_etcd_lease(c);
	key[0] = '\0';
	fake_answer(c, 200, "{\"header\":{\"revision\":\"9\"}}");
	if (held != NULL && held->fd >= 0)
		done(held);
	held = NULL;
}

static void note_key(const char *body)
{
	json_t *txn = json_loads(body, 0, NULL);
	const char *text = NULL;

	assert_int_equal(json_unpack(txn, "{s:[{s:s}]}", "compare", "key", &text), 0);
	snprintf(key, sizeof(key), "%s", text);
	json_decref(txn);
}

static void refuse(struct fake_conn *c)
{
	fake_answer(c, 429, "{\"code\":8,\"message\":\"etcdserver: too many requests\"}");
}

/* The lock key and the record, as a transaction answers that reads both. */
static void show(struct fake_conn *c)
{
	char lock[512] = "", state[2048] = "", body[4096];

	if (key[0] != '\0')
		snprintf(lock, sizeof(lock), "\"kvs\":[{\"key\":\"%s\",\"create_revision\":\"5\"}]",
		    key);
	if (stored[0] != '\0')
		snprintf(state, sizeof(state),
		    "\"kvs\":[{\"key\":\"cw==\",\"value\":\"%s\",\"mod_revision\":\"%u\"}]", stored,
		    state_mod);
	snprintf(body, sizeof(body),
	    "{\"header\":{\"revision\":\"%u\"},\"responses\":[{\"response_range\":{%s}},"
	    "{\"response_range\":{%s}}]}",
	    state_mod, lock, state);
	fake_answer(c, 200, body);
}

/* Whether its conditions hold, and it was carried out. */
static bool commit_is_done(const struct fake_conn *c)
{
	json_t *txn = json_loads(c->body, 0, NULL);
	const char *value = NULL, *mod = NULL;
	bool holds;

	assert_int_equal(json_unpack(txn, "{s:[{},{s:s}],s:[{s:{s:s}}]}", "compare", "mod_revision",
			     &mod, "success", "request_put", "value", &value),
	    0);
	holds = key[0] != '\0' && strtoul(mod, NULL, 10) == state_mod;
	if (holds) {
		snprintf(stored, sizeof(stored), "%s", value);
		state_mod += 10;
		if (strstr(c->body, "request_delete_range") != NULL)
			key[0] = '\0';
	}
	json_decref(txn);
	return holds;
}

/* As the script says: [d]one, but the answer is lost; [l]ost on its way; [r]efused; done, and
 * [g]arbage is the answer; the lock is [t]aken away before it, and the answer lost. */
static void serve_commit(struct fake_conn *c)
{
	char how = *commits != '\0' ? *commits++ : '-';
	bool arrives = how != 'l' && how != 't';
	char body[128];

	if (how == 't')
		key[0] = '\0';
	if (how == 'r') {
		refuse(c);
	} else if (arrives && !commit_is_done(c)) {
		show(c);
	} else if (!arrives || how == 'd') {
		fake_reset(c);
	} else {
		snprintf(body, sizeof(body),
		    "{\"header\":{\"revision\":\"%u\"},\"succeeded\":true}", state_mod);
		fake_answer(c, 200, how == 'g' ? "{}" : body);
	}
}

/* Back at what became of a commit: [r]efused, [g]arbage, or told. */
static void serve_look(struct fake_conn *c)
{
	char how = *looks != '\0' ? *looks++ : '-';

	if (how == 'r')
		refuse(c);
	else if (how == 'g')
		fake_answer(c, 200, "{\"header\":{}}");
	else
		show(c);
}

static void serve_end_or_join(struct fake_conn *c)
{
	bool is_end = strstr(c->body, "request_delete_range") != NULL;

	ends += is_end;
	if (strstr(c->body, "\"lease\":") != NULL)
		note_key(c->body);
	if (is_end && hold_ends)
		held = c;
	else
		done(c);
}

static void serve_txn(struct fake_conn *c)
{
	if (strstr(c->body, "\"compare\"") == NULL)
		serve_look(c);
	else if (strstr(c->body, "\"MOD\"") != NULL && !hold_ends)
		serve_commit(c);
	else
		serve_end_or_join(c);
}

static void serve_range(struct fake_conn *c)
{
	char body[512];

	if (refuse_ranges > 0) {
		refuse_ranges--;
		refuse(c);
		return;
	}
	snprintf(body, sizeof(body),
	    "{\"header\":{\"revision\":\"7\"},\"kvs\":[{\"key\":\"%s\",\"create_revision\":\"5\","
	    "\"mod_revision\":\"5\"}]}",
	    key);
	fake_answer(c, 200, spoil_ranges ? "{}" : body);
}

static void serve_watch(struct fake_conn *c)
{
	watches++;
	fake_send(c, FAKE_STREAM);
	fake_chunk(c, "{\"result\":{\"header\":{},\"created\":true}}\n");
}

static void serve_grant(struct fake_conn *c)
{
	granted_ids[grants++ % 8] = fake_etcd_lease(c);
	fake_etcd_granted(c, fake_etcd_lease(c), 60);
}

static void serve(struct fake *f, struct fake_conn *c)
{
	(void)f;
	if (fake_etcd_asks(c, "lease/grant"))
		serve_grant(c);
	else if (fake_etcd_asks(c, "lease/keepalive"))
		fake_etcd_kept_alive(c, fake_etcd_lease(c), 60);
	else if (fake_etcd_asks(c, "lease/revoke"))
		serve_revoke(c);
	else if (fake_etcd_asks(c, "kv/txn"))
		serve_txn(c);
	else if (fake_etcd_asks(c, "kv/range"))
		serve_range(c);
	else if (fake_etcd_asks(c, "watch"))
		serve_watch(c);
	else
		fake_answer(c, 200, "{\"header\":{}}");
}

/* ---- */

static int set_up(void **state)
{
	struct err e;

	(void)state;
	fake_etcd_start(&etcd, serve);
	loop = etcd.loop;
	etcd.conf.ns = namespace;
	etcd.conf.coord = CONF_COORD_ETCD;
	etcd.conf.ttl = 60000;
	snprintf(job.name, sizeof(job.name), "orders");
	granted = failed = committed = released = lost = grants = revocations = revoked_n = ends =
	    watches = 0;
	hold_ends = hold_revokes = spoil_ranges = false;
	refuse_ranges = 0;
	held = NULL;
	key[0] = '\0';
	commits = looks = "";
	stored[0] = '\0';
	state_mod = 0;
	coord = coord_open(loop, &etcd.conf, &job, -1, &hooks, NULL, &e);
	assert_non_null(coord);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	coord_close(coord);
	fake_etcd_stop(&etcd);
	return 0;
}

static void own(void)
{
	coord_acquire(coord);
	run_until(loop, &granted, 1);
	assert_true(coord_is_announced(coord));
}

static void begin_commit(uint64_t seq, bool release)
{
	struct record r;

	make_record(&r, epoch, seq, "here");
	coord_commit(coord, &r, release);
	record_clear(&r);
}

static void commit_and_release(void)
{
	begin_commit(1, true);
}

/* With this script; how it ended. */
static enum coord_result commit(uint64_t seq, bool release, const char *script)
{
	commits = script;
	begin_commit(seq, release);
	run_until(loop, &committed, committed + 1);
	assert_int_equal(*commits, '\0');
	assert_int_equal(*looks, '\0');
	return result;
}

/* The time of a stop was used up, so the worker goes while its release is under way. */
static void test_farewell_while_a_release_is_under_way(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		hold_ends = true;
		own();
		if (i == 0)
			commit_and_release();
		else
			coord_release(coord, false);
		run_until(loop, &ends, 1);
		coord_farewell(coord);
		assert_int_equal(revocations, 1);
		ev_run(loop, EVRUN_NOWAIT);
		tear_down(NULL);
		set_up(NULL);
	}
}

static bool was_revoked(uint64_t id)
{
	for (unsigned i = 0; i < revoked_n; i++) {
		if (revoked[i] == id)
			return true;
	}
	return false;
}

/* The first lease is still being given back when the second one is to be, too. */
static void test_two_attempts_that_failed_give_both_leases_back(void **state)
{
	(void)state;
	spoil_ranges = hold_revokes = true;
	for (unsigned i = 1; i <= 2; i++) {
		coord_acquire(coord);
		run_until(loop, &failed, i);
		run_until(loop, &revocations, i);
	}
	assert_int_equal(grants, 2);
	hold_revokes = false;
	coord_farewell(coord);
	assert_true(was_revoked(granted_ids[0]));
	assert_true(was_revoked(granted_ids[1]));
}

/*
 * What a worker left that died in the queue is the next one's own until etcd has answered: should
 * that one die, too, or be told to stop, nobody has forgotten the place.
 */
static void test_what_a_dead_one_left_is_told_until_it_is_gone(void **state)
{
	(void)state;
	coord_bury(coord, 7);
	assert_int_equal(coord_lease(coord), 7);
	hold_revokes = true;
	coord_acquire(coord);
	run_until(loop, &revocations, 1);
	assert_int_equal(coord_lease(coord), 7);
	assert_int_equal(grants, 0);
	coord_release(coord, false);
	run_until(loop, &revocations, 2);
	ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(coord_lease(coord), 7);
	assert_true(released == 0 || result != COORD_OK);
	hold_revokes = false;
	do {
		coord_release(coord, false);
		run_until(loop, &released, released + 1);
	} while (result != COORD_OK);
	assert_true(was_revoked(7));
	assert_int_equal(coord_lease(coord), 0);
	assert_int_equal(grants, 0);
}

static void test_a_place_is_taken_when_what_a_dead_one_left_is_gone(void **state)
{
	(void)state;
	coord_bury(coord, 7);
	own();
	assert_int_equal(revoked[0], 7);
	assert_int_equal(revocations, 1);
	assert_int_equal(coord_lease(coord), granted_ids[0]);
	coord_release(coord, false);
	run_until(loop, &released, 1);
}

/* It is given back by who goes without having been answered. */
static void test_a_farewell_gives_back_what_a_dead_one_left(void **state)
{
	(void)state;
	coord_bury(coord, 7);
	hold_revokes = true;
	coord_acquire(coord);
	run_until(loop, &revocations, 1);
	hold_revokes = false;
	coord_farewell(coord);
	assert_true(was_revoked(7));
	assert_int_equal(grants, 0);
}

/* News come between the end of the timer and its call, as from a timer of the HTTP client. */
static void test_who_is_first_twice_is_granted_once(void **state)
{
	struct etcd *t = (struct etcd *)coord;

	(void)state;
	coord_acquire(coord);
	while (!ev_is_active(&t->grant_due))
		ev_run(loop, EVRUN_ONCE);
	ev_feed_event(loop, &t->grant_due, EV_TIMER);
	run_until(loop, &granted, 1);
	ev_run(loop, EVRUN_NOWAIT);
	ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(granted, 1);
	coord_release(coord, false);
	run_until(loop, &released, 1);
}

/* An overloaded etcd: the first attempt times out, and the next one is turned away. */
static void test_a_refusal_does_not_hide_that_it_was_done_before(void **state)
{
	(void)state;
	own();
	assert_int_equal(commit(1, false, "dr"), COORD_OK);
	assert_int_equal(commit(2, false, "g"), COORD_OK);
	assert_int_equal(commit(3, false, "ldr"), COORD_OK);
	assert_int_equal(commit(4, true, "dr"), COORD_OK);
	assert_int_equal(lost + failed, 0);
}

static void test_what_became_of_it_is_asked_until_it_is_told(void **state)
{
	(void)state;
	own();
	looks = "rgr";
	assert_int_equal(commit(1, true, "dr"), COORD_OK);
}

/* A backup that could not be made is told, and the next one is tried. */
static void test_a_backup_does_not_wait_for_a_look_that_is_refused(void **state)
{
	(void)state;
	own();
	looks = "r";
	assert_int_equal(commit(1, false, "lr"), COORD_UNSURE);
	looks = "";
	assert_int_equal(commit(2, false, ""), COORD_OK);
}

static void test_a_refusal_alone_is_a_failure(void **state)
{
	(void)state;
	own();
	assert_int_equal(commit(1, true, "r"), COORD_FAILED);
	assert_int_equal(commit(1, true, ""), COORD_OK);
}

/* It has looked away from its key by then. */
static void test_after_a_release_that_was_refused_the_key_is_watched_again(void **state)
{
	(void)state;
	own();
	run_until(loop, &watches, 1);
	assert_int_equal(commit(1, true, "r"), COORD_FAILED);
	run_until(loop, &watches, 2);
	assert_int_equal(commit(1, true, "r"), COORD_FAILED);
	run_until(loop, &watches, 3);
	assert_int_equal(commit(1, true, ""), COORD_OK);
}

static void test_what_was_not_done_may_be_done_yet(void **state)
{
	(void)state;
	own();
	assert_int_equal(commit(1, false, "lr"), COORD_UNSURE);
	assert_int_equal(commit(2, false, "lr"), COORD_UNSURE);
	/* The first one has come late, and is no reason to give the third one up. */
	state_mod = 77;
	snprintf(stored, sizeof(stored), "e30=");
	assert_int_equal(commit(3, true, ""), COORD_OK);
}

/* Somebody else's record cannot be overwritten by what was lost on its way. */
static void test_what_can_not_be_done_any_more_is_made_again(void **state)
{
	(void)state;
	own();
	begin_commit(1, true);
	commits = "lr";
	looks = "r";
	while (*commits != '\0')
		ev_run(loop, EVRUN_ONCE);
	state_mod = 77;
	snprintf(stored, sizeof(stored), "e30=");
	run_until(loop, &committed, 1);
	assert_int_equal(result, COORD_OK);
	assert_int_equal(state_mod, 87);
}

static void test_a_lock_that_is_gone_is_lost(void **state)
{
	(void)state;
	own();
	assert_int_equal(commit(1, true, "tr"), COORD_LOST);
}

/* Of a dead worker, which holds the lock. */
static void adopt(void)
{
	static const char own_key[] = "/scripted/jobs/orders/lock/4d";

	assert_true(
	    b64_ntop((const unsigned char *)own_key, strlen(own_key), key, sizeof(key)) > 0);
	coord_adopt(coord, 0x4d, 5);
}

static void test_an_adoption_outlasts_refusals(void **state)
{
	(void)state;
	refuse_ranges = 2;
	adopt();
	run_until(loop, &granted, 1);
	assert_int_equal(refuse_ranges + failed, 0);
	assert_int_equal(epoch, 5);
	assert_int_equal(commit(7, true, ""), COORD_OK);
}

static void test_an_adoption_that_is_refused_ends(void **state)
{
	(void)state;
	etcd.conf.ttl = 1000;
	refuse_ranges = UINT_MAX;
	adopt();
	run_until(loop, &failed, 1);
	assert_int_equal(granted + lost, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_farewell_while_a_release_is_under_way),
		TEST(test_two_attempts_that_failed_give_both_leases_back),
		TEST(test_what_a_dead_one_left_is_told_until_it_is_gone),
		TEST(test_a_place_is_taken_when_what_a_dead_one_left_is_gone),
		TEST(test_a_farewell_gives_back_what_a_dead_one_left),
		TEST(test_who_is_first_twice_is_granted_once),
		TEST(test_a_refusal_does_not_hide_that_it_was_done_before),
		TEST(test_what_became_of_it_is_asked_until_it_is_told),
		TEST(test_a_backup_does_not_wait_for_a_look_that_is_refused),
		TEST(test_a_refusal_alone_is_a_failure),
		TEST(test_after_a_release_that_was_refused_the_key_is_watched_again),
		TEST(test_what_was_not_done_may_be_done_yet),
		TEST(test_what_can_not_be_done_any_more_is_made_again),
		TEST(test_a_lock_that_is_gone_is_lost),
		TEST(test_an_adoption_outlasts_refusals),
		TEST(test_an_adoption_that_is_refused_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
