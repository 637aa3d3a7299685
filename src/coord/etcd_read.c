/* The answers. */
#include <errno.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>

#include "coord/etcd_wire.h"

void wire_kv_clear(struct wire_kv *kv)
{
	free(kv->key);
	free(kv->value);
	memset(kv, 0, sizeof(*kv));
}

static const json_t *object_at(const json_t *json, const char *key, struct err *e)
{
	const json_t *field = json_object_get(json, key);

	if (!json_is_object(field)) {
		err_set(e, "etcd's answer has no \"%s\"", key);
		return NULL;
	}
	return field;
}

/* An array that is left out is empty. NULL, with e filled, when it is anything else. */
static int array_at(const json_t *json, const char *key, const json_t **array, struct err *e)
{
	*array = json_object_get(json, key);
	if (*array != NULL && !json_is_array(*array))
		return err_set(e, "\"%s\" in etcd's answer is not an array", key);
	return 0;
}

/* A whole number as text, as int64 travels; left out when it is 0. */
static int read_number(const json_t *json, const char *key, uint64_t *value, struct err *e)
{
	const json_t *field = json_object_get(json, key);
	const char *text = json_string_value(field);
	size_t len = json_string_length(field);

	*value = 0;
	if (field == NULL)
		return 0;
	if (text == NULL || len == 0 || strspn(text, "0123456789") != len)
		return err_set(e, "\"%s\" in etcd's answer is not a number in quotes", key);
	*value = strtoull(text, NULL, 10);
	if (*value > INT64_MAX)
		return err_set(e, "\"%s\" in etcd's answer is too large", key);
	return 0;
}

/* base64 to a fresh text with a NUL behind it; left out when it is empty. */
static int read_bytes(const json_t *json, const char *key, char **data, size_t *len, struct err *e)
{
	const json_t *field = json_object_get(json, key);
	const char *text = field != NULL ? json_string_value(field) : "";
	size_t room;
	int n;

	if (text == NULL)
		return err_set(e, "\"%s\" in etcd's answer is not a text", key);
	/* One byte more than it can hold: b64_pton() looks at the byte behind the last one. */
	room = strlen(text) / 4 * 3 + 1;
	*data = malloc(room);
	if (*data == NULL)
		return err_set(e, "out of memory");
	n = b64_pton(text, (unsigned char *)*data, room);
	if (n < 0 || (size_t)n >= room)
		return err_set(e, "\"%s\" in etcd's answer is not base64", key);
	(*data)[n] = '\0';
	*len = (size_t)n;
	return 0;
}

static int read_key(const json_t *json, struct wire_kv *kv, struct err *e)
{
	size_t len;

	if (read_bytes(json, "key", &kv->key, &len, e) < 0)
		return -1;
	if (len == 0 || strlen(kv->key) != len)
		return err_set(e, "a key in etcd's answer is empty or holds a NUL");
	return 0;
}

static int read_kv_fields(const json_t *json, bool with_value, struct wire_kv *kv, struct err *e)
{
	if (!json_is_object(json))
		return err_set(e, "a key in etcd's answer is not an object");
	if (read_key(json, kv, e) < 0 ||
	    read_number(json, "create_revision", &kv->create_revision, e) < 0 ||
	    read_number(json, "mod_revision", &kv->mod_revision, e) < 0 ||
	    read_number(json, "lease", &kv->lease, e) < 0)
		return -1;
	return with_value ? read_bytes(json, "value", &kv->value, &kv->value_len, e) : 0;
}

/* 1, or -1 with *kv cleared. */
static int read_kv(const json_t *json, bool with_value, struct wire_kv *kv, struct err *e)
{
	if (read_kv_fields(json, with_value, kv, e) == 0)
		return 1;
	wire_kv_clear(kv);
	return -1;
}

static int read_kv_of_range(const json_t *range, size_t index, struct wire_kv *kv, struct err *e)
{
	const json_t *kvs;

	if (array_at(range, "kvs", &kvs, e) < 0)
		return -1;
	if (index >= json_array_size(kvs))
		return 0;
	return read_kv(json_array_get(kvs, index), true, kv, e);
}

static int read_lease(const json_t *json, struct wire_lease *lease, struct err *e)
{
	uint64_t ttl;

	if (read_number(json, "ID", &lease->id, e) < 0 || read_number(json, "TTL", &ttl, e) < 0)
		return -1;
	lease->ttl = (int64_t)ttl;
	if (lease->id == 0)
		return err_set(e, "etcd's answer names no lease");
	return 0;
}

int wire_read_grant(json_t *body, struct wire_lease *lease, struct err *e)
{
	memset(lease, 0, sizeof(*lease));
	if (read_lease(body, lease, e) < 0)
		return -1;
	if (lease->ttl == 0)
		return err_set(e, "etcd has granted a lease without a TTL");
	return 0;
}

int wire_read_keepalive(json_t *body, struct wire_lease *lease, struct err *e)
{
	const json_t *result = object_at(body, "result", e);

	memset(lease, 0, sizeof(*lease));
	return result != NULL ? read_lease(result, lease, e) : -1;
}

int wire_read_revision(json_t *body, uint64_t *revision, struct err *e)
{
	const json_t *header = object_at(body, "header", e);

	*revision = 0;
	if (header == NULL || read_number(header, "revision", revision, e) < 0)
		return -1;
	if (*revision == 0)
		return err_set(e, "etcd's answer has no revision");
	return 0;
}

int wire_read_succeeded(json_t *body, bool *succeeded, struct err *e)
{
	const json_t *field = json_object_get(body, "succeeded");

	*succeeded = json_is_true(field);
	/* Left out when the compare failed; so an answer to something else must not pass for one.
	 */
	if (object_at(body, "header", e) == NULL)
		return -1;
	if (field != NULL && !json_is_boolean(field))
		return err_set(e, "\"succeeded\" in etcd's answer is not true or false");
	return 0;
}

/* The range response number index; puts and deletions are passed over. */
static const json_t *find_range(const json_t *responses, size_t index)
{
	const json_t *response;
	size_t i;

	json_array_foreach (responses, i, response) {
		const json_t *range = json_object_get(response, "response_range");

		if (range != NULL && index-- == 0)
			return range;
	}
	return NULL;
}

int wire_read_txn_kv(json_t *body, size_t index, struct wire_kv *kv, struct err *e)
{
	const json_t *responses, *range;

	memset(kv, 0, sizeof(*kv));
	if (array_at(body, "responses", &responses, e) < 0)
		return -1;
	range = find_range(responses, index);
	if (!json_is_object(range))
		return err_set(e, "etcd's answer lacks a part");
	return read_kv_of_range(range, 0, kv, e);
}

int wire_read_kv(json_t *body, size_t index, struct wire_kv *kv, struct err *e)
{
	memset(kv, 0, sizeof(*kv));
	if (object_at(body, "header", e) == NULL)
		return -1;
	return read_kv_of_range(body, index, kv, e);
}

/* A PUT has no type. */
static int read_type(const json_t *event, bool *deleted, struct err *e)
{
	const json_t *type = json_object_get(event, "type");
	const char *text = json_string_value(type);

	*deleted = text != NULL && strcmp(text, "DELETE") == 0;
	if (type == NULL || *deleted || (text != NULL && strcmp(text, "PUT") == 0))
		return 0;
	return err_set(e, "an event of etcd is of a type that is not known");
}

int wire_read_event(json_t *result, size_t index, struct wire_event *ev, struct err *e)
{
	const json_t *events, *event;

	memset(ev, 0, sizeof(*ev));
	if (array_at(result, "events", &events, e) < 0)
		return -1;
	if (index >= json_array_size(events))
		return 0;
	event = json_array_get(events, index);
	if (read_type(event, &ev->deleted, e) < 0)
		return -1;
	return read_kv(json_object_get(event, "kv"), !ev->deleted, &ev->kv, e);
}
