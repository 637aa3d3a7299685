/*
 * The lines of an answer, however its bytes come, and the bounds of what is kept of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "net/http_lines.h"

static void add(struct http_lines *l, const char *text)
{
	assert_null(http_lines_add(l, text, strlen(text), true));
}

static void assert_next(struct http_lines *l, const char *text)
{
	size_t len;
	const char *line = http_lines_next(l, &len);

	assert_non_null(line);
	assert_string_equal(line, text);
	assert_int_equal(len, strlen(text));
}

static void assert_none(struct http_lines *l)
{
	size_t len;

	assert_false(http_lines_any(l));
	assert_null(http_lines_next(l, &len));
}

static void test_lines_come_in_pieces(void **state)
{
	struct http_lines l = { .max = 100 };

	(void)state;
	assert_none(&l);
	add(&l, "o");
	assert_none(&l);
	add(&l, "ne\n\nthr");
	assert_next(&l, "one");
	add(&l, "ee\nfo");
	assert_next(&l, "");
	assert_next(&l, "three");
	assert_none(&l);
	http_lines_trim(&l); /* half a line is not lost */
	add(&l, "ur\n");
	assert_next(&l, "four");
	http_lines_free(&l);
}

static void test_the_last_one_needs_no_newline(void **state)
{
	struct http_lines l = { .max = 100 };

	(void)state;
	add(&l, "one\ntwo");
	http_lines_end(&l);
	assert_next(&l, "one");
	assert_next(&l, "two");
	assert_none(&l);
	http_lines_free(&l);
}

static void test_an_answer_without_lines(void **state)
{
	struct http_lines l = { .max = 7 };
	size_t len;

	(void)state;
	assert_string_equal(http_lines_rest(&l, &len), "");
	assert_int_equal(len, 0);
	assert_null(http_lines_add(&l, "a\nb\n", 4, false));
	assert_null(http_lines_add(&l, "\0cd", 3, false));
	assert_none(&l);
	assert_memory_equal(http_lines_rest(&l, &len), "a\nb\n\0cd", 8);
	assert_int_equal(len, 7);
	assert_non_null(http_lines_add(&l, "e", 1, false));
	http_lines_free(&l);
}

static void test_a_line_is_bounded_and_not_their_number(void **state)
{
	struct http_lines l = { .max = 4 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		add(&l, "four\n");
	add(&l, "four");
	assert_non_null(http_lines_add(&l, "x", 1, true));
	http_lines_free(&l);
}

static void test_what_is_complete_before_a_long_line_is_told(void **state)
{
	struct http_lines l = { .max = 4 };

	(void)state;
	assert_non_null(http_lines_add(&l, "four\nfives\n", 11, true));
	assert_next(&l, "four");
	assert_none(&l);
	http_lines_free(&l);
}

static void test_a_large_buffer_is_given_back(void **state)
{
	struct http_lines l = { .max = 10000 };
	char *large = malloc(10000);

	(void)state;
	assert_non_null(large);
	memset(large, 'x', 9999);
	large[9999] = '\n';
	assert_null(http_lines_add(&l, large, 10000, true));
	free(large);
	http_lines_trim(&l);
	assert_true(http_lines_any(&l));
	assert_non_null(http_lines_next(&l, &(size_t){ 0 }));
	http_lines_trim(&l);
	assert_null(l.data);
	add(&l, "small\n");
	assert_next(&l, "small");
	http_lines_trim(&l);
	assert_non_null(l.data);
	http_lines_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_come_in_pieces),
		cmocka_unit_test(test_the_last_one_needs_no_newline),
		cmocka_unit_test(test_an_answer_without_lines),
		cmocka_unit_test(test_a_line_is_bounded_and_not_their_number),
		cmocka_unit_test(test_what_is_complete_before_a_long_line_is_told),
		cmocka_unit_test(test_a_large_buffer_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
