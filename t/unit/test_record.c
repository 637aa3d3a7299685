#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/record.h"

#define SHA_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA_NONE "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* The parts of a good record, to be put together with a bad one. */
#define EPOCH "\"epoch\":7"
#define SEQ "\"seq\":3"
#define SIZE "\"size\":3"
#define SHA "\"sha256\":\"" SHA_ABC "\""
#define CLEAN "\"clean\":true"
#define NAMES "\"instance\":\"web-1\",\"time\":\"2026-11-22T23:50:19.123Z\""
#define DATA "\"data\":\"YWJj\""
#define ZDATA "\"zdata\":\"eJxLTEoGAAJNASc=\"" /* the same */
#define URL "\"url\":\"file:///s/orders/7-3\""
#define GOOD EPOCH "," SEQ "," SIZE "," SHA "," CLEAN "," NAMES
#define FORTY "----------------------------------------"

static struct err err;

static int decode(const char *text, struct record *r)
{
	memset(&err, 0, sizeof(err));
	memset(r, 0xa5, sizeof(*r));
	return record_decode(text, strlen(text), r, &err);
}

static struct record make(void)
{
	struct record r = { .epoch = 7, .seq = 3, .clean = true };

	strcpy(r.instance, "web-1");
	strcpy(r.time, "2026-11-22T23:50:19.123Z");
	strcpy(r.sha256, SHA_NONE);
	return r;
}

static void set_data(struct record *r, const void *data, size_t size)
{
	r->data = malloc(size + 1);
	assert_non_null(r->data);
	memcpy(r->data, data, size);
	r->size = size;
}

static void assert_same(const struct record *a, const struct record *b)
{
	assert_int_equal(a->epoch, b->epoch);
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->clean, b->clean);
	assert_int_equal(a->done, b->done);
	assert_int_equal(a->empty, b->empty);
	assert_int_equal(a->after.epoch, b->after.epoch);
	assert_int_equal(a->after.seq, b->after.seq);
	assert_int_equal(a->after.clean, b->after.clean);
	assert_string_equal(a->sha256, b->sha256);
	assert_string_equal(a->instance, b->instance);
	assert_string_equal(a->time, b->time);
	assert_int_equal(a->url != NULL, b->url != NULL);
	assert_int_equal(a->data != NULL, b->data != NULL);
	if (a->url != NULL)
		assert_string_equal(a->url, b->url);
	if (a->data != NULL)
		assert_memory_equal(a->data, b->data, (size_t)a->size);
}

/* Encodes, decodes and compares; clears r. */
static void round_trip(struct record *r)
{
	struct record back;
	char *text = record_encode(r, &err);

	assert_non_null(text);
	assert_int_equal(decode(text, &back), 0);
	assert_same(r, &back);
	record_clear(&back);
	record_clear(r);
	free(text);
}

static void test_text_is_as_documented(void **state)
{
	struct record r = make();
	char *text;

	(void)state;
	set_data(&r, "abc", 3);
	strcpy(r.sha256, SHA_ABC);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): record_clear() frees it */
	text = record_encode(&r, &err);
	assert_string_equal(text, "{" GOOD "," DATA "}");
	free(text);
	record_clear(&r);
}

/* Stamps are for people: an old record has none, a bad one counts as none. */
static void test_stamps(void **state)
{
	struct record r = make();
	struct record back;
	char *text;

	(void)state;
	r.empty = true;
	r.stamps.at[STAMP_TOLD] = 1795392459000000;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): record_clear() frees it */
	text = record_encode(&r, &err);
	assert_non_null(strstr(text, ",\"stamps\":{\"told\":1795392459000000}"));
	assert_int_equal(decode(text, &back), 0);
	assert_int_equal(back.stamps.at[STAMP_TOLD], 1795392459000000);
	free(text);
	record_clear(&back);
	assert_int_equal(decode("{" GOOD "," DATA ",\"stamps\":[1,2]}", &back), 0);
	assert_int_equal(back.stamps.at[STAMP_TOLD], 0);
	record_clear(&back);
}

static void test_round_trip_of_every_length(void **state)
{
	unsigned char bytes[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 37 + 200);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		struct record r = make();

		set_data(&r, bytes, len);
		round_trip(&r);
	}
}

/* Returns whether its bytes were compressed. */
static bool packs(const void *bytes, size_t size)
{
	struct record r = make();
	char *text;
	bool does;

	set_data(&r, bytes, size);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): record_clear() frees it */
	text = record_encode(&r, &err);
	assert_non_null(text);
	does = strstr(text, ",\"zdata\":\"") != NULL;
	assert_int_equal(strstr(text, ",\"data\":\"") == NULL, does);
	free(text);
	round_trip(&r);
	return does;
}

/* Which is not always possible. */
static void test_large_states_are_compressed(void **state)
{
	static unsigned char same[70000], noise[70000];
	uint32_t x = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(noise); i++) {
		x = x * 1664525 + 1013904223;
		noise[i] = (unsigned char)(x >> 24);
		same[i] = (unsigned char)(i % 26);
	}
	for (size_t size = 0; size < sizeof(same); size = size * 5 / 4 + 1) {
		assert_int_equal(packs(same, size), size >= 256);
		assert_false(packs(noise, size));
	}
}

static void test_a_compressed_state_is_read(void **state)
{
	struct record r;

	(void)state;
	assert_int_equal(decode("{" GOOD "," ZDATA "}", &r), 0);
	assert_int_equal(r.size, 3);
	assert_memory_equal(r.data, "abc", 3);
	record_clear(&r);
}

static void test_round_trip_of_url_and_empty(void **state)
{
	struct record r = make();

	(void)state;
	r.url = strdup("file:///var/lib/gr\xc3\xa4\x63\x65 \"ful\"/orders/7-3");
	r.size = INT64_MAX;
	r.epoch = INT64_MAX;
	r.clean = false;
	r.done = true;
	r.after = (struct record_trace){ 5, 2, true };
	round_trip(&r);
	r = make();
	r.empty = true;
	round_trip(&r);
}

static void test_an_empty_state_is_not_no_state(void **state)
{
	struct record r;

	(void)state;
	assert_int_equal(decode("{" EPOCH "," SEQ ",\"size\":0,\"sha256\":\"" SHA_NONE "\"," CLEAN
				"," NAMES ",\"data\":\"\"}",
			     &r),
	    0);
	assert_non_null(r.data);
	assert_false(r.empty);
	record_clear(&r);
	assert_int_equal(
	    decode("{" EPOCH "," SEQ ",\"size\":0,\"sha256\":\"" SHA_NONE "\"," CLEAN "," NAMES "}",
		&r),
	    0);
	assert_null(r.data);
	assert_true(r.empty);
	record_clear(&r);
}

static void test_unknown_fields_are_ignored(void **state)
{
	struct record r;

	(void)state;
	assert_int_equal(decode("{" GOOD "," DATA ",\"later\":{\"x\":[1]}}", &r), 0);
	assert_memory_equal(r.data, "abc", 3);
	record_clear(&r);
}

static void test_bad_records_are_refused(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} bad[] = {
		{ "", "JSON" },
		{ "{", "JSON" },
		{ "{" GOOD "," DATA "} {", "JSON" },
		{ "[]", "object" },
		{ "{" EPOCH "," EPOCH "," SEQ "," SIZE "," SHA "," CLEAN "," NAMES "," DATA "}",
		    "JSON" },
		{ "{" SEQ "," SIZE "," SHA "," CLEAN "," NAMES "," DATA "}", "\"epoch\"" },
		{ "{\"epoch\":-1," SEQ "," SIZE "," SHA "," CLEAN "," NAMES "," DATA "}",
		    "\"epoch\"" },
		{ "{\"epoch\":7.0," SEQ "," SIZE "," SHA "," CLEAN "," NAMES "," DATA "}",
		    "\"epoch\"" },
		{ "{\"epoch\":9223372036854775808," SEQ "," SIZE "," SHA "," CLEAN "," NAMES
		  "," DATA "}",
		    "JSON" },
		{ "{" EPOCH ",\"seq\":\"3\"," SIZE "," SHA "," CLEAN "," NAMES "," DATA "}",
		    "\"seq\"" },
		{ "{" EPOCH "," SEQ ",\"size\":4," SHA "," CLEAN "," NAMES "," DATA "}",
		    "holds 3 bytes" },
		{ "{" EPOCH "," SEQ ",\"size\":2," SHA "," CLEAN "," NAMES "," DATA "}",
		    "holds 3 bytes" },
		{ "{" EPOCH "," SEQ "," SIZE ",\"sha256\":\"ba78\"," CLEAN "," NAMES "," DATA "}",
		    "\"sha256\"" },
		{ "{" EPOCH "," SEQ "," SIZE ",\"sha256\":\"" SHA_ABC "0\"," CLEAN "," NAMES
		  "," DATA "}",
		    "\"sha256\"" },
		{ "{" EPOCH "," SEQ "," SIZE ",\"sha256\":\"" FORTY "------------------------\","
		  "" CLEAN "," NAMES "," DATA "}",
		    "\"sha256\"" },
		{ "{" EPOCH "," SEQ "," SIZE
		  ",\"sha256\":\"BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"
		  "\"," CLEAN "," NAMES "," DATA "}",
		    "\"sha256\"" },
		{ "{" EPOCH "," SEQ "," SIZE "," SHA ",\"clean\":1," NAMES "," DATA "}",
		    "\"clean\"" },
		{ "{" EPOCH "," SEQ "," SIZE "," SHA "," NAMES "," DATA "}", "\"clean\"" },
		{ "{" GOOD ",\"done\":\"yes\"," DATA "}", "\"done\"" },
		{ "{" GOOD ",\"after\":7," DATA "}", "\"after\"" },
		{ "{" GOOD ",\"after\":{\"epoch\":-1,\"seq\":1,\"clean\":true}," DATA "}",
		    "\"after\"" },
		{ "{" GOOD ",\"after\":{\"epoch\":1,\"seq\":1}," DATA "}", "\"clean\"" },
		{ "{" EPOCH "," SEQ "," SIZE "," SHA "," CLEAN
		  ",\"instance\":\"a\\u001b[2J\",\"time\":\"\"," DATA "}",
		    "\"instance\"" },
		{ "{" EPOCH "," SEQ "," SIZE "," SHA "," CLEAN ",\"instance\":\"" FORTY FORTY
		  "\",\"time\":\"\"," DATA "}",
		    "\"instance\"" },
		{ "{" EPOCH "," SEQ "," SIZE "," SHA "," CLEAN
		  ",\"instance\":\"a\",\"time\":\"" FORTY "\"," DATA "}",
		    "\"time\"" },
		{ "{" EPOCH "," SEQ "," SIZE "," SHA "," CLEAN ",\"instance\":\"a\\u0000b\","
		  "\"time\":\"\"," DATA "}",
		    "JSON" },
		{ "{" GOOD ",\"url\":\"file:///s\x7f/orders/7-3\"}", "\"url\"" },
		{ "{" GOOD "}", "no \"url\"" },
		{ "{" GOOD "," DATA "," URL "}", "more than one" },
		{ "{" GOOD "," DATA "," ZDATA "}", "more than one" },
		{ "{" GOOD "," ZDATA "," URL "}", "more than one" },
		{ "{" GOOD ",\"zdata\":7}", "\"zdata\"" },
		{ "{" GOOD ",\"zdata\":\"YWJj!\"}", "base64" },
		{ "{" GOOD ",\"zdata\":\"YWJj\"}", "zlib" },
		{ "{" GOOD ",\"zdata\":\"\"}", "zlib" },
		/* "abc" without its end, with more behind it, with a check sum that is not its own
		 */
		{ "{" GOOD ",\"zdata\":\"eJxLTEoGAAJN\"}", "zlib" },
		{ "{" GOOD ",\"zdata\":\"eJxLTEoGAAJNASdh\"}", "zlib" },
		{ "{" GOOD ",\"zdata\":\"eJxLTEoGAAJNASY=\"}", "zlib" },
		{ "{" EPOCH "," SEQ ",\"size\":2," SHA "," CLEAN "," NAMES "," ZDATA "}", "zlib" },
		{ "{" EPOCH "," SEQ ",\"size\":4," SHA "," CLEAN "," NAMES "," ZDATA "}", "zlib" },
		{ "{" EPOCH "," SEQ ",\"size\":8388609," SHA "," CLEAN "," NAMES "," ZDATA "}",
		    "limit" },
		{ "{" GOOD ",\"data\":\"YWJj!\"}", "base64" },
		{ "{" GOOD ",\"data\":\"YWJ\"}", "base64" },
		{ "{" GOOD ",\"data\":null}", "\"data\"" },
		{ "{" GOOD ",\"url\":\"\"}", "\"url\"" },
		{ "{" GOOD ",\"url\":3}", "\"url\"" },
		{ "{" GOOD ",\"url\":\"file:///s\\n/orders/7-3\"}", "\"url\"" },
		{ "{" EPOCH "," SEQ ",\"size\":0," SHA "," CLEAN "," NAMES "}", "no bytes" },
	};
	static const struct record cleared;
	struct record r;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (decode(bad[i].text, &r) == 0)
			fail_msg("accepted %s", bad[i].text);
		assert_memory_equal(&r, &cleared, sizeof(r));
		if (strstr(err.text, bad[i].says) == NULL)
			fail_msg("%s: \"%s\" does not say %s", bad[i].text, err.text, bad[i].says);
	}
}

static void test_a_url_has_a_maximum(void **state)
{
	char text[sizeof(GOOD) + RECORD_URL_MAX + 64];
	struct record r;

	(void)state;
	snprintf(text, sizeof(text), "{" GOOD ",\"url\":\"%0*d\"}", RECORD_URL_MAX, 0);
	assert_int_equal(decode(text, &r), 0);
	record_clear(&r);
	snprintf(text, sizeof(text), "{" GOOD ",\"url\":\"%0*d\"}", RECORD_URL_MAX + 1, 0);
	assert_int_equal(decode(text, &r), -1);
}

static void test_a_text_too_large_is_refused_unread(void **state)
{
	struct record r;

	(void)state;
	/* Reading one byte of it would crash. */
	assert_int_equal(record_decode((const char *)8, RECORD_TEXT_MAX + 1, &r, &err), -1);
	assert_non_null(strstr(err.text, "limit"));
}

static void test_what_could_not_be_read_back_is_not_written(void **state)
{
	struct record r = make();

	(void)state;
	r.epoch = (uint64_t)INT64_MAX + 1;
	r.empty = true;
	assert_null(record_encode(&r, &err));
	r = make();
	r.size = RECORD_TEXT_MAX / 4 * 3;
	r.data = calloc(1, (size_t)r.size);
	assert_non_null(r.data);
	assert_null(record_encode(&r, &err));
	assert_non_null(strstr(err.text, "inline_max"));
	r.size -= 4096;
	round_trip(&r);
}

static void test_a_copy_shares_nothing(void **state)
{
	static const struct record cleared;
	struct record r = make();
	struct record copy;

	(void)state;
	set_data(&r, "a\0c", 3);
	assert_int_equal(record_copy(&copy, &r, &err), 0);
	assert_same(&r, &copy);
	r.data[0] = 'x';
	assert_memory_equal(copy.data, "a\0c", 3);
	record_clear(&copy);
	record_clear(&r);
	assert_memory_equal(&r, &cleared, sizeof(r));
	r.url = strdup("file:///s/orders/7-3");
	assert_int_equal(record_copy(&copy, &r, &err), 0);
	assert_ptr_not_equal(copy.url, r.url);
	assert_same(&r, &copy);
	record_clear(&copy);
	record_clear(&r);
}

static int allocations_left;

static void *failing_malloc(size_t size)
{
	return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void test_every_allocation_may_fail(void **state)
{
	struct record r = make();
	struct record back;
	char *text;
	int n;

	(void)state;
	set_data(&r, "abc", 3);
	r.done = true;
	json_set_alloc_funcs(failing_malloc, free);
	for (n = 0, text = NULL; text == NULL; n++) {
		allocations_left = n;
		err.text[0] = '\0';
		text = record_encode(&r, &err);
		assert_true(text != NULL || err.text[0] != '\0');
	}
	assert_true(n > 10);
	for (n = 0; n < 10000; n++) {
		allocations_left = n;
		if (decode(text, &back) == 0)
			break;
		assert_null(back.data);
		assert_true(err.text[0] != '\0');
	}
	json_set_alloc_funcs(malloc, free);
	assert_true(n > 10 && n < 10000);
	assert_same(&r, &back);
	record_clear(&back);
	record_clear(&r);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_is_as_documented),
		cmocka_unit_test(test_stamps),
		cmocka_unit_test(test_round_trip_of_every_length),
		cmocka_unit_test(test_large_states_are_compressed),
		cmocka_unit_test(test_a_compressed_state_is_read),
		cmocka_unit_test(test_round_trip_of_url_and_empty),
		cmocka_unit_test(test_an_empty_state_is_not_no_state),
		cmocka_unit_test(test_unknown_fields_are_ignored),
		cmocka_unit_test(test_bad_records_are_refused),
		cmocka_unit_test(test_a_url_has_a_maximum),
		cmocka_unit_test(test_a_text_too_large_is_refused_unread),
		cmocka_unit_test(test_what_could_not_be_read_back_is_not_written),
		cmocka_unit_test(test_a_copy_shares_nothing),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
