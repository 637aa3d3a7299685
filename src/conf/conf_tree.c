#include "conf/conf_tree.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Walks over text that jansson has found valid: only what tells one token from the next counts. */
struct scan {
	const char *begin, *p;
	const char *end;
	unsigned line;
	struct tree *tree;
	struct report *report;
};

static void skip_blank(struct scan *s)
{
	for (; s->p < s->end && strchr(" \t\r\n", *s->p) != NULL; s->p++) {
		if (*s->p == '\n')
			s->line++;
	}
}

/* Over the next character that is not blank, which is one of those expected; returns it. */
static char take(struct scan *s, const char *expected)
{
	skip_blank(s);
	assert(s->p < s->end && strchr(expected, *s->p) != NULL);
	(void)expected;
	return *s->p++;
}

static char peek(struct scan *s)
{
	skip_blank(s);
	assert(s->p < s->end);
	return *s->p;
}

static void skip_string(struct scan *s)
{
	take(s, "\"");
	for (; *s->p != '"'; s->p++) {
		if (*s->p == '\\')
			s->p++;
		assert(s->p + 1 < s->end);
	}
	s->p++;
}

/* A number, true, false or null. */
static void skip_word(struct scan *s)
{
	while (s->p < s->end && strchr(" \t\r\n,]}", *s->p) == NULL)
		s->p++;
}

static bool json_starved;

static void *json_alloc(size_t size)
{
	void *p = arena_malloc(size);

	if (p == NULL)
		json_starved = true;
	return p;
}

/*
 * As json_loadb(), but sure of its memory. When jansson cannot enlarge its buffer for a token, it
 * loses letters of it and goes on: a path would be cut and nobody told. So its allocations are
 * watched. Only the thread that reads configurations uses jansson meanwhile.
 */
static json_t *load_json(
    struct arena *a, const char *text, size_t len, size_t flags, json_error_t *e)
{
	json_malloc_t usual_malloc;
	json_free_t usual_free;
	json_t *json;

	json_starved = false;
	json_get_alloc_funcs(&usual_malloc, &usual_free);
	json_set_alloc_funcs(json_alloc, usual_free);
	json = json_loadb(text, len, flags, e);
	json_set_alloc_funcs(usual_malloc, usual_free);
	if (!json_starved)
		return json;
	a->failed = true;
	json_decref(json);
	return NULL;
}

/* The text of a string token, quotes included. NULL when out of memory. */
static char *decode(struct scan *s, const char *token, size_t len)
{
	json_t *string;
	char *text;

	if (memchr(token, '\\', len) == NULL)
		return arena_strndup(&s->tree->arena, token + 1, len - 2);
	string = load_json(&s->tree->arena, token, len, JSON_DECODE_ANY, NULL);
	if (string == NULL)
		return NULL;
	text = arena_strdup(&s->tree->arena, json_string_value(string));
	json_decref(string);
	return text;
}

static void scan_value(struct scan *s, struct node *n);

/* Adds a child to n and scans its value. False when out of memory. */
static bool scan_child(struct scan *s, struct node *n, size_t *room, const char *key, unsigned line)
{
	struct arena *a = &s->tree->arena;
	struct node *child = arena_alloc(a, 1, sizeof(*child));
	struct node **grown = arena_grow(a, n->children, n->n_children, room, sizeof(*grown));

	if (child == NULL || grown == NULL)
		return false;
	*child = (struct node){ .parent = n, .key = key, .index = n->n_children, .line = line };
	child->value =
	    key != NULL ? json_object_get(n->value, key) : json_array_get(n->value, child->index);
	n->children = grown;
	n->children[n->n_children++] = child;
	scan_value(s, child);
	return !a->failed;
}

static bool scan_member(struct scan *s, struct node *n, size_t *room)
{
	const char *from = s->p - 1; /* the comma, if it is not the first */
	struct node *child;
	const char *token;
	unsigned line;
	char *key;

	skip_blank(s);
	token = s->p;
	line = s->line;
	skip_string(s);
	key = decode(s, token, (size_t)(s->p - token));
	take(s, ":");
	if (key == NULL || !scan_child(s, n, room, key, line))
		return false;
	child = n->children[n->n_children - 1];
	child->from = (size_t)(from - s->begin);
	child->to = (size_t)(s->p - s->begin);
	return true;
}

static int compare_keys(const void *a, const void *b)
{
	const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;
	int order = strcmp(x->key, y->key);

	if (order != 0)
		return order;
	return x->index < y->index ? -1 : 1;
}

static void note_repeat(struct tree *t, struct node *n)
{
	struct node **grown =
	    arena_grow(&t->arena, t->repeats, t->n_repeats, &t->repeats_room, sizeof(*grown));

	if (grown == NULL)
		return;
	t->repeats = grown;
	t->repeats[t->n_repeats++] = n;
}

/* Sorts the members, so that node_get() can search, and reports keys that are given twice. */
static void sort_members(struct scan *s, struct node *n)
{
	size_t kept = 0;
	bool repeated = false;

	if (n->n_children == 0)
		return;
	qsort(n->children, n->n_children, sizeof(*n->children), compare_keys);
	for (size_t i = 1; i < n->n_children; i++) {
		struct node *before = n->children[kept];
		bool again = strcmp(before->key, n->children[i]->key) == 0;

		if (again)
			report_error(s->report, n->children[i],
			    "is given twice, the first time on line %u; remove one", before->line);
		else if (repeated)
			note_repeat(s->tree, before);
		repeated = again;
		kept += !again;
		n->children[kept] = n->children[i];
	}
	if (repeated)
		note_repeat(s->tree, n->children[kept]);
	n->n_children = kept + 1;
}

static void scan_object(struct scan *s, struct node *n)
{
	size_t room = 0;
	char next = take(s, "{");

	if (peek(s) == '}')
		next = take(s, "}");
	while (next != '}') {
		if (!scan_member(s, n, &room))
			return;
		next = take(s, ",}");
	}
	sort_members(s, n);
}

static void scan_array(struct scan *s, struct node *n)
{
	size_t room = 0;
	char next = take(s, "[");

	if (peek(s) == ']')
		next = take(s, "]");
	while (next != ']') {
		skip_blank(s);
		if (!scan_child(s, n, &room, NULL, s->line))
			return;
		next = take(s, ",]");
	}
}

/* Recurses as deep as jansson did, which stops at JSON_PARSER_MAX_DEPTH. */
static void scan_value(struct scan *s, struct node *n)
{
	switch (peek(s)) {
	case '{': scan_object(s, n); break;
	case '[': scan_array(s, n); break;
	case '"': skip_string(s); break;
	default: skip_word(s); break;
	}
}

static unsigned line_of(const char *text, const char *p)
{
	unsigned line = 1;

	for (; text < p; text++) {
		if (*text == '\n')
			line++;
	}
	return line;
}

/* What jansson would report in a way that helps nobody. False if it is wrong. */
static bool check_text(const char *text, size_t len, struct report *r)
{
	const char *nul = memchr(text, '\0', len);
	size_t i = 0;

	while (i < len && text[i] != '\0' && strchr(" \t\r\n", text[i]) != NULL)
		i++;
	if (i == len)
		report_text_error(
		    r, 0, 0, "is empty; a configuration is a JSON object, see graceful.json(5)");
	else if (nul != NULL)
		report_text_error(r, line_of(text, nul), 0,
		    "holds a NUL byte; is this really the configuration?");
	else if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		report_text_error(
		    r, 1, 0, "begins with a byte-order mark; save it as UTF-8 without one");
	else
		return true;
	return false;
}

static void report_syntax(struct report *r, const json_error_t *e)
{
	const char *hint = "";

	if (json_error_code(e) == json_error_invalid_syntax)
		hint = " (strict JSON: no comments, no comma after the last item)";
	report_text_error(r, e->line > 0 ? (unsigned)e->line : 1,
	    e->column > 0 ? (unsigned)e->column : 0, "not valid JSON: %s%s", e->text, hint);
}

bool tree_parse(struct tree *t, const char *text, size_t len, struct report *r)
{
	struct scan s = {
		.begin = text, .p = text, .end = text + len, .line = 1, .tree = t, .report = r
	};
	json_error_t e;

	*t = (struct tree){ 0 };
	if (!check_text(text, len, r))
		return false;
	/* A NUL in a value is reported with its key, together with everything else. */
	t->json = load_json(&t->arena, text, len, JSON_ALLOW_NUL, &e);
	if (t->json == NULL && !t->arena.failed)
		report_syntax(r, &e);
	if (t->json != NULL)
		t->root = arena_alloc(&t->arena, 1, sizeof(*t->root));
	if (t->root == NULL)
		return false;
	t->root->value = t->json;
	skip_blank(&s);
	t->root->line = s.line;
	scan_value(&s, t->root);
	return !t->arena.failed;
}

bool tree_uncover(const struct tree *t, char *text)
{
	for (size_t i = 0; i < t->n_repeats; i++) {
		char *p = text + t->repeats[i]->from;

		for (char *end = text + t->repeats[i]->to; p < end; p++) {
			if (*p != '\n')
				*p = ' ';
		}
	}
	return t->n_repeats > 0;
}

void tree_free(struct tree *t)
{
	json_decref(t->json);
	arena_free(&t->arena);
}

static int compare_key(const void *key, const void *node)
{
	const struct node *n = *(struct node *const *)node;

	return strcmp(key, n->key);
}

const struct node *node_get(const struct node *object, const char *key)
{
	struct node **found;

	if (object == NULL || !json_is_object(object->value) || object->n_children == 0)
		return NULL;
	found = bsearch(
	    key, object->children, object->n_children, sizeof(*object->children), compare_key);
	return found == NULL ? NULL : *found;
}

/* Appends the path to n; returns the length so far. */
static size_t append_path(const struct node *n, char *buf)
{
	size_t len;
	int added;

	if (n->parent == NULL)
		return 0;
	len = append_path(n->parent, buf);
	if (n->key != NULL)
		added = snprintf(
		    buf + len, NODE_PATH_MAX - len, "%s%.80s", len == 0 ? "" : ".", n->key);
	else
		added = snprintf(buf + len, NODE_PATH_MAX - len, "[%zu]", n->index);
	return added > 0 && (size_t)added < NODE_PATH_MAX - len ? len + (size_t)added
								: NODE_PATH_MAX - 1;
}

const char *node_path(const struct node *n, char buf[NODE_PATH_MAX])
{
	buf[0] = '\0';
	append_path(n, buf);
	return buf;
}
