#include "cli/statusview.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fs.h"
#include "cli/table.h"
#include "cli/text.h"
#include "conf/conf.h"
#include "conf/units.h"

#define TEXT_MAX 256 /* bytes of a text in the header */
#define REASON_MAX 1024

static const struct known_state {
	const char *name;
	enum paint paint;
	bool held;
} known_states[] = {
	{ "running", PAINT_GOOD, true },
	{ "standby", PAINT_NONE, false },
	{ "starting", PAINT_BUSY, false },
	{ "restoring", PAINT_BUSY, true },
	{ "dumping", PAINT_BUSY, true },
	{ "releasing", PAINT_BUSY, true },
	{ "backoff", PAINT_BAD, true },
	{ "parked", PAINT_DIM, false },
	{ "done", PAINT_DIM, false },
	{ "stopped", PAINT_DIM, false },
};

#define N_STATES (sizeof(known_states) / sizeof(known_states[0]))

/* A newer master may have states that we do not know. */
static const struct known_state *known_state(const char *name)
{
	for (size_t i = 0; i < N_STATES; i++)
		if (strcmp(known_states[i].name, name) == 0)
			return &known_states[i];
	return NULL;
}

static int parse_job(const char *name, json_t *value, struct statusview_job *job, struct err *e)
{
	json_int_t worker_pid = -1, epoch = -1, size = -1, saved = -1, since = -1, restarts = -1;
	json_int_t moved = -1, to_move = -1, retry = -1;
	json_error_t why;
	int unclean = 0, left = 0, finished = 0;

	*job = (struct statusview_job){ .name = name, .clean = -1, .ready = -1 };
	if (json_unpack_ex(value, &why, 0,
		"{s:s, s?I, s?I, s?I, s?I, s?I, s?I, s?b, s?b, s?s, s?s, s?s, s?s, s?I, s?I, s?b, "
		"s?b, s?I, s?b}",
		"state", &job->state, "worker_pid", &worker_pid, "epoch", &epoch, "size", &size,
		"saved", &saved, "since", &since, "restarts", &restarts, "clean", &job->clean,
		"ready", &job->ready, "status", &job->text, "trouble", &job->trouble, "holder",
		&job->holder, "failure", &job->failure, "moved", &moved, "to_move", &to_move,
		"unclean", &unclean, "left", &left, "retry", &retry, "finished", &finished) != 0)
		return err_set(e, "jobs.%s: %s", name, why.text);
	job->worker_pid = worker_pid;
	job->epoch = epoch;
	job->size = size;
	job->saved = saved;
	job->since = since;
	job->restarts = restarts;
	job->moved = moved;
	job->to_move = to_move;
	job->unclean = unclean != 0;
	job->left = left != 0;
	job->retry = retry;
	job->finished = finished != 0;
	return 0;
}

static int parse_jobs(json_t *jobs, struct statusview *v, struct err *e)
{
	const char *name;
	json_t *value;

	if (!json_is_object(jobs))
		return err_set(e, "jobs: no object");
	v->jobs = calloc(json_object_size(jobs) + 1, sizeof(*v->jobs));
	if (v->jobs == NULL)
		return err_set(e, "out of memory");
	/* Another user's master may have written it: a name is shown, and given to shells. */
	json_object_foreach (jobs, name, value) {
		if (!conf_job_name_ok(name))
			return err_set(e, "jobs: \"%.80s\" is no name of a job", name);
		if (parse_job(name, value, &v->jobs[v->n_jobs], e) != 0)
			return -1;
		v->n_jobs++;
	}
	return 0;
}

static int parse_config(struct statusview *v, struct err *e)
{
	json_error_t why;
	json_int_t began;

	if (json_unpack_ex(
		v->config, &why, 0, "{s:s, s:I}", "result", &v->result, "began_ms", &began) != 0)
		return err_set(e, "config: %s", why.text);
	v->result_of_ms = began;
	return 0;
}

static int parse_root(struct statusview *v, struct err *e)
{
	json_int_t pid, since = -1, exit_status = -1, max_jobs = -1;
	int stopping = 0, hurry = 0, draining = 0, drained = 0;
	json_error_t why;
	json_t *jobs;

	if (json_unpack_ex(v->root, &why, 0,
		"{s:s, s:I, s:o, s?s, s?I, s?I, s?b, s?b, s?b, s?b, s?I, s?o}", "instance",
		&v->instance, "pid", &pid, "jobs", &jobs, "version", &v->version, "since", &since,
		"exit", &exit_status, "stopping", &stopping, "hurry", &hurry, "draining", &draining,
		"drained", &drained, "max_jobs", &max_jobs, "config", &v->config) != 0)
		return err_set(e, "%s", why.text);
	v->pid = pid;
	v->since = since;
	v->exit = exit_status;
	v->stopping = stopping != 0;
	v->hurry = hurry != 0;
	v->draining = draining != 0;
	v->drained = drained != 0;
	v->max_jobs = max_jobs;
	if (v->config != NULL && parse_config(v, e) != 0)
		return -1;
	return parse_jobs(jobs, v, e);
}

int statusview_parse(const char *text, size_t len, struct statusview *v, struct err *e)
{
	json_error_t why;

	*v = (struct statusview){ 0 };
	v->root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (v->root == NULL)
		return err_set(e, "line %d: %s", why.line, why.text);
	if (parse_root(v, e) == 0)
		return 0;
	statusview_clear(v);
	return -1;
}

void statusview_clear(struct statusview *v)
{
	free(v->jobs);
	json_decref(v->root);
	*v = (struct statusview){ 0 };
}

int statusview_load(const char *run_dir, char **text, size_t *len, struct err *e)
{
	char *path;
	int rc;

	if (asprintf(&path, "%s/%s", run_dir, STATUS_FILE) < 0)
		return err_set(e, "out of memory");
	rc = fs_read(path, STATUS_FILE_MAX, text, len, e);
	free(path);
	return rc;
}

int statusview_check(
    const struct master *m, const char *text, size_t len, struct statusview *v, struct err *e)
{
	if (statusview_parse(text, len, v, e) != 0)
		return err_add(e, "%s/%s is no status file", m->run_dir, STATUS_FILE);
	if (v->pid == m->pid)
		return 0;
	err_set(e, "the master (pid %d) has not written %s/%s yet; what is there is of pid %lld",
	    m->pid, m->run_dir, STATUS_FILE, (long long)v->pid);
	statusview_clear(v);
	return -1;
}

int statusview_read(const struct master *m, struct statusview *v, struct err *e)
{
	char *text;
	size_t len;
	int rc;

	if (statusview_load(m->run_dir, &text, &len, e) != 0)
		return -1;
	rc = statusview_check(m, text, len, v, e);
	free(text);
	return rc;
}

const struct statusview_job *statusview_job(const struct statusview *v, const char *name)
{
	for (size_t i = 0; i < v->n_jobs; i++)
		if (strcmp(v->jobs[i].name, name) == 0)
			return &v->jobs[i];
	return NULL;
}

bool statusview_job_held(const struct statusview_job *job)
{
	const struct known_state *known = known_state(job->state);

	/* A job that failed too often here waits without a worker, and without the lock. */
	if (job->worker_pid < 0 && strcmp(job->state, "backoff") == 0)
		return false;
	/* A standby gives its place in the queue back. */
	if (job->epoch < 0 && strcmp(job->state, "releasing") == 0)
		return false;
	return known == NULL || known->held;
}

/* How long ago; a clock that was set back does not make it negative. */
static const char *show_age(int64_t then, int64_t now, char buf[UNITS_MAX])
{
	int64_t age = now > then ? now - then : 0;

	return units_show_duration(age < MSEC_NEVER / 1000 ? age * 1000 : MSEC_NEVER, buf);
}

static void print_header(const struct statusview *v, int64_t now, FILE *out)
{
	char instance[TEXT_MAX], version[TEXT_MAX], age[UNITS_MAX];
	char stamp[32] = "?";
	time_t since = (time_t)v->since;
	struct tm tm;

	text_fit(instance, sizeof(instance), v->instance, SIZE_MAX);
	text_fit(version, sizeof(version), v->version != NULL ? v->version : "?", SIZE_MAX);
	fprintf(out, "%s  pid %lld  version %s", instance, (long long)v->pid, version);
	if (v->since >= 0 && localtime_r(&since, &tm) != NULL) {
		strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
		fprintf(out, "  since %s (%s)", stamp, show_age(v->since, now, age));
	}
	if (v->stopping)
		fputs(v->hurry ? "  STOPPING, HURRIED" : "  STOPPING", out);
	else if (v->draining)
		fputs(v->drained ? "  DRAINED" : "  DRAINING", out);
	fputc('\n', out);
	if (v->result != NULL && strcmp(v->result, "refused") == 0)
		fputs(
		    "the last reload was refused; the log says why, and so does graceful reload\n",
		    out);
}

/* "3 jobs: 2 running, 1 standby" */
static void print_counts(const struct statusview *v, FILE *out)
{
	size_t counts[N_STATES + 1] = { 0 };
	const char *before = ": ";

	for (size_t i = 0; i < v->n_jobs; i++) {
		const struct known_state *known = known_state(v->jobs[i].state);

		counts[known != NULL ? known - known_states : (ptrdiff_t)N_STATES]++;
	}
	fprintf(out, "%zu job%s", v->n_jobs, v->n_jobs == 1 ? "" : "s");
	for (size_t i = 0; i <= N_STATES; i++) {
		if (counts[i] == 0)
			continue;
		fprintf(out, "%s%zu %s", before, counts[i],
		    i < N_STATES ? known_states[i].name : "other");
		before = ", ";
	}
	if (v->max_jobs >= 0)
		fprintf(out, "; at most %lld at a time", (long long)v->max_jobs);
	fputc('\n', out);
}

static void add_figure(struct table *t, int64_t value)
{
	if (value < 0)
		table_add(t, PAINT_DIM, "-");
	else
		table_addf(t, PAINT_NONE, "%lld", (long long)value);
}

static void add_age(struct table *t, int64_t then, int64_t now)
{
	char buf[UNITS_MAX];

	if (then < 0)
		table_add(t, PAINT_DIM, "-");
	else
		table_add(t, PAINT_NONE, show_age(then, now, buf));
}

static void add_ready(struct table *t, int ready)
{
	if (ready < 0)
		table_add(t, PAINT_DIM, "-");
	else
		table_add(t, ready ? PAINT_GOOD : PAINT_BUSY, ready ? "yes" : "no");
}

/* What a job in a backoff waits for: its start, or its lock if no worker holds that. */
static void append_retry(const struct statusview_job *job, int64_t now, char text[REASON_MAX])
{
	size_t len = strlen(text);
	char in[UNITS_MAX];

	if (job->retry < 0)
		return;
	snprintf(text + len, REASON_MAX - len, "%s%s again ", len > 0 ? "; " : "",
	    job->worker_pid >= 0 ? "started" : "queued for its lock");
	len = strlen(text);
	if (job->retry > now)
		snprintf(text + len, REASON_MAX - len, "in %s", show_age(now, job->retry, in));
	else
		snprintf(text + len, REASON_MAX - len, "now");
}

/* Why the job does not run here, and when that is to change. False: it says that itself. */
static bool job_reason(const struct statusview_job *job, int64_t now, char text[REASON_MAX])
{
	text[0] = '\0';
	if (job->trouble != NULL) {
		snprintf(text, REASON_MAX, "cannot get the lock: %s", job->trouble);
	} else if (strcmp(job->state, "done") == 0) {
		snprintf(text, REASON_MAX, "finished, and not started again (on_exit \"done\")");
	} else if (strcmp(job->state, "backoff") == 0) {
		snprintf(text, REASON_MAX, "%s",
		    job->failure != NULL ? job->failure
		    : job->finished      ? "the job exited with status 0"
					 : "");
		append_retry(job, now, text);
	}
	return text[0] != '\0';
}

static bool is_bad(const struct statusview_job *job)
{
	return job->trouble != NULL || (job->failure != NULL && strcmp(job->state, "done") != 0);
}

static void add_job(struct table *t, const struct statusview_job *job, int64_t now)
{
	const struct known_state *known = known_state(job->state);
	char reason[REASON_MAX], size[UNITS_MAX];

	table_add(t, PAINT_NONE, job->name);
	table_add(t, known != NULL ? known->paint : PAINT_NONE, job->state);
	add_figure(t, job->epoch);
	add_ready(t, job->ready);
	add_age(t, job->since, now);
	add_age(t, job->saved, now);
	if (job->size < 0)
		table_add(t, PAINT_DIM, "-");
	else
		table_add(t, PAINT_NONE, units_show_size((uint64_t)job->size, size));
	add_figure(t, job->restarts);
	if (job_reason(job, now, reason))
		table_add(t, is_bad(job) ? PAINT_BAD : PAINT_DIM, reason);
	else if (job->holder != NULL)
		table_addf(t, PAINT_DIM, "behind %s", job->holder);
	else
		table_add(t, PAINT_NONE, job->text != NULL ? job->text : "");
}

static const struct table_column job_columns[] = {
	{ "JOB", false },
	{ "STATE", false },
	{ "EPOCH", true },
	{ "READY", false },
	{ "UPTIME", true },
	{ "BACKUP", true },
	{ "SIZE", true },
	{ "RESTARTS", true },
	{ "STATUS", false },
};

/* In full, below the table, what a terminal has no room for in it. */
static void print_reasons(const struct statusview *v, int64_t now, const struct table *t, FILE *out)
{
	char name[TEXT_MAX], reason[REASON_MAX], text[REASON_MAX];
	const char *before = "\n";

	for (size_t i = 0; i < v->n_jobs; i++) {
		if (!job_reason(&v->jobs[i], now, reason) || !table_cuts(t, i))
			continue;
		text_fit(name, sizeof(name), v->jobs[i].name, SIZE_MAX);
		text_fit(text, sizeof(text), reason, SIZE_MAX);
		fprintf(out, "%s%s: %s\n", before, name, text);
		before = "";
	}
}

int statusview_print(const struct statusview *v, int64_t now, FILE *out, size_t width, bool colour)
{
	struct table *t;
	int rc;

	print_header(v, now, out);
	print_counts(v, out);
	if (v->n_jobs == 0)
		return 0;
	t = table_new(job_columns, sizeof(job_columns) / sizeof(job_columns[0]));
	if (t == NULL)
		return -1;
	for (size_t i = 0; i < v->n_jobs; i++)
		add_job(t, &v->jobs[i], now);
	fputc('\n', out);
	rc = table_print(t, out, width, colour);
	if (rc == 0)
		print_reasons(v, now, t, out);
	table_free(t);
	return rc;
}
