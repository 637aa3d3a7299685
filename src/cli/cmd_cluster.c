/* graceful status --cluster: every job of the namespace, as the coordinator knows it. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/screen.h"
#include "cli/table.h"
#include "cli/text.h"
#include "conf/units.h"
#include "coord/survey.h"

#define WHERE_MAX 1024
#define JOBS_MAX 100000 /* a larger namespace is not shown, and not kept in memory */

struct cluster {
	int64_t now;
	size_t n_jobs, n_owned, n_waiting;
	struct table *table; /* one of the two */
	json_t *jobs;
	bool failed; /* out of memory */
};

/* ---- For people ---- */

static const struct table_column columns[] = {
	{ "JOB", false },
	{ "OWNER", false },
	{ "HOST", false },
	{ "PID", true },
	{ "EPOCH", true },
	{ "FOR", true },
	{ "SEQ", true },
	{ "SIZE", true },
	{ "SAVED", true },
	{ "BY", false },
	{ "DUMP", false },
	{ "WAITING", false },
};

/* What goes first on a narrow terminal; of columns[]. */
static const unsigned spare[] = { 0, 0, 4, 7, 5, 1, 6, 3, 0, 8, 2, 0 };

static void add_none(struct table *t, size_t n)
{
	while (n-- > 0)
		table_add(t, PAINT_DIM, "-");
}

static void add_age(struct table *t, int64_t then, int64_t now)
{
	char buf[UNITS_MAX];
	int64_t age = now > then ? now - then : 0;

	if (then < 0 || age >= MSEC_NEVER / 1000)
		add_none(t, 1);
	else
		table_add(t, PAINT_NONE, units_show_duration(age * 1000, buf));
}

static const char *name_of(const struct survey_place *p)
{
	if (p->has_holder)
		return p->holder.instance;
	return p->foreign ? "(not graceful)" : "?";
}

static void add_owner(struct table *t, const struct survey_job *job, int64_t now)
{
	const struct survey_place *p = &job->places[0];

	if (job->n_places == 0) {
		add_none(t, 5);
		return;
	}
	table_add(t, p->has_holder ? PAINT_GOOD : PAINT_BUSY, name_of(p));
	if (p->has_holder) {
		table_add(t, PAINT_NONE, p->holder.host);
		table_addf(t, PAINT_NONE, "%d", p->holder.pid);
	} else {
		add_none(t, 2);
	}
	table_addf(t, PAINT_NONE, "%ju", (uintmax_t)p->epoch);
	add_age(t, p->has_holder ? p->holder.since : -1, now);
}

static void add_state(struct table *t, const struct survey_job *job, int64_t now)
{
	char size[UNITS_MAX];

	if (!job->has_record) {
		add_none(t, 4);
		table_add(t, job->damage.text[0] != '\0' ? PAINT_BAD : PAINT_DIM,
		    job->damage.text[0] != '\0' ? "DAMAGED" : "-");
		return;
	}
	table_addf(t, PAINT_NONE, "%ju", (uintmax_t)job->seq);
	table_add(t, PAINT_NONE, units_show_size(job->size, size));
	add_age(t, job->time, now);
	table_add(t, PAINT_NONE, job->instance);
	table_add(t, job->clean ? PAINT_GOOD : PAINT_NONE,
	    job->done    ? "done"
	    : job->clean ? "clean"
			 : "backup");
}

/* Those that wait, in order, and how many more there are. */
static void add_waiting(struct table *t, const struct survey_job *job)
{
	char text[1024] = "";
	size_t len = 0, shown;

	for (shown = 1; shown < job->n_places && shown < SURVEY_PLACES_MAX; shown++) {
		int n = snprintf(text + len, sizeof(text) - len, "%s%s", len > 0 ? ", " : "",
		    name_of(&job->places[shown]));

		if (n < 0 || len + (size_t)n >= sizeof(text) - 32)
			break;
		len += (size_t)n;
	}
	if (shown < job->n_places)
		snprintf(text + len, 32, " and %zu more", job->n_places - shown);
	table_add(t, PAINT_NONE, text);
}

static void add_row(struct cluster *c, const struct survey_job *job)
{
	table_add(c->table, PAINT_NONE, job->name);
	add_owner(c->table, job, c->now);
	add_state(c->table, job, c->now);
	add_waiting(c->table, job);
}

/* ---- For programs ---- */

static void put(json_t *o, const char *key, json_t *value, struct cluster *c)
{
	if (json_object_set_new(o, key, value) != 0)
		c->failed = true;
}

static json_t *describe_place(struct cluster *c, const struct survey_place *p)
{
	json_t *o = json_object();

	put(o, "epoch", json_integer((json_int_t)p->epoch), c);
	if (p->lease != 0)
		put(o, "lease", json_sprintf("%jx", (uintmax_t)p->lease), c);
	if (p->foreign)
		put(o, "foreign", json_true(), c);
	if (p->has_holder) {
		put(o, "instance", json_string(p->holder.instance), c);
		put(o, "host", json_string(p->holder.host), c);
		put(o, "pid", json_integer(p->holder.pid), c);
		put(o, "since", json_integer(p->holder.since), c);
	}
	return o;
}

static json_t *describe_state(struct cluster *c, const struct survey_job *job)
{
	json_t *o = json_object();

	put(o, "epoch", json_integer((json_int_t)job->epoch), c);
	put(o, "seq", json_integer((json_int_t)job->seq), c);
	put(o, "size", json_integer((json_int_t)job->size), c);
	put(o, "clean", json_boolean(job->clean), c);
	if (job->done)
		put(o, "done", json_true(), c);
	put(o, "instance", json_string(job->instance), c);
	if (job->time >= 0)
		put(o, "time", json_integer(job->time), c);
	return o;
}

static void add_object(struct cluster *c, const struct survey_job *job)
{
	json_t *o = json_object(), *waiting = json_array();

	if (job->n_places > 0)
		put(o, "owner", describe_place(c, &job->places[0]), c);
	for (size_t i = 1; i < job->n_places && i < SURVEY_PLACES_MAX; i++) {
		if (json_array_append_new(waiting, describe_place(c, &job->places[i])) != 0)
			c->failed = true;
	}
	put(o, "waiting", waiting, c);
	put(o, "waiting_count", json_integer(job->n_places > 0 ? (json_int_t)job->n_places - 1 : 0),
	    c);
	if (job->has_record)
		put(o, "state", describe_state(c, job), c);
	else if (job->damage.text[0] != '\0')
		put(o, "damage", json_string(job->damage.text), c);
	put(c->jobs, job->name, o, c);
}

/* ---- Both ---- */

static bool each_job(void *ctx, const struct survey_job *job)
{
	struct cluster *c = ctx;

	c->n_jobs++;
	c->n_owned += job->n_places > 0;
	c->n_waiting += job->n_places > 0 ? job->n_places - 1 : 0;
	if (c->n_jobs > JOBS_MAX)
		return false;
	if (c->table != NULL)
		add_row(c, job);
	else
		add_object(c, job);
	return !c->failed;
}

static int print_table(const struct cluster *c, const struct conf *conf, const char *where)
{
	struct term term = term_now();
	char ns[256], place[WHERE_MAX];

	text_fit(ns, sizeof(ns), conf->ns, SIZE_MAX);
	text_fit(place, sizeof(place), where, SIZE_MAX);
	printf("%s at %s\n%zu job%s: %zu owned, %zu free; %zu waiting\n", ns, place, c->n_jobs,
	    c->n_jobs == 1 ? "" : "s", c->n_owned, c->n_jobs - c->n_owned, c->n_waiting);
	if (c->n_jobs == 0)
		return 0;
	putchar('\n');
	return table_print(c->table, stdout, term.width, term.colour);
}

static int print_json(struct cluster *c, const struct conf *conf, const char *where)
{
	json_t *root = json_pack("{s:s, s:s, s:I, s:O}", "namespace", conf->ns, "coordinator",
	    where, "time", (json_int_t)c->now, "jobs", c->jobs);
	int rc = root != NULL && !c->failed
		     ? json_dumpf(root, stdout, JSON_INDENT(1) | JSON_ENSURE_ASCII)
		     : -1;

	putchar('\n');
	json_decref(root);
	return rc;
}

/* A mount that is missing looks like a namespace without a job. */
static void tell_absence(const struct conf *conf)
{
	if (conf->coord == CONF_COORD_LOCAL && access(conf->local_path, F_OK) != 0 &&
	    errno == ENOENT)
		cli_tell("%s is not there: no master has used it yet, or it was moved, or its file "
			 "system is not mounted",
		    conf->local_path);
}

static int show(struct cluster *c, const struct conf *conf, msec patience)
{
	char where[WHERE_MAX];
	struct err e;
	int rc;

	coord_where(conf, where, sizeof(where));
	if (coord_survey(conf, patience, each_job, c, &e) != 0) {
		err_add(&e, "cannot ask the coordinator");
		return cli_fail_err(&e);
	}
	if (c->n_jobs > JOBS_MAX)
		return cli_fail(
		    EXIT_CANNOT, "%s has more than %d jobs, which is too many", conf->ns, JOBS_MAX);
	if (c->n_jobs == 0)
		tell_absence(conf);
	rc = c->table != NULL ? print_table(c, conf, where) : print_json(c, conf, where);
	return rc == 0 ? EXIT_OK : cli_fail(EXIT_CANNOT, "out of memory");
}

int cmd_cluster(const struct cli_args *args, msec patience)
{
	struct cluster c = { .now = clock_wall() };
	static const char *const only[] = { "namespace", "coordinator", NULL };
	struct conf *conf = cli_load(args->conf_file, only);
	int status;

	if (conf == NULL)
		return cli_fail(EXIT_BAD_CONF, "%s cannot be used", args->conf_file);
	if (args->json)
		c.jobs = json_object();
	else
		c.table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
	if (c.table != NULL)
		table_spare(c.table, spare);
	if (c.jobs == NULL && c.table == NULL)
		status = cli_fail(EXIT_CANNOT, "out of memory");
	else
		status = show(&c, conf, patience);
	table_free(c.table);
	json_decref(c.jobs);
	conf_free(conf);
	return status;
}
