/*
 * statusview.h - the master's status file as the commands see it: read, checked, shown.
 *
 * The file is bounded and checked like any input. What a job wrote into it is made fit for a
 * terminal (text.h) before it is shown.
 */
#ifndef CLI_STATUSVIEW_H
#define CLI_STATUSVIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "cli/find.h"

#define STATUS_FILE "status.json"
#define STATUS_FILE_MAX (32u << 20) /* a larger one is refused unread */

/* Figures and flags are -1, texts NULL, when the file does not have them. */
struct statusview_job {
	const char *name;
	const char *state;
	int64_t worker_pid;
	int64_t epoch;
	int64_t size;  /* bytes of the last committed state */
	int64_t saved; /* unix seconds of its commit */
	int64_t since; /* unix seconds of entering the state */
	int64_t restarts;
	int64_t moved, to_move; /* bytes of a large state on its way */
	int clean;              /* whether the last committed state was dumped at a stop */
	int ready;
	bool unclean;        /* its worker's last word: what the job dumped then was not clean */
	bool left;           /* likewise: it could not give the lock, or its place, back */
	const char *text;    /* the job's own STATUS */
	const char *trouble; /* why its lock cannot be had */
	const char *holder;  /* of a standby: who has the lock */
	const char *failure; /* why it is to be started again */
	int64_t retry;       /* when that is, unix seconds */
	bool finished;       /* its last run ended by itself, with status 0 */
};

struct statusview {
	json_t *root; /* owns every text below */
	const char *instance;
	const char *version;
	int64_t pid;
	int64_t since;
	int64_t exit; /* the master's exit status: in its last file alone */
	bool stopping;
	bool hurry; /* stopping, and the jobs have been told to hurry */
	bool draining, drained;
	int64_t max_jobs;     /* -1: there is no limit */
	json_t *config;       /* of the last reload; NULL: there was none */
	const char *result;   /* of it: "applied" or "refused" */
	int64_t result_of_ms; /* when it began, as clock_now() */
	struct statusview_job *jobs;
	size_t n_jobs;
};

/* Takes the text of a status file apart. On failure *v needs no clear. */
int statusview_parse(const char *text, size_t len, struct statusview *v, struct err *e);
void statusview_clear(struct statusview *v);

/* The status file of a run directory, as it stands. The caller frees *text. */
int statusview_load(const char *run_dir, char **text, size_t *len, struct err *e);
/* Parse, and refuse what another master than this one wrote. */
int statusview_check(
    const struct master *m, const char *text, size_t len, struct statusview *v, struct err *e);
/* Load and check. */
int statusview_read(const struct master *m, struct statusview *v, struct err *e);

/* NULL if there is no such job. */
const struct statusview_job *statusview_job(const struct statusview *v, const char *name);
/* Whether the job's lock is held here: only then is there something to hand over or back up. */
bool statusview_job_held(const struct statusview_job *job);

/* Header and table. now: unix seconds; width, colour as in table_print(). -1: out of memory. */
int statusview_print(const struct statusview *v, int64_t now, FILE *out, size_t width, bool colour);

#endif
