/* The readers for values with parts: arrays and objects. */
#include <bsd/stdlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conf/conf_read.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Room for one pointer for each child and a NULL; NULL, and reported, when n is not of this type.
 */
static char **list_start(
    struct reader *rd, const struct node *n, json_type type, const char *expected)
{
	if (json_typeof(n->value) != type) {
		read_refuse(rd, n, expected);
		return NULL;
	}
	return arena_alloc(rd->arena, n->n_children + 1, sizeof(char *));
}

static bool command_item_ok(struct reader *rd, const struct node *item)
{
	const char *text = read_text(rd, item, "a string");

	if (text == NULL)
		return false;
	/* PATH is not searched: what runs must not depend on the master's environment. */
	if (item->index == 0 && text[0] != '/') {
		read_refuse(rd, item, "the absolute path of a program");
		return false;
	}
	return true;
}

void read_command(struct reader *rd, const struct node *n, char ***field)
{
	static const char expected[] =
	    "an array of strings: [\"/path/of/program\", \"argument\", ...]";
	char **argv = list_start(rd, n, JSON_ARRAY, expected);

	if (argv == NULL)
		return;
	if (n->n_children == 0) {
		report_error(rd->report, n, "is empty; name a program by its absolute path");
		return;
	}
	for (size_t i = 0; i < n->n_children; i++) {
		if (command_item_ok(rd, n->children[i]))
			argv[i] = arena_strdup(rd->arena, json_string_value(n->children[i]->value));
	}
	*field = argv;
}

/* HOST:PORT or [ADDRESS]:PORT to the end of text. */
static bool authority_ok(const char *text)
{
	const char *why, *port;
	size_t host;

	if (strlen(text) > CONF_ENDPOINT_MAX - strlen("https://"))
		return false;
	if (text[0] == '[')
		host = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.") + 1;
	else
		host = strspn(text, LETTERS DIGITS ".-_");
	if (host == 0 || strlen(text) <= host || text[host] != ':' ||
	    (text[0] == '[' && (host < 4 || text[host - 1] != ']')))
		return false;
	port = text + host + 1;
	if (port[0] == '\0' || port[strspn(port, DIGITS)] != '\0')
		return false;
	strtonum(port, 1, 65535, &why);
	return why == NULL;
}

static char *read_endpoint(struct reader *rd, const struct node *n)
{
	static const char expected[] = "a URL such as \"http://127.0.0.1:2379\", with a port and "
				       "without a path";
	const char *text = read_text(rd, n, expected);
	const char *host;
	char *copy;

	if (text == NULL)
		return NULL;
	copy = arena_strdup(rd->arena, text);
	if (copy == NULL)
		return NULL;
	/* A lone "/" at the end is a path, too, but one that everybody writes. */
	if (copy[0] != '\0' && copy[strlen(copy) - 1] == '/')
		copy[strlen(copy) - 1] = '\0';
	host = strstr(copy, "://");
	if ((strncmp(copy, "http://", 7) != 0 && strncmp(copy, "https://", 8) != 0) ||
	    !authority_ok(host + 3)) {
		read_refuse(rd, n, expected);
		return NULL;
	}
	return copy;
}

/* Whoever names a server twice meant another one, and has one less than he believes. */
static void check_twice(struct reader *rd, const struct node *n, char *const urls[], size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (urls[k] != NULL && strcasecmp(urls[k], urls[i]) == 0) {
			report_error(rd->report, n,
			    "is the same as endpoints[%zu]; take it out, "
			    "or name the server that was meant",
			    k);
			return;
		}
	}
}

void read_endpoints(struct reader *rd, const struct node *n, char ***field)
{
	char **urls =
	    list_start(rd, n, JSON_ARRAY, "an array of URLs: [\"http://HOST:2379\", ...]");

	if (urls == NULL)
		return;
	if (n->n_children == 0)
		report_error(rd->report, n, "is empty; name at least one endpoint");
	for (size_t i = 0; i < n->n_children; i++) {
		urls[i] = read_endpoint(rd, n->children[i]);
		if (urls[i] != NULL)
			check_twice(rd, n->children[i], urls, i);
	}
	*field = urls;
}

/* Set for every job by the worker; a configured value would be lost or break the contract. */
static bool env_name_reserved(const char *name)
{
	return strncmp(name, "GRACEFUL_", 9) == 0 || strcmp(name, "NOTIFY_SOCKET") == 0 ||
	       strcmp(name, "WATCHDOG_USEC") == 0 || strcmp(name, "WATCHDOG_PID") == 0;
}

static bool env_name_ok(struct reader *rd, const struct node *n, const char *name)
{
	if (name[0] == '\0' || strchr(DIGITS, name[0]) != NULL ||
	    name[strspn(name, LETTERS DIGITS "_")] != '\0')
		report_error(rd->report, n,
		    "a variable's name is made of A-Z a-z 0-9 _ and begins with no digit");
	else if (env_name_reserved(name))
		report_error(rd->report, n, "graceful sets %.40s itself; take it out", name);
	else
		return true;
	return false;
}

static char *read_variable(struct reader *rd, const struct node *n)
{
	bool name_ok = env_name_ok(rd, n, n->key);
	const char *text = read_text(rd, n, "a string");
	size_t size;
	char *variable;

	if (!name_ok || text == NULL)
		return NULL;
	size = strlen(n->key) + 1 + strlen(text) + 1;
	variable = arena_alloc(rd->arena, size, 1);
	if (variable != NULL)
		snprintf(variable, size, "%s=%s", n->key, text);
	return variable;
}

void read_env(struct reader *rd, const struct node *n, char ***field)
{
	char **env = list_start(rd, n, JSON_OBJECT, "an object: { \"NAME\": \"value\", ... }");

	if (env == NULL)
		return;
	for (size_t i = 0; i < n->n_children; i++)
		env[i] = read_variable(rd, n->children[i]);
	*field = env;
}

void read_env_names(struct reader *rd, const struct node *n, char ***field)
{
	char **names = list_start(rd, n, JSON_ARRAY, "an array of names: [\"TZ\", ...]");

	if (names == NULL)
		return;
	for (size_t i = 0; i < n->n_children; i++) {
		const char *name = read_text(rd, n->children[i], "the name of a variable");

		if (name != NULL && env_name_ok(rd, n->children[i], name))
			names[i] = arena_strdup(rd->arena, name);
	}
	*field = names;
}

static const struct {
	const char *name;
	int resource;
} limit_names[] = {
	{ "as", RLIMIT_AS },
	{ "core", RLIMIT_CORE },
	{ "cpu", RLIMIT_CPU },
	{ "data", RLIMIT_DATA },
	{ "fsize", RLIMIT_FSIZE },
	{ "memlock", RLIMIT_MEMLOCK },
	{ "nofile", RLIMIT_NOFILE },
	{ "nproc", RLIMIT_NPROC },
	{ "stack", RLIMIT_STACK },
};

static bool read_resource(struct reader *rd, const struct node *n, struct conf_limit *limit)
{
	for (size_t i = 0; i < sizeof(limit_names) / sizeof(limit_names[0]); i++) {
		if (strcmp(n->key, limit_names[i].name) == 0) {
			limit->name = limit_names[i].name;
			limit->resource = limit_names[i].resource;
			return true;
		}
	}
	report_error(rd->report, n,
	    "no such limit; there are as, core, cpu, data, fsize, memlock, nofile, nproc and "
	    "stack");
	return false;
}

static bool read_rlim(struct reader *rd, const struct node *n, rlim_t *value)
{
	static const char expected[] = "a whole number from 0, or \"unlimited\"";

	if (json_is_integer(n->value) && json_integer_value(n->value) >= 0) {
		*value = (rlim_t)json_integer_value(n->value);
		return true;
	}
	if (json_is_string(n->value) && strcmp(json_string_value(n->value), "unlimited") == 0) {
		*value = RLIM_INFINITY;
		return true;
	}
	read_refuse(rd, n, expected);
	return false;
}

/* One value for both, or [soft, hard]. */
static bool read_rlimit(struct reader *rd, const struct node *n, struct rlimit *value)
{
	if (!json_is_array(n->value)) {
		if (!read_rlim(rd, n, &value->rlim_cur))
			return false;
		value->rlim_max = value->rlim_cur;
		return true;
	}
	if (n->n_children != 2) {
		report_error(rd->report, n, "must be one limit, or two: [soft, hard]");
		return false;
	}
	if (!read_rlim(rd, n->children[0], &value->rlim_cur) ||
	    !read_rlim(rd, n->children[1], &value->rlim_max))
		return false;
	if (value->rlim_cur > value->rlim_max) {
		report_error(rd->report, n, "the soft limit, which is first, exceeds the hard one");
		return false;
	}
	return true;
}

void read_limits(struct reader *rd, const struct node *n, struct job_conf *job)
{
	if (!json_is_object(n->value)) {
		read_refuse(rd, n, "an object: { \"nofile\": 1024, ... }");
		return;
	}
	job->limits = arena_alloc(rd->arena, n->n_children, sizeof(*job->limits));
	if (job->limits == NULL)
		return;
	for (size_t i = 0; i < n->n_children; i++) {
		struct conf_limit limit = { .resource = 0 };

		if (read_resource(rd, n->children[i], &limit) &&
		    read_rlimit(rd, n->children[i], &limit.value))
			job->limits[job->n_limits++] = limit;
	}
}
