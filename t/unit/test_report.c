/*
 * Reports: what goes in comes out, what is wrong is refused, and the longest one fits the pipe.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "role/report.h"

#define END                                                                              \
	"\"end\":{\"released\":false,\"left\":false,\"unclean\":false,\"failed\":false," \
	"\"asked\":false,\"done\":false}"

static struct err err;

static int encode(const struct report *r, char buf[REPORT_MAX])
{
	int len = report_encode(r, buf, &err);

	assert_in_range(len, 2, REPORT_MAX);
	assert_ptr_equal(memchr(buf, '\n', (size_t)len), buf + len - 1);
	return len;
}

static int decode(const char *text, struct report *r)
{
	strcpy(err.text, "");
	return report_decode(text, strlen(text), r, &err);
}

static void assert_same_end(const struct seat_end *a, const struct seat_end *b)
{
	assert_int_equal(a->released, b->released);
	assert_int_equal(a->left, b->left);
	assert_int_equal(a->unclean, b->unclean);
	assert_int_equal(a->failed, b->failed);
	assert_int_equal(a->asked, b->asked);
	assert_int_equal(a->done, b->done);
}

static void assert_round_trip(const struct report *r)
{
	char buf[REPORT_MAX];
	struct report got;
	int len = encode(r, buf);

	memset(&got, 0xa5, sizeof(got));
	assert_int_equal(report_decode(buf, (size_t)len - 1, &got, &err), 0);
	assert_string_equal(got.state, r->state);
	assert_int_equal(got.failures, r->failures);
	assert_int_equal(got.backups, r->backups);
	assert_int_equal(got.backup_failures, r->backup_failures);
	assert_int_equal(got.took.epoch, r->took.epoch);
	assert_int_equal(got.gave.epoch, r->gave.epoch);
	assert_string_equal(got.took.peer, r->took.peer);
	assert_memory_equal(got.gave.stamps.at, r->gave.stamps.at, sizeof(r->gave.stamps.at));
	assert_string_equal(got.status, r->status);
	assert_string_equal(got.failure, r->failure);
	assert_string_equal(got.holder, r->holder);
	assert_int_equal(got.trouble_kind, r->trouble_kind);
	if (r->trouble_kind != COORD_FINE)
		assert_string_equal(got.trouble, r->trouble);
	assert_int_equal(got.owner, r->owner);
	assert_int_equal(got.placed, r->placed);
	assert_int_equal(got.settled, r->settled);
	assert_int_equal(got.ended_well, r->ended_well);
	assert_int_equal(got.job_pid, r->job_pid);
	assert_int_equal(got.lease, r->lease);
	assert_int_equal(got.lease_ms, r->lease_ms);
	assert_int_equal(got.dead_by, r->dead_by);
	assert_int_equal(got.stop_by, r->stop_by);
	assert_int_equal(got.epoch, r->epoch);
	assert_int_equal(got.seq, r->seq);
	assert_int_equal(got.size, r->size);
	assert_int_equal(got.clean, r->clean);
	assert_int_equal(got.moved, r->moved);
	assert_int_equal(got.to_move, r->to_move);
	assert_int_equal(got.saved, r->saved);
	assert_int_equal(got.ready, r->ready);
	assert_int_equal(got.restarts, r->restarts);
	assert_int_equal(got.since, r->since);
	assert_int_equal(got.retry, r->retry);
	assert_int_equal(got.finished, r->finished);
	assert_same_end(&got.end, &r->end);
}

static struct report a_report(void)
{
	return (struct report){
		.state = "running",
		.owner = true,
		.placed = true,
		.settled = true,
		.job_pid = 4711,
		.lease = 0x694d7e2b5f1a2c03,
		.lease_ms = 14900,
		.dead_by = 86400000,
		.stop_by = 86300000,
		.epoch = 7,
		.seq = 12,
		.size = 4096,
		.clean = true,
		.moved = 3,
		.to_move = 5000000,
		.saved = 1764000000,
		.ready = true,
		.restarts = 3,
		.since = 1763999999,
		.retry = 1764000100,
		.finished = true,
		.status = "42 events \u2013 \"fast\"",
		.failure = "the job exited with status 3",
	};
}

static void test_a_full_report(void **state)
{
	struct report r = a_report();

	(void)state;
	assert_round_trip(&r);
	r.owner = r.placed = r.clean = r.ready = false;
	assert_round_trip(&r);
}

static void test_a_bare_report(void **state)
{
	struct report r = { .state = "standby", .lease_ms = -1 };
	char buf[REPORT_MAX];

	(void)state;
	assert_round_trip(&r);
	buf[encode(&r, buf) - 1] = '\0';
	assert_null(strstr(buf, "job_pid"));
	assert_null(strstr(buf, "\"lease"));
	assert_null(strstr(buf, "seq"));
	r.lease_ms = 0; /* a lease that has just run out is none the less one */
	assert_round_trip(&r);
}

static void test_every_end(void **state)
{
	struct report r = a_report();

	(void)state;
	for (int bits = 0; bits < 64; bits++) {
		r.end.released = bits & 1;
		r.end.left = bits & 2;
		r.end.unclean = bits & 4;
		r.end.failed = bits & 8;
		r.end.done = bits & 16;
		r.end.asked = bits & 32;
		assert_round_trip(&r);
	}
}

static struct report the_largest(void)
{
	struct report r = {
		.owner = true,
		.placed = true,
		.settled = true,
		.ended_well = true,
		.dead_by = MSEC_NEVER - 1,
		.mute_by = MSEC_NEVER - 1,
		.stop_by = MSEC_NEVER - 1,
		.job_pid = INT32_MAX,
		.lease = 1ULL << 63, /* all 64 bits are the server's to choose */
		.lease_ms = INT64_MAX,
		.epoch = INT64_MAX,
		.seq = INT64_MAX,
		.size = INT64_MAX,
		.moved = INT64_MAX,
		.to_move = INT64_MAX,
		.saved = INT64_MAX,
		.restarts = UINT32_MAX,
		.since = INT64_MAX,
		.retry = INT64_MAX,
		.finished = true,
		.end = { .released = true, .unclean = true },
	};

	r.failures = r.backups = r.backup_failures = UINT32_MAX;
	r.took = (struct handover){ .epoch = INT64_MAX, .size = INT64_MAX };
	memset(r.took.peer, 'p', CONF_INSTANCE_MAX);
	for (int i = 0; i < STAMPS_N; i++)
		r.took.stamps.at[i] = INT64_C(253402300799999999); /* the end of the year 9999 */
	r.gave = r.took;
	memset(r.state, 's', REPORT_STATE_MAX);
	memset(r.failure, '"', REPORT_FAILURE_MAX);
	memset(r.holder, '"', REPORT_HOLDER_MAX);
	memset(r.trouble, '"', REPORT_TROUBLE_MAX);
	r.trouble_kind = COORD_TROUBLES - 1;
	return r;
}

static void assert_leaves_room(const struct report *r)
{
	char buf[REPORT_MAX];

	assert_round_trip(r);
	assert_in_range(encode(r, buf), 2, REPORT_LONGEST);
}

static void test_the_longest_report_fits(void **state)
{
	static const char worst[] = { '"', '\\', '/', '\x7f' };
	struct report r = the_largest();

	(void)state;
	for (size_t i = 0; i < sizeof(worst); i++) {
		memset(r.status, worst[i], NOTIFY_STATUS_MAX);
		assert_leaves_room(&r);
	}
	for (size_t i = 0; i < NOTIFY_STATUS_MAX; i += 4)
		memcpy(r.status + i, "\U0001f600", 4);
	assert_leaves_room(&r);
	r.lease = UINT64_MAX;
	assert_leaves_room(&r);
}

static void test_what_the_socket_lets_through_fits(void **state)
{
	struct report r = the_largest();
	char text[600] = "STATUS=";
	struct notify n;

	(void)state;
	for (int c = 1; c < 256; c++) {
		memset(text + 7, c, sizeof(text) - 7);
		notify_parse(text, sizeof(text), &n);
		memcpy(r.status, n.status, sizeof(r.status));
		assert_leaves_room(&r);
	}
}

static void test_kept_words(void **state)
{
	char text[8];

	(void)state;
	report_keep(text, sizeof(text), "a\xc3\xa4\nb");
	assert_string_equal(text, "a???b");
	report_keep(text, sizeof(text), "1234567");
	assert_string_equal(text, "1234567");
	report_keep(text, sizeof(text), "12345678");
	assert_string_equal(text, "1234...");
}

static void assert_refused(const char *text)
{
	struct report r;

	if (decode(text, &r) != -1)
		fail_msg("taken: %s", text);
	assert_string_not_equal(err.text, "");
	assert_null(strchr(err.text, '\n'));
}

static void test_garbage(void **state)
{
	static const char *const texts[] = { "", " ", "x", "{", "}", "[]", "[{}]", "null", "1",
		"\"x\"", "{}", "{\"state\":\"running\"}", "{" END "}",
		"{\"state\":\"running\"," END "} x", "{\"state\":\"running\"," END "}{}",
		"{\"state\":\"run\\u0000\"," END "}", "{\"state\":\"\xff\"," END "}",
		"{\"state\":\"a\nb\"," END "}", "{\"state\":\"running\",\"end\":{" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_refused(texts[i]);
	assert_int_equal(report_decode("{\0}", 3, &(struct report){ 0 }, &err), -1);
}

/* The start of a report is no report. */
static void test_a_report_cut_short(void **state)
{
	struct report r = a_report();
	char buf[REPORT_MAX];
	int len = encode(&r, buf);

	(void)state;
	for (int n = 0; n < len - 1; n++)
		assert_int_equal(report_decode(buf, (size_t)n, &r, &err), -1);
}

static void test_duplicate_fields(void **state)
{
	(void)state;
	assert_refused("{\"state\":\"running\",\"state\":\"running\"," END "}");
	assert_refused("{\"state\":\"running\",\"owner\":true,\"owner\":false," END "}");
	assert_refused("{\"state\":\"running\",\"end\":{\"left\":true,\"left\":false}}");
}

/* A report in which one field has the value given. */
static void with_field(char text[REPORT_MAX], const char *key, const char *value)
{
	struct report r = a_report();
	json_t *o, *v = json_loads(value, JSON_DECODE_ANY, NULL);
	char buf[REPORT_MAX], *out;
	int len = encode(&r, buf);

	assert_non_null(v);
	o = json_loadb(buf, (size_t)len, 0, NULL);
	assert_non_null(o);
	if (strncmp(key, "end.", 4) == 0)
		assert_int_equal(json_object_set_new(json_object_get(o, "end"), key + 4, v), 0);
	else
		assert_int_equal(json_object_set_new(o, key, v), 0);
	out = json_dumps(o, 0);
	assert_in_range(strlen(out), 2, REPORT_MAX - 1);
	strcpy(text, out);
	free(out);
	json_decref(o);
}

static void assert_field(const char *key, const char *value, bool good)
{
	char text[REPORT_MAX];
	struct report r;

	with_field(text, key, value);
	if (!good)
		assert_refused(text);
	else if (decode(text, &r) != 0)
		fail_msg("refused: %s", text);
}

static void test_a_field_of_a_wrong_type(void **state)
{
	static const char *const numbers[] = { "since", "restarts", "epoch", "job_pid", "lease_ms",
		"dead_by", "stop_by", "seq", "size", "moved", "to_move", "saved", "lease" };
	static const char *const bools[] = { "owner", "ended_well", "placed", "settled", "ready",
		"clean", "end.released", "end.left", "end.unclean", "end.failed", "end.asked",
		"end.done" };
	static const char *const wrong[] = { "\"1\"", "1.5", "1.0", "null", "[]", "{}" };

	(void)state;
	for (size_t w = 0; w < sizeof(wrong) / sizeof(wrong[0]); w++) {
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
			assert_field(numbers[i], wrong[w], false);
			assert_field(numbers[i], "true", false);
			assert_field(numbers[i], "5", true);
		}
		for (size_t i = 0; i < sizeof(bools) / sizeof(bools[0]); i++) {
			assert_field(bools[i], wrong[w], false);
			assert_field(bools[i], "1", false);
			assert_field(bools[i], "true", true);
		}
		assert_field("end", wrong[w], false);
		if (w == 0)
			continue;
		assert_field("state", wrong[w], false);
		assert_field("status", wrong[w], false);
	}
}

static void test_a_number_out_of_range(void **state)
{
	static const char *const natural[] = { "since", "restarts", "lease_ms", "dead_by",
		"stop_by", "size", "moved", "saved" };
	static const char *const positive[] = { "epoch", "job_pid", "seq" };

	(void)state;
	for (size_t i = 0; i < sizeof(natural) / sizeof(natural[0]); i++) {
		assert_field(natural[i], "-1", false);
		assert_field(natural[i], "0", true);
	}
	for (size_t i = 0; i < sizeof(positive) / sizeof(positive[0]); i++) {
		assert_field(positive[i], "0", false);
		assert_field(positive[i], "1", true);
	}
	assert_field("job_pid", "2147483647", true);
	assert_field("job_pid", "2147483648", false);
	assert_field("restarts", "4294967295", true);
	assert_field("restarts", "4294967296", false);
	assert_field("epoch", "9223372036854775807", true);
	assert_refused("{\"state\":\"running\",\"epoch\":9223372036854775808," END "}");
	assert_field("lease", "-1", true);
}

static void test_a_text_that_is_too_long(void **state)
{
	char text[NOTIFY_STATUS_MAX + 4];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[0] = text[NOTIFY_STATUS_MAX + 1] = '"';
	text[NOTIFY_STATUS_MAX + 2] = '\0';
	assert_field("status", text, true);
	text[NOTIFY_STATUS_MAX + 1] = 'x';
	text[NOTIFY_STATUS_MAX + 2] = '"';
	text[NOTIFY_STATUS_MAX + 3] = '\0';
	assert_field("status", text, false);
	assert_field("status", "\"\"", true);
	assert_field("state", "\"123456789012345\"", true);
	assert_field("state", "\"1234567890123456\"", false);
	assert_field("state", "\"\"", false);
}

/* A field that every report has; one left out would silently read as "no". */
static void test_a_missing_field(void **state)
{
	static const char *const keys[] = { "owner", "placed", "state", "end", "released", "left",
		"unclean", "failed", "asked", "done" };
	struct report r = a_report();

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char buf[REPORT_MAX], key[20];
		char *at;

		buf[encode(&r, buf) - 1] = '\0';
		snprintf(key, sizeof(key), "\"%s\":", keys[i]);
		at = strstr(buf, key);
		assert_non_null(at);
		at[1] = '_';
		assert_refused(buf);
	}
}

static void test_what_the_world_may_see(void **state)
{
	struct report r = a_report();
	json_t *o = report_public(&r);

	(void)state;
	assert_int_equal(json_object_size(o), 17);
	assert_string_equal(json_string_value(json_object_get(o, "state")), "running");
	assert_int_equal(json_integer_value(json_object_get(o, "job_pid")), 4711);
	assert_true(json_is_true(json_object_get(o, "ready")));
	assert_null(json_object_get(o, "lease"));
	assert_null(json_object_get(o, "owner"));
	assert_null(json_object_get(o, "placed"));
	assert_null(json_object_get(o, "settled"));
	assert_null(json_object_get(o, "end"));
	json_decref(o);
	r = (struct report){ .state = "standby", .lease_ms = -1, .since = 5 };
	o = report_public(&r);
	assert_int_equal(json_object_size(o), 3);
	json_decref(o);
	strcpy(r.holder, "web-2 on hostB (pid 4712)");
	o = report_public(&r);
	assert_string_equal(
	    json_string_value(json_object_get(o, "holder")), "web-2 on hostB (pid 4712)");
	json_decref(o);
}

/* Memory */

static int until_failure; /* allocations that still work; negative: all */

static void *scarce_malloc(size_t size)
{
	if (until_failure == 0)
		return NULL;
	if (until_failure > 0)
		until_failure--;
	return malloc(size);
}

/* The nth allocation fails, for every n, until all is well. */
static void test_out_of_memory(void **state)
{
	struct report r = a_report(), got;
	char buf[REPORT_MAX];
	int len = encode(&r, buf), n, rc = -1;

	(void)state;
	json_set_alloc_funcs(scarce_malloc, free);
	for (n = 0; rc < 0 && n < 1000; n++) {
		char other[REPORT_MAX];

		until_failure = n;
		rc = report_encode(&r, other, &err);
	}
	assert_int_equal(rc, len);
	assert_true(n > 12);
	rc = -1;
	for (n = 0; rc < 0 && n < 1000; n++) {
		until_failure = n;
		rc = report_decode(buf, (size_t)len - 1, &got, &err);
	}
	assert_int_equal(rc, 0);
	assert_string_equal(got.status, r.status);
	until_failure = -1;
	json_set_alloc_funcs(malloc, free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_full_report),
		cmocka_unit_test(test_a_bare_report),
		cmocka_unit_test(test_every_end),
		cmocka_unit_test(test_the_longest_report_fits),
		cmocka_unit_test(test_what_the_socket_lets_through_fits),
		cmocka_unit_test(test_kept_words),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_a_report_cut_short),
		cmocka_unit_test(test_duplicate_fields),
		cmocka_unit_test(test_a_field_of_a_wrong_type),
		cmocka_unit_test(test_a_number_out_of_range),
		cmocka_unit_test(test_a_text_that_is_too_long),
		cmocka_unit_test(test_a_missing_field),
		cmocka_unit_test(test_what_the_world_may_see),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
