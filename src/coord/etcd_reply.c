#include "coord/etcd_reply.h"

#include <stdio.h>
#include <string.h>

#define CODE_MAX 16 /* of gRPC */

static const struct {
	const char *name; /* as it stands in a watch's cancel_reason */
	enum etcd_code code;
} code_names[] = {
	{ "InvalidArgument", ETCD_INVALID },
	{ "DeadlineExceeded", ETCD_DEADLINE },
	{ "NotFound", ETCD_NOT_FOUND },
	{ "PermissionDenied", ETCD_DENIED },
	{ "ResourceExhausted", ETCD_EXHAUSTED },
	{ "FailedPrecondition", ETCD_PRECONDITION },
	{ "OutOfRange", ETCD_COMPACTED },
	{ "Unavailable", ETCD_UNAVAILABLE },
	{ "Unauthenticated", ETCD_BAD_TOKEN },
};

/*
 * Codes of requests that etcd refused before it did anything. The others - time is up, no leader,
 * server stopped - are given for requests, too, that are on their way through the cluster.
 */
static bool is_refusal(enum etcd_code code)
{
	switch (code) {
	case ETCD_INVALID:
	case ETCD_NOT_FOUND:
	case ETCD_EXISTS:
	case ETCD_DENIED:
	case ETCD_EXHAUSTED:
	case ETCD_PRECONDITION:
	case ETCD_COMPACTED:
	case ETCD_BAD_USER:
	case ETCD_BAD_TOKEN: return true;
	case ETCD_OK:
	case ETCD_TLS:
	case ETCD_DEADLINE:
	case ETCD_UNAVAILABLE:
	case ETCD_GARBAGE: return false;
	}
	return false; /* any other code of gRPC */
}

static void fail(struct etcd_answer *answer, enum etcd_code code, const char *message)
{
	/* A missing token, and one that is older than the last change of a user, are "invalid
	 * argument" to etcd. A new token helps in both cases. */
	if (code == ETCD_INVALID && (strstr(message, "user name is empty") != NULL ||
					strstr(message, "revision of auth store is old") != NULL))
		code = ETCD_BAD_TOKEN;
	/* One code for too many different things. */
	if (code == ETCD_PRECONDITION && strstr(message, "lease already exists") != NULL)
		code = ETCD_EXISTS;
	answer->code = code;
	answer->body = NULL;
	answer->unknown = !is_refusal(code);
	err_set(&answer->e, "%.300s", message[0] != '\0' ? message : "etcd gives no reason");
}

static json_t *load(const char *text, size_t len)
{
	json_t *json = json_loadb(text, len, 0, NULL);

	if (json != NULL && !json_is_object(json)) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static int read_code(const json_t *error)
{
	const json_t *code = json_object_get(error, "grpc_code");

	if (code == NULL)
		code = json_object_get(error, "code");
	return json_is_integer(code) && json_integer_value(code) > 0 &&
		       json_integer_value(code) <= CODE_MAX
		   ? (int)json_integer_value(code)
		   : ETCD_GARBAGE;
}

/*
 * Whether json is an error, which *answer then tells. As seen: {"error":TEXT,"message":TEXT,
 * "code":N} (3.4), {"code":N,"message":TEXT} (3.5), and of streams {"error":{"grpc_code":N,...,
 * "message":TEXT}} (3.4), {"error":{"code":N,"message":TEXT}} (3.5).
 */
static bool read_error(const json_t *json, struct etcd_answer *answer)
{
	const json_t *error = json_object_get(json, "error");
	const char *message;

	if (error == NULL && json_object_get(json, "code") == NULL)
		return false;
	if (json_is_object(error))
		json = error;
	message = json_string_value(json_object_get(json, "message"));
	if (message == NULL)
		message = json_string_value(error);
	fail(answer, (enum etcd_code)read_code(json), message != NULL ? message : "");
	return true;
}

/* What is no JSON of etcd: the words of a proxy, or of the gateway itself. */
static void describe_foreign(int status, const char *text, size_t len, struct etcd_answer *answer)
{
	int shown = (int)(len < 120 ? len : 120);
	char what[200];

	if (len == 0)
		snprintf(what, sizeof(what), "HTTP status %d without a word", status);
	else
		snprintf(what, sizeof(what), "HTTP status %d, but not the words of etcd: \"%.*s\"",
		    status, shown, text);
	fail(answer, ETCD_GARBAGE, what);
}

void etcd_reply_read(int status, const char *text, size_t len, struct etcd_answer *answer)
{
	json_t *json = load(text, len);

	*answer = (struct etcd_answer){ .code = ETCD_OK };
	if (json == NULL || (!read_error(json, answer) && status != 200))
		describe_foreign(status, text, len, answer);
	else if (answer->code == ETCD_OK)
		answer->body = json_incref(json);
	json_decref(json);
}

static enum etcd_code code_of_reason(const char *reason)
{
	static const char before[] = "code = ";
	const char *name = strstr(reason, before);

	for (size_t i = 0; name != NULL && i < sizeof(code_names) / sizeof(code_names[0]); i++) {
		size_t len = strlen(code_names[i].name);

		if (strncmp(name + strlen(before), code_names[i].name, len) == 0)
			return code_names[i].code;
	}
	return ETCD_UNAVAILABLE;
}

/* A watch is canceled when it was refused, and when what it asks for was compacted. */
static void read_canceled(const json_t *result, struct etcd_answer *answer)
{
	const char *reason = json_string_value(json_object_get(result, "cancel_reason"));

	if (json_object_get(result, "compact_revision") != NULL)
		fail(answer, ETCD_COMPACTED, "what it asks for has been compacted");
	else
		fail(answer, reason != NULL ? code_of_reason(reason) : ETCD_UNAVAILABLE,
		    reason != NULL ? reason : "");
}

static enum etcd_line read_result(json_t *result, struct etcd_answer *answer)
{
	const json_t *events = json_object_get(result, "events");

	if (!json_is_object(result)) {
		fail(answer, ETCD_GARBAGE, "a message that is neither a result nor an error");
		return ETCD_LINE_END;
	}
	/* First: a refused watch is created and canceled in one message. */
	if (json_is_true(json_object_get(result, "canceled"))) {
		read_canceled(result, answer);
		return ETCD_LINE_END;
	}
	if (json_is_true(json_object_get(result, "created")))
		return ETCD_LINE_CREATED;
	if (json_array_size(events) == 0)
		return ETCD_LINE_NOTHING;
	answer->body = json_incref(result);
	return ETCD_LINE_EVENTS;
}

static bool is_blank(const char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL && text[len - 1] != '\0')
		len--;
	return len == 0;
}

enum etcd_line etcd_reply_line(const char *text, size_t len, struct etcd_answer *answer)
{
	enum etcd_line kind = ETCD_LINE_END;
	json_t *json;

	*answer = (struct etcd_answer){ .code = ETCD_OK };
	if (is_blank(text, len))
		return ETCD_LINE_NOTHING;
	json = load(text, len);
	if (json == NULL)
		fail(answer, ETCD_GARBAGE, "a message that is not JSON");
	else if (!read_error(json, answer))
		kind = read_result(json_object_get(json, "result"), answer);
	json_decref(json);
	return kind;
}
