/*
 * metrics.h - what the master counts, each from 0 when it starts; metrics_file.h shows it.
 */
#ifndef ROLE_METRICS_H
#define ROLE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "role/report.h"
#include "state/handover.h"

#define METRICS_BUCKETS 16

/* Upper limits of the buckets, microseconds. */
extern const int64_t metrics_limits[METRICS_BUCKETS];

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

#endif
