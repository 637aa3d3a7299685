/*
 * conf_tree.h - a JSON text as a tree that knows on which line each thing stands.
 *
 * jansson checks the text and decodes the values, but keeps no positions and lets the last of two
 * equal keys win. So the text, valid by then, is scanned once more for lines and duplicates.
 */
#ifndef CONF_CONF_TREE_H
#define CONF_CONF_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/arena.h"
#include "conf/conf_report.h"

struct node {
	const struct node *parent; /* NULL: the whole file */
	const char *key;           /* of a member of an object, else NULL */
	size_t index;              /* among its brothers, as written */
	unsigned line;
	const json_t *value;
	struct node **children; /* of an object by key, of an array as written */
	size_t n_children;
	size_t from, to; /* of a member: its place in the text, with the comma before it */
};

struct tree {
	json_t *json;
	struct arena arena;
	struct node *root;
	/* Of each key that is given more than once in an object the last member. */
	struct node **repeats;
	size_t n_repeats, repeats_room;
};

/*
 * False when the text is not JSON; the reason is reported. Duplicate keys are reported, too, and
 * the last one is kept. After either, tree_free() is due.
 */
bool tree_parse(struct tree *t, const char *text, size_t len, struct report *r);
/* Overwrites the repeats with blanks, in a copy of the text: what was hidden behind them can be
 * read now, and stands where it stood. False if there are none. */
bool tree_uncover(const struct tree *t, char *text);
void tree_free(struct tree *t);

/* The member of an object, or NULL; also NULL when object is NULL or no object. */
const struct node *node_get(const struct node *object, const char *key);

#define NODE_PATH_MAX 320
/* "jobs.orders.command[0]", cut when it does not fit; "" for the whole file. Returns buf. */
const char *node_path(const struct node *n, char buf[NODE_PATH_MAX]);

#endif
