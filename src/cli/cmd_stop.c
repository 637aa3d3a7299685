#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/find.h"
#include "cli/follow.h"
#include "cli/screen.h"
#include "cli/statusview.h"
#include "cli/table.h"
#include "conf/units.h"

#define CONFIRM 3000 /* msec for the master to say in its status file that a signal arrived */
#define REDRAW 1000  /* msec between two drawings of what only ages */

/* How far a stop has gone: each INT takes the master one step further, as far as LEVEL_HURRY. */
enum stop_level { LEVEL_NONE, LEVEL_STOP, LEVEL_HURRY, LEVEL_GONE };

struct stop {
	struct master master;
	int follow;
	struct term term;
	struct screen screen;
	struct statusview view; /* as last seen; zeroed before */
	int64_t exit;           /* the master's last word, -1 while there is none */
	msec begun;
};

static enum stop_level level_of(const struct statusview *v)
{
	if (!v->stopping)
		return LEVEL_NONE;
	return v->hurry ? LEVEL_HURRY : LEVEL_STOP;
}

/* What a state means to somebody who waits for the end of it; NULL: nothing worth a line. */
static const char *progress_text(const struct statusview_job *job)
{
	if (strcmp(job->state, "stopped") == 0)
		return job->clean == 0 ? "released, but the last dump is not clean" : "released";
	if (strcmp(job->state, "dumping") == 0 || strcmp(job->state, "releasing") == 0)
		return job->state;
	return NULL;
}

static void tell_changes(const struct statusview *before, const struct statusview *now)
{
	for (size_t i = 0; i < now->n_jobs; i++) {
		const struct statusview_job *job = &now->jobs[i];
		const struct statusview_job *old = statusview_job(before, job->name);
		const char *text = progress_text(job);

		if (text != NULL && (old == NULL || strcmp(old->state, job->state) != 0))
			printf("%s: %s\n", job->name, text);
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

static int compose_progress(const struct stop *s, FILE *out)
{
	static const struct table_column columns[] = { { "JOB", false }, { "STATE", false },
		{ "FOR", true }, { "STATUS", false } };
	struct table *t = table_new(columns, 4);
	size_t held = count_held(&s->view);
	char age[UNITS_MAX];
	int rc = 0;

	if (t == NULL)
		return -1;
	fprintf(out, "stopping pid %d: %zu of %zu jobs released, %s (Ctrl-C only stops watching)\n",
	    s->master.pid, s->view.n_jobs - held, s->view.n_jobs,
	    units_show_duration(clock_now() - s->begun, age));
	for (size_t i = 0; i < s->view.n_jobs; i++) {
		const struct statusview_job *job = &s->view.jobs[i];
		int64_t lasted = job->since < 0 ? 0 : clock_wall() - job->since;

		if (!statusview_job_held(job))
			continue;
		table_add(t, PAINT_NONE, job->name);
		table_add(t, PAINT_BUSY, job->state);
		table_add(t, PAINT_NONE, units_show_duration(lasted > 0 ? lasted * 1000 : 0, age));
		table_add(t, PAINT_NONE, job->text != NULL ? job->text : "");
	}
	if (held > 0)
		rc = table_print(t, out, s->term.width, s->term.colour);
	table_free(t);
	return rc;
}

static void draw_progress(struct stop *s)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int rc;

	if (out == NULL)
		return;
	rc = compose_progress(s, out);
	if (fclose(out) == 0 && rc == 0)
		screen_draw(&s->screen, text);
	free(text);
}

/* Reads the status file; what cannot be read now is read at the next change. */
static void look(struct stop *s)
{
	struct statusview v;

	if (statusview_read(&s->master, &v, NULL) != 0)
		return;
	if (v.exit >= 0)
		s->exit = v.exit;
	if (!s->term.tty)
		tell_changes(&s->view, &v);
	statusview_clear(&s->view);
	s->view = v;
}

static int poll_timeout(const struct stop *s, msec until)
{
	msec left = until - clock_now();

	if (s->term.tty && left > REDRAW)
		left = REDRAW;
	if (left > INT_MAX)
		return -1;
	return left > 0 ? (int)left : 0;
}

/*
 * Waits until the master is gone (true), or it is at `level` or `until` has come (false). The last
 * status file is read after the master went: it may be written and replaced by a next master's
 * within moments, so each change is read as it comes, too.
 */
static bool wait_gone(struct stop *s, enum stop_level level, msec until)
{
	struct pollfd fds[] = {
		{ .fd = s->master.pidfd, .events = POLLIN },
		{ .fd = s->follow, .events = POLLIN },
	};

	while (level_of(&s->view) < level && clock_now() < until) {
		if (s->term.tty)
			draw_progress(s);
		if (poll(fds, 2, poll_timeout(s, until)) < 0 && errno != EINTR)
			return false;
		if (fds[0].revents != 0 || (fds[1].revents != 0 && follow_changed(s->follow)))
			look(s);
		if (fds[0].revents != 0)
			return true;
	}
	return false;
}

static bool is_gone(const struct master *m)
{
	struct pollfd fd = { .fd = m->pidfd, .events = POLLIN };

	return poll(&fd, 1, 0) > 0;
}

/*
 * Two commands that both find the master at work and both send INT would hurry it, and cut short
 * a dump that nobody wanted cut. So they take turns, from the look at the status file until the
 * master confirmed. Without this lock (-1) the stop goes on all the same.
 */
static int claim_turn(const char *run_dir)
{
	int fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
			;
	return fd;
}

/* One INT for each step that is still to be taken, each confirmed before the next: two at once may
 * arrive as one. */
static int raise_to(struct stop *s, enum stop_level wanted, struct err *e)
{
	bool gone = false;

	for (unsigned at = level_of(&s->view); at < wanted && !gone; at++) {
		if (find_signal_master(&s->master, SIGINT, e) != 0)
			return is_gone(&s->master) ? 0 : -1;
		gone = wait_gone(s, at + 1, msec_add(clock_now(), CONFIRM));
	}
	return 0;
}

static int ask(struct stop *s, const struct cli_args *args, struct err *e)
{
	int turn = claim_turn(s->master.run_dir);
	int rc;

	look(s);
	if (args->kill)
		rc = find_signal_master(&s->master, SIGQUIT, e);
	else
		rc = raise_to(s, args->hurry ? LEVEL_HURRY : LEVEL_STOP, e);
	if (turn >= 0)
		close(turn);
	return rc;
}

/* The master's last word becomes our exit status. */
static int conclude(struct stop *s)
{
	char took[UNITS_MAX];
	int pid = s->master.pid;

	look(s);
	if (s->term.tty)
		screen_draw(&s->screen, "");
	screen_close(&s->screen);
	units_show_duration(clock_now() - s->begun, took);
	switch (s->exit) {
	case EXIT_OK:
		printf("stopped: pid %d, every state dumped, every lock released, %s\n", pid, took);
		return EXIT_OK;
	case EXIT_UNCLEAN:
		return cli_fail(EXIT_UNCLEAN,
		    "stopped (pid %d), but a state was not dumped cleanly; "
		    "its last good one was kept, see the master's log",
		    pid);
	case EXIT_LOCKED:
		return cli_fail(EXIT_LOCKED,
		    "stopped (pid %d), but a lock could not be released; "
		    "it ends by itself after its TTL, see the master's log",
		    pid);
	case -1:
		return cli_fail(EXIT_CANNOT,
		    "the master (pid %d) is gone without a last word; "
		    "see its log",
		    pid);
	default:
		return cli_fail(EXIT_CANNOT,
		    "the master (pid %d) ended with exit status %lld; "
		    "see its log",
		    pid, (long long)s->exit);
	}
}

static int stop_master(struct stop *s, const struct cli_args *args)
{
	struct err e;

	if (ask(s, args, &e) != 0)
		return cli_fail(EXIT_CANNOT, "%s", e.text);
	if (args->no_wait) {
		screen_close(&s->screen);
		printf("asked the master (pid %d) to stop\n", s->master.pid);
		return EXIT_OK;
	}
	if (!wait_gone(s, LEVEL_GONE, MSEC_NEVER))
		return cli_fail(EXIT_CANNOT, "cannot wait for the master (pid %d): %s",
		    s->master.pid, strerror(errno));
	return conclude(s);
}

int cmd_stop(const struct cli_command *cmd, const struct cli_args *args)
{
	struct stop s = { .exit = -1, .begun = clock_now(), .term = term_now() };
	struct err e;
	int status;

	if (args->hurry && args->kill)
		return cli_misuse(cmd, "--hurry and --kill exclude each other");
	status = find_open(args, &s.master);
	if (status != EXIT_OK)
		return status;
	s.follow = follow_open(s.master.run_dir, &e);
	if (s.follow < 0) {
		status = cli_fail(EXIT_CANNOT, "%s", e.text);
	} else {
		status = stop_master(&s, args);
		close(s.follow);
	}
	statusview_clear(&s.view);
	find_close(&s.master);
	return status;
}
