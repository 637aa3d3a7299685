/*
 * etcd_client_impl.h - the inside of the client, shared by its files:
 *   etcd_client.c  the endpoints, the attempts of a call, and what their answers mean
 *   etcd_watch.c   watches, and how the end of one is noticed
 *   etcd_auth.c    tokens
 *
 * A hook may close the client, so whoever calls one touches nothing afterwards: hooks are called
 * last. What must be told to several calls at once is therefore noted in them (`state`, `answer`)
 * and told by the client's alarm, one call each time it rings.
 */
#ifndef COORD_ETCD_CLIENT_IMPL_H
#define COORD_ETCD_CLIENT_IMPL_H

#include "base/alarm.h"
#include "coord/etcd_client.h"
#include "coord/etcd_token.h"
#include "net/http.h"

#define ETCD_ATTEMPT 1200 /* msec for one attempt; facts of etcd: a hung one hangs for 7 s */
#define ETCD_DOUBLINGS 3  /* of that, when it was not enough */
#define ETCD_ANSWER_MAX (2u << 20) /* etcd takes requests up to 1.5 MiB, so states are smaller */
#define ETCD_TOKEN_MAX 4096

enum call_state {
	CALL_WANTS_TOKEN, /* waits for etcd_auth.c */
	CALL_SENT,
	CALL_PAUSED, /* all endpoints failed; until `wake` */
	CALL_FAILED, /* the attempt ended with `answer`; to be made again */
	CALL_OVER,   /* `answer` is to be told */
};

struct etcd_call {
	struct etcd_call *next;
	struct etcd_client *client;
	enum call_state state;
	msec wake; /* the alarm looks at it then */
	const char *path;
	char *body;
	msec until; /* MSEC_NEVER for a watch */
	bool repeatable;
	bool with_token;
	bool token_renewed; /* once is enough: it is not the token then */
	bool maybe_done;    /* some attempt may have been carried out */
	unsigned int tried; /* attempts that failed */
	size_t at;          /* the endpoint of the attempt */
	unsigned int token_no;
	struct http_call *http;    /* NULL unless CALL_SENT */
	struct etcd_answer answer; /* of the last attempt, without its body */
	void (*done)(void *ctx, const struct etcd_answer *answer);
	void (*missed)(void *ctx, const struct etcd_answer *answer);
	void *ctx;

	/* Of a watch. */
	bool is_watch;
	bool acknowledged;
	msec renew_at;
	struct etcd_watch_hooks hooks;
};

struct endpoint {
	const char *url;
	char *token;           /* NULL: none */
	char *refused;         /* the last one that was no good; NULL: none */
	unsigned int token_no; /* rises with every change of the token */
	bool has_no_auth;      /* it said that it knows no users */
};

struct etcd_client {
	const struct conf *conf;
	struct http *http;
	struct alarm alarm; /* the earliest `wake` */
	struct etcd_call *calls;
	struct endpoint *endpoints;
	size_t n_endpoints;
	size_t current;          /* the one that worked last; every watch is there */
	msec heard;              /* when it last answered */
	struct http_call *probe; /* the question whether it still does */
	struct http_call *auth;
	size_t auth_at; /* the endpoint that auth asks */
	char *auth_body;
	struct token_shelf shelf;
	unsigned int auth_tried; /* attempts without an answer in a row */
};

/* etcd_client.c */

struct etcd_request {
	char url[CONF_ENDPOINT_MAX + 64];
	char timeout[48];
	char token[ETCD_TOKEN_MAX + 32];
	const char *headers[4];
	struct http_request http;
};
struct etcd_attempt {
	size_t at;        /* the endpoint */
	const char *path; /* kept by the caller, as the body */
	const char *body;
	msec timeout;
	bool with_token;
	bool endless; /* a watch: timeout is for its acknowledgement alone */
	bool once;    /* as in http.h */
};
void request_make(
    struct etcd_request *r, const struct etcd_client *c, const struct etcd_attempt *attempt);
/* What an answer over HTTP means; e names the endpoint. body is a new reference. */
void answer_read(const struct etcd_client *c, size_t at, const char *path,
    const struct http_answer *http, struct etcd_answer *answer);

/* The alarm follows the calls' `wake`. */
void client_rearm(struct etcd_client *c);
/* It answered. */
void client_heard(struct etcd_client *c, size_t at);
/* It did not, or not sensibly: goes on to the next one, and ends the watches that are there. */
void client_endpoint_failed(struct etcd_client *c, size_t at, const struct err *why);
/* So that no two workers do it in step: up to a quarter less. */
msec client_jitter(msec time);
/* What an attempt gets after so many that had no answer. */
msec client_attempt_time(unsigned int tried);

/* NULL when out of memory. */
struct etcd_call *call_new(
    struct etcd_client *c, const char *path, const json_t *body, struct err *e);
/* Begins an attempt at the current endpoint, or waits for a token first. */
void call_begin(struct etcd_call *call);
/* To be told by the alarm. */
void call_set(
    struct etcd_call *call, enum call_state state, enum etcd_code code, const struct err *why);
/* Whether the answer asks for a new token, and this call may try one: then it has begun anew. */
bool call_renews_token(struct etcd_call *call, const struct etcd_answer *answer);
/* Takes over answer->body, and calls done(). */
void call_finish(struct etcd_call *call, const struct etcd_answer *answer);

/* etcd_watch.c */

/* Sends the request of a watch. */
struct http_call *watch_send(
    struct etcd_call *call, const struct http_request *request, struct err *e);
/* The alarm of one that is open. */
void watch_check(struct etcd_call *call);

/* etcd_auth.c */

/* Whether a request can be sent: there is a token, or none is needed. */
bool auth_is_ready(const struct etcd_client *c, size_t at);
/* Gets a token; then the calls that want one are woken. */
void auth_begin(struct etcd_client *c, size_t at);
/* Token number token_no was refused. */
void auth_forget(struct etcd_client *c, size_t at, unsigned int token_no);
void auth_open(struct etcd_client *c);
void auth_close(struct etcd_client *c);

#endif
