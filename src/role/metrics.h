/*
 * metrics.h - "metrics_file": what the master counts, as a text file for Prometheus (read by the
 * textfile collector of node_exporter). The names are in graceful(8).
 *
 * Counters begin at 0 with each master.
 */
#ifndef ROLE_METRICS_H
#define ROLE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "role/report.h"
#include "state/handover.h"

struct status;

#define METRICS_BUCKETS 16

struct metrics_histogram {
	uint64_t counts[METRICS_BUCKETS + 1]; /* not summed up; the last: larger than all limits */
	int64_t sum;                          /* microseconds */
};

/* Of the whole master; zeroed at first. */
struct metrics {
	struct metrics_histogram phases[STAMPS_N]; /* by the stamp that ends it */
	uint64_t took, gave;
};

/* What the workers of one job count, each from 0: what came before, and what the last one said. */
struct metrics_job {
	struct metrics_counts {
		uint64_t restarts, failures, backups, backup_failures;
	} before, now;
	uint64_t worker_deaths;
};

/* A new worker begins to count. */
void metrics_job_forked(struct metrics_job *j);
void metrics_job_reported(struct metrics_job *j, const struct report *r);
/* Counts the steps of this machine; a phase that came out negative is left out. */
void metrics_handover(struct metrics *m, bool took, const struct stamps *s);

/* The text of the file, freed by the caller; wall: microseconds. NULL when out of memory. */
char *metrics_text(const struct metrics *m, const struct status *s, msec now, int64_t wall);

/* Replaces the file atomically. Failing harms nobody but the onlookers. */
int metrics_write(const struct metrics *m, const struct status *s, struct err *e);

#endif
