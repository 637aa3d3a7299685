/*
 * etcd_client.h - requests to an etcd cluster over its HTTP/JSON gateway: endpoints, failover,
 * tokens, errors.
 *
 * The client knows nothing of locks. It sends a JSON body to a path of the gateway and answers with
 * parsed JSON or with a gRPC code. It goes on to the next endpoint at once when one fails, and
 * gives up at the deadline of the call. A request whose outcome is unknown (it was sent and no
 * answer came) is repeated only if the caller said that repeating is safe.
 */
#ifndef COORD_ETCD_CLIENT_H
#define COORD_ETCD_CLIENT_H

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"
#include "conf/conf.h"
#include "coord/coord.h"
#include "coord/etcd_reply.h"

struct etcd_client;
struct etcd_call;

/* In the words of an endpoint on plain HTTP that hung up. */
#define ETCD_ADVISE_HTTPS "does it want https://?"

/*
 * How long a server may take for the token that comes before its first answer, beside that: 0
 * without users. A password costs etcd 70 ms of a core that is idle, and on a machine that is not
 * the attempts have to become patient first.
 */
msec etcd_token_time(const struct conf *conf);

/* Whether another endpoint, or the same one later, may do better; that is never said on purpose. */
bool etcd_is_passing(const struct etcd_answer *answer);

/* What a failure means for whoever wants a lock. */
enum coord_trouble etcd_trouble(enum etcd_code code);

/* conf must outlive it. Does no I/O yet. */
struct etcd_client *etcd_client_open(struct ev_loop *loop, const struct conf *conf, struct err *e);
/* Cancels what is under way; may be called from a hook. */
void etcd_client_close(struct etcd_client *c);

/*
 * path: "/v3/kv/txn" and so on, a literal; body stays the caller's. Answers by `until` at the
 * latest (one attempt takes at most about a second; later rounds are more patient, up to
 * eightfold, for slow lines and large bodies). repeatable: an attempt without an answer may be made
 * again at the next endpoint - for reads, keepalives and transactions whose `compare` makes a
 * second run harmless. Otherwise etcd gets it once at most. NULL: out of memory, no answer will
 * come.
 */
struct etcd_call *etcd_call(struct etcd_client *c, const char *path, json_t *body, msec until,
    bool repeatable, void (*done)(void *ctx, const struct etcd_answer *answer), void *ctx,
    struct err *e);
/* To be told, with the same ctx, of each attempt that failed and has another one behind it. May
 * close the client. */
void etcd_call_missed(
    struct etcd_call *call, void (*missed)(void *ctx, const struct etcd_answer *answer));
size_t etcd_client_endpoints(const struct etcd_client *c);

/*
 * A watch (path "/v3/watch", body {"create_request":...}). created() when etcd has acknowledged it,
 * events() for each message with events (the "result" object), done() once when it has ended for
 * any reason: disconnect, canceled (answer->code ETCD_COMPACTED when compacted), no acknowledgement
 * in time. The caller starts a new one, from a range, and takes care not to do so too often.
 *
 * A stopped server is silent for ever, and a watch with nothing to tell is silent, too. So a watch
 * ends, with ETCD_UNAVAILABLE, as soon as any call to its endpoint goes without an answer; when no
 * call was answered for ten seconds (keepalives of the default TTL come more often) the client asks
 * a question of its own. And after half an hour without even a sign of life on the stream itself,
 * which etcd sends every ten minutes, it ends with ETCD_DEADLINE.
 */
struct etcd_watch_hooks {
	void (*created)(void *ctx);
	void (*events)(void *ctx, json_t *result);
	void (*done)(void *ctx, const struct etcd_answer *answer);
};
struct etcd_call *etcd_watch(struct etcd_client *c, json_t *body,
    const struct etcd_watch_hooks *hooks, void *ctx, struct err *e);

/* No hook of it is called any more. Not after done(). */
void etcd_cancel(struct etcd_call *call);

#endif
