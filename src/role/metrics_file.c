#include "role/metrics_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"

static void family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP graceful_%s %s\n# TYPE graceful_%s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline would end it. */
static void put_label(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
	}
}

static void label(FILE *out, const char *name, const char *value)
{
	fprintf(out, ",%s=\"", name);
	put_label(out, value);
	fputc('"', out);
}

/*
 * Begins a line. Several masters of a machine may write into the directory of one node_exporter,
 * which takes just one of two lines with the same labels. Theirs are not called "instance" and
 * "job": those are Prometheus' own, which it puts in their place.
 */
static void series(FILE *out, const char *name, const struct status *s)
{
	fprintf(out, "graceful_%s{instance_name=\"", name);
	put_label(out, s->conf->instance);
	fputc('"', out);
}

static void figure(FILE *out, uint64_t n)
{
	fprintf(out, "} %" PRIu64 "\n", n);
}

/* A family of one line. */
static void put_one(FILE *out, const struct status *s, const char *name, const char *type,
    const char *help, uint64_t n)
{
	family(out, name, type, help);
	series(out, name, s);
	figure(out, n);
}

static void put_way(FILE *out, const struct status *s, const char *way, uint64_t n)
{
	series(out, "handovers_total", s);
	label(out, "way", way);
	figure(out, n);
}

static void put_master(FILE *out, const struct metrics *m, const struct status *s)
{
	family(out, "build_info", "gauge", "The version of the master; always 1.");
	series(out, "build_info", s);
	label(out, "version", PACKAGE_VERSION);
	figure(out, 1);
	put_one(out, s, "up", "gauge", "1 while the master runs, 0 after its end.", s->exit < 0);
	put_one(out, s, "start_time_seconds", "gauge", "When the master started, unix time.",
	    (uint64_t)s->since);
	put_one(out, s, "stopping", "gauge", "1 since the master was told to stop.", s->stopping);
	put_one(out, s, "log_lines_lost_total", "counter",
	    "Lines of the master that its log target did not take.", log_lost());
	family(out, "handovers_total", "counter",
	    "Jobs that began to run here, and that were given up.");
	put_way(out, s, "took", m->took);
	put_way(out, s, "gave", m->gave);
}

static const char *const states[] = { "starting", "standby", "restoring", "running", "backoff",
	"dumping", "releasing", "parked", "stopped", "done" };

static void put_states(FILE *out, const struct status *s)
{
	family(out, "jobs", "gauge", "Jobs by state.");
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		size_t n = 0;

		for (size_t k = 0; k < s->fleet->n; k++)
			n += strcmp(status_of_job(post_of(s->fleet->seats[k])), states[i]) == 0;
		series(out, "jobs", s);
		label(out, "state", states[i]);
		figure(out, n);
	}
}

static void put_bucket(
    FILE *out, const struct status *s, const char *phase, const char *limit, uint64_t n)
{
	series(out, "handover_phase_seconds_bucket", s);
	label(out, "phase", phase);
	label(out, "le", limit);
	figure(out, n);
}

static void put_histogram(
    FILE *out, const struct status *s, const char *phase, const struct metrics_histogram *h)
{
	uint64_t n = 0;

	for (int i = 0; i < METRICS_BUCKETS; i++) {
		char limit[32];

		n += h->counts[i];
		snprintf(limit, sizeof(limit), "%g", (double)metrics_limits[i] / 1e6);
		put_bucket(out, s, phase, limit, n);
	}
	n += h->counts[METRICS_BUCKETS];
	put_bucket(out, s, phase, "+Inf", n);
	series(out, "handover_phase_seconds_sum", s);
	label(out, "phase", phase);
	fprintf(out, "} %" PRId64 ".%06" PRId64 "\n", h->sum / 1000000, h->sum % 1000000);
	series(out, "handover_phase_seconds_count", s);
	label(out, "phase", phase);
	figure(out, n);
}

static void put_phases(FILE *out, const struct metrics *m, const struct status *s)
{
	family(out, "handover_phase_seconds", "histogram",
	    "How long the steps of a hand-over took that were done here.");
	for (enum stamp i = 0; i < STAMPS_N; i++) {
		if (stamp_phase(i) != NULL)
			put_histogram(out, s, stamp_phase(i), &m->phases[i]);
	}
}

/* What is told of each job. False: it does not apply. */

struct moment {
	msec now;
	int64_t wall;
};

typedef bool value_of(const struct post *p, const struct moment *t, uint64_t *value);

#define VALUE(name, applies, what)                                                      \
	static bool name(const struct post *p, const struct moment *t, uint64_t *value) \
	{                                                                               \
		(void)t;                                                                \
		*value = (uint64_t)(what);                                              \
		return applies;                                                         \
	}
#define COUNT(field) VALUE(field, true, p->counts.before.field + p->counts.now.field)

VALUE(owned, true, p->report.owner)
VALUE(ready, p->report.job_pid != 0, p->report.ready)
VALUE(epoch, p->report.epoch != 0, p->report.epoch)
VALUE(sequence, p->report.seq != 0, p->report.seq)
VALUE(size, p->report.seq != 0, p->report.size)
VALUE(saved, p->report.saved > 0, p->report.saved)
VALUE(worker_deaths, true, p->counts.worker_deaths)
COUNT(restarts)
COUNT(failures)
COUNT(backups)
COUNT(backup_failures)

/* Rounded down: a graph may show too little time left, but not too much. */
static bool expiry(const struct post *p, const struct moment *t, uint64_t *value)
{
	if (!p->report.owner || p->report.dead_by == MSEC_NEVER)
		return false;
	*value = (uint64_t)(t->wall / 1000 + p->report.dead_by - t->now) / 1000;
	return true;
}

static const struct {
	const char *name, *type, *help;
	value_of *value;
} families[] = {
	{ "job_owned", "gauge", "1 while the job's lock is held here.", owned },
	{ "job_ready", "gauge", "1 once the job that runs here has said READY=1.", ready },
	{ "job_epoch", "gauge", "The fencing token of the tenure.", epoch },
	{ "job_state_sequence", "gauge", "The number of the last committed state.", sequence },
	{ "job_state_bytes", "gauge", "The size of the last committed state.", size },
	{ "job_last_backup_timestamp_seconds", "gauge",
	    "When a state of the job was last committed here, unix time.", saved },
	{ "job_lock_expiry_timestamp_seconds", "gauge",
	    "Until when the lock covers the job, unless its lease is renewed; unix time.", expiry },
	{ "job_restarts_total", "counter", "Starts of the job after it had ended here.", restarts },
	{ "job_failures_total", "counter",
	    "Ends of the job, and attempts to start it, that were not in order.", failures },
	{ "job_backups_total", "counter", "States that were committed.", backups },
	{ "job_backup_failures_total", "counter", "Attempts to commit a state that failed.",
	    backup_failures },
	{ "job_worker_deaths_total", "counter", "Workers that died before their time.",
	    worker_deaths },
};

static void put_jobs(FILE *out, const struct status *s, const struct moment *t)
{
	uint64_t n;

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		family(out, families[i].name, families[i].type, families[i].help);
		for (size_t k = 0; k < s->fleet->n; k++) {
			const struct post *p = post_of(s->fleet->seats[k]);

			if (!families[i].value(p, t, &n))
				continue;
			series(out, families[i].name, s);
			label(out, "job_name", p->job->name);
			figure(out, n);
		}
	}
}

char *metrics_text(const struct metrics *m, const struct status *s, msec now, int64_t wall)
{
	struct moment t = { now, wall };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	put_master(out, m, s);
	put_states(out, s);
	put_jobs(out, s, &t);
	put_phases(out, m, s);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

int metrics_write(const struct metrics *m, const struct status *s, struct err *e)
{
	char *text = metrics_text(m, s, clock_now(), clock_wall_usec());
	int rc;

	if (text == NULL)
		return err_set(e, "cannot write %s: out of memory", s->conf->metrics_file);
	rc = fs_replace(s->conf->metrics_file, text, strlen(text), 0644, false, e);
	free(text);
	return rc;
}
