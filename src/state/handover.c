#include "state/handover.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* The year 9999 and a little: what is later is no stamp. */
#define STAMP_MAX INT64_C(253500000000000000)

static const struct {
	const char *key, *phase;
} names[STAMPS_N] = {
#define X(name, key, phase) [STAMP_##name] = { key, phase },
	STAMPS(X)
#undef X
};

const char *stamp_key(enum stamp s)
{
	return names[s].key;
}

const char *stamp_phase(enum stamp s)
{
	return names[s].phase;
}

void stamps_take(struct stamps *s, enum stamp which)
{
	if (s->offset == 0)
		s->offset = clock_wall_usec() - clock_usec();
	s->at[which] = s->offset + clock_usec();
}

bool stamps_phase(const struct stamps *s, enum stamp end, int64_t *usec)
{
	int begin = (int)end - 1;

	while (begin >= 0 && s->at[begin] == 0)
		begin--;
	if (begin < 0 || s->at[end] == 0)
		return false;
	*usec = s->at[end] - s->at[begin];
	return true;
}

bool stamps_total(const struct stamps *s, int64_t *usec)
{
	int64_t first = 0, last = 0;
	int known = 0;

	for (int i = 0; i < STAMPS_N; i++) {
		if (s->at[i] == 0)
			continue;
		if (known++ == 0)
			first = s->at[i];
		last = s->at[i];
	}
	*usec = last - first;
	return known > 1;
}

json_t *stamps_encode(const struct stamps *s)
{
	json_t *o = json_object();
	int rc = 0;

	for (int i = 0; o != NULL && i < STAMPS_N; i++) {
		if (s->at[i] != 0)
			rc |= json_object_set_new(o, names[i].key, json_integer(s->at[i]));
	}
	if (rc == 0)
		return o;
	json_decref(o);
	return NULL;
}

static bool decode_all(const json_t *o, struct stamps *s)
{
	for (int i = 0; i < STAMPS_N; i++) {
		const json_t *v = json_object_get(o, names[i].key);

		if (v == NULL)
			continue;
		if (!json_is_integer(v) || json_integer_value(v) < 0 ||
		    json_integer_value(v) > STAMP_MAX)
			return false;
		s->at[i] = json_integer_value(v);
	}
	return true;
}

bool stamps_decode(const json_t *o, struct stamps *s)
{
	memset(s, 0, sizeof(*s));
	if (o == NULL || (json_is_object(o) && decode_all(o, s)))
		return true;
	memset(s, 0, sizeof(*s));
	return false;
}

json_t *handover_encode(const struct handover *h)
{
	json_t *stamps = stamps_encode(&h->stamps);
	json_t *o = json_pack("{s:I, s:I, s:b, s:o}", "epoch", (json_int_t)h->epoch, "size",
	    (json_int_t)h->size, "clean", (int)h->clean, "stamps", stamps);

	if (o == NULL || h->peer[0] == '\0' ||
	    json_object_set_new(o, "peer", json_string(h->peer)) == 0)
		return o;
	json_decref(o);
	return NULL;
}

static bool decode_peer(const json_t *o, char peer[CONF_INSTANCE_MAX + 1])
{
	const json_t *v = json_object_get(o, "peer");

	if (v == NULL)
		return true;
	if (!json_is_string(v) || strlen(json_string_value(v)) > CONF_INSTANCE_MAX)
		return false;
	snprintf(peer, CONF_INSTANCE_MAX + 1, "%s", json_string_value(v));
	return true;
}

bool handover_decode(const json_t *o, struct handover *h)
{
	const json_t *epoch = json_object_get(o, "epoch"), *size = json_object_get(o, "size"),
		     *clean = json_object_get(o, "clean");

	memset(h, 0, sizeof(*h));
	if (!json_is_integer(epoch) || json_integer_value(epoch) <= 0 || !json_is_integer(size) ||
	    json_integer_value(size) < 0 || !json_is_boolean(clean) || !decode_peer(o, h->peer) ||
	    !stamps_decode(json_object_get(o, "stamps"), &h->stamps))
		return false;
	h->epoch = (uint64_t)json_integer_value(epoch);
	h->size = (uint64_t)json_integer_value(size);
	h->clean = json_is_true(clean);
	return true;
}
