/*
 * etcd_wire.h - the requests and answers of etcd's gateway as C values. Pure: no I/O.
 *
 * Keys and values travel as base64, int64 as strings, and fields that are zero are left out: an
 * answer without "succeeded" means that the compare failed. etcd ignores unknown request fields
 * silently - a misspelt `compare` would disable the fence - so requests are built here and nowhere
 * else, and tested against a real etcd. Answers are untrusted: every decoder checks types and
 * bounds.
 */
#ifndef COORD_ETCD_WIRE_H
#define COORD_ETCD_WIRE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Requests; new references, NULL when out of memory. Times in seconds. */
json_t *wire_grant(uint64_t lease, int64_t ttl);
json_t *wire_lease_id(uint64_t lease); /* for keepalive and revoke */
/* Puts key (with the lease) if it is not there; answers in either branch with the key itself (range
 * number 0) and the owner of the prefix (1). */
json_t *wire_acquire(const char *key, const char *value, uint64_t lease, const char *prefix);
/*
 * Commits value at state_key if lock_key is still of create revision epoch and state_key still of
 * mod revision state_mod (0: it is not there yet); with release, gives lock_key up as
 * wire_release() does. The second condition is for an attempt that a hung member
 * carries out late: it must not undo a newer commit of the same owner. Nothing is read in the
 * failure branch: each level of a request costs etcd's gateway another look at all of it, a tenth
 * of a millisecond for these two, and hardly a commit is refused.
 */
json_t *wire_commit(const char *lock_key, uint64_t epoch, const char *state_key, uint64_t state_mod,
    const char *value, bool release, const char *owner_key, const char *owner);
/* Puts value at key if lock_key is still of create revision epoch. */
json_t *wire_put_owned(const char *lock_key, uint64_t epoch, const char *key, const char *value);
/* Deletes lock_key if it is still of create revision epoch, and with it puts owner at owner_key.
 * owner NULL: deletes owner_key. owner_key NULL: leaves it as it is. */
json_t *wire_release(
    const char *lock_key, uint64_t epoch, const char *owner_key, const char *owner);
json_t *wire_get(const char *key);
json_t *wire_get_prefix(const char *prefix);
/*
 * Reads, or deletes, everything below these prefixes - but never does, as its compare cannot hold.
 * etcd checks the permissions for it all the same.
 */
json_t *wire_try_access(const char *const *prefixes, size_t n, bool write);
/* All of these keys, in one transaction: range number i of its answer is keys[i]. */
json_t *wire_get_all(const char *const *keys, size_t n);
/* The keys below prefix, without their values, in order: at most `limit` of those behind `after`
 * (NULL: from the first one on). */
json_t *wire_list(const char *prefix, const char *after, uint64_t limit);
/* Everything under prefix from revision on. */
json_t *wire_watch_prefix(const char *prefix, uint64_t from);

/* One key of an answer. Copies: free with wire_kv_clear(). */
struct wire_kv {
	char *key;
	char *value; /* NUL-terminated; NULL in the event of a deletion */
	size_t value_len;
	uint64_t create_revision, mod_revision, lease;
};
void wire_kv_clear(struct wire_kv *kv);

struct wire_lease {
	uint64_t id;
	int64_t ttl; /* seconds; 0: it has expired */
};
int wire_read_grant(json_t *body, struct wire_lease *lease, struct err *e);
/* An expired lease is an answer without TTL. */
int wire_read_keepalive(json_t *body, struct wire_lease *lease, struct err *e);

/* "header.revision" */
int wire_read_revision(json_t *body, uint64_t *revision, struct err *e);

/* Of a transaction. */
int wire_read_succeeded(json_t *body, bool *succeeded, struct err *e);
/*
 * The first kv of the range response number `index` among a transaction's responses, of which puts
 * and deletions do not count. 1: *kv is set; 0: the range was empty; -1: no such response, or
 * nonsense.
 */
int wire_read_txn_kv(json_t *body, size_t index, struct wire_kv *kv, struct err *e);
/* The kv number `index` of a range answer; 1, 0 (no more) or -1. */
int wire_read_kv(json_t *body, size_t index, struct wire_kv *kv, struct err *e);

struct wire_event {
	bool deleted;
	struct wire_kv kv;
};
/* The event number `index` of a watch message ("result"); 1, 0 (no more) or -1. */
int wire_read_event(json_t *result, size_t index, struct wire_event *ev, struct err *e);

#endif
