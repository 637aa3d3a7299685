/* graceful check --connect: asks the coordinator for real, and says what it found. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/screen.h"
#include "cli/table.h"
#include "cli/text.h"
#include "coord/check.h"
#include "coord/survey.h"

#define TEXT_MAX 1200

struct connect {
	const struct conf *conf;
	struct table *endpoints;
	struct table *findings;
	size_t n_endpoints, n_findings, n_unreachable, n_mistakes;
};

static const struct table_column endpoint_columns[] = {
	{ "ENDPOINT", false },
	{ "VERSION", false },
	{ "LEADER", false },
	{ "RESULT", false },
};

static const struct table_column finding_columns[] = {
	{ "CHECKED", false },
	{ "", false },
	{ "FOUND", false },
};

static enum paint paint_of(enum check_result result)
{
	switch (result) {
	case CHECK_FINE: return PAINT_GOOD;
	case CHECK_NOTE: return PAINT_BUSY;
	case CHECK_UNREACHABLE:
	case CHECK_MISTAKE: break;
	}
	return PAINT_BAD;
}

static const char *word_of(enum check_result result)
{
	switch (result) {
	case CHECK_FINE: return "ok";
	case CHECK_NOTE: return "note";
	case CHECK_UNREACHABLE: return "FAILED";
	case CHECK_MISTAKE: break;
	}
	return "WRONG";
}

/* In the form of conf_load()'s lines: what goes wrong is on stderr, whole. */
static void complain(
    struct connect *c, enum check_result result, const char *what, const char *text)
{
	c->n_unreachable += result == CHECK_UNREACHABLE;
	c->n_mistakes += result == CHECK_MISTAKE;
	if (result != CHECK_UNREACHABLE && result != CHECK_MISTAKE)
		return;
	cli_tell("%s: %s: %s", c->conf->file, what, text);
}

static void on_endpoint(void *ctx, const struct check_endpoint *at)
{
	struct connect *c = ctx;
	char text[TEXT_MAX];

	c->n_endpoints++;
	table_add(c->endpoints, PAINT_NONE, at->url);
	table_add(c->endpoints, PAINT_NONE, at->version[0] != '\0' ? at->version : "-");
	table_add(c->endpoints, at->reached && !at->has_leader ? PAINT_BAD : PAINT_NONE,
	    !at->reached     ? "-"
	    : at->has_leader ? "yes"
			     : "NO");
	table_addf(c->endpoints, paint_of(at->result), "%s%s%s", word_of(at->result),
	    at->result == CHECK_FINE ? "" : ": ", at->result == CHECK_FINE ? "" : at->e.text);
	/* Failed requests begin with it. */
	if (strncmp(at->e.text, at->url, strlen(at->url)) == 0)
		snprintf(text, sizeof(text), "%s", at->e.text);
	else
		snprintf(text, sizeof(text), "%s: %s", at->url, at->e.text);
	complain(c, at->result, "coordinator.endpoints", text);
}

static void on_found(void *ctx, enum check_result result, const char *what, const char *text)
{
	struct connect *c = ctx;

	c->n_findings++;
	table_add(c->findings, PAINT_NONE, what);
	table_add(c->findings, paint_of(result), word_of(result));
	table_add(c->findings, PAINT_NONE, text);
	complain(c, result, what, text);
}

static int print(const struct connect *c)
{
	struct term term = term_now();
	int rc = 0;

	if (c->n_endpoints > 0)
		rc = table_print(c->endpoints, stdout, term.width, term.colour);
	if (rc != 0 || c->n_findings == 0)
		return rc;
	if (c->n_endpoints > 0)
		putchar('\n');
	return table_print(c->findings, stdout, term.width, term.colour);
}

static int verdict(const struct connect *c)
{
	char where[TEXT_MAX];

	coord_where(c->conf, where, sizeof(where));
	fflush(stdout); /* before what is said on stderr */
	if (c->n_mistakes > 0)
		return cli_fail(
		    EXIT_BAD_CONF, "the coordinator refuses this configuration: %s", where);
	if (c->n_unreachable > 0)
		return cli_fail(
		    EXIT_CANNOT, "the coordinator does not work, or not all of it: %s", where);
	printf("\ncoordinator is fine: %s\n", where);
	return EXIT_OK;
}

int check_connect(const struct conf *conf, msec patience)
{
	static const struct check_hooks hooks = { .endpoint = on_endpoint, .found = on_found };
	struct connect c = {
		.conf = conf,
		.endpoints = table_new(
		    endpoint_columns, sizeof(endpoint_columns) / sizeof(endpoint_columns[0])),
		.findings = table_new(
		    finding_columns, sizeof(finding_columns) / sizeof(finding_columns[0])),
	};
	int status = EXIT_CANNOT;

	if (c.endpoints != NULL && c.findings != NULL) {
		coord_check(conf, patience, &hooks, &c);
		status = print(&c);
	}
	if (c.endpoints == NULL || c.findings == NULL || status != 0)
		status = cli_fail(EXIT_CANNOT, "out of memory");
	else
		status = verdict(&c);
	table_free(c.endpoints);
	table_free(c.findings);
	return status;
}
