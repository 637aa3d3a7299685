/*
 * http_impl.h - the inside of the HTTP client, shared by its files:
 *   http.c        what others see; the course of a call: its deadline, and when its hooks run
 *   http_setup.c  what libcurl is told about a call, and what it asks and tells us about one
 *   http_end.c    what the hook of a call is told of its end
 *   http_loop.c   libcurl in the event loop: its sockets and its timer
 * What comes of an answer is kept by http_lines.c.
 *
 * Hooks begin, cancel and close whatever they like, so none may run inside libcurl: what happened
 * is noted in the calls there, and told by http_tell() afterwards.
 */
#ifndef NET_HTTP_IMPL_H
#define NET_HTTP_IMPL_H

#include <curl/curl.h>

#include "base/alarm.h"
#include "net/http.h"
#include "net/http_lines.h"

/* A lookup that hangs must not hang the loop with it, as it did before CURLOPT_QUICK_EXIT. */
#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87 or later is needed"
#endif

struct http_call {
	struct http_call *next;
	struct http *http;
	CURL *easy;
	struct curl_slist *headers;
	void (*line)(void *ctx, const char *text, size_t len); /* NULL: not a stream */
	void (*done)(void *ctx, const struct http_answer *answer);
	void *ctx;
	msec deadline; /* MSEC_NEVER from the first line of a stream on */
	msec timeout;
	size_t header_len;
	bool once;
	bool sent;
	bool https;
	bool fresh;        /* it was sent on a new connection */
	bool ended;        /* only the rest of its lines and its end are still to be told */
	bool dead;         /* cancelled, or told to the end, while its hook runs */
	const char *fault; /* why it was given up here, when it was not libcurl that failed */
	CURLcode result;
	char why[CURL_ERROR_SIZE];
	struct http_lines lines;
};

struct http_socket;

struct http {
	struct ev_loop *loop;
	struct http_tls tls;
	CURLM *multi;
	struct ev_timer tick;  /* libcurl's own timer */
	struct alarm deadline; /* the next one of the calls */
	struct http_call *calls;
	struct http_socket *sockets;
	struct http_call *telling; /* whose hook runs */
	bool closed;               /* by that hook: to be freed as soon as it returns */
};

/* http.c */

/* Notes that a call is over, to be told. */
void http_note_end(struct http_call *call, CURLcode result);
/* Calls the hooks that are due. May free h, so it is always the last thing called. */
void http_tell(struct http *h);
/* Whether what comes is told line by line: what is no stream, or an error, is told at its end. */
bool http_is_by_line(const struct http_call *call);

/* http_setup.c */

/* False when out of memory. */
bool http_setup(struct http_call *call, const struct http_request *request);

/* http_end.c */

/* Calls done(). */
void http_tell_end(struct http_call *call);

/* http_loop.c */

/* h->loop and h->multi are there. */
void http_loop_open(struct http *h);
/* After h->multi is gone, which gives up its sockets. */
void http_loop_close(struct http *h);

#endif
