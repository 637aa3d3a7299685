#include "conf/conf_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/plain.h"
#include "conf/conf_tree.h"

#define ENTRY_TEXT_MAX 1024

struct report_entry {
	unsigned line;
	char *text; /* the whole line for the operator */
};

/* Out of memory is reported without memory. */
static char no_memory_text[] = "out of memory while reading the configuration";
static char *no_memory_lines[] = { no_memory_text };

static void add_entry(struct report *r, unsigned line, const char *text)
{
	struct report_entry *grown;
	char *copy = arena_strdup(&r->arena, text);

	if (copy == NULL)
		return; /* before anything has grown */
	grown = arena_grow(&r->arena, r->entries, r->n, &r->room, sizeof(*r->entries));
	if (grown == NULL)
		return;
	plain_make(copy);
	r->entries = grown;
	r->entries[r->n++] = (struct report_entry){ .line = line, .text = copy };
}

bool report_wants(const struct report *r, const char *key)
{
	const char *const *only = r->only;

	while (only != NULL && *only != NULL && strcmp(*only, key) != 0)
		only++;
	return only == NULL || *only != NULL;
}

static bool is_muted(const struct report *r, const struct node *at)
{
	for (; at->parent != NULL; at = at->parent) {
		if (at == r->muted)
			return true;
		if (at == r->meant)
			return false;
		if (at->parent->parent == NULL && at->key != NULL && !report_wants(r, at->key))
			return true;
	}
	return false;
}

static void add_at(struct report *r, const struct node *at, const char *kind, const char *text)
{
	char path[NODE_PATH_MAX], line[2 * ENTRY_TEXT_MAX];

	node_path(at, path);
	snprintf(line, sizeof(line), "%.512s:%u: %s%s%s%s", r->file, at->line, kind, path,
	    path[0] == '\0' ? "" : ": ", text);
	add_entry(r, at->line, line);
}

/* Returns how many errors that makes. */
__attribute__((format(printf, 3, 0))) static size_t add_error(
    struct report *r, const struct node *at, const char *fmt, va_list ap)
{
	char text[ENTRY_TEXT_MAX];

	if (is_muted(r, at))
		return 0;
	vsnprintf(text, sizeof(text), fmt, ap);
	r->n_errors++;
	add_at(r, at, "", text);
	return 1;
}

void report_error(struct report *r, const struct node *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_error(r, at, fmt, ap);
	va_end(ap);
}

void report_passing(struct report *r, const struct node *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	r->n_passing += add_error(r, at, fmt, ap);
	va_end(ap);
}

void report_warning(struct report *r, const struct node *at, const char *fmt, ...)
{
	char text[ENTRY_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add_at(r, at, "warning: ", text);
}

void report_text_error(struct report *r, unsigned line, unsigned column, const char *fmt, ...)
{
	char where[32] = "", text[ENTRY_TEXT_MAX], whole[2 * ENTRY_TEXT_MAX];
	va_list ap;

	if (column > 0)
		snprintf(where, sizeof(where), ":%u:%u", line, column);
	else if (line > 0)
		snprintf(where, sizeof(where), ":%u", line);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%.512s%s: %s", r->file, where, text);
	r->n_errors++;
	add_entry(r, line, whole);
}

static int compare_entries(const void *a, const void *b)
{
	const struct report_entry *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return strcmp(x->text, y->text);
}

/* Sorts and drops repetitions: what "defaults" does to a hundred jobs is one mistake. */
static void sort_entries(struct report *r)
{
	size_t kept = 0;

	if (r->n == 0)
		return;
	qsort(r->entries, r->n, sizeof(*r->entries), compare_entries);
	for (size_t i = 1; i < r->n; i++) {
		if (compare_entries(&r->entries[kept], &r->entries[i]) != 0)
			r->entries[++kept] = r->entries[i];
	}
	r->n = kept + 1;
}

/* The lines as one block of memory: the pointers, then the texts. False when there is none. */
static bool copy_lines(const struct report *r, struct conf_errors *errors)
{
	size_t size = (r->n + 1) * sizeof(char *);
	char *text;

	for (size_t i = 0; i < r->n; i++)
		size += strlen(r->entries[i].text) + 1;
	errors->lines = arena_malloc(size);
	if (errors->lines == NULL)
		return false;
	text = (char *)(errors->lines + r->n + 1);
	for (size_t i = 0; i < r->n; i++) {
		errors->lines[i] = text;
		text = stpcpy(text, r->entries[i].text) + 1;
	}
	errors->lines[r->n] = NULL;
	errors->n = r->n;
	return true;
}

bool report_finish(struct report *r, bool no_memory, struct conf_errors *errors)
{
	bool good = r->n_errors == 0;

	sort_entries(r);
	if (no_memory || r->arena.failed || !copy_lines(r, errors)) {
		*errors = (struct conf_errors){ .lines = no_memory_lines, .n = 1 };
		r->n_passing = r->n_errors;
		good = false;
	}
	errors->passing = !good && r->n_passing == r->n_errors;
	arena_free(&r->arena);
	return good;
}

void conf_errors_free(struct conf_errors *errors)
{
	if (errors->lines != no_memory_lines)
		free(errors->lines);
	*errors = (struct conf_errors){ 0 };
}
