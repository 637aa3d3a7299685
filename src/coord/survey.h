/*
 * survey.h - every job of the namespace as the coordinator knows it: who owns it, who waits, what
 * was saved last. For onlookers: it takes part in nothing, writes nothing, and needs no master.
 *
 * What is told comes from other machines and programs. Numbers are in range and texts end, but they
 * may hold anything: make them fit before they are shown.
 */
#ifndef COORD_SURVEY_H
#define COORD_SURVEY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "conf/conf.h"
#include "coord/holder.h"

#define SURVEY_PLACES_MAX 16 /* of a job; more are counted alone */

struct survey_place {
	uint64_t epoch;  /* what it would be, or is, as owner; the order of the queue */
	uint64_t lease;  /* 0: none */
	bool has_holder; /* it is known who that is */
	bool foreign;    /* it is not: another program's, such as etcdctl lock */
	struct holder holder;
};

struct survey_job {
	char name[JOB_NAME_MAX + 1];
	size_t n_places; /* the first one owns the job, the others wait in this order */
	struct survey_place places[SURVEY_PLACES_MAX]; /* the first ones of them */
	bool has_record;
	struct err damage; /* the record cannot be used; its text is empty otherwise */
	uint64_t epoch, seq, size;
	bool clean, done;
	char instance[CONF_INSTANCE_MAX + 1]; /* who saved it */
	int64_t time;                         /* when, seconds since 1970; -1: it does not say */
};

/* By name, in ascending order. False: enough. */
typedef bool survey_each(void *ctx, const struct survey_job *job);

/* Where it looks, for people: "etcd http://a:2379, http://b:2379", "/var/lib/graceful/local". */
void coord_where(const struct conf *conf, char *text, size_t size);

#define SURVEY_PATIENCE 5000

/*
 * Blocks; a server has `patience` for each answer, SURVEY_PATIENCE if nobody knows better. Memory
 * is bounded, however many jobs there are. -1: it could not be finished, and not all jobs were
 * told.
 */
int coord_survey(
    const struct conf *conf, msec patience, survey_each *each, void *ctx, struct err *e);

#endif
