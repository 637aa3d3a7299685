/* The value of a lock key: ours comes back as words, and what others put there goes into no log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coord/holder.h"

static void ours_is_shown(void **state)
{
	char *value = holder_encode("web-1", NULL);
	char text[HOLDER_TEXT_MAX];
	char pid[32];

	(void)state;
	assert_non_null(value);
	assert_true(holder_show(value, strlen(value), text));
	snprintf(pid, sizeof(pid), " (pid %d) since 2", (int)getpid());
	assert_int_equal(strncmp(text, "web-1 on ", 9), 0);
	assert_non_null(strstr(text, pid));
	assert_int_equal(text[strlen(text) - 1], 'Z');
	free(value);
}

static void others_are_not(void **state)
{
	static const char *const values[] = { "", "x", "{}", "[]", "\"web-1\"",
		"{\"instance\":\"web\\n1\",\"host\":\"h\",\"pid\":1,\"since\":1}",
		"{\"instance\":\"web\",\"host\":\"h\\u001b[2J\",\"pid\":1,\"since\":1}",
		"{\"instance\":\"web\",\"host\":\"h\",\"pid\":\"1\",\"since\":1}",
		"{\"instance\":\"web\",\"host\":\"h\",\"pid\":1}",
		"{\"instance\":\"web\",\"host\":\"h\",\"pid\":1,\"since\":9223372036854775807}" };
	char text[HOLDER_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_false(holder_show(values[i], strlen(values[i]), text));
	assert_false(holder_show("{}\0{}", 5, text));
}

static void long_names_are_cut(void **state)
{
	char value[2048], text[HOLDER_TEXT_MAX], name[1000];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(value, sizeof(value), "{\"instance\":\"%s\",\"host\":\"h\",\"pid\":1,\"since\":1}",
	    name);
	assert_true(holder_show(value, strlen(value), text));
	assert_non_null(strstr(text, "n on h (pid 1) since 1970-01-01T00:00:01Z"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ours_is_shown),
		cmocka_unit_test(others_are_not),
		cmocka_unit_test(long_names_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
