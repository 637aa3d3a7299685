/*
 * conf_read.h - from nodes of the file to fields of struct conf and struct job_conf.
 *
 * Each reader reports what is wrong and goes on, so that one run finds every mistake. A field whose
 * value was refused stays zero or NULL, which no accepted value is where conf_check.c compares.
 */
#ifndef CONF_CONF_READ_H
#define CONF_CONF_READ_H

#include "conf/arena.h"
#include "conf/conf.h"
#include "conf/conf_report.h"
#include "conf/conf_schema.h"
#include "conf/conf_tree.h"

struct reader {
	struct report *report;
	struct arena *arena; /* of the configuration that is being built */
};

/* Whether n is an object with known keys only; reports it if not. */
bool read_object(struct reader *rd, const struct node *n, const struct schema *schema);

/*
 * Fills the fields of base from the keys of n, else from those of inherited, else with the
 * defaults. Both nodes may be NULL.
 */
void read_fields(struct reader *rd, const struct node *n, const struct node *inherited,
    const struct schema *schema, void *base);

/* The text of a string without NUL, or NULL. expected completes "must be ...". */
const char *read_text(struct reader *rd, const struct node *n, const char *expected);
/* Reports that the value is of the wrong type or form. */
void read_refuse(struct reader *rd, const struct node *n, const char *expected);

/* The readers for values with parts, conf_lists.c. */
void read_command(struct reader *rd, const struct node *n, char ***field);
void read_endpoints(struct reader *rd, const struct node *n, char ***field);
void read_env(struct reader *rd, const struct node *n, char ***field);
void read_env_names(struct reader *rd, const struct node *n, char ***field);
void read_limits(struct reader *rd, const struct node *n, struct job_conf *job);

/* The account that the job at this node runs under, conf_user.c. user and group may be NULL. */
void read_user(struct reader *rd, const struct node *at, const struct node *user,
    const struct node *group, struct job_conf *job);

#endif
