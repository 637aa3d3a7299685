/*
 * status.h - <run_dir>/status.json, what `graceful status` and every other onlooker reads. The
 * format is in graceful(8).
 */
#ifndef ROLE_STATUS_H
#define ROLE_STATUS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "role/post.h"

struct status {
	const struct conf *conf;
	int64_t since; /* of the master, wall clock */
	bool stopping;
	bool hurry;                /* the jobs were told to, or were killed */
	int exit;                  /* the exit status, -1 while it runs */
	const struct fleet *fleet; /* of posts */
	json_t *reload;            /* "config": what the last reload did; NULL: there was none */
};

/* A job's state as status.json has it. */
const char *status_of_job(const struct post *p);

/* Replaces the file atomically. Failing harms nobody but the onlookers. */
int status_write(const struct status *s, struct err *e);

#endif
