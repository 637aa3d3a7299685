/*
 * A lease in etcd and answers that get lost: grants above all, as what they leave is seen by nobody
 * but the lease's owner. The server is scripted; t/system/etcd_clean.t does it with a real etcd.
 */
#include "fake_etcd_test.h"

#include "coord/etcd_keeper.h"
#include "time_test.h"

#define PATIENT 30000

static struct ev_loop *loop;
static struct fake_etcd etcd;
static struct etcd_client *client;
static struct keeper keeper;
static unsigned ready, refused, parted, renewed, wavered, lost;
static struct err why;

/* What the server knows. */
static uint64_t leases[8];
static unsigned n_leases, grants, revoked;
static unsigned lose; /* so many grants are carried out, and not answered */
static bool hang;     /* the first grant is carried out, and nothing is answered */
static bool refuse;
static bool suspends; /* the machine, for a lease, while a keepalive is under way that fails */
static bool mistake;  /* a keepalive is answered with another lease */
static unsigned told; /* the TTL of each answer, in seconds */

static void on_ready(void *ctx)
{
	(void)ctx;
	ready++;
}

static void on_refused(void *ctx, enum etcd_code code, const struct err *e)
{
	(void)ctx;
	assert_int_not_equal(code, ETCD_OK);
	why = *e;
	refused++;
}

static void on_renewed(void *ctx)
{
	(void)ctx;
	renewed++;
}

static void on_wavering(void *ctx, enum etcd_code code, const struct err *e)
{
	(void)ctx;
	assert_int_not_equal(code, ETCD_OK);
	why = *e;
	wavered++;
}

static void on_lost(void *ctx, const struct err *e)
{
	(void)ctx;
	if (!suspends)
		fail_msg("lost: %s", e->text);
	lost++;
}

static void on_parted(void *ctx, const struct err *e)
{
	(void)ctx;
	assert_null(e);
	parted++;
}

static const struct keeper_hooks hooks = {
	.ready = on_ready,
	.refused = on_refused,
	.renewed = on_renewed,
	.wavering = on_wavering,
	.lost = on_lost,
};

static unsigned find(uint64_t id)
{
	unsigned i = 0;

	while (i < n_leases && leases[i] != id)
		i++;
	return i;
}

static void serve_grant(struct fake_conn *c, uint64_t id)
{
	bool dropped = lose > 0;

	grants++;
	if (hang) {
		if (grants == 1)
			leases[n_leases++] = id;
	} else if (refuse) {
		fake_answer(c, 403, "{\"code\":7,\"message\":\"etcdserver: permission denied\"}");
	} else if (find(id) < n_leases) {
		fake_answer(
		    c, 412, "{\"code\":9,\"message\":\"etcdserver: lease already exists\"}");
	} else {
		leases[n_leases++] = id;
		lose -= dropped;
		if (dropped)
			fake_reset(c);
		else
			fake_etcd_granted(c, id, told);
	}
}

static void serve(struct fake *f, struct fake_conn *c)
{
	uint64_t id = fake_etcd_lease(c);

	(void)f;
	assert_in_range(id, 1, INT64_MAX);
	if (fake_etcd_asks(c, "lease/grant")) {
		serve_grant(c, id);
	} else if (fake_etcd_asks(c, "lease/keepalive") && suspends) {
		alarm_set(&keeper.alarm, MSEC_NEVER); /* it rings behind the failure */
		skip_time(8000);
		fake_reset(c);
	} else if (fake_etcd_asks(c, "lease/keepalive")) {
		fake_etcd_kept_alive(c, id ^ mistake, told);
	} else if (refuse) {
		revoked++;
		fake_answer(c, 403, "{\"code\":7,\"message\":\"etcdserver: permission denied\"}");
	} else {
		revoked++;
		if (find(id) < n_leases)
			leases[find(id)] = leases[--n_leases];
		fake_answer(c, 200, "{\"header\":{}}");
	}
}

static int set_up(void **state)
{
	struct err e;

	(void)state;
	fake_etcd_start(&etcd, serve);
	loop = etcd.loop;
	client = etcd_client_open(loop, &etcd.conf, &e);
	assert_non_null(client);
	assert_int_equal(keeper_open(&keeper, loop, client, &hooks, NULL, &e), 0);
	ready = refused = parted = renewed = wavered = lost = n_leases = grants = revoked = lose =
	    0;
	hang = refuse = suspends = mistake = false;
	told = 9;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	keeper_close(&keeper);
	etcd_client_close(client);
	fake_etcd_stop(&etcd);
	return 0;
}

static void test_ids_differ(void **state)
{
	uint64_t first;

	(void)state;
	keeper_begin(&keeper, 9000, PATIENT);
	first = keeper.id;
	assert_int_not_equal(first, 0); /* known before etcd is asked */
	run_until(loop, &ready, 1);
	assert_true(keeper.id == first && leases[0] == first);
	keeper_begin(&keeper, 9000, PATIENT);
	run_until(loop, &ready, 2);
	assert_true(keeper.id != first && n_leases == 2);
}

static void test_a_lost_answer_leaves_no_second_lease(void **state)
{
	(void)state;
	lose = 1;
	keeper_begin(&keeper, 9000, PATIENT);
	run_until(loop, &ready, 1);
	assert_int_equal(grants, 2);
	assert_int_equal(n_leases, 1);
	assert_true(keeper.id == leases[0] && keeper.held && !keeper.doubtful);
	assert_int_equal(keeper.lease.ttl, 9000); /* as the keepalive says */
	keeper_part(&keeper, PATIENT, on_parted);
	run_until(loop, &parted, 1);
	assert_int_equal(n_leases, 0);
}

static void test_a_lease_of_somebody_else(void **state)
{
	(void)state;
	lose = 1;
	keeper_begin(&keeper, 9000, PATIENT);
	run_until(loop, &ready, 1);
	keeper_drop(&keeper);
	/* Not one that we can have asked for: nothing was unknown before. */
	keeper_begin(&keeper, 9000, PATIENT);
	leases[n_leases++] = keeper.id;
	run_until(loop, &refused, 1);
	assert_non_null(strstr(why.text, "already exists"));
	assert_true(keeper.id == 0 && !keeper.doubtful);
}

/* A grant that is carried out and not answered before the patience is at its end. */
static uint64_t begin_in_vain(void)
{
	uint64_t id;

	hang = true;
	keeper_begin(&keeper, 9000, INT32_MAX);
	id = keeper.id;
	run_until(loop, &grants, 1);
	keeper_hurry(&keeper, 1); /* as a stop does */
	run_until(loop, &refused, 1);
	assert_true(keeper.doubtful && keeper.id == id && !keeper.held);
	assert_int_equal(n_leases, 1);
	hang = false;
	return id;
}

static void test_the_next_attempt_takes_it(void **state)
{
	uint64_t id = begin_in_vain();

	(void)state;
	keeper_begin(&keeper, 9000, PATIENT);
	assert_true(keeper.id == id);
	run_until(loop, &ready, 1);
	assert_int_equal(n_leases, 1);
	assert_true(keeper.id == id && keeper.held && !keeper.doubtful);
}

static void test_or_it_is_given_back(void **state)
{
	uint64_t id = begin_in_vain();

	(void)state;
	keeper_part(&keeper, PATIENT, on_parted);
	assert_false(keeper.doubtful);
	run_until(loop, &parted, 1);
	assert_int_equal(n_leases, 0);
	/* And never used again: the revocation may have been sent more than once. */
	keeper_begin(&keeper, 9000, PATIENT);
	assert_true(keeper.id != id);
	run_until(loop, &ready, 1);
}

static void test_what_is_refused_leaves_nothing(void **state)
{
	(void)state;
	refuse = true;
	keeper_begin(&keeper, 9000, PATIENT);
	run_until(loop, &refused, 1);
	assert_true(keeper.id == 0 && !keeper.doubtful);
	assert_int_equal(grants, 1);
}

static void test_nor_does_what_was_not_sent(void **state)
{
	(void)state;
	fake_stop(&etcd.server);
	keeper_begin(&keeper, 9000, 1);
	run_until(loop, &refused, 1);
	assert_true(keeper.id == 0 && !keeper.doubtful);
}

/* However long it is waited for: whoever asked wants to know meanwhile. */
static void test_silence_is_told_long_before_the_patience_ends(void **state)
{
	(void)state;
	hang = true;
	keeper_begin(&keeper, 9000, INT32_MAX);
	run_until(loop, &wavered, 1);
	assert_true(refused == 0 && ask_is_busy(&keeper.asking));
	assert_non_null(strstr(why.text, "/v3/lease/grant"));

	wavered = 0;
	fake_stop(&etcd.server);
	keeper_adopt(&keeper, 4711, 9000, INT32_MAX);
	run_until(loop, &wavered, 1);
	assert_true(refused == 0 && ask_is_busy(&keeper.asking));
	assert_non_null(strstr(why.text, "/v3/lease/keepalive"));
}

/* A renewal needs no permission, so a place with nobody behind it would stay in the queue for ever.
 */
static void test_what_is_given_back_is_not_kept_alive(void **state)
{
	(void)state;
	keeper_begin(&keeper, 9000, PATIENT);
	run_until(loop, &ready, 1);
	assert_true(keeper.alarm.at < MSEC_NEVER);
	refuse = true;
	keeper_part(&keeper, PATIENT, NULL);
	run_until(loop, &revoked, 1);
	assert_true(keeper.renewal == NULL && keeper.alarm.at == MSEC_NEVER);
}

/* Of a proxy that mixes answers up, say. */
static void test_an_answer_about_another_lease_renews_nothing(void **state)
{
	msec end;

	(void)state;
	mistake = true;
	keeper_begin(&keeper, 3000, PATIENT);
	run_until(loop, &ready, 1);
	end = keeper.lease.end;
	keeper.lease.next = clock_now();
	alarm_set(&keeper.alarm, keeper.lease.next);
	run_until(loop, &wavered, 1);
	assert_non_null(strstr(why.text, "another lease"));
	assert_int_equal(renewed, 0);
	assert_int_equal(keeper.lease.end, end);
	mistake = false;
	run_until(loop, &renewed, 1);
	assert_int_equal(keeper.lease.failures, 0);
}

static void test_nor_does_it_adopt_one(void **state)
{
	(void)state;
	mistake = true;
	keeper_adopt(&keeper, 4711, 9000, PATIENT);
	run_until(loop, &refused, 1);
	assert_non_null(strstr(why.text, "another lease"));
	assert_false(keeper.held);
}

/* Who hears that it wavers relies on the time that is left. */
static void test_what_failed_in_a_suspend_is_lost_at_once(void **state)
{
	(void)state;
	keeper_begin(&keeper, 9000, PATIENT);
	run_until(loop, &ready, 1);
	keeper_rely(&keeper);
	suspends = true;
	keeper.lease.next = clock_now();
	alarm_set(&keeper.alarm, keeper.lease.next);
	run_until(loop, &lost, 1);
	assert_int_equal(wavered, 0);
	assert_int_equal(renewed, 0);
}

/* It raises a TTL to 75 s at most, so a longer one was asked for or is a lie. */
static void test_a_grant_is_believed_within_reason(void **state)
{
	(void)state;
	told = 20;
	keeper_begin(&keeper, 9000, PATIENT);
	run_until(loop, &ready, 1);
	assert_int_equal(keeper.lease.ttl, 20000);
	told = UINT32_MAX;
	keeper.lease.next = clock_now();
	alarm_set(&keeper.alarm, keeper.lease.next);
	run_until(loop, &renewed, 1);
	assert_int_equal(keeper.lease.ttl, 20000);
	keeper_begin(&keeper, 9000, PATIENT);
	run_until(loop, &ready, 2);
	assert_int_equal(keeper.lease.ttl, 75000);
	keeper_begin(&keeper, 600000, PATIENT);
	run_until(loop, &ready, 3);
	assert_int_equal(keeper.lease.ttl, 600000);
}

static void test_and_so_is_an_adopted_one(void **state)
{
	(void)state;
	told = 24 * 3600;
	keeper_adopt(&keeper, 4711, 9000, PATIENT);
	run_until(loop, &ready, 1);
	assert_int_equal(keeper.lease.ttl, 75000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_ids_differ),
		TEST(test_a_lost_answer_leaves_no_second_lease),
		TEST(test_a_lease_of_somebody_else),
		TEST(test_the_next_attempt_takes_it),
		TEST(test_or_it_is_given_back),
		TEST(test_what_is_refused_leaves_nothing),
		TEST(test_nor_does_what_was_not_sent),
		TEST(test_silence_is_told_long_before_the_patience_ends),
		TEST(test_what_is_given_back_is_not_kept_alive),
		TEST(test_an_answer_about_another_lease_renews_nothing),
		TEST(test_nor_does_it_adopt_one),
		TEST(test_what_failed_in_a_suspend_is_lost_at_once),
		TEST(test_a_grant_is_believed_within_reason),
		TEST(test_and_so_is_an_adopted_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
