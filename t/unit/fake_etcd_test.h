/*
 * fake_etcd_test.h - a fake_test.h server in the place of etcd: the configuration that names it,
 * and what requests and answers about leases look like. What it answers, and whether, is the
 * test's.
 */
#ifndef T_UNIT_FAKE_ETCD_TEST_H
#define T_UNIT_FAKE_ETCD_TEST_H

#include "fake_test.h"

#include <inttypes.h>

#include "conf/conf.h"

struct fake_etcd {
	struct ev_loop *loop;
	struct fake server;
	struct conf conf; /* names it, and nothing else */
	char *endpoints[2];
};

/* A loop of its own, and the server in it. */
static inline void fake_etcd_start(
    struct fake_etcd *f, void (*serve)(struct fake *f, struct fake_conn *c))
{
	*f = (struct fake_etcd){ .loop = ev_loop_new(EVFLAG_AUTO) };
	assert_non_null(f->loop);
	fake_start(&f->server, f->loop, serve);
	f->endpoints[0] = f->server.url;
	f->conf.endpoints = f->endpoints;
}

/* Last, as it ends the loop, too. */
static inline void fake_etcd_stop(struct fake_etcd *f)
{
	fake_stop(&f->server);
	ev_loop_destroy(f->loop);
}

/* Whether it is a request of this kind, as "lease/grant". */
static inline bool fake_etcd_asks(const struct fake_conn *c, const char *what)
{
	size_t len = strlen(what);

	return strncmp(c->head, "POST /v3/", 9) == 0 && strncmp(c->head + 9, what, len) == 0 &&
	       c->head[9 + len] == ' ';
}

/* The lease that a request is about. */
static inline uint64_t fake_etcd_lease(const struct fake_conn *c)
{
	const char *id = strstr(c->body, "\"ID\":\"");

	assert_non_null(id);
	return strtoull(id + 6, NULL, 10);
}

static inline void fake_etcd_granted(struct fake_conn *c, uint64_t id, unsigned ttl_s)
{
	char body[128];

	snprintf(
	    body, sizeof(body), "{\"header\":{},\"ID\":\"%" PRIu64 "\",\"TTL\":\"%u\"}", id, ttl_s);
	fake_answer(c, 200, body);
}

static inline void fake_etcd_kept_alive(struct fake_conn *c, uint64_t id, unsigned ttl_s)
{
	char body[128];

	snprintf(
	    body, sizeof(body), "{\"result\":{\"ID\":\"%" PRIu64 "\",\"TTL\":\"%u\"}}", id, ttl_s);
	fake_answer(c, 200, body);
}

#endif
