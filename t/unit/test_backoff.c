/* When a job that ended by itself is started again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/conf_schema.h"
#include "policy/backoff.h"

/* Within a quarter of the delay, either way. */
static void assert_about(msec delay, msec wanted)
{
	assert_in_range(delay, wanted - wanted / 4, wanted + wanted / 4);
}

static void doubles_up_to_the_maximum(void **state)
{
	static const msec wanted[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	struct backoff b;

	(void)state;
	backoff_init(&b, 1000, 30000, 60000, BACKOFF_FAILURES_MAX, 7);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_about(backoff_failed(&b, 1 + (msec)i), wanted[i]);
}

static void good_ends_wait_longer_and_longer_too(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 1000, 30000, 60000, 3, 7);
	assert_about(backoff_ended(&b, 1), 1000);
	assert_about(backoff_ended(&b, 2), 2000);
	assert_about(backoff_failed(&b, 3), 4000);
}

static void good_ends_are_no_failures(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 1000, 30000, 60000, 2, 7);
	for (msec now = 1; now < 10; now++)
		assert_true(backoff_ended(&b, now) > 0);
	assert_true(backoff_failed(&b, 10) > 0);
	assert_int_equal(backoff_failed(&b, 11), BACKOFF_GIVE_UP);
}

static void falls_back_after_a_quiet_window(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 1000, 30000, 60000, 10, 7);
	assert_about(backoff_failed(&b, 5), 1000);
	assert_about(backoff_failed(&b, 6), 2000);
	assert_about(backoff_failed(&b, 6 + 59999), 4000);
	assert_about(backoff_failed(&b, 6 + 59999 + 60000), 1000);
}

static void gives_up_at_max_failures_within_the_window(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 10, 100, 1000, 3, 7);
	assert_true(backoff_failed(&b, 100) > 0);
	assert_true(backoff_failed(&b, 600) > 0);
	assert_int_equal(backoff_failed(&b, 1100), BACKOFF_GIVE_UP); /* 1000 after the first */
}

static void forgets_failures_older_than_the_window(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 10, 100, 1000, 3, 7);
	for (msec now = 100; now < 100000; now += 501) /* never three within 1000 ms */
		assert_true(backoff_failed(&b, now) > 0);
	assert_true(backoff_failed(&b, 200000) > 0);
	assert_true(backoff_failed(&b, 200001) > 0);
	assert_int_equal(backoff_failed(&b, 200002), BACKOFF_GIVE_UP);
}

static void one_failure_may_be_too_many(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 10, 100, 1000, 1, 7);
	assert_int_equal(backoff_failed(&b, 5), BACKOFF_GIVE_UP);
}

static void counts_as_many_failures_as_it_says(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 10, 100, 1000, BACKOFF_FAILURES_MAX, 7);
	for (msec now = 1; now < BACKOFF_FAILURES_MAX; now++)
		assert_true(backoff_failed(&b, now) > 0);
	assert_int_equal(backoff_failed(&b, BACKOFF_FAILURES_MAX), BACKOFF_GIVE_UP);
}

static void counts_as_many_failures_as_may_be_configured(void **state)
{
	const struct key *key = schema_key(&schema_job, "max_failures");
	struct backoff b;

	(void)state;
	assert_non_null(key);
	backoff_init(&b, 10, 100, 1000, (int)key->max, 7);
	for (int64_t i = 1; i < key->max; i++)
		assert_true(backoff_failed(&b, 1) > 0);
	assert_int_equal(backoff_failed(&b, 1), BACKOFF_GIVE_UP);
}

static void an_endless_window_never_forgets(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 10, 100, MSEC_NEVER, 2, 7);
	assert_about(backoff_failed(&b, 1), 10);
	assert_int_equal(backoff_failed(&b, INT64_MAX / 2), BACKOFF_GIVE_UP);
}

static void spreads_the_delays(void **state)
{
	msec least = INT64_MAX, most = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 2000; seed += 2) {
		struct backoff b;
		msec delay;

		backoff_init(&b, 1000, 30000, 60000, 5, seed * 2654435761u);
		delay = backoff_failed(&b, 1);
		assert_about(delay, 1000);
		least = delay < least ? delay : least;
		most = delay > most ? delay : most;
	}
	assert_in_range(least, 750, 775);
	assert_in_range(most, 1225, 1250);
}

static void repeats_itself_for_the_same_seed(void **state)
{
	struct backoff a, b;

	(void)state;
	backoff_init(&a, 1000, 30000, 60000, 50, 99);
	backoff_init(&b, 1000, 30000, 60000, 50, 99);
	for (msec now = 1; now < 50; now++)
		assert_int_equal(backoff_failed(&a, now), backoff_failed(&b, now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_up_to_the_maximum),
		cmocka_unit_test(good_ends_wait_longer_and_longer_too),
		cmocka_unit_test(good_ends_are_no_failures),
		cmocka_unit_test(falls_back_after_a_quiet_window),
		cmocka_unit_test(gives_up_at_max_failures_within_the_window),
		cmocka_unit_test(forgets_failures_older_than_the_window),
		cmocka_unit_test(one_failure_may_be_too_many),
		cmocka_unit_test(counts_as_many_failures_as_it_says),
		cmocka_unit_test(counts_as_many_failures_as_may_be_configured),
		cmocka_unit_test(an_endless_window_never_forgets),
		cmocka_unit_test(spreads_the_delays),
		cmocka_unit_test(repeats_itself_for_the_same_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
