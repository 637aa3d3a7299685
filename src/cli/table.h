/*
 * table.h - a table for people: columns as wide as their content, the last one cut to the terminal.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct table_column {
	const char *title;
	bool right; /* figures stand at the right */
};

/* What a cell says about its job; a colour on terminals that have them. */
enum paint { PAINT_NONE, PAINT_GOOD, PAINT_BUSY, PAINT_BAD, PAINT_DIM };

struct table;

/* columns must outlive the table. NULL when out of memory. */
struct table *table_new(const struct table_column *columns, size_t n_columns);
void table_free(struct table *t);
/* One number a column, which must outlive the table: 0: always there; others are left out where the
 * table is too wide, the largest first. Without it all columns are always there. */
void table_spare(struct table *t, const unsigned *spare);

/* The next cell, row by row; the text is copied, and made fit (text.h). */
void table_add(struct table *t, enum paint paint, const char *text);
void table_addf(struct table *t, enum paint paint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Prints title and rows. width: columns of the terminal, 0 if lines may be of any length. Returns
 * -1 when memory ran out in this or any call before; what was printed then is no table.
 */
int table_print(struct table *t, FILE *out, size_t width, bool colour);

/* Whether that has cut the last cell of a row, the first of which is 0. */
bool table_cuts(const struct table *t, size_t row);

#endif
