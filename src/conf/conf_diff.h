/*
 * conf_diff.h - what a reload has to know of two configurations. Pure.
 */
#ifndef CONF_CONF_DIFF_H
#define CONF_CONF_DIFF_H

#include "conf/conf.h"

enum conf_fate { CONF_UNCHANGED, CONF_CHANGED, CONF_ADDED, CONF_REMOVED };

/* Whether two definitions mean the same running job: reload restarts a job only if not. */
bool job_conf_equal(const struct job_conf *a, const struct job_conf *b);

/*
 * Whether a worker that was forked for job `a` of `in_a` does just what one for `b` of `in_b` would
 * do: the jobs are equal, and so is all that workers use beside them.
 */
bool conf_same_work(const struct conf *in_a, const struct job_conf *a, const struct conf *in_b,
    const struct job_conf *b);

/* What becomes of a job that is in one of them at least. */
enum conf_fate conf_fate(const struct conf *before, const struct conf *after, const char *name);

/*
 * The keys that differ and that a running master cannot change: they say who it is, and what its
 * locks are. Puts their names into keys and returns their number.
 */
#define CONF_FIXED_MAX 6
size_t conf_fixed(
    const struct conf *before, const struct conf *after, const char *keys[CONF_FIXED_MAX]);

#endif
