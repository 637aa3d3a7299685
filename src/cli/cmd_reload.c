#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/table.h"

#define ANSWER 30000 /* msec for the master to read its configuration: users may be looked up */

/* Whether the master has said what came of a reload that began at `since` or later, or will not. */
static bool is_answered(const struct statusview *v, int64_t since)
{
	return v->stopping || (v->config != NULL && v->result_of_ms >= since);
}

static const struct list {
	const char *name;
	enum paint paint;
	const char *means;
} lists[] = {
	{ "changed", PAINT_BUSY, "dumps, and goes on under its new definition" },
	{ "added", PAINT_GOOD, "is queued for" },
	{ "removed", PAINT_BAD, "dumps, and is released" },
};

#define N_LISTS (sizeof(lists) / sizeof(lists[0]))

static int show_changes(const json_t *config)
{
	static const struct table_column columns[] = { { "JOB", false }, { "CHANGE", false },
		{ "WHAT IT DOES", false } };
	struct table *t = table_new(columns, 3);
	struct term term = term_now();
	size_t rows = 0;
	int rc = 0;

	if (t == NULL)
		return -1;
	for (size_t i = 0; i < N_LISTS; i++) {
		json_t *job;
		size_t k;

		json_array_foreach (json_object_get(config, lists[i].name), k, job) {
			const char *name = json_string_value(job);

			table_add(t, PAINT_NONE, name != NULL ? name : "?");
			table_add(t, lists[i].paint, lists[i].name);
			table_add(t, PAINT_NONE, lists[i].means);
			rows++;
		}
	}
	if (rows > 0) {
		rc = table_print(t, stdout, term.width, term.colour);
		putchar('\n');
	}
	table_free(t);
	return rc;
}

static int tell_applied(const struct statusview *v)
{
	if (show_changes(v->config) != 0)
		return cli_fail(EXIT_CANNOT, "out of memory");
	printf("reloaded: %zu unchanged", json_array_size(json_object_get(v->config, "unchanged")));
	for (size_t i = 0; i < N_LISTS; i++)
		printf(", %zu %s", json_array_size(json_object_get(v->config, lists[i].name)),
		    lists[i].name);
	putchar('\n');
	return EXIT_OK;
}

static int tell_refused(const struct statusview *v)
{
	json_t *error;
	size_t i;

	json_array_foreach (json_object_get(v->config, "errors"), i, error) {
		const char *text = json_string_value(error);

		cli_tell("%s", text != NULL ? text : "?");
	}
	return cli_fail(EXIT_BAD_CONF,
	    "the master refused the configuration and goes on as before%s",
	    v->draining ? ": it drains" : "");
}

static int conclude(const struct progress *p, bool drained_before)
{
	const struct statusview *v = &p->view;
	int status;

	if (v->stopping)
		return cli_fail(EXIT_CANNOT, "the master (pid %d) is stopping: it reloads nothing",
		    p->master.pid);
	if (strcmp(v->result, "applied") != 0)
		return tell_refused(v);
	status = tell_applied(v);
	if (drained_before && status == EXIT_OK)
		puts("the drain has ended: this master takes jobs again");
	return status;
}

static enum progress_end wait_for_answer(struct progress *p, msec since)
{
	enum progress_end end =
	    progress_wait(p, is_answered, since, msec_add(since, PROGRESS_CONFIRM));

	if (end != PROGRESS_LATE)
		return end;
	progress_tell_silence(p);
	return progress_wait(p, is_answered, since, msec_add(since, ANSWER));
}

static int reload(struct progress *p, const struct cli_command *cmd, const struct cli_args *args)
{
	bool drained_before = p->view.draining;
	msec since = clock_now();
	struct err e;

	if (find_signal_master(&p->master, cmd->signal, &e) != 0)
		return cli_fail(EXIT_CANNOT, "%s", e.text);
	if (args->no_wait) {
		printf("asked the master (pid %d) to read its configuration\n", p->master.pid);
		return EXIT_OK;
	}
	switch (wait_for_answer(p, since)) {
	case PROGRESS_DONE: return conclude(p, drained_before);
	case PROGRESS_GONE:
		return cli_fail(
		    EXIT_CANNOT, "the master (pid %d) ended meanwhile; see its log", p->master.pid);
	case PROGRESS_LATE:
	case PROGRESS_FAILED: break;
	}
	return cli_fail(EXIT_CANNOT,
	    "the master (pid %d) was asked, but has not said in %d s what came of it; see its log",
	    p->master.pid, ANSWER / 1000);
}

int cmd_reload(const struct cli_command *cmd, const struct cli_args *args)
{
	struct progress p;
	int status = progress_open(&p, args, NULL);

	if (status != EXIT_OK)
		return status;
	status = reload(&p, cmd, args);
	progress_close(&p);
	return status;
}
