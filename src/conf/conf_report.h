/*
 * conf_report.h - everything that is wrong with one configuration file, collected.
 *
 * Each entry becomes one line, "FILE:LINE: KEY.PATH: text". What comes from the file is cut, and
 * made plain (base/plain.h), so a line stays a line on any terminal.
 */
#ifndef CONF_CONF_REPORT_H
#define CONF_CONF_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/arena.h"
#include "conf/conf.h"

struct node;
struct report_entry;

struct report {
	const char *file;
	struct arena arena;
	struct report_entry *entries;
	size_t n;
	size_t room;
	size_t n_errors;  /* those of the entries that are not just warnings */
	size_t n_passing; /* of these, what may be gone at the next try */
	/* Mistakes in this part of the file are known already and not reported again; may be NULL.
	 */
	const struct node *muted;
	/* Of the top's keys only these matter, NULL-terminated; NULL: all do. */
	const char *const *only;
	/* A key of the top that is none, but was meant as one of these; NULL: no such. */
	const struct node *meant;
};

/* Whether it matters what this key of the top says. */
bool report_wants(const struct report *r, const char *key);

/* A mistake at a key or value of the file. */
void report_error(struct report *r, const struct node *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The file may be right, but that cannot be told now. */
void report_passing(struct report *r, const struct node *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Legal, but hardly meant. */
void report_warning(struct report *r, const struct node *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A mistake in the text of the file. Line 0: in the file as a whole; column 0: in the whole line.
 */
void report_text_error(struct report *r, unsigned line, unsigned column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * Hands the lines over in the order of the file, each once, and frees r. With no_memory, or when r
 * itself ran out of it, *errors says just that. True if there was no error, but for warnings.
 */
bool report_finish(struct report *r, bool no_memory, struct conf_errors *errors);

#endif
