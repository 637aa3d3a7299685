#include "cli/progress.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/follow.h"
#include "cli/table.h"
#include "cli/text.h"
#include "conf/units.h"

#define BAR 20      /* characters */
#define REDRAW 1000 /* msec between two drawings of what only ages */

/* What a state means to somebody who waits for the end of it; NULL: nothing worth a line. */
static const char *progress_text(const struct statusview_job *job)
{
	bool over = strcmp(job->state, "stopped") == 0 || strcmp(job->state, "parked") == 0;

	if (over && job->left)
		return "given up, but what it had of the lock could not be given back";
	if (over)
		return job->unclean ? "released, but the last dump is not clean" : "released";
	if (strcmp(job->state, "dumping") == 0 || strcmp(job->state, "releasing") == 0)
		return job->state;
	return NULL;
}

/* When nobody knows, it may have been. */
static bool was_held(const struct progress *p, const struct statusview_job *job)
{
	return p->seen == NULL || json_is_true(json_object_get(p->seen, job->name));
}

/* A job that had no more than a place in the queue, or nothing, is not released. */
static bool is_news(const struct progress *p, const struct statusview_job *now)
{
	const struct statusview_job *before = statusview_job(&p->view, now->name);
	const char *text = progress_text(now), *old;

	if (text == NULL || (!now->left && !was_held(p, now) && !statusview_job_held(now)))
		return false;
	if (before == NULL)
		return statusview_job_held(now); /* what was over before we looked is none */
	old = progress_text(before);
	return old == NULL || strcmp(old, text) != 0;
}

static void tell_changes(const struct progress *p, const struct statusview *now)
{
	for (size_t i = 0; i < now->n_jobs; i++) {
		const struct statusview_job *job = &now->jobs[i];

		if (is_news(p, job))
			printf("%s: %s\n", job->name, progress_text(job));
	}
	fflush(stdout);
}

static size_t count_held(const struct statusview *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n_jobs; i++)
		n += statusview_job_held(&v->jobs[i]);
	return n;
}

/* "[######----]  61 % of 2.8 GiB" */
static void add_bar(struct table *t, const struct statusview_job *job)
{
	char bar[BAR + 1], size[UNITS_MAX];
	double part;

	if (job->moved < 0 || job->to_move <= 0 || job->moved > job->to_move) {
		table_add(t, PAINT_DIM, "-");
		return;
	}
	part = (double)job->moved / (double)job->to_move;
	for (int i = 0; i < BAR; i++)
		bar[i] = i < (int)(part * BAR) ? '#' : '-';
	bar[BAR] = '\0';
	table_addf(t, PAINT_NONE, "[%s] %3d %% of %s", bar, (int)(part * 100),
	    units_show_size((uint64_t)job->to_move, size));
}

static int compose_progress(void *ctx, FILE *out)
{
	const struct progress *p = ctx;
	static const struct table_column columns[] = { { "JOB", false }, { "STATE", false },
		{ "FOR", true }, { "BYTES", false }, { "STATUS", false } };
	struct table *t = table_new(columns, 5);
	size_t held = count_held(&p->view);
	char age[UNITS_MAX];
	int rc = 0;

	if (t == NULL)
		return -1;
	fprintf(out, "%s pid %d: %zu of %zu jobs released, %s (Ctrl-C only stops watching)\n",
	    p->doing, p->master.pid, p->view.n_jobs - held, p->view.n_jobs,
	    units_show_duration(clock_now() - p->begun, age));
	for (size_t i = 0; i < p->view.n_jobs; i++) {
		const struct statusview_job *job = &p->view.jobs[i];
		int64_t lasted = job->since < 0 ? 0 : clock_wall() - job->since;

		if (!statusview_job_held(job))
			continue;
		table_add(t, PAINT_NONE, job->name);
		table_add(t, PAINT_BUSY, job->state);
		table_add(t, PAINT_NONE, units_show_duration(lasted > 0 ? lasted * 1000 : 0, age));
		add_bar(t, job);
		table_add(t, PAINT_NONE, job->text != NULL ? job->text : "");
	}
	if (held > 0)
		rc = table_print(t, out, p->term.width, p->term.colour);
	table_free(t);
	return rc;
}

static void note_seen(struct progress *p)
{
	for (size_t i = 0; i < p->view.n_jobs; i++) {
		const struct statusview_job *job = &p->view.jobs[i];

		if (statusview_job_held(job))
			json_object_set_new(p->seen, job->name, json_true());
		else if (job->worker_pid >= 0 && json_object_get(p->seen, job->name) == NULL)
			json_object_set_new(p->seen, job->name, json_false());
	}
}

bool progress_held_any(const struct progress *p)
{
	const char *name;
	json_t *held;

	json_object_foreach (p->seen, name, held)
		if (json_is_true(held))
			return true;
	return p->seen == NULL;
}

static void say_unclean_one(const struct statusview_job *job, char text[PROGRESS_UNCLEAN_MAX])
{
	char name[JOB_NAME_MAX + 1];

	text_fit(name, sizeof(name), job->name, SIZE_MAX);
	snprintf(text, PROGRESS_UNCLEAN_MAX, "the state of %s was not dumped cleanly; %s", name,
	    job->size < 0 ? "there is no older one" : "its last good one was kept");
}

/* A job that has no size has no state at all. */
size_t progress_unclean(const struct progress *p, char text[PROGRESS_UNCLEAN_MAX])
{
	const struct statusview_job *one = NULL;
	size_t n = 0, without = 0;

	for (size_t i = 0; i < p->view.n_jobs; i++) {
		const struct statusview_job *job = &p->view.jobs[i];

		if (!job->unclean || !was_held(p, job))
			continue;
		one = job;
		n++;
		without += one->size < 0;
	}
	if (n == 1)
		say_unclean_one(one, text);
	else if (without == 0)
		snprintf(text, PROGRESS_UNCLEAN_MAX,
		    "%zu states were not dumped cleanly; their last good ones were kept", n);
	else if (without == n)
		snprintf(text, PROGRESS_UNCLEAN_MAX,
		    "%zu states were not dumped cleanly; there are no older ones", n);
	else
		snprintf(text, PROGRESS_UNCLEAN_MAX,
		    "%zu states were not dumped cleanly; of %zu there is no older one", n, without);
	return n;
}

size_t progress_left(const struct progress *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->view.n_jobs; i++) {
		const struct statusview_job *job = &p->view.jobs[i];

		n += job->left && (p->seen == NULL || json_object_get(p->seen, job->name) != NULL);
	}
	return n;
}

void progress_say_locked(const struct progress *p, char text[PROGRESS_LOCKED_MAX])
{
	char unclean[PROGRESS_UNCLEAN_MAX];
	bool any = progress_unclean(p, unclean) > 0;

	snprintf(text, PROGRESS_LOCKED_MAX,
	    "a lock could not be released; it ends by itself after its TTL%s%s",
	    any ? "; and " : "", any ? unclean : "");
}

static bool look(struct progress *p)
{
	struct statusview v;

	if (statusview_read(&p->master, &v, NULL) != 0)
		return false;
	if (v.exit >= 0)
		p->exit = v.exit;
	if (p->doing != NULL && !p->term.tty)
		tell_changes(p, &v);
	statusview_clear(&p->view);
	p->view = v;
	note_seen(p);
	return true;
}

void progress_look(struct progress *p)
{
	(void)look(p);
}

static int poll_timeout(const struct progress *p, msec until)
{
	msec left = until - clock_now();

	if (p->doing != NULL && p->term.tty && left > REDRAW)
		left = REDRAW;
	if (left > INT_MAX)
		return -1;
	return left > 0 ? (int)left : 0;
}

enum progress_end progress_wait(struct progress *p,
    bool (*done)(const struct statusview *v, int64_t arg), int64_t arg, msec until)
{
	struct pollfd fds[] = {
		{ .fd = p->master.pidfd, .events = POLLIN },
		{ .fd = p->follow, .events = POLLIN },
	};

	while (!done(&p->view, arg)) {
		if (clock_now() >= until)
			return PROGRESS_LATE;
		if (p->doing != NULL && p->term.tty)
			(void)screen_compose(&p->screen, compose_progress, p);
		if (poll(fds, 2, poll_timeout(p, until)) < 0 && errno != EINTR)
			return PROGRESS_FAILED;
		if (fds[0].revents != 0 || (fds[1].revents != 0 && follow_changed(p->follow)))
			progress_look(p);
		if (fds[0].revents != 0)
			return PROGRESS_GONE;
	}
	return PROGRESS_DONE;
}

static void clear_screen(struct progress *p)
{
	if (p->doing != NULL && p->term.tty)
		screen_draw(&p->screen, "");
}

void progress_tell_silence(struct progress *p)
{
	int pid = p->master.pid;

	clear_screen(p);
	if (find_is_suspended(&p->master))
		cli_fail(EXIT_CANNOT,
		    "the master (pid %d) is suspended and hears nothing until: kill -CONT %d", pid,
		    pid);
	else
		cli_fail(EXIT_CANNOT,
		    "the master (pid %d) has not answered in %d s; waiting on. See its log: it may "
		    "be busy, or unable to write in %s. Asking again does no harm",
		    pid, PROGRESS_CONFIRM / 1000, p->master.run_dir);
}

const char *progress_end_show(struct progress *p, char *buf)
{
	clear_screen(p);
	screen_close(&p->screen);
	return units_show_duration(clock_now() - p->begun, buf);
}

int progress_open(struct progress *p, const struct cli_args *args, const char *doing)
{
	struct err e;
	int status;

	*p = (struct progress){
		.doing = doing, .exit = -1, .begun = clock_now(), .term = term_now()
	};
	status = find_open(args, &p->master);
	if (status != EXIT_OK)
		return status;
	p->follow = follow_open(p->master.run_dir, &e);
	if (p->follow >= 0) {
		if (look(p)) {
			p->seen = json_object();
			note_seen(p);
		}
		return EXIT_OK;
	}
	find_close(&p->master);
	return cli_fail(EXIT_CANNOT, "%s", e.text);
}

void progress_close(struct progress *p)
{
	close(p->follow);
	statusview_clear(&p->view);
	json_decref(p->seen);
	find_close(&p->master);
}
