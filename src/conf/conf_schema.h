/*
 * conf_schema.h - every key of the configuration: its type, its default, its limits. The reader
 * works through these tables; graceful.json(5) tells the same to people.
 */
#ifndef CONF_CONF_SCHEMA_H
#define CONF_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a key takes, and what it is kept as. */
enum kind {
	KIND_SECTION,   /* read by code of its own, not by the tables */
	KIND_DURATION,  /* msec */
	KIND_SIZE,      /* uint64_t */
	KIND_INT,       /* int */
	KIND_WORD,      /* int or enum: the index in words */
	KIND_SWITCH,    /* bool: the same with two words */
	KIND_BOOL,      /* bool: true or false */
	KIND_SIGNAL,    /* int */
	KIND_UMASK,     /* mode_t */
	KIND_PATH,      /* char *: absolute, without "..", "//" or a "/" at the end */
	KIND_DIR,       /* the same, and not "/" */
	KIND_FILE_URL,  /* the directory of a "file://DIR", as KIND_DIR */
	KIND_NAMESPACE, /* char * */
	KIND_LOGIN,     /* char *: 1 to 255 printable characters */
	KIND_INSTANCE,  /* char[CONF_INSTANCE_MAX + 1] */
	KIND_COMMAND,   /* char **, NULL-terminated, as the next three */
	KIND_ENDPOINTS,
	KIND_ENV, /* "KEY=value" */
	KIND_ENV_NAMES,
	KIND_LIMITS, /* limits and n_limits of struct job_conf */
};

struct key {
	const char *name;
	enum kind kind;
	size_t offset;            /* in struct conf or struct job_conf */
	int64_t fallback;         /* default of a kind that is kept as a number */
	const char *text;         /* default of one that is kept as a string; NULL: none */
	int64_t min, max;         /* of a number, both included */
	bool infinity;            /* a duration may also be "infinity" */
	bool none;                /* "none" is allowed and kept as 0 */
	const char *const *words; /* NULL-terminated */
};

struct schema {
	const char *where; /* for messages: "in ..." */
	const struct key *keys;
	size_t n;
};

extern const struct schema schema_top;
extern const struct schema schema_coordinator;
extern const struct schema schema_state;
extern const struct schema schema_log;
extern const struct schema schema_job;

/* NULL if there is no such key. */
const struct key *schema_key(const struct schema *schema, const char *name);

#endif
