#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "conf/units.h"

#define TURN_MAX (2 * PROGRESS_CONFIRM) /* for another command's turn, of at most two steps */

/* How far a stop has gone: each INT takes the master one step further, as far as LEVEL_HURRY. */
enum stop_level { LEVEL_NONE, LEVEL_STOP, LEVEL_HURRY, LEVEL_GONE };

static enum stop_level level_of(const struct statusview *v)
{
	if (!v->stopping)
		return LEVEL_NONE;
	return v->hurry ? LEVEL_HURRY : LEVEL_STOP;
}

static bool is_at(const struct statusview *v, int64_t level)
{
	return level_of(v) >= (enum stop_level)level;
}

static bool is_gone(const struct master *m)
{
	struct pollfd fd = { .fd = m->pidfd, .events = POLLIN };

	return poll(&fd, 1, 0) > 0;
}

static void on_look(int signo)
{
	(void)signo;
}

/*
 * Two commands that both find the master at work and both send INT would hurry it, and cut short
 * a dump that nobody wanted cut. So they take turns, from the look at the status file until the
 * master confirmed. Without this lock the stop goes on all the same, and after a while also without
 * its turn: whoever can read the directory can hold the lock for as long as they like.
 */
static int claim_turn(const char *run_dir)
{
	/* Again and again, should the first come before the wait for the lock. */
	const struct itimerval looks = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	const struct itimerval never = { 0 };
	const struct sigaction wake = { .sa_handler = on_look }; /* without SA_RESTART */
	int fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	msec until = msec_add(clock_now(), TURN_MAX);

	sigaction(SIGALRM, &wake, NULL);
	setitimer(ITIMER_REAL, &looks, NULL);
	while (fd >= 0 && flock(fd, LOCK_EX) != 0 && errno == EINTR && clock_now() < until)
		;
	setitimer(ITIMER_REAL, &never, NULL);
	return fd;
}

/* One INT for each step that is still to be taken, each confirmed before the next: two at once may
 * arrive as one. */
static int raise_to(struct progress *p, enum stop_level wanted, struct err *e)
{
	bool gone = false;

	for (unsigned at = level_of(&p->view); at < wanted && !gone; at++) {
		if (find_signal_master(&p->master, SIGINT, e) != 0)
			return is_gone(&p->master) ? 0 : -1;
		gone = progress_wait(p, is_at, at + 1, msec_add(clock_now(), PROGRESS_CONFIRM)) ==
		       PROGRESS_GONE;
	}
	return 0;
}

static int ask(struct progress *p, const struct cli_args *args, struct err *e)
{
	int turn = claim_turn(p->master.run_dir);
	int rc;

	progress_look(p);
	if (args->kill)
		rc = find_signal_master(&p->master, SIGQUIT, e);
	else
		rc = raise_to(p, args->hurry ? LEVEL_HURRY : LEVEL_STOP, e);
	if (turn >= 0)
		close(turn);
	return rc;
}

#define UNCLEAN_MAX 256 /* bytes of what is said of states that were not dumped cleanly */

static void say_unclean_one(const struct statusview_job *job, char text[UNCLEAN_MAX])
{
	char name[JOB_NAME_MAX + 1];

	text_fit(name, sizeof(name), job->name, SIZE_MAX);
	snprintf(text, UNCLEAN_MAX, "the state of %s was not dumped cleanly; %s", name,
	    job->size < 0 ? "there is no older one" : "its last good one was kept");
}

/* A job that has no size has no state at all. */
static void say_unclean(const struct statusview *v, char text[UNCLEAN_MAX])
{
	const struct statusview_job *one = NULL;
	size_t n = 0, without = 0;

	for (size_t i = 0; i < v->n_jobs; i++) {
		if (!v->jobs[i].unclean)
			continue;
		one = &v->jobs[i];
		n++;
		without += one->size < 0;
	}
	if (n == 1)
		say_unclean_one(one, text);
	else if (n == 0) /* an older master does not tell which */
		snprintf(text, UNCLEAN_MAX,
		    "a state was not dumped cleanly; its last good one, if any, was kept");
	else if (without == 0)
		snprintf(text, UNCLEAN_MAX,
		    "%zu states were not dumped cleanly; their last good ones were kept", n);
	else
		snprintf(text, UNCLEAN_MAX,
		    "%zu states were not dumped cleanly; of %zu there is no older one", n, without);
}

/* The master's last word becomes our exit status. */
static int conclude(struct progress *p)
{
	char took[UNITS_MAX], unclean[UNCLEAN_MAX];
	int pid = p->master.pid;

	progress_look(p);
	progress_end_show(p, took);
	switch (p->exit) {
	case EXIT_OK:
		printf("stopped: pid %d, every state dumped, every lock released, %s\n", pid, took);
		return EXIT_OK;
	case EXIT_UNCLEAN:
		say_unclean(&p->view, unclean);
		return cli_fail(
		    EXIT_UNCLEAN, "stopped (pid %d), but %s, see the master's log", pid, unclean);
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
		    pid, (long long)p->exit);
	}
}

static enum progress_end wait_for_end(struct progress *p)
{
	msec confirmed_by = msec_add(p->begun, PROGRESS_CONFIRM);

	if (progress_wait(p, is_at, LEVEL_STOP, confirmed_by) == PROGRESS_LATE)
		progress_tell_silence(p);
	return progress_wait(p, is_at, LEVEL_GONE, MSEC_NEVER);
}

static int stop_master(struct progress *p, const struct cli_args *args)
{
	struct err e;

	if (ask(p, args, &e) != 0)
		return cli_fail(EXIT_CANNOT, "%s", e.text);
	if (args->no_wait) {
		screen_close(&p->screen);
		printf("asked the master (pid %d) to stop\n", p->master.pid);
		return EXIT_OK;
	}
	if (wait_for_end(p) != PROGRESS_GONE)
		return cli_fail(EXIT_CANNOT, "cannot wait for the master (pid %d): %s",
		    p->master.pid, strerror(errno));
	return conclude(p);
}

int cmd_stop(const struct cli_command *cmd, const struct cli_args *args)
{
	struct progress p;
	int status;

	if (args->hurry && args->kill)
		return cli_misuse(cmd, "--hurry and --kill exclude each other");
	status = progress_open(&p, args, "stopping");
	if (status != EXIT_OK)
		return status;
	status = stop_master(&p, args);
	progress_close(&p);
	return status;
}
