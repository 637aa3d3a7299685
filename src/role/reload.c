#include "role/reload.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/plain.h"
#include "conf/conf_diff.h"
#include "role/home.h"

#define ERRORS_MAX 100 /* in the status file; the log has all of them */

#define TEXT_MAX 4096

/* As JSON takes it: the name of the file may be in any charset. */
static json_t *plain_text(const char *text)
{
	char plain[TEXT_MAX];

	snprintf(plain, sizeof(plain), "%s", text);
	plain_make(plain);
	return json_string(plain);
}

static void append(json_t *o, const char *key, const char *text)
{
	json_t *list = json_object_get(o, key);

	if (list == NULL) {
		list = json_array();
		json_object_set_new(o, key, list);
	}
	json_array_append_new(list, plain_text(text));
}

static void note_error(json_t *report, const char *line)
{
	size_t n = json_array_size(json_object_get(report, "errors"));

	log_error("%s", line);
	if (n < ERRORS_MAX)
		append(report, "errors", line);
	else if (n == ERRORS_MAX)
		append(report, "errors", "more mistakes are in the log");
}

/* Warnings are told, too, whatever becomes of the file. */
static struct conf *load(const char *file, json_t *report)
{
	struct conf_errors errors;
	struct conf *conf = conf_load(file, &errors);

	for (size_t i = 0; i < errors.n; i++) {
		if (conf == NULL)
			note_error(report, errors.lines[i]);
		else
			log_warn("%s", errors.lines[i]);
	}
	conf_errors_free(&errors);
	return conf;
}

static bool is_fixed(const struct roster *r, const struct conf *conf, json_t *report)
{
	const char *keys[CONF_FIXED_MAX];
	size_t n = conf_fixed(r->conf, conf, keys);

	for (size_t i = 0; i < n; i++) {
		char line[ERR_TEXT_MAX];

		snprintf(line, sizeof(line),
		    "%s: %s: cannot be changed while the master runs: stop and start it, or change "
		    "it back",
		    conf->file, keys[i]);
		note_error(report, line);
	}
	return n > 0;
}

/* Jobs of both, each once, in the order of their names. */
static void compare(const struct conf *before, const struct conf *after, json_t *report)
{
	static const char *const lists[] = {
		[CONF_UNCHANGED] = "unchanged",
		[CONF_CHANGED] = "changed",
		[CONF_ADDED] = "added",
		[CONF_REMOVED] = "removed",
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		json_object_set_new(report, lists[i], json_array());
	for (size_t i = 0; i < after->n_jobs; i++)
		append(report, lists[conf_fate(before, after, after->jobs[i]->name)],
		    after->jobs[i]->name);
	for (size_t i = 0; i < before->n_jobs; i++) {
		if (conf_job(after, before->jobs[i]->name) == NULL)
			append(report, lists[CONF_REMOVED], before->jobs[i]->name);
	}
}

static size_t count(const json_t *report, const char *list)
{
	return json_array_size(json_object_get(report, list));
}

static bool apply(struct roster *r, const char *file, json_t *report)
{
	struct conf *conf = load(file, report);
	struct err e;

	if (conf == NULL)
		return false;
	if (is_fixed(r, conf, report)) {
		conf_free(conf);
		return false;
	}
	compare(r->conf, conf, report);
	FAULT("before_reload");
	if (roster_adopt(r, conf, clock_now(), &e) == 0) {
		home_look_at_metrics(conf);
		return true;
	}
	note_error(report, e.text);
	conf_free(conf);
	return false;
}

json_t *reload_run(struct roster *r, const char *file, unsigned nth, bool *applied)
{
	json_t *report = json_pack("{s:o, s:i, s:I, s:I}", "file", plain_text(file), "reloads",
	    (int)nth, "began_ms", (json_int_t)clock_now(), "time", (json_int_t)clock_wall());

	*applied = apply(r, file, report);
	json_object_set_new(report, "result", json_string(*applied ? "applied" : "refused"));
	if (*applied)
		log_info("reloaded %s: unchanged=%zu changed=%zu added=%zu removed=%zu", file,
		    count(report, "unchanged"), count(report, "changed"), count(report, "added"),
		    count(report, "removed"));
	else
		log_error("%s cannot be used, nothing was changed", file);
	return report;
}
