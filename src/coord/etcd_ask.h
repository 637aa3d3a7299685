/*
 * etcd_ask.h - one request to etcd, made again and again until an answer settles it.
 *
 * What passes by itself - no endpoint reachable, no leader, an attempt without an answer - is tried
 * again, at once and then with pauses; what etcd says on purpose, yes or no, is the answer. So only
 * requests belong here that may be carried out more than once: reads, and transactions whose
 * `compare` makes a second run harmless.
 *
 * A refusal says nothing of the attempts before it: who needs to know whether the request was
 * carried out looks at `unsure`, too, and reads back.
 */
#ifndef COORD_ETCD_ASK_H
#define COORD_ETCD_ASK_H

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>

#include "base/clock.h"
#include "coord/etcd_client.h"

/* Embedded in its owner; one request at a time. */
struct ask {
	struct ev_loop *loop;
	struct etcd_client *client;
	struct etcd_call *call;
	struct ev_timer pause;
	const char *path;
	json_t *body;
	msec until;
	struct etcd_answer failed; /* the last attempt that had its full time; code ETCD_OK: none */
	msec sent;                 /* when the attempt began that was answered */
	msec delay;
	bool unsure; /* an attempt before the one that was answered may have been carried out */
	/* Attempts at an endpoint that failed, since it began. */
	msec began;
	size_t misses;
	bool told;
	void (*silent)(void *ctx, const struct etcd_answer *last);
	void (*done)(void *ctx, const struct etcd_answer *answer);
	void *ctx;
};

void ask_init(struct ask *a, struct ev_loop *loop, struct etcd_client *client);
/*
 * path is a literal; body becomes the ask's, NULL says that it could not be made. Answers by
 * `until` with the last failure; MSEC_NEVER: tries until it is cancelled.
 */
void ask_start(struct ask *a, const char *path, json_t *body, msec until,
    void (*done)(void *ctx, const struct etcd_answer *answer), void *ctx);
/*
 * Whoever waits long for an answer may want to know why: silent() is told once while it goes on,
 * when no endpoint has given one and it is no mere blip. For every ask_start() from now on, with
 * its ctx. As the last thing: it may cancel.
 */
void ask_when_silent(struct ask *a, void (*silent)(void *ctx, const struct etcd_answer *last));
bool ask_is_busy(struct ask *a);
/* Brings the end forward. No-op when nothing is asked, or the end is earlier anyway. */
void ask_hurry(struct ask *a, msec until);
/* No answer will come. No-op when nothing is asked. */
void ask_cancel(struct ask *a);

#endif
