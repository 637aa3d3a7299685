#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sig.h"
#include "cli/cli.h"
#include "cli/find.h"
#include "cli/follow.h"
#include "cli/screen.h"
#include "cli/statusview.h"
#include "coord/survey.h"

#define INTERVAL_MAX 86400 /* seconds between two drawings */

static int show_once(const struct master *m)
{
	struct term term = term_now();
	struct statusview v;
	struct err e;
	int rc;

	if (statusview_read(m, &v, &e) != 0)
		return cli_fail(EXIT_CANNOT, "%s", e.text);
	rc = statusview_print(&v, clock_wall(), stdout, term.width, term.colour);
	statusview_clear(&v);
	return rc == 0 ? EXIT_OK : cli_fail(EXIT_CANNOT, "out of memory");
}

/* The very bytes that were checked; on a terminal in a form that holds no control character. */
static int print_json(const struct statusview *v, const char *text, size_t len)
{
	if (!isatty(STDOUT_FILENO)) {
		fwrite(text, 1, len, stdout);
		return EXIT_OK;
	}
	if (json_dumpf(v->root, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) != 0)
		return cli_fail(EXIT_CANNOT, "cannot print the status");
	putchar('\n');
	return EXIT_OK;
}

static int show_json(const struct master *m)
{
	struct statusview v;
	struct err e;
	char *text;
	size_t len;
	int status;

	if (statusview_load(m->run_dir, &text, &len, &e) != 0)
		return cli_fail(EXIT_CANNOT, "%s", e.text);
	if (statusview_check(m, text, len, &v, &e) != 0) {
		status = cli_fail(EXIT_CANNOT, "%s", e.text);
	} else {
		status = print_json(&v, text, len);
		statusview_clear(&v);
	}
	free(text);
	return status;
}

struct watch {
	char *run_dir;
	int follow;
	int signals;
	msec interval;
	struct screen screen;
};

/* What stands on the screen: the table, or one line that says why there is none. */
static int compose(void *ctx, FILE *out)
{
	const struct watch *w = ctx;
	struct term term = term_now();
	struct statusview v;
	struct master m;
	struct err e;
	int rc = 0;

	if (find_master(w->run_dir, &m, &e) <= 0) {
		fprintf(out, "%s\n", e.text);
		return 0;
	}
	if (statusview_read(&m, &v, &e) != 0) {
		fprintf(out, "%s\n", e.text);
	} else {
		rc = statusview_print(&v, clock_wall(), out, term.width, term.colour);
		statusview_clear(&v);
	}
	find_close(&m);
	return rc;
}

/* Ctrl-Z: the shell gets its terminal back as it was, for as long as we sleep. */
static void suspend(struct watch *w)
{
	screen_close(&w->screen);
	raise(SIGSTOP);
}

/* Whether to go on. */
static bool take_signals(struct watch *w)
{
	int signo;

	while ((signo = sig_next(w->signals, NULL)) != 0) {
		if (signo == SIGTSTP)
			suspend(w);
		else if (signo != SIGWINCH)
			return false;
	}
	return true;
}

/* Until something changed or the interval is over. False: time to end. */
static bool wait_for_change(struct watch *w)
{
	msec end = msec_add(clock_now(), w->interval);
	struct pollfd fds[] = {
		{ .fd = w->follow, .events = POLLIN },
		{ .fd = w->signals, .events = POLLIN },
	};
	msec left;

	while ((left = end - clock_now()) > 0) {
		if (poll(fds, 2, (int)left) < 0 && errno != EINTR)
			return false;
		if (fds[1].revents != 0)
			return take_signals(w);
		if (fds[0].revents != 0 && follow_changed(w->follow))
			return true;
	}
	/* The directory may have been made anew, as /run is for each service start. */
	follow_again(w->follow, w->run_dir, NULL);
	return true;
}

static int watch_loop(struct watch *w)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH, 0 };
	int rc = 0;
	struct err e;

	w->signals = sig_open(signals, &e);
	if (w->signals < 0)
		return cli_fail(EXIT_CANNOT, "%s", e.text);
	do {
		rc = screen_compose(&w->screen, compose, w);
	} while (rc == 0 && !ferror(stdout) && wait_for_change(w));
	screen_close(&w->screen);
	close(w->signals);
	return rc == 0 ? EXIT_OK : cli_fail(EXIT_CANNOT, "out of memory");
}

/* There is nothing to watch; mostly, because no master ever ran here. */
static int cannot_follow(const struct cli_args *args, const char *run_dir, const struct err *why)
{
	struct master m;
	struct err e;
	int found = find_master(run_dir, &m, &e);

	if (found <= 0)
		return find_fail(args, found, &e);
	find_close(&m);
	return cli_fail(EXIT_CANNOT, "%s", why->text);
}

static int watch(const struct cli_args *args, msec interval)
{
	struct watch w = { .interval = interval, .screen = { .full = true } };
	int status = find_run_dir(args, &w.run_dir);
	struct err e;

	if (status != EXIT_OK)
		return status;
	w.follow = follow_open(w.run_dir, &e);
	if (w.follow < 0) {
		status = cannot_follow(args, w.run_dir, &e);
	} else {
		status = watch_loop(&w);
		close(w.follow);
	}
	free(w.run_dir);
	return status;
}

/* Whole seconds as an interval; 0 if the text is none. */
static msec parse_interval(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end != '\0' || value < 1 || value > INTERVAL_MAX)
		return 0;
	return value * 1000;
}

int cmd_status(const struct cli_command *cmd, const struct cli_args *args)
{
	msec interval = 1000, patience = SURVEY_PATIENCE;
	struct master m;
	int status;

	if (args->watch && (args->json || args->cluster))
		return cli_misuse(
		    cmd, "--%s and --watch exclude each other", args->json ? "json" : "cluster");
	if (args->cluster && args->run_dir != NULL)
		return cli_misuse(cmd, "--cluster needs a configuration and no --run-dir");
	if (args->timeout != NULL && !args->cluster)
		return cli_misuse(cmd, "--timeout means nothing without --cluster");
	if (cli_seconds(cmd, "--timeout", args->timeout, &patience) != EXIT_OK)
		return EXIT_BAD_USE;
	if (args->n_operands > 0 && !args->watch)
		return cli_misuse(cmd, "\"%s\" is too much without --watch", args->operands[0]);
	if (args->n_operands > 0)
		interval = parse_interval(args->operands[0]);
	if (interval == 0)
		return cli_misuse(cmd, "\"%s\" is no number of seconds from 1 to %d",
		    args->operands[0], INTERVAL_MAX);
	if (args->cluster)
		return cmd_cluster(args, patience);
	if (args->watch)
		return watch(args, interval);
	status = find_open(args, &m);
	if (status != EXIT_OK)
		return status;
	status = args->json ? show_json(&m) : show_once(&m);
	find_close(&m);
	return status;
}
