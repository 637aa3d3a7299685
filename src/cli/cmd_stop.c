#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "conf/units.h"
#include "policy/fleet.h"

/* Whether the master has said that it stops, and that it hurries if it was told to. */
static bool is_heard(const struct statusview *v, int64_t hurry)
{
	return v->stopping && (v->hurry || !hurry);
}

static bool is_never(const struct statusview *v, int64_t unused)
{
	(void)v;
	(void)unused;
	return false;
}

/*
 * The level is said, not counted, so that it does no harm to ask again, or beside somebody else: an
 * INT of just before that the master has not read swallows another one, but not a TERM.
 */
static int ask(const struct progress *p, const struct cli_args *args, struct err *e)
{
	if (args->kill)
		return find_signal_master(&p->master, SIGQUIT, e);
	if (args->hurry)
		return find_queue_master(&p->master, SIGTERM, STOP_HURRY, e);
	return find_queue_master(&p->master, SIGINT, STOP_GRACEFUL, e);
}

/* A state may be left behind with it, which the exit status cannot tell. */
static int tell_locked(const struct progress *p)
{
	char locked[PROGRESS_LOCKED_MAX];

	progress_say_locked(p, locked);
	return cli_fail(
	    EXIT_LOCKED, "stopped (pid %d), but %s, see the master's log", p->master.pid, locked);
}

/* The master's last word becomes our exit status. */
static int conclude(struct progress *p)
{
	char took[UNITS_MAX], unclean[PROGRESS_UNCLEAN_MAX];
	int pid = p->master.pid;

	progress_look(p);
	progress_end_show(p, took);
	switch (p->exit) {
	case EXIT_OK:
		printf("stopped: pid %d, %s, %s\n", pid,
		    progress_held_any(p) ? "every state dumped, every lock released"
					 : "nothing was held",
		    took);
		return EXIT_OK;
	case EXIT_UNCLEAN:
		/* An older master does not tell which. */
		if (progress_unclean(p, unclean) == 0)
			snprintf(unclean, sizeof(unclean),
			    "a state was not dumped cleanly; its last good one, if any, was kept");
		return cli_fail(
		    EXIT_UNCLEAN, "stopped (pid %d), but %s, see the master's log", pid, unclean);
	case EXIT_LOCKED: return tell_locked(p);
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

static enum progress_end wait_for_end(struct progress *p, bool hurry)
{
	msec confirmed_by = msec_add(p->begun, PROGRESS_CONFIRM);

	if (progress_wait(p, is_heard, hurry, confirmed_by) == PROGRESS_LATE)
		progress_tell_silence(p);
	return progress_wait(p, is_never, 0, MSEC_NEVER);
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
	if (wait_for_end(p, args->hurry || args->kill) != PROGRESS_GONE)
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
