/*
 * check.h - whether the coordinator can be used, found out by trying, with nothing left behind that
 * anyone could see.
 */
#ifndef COORD_CHECK_H
#define COORD_CHECK_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"
#include "conf/conf.h"

enum check_result {
	CHECK_FINE,
	CHECK_NOTE,        /* it works, but hardly as meant */
	CHECK_UNREACHABLE, /* it may pass by itself, or somebody has to mend a server or the network
			    */
	CHECK_MISTAKE,     /* the configuration, or users on the server, have to be changed */
};

/* One of the servers that are configured; the local coordinator has none. */
struct check_endpoint {
	const char *url;
	enum check_result result;
	bool reached;     /* it is etcd and answered */
	bool has_leader;  /* if reached: it is in touch with the majority */
	char version[32]; /* "" if not known; printable */
	struct err e;     /* unless it is fine */
};

struct check_hooks {
	void (*endpoint)(void *ctx, const struct check_endpoint *endpoint);
	/* what: the part of the configuration that is concerned, such as "coordinator.user"; text:
	 * for people, what was found, and if it is bad what to do. */
	void (*found)(void *ctx, enum check_result result, const char *what, const char *text);
};

#define CHECK_PATIENCE 3000

/* Blocks; a server has `patience` for each answer, CHECK_PATIENCE if nobody knows better. */
void coord_check(
    const struct conf *conf, msec patience, const struct check_hooks *hooks, void *ctx);

#endif
