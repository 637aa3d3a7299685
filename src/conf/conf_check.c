#include "conf/conf_check.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/sig.h"
#include "conf/units.h"

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

static bool is_given(const struct node *n, const struct node *defaults, const char *key)
{
	return node_get(n, key) != NULL || node_get(defaults, key) != NULL;
}

void check_fit_defaults(const struct node *n, const struct node *defaults, struct job_conf *job)
{
	if (!is_given(n, defaults, "hurry_timeout") && job->stop_timeout > 0 &&
	    job->hurry_timeout > job->stop_timeout / 2)
		job->hurry_timeout = job->stop_timeout / 2;
	if (!is_given(n, defaults, "restart_max") && job->restart_max < job->restart_min)
		job->restart_max = job->restart_min;
	if (!is_given(n, defaults, "restart_min") && job->restart_max > 0 &&
	    job->restart_min > job->restart_max)
		job->restart_min = job->restart_max;
}

/*
 * Where to point at when two keys of a job contradict each other: what the job says itself, before
 * what it inherits.
 */
static const struct node *blame(
    const struct node *n, const struct node *defaults, const char *a, const char *b)
{
	const struct node *candidates[] = { node_get(n, a), node_get(n, b), node_get(defaults, a),
		node_get(defaults, b) };

	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		if (candidates[i] != NULL)
			return candidates[i];
	}
	return n;
}

static void check_job(struct reader *rd, const struct node *n, const struct node *defaults,
    const struct job_conf *job)
{
	char a[UNITS_MAX], b[UNITS_MAX];

	if (job->hurry_timeout > 0 && job->stop_timeout > 0 &&
	    job->hurry_timeout >= job->stop_timeout)
		report_error(rd->report, blame(n, defaults, "hurry_timeout", "stop_timeout"),
		    "hurry_timeout (%s) must be shorter than stop_timeout (%s)",
		    units_write_duration(job->hurry_timeout, a),
		    units_write_duration(job->stop_timeout, b));
	if (job->restart_min > 0 && job->restart_max > 0 && job->restart_min > job->restart_max)
		report_error(rd->report, blame(n, defaults, "restart_min", "restart_max"),
		    "restart_min (%s) must not be longer than restart_max (%s)",
		    units_write_duration(job->restart_min, a),
		    units_write_duration(job->restart_max, b));
	if (job->checkpoint_signal != 0 && job->checkpoint_signal == job->stop_signal)
		report_error(rd->report, blame(n, defaults, "checkpoint_signal", "stop_signal"),
		    "checkpoint_signal and stop_signal are both %s; the job could not tell them "
		    "apart",
		    sig_name(job->stop_signal));
	else if (job->checkpoint_signal == SIGTERM)
		report_error(rd->report,
		    blame(n, defaults, "checkpoint_signal", "checkpoint_signal"),
		    "cannot be TERM, which tells every job to hurry; USR1 is a common choice");
}

/* Whether path is dir, or below it. */
static bool is_within(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

struct place {
	const struct node *at; /* where it is set; the whole file for a default */
	const char *name;
	const char *path; /* NULL: not used, or refused */
};

static struct place place_of(
    const struct node *root, const struct node *at, const char *name, const char *path)
{
	return (struct place){ .at = at != NULL ? at : root, .name = name, .path = path };
}

/* Everyone's files in one directory would overwrite each other. */
static void check_places_differ(struct reader *rd, const struct place *places, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = i + 1; k < n; k++) {
			if (places[i].path == NULL || places[k].path == NULL ||
			    strcmp(places[i].path, places[k].path) != 0)
				continue;
			/* Blame what was written and not a default. */
			report_error(rd->report,
			    places[k].at->parent != NULL ? places[k].at : places[i].at,
			    "%s and %s are the same directory, %.200s; give each one of its own",
			    places[i].name, places[k].name, places[i].path);
		}
	}
}

/* Jobs may write in their directories, so nothing that graceful relies on may lie there. */
static void check_not_in_jobs(struct reader *rd, const struct conf *conf, const struct place *p)
{
	char jobs[PATH_MAX + sizeof(CONF_JOBS_DIR)];

	if (conf->work_dir == NULL || p->path == NULL)
		return;
	snprintf(jobs, sizeof(jobs), "%s/%s", conf->work_dir, CONF_JOBS_DIR);
	if (is_within(p->path, jobs))
		report_error(rd->report, p->at,
		    "%s cannot lie in %.200s, which holds the jobs' own directories", p->name,
		    jobs);
}

static void check_directories(struct reader *rd, const struct node *root, const struct conf *conf)
{
	const struct node *coordinator = node_get(root, "coordinator");
	const struct node *state = node_get(root, "state");
	const char *local_path = conf->coord == CONF_COORD_LOCAL ? conf->local_path : NULL;
	const struct place places[] = {
		place_of(root, node_get(root, "run_dir"), "run_dir", conf->run_dir),
		place_of(root, node_get(root, "work_dir"), "work_dir", conf->work_dir),
		place_of(root, node_get(coordinator, "path"), "coordinator.path", local_path),
		place_of(root, node_get(state, "url"), "state.url", conf->state_dir),
	};
	const struct place metrics =
	    place_of(root, node_get(root, "metrics_file"), "metrics_file", conf->metrics_file);

	check_places_differ(rd, places, sizeof(places) / sizeof(places[0]));
	check_not_in_jobs(rd, conf, &metrics);
	check_not_in_jobs(rd, conf, &places[0]);
	check_not_in_jobs(rd, conf, &places[2]);
	check_not_in_jobs(rd, conf, &places[3]);
}

static const struct job_conf *longest_name(const struct conf *conf)
{
	const struct job_conf *longest = conf->jobs[0];

	for (size_t i = 1; i < conf->n_jobs; i++) {
		if (strlen(conf->jobs[i]->name) > strlen(longest->name))
			longest = conf->jobs[i];
	}
	return longest;
}

/* The kernel takes no longer paths for sockets; better told now than when the job starts. */
static void check_socket_path(struct reader *rd, const struct node *root, const struct conf *conf)
{
	const struct node *run_dir = node_get(root, "run_dir");
	size_t len;

	if (conf->run_dir == NULL || conf->n_jobs == 0)
		return;
	len = strlen(conf->run_dir) + strlen("/" CONF_NOTIFY_DIR "/") +
	      strlen(longest_name(conf)->name);
	if (len > SOCKET_PATH_MAX)
		report_error(rd->report, run_dir != NULL ? run_dir : root,
		    "the socket %.120s/" CONF_NOTIFY_DIR
		    "/%s would have a path of %zu bytes, and %zu "
		    "is the most; choose a shorter run_dir",
		    conf->run_dir, longest_name(conf)->name, len, SOCKET_PATH_MAX);
}

/* Without a store a state has to fit into the record. */
static void check_state_fits(struct reader *rd, const struct node *root, const struct conf *conf)
{
	const struct node *state = node_get(root, "state");
	char most[UNITS_MAX], inlined[UNITS_MAX];

	if (node_get(state, "url") != NULL)
		return;
	for (size_t i = 0; i < conf->n_jobs; i++) {
		if (conf->jobs[i]->state_max <= conf->inline_max)
			continue;
		report_warning(rd->report, state != NULL ? state : root,
		    "without a \"url\" no state over inline_max (%s) can be backed up, and job "
		    "\"%s\" "
		    "may have up to %s; set state.url, or lower state_max",
		    units_write_size(conf->inline_max, inlined), conf->jobs[i]->name,
		    units_write_size(conf->jobs[i]->state_max, most));
		return;
	}
}

static void check_max_jobs(struct reader *rd, const struct node *root, const struct conf *conf)
{
	const struct node *n = node_get(root, "max_jobs");

	if (conf->max_jobs == 0 && n != NULL && json_is_integer(n->value))
		report_warning(rd->report, n,
		    "is 0: no job is run until SIGTTIN; to run all of them, leave it out");
}

static bool ends_in(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len > n && strcmp(text + len - n, end) == 0;
}

static bool is_in_our_place(const struct conf *conf, const char *path)
{
	const char *const places[] = { conf->run_dir, conf->work_dir,
		conf->coord == CONF_COORD_LOCAL ? conf->local_path : NULL, conf->state_dir };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (places[i] != NULL && is_within(path, places[i]))
			return true;
	}
	return false;
}

/* Whatever is there under that name is replaced: a lock would be another file, which is free. No
 * file of ours has a name that ends so. */
static void check_metrics(struct reader *rd, const struct node *root, const struct conf *conf)
{
	const struct node *n = node_get(root, "metrics_file");

	if (conf->metrics_file == NULL || ends_in(conf->metrics_file, ".prom"))
		return;
	if (is_in_our_place(conf, conf->metrics_file))
		report_error(rd->report, n,
		    "must end in \".prom\" in a directory that graceful keeps its own files in, "
		    "which it could replace");
	else
		report_warning(
		    rd->report, n, "does not end in \".prom\": node_exporter will not read it");
}

static bool is_text(const struct node *n, const char *text)
{
	return json_is_string(n->value) && strcmp(json_string_value(n->value), text) == 0;
}

static void check_foreign(
    struct reader *rd, const struct node *coordinator, const char *key, const char *type)
{
	const struct node *n = node_get(coordinator, key);

	if (n != NULL)
		report_error(rd->report, n, "goes with \"type\": \"%s\" only", type);
}

void check_coordinator(struct reader *rd, const struct node *root, const struct conf *conf)
{
	static const char *const of_etcd[] = { "endpoints", "ca_file", "cert_file", "key_file",
		"user", "password_file" };
	const struct node *n = node_get(root, "coordinator"), *type = node_get(n, "type");

	if (conf->coord == CONF_COORD_ETCD) {
		check_foreign(rd, n, "path", "local");
		check_etcd(rd, n, conf);
	} else if (type == NULL || is_text(type, "local")) {
		/* and not a word that was refused: there is no telling what goes with it */
		for (size_t i = 0; i < sizeof(of_etcd) / sizeof(of_etcd[0]); i++)
			check_foreign(rd, n, of_etcd[i], "etcd");
	}
}

void check_all(struct reader *rd, const struct node *root, const struct conf *conf)
{
	const struct node *jobs = node_get(root, "jobs"), *defaults = node_get(root, "defaults");

	check_coordinator(rd, root, conf);
	check_directories(rd, root, conf);
	check_socket_path(rd, root, conf);
	check_state_fits(rd, root, conf);
	check_metrics(rd, root, conf);
	check_max_jobs(rd, root, conf);
	for (size_t i = 0; i < conf->n_jobs; i++)
		check_job(rd, node_get(jobs, conf->jobs[i]->name), defaults, conf->jobs[i]);
}
