#include "role/report.h"

#include <stdio.h>
#include <string.h>

#define CUT "..."

void report_keep(char *text, size_t room, const char *words)
{
	if ((size_t)snprintf(text, room, "%s", words) >= room)
		memcpy(text + room - sizeof(CUT), CUT, sizeof(CUT));
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

static void put(json_t *o, const char *key, json_t *value, bool *ok)
{
	if (json_object_set_new(o, key, value) != 0)
		*ok = false;
}

static void put_number(json_t *o, const char *key, int64_t value, bool *ok)
{
	put(o, key, json_integer(value), ok);
}

/* What does not apply is left out. */
json_t *report_public(const struct report *r)
{
	json_t *o = json_object();
	bool ok = o != NULL;

	put(o, "state", json_string(r->state), &ok);
	put_number(o, "since", r->since, &ok);
	put_number(o, "restarts", r->restarts, &ok);
	if (r->epoch != 0)
		put_number(o, "epoch", (int64_t)r->epoch, &ok);
	if (r->job_pid != 0) {
		put_number(o, "job_pid", r->job_pid, &ok);
		put(o, "ready", json_boolean(r->ready), &ok);
	}
	if (r->lease_ms >= 0)
		put_number(o, "lease_ms", r->lease_ms, &ok);
	if (r->seq != 0) {
		put_number(o, "seq", (int64_t)r->seq, &ok);
		put_number(o, "size", (int64_t)r->size, &ok);
		put(o, "clean", json_boolean(r->clean), &ok);
	}
	if (r->to_move != 0) {
		put_number(o, "moved", (int64_t)r->moved, &ok);
		put_number(o, "to_move", (int64_t)r->to_move, &ok);
	}
	if (r->saved != 0)
		put_number(o, "saved", r->saved, &ok);
	if (r->status[0] != '\0')
		put(o, "status", json_string(r->status), &ok);
	if (r->trouble_kind != COORD_FINE)
		put(o, "trouble", json_string(r->trouble), &ok);
	if (r->holder[0] != '\0')
		put(o, "holder", json_string(r->holder), &ok);
	if (r->failure[0] != '\0')
		put(o, "failure", json_string(r->failure), &ok);
	if (r->retry != 0)
		put_number(o, "retry", r->retry, &ok);
	if (r->finished)
		put(o, "finished", json_true(), &ok);
	if (ok)
		return o;
	json_decref(o);
	return NULL;
}

static void put_private(json_t *o, const struct report *r, bool *ok)
{
	json_t *end = json_pack("{s:b,s:b,s:b,s:b,s:b,s:b}", "released", r->end.released, "left",
	    r->end.left, "unclean", r->end.unclean, "failed", r->end.failed, "asked", r->end.asked,
	    "done", r->end.done);

	put(o, "end", end, ok);
	put_number(o, "failures", r->failures, ok);
	put_number(o, "backups", r->backups, ok);
	put_number(o, "backup_failures", r->backup_failures, ok);
	if (r->took.epoch != 0)
		put(o, "took", handover_encode(&r->took), ok);
	if (r->gave.epoch != 0)
		put(o, "gave", handover_encode(&r->gave), ok);
	put(o, "owner", json_boolean(r->owner), ok);
	if (r->ended_well)
		put(o, "ended_well", json_true(), ok);
	put(o, "placed", json_boolean(r->placed), ok);
	if (r->settled)
		put(o, "settled", json_true(), ok);
	if (r->lease != 0)
		put_number(o, "lease", (int64_t)r->lease, ok);
	if (r->dead_by != MSEC_NEVER)
		put_number(o, "dead_by", r->dead_by, ok);
	if (r->mute_by != MSEC_NEVER)
		put_number(o, "mute_by", r->mute_by, ok);
	if (r->stop_by != 0)
		put_number(o, "stop_by", r->stop_by, ok);
	if (r->trouble_kind != COORD_FINE)
		put_number(o, "trouble_kind", r->trouble_kind, ok);
}

int report_encode(const struct report *r, char buf[REPORT_MAX], struct err *e)
{
	json_t *o = report_public(r);
	bool ok = o != NULL;
	size_t len = 0;

	put_private(o, r, &ok);
	if (ok)
		len = json_dumpb(o, buf, REPORT_MAX, JSON_COMPACT);
	json_decref(o);
	if (len == 0 || len >= REPORT_MAX)
		return err_set(e, "cannot write a report: out of memory");
	buf[len++] = '\n';
	return (int)len;
}

static bool take_number(json_t *o, const char *key, int64_t min, int64_t max, int64_t *value)
{
	json_t *v = json_object_get(o, key);

	if (v == NULL)
		return true;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return false;
	*value = json_integer_value(v);
	return true;
}

static bool take_bool(json_t *o, const char *key, bool *value)
{
	json_t *v = json_object_get(o, key);

	if (v != NULL && !json_is_boolean(v))
		return false;
	*value = json_is_true(v);
	return true;
}

/* For what every report says: a field that got lost must not read as "no". */
static bool need_bool(json_t *o, const char *key, bool *value)
{
	return json_object_get(o, key) != NULL && take_bool(o, key, value);
}

static bool take_text(json_t *o, const char *key, char *value, size_t room)
{
	json_t *v = json_object_get(o, key);

	if (v == NULL)
		return true;
	if (!json_is_string(v) || json_string_length(v) >= room)
		return false;
	memcpy(value, json_string_value(v), json_string_length(v) + 1);
	return true;
}

static bool take_count(json_t *o, const char *key, unsigned *value)
{
	int64_t n = 0;
	bool ok = take_number(o, key, 0, UINT32_MAX, &n);

	*value = (unsigned)n;
	return ok;
}

static bool take_handover(json_t *o, const char *key, struct handover *h)
{
	json_t *v = json_object_get(o, key);

	return v == NULL || handover_decode(v, h);
}

static bool take_numbers(json_t *o, struct report *r)
{
	int64_t pid = 0, lease = 0, epoch = 0, seq = 0, size = 0, trouble = 0;
	int64_t moved = 0, to_move = 0;
	bool ok;

	r->lease_ms = -1;
	r->dead_by = MSEC_NEVER;
	r->mute_by = MSEC_NEVER;
	ok = take_number(o, "job_pid", 1, INT32_MAX, &pid) &&
	     take_number(o, "lease", INT64_MIN, INT64_MAX, &lease) &&
	     take_number(o, "epoch", 1, INT64_MAX, &epoch) &&
	     take_number(o, "seq", 1, INT64_MAX, &seq) &&
	     take_number(o, "size", 0, INT64_MAX, &size) &&
	     take_number(o, "moved", 0, INT64_MAX, &moved) &&
	     take_number(o, "to_move", moved, INT64_MAX, &to_move) &&
	     take_count(o, "restarts", &r->restarts) && take_count(o, "failures", &r->failures) &&
	     take_count(o, "backups", &r->backups) &&
	     take_count(o, "backup_failures", &r->backup_failures) &&
	     take_number(o, "lease_ms", 0, INT64_MAX, &r->lease_ms) &&
	     take_number(o, "dead_by", 0, INT64_MAX, &r->dead_by) &&
	     take_number(o, "mute_by", 0, INT64_MAX, &r->mute_by) &&
	     take_number(o, "stop_by", 0, INT64_MAX, &r->stop_by) &&
	     take_number(o, "saved", 0, INT64_MAX, &r->saved) &&
	     take_number(o, "trouble_kind", 0, COORD_TROUBLES - 1, &trouble) &&
	     take_number(o, "since", 0, INT64_MAX, &r->since) &&
	     take_number(o, "retry", 1, INT64_MAX, &r->retry);
	r->job_pid = (pid_t)pid;
	r->lease = (uint64_t)lease;
	r->epoch = (uint64_t)epoch;
	r->seq = (uint64_t)seq;
	r->size = (uint64_t)size;
	r->trouble_kind = (enum coord_trouble)trouble;
	r->moved = (uint64_t)moved;
	r->to_move = (uint64_t)to_move;
	return ok;
}

static bool take_end(json_t *o, struct seat_end *end)
{
	json_t *v = json_object_get(o, "end");

	return json_is_object(v) && need_bool(v, "released", &end->released) &&
	       need_bool(v, "left", &end->left) && need_bool(v, "unclean", &end->unclean) &&
	       need_bool(v, "failed", &end->failed) && need_bool(v, "asked", &end->asked) &&
	       need_bool(v, "done", &end->done);
}

int report_decode(const char *text, size_t len, struct report *r, struct err *e)
{
	json_error_t why;
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	bool ok;

	memset(r, 0, sizeof(*r));
	if (o == NULL)
		return err_set(e, "a worker's report is no JSON: %s", why.text);
	ok = json_is_object(o) && take_text(o, "state", r->state, sizeof(r->state)) &&
	     r->state[0] != '\0' && take_text(o, "status", r->status, sizeof(r->status)) &&
	     take_text(o, "trouble", r->trouble, sizeof(r->trouble)) &&
	     take_text(o, "holder", r->holder, sizeof(r->holder)) &&
	     take_text(o, "failure", r->failure, sizeof(r->failure)) && take_numbers(o, r) &&
	     need_bool(o, "owner", &r->owner) && need_bool(o, "placed", &r->placed) &&
	     take_bool(o, "clean", &r->clean) && take_bool(o, "settled", &r->settled) &&
	     take_bool(o, "ready", &r->ready) && take_bool(o, "finished", &r->finished) &&
	     take_bool(o, "ended_well", &r->ended_well) && take_handover(o, "took", &r->took) &&
	     take_handover(o, "gave", &r->gave) && take_end(o, &r->end);
	json_decref(o);
	return ok ? 0 : err_set(e, "a worker's report has a field that is missing or wrong");
}
