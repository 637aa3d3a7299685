/*
 * The jobs of a namespace in etcd. First only the keys, a page at a time, then of each job the
 * values that are shown: a record may hold a state of a megabyte, and there may be thousands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/etcd_wait.h"
#include "coord/etcd_wire.h"
#include "coord/survey_impl.h"

#define PAGE 500            /* keys */
#define SLOW_ANSWERS_MAX 24 /* so long for all of them: an endless list must end, too */

struct survey {
	struct etcd_waiter waiter;
	msec patience; /* for one answer, when there is a token */
	char *prefix;  /* "/graceful/jobs/" */
	char *last;    /* key that was read; NULL: none yet */
	survey_each *each;
	void *ctx;
	bool off; /* the caller has enough */

	/* The job whose keys are being read. */
	struct survey_job job;
	char *lock_keys[SURVEY_PLACES_MAX]; /* of job.places */
	bool has_state;
};

static char *state_key(const struct survey *s)
{
	char *key;

	return asprintf(&key, "%s%s/state", s->prefix, s->job.name) >= 0 ? key : NULL;
}

static void take_state(struct survey_job *job, const struct wire_kv *kv)
{
	struct record r;

	if (record_decode(kv->value, kv->value_len, &r, &job->damage) != 0)
		return;
	survey_take_record(job, &r);
	record_clear(&r);
}

/* In the order in which they were asked for: the places, then the record. A key that is gone by
 * now leaves no value. */
static int take_values(struct survey *s, size_t n_places)
{
	for (size_t i = 0; i < n_places + s->has_state; i++) {
		struct survey_place *place = &s->job.places[i];
		struct wire_kv kv;
		int rc = wire_read_txn_kv(s->waiter.body, i, &kv, &s->waiter.e);

		if (rc < 0)
			return -1;
		if (rc == 1 && i < n_places) {
			place->has_holder = holder_decode(kv.value, kv.value_len, &place->holder);
			place->foreign = !place->has_holder;
		} else if (rc == 1) {
			take_state(&s->job, &kv);
		}
		wire_kv_clear(&kv);
	}
	return 0;
}

static size_t kept_places(const struct survey_job *job)
{
	return job->n_places < SURVEY_PLACES_MAX ? job->n_places : SURVEY_PLACES_MAX;
}

static int read_values(struct survey *s, struct err *e)
{
	const char *keys[SURVEY_PLACES_MAX + 1];
	size_t n = kept_places(&s->job), i;
	char *state = state_key(s);
	int rc = -1;

	if (state == NULL)
		return err_set(e, "out of memory");
	for (i = 0; i < n; i++)
		keys[i] = s->lock_keys[i];
	if (s->has_state)
		keys[i++] = state;
	if (i == 0 ||
	    (etcd_wait(&s->waiter, "/v3/kv/txn", wire_get_all(keys, i), s->patience) == ETCD_OK &&
		take_values(s, n) == 0))
		rc = 0;
	else
		*e = s->waiter.e;
	free(state);
	return rc;
}

static void forget_job(struct survey *s)
{
	for (size_t i = 0; i < kept_places(&s->job); i++) {
		free(s->lock_keys[i]);
		s->lock_keys[i] = NULL;
	}
	s->job = (struct survey_job){ .time = -1 };
	s->has_state = false;
}

/* All of its keys have been seen. */
static int finish_job(struct survey *s, struct err *e)
{
	int rc = 0;

	if (s->job.name[0] != '\0' && !s->off) {
		rc = read_values(s, e);
		if (rc == 0)
			s->off = !s->each(s->ctx, &s->job);
	}
	forget_job(s);
	return rc;
}

/* Takes the key over. */
static void take_lock(struct survey *s, struct wire_kv *kv)
{
	bool full = s->job.n_places >= SURVEY_PLACES_MAX;
	struct survey_place *place;
	size_t at;

	place = survey_add_place(&s->job, kv->create_revision, &at);
	if (place == NULL)
		return;
	place->lease = kv->lease;
	if (full)
		free(s->lock_keys[SURVEY_PLACES_MAX - 1]);
	memmove(&s->lock_keys[at + 1], &s->lock_keys[at],
	    (SURVEY_PLACES_MAX - 1 - at) * sizeof(s->lock_keys[0]));
	s->lock_keys[at] = kv->key;
	kv->key = NULL;
}

/* Whose key it is, and what comes behind; false: no job's. */
static bool split_key(
    const struct survey *s, const char *key, char name[JOB_NAME_MAX + 1], const char **rest)
{
	size_t len;

	key += strlen(s->prefix);
	len = strcspn(key, "/");
	if (key[len] == '\0' || len > JOB_NAME_MAX)
		return false;
	snprintf(name, JOB_NAME_MAX + 1, "%.*s", (int)len, key);
	*rest = key + len + 1;
	return conf_job_name_ok(name);
}

static int take_key(struct survey *s, struct wire_kv *kv, struct err *e)
{
	char name[JOB_NAME_MAX + 1];
	const char *rest;

	if (strncmp(kv->key, s->prefix, strlen(s->prefix)) != 0 ||
	    (s->last != NULL && strcmp(kv->key, s->last) <= 0))
		return err_set(e, "etcd's list of keys is not in order");
	free(s->last);
	s->last = strdup(kv->key);
	if (s->last == NULL)
		return err_set(e, "out of memory");
	if (!split_key(s, kv->key, name, &rest))
		return 0;
	if (strcmp(name, s->job.name) != 0) {
		if (finish_job(s, e) != 0)
			return -1;
		strcpy(s->job.name, name);
	}
	if (strcmp(rest, "state") == 0)
		s->has_state = true;
	else if (strncmp(rest, "lock/", 5) == 0)
		take_lock(s, kv);
	return 0;
}

/* With the first page comes the token. */
static msec page_patience(const struct survey *s)
{
	return s->patience + (s->last == NULL ? etcd_token_time(&s->waiter.conf) : 0);
}

/* How many keys there were; -1 on failure. */
static int read_page(struct survey *s, struct err *e)
{
	json_t *body;
	struct wire_kv kv;
	int n = 0, rc;

	if (etcd_wait(&s->waiter, "/v3/kv/range", wire_list(s->prefix, s->last, PAGE),
		page_patience(s)) != ETCD_OK) {
		*e = s->waiter.e;
		return -1;
	}
	body = json_incref(s->waiter.body); /* the values are asked for meanwhile */
	while (!s->off && (rc = wire_read_kv(body, (size_t)n, &kv, e)) != 0) {
		if (rc == 1)
			rc = take_key(s, &kv, e);
		wire_kv_clear(&kv);
		if (rc < 0) {
			n = -1;
			break;
		}
		n++;
	}
	json_decref(body);
	return n;
}

static int read_all(struct survey *s, struct err *e)
{
	msec until = clock_now() + SLOW_ANSWERS_MAX * s->patience;
	int n;

	do {
		n = read_page(s, e);
		if (n < 0)
			return -1;
		if (clock_now() > until)
			return err_set(e, "etcd lists keys without end");
	} while (n == PAGE && !s->off);
	return finish_job(s, e);
}

int etcd_survey(const struct conf *conf, msec patience, survey_each *each, void *ctx, struct err *e)
{
	struct survey s = { .patience = patience, .each = each, .ctx = ctx };
	int rc;

	if (asprintf(&s.prefix, "%s/jobs/", conf->ns) < 0)
		return err_set(e, "out of memory");
	if (etcd_waiter_open(&s.waiter, conf, e) != 0) {
		free(s.prefix);
		return -1;
	}
	s.job.time = -1;
	rc = read_all(&s, e);
	forget_job(&s);
	etcd_waiter_close(&s.waiter);
	free(s.prefix);
	free(s.last);
	return rc;
}
