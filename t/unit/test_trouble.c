/* When a trouble that many share becomes a line in the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/trouble.h"

static void test_a_crowd_is_one_beginning_and_one_end(void **state)
{
	struct trouble t = { 0 };

	(void)state;
	assert_true(trouble_enter(&t, 1000));
	for (int i = 1; i < 100; i++)
		assert_false(trouble_enter(&t, 1000 + i));
	assert_int_equal(t.n, 100);
	for (int i = 1; i < 100; i++)
		assert_false(trouble_leave(&t));
	assert_true(trouble_leave(&t));
	assert_int_equal(t.most, 100);
	assert_int_equal(t.since, 1000);
	assert_true(trouble_deadline(&t) == MSEC_NEVER);
	assert_false(trouble_is_due(&t, INT64_MAX / 2));
}

static void test_reminders_become_rare(void **state)
{
	struct trouble t = { 0 };
	msec now = 5, pause = 0, last;

	(void)state;
	trouble_enter(&t, now);
	for (int i = 0; i < 10; i++) {
		last = pause;
		pause = trouble_deadline(&t) - now;
		assert_true(pause > last || pause == 3600000);
		assert_false(trouble_is_due(&t, trouble_deadline(&t) - 1));
		now = trouble_deadline(&t);
		assert_true(trouble_is_due(&t, now));
		assert_false(trouble_is_due(&t, now));
	}
	assert_int_equal(pause, 3600000);
}

static void test_a_flutter_is_not_told_each_time(void **state)
{
	struct trouble t = { 0 };

	(void)state;
	assert_true(trouble_enter(&t, 1000));
	assert_true(trouble_leave(&t));
	for (msec now = 1100; now < 10900; now += 100) {
		assert_false(trouble_enter(&t, now));
		assert_false(trouble_leave(&t));
	}
	assert_false(trouble_enter(&t, 10900));
	assert_true(trouble_is_due(&t, 11000));
	assert_true(trouble_leave(&t));
}

static void test_it_begins_anew(void **state)
{
	struct trouble t = { 0 };

	(void)state;
	trouble_enter(&t, 0);
	trouble_is_due(&t, 20000);
	trouble_leave(&t);
	assert_true(trouble_enter(&t, 100000));
	assert_int_equal(trouble_deadline(&t), 110000);
	assert_int_equal(t.most, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_crowd_is_one_beginning_and_one_end),
		cmocka_unit_test(test_reminders_become_rare),
		cmocka_unit_test(test_a_flutter_is_not_told_each_time),
		cmocka_unit_test(test_it_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
