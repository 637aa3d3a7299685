/*
 * Any bytes as an answer of etcd: a result, or an error that fits a terminal; and whatever the
 * decoders take from a result is what they promise.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "coord/etcd_reply.h"
#include "coord/etcd_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct err *e)
{
	assert(e->text[0] != '\0');
	for (const char *p = e->text; *p != '\0'; p++)
		assert((unsigned char)*p >= ' ' && *p != 0x7f);
}

static void check_kv(int rc, struct wire_kv *kv, bool deleted, const struct err *e)
{
	static const struct wire_kv cleared;

	assert(rc >= -1 && rc <= 1);
	if (rc == 1) {
		assert(kv->key[0] != '\0' && (kv->value == NULL) == deleted);
		assert(deleted || kv->value[kv->value_len] == '\0');
		assert(kv->create_revision <= INT64_MAX && kv->lease <= INT64_MAX);
	} else {
		assert(memcmp(kv, &cleared, sizeof(*kv)) == 0);
	}
	if (rc < 0)
		check_text(e);
	wire_kv_clear(kv);
}

static void read_keys(json_t *body)
{
	struct wire_event ev;
	struct wire_kv kv;
	struct err e;
	int rc;

	for (size_t i = 0; i < 4; i++) {
		rc = wire_read_kv(body, i, &kv, &e);
		check_kv(rc, &kv, false, &e);
		rc = wire_read_txn_kv(body, i, &kv, &e);
		check_kv(rc, &kv, false, &e);
		rc = wire_read_event(body, i, &ev, &e);
		check_kv(rc, &ev.kv, ev.deleted, &e);
	}
}

static void read_result(json_t *body)
{
	struct wire_lease lease;
	uint64_t revision;
	bool succeeded;
	struct err e;

	if (wire_read_grant(body, &lease, &e) == 0)
		assert(lease.id != 0 && lease.ttl > 0);
	else
		check_text(&e);
	if (wire_read_keepalive(body, &lease, &e) == 0)
		assert(lease.id != 0 && lease.ttl >= 0);
	if (wire_read_revision(body, &revision, &e) == 0)
		assert(revision > 0 && revision <= INT64_MAX);
	if (wire_read_succeeded(body, &succeeded, &e) < 0)
		check_text(&e);
	read_keys(body);
}

static void check_answer(struct etcd_answer *answer)
{
	assert((answer->body != NULL) == (answer->code == ETCD_OK));
	assert(answer->code != ETCD_OK || !answer->unknown);
	if (answer->body != NULL)
		read_result(answer->body);
	else
		check_text(&answer->e);
	json_decref(answer->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct etcd_answer answer;
	enum etcd_line kind;

	json_object_seed(1);
	etcd_reply_read(200, text, size, &answer);
	check_answer(&answer);
	etcd_reply_read(503, text, size, &answer);
	check_answer(&answer);
	kind = etcd_reply_line(text, size, &answer);
	assert((kind == ETCD_LINE_END) == (answer.code != ETCD_OK));
	assert((kind == ETCD_LINE_EVENTS) == (answer.body != NULL));
	if (kind == ETCD_LINE_EVENTS || kind == ETCD_LINE_END)
		check_answer(&answer);
	return 0;
}
