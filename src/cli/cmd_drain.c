#include <signal.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "conf/units.h"

static bool has_begun(const struct statusview *v, int64_t unused)
{
	(void)unused;
	return v->draining || v->stopping;
}

/* Or will never be. */
static bool is_over(const struct statusview *v, int64_t unused)
{
	(void)unused;
	return v->drained || !v->draining || v->stopping;
}

static int fail_drained(const struct progress *p, int status, const char *why)
{
	return cli_fail(status,
	    "drained (pid %d holds no job), but %s, see the master's log; graceful resume ends the "
	    "drain",
	    p->master.pid, why);
}

static int conclude(struct progress *p)
{
	char took[UNITS_MAX], unclean[PROGRESS_UNCLEAN_MAX], locked[PROGRESS_LOCKED_MAX];

	progress_end_show(p, took);
	if (p->view.stopping)
		return cli_fail(EXIT_CANNOT,
		    "the master (pid %d) is stopping, which hands every job over, too",
		    p->master.pid);
	if (!p->view.drained)
		return cli_fail(EXIT_CANNOT,
		    "somebody had the master (pid %d) resume before it was drained", p->master.pid);
	if (progress_left(p) > 0) {
		progress_say_locked(p, locked);
		return fail_drained(p, EXIT_LOCKED, locked);
	}
	if (progress_unclean(p, unclean) > 0)
		return fail_drained(p, EXIT_UNCLEAN, unclean);
	printf(
	    "drained: pid %d holds no job, %s; graceful resume ends that\n", p->master.pid, took);
	return EXIT_OK;
}

/* Why the wait was for nothing. */
static int tell_end(const struct progress *p, enum progress_end end)
{
	if (end == PROGRESS_GONE)
		return cli_fail(
		    EXIT_CANNOT, "the master (pid %d) ended meanwhile; see its log", p->master.pid);
	return cli_fail(EXIT_CANNOT,
	    "the master (pid %d) was asked, but does not say that it drains%s", p->master.pid,
	    find_is_suspended(&p->master) ? ": it is suspended, and will when it gets SIGCONT"
					  : "; see its log");
}

/*
 * It is always waited for that the master has heard of it: a resume right after this could be
 * heard before it.
 */
static int drain(struct progress *p, const struct cli_args *args)
{
	enum progress_end end;
	struct err e;

	if (find_signal_master(&p->master, SIGWINCH, &e) != 0)
		return cli_fail(EXIT_CANNOT, "%s", e.text);
	end = progress_wait(p, has_begun, 0, msec_add(clock_now(), PROGRESS_CONFIRM));
	if (end == PROGRESS_DONE && !args->no_wait)
		end = progress_wait(p, is_over, 0, MSEC_NEVER);
	if (end == PROGRESS_DONE && !args->no_wait)
		return conclude(p);
	progress_end_show(p, (char[UNITS_MAX]){ 0 });
	if (end != PROGRESS_DONE)
		return tell_end(p, end);
	printf("asked the master (pid %d) to drain\n", p->master.pid);
	return EXIT_OK;
}

int cmd_drain(const struct cli_command *cmd, const struct cli_args *args)
{
	struct progress p;
	int status = progress_open(&p, args, args->no_wait ? NULL : "draining");

	(void)cmd;
	if (status != EXIT_OK)
		return status;
	status = drain(&p, args);
	progress_close(&p);
	return status;
}
