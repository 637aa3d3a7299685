/*
 * report.h - what a worker tells its master: the whole truth about its job, each time anew.
 *
 * One report is one JSON object on one line of at most PIPE_BUF bytes, so that one write() puts it
 * into the pipe whole or not at all. A report replaces every one before it: when the pipe is full a
 * worker keeps just the newest. The last one carries the acknowledgement (end.released).
 * status.json shows the same fields.
 */
#ifndef ROLE_REPORT_H
#define ROLE_REPORT_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "coord/coord.h"
#include "job/notify.h"
#include "policy/fleet.h"
#include "state/handover.h"

#define REPORT_MAX PIPE_BUF
/* What the longest one may take, its texts full of what JSON writes with two bytes: the rest is for
 * fields to come. There are no control characters in texts, which take six. */
#define REPORT_LONGEST (REPORT_MAX - 450)
#define REPORT_STATE_MAX 15
#define REPORT_TROUBLE_MAX 400
#define REPORT_FAILURE_MAX 270
#define REPORT_HOLDER_MAX 200

struct report {
	char state[REPORT_STATE_MAX + 1]; /* as status.json calls it */
	bool ended_well;  /* the job ran and exited with status 0: what it left is a clean dump */
	bool owner;       /* the lock is this worker's, or was and it is not done with the job: a
			     rescue must follow if it dies now */
	bool placed;      /* life_is_placed(): that rescue may commit the state file */
	bool settled;     /* life_is_settled(): it need not */
	pid_t job_pid;    /* 0: none runs */
	uint64_t lease;   /* id, 0: none, or it is given back */
	int64_t lease_ms; /* left, -1: no lease */
	msec dead_by;     /* the lock covers the job until then, by clock.h; MSEC_NEVER: for ever */
	msec mute_by;     /* the next report comes before that; likewise */
	msec stop_by;     /* the job has this long to dump, the more that it asked for included;
			     MSEC_NEVER: for ever; 0: it was not told to stop */
	uint64_t epoch;   /* 0: not the owner */
	uint64_t
	    seq; /* of the last committed record; 0: there is none, and the next two mean nothing */
	uint64_t size;
	bool clean;
	uint64_t moved, to_move; /* bytes of a large state on its way; 0 of 0: none is */
	int64_t saved;           /* when this worker committed last, wall clock; 0: not yet */
	bool ready;
	unsigned restarts; /* these four count from the worker's start */
	unsigned failures; /* ends of the job, or attempts to start it, that were none in order */
	unsigned backups;  /* states committed */
	unsigned backup_failures;
	int64_t since; /* when `state` was entered, wall clock */
	int64_t retry; /* in a backoff: when the job is started again, likewise; 0: not known */
	bool finished; /* the job's last run ended by itself, with status 0; until the next start */
	char status[NOTIFY_STATUS_MAX + 1]; /* the job's own words */
	enum coord_trouble trouble_kind;    /* why the lock cannot be had */
	char trouble[REPORT_TROUBLE_MAX + 1];
	char holder[REPORT_HOLDER_MAX + 1];   /* who was first in the queue for the lock when this
						 was last told, for people; of a standby alone */
	char failure[REPORT_FAILURE_MAX + 1]; /* why the job's last run, or the attempt to start
						 it, was none in order; until the next start */
	struct handover took;                 /* how it got the job, once that runs */
	struct handover gave;                 /* how it gave the job up */
	struct seat_end end;                  /* all false while it lives */
};

/* One line with its newline into buf; returns the length, -1 if out of memory. */
int report_encode(const struct report *r, char buf[REPORT_MAX], struct err *e);

/* One line without its newline. Checks every field; on failure *r is not to be used. */
int report_decode(const char *text, size_t len, struct report *r, struct err *e);

/* Keeps words of any language, etcd's perhaps, as a text of a report; what is cut ends in "...". */
void report_keep(char *text, size_t room, const char *words);

/* The fields that status.json shows of a job, as a new object; NULL if out of memory. */
json_t *report_public(const struct report *r);

#endif
