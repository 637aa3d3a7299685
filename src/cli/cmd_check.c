#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/trust.h"
#include "cli/cli.h"
#include "cli/probe.h"
#include "cli/screen.h"
#include "cli/table.h"
#include "conf/conf.h"
#include "conf/units.h"
#include "coord/check.h"
#include "role/worker.h"
#include "state/place.h"
#include "state/transfer.h"

#define LIMIT_MAX 24
#define SYSLOG_BUSY_MS 1000 /* for one that is full to be read from */
#define COMMAND_MAX 512     /* bytes of a command in the overview */

struct check {
	const struct conf *conf;
	size_t mistakes, warnings;
	const char *given; /* the kill timeout in seconds, as it was written; NULL: none */
	msec limit;        /* the same */
	size_t too_long;   /* jobs whose stop may take longer */
	msec longest;
};

static void complain(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void warn(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One line in the form of conf_load()'s own. */
static void say(const struct check *c, const char *kind, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void say(const struct check *c, const char *kind, const char *fmt, va_list ap)
{
	char text[2 * PATH_MAX];

	vsnprintf(text, sizeof(text), fmt, ap);
	cli_tell("%s: %s%s", c->conf->file, kind, text);
}

static void complain(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, "", fmt, ap);
	va_end(ap);
	c->mistakes++;
}

/* Of what the master runs with all the same. */
static void warn(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, "warning: ", fmt, ap);
	va_end(ap);
	c->warnings++;
}

/* See home_look_at_metrics(). */
static void check_metrics(struct check *c)
{
	const char *path = c->conf->metrics_file;
	struct err e;

	if (path == NULL)
		return;
	if (probe_file(path, &e) != 0)
		complain(c, "metrics_file: %s", e.text);
	if (trust_dir_of(path, &e) != 0)
		warn(c, "metrics_file: %s", e.text);
}

static void check_log(struct check *c)
{
	struct err e;

	if (c->conf->log_syslog && log_try_syslog(SYSLOG_BUSY_MS, &e) != 0)
		warn(c,
		    "log.to: %s; start a syslog daemon, or set \"stderr\": until then what is "
		    "logged is lost",
		    e.text);
}

static void check_interpreter(
    struct check *c, const struct job_conf *job, const struct probe_job *found)
{
	int len = (int)strcspn(found->interpreter_path, "\r");
	bool dos = found->interpreter_path[len] != '\0';

	complain(c, "jobs.%s.command: %s cannot execute %.*s, which the first line of %s names: %s",
	    job->name, job->user_name, len, found->interpreter_path, job->argv[0],
	    dos ? "the line ends as on Windows, take the CR out" : strerror(found->interpreter));
}

static void check_way(
    struct check *c, const struct job_conf *job, const char *key, const char *dir, int code)
{
	/* What is no directory, or a link to nothing, is complained of by itself, and no mode would
	 * help. */
	if (code != 0 && code != ENOTDIR && code != ENOENT)
		complain(c,
		    "jobs.%s.user: %s cannot pass through %s %s: %s; let it, by its group or for "
		    "all "
		    "(chmod o+x), there and in the directories above",
		    job->name, job->user_name, key, dir, strerror(code));
}

static const char *show_limit(rlim_t value, char buf[LIMIT_MAX])
{
	if (value == RLIM_INFINITY)
		return "unlimited";
	snprintf(buf, LIMIT_MAX, "%ju", (uintmax_t)value);
	return buf;
}

/* It may be that the master is started with more than this process has, as by an init system. */
static void check_privileges(
    struct check *c, const struct job_conf *job, const struct probe_job *found)
{
	char asked[LIMIT_MAX], ours[LIMIT_MAX];
	struct rlimit now;

	if (found->limit != 0 && getrlimit(found->refused->resource, &now) == 0)
		warn(c,
		    "jobs.%s.limits.%s: a hard limit of %s cannot be set, as ours is %s: %s; lower "
		    "it, or give graceful that limit, or root",
		    job->name, found->refused->name,
		    show_limit(found->refused->value.rlim_max, asked),
		    show_limit(now.rlim_max, ours), strerror(found->limit));
	if (found->nice != 0)
		warn(c,
		    "jobs.%s.nice: %d is below what we have: %s; raise it, or give graceful that "
		    "priority, or root",
		    job->name, job->nice, strerror(found->nice));
}

static void check_job(struct check *c, const struct job_conf *job)
{
	struct probe_job found;
	struct err e;

	if (probe_job(c->conf, job, &found, &e) != 0) {
		complain(c, "jobs.%s: cannot be checked: %s", job->name, e.text);
		return;
	}
	check_privileges(c, job, &found);
	if (found.user != 0)
		complain(c, "jobs.%s.user: cannot become %s: %s", job->name, job->user_name,
		    strerror(found.user));
	if (found.cwd != 0)
		complain(c, "jobs.%s.cwd: %s cannot enter %s: %s", job->name, job->user_name,
		    job->cwd, strerror(found.cwd));
	check_way(c, job, "run_dir", c->conf->run_dir, found.run_dir);
	check_way(c, job, "work_dir", c->conf->work_dir, found.work_dir);
	if (found.command != 0)
		complain(c, "jobs.%s.command: %s cannot execute %s: %s", job->name, job->user_name,
		    job->argv[0], strerror(found.command));
	if (found.interpreter != 0)
		check_interpreter(c, job, &found);
	if (found.strange)
		warn(c,
		    "jobs.%s.command: %s is no program, and as a script it lacks a first line such "
		    "as #!/bin/sh: it may fail with \"%s\"",
		    job->name, job->argv[0], strerror(ENOEXEC));
}

static void check_dir(struct check *c, const char *key, const char *path)
{
	struct err e;

	if (path == NULL || probe_dir(path, &e) == 0)
		return;
	trust_advise(&e);
	complain(c, "%s: %s", key, e.text);
}

/* Without a store a state has to fit into the record; what is there already tells that it does
 * not. */
static void check_state_file(struct check *c, const struct job_conf *job)
{
	const struct conf *conf = c->conf;
	char path[PATH_MAX], most[UNITS_MAX], size[UNITS_MAX];
	uint64_t limit = job->state_max;
	struct stat st;

	if (conf->state_dir == NULL && conf->inline_max < limit)
		limit = conf->inline_max;
	snprintf(
	    path, sizeof(path), "%s/" CONF_JOBS_DIR "/%s/" STATE_FILE, conf->work_dir, job->name);
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size > limit)
		complain(c, "jobs.%s: its state %s has %s, and more than %s cannot be saved: %s",
		    job->name, path, units_show_size((uint64_t)st.st_size, size),
		    units_show_size(limit, most),
		    limit < job->state_max ? "set state.url" : "raise state_max");
}

/* Of those that jobs must not be able to play with. */
static void check_own_dir(struct check *c, const char *key, const char *path)
{
	struct err e;

	check_dir(c, key, path);
	if (trust_dir(path, &e) != 0)
		complain(c, "%s: %s", key, e.text);
}

/* run_dir or work_dir: all that home_open() needs there. */
static void check_home(struct check *c, const char *key, const char *dir, const char *below)
{
	static const char *const files[] = { CONF_LOCK_FILE, CONF_PID_FILE };
	size_t before = c->mistakes;
	char path[2 * PATH_MAX];
	struct err e;

	check_own_dir(c, key, dir);
	if (c->mistakes > before)
		return;
	snprintf(path, sizeof(path), "%s/%s", dir, below);
	check_own_dir(c, key, path);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		if (probe_name(path, &e) != 0)
			complain(c, "%s: %s", key, e.text);
	}
}

/* Of those that must not be made again when they are not there. */
static void check_place(struct check *c, const char *key, const char *path)
{
	struct err e;

	if (path != NULL && place_check(c->conf->work_dir, path, &e) != 0)
		complain(c, "%s: %s", key, e.text);
}

/* The server may show what is ours as another user's, so that is no mistake. */
static void check_store(struct check *c)
{
	const char *path = c->conf->state_dir;
	struct err e;

	check_dir(c, "state.url", path);
	if (path != NULL && trust_dir(path, &e) != 0)
		warn(c, "state.url: %s", e.text);
}

static bool is_among(dev_t disk, const dev_t *disks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (disks[i] == disk)
			return true;
	return false;
}

/* Who runs already may need no more than it has. */
static void check_rooms(struct check *c)
{
	const struct conf *conf = c->conf;
	const char *const places[][2] = {
		{ "run_dir", conf->run_dir },
		{ "work_dir", conf->work_dir },
		{ "state.url", conf->state_dir },
		{ "coordinator.path", conf->coord == CONF_COORD_LOCAL ? conf->local_path : NULL },
	};
	dev_t disk, full[sizeof(places) / sizeof(places[0])];
	size_t n = 0;
	struct err e;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (places[i][1] == NULL || probe_room(places[i][1], &disk, &e) == 0 ||
		    is_among(disk, full, n))
			continue;
		warn(c, "%s: %s", places[i][0], e.text);
		full[n++] = disk;
	}
}

static void check_machine(struct check *c)
{
	const struct conf *conf = c->conf;

	check_home(c, "run_dir", conf->run_dir, CONF_NOTIFY_DIR);
	check_home(c, "work_dir", conf->work_dir, CONF_JOBS_DIR);
	check_store(c);
	if (conf->coord == CONF_COORD_LOCAL)
		check_own_dir(c, "coordinator.path", conf->local_path);
	check_place(c, "state.url", conf->state_dir);
	if (conf->coord == CONF_COORD_LOCAL)
		check_place(c, "coordinator.path", conf->local_path);
	check_rooms(c);
	check_log(c);
	check_metrics(c);
	for (size_t i = 0; i < conf->n_jobs; i++)
		check_job(c, conf->jobs[i]);
	for (size_t i = 0; i < conf->n_jobs; i++)
		check_state_file(c, conf->jobs[i]);
}

/* The file is not to blame: it may be the time that is too short. */
static void tell_too_long(const struct check *c, const struct job_conf *job, msec budget)
{
	char took[UNITS_MAX], over[UNITS_MAX];

	fprintf(stderr, "--kill-timeout %s: jobs.%s", c->given, job->name);
	if (budget == MSEC_NEVER)
		fprintf(stderr,
		    ".stop_timeout: is infinite, and no kill timeout is long enough for it: give "
		    "it one in %s\n",
		    c->conf->file);
	else if (budget == c->limit)
		fprintf(stderr, ": a stop may take %s, which leaves no time for the rest\n",
		    units_show_duration(budget, took));
	else
		fprintf(stderr,
		    ": a stop may take %s, which is %s more: let the init system wait longer than "
		    "that, or lower the job's stop_timeout in %s\n",
		    units_show_duration(budget, took), units_show_duration(budget - c->limit, over),
		    c->conf->file);
}

/* One that is not bounded at all is one more reason to be told. */
static void check_kill_timeout(struct check *c)
{
	for (size_t i = 0; i < c->conf->n_jobs; i++) {
		const struct job_conf *job = c->conf->jobs[i];
		msec budget = msec_add(job->stop_timeout, worker_stop_tail(job));

		if (budget < c->limit)
			continue;
		tell_too_long(c, job, budget);
		c->too_long++;
		if (budget > c->longest)
			c->longest = budget;
	}
}

static int fail_too_long(const struct check *c)
{
	char enough[64] = "";

	if (c->longest != MSEC_NEVER)
		snprintf(
		    enough, sizeof(enough), ": %jd would do", (intmax_t)(c->longest / 1000 + 1));
	return cli_fail(EXIT_BAD_CONF, "--kill-timeout %s is too short for %zu job%s of %s%s",
	    c->given, c->too_long, c->too_long == 1 ? "" : "s", c->conf->file, enough);
}

static void add_command(struct table *t, char **argv)
{
	char text[COMMAND_MAX] = "";
	size_t len = 0;

	for (; *argv != NULL && len + 1 < sizeof(text); argv++) {
		int n = snprintf(text + len, sizeof(text) - len, "%s%s", len > 0 ? " " : "", *argv);

		len += n > 0 ? (size_t)n : 0;
	}
	table_add(t, PAINT_NONE, text);
}

static void add_job(struct table *t, const struct job_conf *job)
{
	char buf[UNITS_MAX];

	table_add(t, PAINT_NONE, job->name);
	table_add(t, PAINT_NONE, job->user_name);
	table_add(t, PAINT_NONE, units_show_duration(job->stop_timeout, buf));
	table_add(t, PAINT_NONE, units_show_duration(job->checkpoint, buf));
	add_command(t, job->argv);
}

static const struct table_column job_columns[] = {
	{ "JOB", false },
	{ "USER", false },
	{ "STOP_TIMEOUT", true },
	{ "CHECKPOINT", true },
	{ "COMMAND", false },
};

static int show_jobs(const struct conf *conf)
{
	struct table *t = table_new(job_columns, sizeof(job_columns) / sizeof(job_columns[0]));
	struct term term = term_now();
	int rc;

	if (t == NULL)
		return -1;
	for (size_t i = 0; i < conf->n_jobs; i++)
		add_job(t, conf->jobs[i]);
	rc = table_print(t, stdout, term.width, term.colour);
	table_free(t);
	return rc;
}

static int check_conf(struct check *c)
{
	const struct conf *conf = c->conf;

	check_machine(c);
	if (c->given != NULL)
		check_kill_timeout(c);
	if (c->mistakes > 0)
		return cli_fail(EXIT_BAD_CONF,
		    "%s cannot be fulfilled on this machine by uid %u: %zu problem%s", conf->file,
		    (unsigned)geteuid(), c->mistakes, c->mistakes == 1 ? "" : "s");
	if (c->too_long > 0)
		return fail_too_long(c);
	if (conf->n_jobs > 0 && show_jobs(conf) != 0)
		return cli_fail(EXIT_CANNOT, "out of memory");
	printf("%sconfiguration is fine: %zu job%s", conf->n_jobs > 0 ? "\n" : "", conf->n_jobs,
	    conf->n_jobs == 1 ? "" : "s");
	if (c->warnings > 0)
		printf(", %zu warning%s", c->warnings, c->warnings == 1 ? "" : "s");
	putchar('\n');
	return EXIT_OK;
}

int cmd_check(const struct cli_command *cmd, const struct cli_args *args)
{
	struct conf_errors errors;
	struct conf *conf;
	msec limit = 0, patience = CHECK_PATIENCE;
	int status = EXIT_BAD_CONF;

	if (cli_seconds(cmd, "--kill-timeout", args->kill_timeout, &limit) != EXIT_OK ||
	    cli_seconds(cmd, "--timeout", args->timeout, &patience) != EXIT_OK)
		return EXIT_BAD_USE;
	if (args->timeout != NULL && !args->connect)
		return cli_misuse(cmd, "--timeout means nothing without --connect");
	conf = conf_load(args->conf_file, &errors);
	cli_report(&errors);
	if (conf != NULL) {
		/* Of what can be used after all there are only warnings. */
		struct check c = {
			.conf = conf,
			.warnings = errors.n,
			.given = args->kill_timeout,
			.limit = limit,
		};

		status = check_conf(&c);
	}
	if (conf != NULL && args->connect) {
		int connected;

		putchar('\n');
		fflush(stdout);
		connected = check_connect(conf, patience);
		/* A mistake is worth more than a server that is away. */
		if (status == EXIT_OK || connected == EXIT_BAD_CONF)
			status = connected;
	}
	if (conf == NULL)
		cli_fail(EXIT_BAD_CONF, "%s cannot be used", args->conf_file);
	conf_errors_free(&errors);
	conf_free(conf);
	return status;
}
