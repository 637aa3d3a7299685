/*
 * Output cut into lines: the same lines however the bytes come, and no byte lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job/lines.h"

/* What was emitted: every line with its length in front, "3:abc". */
struct emitted {
	size_t len;
	int lines;
	char text[64 * 1024];
};

static void keep(void *ctx, const char *line, size_t len)
{
	struct emitted *out = ctx;

	out->len += (size_t)sprintf(out->text + out->len, "%zu:", len);
	memcpy(out->text + out->len, line, len);
	out->len += len;
	out->text[out->len] = '\0';
	out->lines++;
}

/* Feeds text in pieces of the length given, then flushes. */
static void feed(struct emitted *out, const char *text, size_t len, size_t piece)
{
	struct lines *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	memset(out, 0, sizeof(*out));
	while (len > 0) {
		size_t n = piece < len ? piece : len;

		lines_feed(l, text, n, keep, out);
		text += n;
		len -= n;
	}
	lines_flush(l, keep, out);
	lines_flush(l, keep, out); /* has nothing left */
	free(l);
}

static struct emitted out, other;

static void assert_lines(const char *text, size_t len, const char *expected)
{
	for (size_t piece = 1; piece <= len + 1; piece++) {
		feed(&out, text, len, piece);
		assert_string_equal(out.text, expected);
	}
}

static void test_lines_in_any_pieces(void **state)
{
	(void)state;
	assert_lines("", 0, "");
	assert_lines("abc\n", 4, "3:abc");
	assert_lines("abc", 3, "3:abc");
	assert_lines("\n", 1, "0:");
	assert_lines("\n\n\n", 3, "0:0:0:");
	assert_lines("a\n\nbc\nd", 7, "1:a0:2:bc1:d");
	assert_lines("a\r\n", 3, "2:a\r");
}

static void test_any_byte_is_kept(void **state)
{
	char text[257];

	(void)state;
	for (int i = 0; i < 256; i++)
		text[i] = (char)(i == '\n' ? 'n' : i);
	text[256] = '\n';
	for (size_t piece = 1; piece < 260; piece++) {
		feed(&out, text, sizeof(text), piece);
		assert_int_equal(out.len, 4 + 256);
		assert_memory_equal(out.text + 4, text, 256);
	}
}

/* Lines of n bytes with the newline and without: the same pieces, and no empty one after them. */
static void assert_cut(size_t n)
{
	static char text[3 * LINES_MAX + 16];
	const size_t pieces[] = { 1, 7, LINES_MAX - 1, LINES_MAX, LINES_MAX + 1, sizeof(text) };

	memset(text, 'x', n);
	text[n] = '\n';
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		feed(&out, text, n + 1, pieces[i]);
		feed(&other, text, n, pieces[i]);
		assert_int_equal(out.lines, (n + LINES_MAX - 1) / LINES_MAX);
		assert_string_equal(out.text, other.text);
		assert_int_equal(out.len,
		    n + strlen("2048:") * (n / LINES_MAX) + (n % LINES_MAX > 0 ? strlen("1:") : 0));
	}
}

static void test_long_lines_are_cut(void **state)
{
	(void)state;
	for (size_t times = 1; times <= 3; times++) {
		assert_cut(times * LINES_MAX);
		assert_cut(times * LINES_MAX + 1);
		assert_cut(times * LINES_MAX + 9);
	}
}

static void test_after_a_long_line(void **state)
{
	static char text[LINES_MAX + 4];

	(void)state;
	memset(text, 'x', LINES_MAX);
	strcpy(text + LINES_MAX, "\nab");
	feed(&out, text, LINES_MAX + 3, 5);
	assert_int_equal(out.lines, 2);
	assert_string_equal(out.text + out.len - 4, "2:ab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_in_any_pieces),
		cmocka_unit_test(test_any_byte_is_kept),
		cmocka_unit_test(test_long_lines_are_cut),
		cmocka_unit_test(test_after_a_long_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
