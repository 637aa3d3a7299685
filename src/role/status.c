#include "role/status.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

static bool is_in_backoff(const struct seat *s)
{
	return s->state == SEAT_DUE && (s->delay > 0 || s->end.failed);
}

/* A job's state when no worker of its own speaks for it. */
const char *status_of_job(const struct post *p)
{
	switch (p->seat.state) {
	case SEAT_VACANT: return "stopped";
	case SEAT_PARKED: return "parked";
	case SEAT_FINISHED: return "done";
	case SEAT_DUE: return is_in_backoff(&p->seat) ? "backoff" : "starting";
	case SEAT_ORPHANED: return "dumping";
	case SEAT_STRANDED:
	case SEAT_RESCUED: return "releasing";
	case SEAT_WORKING: return p->report.state[0] != '\0' ? p->report.state : "starting";
	}
	return "stopped";
}

static bool is_being_rescued(const struct post *p)
{
	return p->seat.state == SEAT_STRANDED || p->seat.state == SEAT_RESCUED;
}

/* The last report outlives its worker, which stood in the queue, or waited to start the job. */
static void speak_for_worker(const struct post *p, json_t *o)
{
	json_object_del(o, "holder");
	json_object_del(o, "retry");
	if (is_in_backoff(&p->seat) && p->seat.due != MSEC_NEVER)
		json_object_set_new(o, "retry", json_integer(clock_wall_at(p->seat.due)));
}

static json_t *describe_job(const struct post *p)
{
	json_t *o = report_public(&p->report);

	if (o == NULL)
		return NULL;
	json_object_set_new(o, "state", json_string(status_of_job(p)));
	if (p->seat.state != SEAT_WORKING)
		speak_for_worker(p, o);
	if (p->seat.pid != 0)
		json_object_set_new(o, "worker_pid", json_integer(p->seat.pid));
	/* Its rescue has yet to be told that the lock is its own. */
	if (is_being_rescued(p) && p->held_epoch != 0 && json_object_get(o, "epoch") == NULL)
		json_object_set_new(o, "epoch", json_integer((json_int_t)p->held_epoch));
	if (p->seat.end.unclean)
		json_object_set_new(o, "unclean", json_true());
	if (p->seat.end.left)
		json_object_set_new(o, "left", json_true());
	return o;
}

static void describe_places(const struct fleet *f, json_t *o)
{
	if (f->places != FLEET_ALL)
		json_object_set_new(o, "max_jobs", json_integer((json_int_t)f->places));
	if (!f->draining)
		return;
	json_object_set_new(o, "draining", json_true());
	json_object_set_new(o, "drained", json_boolean(fleet_busy(f) == 0));
}

static json_t *describe(const struct status *s)
{
	json_t *jobs = json_object();
	json_t *o = json_pack("{s:s, s:i, s:s, s:I, s:b, s:o}", "instance", s->conf->instance,
	    "pid", (int)getpid(), "version", PACKAGE_VERSION, "since", (json_int_t)s->since,
	    "stopping", s->stopping, "jobs", jobs);

	if (o != NULL && s->hurry)
		json_object_set_new(o, "hurry", json_true());
	if (o != NULL && s->exit >= 0)
		json_object_set_new(o, "exit", json_integer(s->exit));
	if (o != NULL && s->reload != NULL)
		json_object_set(o, "config", s->reload);
	if (o != NULL)
		describe_places(s->fleet, o);
	for (size_t i = 0; o != NULL && i < s->fleet->n; i++) {
		const struct post *p = post_of(s->fleet->seats[i]);

		json_object_set_new(jobs, p->job->name, describe_job(p));
	}
	return o;
}

/* A text file, which ends in a newline; NULL: out of memory. */
static char *compose(const struct status *s)
{
	json_t *o = describe(s);
	char *json = o != NULL ? json_dumps(o, JSON_INDENT(1)) : NULL, *text = NULL;

	if (json != NULL && asprintf(&text, "%s\n", json) < 0)
		text = NULL;
	free(json);
	json_decref(o);
	return text;
}

int status_write(const struct status *s, struct err *e)
{
	char path[PATH_MAX];
	char *text = compose(s);
	int rc;

	if (text == NULL)
		return err_set(e, "cannot write the status file: out of memory");
	snprintf(path, sizeof(path), "%s/status.json", s->conf->run_dir);
	rc = fs_replace(path, text, strlen(text), 0644, false, e);
	free(text);
	return rc;
}
