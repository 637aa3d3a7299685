#include "role/metrics.h"

#include <string.h>

const int64_t metrics_limits[METRICS_BUCKETS] = { 1000, 2500, 5000, 10000, 25000, 50000, 100000,
	250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 300000000 };

static void add_up(struct metrics_counts *to, const struct metrics_counts *c)
{
	to->restarts += c->restarts;
	to->failures += c->failures;
	to->backups += c->backups;
	to->backup_failures += c->backup_failures;
}

void metrics_job_forked(struct metrics_job *j)
{
	add_up(&j->before, &j->now);
	memset(&j->now, 0, sizeof(j->now));
}

void metrics_job_reported(struct metrics_job *j, const struct report *r)
{
	j->now = (struct metrics_counts){
		.restarts = r->restarts,
		.failures = r->failures,
		.backups = r->backups,
		.backup_failures = r->backup_failures,
	};
}

static void observe(struct metrics_histogram *h, int64_t usec)
{
	int i = 0;

	while (i < METRICS_BUCKETS && usec > metrics_limits[i])
		i++;
	h->counts[i]++;
	h->sum += usec;
}

void metrics_handover(struct metrics *m, bool took, const struct stamps *s)
{
	enum stamp from = took ? STAMP_GRANTED : STAMP_TOLD;
	enum stamp to = took ? STAMP_STARTED : STAMP_RELEASED;
	int64_t usec;

	if (took)
		m->took++;
	else
		m->gave++;
	for (enum stamp i = from; i <= to; i++) {
		if (stamps_phase(s, i, &usec) && usec >= 0)
			observe(&m->phases[i], usec);
	}
}
