/*
 * etcd_reply.h - what an answer of etcd's gateway means: a result, or an error in one of its many
 * shapes. Pure: no I/O.
 *
 * The gRPC code decides, not the HTTP status: an expired lease is a 200, and a refused watch too.
 * Answers are untrusted, and whatever makes no sense is ETCD_GARBAGE.
 */
#ifndef COORD_ETCD_REPLY_H
#define COORD_ETCD_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* gRPC codes that matter here; an answer may have any other one up to 16. */
enum etcd_code {
	ETCD_OK = 0,
	ETCD_INVALID = 3,
	ETCD_DEADLINE = 4,
	ETCD_NOT_FOUND = 5,
	ETCD_EXISTS = 6, /* a lease with this id */
	ETCD_DENIED = 7,
	ETCD_EXHAUSTED = 8,    /* too large, too many, or the database is full */
	ETCD_PRECONDITION = 9, /* "authentication is not enabled" */
	ETCD_COMPACTED = 11,
	ETCD_UNAVAILABLE = 14,
	ETCD_BAD_TOKEN = 16, /* also a missing one, and one from before users were changed */
	/* No codes of gRPC: */
	ETCD_GARBAGE = 100, /* an answer that makes no sense */
	ETCD_TLS,           /* no connection: certificates or protocols do not fit */
	ETCD_BAD_USER,      /* no token for this user and password, or the latter cannot be read */
};

struct etcd_answer {
	enum etcd_code code;
	json_t *body; /* valid during the hook (json_incref to keep); NULL unless ETCD_OK */
	int64_t date; /* wall clock of the server, seconds since 1970; 0: it does not say */
	bool unknown; /* not ETCD_OK, and the request may have been carried out all the same */
	struct err e; /* for people: endpoint, what, why */
};

/*
 * An answer to one request. Fills *answer; body is a new reference. `unknown` is false only where
 * the code says that etcd refused the request before it did anything.
 */
void etcd_reply_read(int status, const char *text, size_t len, struct etcd_answer *answer);

enum etcd_line {
	ETCD_LINE_CREATED, /* the watch is acknowledged */
	ETCD_LINE_EVENTS,  /* answer->body is the "result": a new reference */
	ETCD_LINE_NOTHING, /* no news */
	ETCD_LINE_END,     /* the watch is over, though the connection may stay; answer says why */
};
/* A line of a watch. *answer is that of etcd_reply_read() for _EVENTS and _END, else ETCD_OK. */
enum etcd_line etcd_reply_line(const char *text, size_t len, struct etcd_answer *answer);

#endif
