/*
 * metrics_file.h - "metrics_file": what the master counts, and what its status says, as a text file
 * for Prometheus (read by the textfile collector of node_exporter). The names are in graceful(8).
 */
#ifndef ROLE_METRICS_FILE_H
#define ROLE_METRICS_FILE_H

#include "base/clock.h"
#include "base/err.h"
#include "role/metrics.h"
#include "role/status.h"

/* The text of the file, freed by the caller; wall: microseconds. NULL when out of memory. */
char *metrics_text(const struct metrics *m, const struct status *s, msec now, int64_t wall);

/* Replaces the file atomically. Failing harms nobody but the onlookers. */
int metrics_write(const struct metrics *m, const struct status *s, struct err *e);

#endif
