/*
 * The pure parts of the command line: text made fit, tables, the status file read and shown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/statusview.h"
#include "cli/table.h"
#include "cli/text.h"

#define NOW 1000000

static void assert_fit(const char *text, size_t columns, const char *expected)
{
	char buf[64];

	text_fit(buf, sizeof(buf), text, columns);
	assert_string_equal(buf, expected);
}

static void test_text_plain(void **state)
{
	(void)state;
	assert_fit("orders", 80, "orders");
	assert_fit("orders", 6, "orders");
	assert_fit("orders", 5, "orde\u2026");
	assert_fit("orders", 1, "\u2026");
	assert_fit("orders", 0, "");
	assert_fit("", 0, "");
}

static void test_text_controls(void **state)
{
	(void)state;
	assert_fit("a\033[31mb", 80, "a?[31mb");
	assert_fit("a\nb\tc\rd\x7f", 80, "a?b?c?d?");
	assert_fit("\xc2\x9b"
		   "2J",
	    80, "?2J");                                    /* C1: some terminals obey it */
	assert_fit("abc\u202efdp.exe", 80, "abc?fdp.exe"); /* turns the text around */
	assert_fit("a\u200bb", 80, "a?b");
}

static void test_text_broken_utf8(void **state)
{
	(void)state;
	assert_fit("a\xff\xfe z", 80, "a?? z");
	assert_fit("a\xe2\x80", 80, "a??");
	assert_fit("\xc0\xaf", 80, "??");      /* overlong */
	assert_fit("\xed\xa0\x80", 80, "???"); /* a surrogate */
}

static void test_text_wide(void **state)
{
	(void)state;
	assert_int_equal(text_width("M\u00fcller"), 6);
	assert_int_equal(text_width("\u6f22\u5b57"), 4);
	assert_fit("\u6f22\u5b57", 4, "\u6f22\u5b57");
	assert_fit("\u6f22\u5b57", 3, "\u6f22\u2026"); /* never half a character */
	assert_fit("\u6f22\u5b57", 2, "\u2026");
	assert_fit("e\u0301e", 2, "e\u0301e"); /* a combining accent takes no column */
}

static void test_text_small_buffer(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(text_fit(buf, sizeof(buf), "1234567", SIZE_MAX), 7);
	assert_string_equal(buf, "1234567");
	assert_int_equal(text_fit(buf, sizeof(buf), "12345678", SIZE_MAX), 5);
	assert_string_equal(buf, "1234\u2026");
	text_fit(buf, sizeof(buf), "123\u00fc\u00fc\u00fc", SIZE_MAX);
	assert_string_equal(buf, "123\u2026"); /* no half of an u umlaut in byte 4 */
}

static void test_text_ascii_terminal(void **state)
{
	(void)state;
	setenv("LC_ALL", "C", 1);
	text_setup();
	assert_fit("M\u00fcller \u6f22", 80, "M?ller ?");
	assert_fit("\u00fcabc", 3, "?a~");
	setenv("LC_ALL", "C.UTF-8", 1);
	text_setup();
}

static const struct table_column columns[] = { { "JOB", false }, { "SIZE", true },
	{ "TEXT", false } };

static char *render(struct table *t, size_t width, bool colour)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(table_print(t, out, width, colour), 0);
	fclose(out);
	return text;
}

static void assert_table(struct table *t, size_t width, bool colour, const char *expected)
{
	char *text = render(t, width, colour);

	assert_string_equal(text, expected);
	free(text);
}

static struct table *two_rows(void)
{
	struct table *t = table_new(columns, 3);

	table_add(t, PAINT_GOOD, "orders");
	table_addf(t, PAINT_NONE, "%d B", 7);
	table_add(t, PAINT_NONE, "all is well");
	table_add(t, PAINT_NONE, "M\u00fc");
	table_add(t, PAINT_NONE, "123456 B");
	table_add(t, PAINT_BAD, "");
	return t;
}

static void test_table_layout(void **state)
{
	struct table *t = two_rows();

	(void)state;
	assert_table(t, 0, false,
	    "JOB         SIZE  TEXT\n"
	    "orders       7 B  all is well\n"
	    "M\u00fc      123456 B  \n");
	table_free(t);
}

/* Of the columns that may go, the one with the largest number goes first. */
static void test_table_spares_columns(void **state)
{
	static const unsigned spare[] = { 0, 2, 0 }, both[] = { 1, 2, 0 };
	struct table *t = two_rows();

	(void)state;
	table_spare(t, spare);
	assert_table(t, 29, false,
	    "JOB         SIZE  TEXT\n"
	    "orders       7 B  all is well\n"
	    "M\u00fc      123456 B  \n");
	assert_table(t, 28, false,
	    "JOB     TEXT\n"
	    "orders  all is well\n"
	    "M\u00fc      \n");
	table_spare(t, both);
	assert_table(t, 19, false,
	    "JOB     TEXT\n"
	    "orders  all is well\n"
	    "M\u00fc      \n");
	assert_table(t, 11, false,
	    "TEXT\n"
	    "all is well\n"
	    "\n");
	table_free(t);
}

static void test_table_cut(void **state)
{
	struct table *t = two_rows();

	(void)state;
	assert_table(t, 22, false,
	    "JOB         SIZE  TEXT\n"
	    "orders       7 B  all\u2026\n"
	    "M\u00fc      123456 B  \n");
	/* No room at all for the last column: the others stay whole. */
	assert_table(
	    t, 10, false, "JOB         SIZE  \norders       7 B  \nM\u00fc      123456 B  \n");
	table_free(t);
}

static void test_table_colour(void **state)
{
	struct table *t = two_rows();

	(void)state;
	assert_table(t, 0, true,
	    "JOB         SIZE  TEXT\n"
	    "\033[32morders\033[0m       7 B  all is well\n"
	    "M\u00fc      123456 B  \n");
	table_free(t);
}

static void test_table_grows(void **state)
{
	struct table *t = table_new(columns, 3);
	size_t lines = 0;
	char *text;

	(void)state;
	for (int i = 0; i < 3 * 1000; i++)
		table_addf(t, PAINT_NONE, "%d", i);
	text = render(t, 0, false);
	for (const char *c = text; *c != '\0'; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 1001);
	free(text);
	table_free(t);
}

static const char full_status[] =
    "{\"instance\":\"web-1\",\"pid\":4711,\"version\":\"0.1.0\",\"since\":999000,"
    "\"stopping\":false,\"jobs\":{"
    "\"orders\":{\"state\":\"running\",\"worker_pid\":4712,\"job_pid\":4713,\"epoch\":7,"
    "\"seq\":12,\"size\":1536,\"clean\":false,\"ready\":true,\"status\":\"12345 lines\","
    "\"restarts\":0,\"lease_ms\":0,\"since\":999400,\"saved\":999990},"
    "\"clicks\":{\"state\":\"standby\",\"worker_pid\":4714,\"restarts\":0,\"since\":2000000},"
    "\"future\":{\"state\":\"hovering\",\"new\":[1]}}}";

static void parse(const char *text, struct statusview *v)
{
	struct err e = { 0 };

	if (statusview_parse(text, strlen(text), v, &e) != 0)
		fail_msg("%s", e.text);
}

static void test_status_fields(void **state)
{
	struct statusview v;
	const struct statusview_job *job;

	(void)state;
	parse(full_status, &v);
	assert_string_equal(v.instance, "web-1");
	assert_int_equal(v.pid, 4711);
	assert_int_equal(v.exit, -1);
	assert_false(v.stopping);
	assert_int_equal(v.n_jobs, 3);
	job = statusview_job(&v, "orders");
	assert_non_null(job);
	assert_int_equal(job->worker_pid, 4712);
	assert_int_equal(job->epoch, 7);
	assert_int_equal(job->size, 1536);
	assert_int_equal(job->clean, 0);
	assert_int_equal(job->ready, 1);
	assert_int_equal(job->saved, 999990);
	assert_true(statusview_job_held(job));
	job = statusview_job(&v, "clicks");
	assert_int_equal(job->epoch, -1);
	assert_int_equal(job->ready, -1);
	assert_null(job->text);
	assert_false(statusview_job_held(job));
	assert_null(statusview_job(&v, "nobody"));
	statusview_clear(&v);
}

static void test_status_last_word(void **state)
{
	struct statusview v;

	(void)state;
	parse("{\"instance\":\"a\",\"pid\":1,\"stopping\":true,\"exit\":3,\"jobs\":{}}", &v);
	assert_true(v.stopping);
	assert_false(v.hurry);
	assert_int_equal(v.exit, 3);
	statusview_clear(&v);
}

static void test_status_of_what_is_held(void **state)
{
	struct statusview v;

	(void)state;
	parse("{\"instance\":\"a\",\"pid\":1,\"draining\":true,\"drained\":false,\"max_jobs\":2,"
	      "\"config\":{\"result\":\"refused\",\"began_ms\":77},"
	      "\"jobs\":{\"j\":{\"state\":\"parked\"},\"gaveup\":{\"state\":\"backoff\"},"
	      "\"fails\":{\"state\":\"backoff\",\"worker_pid\":4712},"
	      "\"queued\":{\"state\":\"releasing\",\"worker_pid\":4713},"
	      "\"saves\":{\"state\":\"releasing\",\"worker_pid\":4714,\"epoch\":7}}}",
	    &v);
	assert_true(v.draining);
	assert_false(v.drained);
	assert_int_equal(v.max_jobs, 2);
	assert_string_equal(v.result, "refused");
	assert_int_equal(v.result_of_ms, 77);
	assert_false(statusview_job_held(statusview_job(&v, "j")));
	assert_false(statusview_job_held(statusview_job(&v, "gaveup")));
	assert_true(statusview_job_held(statusview_job(&v, "fails")));
	assert_false(statusview_job_held(statusview_job(&v, "queued")));
	assert_true(statusview_job_held(statusview_job(&v, "saves")));
	statusview_clear(&v);
}

static void test_status_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"instance\":\"a\",\"pid\":1}",
		"{\"instance\":\"a\",\"pid\":1,\"jobs\":[]}",
		"{\"instance\":\"a\",\"pid\":\"1\",\"jobs\":{}}",
		"{\"instance\":7,\"pid\":1,\"jobs\":{}}",
		"{\"instance\":\"a\",\"pid\":1,\"jobs\":{},\"config\":7}",
		"{\"instance\":\"a\",\"pid\":1,\"jobs\":{},\"config\":{\"result\":\"applied\"}}",
		"{\"instance\":\"a\",\"pid\":1,\"jobs\":{},\"max_jobs\":\"2\"}",
		"{\"instance\":\"a\",\"pid\":1,\"stopping\":1,\"jobs\":{}}",
		"{\"instance\":\"a\",\"pid\":1,\"jobs\":{\"j\":{}}}",
		"{\"instance\":\"a\",\"pid\":1,\"jobs\":{\"j\":7}}",
		"{\"instance\":\"a\",\"pid\":1,\"jobs\":{\"j\":{\"state\":\"x\",\"epoch\":\"7\"}}}",
		"{\"instance\":\"a\",\"pid\":1,\"jobs\":{\"j\":{\"state\":\"x\",\"ready\":1}}}",
		"{\"instance\":\"a\",\"pid\":1,\"pid\":2,\"jobs\":{}}",
		"{\"instance\":\"a\",\"pid\":1,\"jobs\":{\"x\\u001b[2J\":{\"state\":\"x\"}}}",
		"{\"instance\":\"a\",\"pid\":1,\"jobs\":{\"$(id)\":{\"state\":\"x\"}}}",
		"{\"instance\":\"a\\u0000b\",\"pid\":1,\"jobs\":{}}",
		"{\"instance\":\"\xff\",\"pid\":1,\"jobs\":{}}",
		"{\"instance\":\"a\",\"pid\":1,\"jobs\":{}} x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct statusview v;
		struct err e = { 0 };

		if (statusview_parse(bad[i], strlen(bad[i]), &v, &e) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_true(e.text[0] != '\0');
	}
}

/* What statusview_print() made, without the first line, which holds the local time. */
static void assert_view(const char *json, size_t width, const char *expected)
{
	struct statusview v;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	parse(json, &v);
	assert_non_null(out);
	assert_int_equal(statusview_print(&v, NOW, out, width, false), 0);
	fclose(out);
	assert_non_null(strchr(text, '\n'));
	assert_string_equal(strchr(text, '\n') + 1, expected);
	free(text);
	statusview_clear(&v);
}

static void test_status_shown(void **state)
{
	(void)state;
	assert_view(full_status, 0,
	    "3 jobs: 1 running, 1 standby, 1 other\n"
	    "\n"
	    "JOB     STATE     EPOCH  READY  UPTIME  BACKUP     SIZE  RESTARTS  STATUS\n"
	    "orders  running       7  yes    10m00s   10.0s  1.5 KiB         0  12345 lines\n"
	    "clicks  standby       -  -         0ms       -        -         0  \n"
	    "future  hovering      -  -           -       -        -         -  \n");
	assert_view("{\"instance\":\"a\",\"pid\":1,\"jobs\":{}}", 0, "0 jobs\n");
}

static void test_status_reasons(void **state)
{
	static const char json[] =
	    "{\"instance\":\"a\",\"pid\":1,\"jobs\":{"
	    "\"bad\":{\"state\":\"backoff\",\"failure\":\"gave up, as it failed 3 times within "
	    "1m00s: no such file; make it\"},"
	    "\"long\":{\"state\":\"standby\",\"trouble\":\"no server of the three answers in "
	    "time\"},"
	    "\"short\":{\"state\":\"backoff\",\"failure\":\"status 1\"},"
	    "\"well\":{\"state\":\"standby\",\"status\":\"says more than there is room "
	    "for\"}}}";

	(void)state;
	assert_view(json, 80,
	    "4 jobs: 2 standby, 2 backoff\n"
	    "\n"
	    "JOB    STATE    EPOCH  READY  UPTIME  BACKUP  SIZE  RESTARTS  STATUS\n"
	    "bad    backoff      -  -           -       -     -         -  gave up, as it "
	    "fa\u2026\n"
	    "long   standby      -  -           -       -     -         -  cannot get the "
	    "lo\u2026\n"
	    "short  backoff      -  -           -       -     -         -  status 1\n"
	    "well   standby      -  -           -       -     -         -  says more than "
	    "th\u2026\n"
	    "\n"
	    "bad: gave up, as it failed 3 times within 1m00s: no such file; make it\n"
	    "long: cannot get the lock: no server of the three answers in time\n");
}

static void test_status_header(void **state)
{
	struct statusview v;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	setenv("TZ", "UTC0", 1);
	parse("{\"instance\":\"a\\u001b[2Jb\",\"pid\":1,\"version\":\"9\",\"since\":999000,"
	      "\"stopping\":true,\"jobs\":{}}",
	    &v);
	assert_int_equal(statusview_print(&v, NOW, out, 0, false), 0);
	fclose(out);
	assert_string_equal(text,
	    "a?[2Jb  pid 1  version 9  since 1970-01-12 13:30:00 (16m40s)  STOPPING\n0 jobs\n");
	free(text);
	statusview_clear(&v);
}

static void test_status_hostile_text(void **state)
{
	(void)state;
	assert_view("{\"instance\":\"a\",\"pid\":1,\"jobs\":{\"j\":{\"state\":\"running\","
		    "\"status\":\"ok\\u001b]0;owned\\u0007\\nfake  running\"}}}",
	    0,
	    "1 job: 1 running\n"
	    "\n"
	    "JOB  STATE    EPOCH  READY  UPTIME  BACKUP  SIZE  RESTARTS  STATUS\n"
	    "j    running      -  -           -       -     -         -  ok?]0;owned??fake  "
	    "running\n");
}

/* Every allocation of the parser fails once, in turn; it reports that and leaks nothing. */
static long allocations_left;

static void *failing_malloc(size_t size)
{
	return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void test_status_out_of_memory(void **state)
{
	struct statusview v;
	struct err e;
	long n = 0;

	(void)state;
	json_set_alloc_funcs(failing_malloc, free);
	do {
		allocations_left = n++;
	} while (statusview_parse(full_status, strlen(full_status), &v, &e) != 0 && n < 10000);
	statusview_clear(&v);
	json_set_alloc_funcs(malloc, free);
	assert_in_range(n, 10, 9999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_plain),
		cmocka_unit_test(test_text_controls),
		cmocka_unit_test(test_text_broken_utf8),
		cmocka_unit_test(test_text_wide),
		cmocka_unit_test(test_text_small_buffer),
		cmocka_unit_test(test_text_ascii_terminal),
		cmocka_unit_test(test_table_layout),
		cmocka_unit_test(test_table_spares_columns),
		cmocka_unit_test(test_table_cut),
		cmocka_unit_test(test_table_colour),
		cmocka_unit_test(test_table_grows),
		cmocka_unit_test(test_status_fields),
		cmocka_unit_test(test_status_last_word),
		cmocka_unit_test(test_status_of_what_is_held),
		cmocka_unit_test(test_status_refused),
		cmocka_unit_test(test_status_shown),
		cmocka_unit_test(test_status_reasons),
		cmocka_unit_test(test_status_header),
		cmocka_unit_test(test_status_hostile_text),
		cmocka_unit_test(test_status_out_of_memory),
	};

	setenv("LC_ALL", "C.UTF-8", 1);
	text_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
