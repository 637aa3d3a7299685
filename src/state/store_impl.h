/*
 * store_impl.h - what a kind of store provides. Only store.c and the kinds include this.
 */
#ifndef STATE_STORE_IMPL_H
#define STATE_STORE_IMPL_H

#include <stdint.h>

#include "base/err.h"
#include "state/record.h"
#include "state/store.h"

/* Each function keeps the contract of its namesake in store.h. */
struct store_ops {
	void (*close)(struct store *s);
	int (*prepare)(struct store *s, struct err *e);
	int (*put)(struct store *s, const char *job, uint64_t epoch, uint64_t seq, int fd,
	    uint64_t size, char **url, char sha256[RECORD_SHA_LEN + 1], struct err *e);
	int (*get)(struct store *s, const char *url, uint64_t size, const char *sha256, int fd,
	    struct err *e);
	int (*remove)(struct store *s, const char *url, struct err *e);
	int (*sweep)(struct store *s, const char *job, struct blob_number before, const char *keep,
	    struct err *e);
};

/* The first member of every kind of store. */
struct store {
	const struct store_ops *ops;
};

#endif
