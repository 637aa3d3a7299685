/* The requests. */
#include "coord/etcd_wire.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

/*
 * All of these return a new reference or NULL; and all take over the references that they are
 * given, also when they fail and when one of them is NULL, so that they can be nested.
 */

static json_t *number(uint64_t value)
{
	return json_sprintf("%" PRIu64, value);
}

static json_t *bytes(const void *data, size_t len)
{
	size_t room = (len + 2) / 3 * 4 + 1;
	char *text = malloc(room);
	json_t *json = NULL;
	int written;

	if (text == NULL)
		return NULL;
	written = b64_ntop(data, len, text, room);
	if (written >= 0)
		json = json_stringn_nocheck(text, (size_t)written);
	free(text);
	return json;
}

static json_t *text_bytes(const char *text)
{
	return bytes(text, strlen(text));
}

/* The end of the range of all keys that begin with prefix, which ends with a plain character. */
static json_t *prefix_end(const char *prefix)
{
	size_t len = strlen(prefix);
	char *end = strdup(prefix);
	json_t *json;

	if (end == NULL || len == 0) {
		free(end);
		return NULL;
	}
	end[len - 1]++;
	json = bytes(end, len);
	free(end);
	return json;
}

static json_t *set(json_t *object, const char *key, json_t *value)
{
	if (object != NULL && json_object_set_new(object, key, value) == 0)
		return object;
	if (object == NULL)
		json_decref(value);
	json_decref(object);
	return NULL;
}

static json_t *object_of(const char *key, json_t *value)
{
	return set(json_object(), key, value);
}

static json_t *append(json_t *array, json_t *value)
{
	if (array != NULL && json_array_append_new(array, value) == 0)
		return array;
	if (array == NULL)
		json_decref(value);
	json_decref(array);
	return NULL;
}

static json_t *list_of(json_t *value)
{
	return append(json_array(), value);
}

static json_t *prefix_of(const char *prefix)
{
	return set(object_of("key", text_bytes(prefix)), "range_end", prefix_end(prefix));
}

/* Sorted by create revision, and only the first. */
static json_t *first_of(json_t *range)
{
	range = set(range, "sort_order", json_string("ASCEND"));
	range = set(range, "sort_target", json_string("CREATE"));
	return set(range, "limit", number(1));
}

static json_t *put_of(const char *key, const char *value)
{
	return set(object_of("key", text_bytes(key)), "value", text_bytes(value));
}

/* What a transaction does. */

static json_t *do_range(json_t *range)
{
	return object_of("request_range", range);
}

static json_t *do_put(json_t *put)
{
	return object_of("request_put", put);
}

static json_t *do_delete(const char *key)
{
	return object_of("request_delete_range", wire_get(key));
}

/* The fence: etcd takes the success branch only if every comparison holds. 0: not there. */
static json_t *created_at(const char *key, uint64_t revision)
{
	json_t *compare = object_of("key", text_bytes(key));

	compare = set(compare, "target", json_string("CREATE"));
	compare = set(compare, "result", json_string("EQUAL"));
	return set(compare, "create_revision", number(revision));
}

static json_t *modified_at(const char *key, uint64_t revision)
{
	json_t *compare = object_of("key", text_bytes(key));

	compare = set(compare, "target", json_string("MOD"));
	compare = set(compare, "result", json_string("EQUAL"));
	return set(compare, "mod_revision", number(revision));
}

static json_t *txn_if(json_t *compares, json_t *success)
{
	return set(object_of("compare", compares), "success", success);
}

json_t *wire_grant(uint64_t lease, int64_t ttl)
{
	return set(object_of("ID", number(lease)), "TTL", number((uint64_t)ttl));
}

json_t *wire_lease_id(uint64_t lease)
{
	return object_of("ID", number(lease));
}

json_t *wire_get(const char *key)
{
	return object_of("key", text_bytes(key));
}

json_t *wire_get_prefix(const char *prefix)
{
	return prefix_of(prefix);
}

json_t *wire_get_all(const char *const *keys, size_t n)
{
	json_t *ranges = json_array();

	for (size_t i = 0; i < n; i++)
		ranges = append(ranges, do_range(wire_get(keys[i])));
	return object_of("success", ranges);
}

json_t *wire_try_access(const char *const *prefixes, size_t n, bool write)
{
	json_t *tries = json_array();

	for (size_t i = 0; i < n; i++)
		tries = append(tries, object_of(write ? "request_delete_range" : "request_range",
					  prefix_of(prefixes[i])));
	return txn_if(list_of(created_at(prefixes[0], INT64_MAX)), tries);
}

json_t *wire_list(const char *prefix, const char *after, uint64_t limit)
{
	/* With the NUL behind it a key becomes the smallest one after it. */
	json_t *from = after != NULL ? bytes(after, strlen(after) + 1) : text_bytes(prefix);
	json_t *range = set(object_of("key", from), "range_end", prefix_end(prefix));

	return set(set(range, "keys_only", json_true()), "limit", number(limit));
}

json_t *wire_acquire(const char *key, const char *value, uint64_t lease, const char *prefix)
{
	json_t *put = set(put_of(key, value), "lease", number(lease));
	json_t *success = append(list_of(do_put(put)), do_range(wire_get(key)));
	json_t *failure = list_of(do_range(wire_get(key)));

	success = append(success, do_range(first_of(prefix_of(prefix))));
	failure = append(failure, do_range(first_of(prefix_of(prefix))));
	return set(txn_if(list_of(created_at(key, 0)), success), "failure", failure);
}

static json_t *give_up(json_t *ops, const char *lock_key, const char *owner_key, const char *owner)
{
	ops = append(ops, do_delete(lock_key));
	if (owner_key == NULL)
		return ops;
	return append(ops, owner != NULL ? do_put(put_of(owner_key, owner)) : do_delete(owner_key));
}

json_t *wire_commit(const char *lock_key, uint64_t epoch, const char *state_key, uint64_t state_mod,
    const char *value, bool release, const char *owner_key, const char *owner)
{
	json_t *compares = FAULT("unfenced_commit") ? json_array()
						    : append(list_of(created_at(lock_key, epoch)),
							  modified_at(state_key, state_mod));
	json_t *success = list_of(do_put(put_of(state_key, value)));

	if (release)
		success = give_up(success, lock_key, owner_key, owner);
	return txn_if(compares, success);
}

json_t *wire_put_owned(const char *lock_key, uint64_t epoch, const char *key, const char *value)
{
	return txn_if(list_of(created_at(lock_key, epoch)), list_of(do_put(put_of(key, value))));
}

json_t *wire_release(const char *lock_key, uint64_t epoch, const char *owner_key, const char *owner)
{
	return txn_if(list_of(created_at(lock_key, epoch)),
	    give_up(json_array(), lock_key, owner_key, owner));
}

json_t *wire_watch_prefix(const char *prefix, uint64_t from)
{
	json_t *create = set(prefix_of(prefix), "start_revision", number(from));

	/* A sign of life every ten minutes, in case that there is nothing else to tell. */
	return object_of("create_request", set(create, "progress_notify", json_true()));
}
