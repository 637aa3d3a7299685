#include "coord/survey.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "coord/coord_impl.h"
#include "coord/survey_impl.h"

static const struct coord_ops *ops_for(const struct conf *conf)
{
	return conf->coord == CONF_COORD_ETCD ? &coord_etcd_ops : &coord_local_ops;
}

void coord_where(const struct conf *conf, char *text, size_t size)
{
	const char *before = "etcd ";
	size_t len = 0;

	if (conf->coord == CONF_COORD_LOCAL) {
		snprintf(text, size, "%s", conf->local_path);
		return;
	}
	for (char **url = conf->endpoints; *url != NULL && len + 1 < size; url++) {
		int n = snprintf(text + len, size - len, "%s%s", before, *url);

		len += n > 0 ? (size_t)n : 0;
		before = ", ";
	}
}

int coord_survey(
    const struct conf *conf, msec patience, survey_each *each, void *ctx, struct err *e)
{
	return ops_for(conf)->survey(conf, patience, each, ctx, e);
}

/* ---- For the implementations ---- */

static int64_t read_time(const char *stamp)
{
	struct tm tm = { 0 };
	const char *end = strptime(stamp, "%Y-%m-%dT%H:%M:%S", &tm);

	return end != NULL && (*end == '.' || *end == 'Z') ? (int64_t)timegm(&tm) : -1;
}

void survey_take_record(struct survey_job *job, const struct record *r)
{
	job->has_record = true;
	job->epoch = r->epoch;
	job->seq = r->seq;
	job->size = r->size;
	job->clean = r->clean;
	job->done = r->done;
	job->time = read_time(r->time);
	snprintf(job->instance, sizeof(job->instance), "%s", r->instance);
}

struct survey_place *survey_add_place(struct survey_job *job, uint64_t epoch, size_t *at)
{
	size_t kept = job->n_places < SURVEY_PLACES_MAX ? job->n_places : SURVEY_PLACES_MAX;

	job->n_places++;
	for (*at = 0; *at < kept && job->places[*at].epoch < epoch; ++*at)
		;
	if (*at == SURVEY_PLACES_MAX)
		return NULL;
	if (kept == SURVEY_PLACES_MAX)
		kept--;
	memmove(&job->places[*at + 1], &job->places[*at], (kept - *at) * sizeof(job->places[0]));
	job->places[*at] = (struct survey_place){ .epoch = epoch };
	return &job->places[*at];
}
