/* JSON with long strings, and base64: the same as what jansson and libresolv make of it. */
#include <netinet/in.h>
#include <resolv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/bulk.h"

#define ROUNDS 3000
#define TEXT_MAX 3000

static uint32_t seed = 4711;

static unsigned roll(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* Plain, or with what needs care in it: at the ends, too. */
static json_t *some_string(void)
{
	static const char *const odd[] = { "\"", "\\", "\n", "\1", "0\\u0001", "\xc3\xa4", "\x7f",
		"/" };
	size_t len = roll(2) != 0 ? roll(20) : 200 + roll(TEXT_MAX - 300);
	char text[TEXT_MAX];
	size_t n = 0;

	while (n < len)
		text[n++] = (char)(' ' + 3 + roll(50) % 40);
	for (char *p = text; (p = memchr(p, '\\', n - (size_t)(p - text))) != NULL;)
		*p = 'x';
	for (unsigned i = roll(3) == 0 ? 1 + roll(3) : 0; i > 0 && n + 8 < sizeof(text); i--) {
		const char *what = odd[roll(sizeof(odd) / sizeof(odd[0]))];
		size_t at = roll(2) != 0 ? 0 : n;

		memmove(text + at + strlen(what), text + at, n - at);
		/* It stands in the middle of a text. */
		/* NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
		memcpy(text + at, what, strlen(what));
		n += strlen(what);
	}
	return json_stringn(text, n);
}

static json_t *some_value(int depth) /* NOLINT(misc-no-recursion) */
{
	unsigned n = roll(4);
	json_t *json;

	switch (depth > 0 ? roll(6) : 2 + roll(4)) {
	case 0:
		json = json_array();
		while (n-- > 0)
			json_array_append_new(json, some_value(depth - 1));
		return json;
	case 1:
		json = json_object();
		while (n-- > 0) {
			json_t *key = some_string();

			json_object_set_new(json, json_string_value(key), some_value(depth - 1));
			json_decref(key);
		}
		return json;
	case 2: return json_integer((json_int_t)roll(1000) - 500);
	case 3: return roll(2) != 0 ? json_true() : json_null();
	default: return some_string();
	}
}

static json_t *some_document(void)
{
	json_t *json = json_object();

	for (unsigned i = 0, n = roll(12); i < n; i++) {
		char key[8];

		snprintf(key, sizeof(key), "k%u", i);
		json_object_set_new(json, key, some_value(3));
	}
	return json;
}

static void dumps_and_loads_as_jansson_does(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		json_t *json = some_document(), *back;
		char *wanted = json_dumps(json, JSON_COMPACT);
		char *spaced = json_dumps(json, JSON_INDENT(2));
		char *got = bulk_dump(json);

		assert_string_equal(got, wanted);
		back = bulk_load(got, strlen(got), 0, NULL);
		assert_true(json_equal(back, json));
		json_decref(back);
		back = bulk_load(spaced, strlen(spaced), JSON_REJECT_DUPLICATES, NULL);
		assert_true(json_equal(back, json));
		json_decref(back);
		json_decref(json);
		free(wanted);
		free(spaced);
		free(got);
	}
}

/* Cut or bent anywhere: refused, or taken, as jansson does. */
static void refuses_what_jansson_refuses(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		json_t *json = some_document(), *a, *b;
		char *text = json_dumps(json, JSON_COMPACT);
		json_error_t mine, theirs;
		size_t len = strlen(text);

		if (roll(2) != 0)
			len = roll((unsigned)len + 1);
		if (len > 0)
			text[roll((unsigned)len)] = "\"\\{},:\1x"[roll(8)];
		a = bulk_load(text, len, JSON_REJECT_DUPLICATES, &mine);
		b = json_loadb(text, len, JSON_REJECT_DUPLICATES, &theirs);
		assert_true((a == NULL) == (b == NULL));
		if (a == NULL)
			assert_int_equal(mine.position, theirs.position);
		else
			assert_true(json_equal(a, b));
		json_decref(a);
		json_decref(b);
		json_decref(json);
		free(text);
	}
}

static void decodes_what_libresolv_encodes(void **state)
{
	unsigned char bytes[64], back[64 + 3];
	char text[100];

	(void)state;
	for (size_t n = 0; n < sizeof(bytes); n++) {
		int len;

		for (size_t i = 0; i < n; i++)
			bytes[i] = (unsigned char)roll(256);
		len = b64_ntop(bytes, n, text, sizeof(text));
		assert_true(len >= 0 && BASE64_ROOM((size_t)len) <= sizeof(back));
		assert_int_equal(base64_decode(text, (size_t)len, back), n);
		assert_memory_equal(back, bytes, n);
	}
}

static void refuses_what_is_not_base64(void **state)
{
	static const char *const bad[] = { "A", "AA", "AAA", "AAAAA", "A===", "====", "AA=A",
		"=AAA", "AB==", "AAB=", "AA==AAAA", "AA A", "AA\nA", "AA-_", "AA\377A", "AAA!" };
	unsigned char data[8];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base64_decode(bad[i], strlen(bad[i]), data), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dumps_and_loads_as_jansson_does),
		cmocka_unit_test(refuses_what_jansson_refuses),
		cmocka_unit_test(decodes_what_libresolv_encodes),
		cmocka_unit_test(refuses_what_is_not_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
