/*
 * http.h - HTTP requests in an event loop: libcurl's multi interface driven by libev.
 *
 * One `struct http` per process, made after the fork. No call blocks. Every call ends with exactly
 * one call of its hook from the loop, never from inside the function that began it, unless it is
 * cancelled. Answers are untrusted: bounded, and not looked into here.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"

struct http;
struct http_call;

/*
 * Once in a program, before its threads and forks: what libcurl and TLS set up is then shared by
 * all its processes. Opens no descriptor and no connection.
 */
int http_init(struct err *e);

/* Paths; NULL where not wanted. Kept by the caller until http_close(). */
struct http_tls {
	const char *ca_file, *cert_file, *key_file;
};

struct http *http_open(struct ev_loop *loop, const struct http_tls *tls, struct err *e);
/* Cancels what is under way; may be called from a hook. */
void http_close(struct http *h);

struct http_request {
	const char *url;
	const char *body; /* sent by POST as application/json; kept by the caller until the end */
	const char *const *headers; /* "Name: value", NULL-terminated, or NULL; copied */
	msec timeout; /* from now, for the whole answer; for a stream: for its first line */
	size_t max;   /* bytes of the answer; for a stream: of a line */
	bool once;    /* must not arrive twice, not even where HTTP allows to send it again */
};

/* Why there was no answer, as far as it tells a person what to do. */
enum http_failure {
	HTTP_FAILED,        /* otherwise, or not at all */
	HTTP_NO_HOST,       /* its name has no address */
	HTTP_NO_CONNECTION, /* refused, or no way there */
	HTTP_LATE,          /* not within the time-out */
	HTTP_HUNG_UP,       /* the server closed the connection without a word */
	HTTP_TLS,           /* TLS failed, and will again: certificates, or no TLS there */
};

struct http_answer {
	int status; /* of HTTP; 0: there was no answer, or not all of it, e says why */
	enum http_failure failure; /* of status 0 */
	int64_t date;              /* of the answer's header, seconds since 1970; 0: none */
	bool sent;                 /* the request may have arrived, whatever the status is */
	const char *body;          /* NUL-terminated; valid during the hook */
	size_t len;
	struct err e;
};

/* NULL when it cannot even begin (no memory): the hook will not be called. */
struct http_call *http_post(struct http *h, const struct http_request *request,
    void (*done)(void *ctx, const struct http_answer *answer), void *ctx, struct err *e);

/*
 * An answer that goes on for ever, line by line, on a connection of its own (so that it does not
 * take the warm one from the pool). line() may cancel. done() tells its end: answer->body is empty
 * unless the status is not 200.
 */
struct http_call *http_stream(struct http *h, const struct http_request *request,
    void (*line)(void *ctx, const char *text, size_t len),
    void (*done)(void *ctx, const struct http_answer *answer), void *ctx, struct err *e);

/* No hook of it is called any more. Not after done(); during done() it changes nothing. */
void http_cancel(struct http_call *call);

#endif
