/*
 * Stamps of a hand-over: phases between the known ones, what goes through JSON and what does not;
 * and the history file that they are kept in.
 */
#include "state_test.h"

#include "base/fs.h"
#include "role/history.h"

static void phases_are_between_known_steps(void **state)
{
	struct stamps s = { .at = {
				[STAMP_TOLD] = 100, [STAMP_DUMPED] = 250, [STAMP_GRANTED] = 240 } };
	int64_t usec;

	(void)state;
	assert_false(stamps_phase(&s, STAMP_TOLD, &usec));
	assert_false(stamps_phase(&s, STAMP_SIGNALLED, &usec));
	assert_true(stamps_phase(&s, STAMP_DUMPED, &usec));
	assert_int_equal(usec, 150);
	assert_true(stamps_phase(&s, STAMP_GRANTED, &usec)); /* of another clock */
	assert_int_equal(usec, -10);
	assert_true(stamps_total(&s, &usec));
	assert_int_equal(usec, 140);
	s = (struct stamps){ .at = { [STAMP_GRANTED] = 240 } };
	assert_false(stamps_total(&s, &usec));
	assert_string_equal(stamp_phase(STAMP_RELEASED), "commit");
	assert_null(stamp_phase(STAMP_TOLD));
	assert_string_equal(stamp_key(STAMP_STARTED), "started");
}

static void stamps_follow_each_other(void **state)
{
	struct stamps s = { 0 };

	(void)state;
	for (enum stamp i = 0; i < STAMPS_N; i++)
		stamps_take(&s, i);
	for (enum stamp i = 1; i < STAMPS_N; i++)
		assert_true(s.at[i] >= s.at[i - 1]);
	assert_true(s.at[0] > INT64_C(1577836800000000)); /* of this century's wall clocks */
}

static bool decode_text(const char *text, struct stamps *s)
{
	json_t *o = json_loads(text, JSON_DECODE_ANY, NULL);
	bool ok;

	assert_non_null(o);
	ok = stamps_decode(o, s);
	json_decref(o);
	return ok;
}

static void bad_stamps_are_none(void **state)
{
	static const char *const bad[] = { "[]", "7", "{\"told\":\"7\"}", "{\"told\":-1}",
		"{\"told\":7,\"dumped\":1.5}", "{\"told\":9223372036854775807}",
		"{\"told\":null}" };
	struct stamps s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&s, 0xa5, sizeof(s));
		assert_false(decode_text(bad[i], &s));
		for (int k = 0; k < STAMPS_N; k++)
			assert_int_equal(s.at[k], 0);
	}
	assert_true(stamps_decode(NULL, &s));
	assert_true(decode_text("{\"told\":7,\"later\":\"unknown\"}", &s));
	assert_int_equal(s.at[STAMP_TOLD], 7);
}

static struct history_line a_line(uint64_t epoch)
{
	struct history_line l = { .took = epoch % 2 != 0,
		.job = "orders",
		.instance = "web-1",
		.handover = { .epoch = epoch, .size = 42, .clean = true, .peer = "web-2" } };

	l.handover.stamps.at[STAMP_TOLD] = 1795392459000000;
	l.handover.stamps.at[STAMP_STARTED] = 1795392459000400;
	return l;
}

struct found {
	struct history_line last;
	size_t n;
	uint64_t lowest;
};

static void find(const struct history_line *line, void *ctx)
{
	struct found *f = ctx;

	if (f->n++ == 0)
		f->lowest = line->handover.epoch;
	assert_true(f->n == 1 || line->handover.epoch == f->last.handover.epoch + 1);
	f->last = *line;
}

static struct found read_all(size_t bad)
{
	struct found f = { 0 };
	size_t found_bad;

	if (history_read(scratch, find, &f, &found_bad, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(found_bad, bad);
	return f;
}

static void add(uint64_t epoch)
{
	struct history_line l = a_line(epoch);

	if (history_add(scratch, &l, &err) != 0)
		fail_msg("%s", err.text);
}

static void a_line_comes_back(void **state)
{
	struct history_line l = a_line(7);
	struct found f;

	(void)state;
	assert_int_equal(read_all(0).n, 0);
	add(6);
	add(7);
	f = read_all(0);
	assert_int_equal(f.n, 2);
	assert_true(f.last.took);
	assert_string_equal(f.last.job, l.job);
	assert_string_equal(f.last.instance, l.instance);
	assert_string_equal(f.last.handover.peer, "web-2");
	assert_int_equal(f.last.handover.size, 42);
	assert_true(f.last.handover.clean);
	assert_memory_equal(
	    f.last.handover.stamps.at, l.handover.stamps.at, sizeof(l.handover.stamps.at));
}

/* However long it goes on: bounded, and the newest are there. */
static void the_file_does_not_grow_for_ever(void **state)
{
	struct stat new, old;
	struct found f;

	(void)state;
	for (uint64_t i = 1; i <= 16000; i++)
		add(i);
	assert_int_equal(stat(at("history"), &new), 0);
	assert_int_equal(stat(at("history.old"), &old), 0);
	assert_in_range(new.st_size, 1, HISTORY_MAX);
	assert_in_range(old.st_size, 1, HISTORY_MAX);
	f = read_all(0);
	assert_int_equal(f.last.handover.epoch, 16000);
	assert_true(f.n > 4000);
	assert_true(f.lowest > 1);
}

/* What a crash or somebody's editor made of it. */
static void nonsense_is_skipped(void **state)
{
	static const char *const lines[] = { "{", "[]", "4711", "{\"way\":\"took\"}", "\x1b[2J",
		"{\"way\":\"took\",\"job\":\"../x\",\"instance\":\"a\",\"epoch\":1,\"size\":1,"
		"\"clean\":true,\"stamps\":{}}",
		"{\"way\":\"took\",\"job\":\"a\",\"instance\":\"a\\n\",\"epoch\":1,\"size\":1,"
		"\"clean\":true,\"stamps\":{}}",
		"{\"way\":\"took\",\"job\":\"a\",\"instance\":\"a\",\"peer\":\"\\u001b\","
		"\"epoch\":1,\"size\":1,\"clean\":true,\"stamps\":{}}",
		"{\"way\":\"stole\",\"job\":\"a\",\"instance\":\"a\",\"epoch\":1,\"size\":1,"
		"\"clean\":true,\"stamps\":{}}",
		"{\"way\":\"took\",\"job\":\"a\",\"instance\":\"a\",\"epoch\":0,\"size\":1,"
		"\"clean\":true,\"stamps\":{}}" };
	size_t n = sizeof(lines) / sizeof(lines[0]);
	char text[8192] = "";
	struct found f;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		strcat(text, lines[i]);
		strcat(text, "\n");
	}
	strcat(text, "{\"way\":\"took\",\"jo"); /* torn, and no newline behind it */
	write_file(at("history"), text, strlen(text));
	add(7);
	f = read_all(n + 1);
	assert_int_equal(f.n, 1);
	assert_int_equal(f.last.handover.epoch, 7);
	memset(text, 'x', sizeof(text));
	write_file(at("history"), text, sizeof(text));
	assert_int_equal(read_all(1).n, 0);
}

static void follows_no_link(void **state)
{
	struct history_line l = a_line(7);

	(void)state;
	write_text(at("precious"), "mine");
	assert_int_equal(symlink(at("precious"), at("history")), 0);
	assert_int_equal(history_add(scratch, &l, &err), -1);
	assert_int_equal(unlink(at("history")), 0);
	assert_int_equal(mkfifo(at("history"), 0600), 0);
	assert_int_equal(history_add(scratch, &l, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phases_are_between_known_steps),
		cmocka_unit_test(stamps_follow_each_other),
		cmocka_unit_test(bad_stamps_are_none),
		IN_SCRATCH(a_line_comes_back),
		IN_SCRATCH(the_file_does_not_grow_for_ever),
		IN_SCRATCH(nonsense_is_skipped),
		IN_SCRATCH(follows_no_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
