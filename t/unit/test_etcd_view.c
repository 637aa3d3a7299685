/*
 * What a waiter knows of its job's keys: from ranges and watch messages as etcd writes them, in
 * every order that matters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdbool.h>
#include <string.h>

#include "coord/etcd_view.h"

#define LEASE 0x2a
#define OWN "/g/jobs/j/lock/2a"
#define AHEAD "/g/jobs/j/lock/99"
#define MIDDLE "/g/jobs/j/lock/1"
#define BEHIND "/g/jobs/j/lock/ff"
#define STATE "/g/jobs/j/state"

static struct view view;
static struct err err;

/* ---- As etcd says it ---- */

static json_t *bytes(const char *text)
{
	char base64[256];

	assert_true(
	    b64_ntop((const unsigned char *)text, strlen(text), base64, sizeof(base64)) >= 0);
	return json_string(base64);
}

static json_t *kv(const char *key, const char *value, int create, int mod)
{
	json_t *json =
	    json_pack("{s:o, s:o}", "key", bytes(key), "mod_revision", json_sprintf("%d", mod));

	assert_non_null(json);
	if (value != NULL)
		json_object_set_new(json, "value", bytes(value));
	if (create != 0)
		json_object_set_new(json, "create_revision", json_sprintf("%d", create));
	return json;
}

static json_t *put(const char *key, const char *value, int create, int mod)
{
	return json_pack("{s:o}", "kv", kv(key, value, create, mod));
}

static json_t *deleted(const char *key, int at)
{
	return json_pack("{s:s, s:o}", "type", "DELETE", "kv", kv(key, NULL, 0, at));
}

static json_t *range(int revision, json_t *kvs)
{
	json_t *json = json_pack(
	    "{s:{s:o}, s:o}", "header", "revision", json_sprintf("%d", revision), "kvs", kvs);

	assert_non_null(json);
	return json;
}

static int read_range(int revision, json_t *kvs)
{
	json_t *json = range(revision, kvs);
	int rc = view_read(&view, json, &err);

	json_decref(json);
	return rc;
}

/* A message whose header is ahead of its events, as that of a lagging watch is. */
static int apply(json_t *events)
{
	json_t *json = json_pack("{s:{s:s}, s:o}", "header", "revision", "1000", "events", events);
	int rc = view_apply(&view, json, &err);

	assert_non_null(json);
	json_decref(json);
	return rc;
}

/* Three places and a record, at revision 30. */
static void read_usual(void)
{
	assert_int_equal(read_range(30, json_pack("[o, o, o, o, o]", kv(MIDDLE, "", 15, 15),
					    kv(OWN, "me", 20, 20), kv(AHEAD, "them", 10, 25),
					    kv(BEHIND, "late", 29, 29), kv(STATE, "first", 3, 28))),
	    0);
}

static void assert_state(const char *text, uint64_t mod)
{
	if (text == NULL) {
		assert_null(view.state);
	} else {
		assert_non_null(view.state);
		assert_string_equal(view.state, text);
		assert_int_equal(view.state_len, strlen(text));
	}
	assert_int_equal(view.state_mod, mod);
}

/* ---- Tests ---- */

static void keys_are_those_of_the_recipe(void **state)
{
	(void)state;
	assert_string_equal(view.prefix, "/g/jobs/j/");
	assert_string_equal(view.locks, "/g/jobs/j/lock/");
	assert_string_equal(view.own_key, OWN);
}

static void reads_who_is_ahead(void **state)
{
	(void)state;
	read_usual();
	assert_int_equal(view.revision, 30);
	assert_int_equal(view.own, 20);
	assert_int_equal(view.n_ahead, 2);
	assert_string_equal(view.ahead[0].key, AHEAD);
	assert_string_equal(view.ahead[0].value, "them");
	assert_string_equal(view.ahead[1].key, MIDDLE);
	assert_state("first", 28);
}

static void alone(void **state)
{
	(void)state;
	assert_int_equal(read_range(21, json_pack("[o]", kv(OWN, "me", 20, 20))), 0);
	assert_int_equal(view.own, 20);
	assert_int_equal(view.n_ahead, 0);
	assert_state(NULL, 0);
}

static void own_key_is_missing(void **state)
{
	(void)state;
	assert_int_equal(read_range(21, json_pack("[o]", kv(AHEAD, "x", 20, 20))), 0);
	assert_int_equal(view.own, 0);
}

/* Keys that only look alike are nobody's place. */
static void other_keys(void **state)
{
	(void)state;
	assert_int_equal(
	    read_range(30, json_pack("[o, o, o, o]", kv("/g/jobs/j/lockers", "", 5, 5),
			       kv("/g/jobs/j/state2", "x", 6, 6), kv("/g/jobs/j/owner", "9", 7, 7),
			       kv(OWN, "me", 20, 20))),
	    0);
	assert_int_equal(view.n_ahead, 0);
	assert_state(NULL, 0);
	assert_int_equal(apply(json_pack("[o]", deleted("/g/jobs/j/owner", 31))), 0);
	assert_int_equal(view.own, 20);
}

static void the_last_message(void **state)
{
	(void)state;
	read_usual();
	assert_int_equal(apply(json_pack("[o]", deleted(MIDDLE, 31))), 0);
	assert_int_equal(view.n_ahead, 1);
	assert_int_equal(
	    apply(json_pack("[o, o]", put(STATE, "final", 3, 33), deleted(AHEAD, 33))), 0);
	assert_int_equal(view.n_ahead, 0);
	assert_int_equal(view.own, 20);
	assert_int_equal(view.revision, 33); /* of the events, not of the header */
	assert_state("final", 33);
}

static void somebody_in_the_middle_leaves(void **state)
{
	(void)state;
	read_usual();
	assert_int_equal(
	    apply(json_pack("[o, o]", put(BEHIND, "x", 31, 31), deleted(MIDDLE, 32))), 0);
	assert_int_equal(view.n_ahead, 1);
	assert_string_equal(view.ahead[0].key, AHEAD);
	/* A place whose value changes is still taken. */
	assert_int_equal(apply(json_pack("[o]", put(AHEAD, "renamed", 10, 34))), 0);
	assert_int_equal(view.n_ahead, 1);
}

/* Who comes again after he went is behind us, with the same name as before. */
static void comes_again(void **state)
{
	(void)state;
	read_usual();
	assert_int_equal(
	    apply(json_pack("[o, o]", deleted(AHEAD, 31), put(AHEAD, "them", 32, 32))), 0);
	assert_int_equal(view.n_ahead, 1);
	assert_string_equal(view.ahead[0].key, MIDDLE);
	assert_int_equal(apply(json_pack("[o]", deleted(AHEAD, 33))), 0);
	assert_int_equal(view.n_ahead, 1);
}

static void own_key_is_deleted(void **state)
{
	(void)state;
	read_usual();
	assert_int_equal(apply(json_pack("[o]", deleted(OWN, 31))), 0);
	assert_int_equal(view.own, 0);
	/* Put by somebody else: the place is lost all the same. */
	assert_int_equal(apply(json_pack("[o]", put(OWN, "fake", 32, 32))), 0);
	assert_int_equal(view.own, 0);
}

static void record_is_deleted(void **state)
{
	(void)state;
	read_usual();
	assert_int_equal(apply(json_pack("[o]", deleted(STATE, 31))), 0);
	assert_state(NULL, 0);
	assert_int_equal(apply(json_pack("[o]", put(STATE, "", 32, 32))), 0);
	assert_state("", 32);
}

/* A watch that began before the range says once more what the range said already. */
static void old_news(void **state)
{
	(void)state;
	read_usual();
	assert_int_equal(
	    apply(json_pack("[o, o]", put(STATE, "older", 3, 27), deleted(STATE, 30))), 0);
	assert_state("first", 28);
	assert_int_equal(view.revision, 30);
}

static void nonsense(void **state)
{
	(void)state;
	read_usual();
	assert_int_equal(apply(json_pack("[o, s]", deleted(MIDDLE, 31), "what")), -1);
	assert_true(err.text[0] != '\0');
	assert_int_equal(read_range(30, json_pack("[o, i]", kv(AHEAD, "x", 1, 1), 7)), -1);
	assert_int_equal(view.n_ahead, 0);
	assert_int_equal(view.own, 0);
	assert_int_equal(read_range(0, json_array()), -1);
}

static void a_new_lease_is_a_new_start(void **state)
{
	(void)state;
	read_usual();
	assert_int_equal(view_set_own(&view, 0x7fffffffffffffff, &err), 0);
	assert_string_equal(view.own_key, "/g/jobs/j/lock/7fffffffffffffff");
	assert_int_equal(view.own, 0);
	assert_int_equal(view.n_ahead, 0);
	assert_state(NULL, 0);
}

static int setup(void **state)
{
	(void)state;
	err.text[0] = '\0';
	if (view_init(&view, "/g", "j", &err) != 0)
		return -1;
	return view_set_own(&view, LEASE, &err);
}

static int teardown(void **state)
{
	(void)state;
	view_clear(&view);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(keys_are_those_of_the_recipe),
		TEST(reads_who_is_ahead),
		TEST(alone),
		TEST(own_key_is_missing),
		TEST(other_keys),
		TEST(the_last_message),
		TEST(somebody_in_the_middle_leaves),
		TEST(comes_again),
		TEST(own_key_is_deleted),
		TEST(record_is_deleted),
		TEST(old_news),
		TEST(nonsense),
		TEST(a_new_lease_is_a_new_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
