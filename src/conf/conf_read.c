#include "conf/conf_read.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/sig.h"
#include "conf/nearest.h"
#include "conf/units.h"

#define NAMESPACE_MAX 255
#define LOGIN_MAX 255

/* What stands in the file, for "must be a duration, not a number". */
static const char *value_type(const struct node *n)
{
	switch (json_typeof(n->value)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "an array";
	case JSON_STRING: return "a string";
	case JSON_INTEGER:
	case JSON_REAL: return "a number";
	case JSON_TRUE:
	case JSON_FALSE: return "true or false";
	case JSON_NULL: return "null";
	}
	return "something else";
}

void read_refuse(struct reader *rd, const struct node *n, const char *expected)
{
	if (json_is_string(n->value))
		report_error(rd->report, n, "must be %s, not \"%.80s\"", expected,
		    json_string_value(n->value));
	else if (json_is_integer(n->value))
		report_error(rd->report, n, "must be %s, not %lld", expected,
		    (long long)json_integer_value(n->value));
	else if (json_is_real(n->value))
		report_error(
		    rd->report, n, "must be %s, not %g", expected, json_real_value(n->value));
	else
		report_error(rd->report, n, "must be %s, not %s", expected, value_type(n));
}

const char *read_text(struct reader *rd, const struct node *n, const char *expected)
{
	const char *text = json_string_value(n->value);

	if (text == NULL) {
		read_refuse(rd, n, expected);
		return NULL;
	}
	if (strlen(text) != json_string_length(n->value)) {
		report_error(rd->report, n, "holds a NUL character (\\u0000), which no value may");
		return NULL;
	}
	return text;
}

/* Tells an unknown key, and what it should have been when that can be guessed. */
static void report_unknown(
    struct reader *rd, const struct node *n, const struct node *member, const struct schema *schema)
{
	struct nearest search = { .written = member->key };

	for (size_t i = 0; i < schema->n; i++) {
		/* A key that is there already was not meant a second time. */
		if (node_get(n, schema->keys[i].name) == NULL)
			nearest_try(&search, schema->keys[i].name);
	}
	/* Else a command would go by the default, and to another master. */
	if (schema == &schema_top && search.best != NULL && report_wants(rd->report, search.best))
		rd->report->meant = member;
	if (search.best != NULL)
		report_error(rd->report, member, "no such key in %s; did you mean \"%s\"?",
		    schema->where, search.best);
	else if (schema == &schema_top && schema_key(&schema_job, member->key) != NULL)
		report_error(rd->report, member,
		    "no such key in %s; it belongs into a job or into \"defaults\"", schema->where);
	else
		report_error(rd->report, member, "no such key in %s", schema->where);
	rd->report->meant = NULL;
}

bool read_object(struct reader *rd, const struct node *n, const struct schema *schema)
{
	if (!json_is_object(n->value)) {
		read_refuse(rd, n, "an object: { \"key\": value, ... }");
		return false;
	}
	for (size_t i = 0; i < n->n_children; i++) {
		if (schema_key(schema, n->children[i]->key) == NULL)
			report_unknown(rd, n, n->children[i], schema);
	}
	return true;
}

/* Keeps a number as what its kind is kept as. */
static void store_number(const struct key *key, void *field, int64_t value)
{
	switch (key->kind) {
	case KIND_DURATION: *(msec *)field = value; break;
	case KIND_SIZE: *(uint64_t *)field = (uint64_t)value; break;
	case KIND_UMASK: *(mode_t *)field = (mode_t)value; break;
	case KIND_BOOL:
	case KIND_SWITCH: *(bool *)field = value != 0; break;
	default: *(int *)field = (int)value; break;
	}
}

static void read_duration(
    struct reader *rd, const struct node *n, const struct key *key, void *field)
{
	const char *text = read_text(rd, n, "a duration in quotes, such as \"30s\"");
	char min[UNITS_MAX], max[UNITS_MAX];
	msec value;

	if (text == NULL || (key->none && strcmp(text, "none") == 0))
		return;
	if (!units_duration(text, &value))
		read_refuse(rd, n, "a whole number and ms, s, m, h or d, such as \"30s\"");
	else if (value == MSEC_NEVER && !key->infinity)
		report_error(rd->report, n, "cannot be \"infinity\"");
	else if (value != MSEC_NEVER && (value < key->min || value > key->max))
		report_error(rd->report, n, "must be from %s to %s%s, not \"%.80s\"",
		    units_write_duration(key->min, min), units_write_duration(key->max, max),
		    key->infinity ? ", or \"infinity\"" : "", text);
	else
		store_number(key, field, value);
}

static void read_size(struct reader *rd, const struct node *n, const struct key *key, void *field)
{
	const char *text = read_text(rd, n, "a size in quotes, such as \"64MiB\"");
	char min[UNITS_MAX], max[UNITS_MAX];
	uint64_t value;

	if (text == NULL)
		return;
	if (!units_size(text, &value))
		read_refuse(rd, n,
		    "a whole number, alone or with B, KiB, MiB, GiB or TiB, such as \"64MiB\"");
	else if (value < (uint64_t)key->min || value > (uint64_t)key->max)
		report_error(rd->report, n, "must be from %s to %s, not \"%.80s\"",
		    units_write_size((uint64_t)key->min, min),
		    units_write_size((uint64_t)key->max, max), text);
	else
		store_number(key, field, (int64_t)value);
}

static void read_int(struct reader *rd, const struct node *n, const struct key *key, void *field)
{
	json_int_t value = json_integer_value(n->value);
	char expected[64];

	snprintf(expected, sizeof(expected), "a whole number from %lld to %lld",
	    (long long)key->min, (long long)key->max);
	if (!json_is_integer(n->value) || value < key->min || value > key->max)
		read_refuse(rd, n, expected);
	else
		store_number(key, field, value);
}

static void read_word(struct reader *rd, const struct node *n, const struct key *key, void *field)
{
	char expected[128] = "";
	const char *text;
	size_t len = 0;

	for (int i = 0; key->words[i] != NULL; i++) {
		const char *before = key->words[i + 1] == NULL ? " or " : ", ";

		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%s\"%s\"",
		    i == 0 ? "" : before, key->words[i]);
	}
	text = read_text(rd, n, expected);
	if (text == NULL)
		return;
	for (int i = 0; key->words[i] != NULL; i++) {
		if (strcmp(text, key->words[i]) == 0) {
			store_number(key, field, i);
			return;
		}
	}
	read_refuse(rd, n, expected);
}

static void read_bool(struct reader *rd, const struct node *n, const struct key *key, void *field)
{
	if (json_is_boolean(n->value))
		store_number(key, field, json_is_true(n->value));
	else
		read_refuse(rd, n, "true or false");
}

/*
 * Signals that ask for something. The others stop a process, cannot be caught, report a crash or
 * come from the kernel for reasons of its own.
 */
static bool is_request(int signo)
{
	static const int requests[] = { SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM,
		SIGWINCH, SIGPWR };

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (signo == requests[i])
			return true;
	}
	return signo >= SIGRTMIN && signo <= SIGRTMAX;
}

static void read_signal(struct reader *rd, const struct node *n, const struct key *key, void *field)
{
	const char *text = read_text(rd, n, "the name of a signal, such as \"INT\"");
	int signo;

	if (text == NULL || (key->none && strcmp(text, "none") == 0))
		return;
	signo = sig_number(text);
	if (signo == 0)
		read_refuse(rd, n, "the name of a signal, such as \"INT\"");
	else if (!is_request(signo))
		report_error(rd->report, n,
		    "%s cannot be a request to a job; use INT, TERM, HUP, QUIT, USR1, USR2, WINCH, "
		    "PWR or RTMIN+n",
		    sig_name(signo));
	else
		store_number(key, field, signo);
}

static void read_umask(struct reader *rd, const struct node *n, const struct key *key, void *field)
{
	static const char expected[] = "an octal number in quotes from \"0000\" to \"0777\"";
	const char *text = read_text(rd, n, expected);
	int64_t value = 0;
	size_t digits;

	if (text == NULL)
		return;
	digits = strspn(text, "01234567");
	for (size_t i = 0; i < digits && value <= 0777; i++)
		value = value * 8 + (text[i] - '0');
	if (digits == 0 || digits > 4 || text[digits] != '\0' || value > 0777)
		read_refuse(rd, n, expected);
	else
		store_number(key, field, value);
}

/*
 * Two spellings of one directory must compare equal: drops "." and empty parts and a "/" at the
 * end. False when path is not absolute or climbs with "..".
 */
static bool clean_path(char *path)
{
	const char *from = path;
	char *to = path;

	if (path[0] != '/')
		return false;
	while (*from != '\0') {
		size_t len;

		from += strspn(from, "/");
		len = strcspn(from, "/");
		if (len == 2 && strncmp(from, "..", 2) == 0)
			return false;
		if (len > 0 && !(len == 1 && *from == '.')) {
			*to++ = '/';
			memmove(to, from, len);
			to += len;
		}
		from += len;
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
	return true;
}

static void store_path(
    struct reader *rd, const struct node *n, const char *text, bool root_ok, char **field)
{
	char *path = arena_strdup(rd->arena, text);

	if (path == NULL)
		return;
	if (!clean_path(path))
		read_refuse(rd, n, "an absolute path without \"..\"");
	else if (strlen(path) >= PATH_MAX)
		report_error(rd->report, n, "is too long for a path");
	else if (!root_ok && path[1] == '\0')
		report_error(rd->report, n, "cannot be \"/\"; give it a directory of its own");
	else
		*field = path;
}

static void read_path(struct reader *rd, const struct node *n, const struct key *key, char **field)
{
	const char *text = read_text(rd, n, "an absolute path");

	if (text != NULL)
		store_path(rd, n, text, key->kind == KIND_PATH, field);
}

static void read_file_url(struct reader *rd, const struct node *n, char **field)
{
	static const char expected[] = "\"file://\" and an absolute directory, such as "
				       "\"file:///var/lib/graceful/state\"";
	const char *text = read_text(rd, n, expected);

	if (text == NULL)
		return;
	if (strncmp(text, "file:///", 8) != 0)
		read_refuse(rd, n, expected);
	else if (strpbrk(text, "%?#") != NULL)
		report_error(rd->report, n, "cannot hold %%, ? or #: write the directory as it is");
	else
		store_path(rd, n, text + 7, false, field);
}

/* Keys are made from it with "/" in between, so it must have one spelling only. */
static bool namespace_ok(const char *text)
{
	char copy[NAMESPACE_MAX + 1];

	if (strlen(text) > NAMESPACE_MAX || text[strspn(text, "/._-0123456789"
							      "abcdefghijklmnopqrstuvwxyz"
							      "ABCDEFGHIJKLMNOPQRSTUVWXYZ")])
		return false;
	strcpy(copy, text);
	return clean_path(copy) && copy[1] != '\0' && strcmp(copy, text) == 0;
}

static void read_namespace(struct reader *rd, const struct node *n, char **field)
{
	static const char expected[] =
	    "like \"/graceful\": names of A-Z a-z 0-9 . _ -, each with one "
	    "/ before it, 255 bytes at most";
	const char *text = read_text(rd, n, expected);

	if (text == NULL)
		return;
	if (namespace_ok(text))
		*field = arena_strdup(rd->arena, text);
	else
		read_refuse(rd, n, expected);
}

static void read_login(struct reader *rd, const struct node *n, char **field)
{
	static const char expected[] = "1 to 255 bytes without control characters";
	const char *text = read_text(rd, n, expected);
	size_t len;

	if (text == NULL)
		return;
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == '\x7f')
			len = 0;
	}
	if (len > 0 && len <= LOGIN_MAX)
		*field = arena_strdup(rd->arena, text);
	else
		read_refuse(rd, n, expected);
}

static void read_instance(struct reader *rd, const struct node *n, char *field)
{
	static const char expected[] =
	    "1 to 63 of A-Z a-z 0-9 . _ -, beginning with a letter or digit";
	const char *text = read_text(rd, n, expected);

	if (text == NULL)
		return;
	if (conf_job_name_ok(text))
		strcpy(field, text);
	else
		read_refuse(rd, n, expected);
}

static void read_value(
    struct reader *rd, const struct node *n, const struct key *key, void *base, void *field)
{
	switch (key->kind) {
	case KIND_SECTION: break;
	case KIND_DURATION: read_duration(rd, n, key, field); break;
	case KIND_SIZE: read_size(rd, n, key, field); break;
	case KIND_INT: read_int(rd, n, key, field); break;
	case KIND_WORD:
	case KIND_SWITCH: read_word(rd, n, key, field); break;
	case KIND_BOOL: read_bool(rd, n, key, field); break;
	case KIND_SIGNAL: read_signal(rd, n, key, field); break;
	case KIND_UMASK: read_umask(rd, n, key, field); break;
	case KIND_PATH:
	case KIND_DIR: read_path(rd, n, key, field); break;
	case KIND_FILE_URL: read_file_url(rd, n, field); break;
	case KIND_NAMESPACE: read_namespace(rd, n, field); break;
	case KIND_LOGIN: read_login(rd, n, field); break;
	case KIND_INSTANCE: read_instance(rd, n, field); break;
	case KIND_COMMAND: read_command(rd, n, field); break;
	case KIND_ENDPOINTS: read_endpoints(rd, n, field); break;
	case KIND_ENV: read_env(rd, n, field); break;
	case KIND_ENV_NAMES: read_env_names(rd, n, field); break;
	case KIND_LIMITS: read_limits(rd, n, base); break;
	}
}

static void store_default(struct reader *rd, const struct key *key, void *field)
{
	switch (key->kind) {
	case KIND_DURATION:
	case KIND_SIZE:
	case KIND_INT:
	case KIND_WORD:
	case KIND_SWITCH:
	case KIND_BOOL:
	case KIND_SIGNAL:
	case KIND_UMASK: store_number(key, field, key->fallback); break;
	case KIND_PATH:
	case KIND_DIR:
	case KIND_FILE_URL:
	case KIND_NAMESPACE:
		if (key->text != NULL)
			*(char **)field = arena_strdup(rd->arena, key->text);
		break;
	case KIND_ENV:
	case KIND_ENV_NAMES: *(char ***)field = arena_alloc(rd->arena, 1, sizeof(char *)); break;
	case KIND_SECTION:
	case KIND_LOGIN:
	case KIND_INSTANCE:
	case KIND_COMMAND:
	case KIND_ENDPOINTS:
	case KIND_LIMITS: break;
	}
}

void read_fields(struct reader *rd, const struct node *n, const struct node *inherited,
    const struct schema *schema, void *base)
{
	for (size_t i = 0; i < schema->n; i++) {
		const struct key *key = &schema->keys[i];
		const struct node *value = node_get(n, key->name);
		void *field = (char *)base + key->offset;

		if (value == NULL)
			value = node_get(inherited, key->name);
		if (value == NULL)
			store_default(rd, key, field);
		else
			read_value(rd, value, key, base, field);
	}
}
