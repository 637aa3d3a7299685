/* What the init system is told, and when: scripts of looks at a master. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/herald.h"

static struct herald_view running(size_t running, size_t standby)
{
	struct herald_view v;

	herald_view_init(&v);
	v.up = true;
	for (size_t i = 0; i < running; i++)
		herald_view_add(&v, "running");
	for (size_t i = 0; i < standby; i++)
		herald_view_add(&v, "standby");
	return v;
}

static struct herald_view stopping(size_t gone, size_t jobs, const char *job, const char *words)
{
	struct herald_view v = running(0, 0);

	v.stopping = true;
	v.gone = gone;
	v.jobs = jobs;
	v.job = job;
	v.words = words;
	return v;
}

/* NULL: nothing is said. */
static void expect(struct herald *h, const struct herald_view *v, msec now, const char *wanted)
{
	char text[HERALD_MAX];
	bool any = herald_next(h, v, now, text);

	if (wanted == NULL) {
		if (any)
			fail_msg("at %lld it says:\n%s", (long long)now, text);
		return;
	}
	assert_true(any);
	assert_string_equal(text, wanted);
	herald_sent(h, true, now);
}

static void test_ready_when_up(void **state)
{
	struct herald h;
	struct herald_view v = running(10, 2);

	(void)state;
	herald_init(&h, 0, 0);
	v.up = false;
	expect(&h, &v, 0, NULL);
	v.up = true;
	expect(&h, &v, 5, "READY=1\nSTATUS=12 jobs: 10 running, 2 standby\n");
	expect(&h, &v, 6, NULL);
	assert_true(herald_deadline(&h) == MSEC_NEVER);
}

static void test_states_that_are_told(void **state)
{
	struct herald h;
	struct herald_view v = running(1, 0);

	(void)state;
	herald_init(&h, 0, 0);
	herald_view_add(&v, "backoff");
	herald_view_add(&v, "parked");
	herald_view_add(&v, "one that a later version has");
	expect(&h, &v, 0, "READY=1\nSTATUS=4 jobs: 1 running, 1 backoff, 1 parked\n");
	herald_init(&h, 0, 0);
	v = running(0, 0);
	expect(&h, &v, 0, "READY=1\nSTATUS=0 jobs\n");
	herald_init(&h, 0, 0);
	v = running(1, 0);
	expect(&h, &v, 0, "READY=1\nSTATUS=1 job: 1 running\n");
}

static void test_figures_are_not_told_all_the_time(void **state)
{
	struct herald h;
	struct herald_view v = running(1, 1);

	(void)state;
	herald_init(&h, 0, 0);
	expect(&h, &v, 0, "READY=1\nSTATUS=2 jobs: 1 running, 1 standby\n");
	v = running(2, 0);
	expect(&h, &v, 10, NULL);
	assert_int_equal(herald_deadline(&h), 1000);
	expect(&h, &v, 1000, "STATUS=2 jobs: 2 running\n");
	assert_true(herald_deadline(&h) == MSEC_NEVER);
	v = running(1, 1);
	expect(&h, &v, 1001, NULL);
	v = running(2, 0); /* as it was told */
	expect(&h, &v, 1002, NULL);
	assert_true(herald_deadline(&h) == MSEC_NEVER);
}

static void test_signs_of_life(void **state)
{
	struct herald h;
	struct herald_view v = running(1, 0);

	(void)state;
	herald_init(&h, 30000, 100);
	expect(&h, &v, 100, "READY=1\nSTATUS=1 job: 1 running\nWATCHDOG=1\n");
	assert_int_equal(herald_deadline(&h), 15100);
	expect(&h, &v, 15099, NULL);
	expect(&h, &v, 15100, "WATCHDOG=1\n");
	assert_int_equal(herald_deadline(&h), 30100);
	v = stopping(0, 1, "orders", "");
	expect(&h, &v, 20000,
	    "STOPPING=1\nSTATUS=0 of 1 job dumped, waiting for orders\n"
	    "EXTEND_TIMEOUT_USEC=30000000\n");
	expect(&h, &v, 30100, "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=30000000\n");
	assert_int_equal(herald_deadline(&h), 40100);
}

static void test_a_reload(void **state)
{
	struct herald h;
	struct herald_view v = running(1, 0);
	char text[HERALD_MAX];

	(void)state;
	herald_init(&h, 0, 0);
	expect(&h, &v, 0, "READY=1\nSTATUS=1 job: 1 running\n");
	herald_reload(&h, 123456, text);
	assert_string_equal(text, "RELOADING=1\nMONOTONIC_USEC=123456");
	expect(&h, &v, 10, "READY=1\n");
	expect(&h, &v, 11, NULL);
}

static void test_a_stop(void **state)
{
	struct herald h;
	struct herald_view v = running(2, 1);

	(void)state;
	herald_init(&h, 0, 0);
	expect(&h, &v, 0, "READY=1\nSTATUS=3 jobs: 2 running, 1 standby\n");
	/* At once, though the last status is new. */
	v = stopping(1, 3, "clicks", "");
	v.ends = 70000;
	expect(&h, &v, 10,
	    "STOPPING=1\nSTATUS=1 of 3 jobs dumped, waiting for clicks\n"
	    "EXTEND_TIMEOUT_USEC=30000000\n");
	assert_int_equal(herald_deadline(&h), 10010);
	v.words = "1234 lines";
	expect(&h, &v, 500, NULL);
	expect(&h, &v, 1010, "STATUS=1 of 3 jobs dumped, clicks: 1234 lines\n");
	/* The dump itself is newer than what the job said of it. */
	v.percent = 0;
	expect(&h, &v, 2010, "STATUS=1 of 3 jobs dumped, clicks: 0 %\n");
	v.percent = 43;
	expect(&h, &v, 3010, "STATUS=1 of 3 jobs dumped, clicks: 43 %\n");
	expect(&h, &v, 10009, NULL);
	expect(&h, &v, 10010, "EXTEND_TIMEOUT_USEC=30000000\n");
	/* No more than the jobs have. */
	expect(&h, &v, 50000, "EXTEND_TIMEOUT_USEC=20000000\n");
	assert_true(herald_deadline(&h) == MSEC_NEVER);
	expect(&h, &v, 69999, NULL);
	v.ends = 70999;
	expect(&h, &v, 69999, NULL);
	v.ends = 90000; /* one asked for more */
	expect(&h, &v, 69999, "EXTEND_TIMEOUT_USEC=20001000\n");
	expect(&h, &v, 80000, NULL);
	v.ends = 95000; /* in the past, when it is seen */
	expect(&h, &v, 100000, NULL);
	assert_true(herald_deadline(&h) == MSEC_NEVER);
	v = stopping(3, 3, NULL, NULL);
	v.ends = 0;
	expect(&h, &v, 100001, "STATUS=3 of 3 jobs dumped\n");
}

static void test_a_stop_before_it_was_up(void **state)
{
	struct herald h;
	struct herald_view v = stopping(0, 1, "orders", "");

	(void)state;
	herald_init(&h, 0, 0);
	v.ends = 5000;
	expect(&h, &v, 0,
	    "STOPPING=1\nSTATUS=0 of 1 job dumped, waiting for orders\n"
	    "EXTEND_TIMEOUT_USEC=5000000\n");
}

static void test_what_was_not_heard_is_said_again(void **state)
{
	struct herald h;
	struct herald_view v = running(1, 0);
	char text[HERALD_MAX];

	(void)state;
	herald_init(&h, 2000, 0);
	assert_true(herald_next(&h, &v, 0, text));
	herald_sent(&h, false, 0);
	assert_false(herald_next(&h, &v, 1, text));
	assert_int_equal(herald_deadline(&h), 500);
	v = running(2, 0);
	expect(&h, &v, 500, "READY=1\nSTATUS=2 jobs: 2 running\nWATCHDOG=1\n");
	assert_int_equal(herald_deadline(&h), 1500);
}

static void test_long_words_are_cut(void **state)
{
	struct herald h;
	char words[2000];
	struct herald_view v = stopping(0, 1, "orders", words);
	char text[HERALD_MAX];

	(void)state;
	memset(words, 'x', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	herald_init(&h, 0, 0);
	assert_true(herald_next(&h, &v, 0, text));
	assert_true(strlen(text) < HERALD_MAX);
	assert_non_null(strstr(text, "x\nEXTEND_TIMEOUT_USEC=30000000\n"));
	herald_sent(&h, true, 0);
	assert_false(herald_next(&h, &v, 5000, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ready_when_up),
		cmocka_unit_test(test_states_that_are_told),
		cmocka_unit_test(test_figures_are_not_told_all_the_time),
		cmocka_unit_test(test_signs_of_life),
		cmocka_unit_test(test_a_reload),
		cmocka_unit_test(test_a_stop),
		cmocka_unit_test(test_a_stop_before_it_was_up),
		cmocka_unit_test(test_what_was_not_heard_is_said_again),
		cmocka_unit_test(test_long_words_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
