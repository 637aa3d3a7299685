/*
 * Whether etcd can be used: every endpoint by itself, then user, permissions and leases at one that
 * works, as these are the same for the whole cluster.
 *
 * Permissions are tried by transactions whose compare cannot hold: etcd 3.4 and 3.5 check those of
 * both branches, and carry out none.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/check_impl.h"
#include "coord/etcd_keeper.h"
#include "coord/etcd_wait.h"
#include "coord/etcd_wire.h"

#define CLOCK_OFF_MAX 5
#define JOBS_AT_ONCE 50 /* etcd takes 128 operations in a transaction */

struct etcd_checker {
	const struct check *check;
	struct etcd_waiter waiter;
	char *url[2]; /* the endpoint that is asked */
	struct conf conf;
	char cluster[32]; /* its id, of the first endpoint that told; "" until then */
};

/* A client of one endpoint alone. */
static int open_at(struct etcd_checker *k, char *url, bool with_user, struct err *e)
{
	k->conf = *k->check->conf;
	k->url[0] = url;
	k->conf.endpoints = k->url;
	if (!with_user)
		k->conf.user = NULL;
	return etcd_waiter_open(&k->waiter, &k->conf, e);
}

static enum check_result result_of(enum etcd_code code)
{
	switch (etcd_trouble(code)) {
	case COORD_FINE: return CHECK_FINE;
	case COORD_UNREACHABLE: return CHECK_UNREACHABLE;
	case COORD_TLS:
	case COORD_USER:
	case COORD_DENIED:
	case COORD_STRANGE:
	case COORD_UNUSABLE: break;
	}
	return code == ETCD_EXHAUSTED ? CHECK_UNREACHABLE : CHECK_MISTAKE;
}

/* ---- Endpoints ---- */

/* A text of digits, dots and the like at key; "" if there is none. */
static void read_word(const json_t *json, const char *key, char *word, size_t room)
{
	const char *text = json_string_value(json_object_get(json, key));

	snprintf(word, room, "%.*s", (int)room - 1, text != NULL ? text : "");
	for (; *word != '\0'; word++) {
		if (*word <= ' ' || *word > '~')
			*word = '?';
	}
}

static void check_clock(const struct etcd_checker *k, const char *url)
{
	int64_t ahead = clock_wall() - k->waiter.date;

	if (k->waiter.date == 0 || (ahead <= CLOCK_OFF_MAX && ahead >= -CLOCK_OFF_MAX))
		return;
	check_found(k->check, CHECK_NOTE, "clock",
	    "the clock here is %" PRId64
	    " seconds %s that of %s: ages that are shown will be wrong",
	    ahead > 0 ? ahead : -ahead, ahead > 0 ? "ahead of" : "behind", url);
}

static void take_status(struct etcd_checker *k, struct check_endpoint *at)
{
	const json_t *status = k->waiter.body;
	char leader[32], cluster[32];

	read_word(status, "version", at->version, sizeof(at->version));
	read_word(status, "leader", leader, sizeof(leader));
	read_word(json_object_get(status, "header"), "cluster_id", cluster, sizeof(cluster));
	at->reached = true;
	at->has_leader = leader[0] != '\0' && strcmp(leader, "0") != 0;
	if (!at->has_leader) {
		at->result = CHECK_UNREACHABLE;
		err_set(&at->e, "it has no leader: start a majority of the members");
	} else if (k->cluster[0] == '\0') {
		strcpy(k->cluster, cluster);
	} else if (strcmp(k->cluster, cluster) != 0) {
		at->result = CHECK_MISTAKE;
		err_set(&at->e, "it belongs to another cluster than the endpoints before it");
	}
}

/* Whether a port that has hung up on plain HTTP speaks TLS. */
static bool speaks_tls(const struct etcd_checker *k, const char *url)
{
	struct etcd_checker tls = { .check = k->check };
	char *https = NULL;
	bool speaks = false;
	struct err e;

	if (strncmp(url, "http:", 5) != 0 || asprintf(&https, "https%s", url + 4) < 0)
		return false;
	if (open_at(&tls, https, false, &e) == 0) {
		etcd_wait(&tls.waiter, "/v3/maintenance/status", json_object(), k->check->patience);
		speaks = tls.waiter.code == ETCD_OK ||
			 (tls.waiter.code == ETCD_TLS &&
			     strstr(tls.waiter.e.text, "wrong version number") == NULL);
		etcd_waiter_close(&tls.waiter);
	}
	free(https);
	return speaks;
}

static void explain(const struct etcd_checker *k, struct check_endpoint *at)
{
	at->result = result_of(k->waiter.code);
	at->e = k->waiter.e;
	if (strstr(at->e.text, "no leader") != NULL) {
		at->reached = true;
		err_add(&at->e, "it has lost the majority of the members");
	} else if (k->waiter.code == ETCD_GARBAGE) {
		err_add(&at->e, "this is not etcd 3.4 or later with its HTTP gateway");
	} else if (strstr(at->e.text, ETCD_ADVISE_HTTPS) != NULL && speaks_tls(k, at->url)) {
		at->result = CHECK_MISTAKE;
		err_set(&at->e, "it speaks TLS: write https:// in coordinator.endpoints");
	}
}

/* True if the rest can be tried there. */
static bool check_one(struct etcd_checker *k, char *url)
{
	struct check_endpoint at = { .url = url, .result = CHECK_FINE };

	if (open_at(k, url, false, &at.e) != 0) {
		at.result = CHECK_UNREACHABLE;
	} else {
		if (etcd_wait(&k->waiter, "/v3/maintenance/status", json_object(),
			k->check->patience) == ETCD_OK)
			take_status(k, &at);
		else
			explain(k, &at);
		if (at.reached && at.has_leader)
			check_clock(k, url);
		etcd_waiter_close(&k->waiter);
	}
	k->check->hooks->endpoint(k->check->ctx, &at);
	return at.result == CHECK_FINE;
}

/* ---- Permissions ---- */

static char *prefix_of(const struct etcd_checker *k, size_t job)
{
	const struct conf *conf = k->check->conf;
	char *prefix;
	int n = conf->n_jobs > 0 ? asprintf(&prefix, "%s/jobs/%s/", conf->ns, conf->jobs[job]->name)
				 : asprintf(&prefix, "%s/jobs/", conf->ns);

	return n >= 0 ? prefix : NULL;
}

/* Whether all keys of n jobs may be read, or written. */
static enum etcd_code try_jobs(struct etcd_checker *k, size_t first, size_t n, bool write)
{
	char *prefixes[JOBS_AT_ONCE];
	json_t *request;
	bool whole = true;

	for (size_t i = 0; i < n; i++) {
		prefixes[i] = prefix_of(k, first + i);
		whole &= prefixes[i] != NULL;
	}
	request = whole ? wire_try_access((const char *const *)prefixes, n, write) : NULL;
	for (size_t i = 0; i < n; i++)
		free(prefixes[i]);
	return etcd_wait(&k->waiter, "/v3/kv/txn", request, k->check->patience);
}

static void tell_denied(struct etcd_checker *k, size_t job, bool write)
{
	const struct conf *conf = k->check->conf;
	char *prefix = prefix_of(k, job);

	check_found(k->check, CHECK_MISTAKE, "namespace",
	    "user \"%.100s\" may not %s %s: etcdctl role grant-permission --prefix=true ROLE "
	    "readwrite %.200s/",
	    conf->user != NULL ? conf->user : "", write ? "write below" : "read below",
	    prefix != NULL ? prefix : conf->ns, conf->ns);
	free(prefix);
}

/* Of those that were tried together: the first one that is denied. */
static void find_denied(struct etcd_checker *k, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++) {
		for (int write = 0; write < 2; write++) {
			if (try_jobs(k, i, 1, write != 0) == ETCD_DENIED) {
				tell_denied(k, i, write != 0);
				return;
			}
		}
	}
}

static void tell_failure(const struct etcd_checker *k, const char *what)
{
	check_found(k->check, result_of(k->waiter.code), what, "%s", k->waiter.e.text);
}

static void tell_user(const struct etcd_checker *k)
{
	const struct conf *conf = k->check->conf;

	if (conf->user != NULL)
		check_found(k->check, CHECK_FINE, "coordinator.user",
		    "etcd accepts user \"%.100s\"", conf->user);
	else
		check_found(k->check, CHECK_FINE, "coordinator.user",
		    "none is configured, and none is needed");
}

/* True if it went well, for all jobs. */
static bool check_access(struct etcd_checker *k)
{
	size_t n_jobs = k->check->conf->n_jobs, n;

	n_jobs = n_jobs > 0 ? n_jobs : 1;
	for (size_t i = 0; i < n_jobs; i += n) {
		n = n_jobs - i < JOBS_AT_ONCE ? n_jobs - i : JOBS_AT_ONCE;
		if (try_jobs(k, i, n, false) == ETCD_OK && try_jobs(k, i, n, true) == ETCD_OK)
			continue;
		if (k->waiter.code == ETCD_DENIED) {
			tell_user(k);
			find_denied(k, i, n);
		} else {
			tell_failure(k, etcd_trouble(k->waiter.code) == COORD_USER
					    ? "coordinator.user"
					    : "coordinator");
		}
		return false;
	}
	tell_user(k);
	check_found(k->check, CHECK_FINE, "namespace",
	    "keys below %s/jobs/ may be read and written", k->check->conf->ns);
	return true;
}

/* ---- Leases ---- */

static void check_ttl(const struct etcd_checker *k, int64_t granted)
{
	int64_t asked = k->check->conf->ttl / 1000;

	if (granted == asked)
		check_found(k->check, CHECK_FINE, "coordinator.ttl",
		    "leases are granted for %" PRId64 "s, and can be given back", granted);
	else
		check_found(k->check, CHECK_NOTE, "coordinator.ttl",
		    "etcd grants leases for %" PRId64 "s instead of %" PRId64
		    "s, which is then what counts",
		    granted, asked);
}

static void check_lease(struct etcd_checker *k)
{
	uint64_t id = keeper_choose_id();
	struct wire_lease lease = { 0 };
	struct err e;

	if (etcd_wait(&k->waiter, "/v3/lease/grant", wire_grant(id, k->check->conf->ttl / 1000),
		k->check->patience) != ETCD_OK)
		tell_failure(k, "coordinator.ttl");
	else if (wire_read_grant(k->waiter.body, &lease, &e) != 0)
		check_found(k->check, CHECK_MISTAKE, "coordinator.ttl", "%s", e.text);
	/* Also when no answer came: then it may be there. */
	if (etcd_wait(&k->waiter, "/v3/lease/revoke", wire_lease_id(id), k->check->patience) !=
	    ETCD_OK) {
		if (lease.ttl > 0)
			tell_failure(k, "coordinator.ttl");
	} else if (lease.ttl > 0) {
		check_ttl(k, lease.ttl);
	}
}

void etcd_check(const struct check *c)
{
	struct etcd_checker k = { .check = c };
	char *good = NULL;
	struct err e;

	for (char **url = c->conf->endpoints; *url != NULL; url++) {
		if (check_one(&k, *url) && good == NULL)
			good = *url;
	}
	if (good == NULL)
		return;
	if (open_at(&k, good, true, &e) != 0) {
		check_found(c, CHECK_UNREACHABLE, "coordinator", "%s", e.text);
		return;
	}
	if (check_access(&k))
		check_lease(&k);
	etcd_waiter_close(&k.waiter);
}
