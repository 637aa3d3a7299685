#include "state/record.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "state/inlined.h"
#include "state/stream.h"

void record_clear(struct record *r)
{
	free(r->url);
	free(r->data);
	memset(r, 0, sizeof(*r));
}

/* A copy of size bytes with a NUL behind them, so that an empty one is not NULL either. */
static void *copy_bytes(const void *bytes, size_t size)
{
	unsigned char *copy = malloc(size + 1);

	if (copy == NULL)
		return NULL;
	if (size > 0)
		memcpy(copy, bytes, size);
	copy[size] = '\0';
	return copy;
}

int record_copy(struct record *dst, const struct record *src, struct err *e)
{
	*dst = *src;
	dst->url = src->url != NULL ? copy_bytes(src->url, strlen(src->url)) : NULL;
	dst->data = src->data != NULL ? copy_bytes(src->data, (size_t)src->size) : NULL;
	if ((src->url == NULL || dst->url != NULL) && (src->data == NULL || dst->data != NULL))
		return 0;
	record_clear(dst);
	return err_set(e, "cannot copy a state record: out of memory");
}

static int add_data(json_t *json, const struct record *r)
{
	bool packed;
	char *text = inlined_encode(r->data, (size_t)r->size, &packed);
	json_t *value = text != NULL ? json_string_nocheck(text) : NULL;

	free(text);
	return json_object_set_new(json, packed ? "zdata" : "data", value);
}

static json_t *encode_trace(const struct record_trace *t)
{
	return json_pack("{s:I, s:I, s:b}", "epoch", (json_int_t)t->epoch, "seq",
	    (json_int_t)t->seq, "clean", (int)t->clean);
}

static int add_stamps(json_t *json, const struct stamps *stamps)
{
	json_t *o = stamps_encode(stamps);

	if (o != NULL && json_object_size(o) > 0)
		return json_object_set_new(json, "stamps", o);
	json_decref(o);
	return o != NULL ? 0 : -1;
}

static json_t *encode_fields(const struct record *r)
{
	json_t *json = json_pack("{s:I, s:I, s:I, s:s, s:b, s:s, s:s}", "epoch",
	    (json_int_t)r->epoch, "seq", (json_int_t)r->seq, "size", (json_int_t)r->size, "sha256",
	    r->sha256, "clean", r->clean, "instance", r->instance, "time", r->time);
	int rc = 0;

	if (json != NULL && r->done)
		rc |= json_object_set_new(json, "done", json_true());
	if (json != NULL && r->after.epoch != 0)
		rc |= json_object_set_new(json, "after", encode_trace(&r->after));
	if (json != NULL)
		rc |= add_stamps(json, &r->stamps);
	if (json != NULL && r->url != NULL)
		rc |= json_object_set_new(json, "url", json_string(r->url));
	if (json != NULL && r->data != NULL)
		rc |= add_data(json, r);
	if (rc == 0)
		return json;
	json_decref(json);
	return NULL;
}

char *record_encode(const struct record *r, struct err *e)
{
	json_t *json;
	char *text;

	if (r->epoch > INT64_MAX || r->seq > INT64_MAX || r->size > INT64_MAX) {
		err_set(e, "cannot write a state record: epoch, seq or size is out of range");
		return NULL;
	}
	/* What record_decode() would refuse must not become the last committed record. */
	if (r->data != NULL &&
	    (r->size > INT_MAX || inlined_room(r->size) > RECORD_TEXT_MAX - 4096)) {
		err_set(e,
		    "a state of %ju bytes does not fit into a state record: "
		    "lower \"inline_max\" or set \"state\": {\"url\": ...}",
		    (uintmax_t)r->size);
		return NULL;
	}
	json = encode_fields(r);
	text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (text == NULL)
		err_set(e, "cannot write a state record: out of memory, or a name is not UTF-8");
	return text;
}

static int decode_number(const json_t *json, const char *key, uint64_t *value, struct err *e)
{
	const json_t *field = json_object_get(json, key);

	if (!json_is_integer(field) || json_integer_value(field) < 0)
		return err_set(e, "\"%s\" must be a whole number, not negative", key);
	*value = (uint64_t)json_integer_value(field);
	return 0;
}

static int decode_flag(
    const json_t *json, const char *key, bool optional, bool *value, struct err *e)
{
	const json_t *field = json_object_get(json, key);

	if (field == NULL && optional)
		return 0;
	if (!json_is_boolean(field))
		return err_set(e, "\"%s\" must be true or false", key);
	*value = json_is_true(field);
	return 0;
}

/* Left out by those who began from nothing, and by older versions. */
static int decode_after(const json_t *json, struct record_trace *t, struct err *e)
{
	const json_t *field = json_object_get(json, "after");

	if (field == NULL)
		return 0;
	if (decode_number(field, "epoch", &t->epoch, e) < 0 ||
	    decode_number(field, "seq", &t->seq, e) < 0 ||
	    decode_flag(field, "clean", false, &t->clean, e) < 0)
		return err_add(e, "\"after\"");
	return 0;
}

/* These texts are shown in logs and on terminals: control characters would do things there. */
static bool is_printable(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == '\x7f')
			return false;
	return true;
}

/* The string at key, of at most max bytes, or NULL. It lives as long as json. */
static const char *string_at(const json_t *json, const char *key, size_t max, struct err *e)
{
	const json_t *field = json_object_get(json, key);

	if (!json_is_string(field) || json_string_length(field) > max ||
	    !is_printable(json_string_value(field))) {
		err_set(e, "\"%s\" must be a printable text of at most %zu bytes", key, max);
		return NULL;
	}
	return json_string_value(field);
}

static int decode_text(const json_t *json, const char *key, char *buf, size_t room, struct err *e)
{
	const char *text = string_at(json, key, room - 1, e);

	if (text == NULL)
		return -1;
	memcpy(buf, text, strlen(text) + 1);
	return 0;
}

static int decode_sha(const json_t *json, struct record *r, struct err *e)
{
	if (decode_text(json, "sha256", r->sha256, sizeof(r->sha256), e) < 0)
		return -1;
	if (strspn(r->sha256, "0123456789abcdef") != RECORD_SHA_LEN)
		return err_set(e, "\"sha256\" must be 64 lower-case hexadecimal digits");
	return 0;
}

static int decode_url(const json_t *json, struct record *r, struct err *e)
{
	const char *url = string_at(json, "url", RECORD_URL_MAX, e);

	if (url == NULL)
		return -1;
	if (*url == '\0')
		return err_set(e, "\"url\" must not be empty");
	r->url = copy_bytes(url, strlen(url));
	return r->url != NULL ? 0 : err_set(e, "out of memory");
}

static int decode_data(const json_t *json, const char *key, struct record *r, struct err *e)
{
	const json_t *field = json_object_get(json, key);

	if (!json_is_string(field))
		return err_set(e, "\"%s\" must be a base64 text", key);
	r->data = inlined_decode(json_string_value(field), strcmp(key, "zdata") == 0, r->size, e);
	return r->data != NULL ? 0 : err_add(e, "\"%s\"", key);
}

static int decode_empty(struct record *r, struct err *e)
{
	char sha256[RECORD_SHA_LEN + 1];

	if (r->size > 0)
		return err_set(e, "it has no \"url\", \"data\" or \"zdata\" for its %ju bytes",
		    (uintmax_t)r->size);
	stream_sha256("", 0, sha256);
	if (strcmp(r->sha256, sha256) != 0)
		return err_set(e, "\"sha256\" must be that of no bytes, as \"size\" is 0");
	r->empty = true;
	return 0;
}

static int decode_state(const json_t *json, struct record *r, struct err *e)
{
	bool has_url = json_object_get(json, "url") != NULL;
	bool has_data = json_object_get(json, "data") != NULL;
	bool has_zdata = json_object_get(json, "zdata") != NULL;

	if (has_url + has_data + has_zdata > 1)
		return err_set(e, "it has more than one of \"url\", \"data\" and \"zdata\"");
	if (has_url)
		return decode_url(json, r, e);
	if (has_data || has_zdata)
		return decode_data(json, has_data ? "data" : "zdata", r, e);
	return decode_empty(r, e);
}

static int decode_fields(const json_t *json, struct record *r, struct err *e)
{
	if (!json_is_object(json))
		return err_set(e, "it is not a JSON object");
	if (decode_number(json, "epoch", &r->epoch, e) < 0 ||
	    decode_number(json, "seq", &r->seq, e) < 0 ||
	    decode_number(json, "size", &r->size, e) < 0 || decode_sha(json, r, e) < 0 ||
	    decode_flag(json, "clean", false, &r->clean, e) < 0 ||
	    decode_flag(json, "done", true, &r->done, e) < 0 ||
	    decode_after(json, &r->after, e) < 0 ||
	    decode_text(json, "instance", r->instance, sizeof(r->instance), e) < 0 ||
	    decode_text(json, "time", r->time, sizeof(r->time), e) < 0)
		return -1;
	/* For people: no state is refused because of them. */
	stamps_decode(json_object_get(json, "stamps"), &r->stamps);
	return decode_state(json, r, e);
}

int record_decode(const char *text, size_t len, struct record *r, struct err *e)
{
	json_error_t where;
	json_t *json;
	int rc;

	memset(r, 0, sizeof(*r));
	if (len > RECORD_TEXT_MAX)
		return err_set(e, "bad state record: %zu bytes are too many, the limit is %u", len,
		    RECORD_TEXT_MAX);
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (json == NULL) /* where.text quotes the input, which may hold anything */
		return err_set(e, "bad state record: not JSON at line %d, column %d", where.line,
		    where.column);
	rc = decode_fields(json, r, e);
	json_decref(json);
	if (rc == 0)
		return 0;
	record_clear(r);
	return err_add(e, "bad state record");
}
