#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/names.h"
#include "cli/screen.h"
#include "cli/table.h"
#include "conf/units.h"
#include "role/history.h"

#define LAST_DEFAULT 20
#define LAST_MAX 1000000
#define WHEN_MAX 40
#define SPAN_MAX 32

/* The newest lines that were asked for: a ring. */
struct last {
	struct history_line *lines;
	size_t room, n;  /* n: all that fitted the question */
	const char *job; /* NULL: any */
};

static void keep(const struct history_line *line, void *ctx)
{
	struct last *l = ctx;

	if (l->job == NULL || strcmp(l->job, line->job) == 0)
		l->lines[l->n++ % l->room] = *line;
}

static const struct history_line *nth(const struct last *l, size_t i)
{
	return &l->lines[(l->n > l->room ? l->n + i : i) % l->room];
}

static size_t kept(const struct last *l)
{
	return l->n < l->room ? l->n : l->room;
}

/* The last step that was done here. */
static int64_t when(const struct history_line *line)
{
	const struct stamps *s = &line->handover.stamps;

	for (int i = STAMPS_N - 1; i > 0; i--) {
		if (s->at[i] != 0)
			return s->at[i];
	}
	return s->at[0];
}

/* In UTC, as the log has it, for programs; in local time for people. */
static const char *show_when(int64_t usec, bool utc, char buf[WHEN_MAX])
{
	time_t seconds = (time_t)(usec / 1000000);
	size_t len = 0;
	struct tm tm;

	if (usec > 0 && (utc ? gmtime_r(&seconds, &tm) : localtime_r(&seconds, &tm)) != NULL)
		len = strftime(buf, WHEN_MAX, utc ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
	if (len == 0)
		snprintf(buf, WHEN_MAX, "?");
	else
		snprintf(buf + len, WHEN_MAX - len, ".%03d%s", (int)(usec / 1000 % 1000),
		    utc ? "Z" : "");
	return buf;
}

/* Steps are short, so with a fraction; a negative one is a sign of clocks that disagree. */
static const char *show_span(int64_t usec, char buf[SPAN_MAX])
{
	const char *sign = usec < 0 ? "-" : "";
	int64_t size = usec < 0 ? -usec : usec;
	char long_one[UNITS_MAX];

	if (size < 1000000)
		snprintf(buf, SPAN_MAX, "%s%" PRId64 ".%" PRId64 "ms", sign, size / 1000,
		    size / 100 % 10);
	else
		snprintf(buf, SPAN_MAX, "%s%s", sign, units_show_duration(size / 1000, long_one));
	return buf;
}

/* JSON: what the file holds, as one array. */

static int print_json(const struct last *l)
{
	json_t *all = json_array();
	int rc = all == NULL ? -1 : 0;

	for (size_t i = 0; rc == 0 && i < kept(l); i++)
		rc = json_array_append_new(all, history_encode(nth(l, i)));
	if (rc == 0)
		rc = json_dumpf(all, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(all);
	return rc;
}

/* Lines: key=value, times in seconds, what is not known left out. */

static void print_seconds(const char *key, int64_t usec)
{
	int64_t size = usec < 0 ? -usec : usec;

	printf(" %s=%s%" PRId64 ".%06" PRId64, key, usec < 0 ? "-" : "", size / 1000000,
	    size % 1000000);
}

static void print_line(const struct history_line *line)
{
	const struct handover *h = &line->handover;
	char buf[WHEN_MAX];
	int64_t usec;

	printf("%s %s %s epoch=%" PRIu64 " size=%" PRIu64 " clean=%d",
	    show_when(when(line), true, buf), line->job, line->took ? "took" : "gave", h->epoch,
	    h->size, h->clean);
	if (line->took && h->peer[0] != '\0')
		printf(" from=%s", h->peer);
	for (enum stamp i = 0; i < STAMPS_N; i++) {
		if (stamp_phase(i) != NULL && stamps_phase(&h->stamps, i, &usec))
			print_seconds(stamp_phase(i), usec);
	}
	if (stamps_total(&h->stamps, &usec))
		print_seconds("total", usec);
	putchar('\n');
}

/* Table: for people */

static const struct table_column columns[] = {
	{ "WHEN", false },
	{ "JOB", false },
	{ "WAY", false },
	{ "EPOCH", true },
	{ "SIZE", true },
	{ "SIGNAL", true },
	{ "DUMP", true },
	{ "UPLOAD", true },
	{ "COMMIT", true },
	{ "ACQUIRE", true },
	{ "RESTORE", true },
	{ "START", true },
	{ "TOTAL", true },
	{ "FROM", false },
};

static void add_span(struct table *t, bool known, int64_t usec)
{
	char buf[SPAN_MAX];

	if (known)
		table_add(t, usec < 0 ? PAINT_BAD : PAINT_NONE, show_span(usec, buf));
	else
		table_add(t, PAINT_DIM, "-");
}

static void add_row(struct table *t, const struct history_line *line)
{
	const struct handover *h = &line->handover;
	char buf[WHEN_MAX];
	int64_t usec = 0;
	bool known;

	table_add(t, PAINT_NONE, show_when(when(line), false, buf));
	table_add(t, PAINT_NONE, line->job);
	table_add(t, h->clean ? PAINT_NONE : PAINT_BUSY, line->took ? "took" : "gave");
	table_addf(t, PAINT_NONE, "%" PRIu64, h->epoch);
	table_add(t, PAINT_NONE, units_show_size(h->size, buf));
	for (enum stamp i = 0; i < STAMPS_N; i++) {
		if (stamp_phase(i) == NULL)
			continue;
		known = stamps_phase(&h->stamps, i, &usec);
		add_span(t, known, usec);
	}
	known = stamps_total(&h->stamps, &usec);
	add_span(t, known, usec);
	table_add(t, PAINT_NONE, line->took ? h->peer : "");
}

static int print_table(const struct last *l, const struct term *term)
{
	struct table *t = table_new(columns, sizeof(columns) / sizeof(columns[0]));
	int rc;

	if (t == NULL)
		return -1;
	for (size_t i = 0; i < kept(l); i++)
		add_row(t, nth(l, i));
	rc = table_print(t, stdout, term->width, term->colour);
	table_free(t);
	return rc;
}

static int print(const struct last *l, const struct cli_args *args)
{
	struct term term = term_now();

	if (args->json)
		return print_json(l);
	if (term.tty && l->n > 0)
		return print_table(l, &term);
	for (size_t i = 0; i < kept(l); i++)
		print_line(nth(l, i));
	return 0;
}

/* One that has gone from the configuration may have hand-overs as yet; one that is neither here nor
 * there was hardly meant. */
static int check_name(const struct conf *conf, const struct last *l)
{
	struct names names = { .nearest.written = l->job };

	if (l->job == NULL || l->n > 0)
		return EXIT_OK;
	for (size_t i = 0; i < conf->n_jobs; i++) {
		if (strcmp(conf->jobs[i]->name, l->job) == 0)
			return EXIT_OK;
		names_try(&names, conf->jobs[i]->name);
	}
	return cli_fail(EXIT_CANNOT,
	    "there is no job \"%s\" in %s, and no hand-over of one in %s/history: %s", l->job,
	    conf->file, conf->work_dir, names_advice(&names));
}

static int show(const struct conf *conf, struct last *l, const struct cli_args *args)
{
	const char *work_dir = conf->work_dir;
	int status;
	struct err e;
	size_t bad;

	if (history_read(work_dir, keep, l, &bad, &e) != 0)
		return cli_fail_err(&e);
	if (bad > 0)
		cli_fail(EXIT_OK, "%s/history: skipped %zu line%s that make no sense", work_dir,
		    bad, bad == 1 ? "" : "s");
	status = check_name(conf, l);
	if (status != EXIT_OK)
		return status;
	if (print(l, args) != 0)
		return cli_fail(EXIT_CANNOT, "out of memory");
	if (l->n == 0 && !args->json)
		cli_fail(EXIT_OK, "no hand-over of %s is known in %s",
		    l->job != NULL ? l->job : "any job", work_dir);
	return EXIT_OK;
}

/* False: it is no count. */
static bool parse_last(const char *text, size_t *n)
{
	unsigned long value;
	char *end;

	*n = LAST_DEFAULT;
	if (text == NULL)
		return true;
	value = strtoul(text, &end, 10);
	*n = value;
	return *text >= '0' && *text <= '9' && *end == '\0' && value > 0 && value <= LAST_MAX;
}

int cmd_history(const struct cli_command *cmd, const struct cli_args *args)
{
	static const char *const only[] = { "work_dir", NULL };
	struct last l = { .job = args->operands[0] };
	struct conf *conf;
	int status;

	if (!parse_last(args->last, &l.room))
		return cli_misuse(cmd, "\"%s\" is no number from 1 to %d", args->last, LAST_MAX);
	conf = cli_load(args->conf_file, only);
	if (conf == NULL)
		return cli_fail(EXIT_BAD_CONF, "%s cannot be used", args->conf_file);
	l.lines = calloc(l.room, sizeof(*l.lines));
	status = l.lines != NULL ? show(conf, &l, args) : cli_fail(EXIT_CANNOT, "out of memory");
	free(l.lines);
	conf_free(conf);
	return status;
}
