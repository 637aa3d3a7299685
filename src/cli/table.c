#include "cli/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"

#define CELL_MAX 1024 /* bytes; longer text is cut */
#define GAP 2         /* columns between two columns */
#define LAST_MIN 16   /* columns that the last one gets before others are spared for it */

struct cell {
	char *text; /* fit for a terminal */
	size_t width;
	enum paint paint;
};

struct table {
	const struct table_column *columns;
	size_t n_columns;
	const unsigned *spare; /* NULL: nothing can be spared */
	struct cell *cells;    /* row by row; the titles are the first row */
	size_t n_cells;
	size_t room;
	size_t left; /* for the last column when it was printed */
	bool failed;
};

struct table *table_new(const struct table_column *columns, size_t n_columns)
{
	struct table *t = calloc(1, sizeof(*t));

	assert(n_columns > 0);
	if (t == NULL)
		return NULL;
	t->columns = columns;
	t->n_columns = n_columns;
	for (size_t i = 0; i < n_columns; i++)
		table_add(t, PAINT_NONE, columns[i].title);
	return t;
}

void table_free(struct table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

void table_spare(struct table *t, const unsigned *spare)
{
	t->spare = spare;
}

static bool table_grow(struct table *t)
{
	size_t room = t->room == 0 ? 64 : t->room * 2;
	struct cell *cells;

	if (t->n_cells < t->room)
		return true;
	cells = reallocarray(t->cells, room, sizeof(*cells));
	if (cells == NULL)
		return false;
	t->cells = cells;
	t->room = room;
	return true;
}

void table_add(struct table *t, enum paint paint, const char *text)
{
	char buf[CELL_MAX];
	struct cell *c;

	if (!table_grow(t)) {
		t->failed = true;
		return;
	}
	c = &t->cells[t->n_cells];
	c->width = text_fit(buf, sizeof(buf), text, SIZE_MAX);
	c->paint = paint;
	c->text = strdup(buf);
	if (c->text == NULL)
		t->failed = true;
	else
		t->n_cells++;
}

void table_addf(struct table *t, enum paint paint, const char *fmt, ...)
{
	char buf[CELL_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	table_add(t, paint, buf);
}

static const char *paint_code(enum paint paint)
{
	switch (paint) {
	case PAINT_NONE: return "";
	case PAINT_GOOD: return "\033[32m";
	case PAINT_BUSY: return "\033[33m";
	case PAINT_BAD: return "\033[1;31m";
	case PAINT_DIM: return "\033[2m";
	}
	return "";
}

static void print_text(FILE *out, const char *text, enum paint paint, bool colour)
{
	if (colour && paint != PAINT_NONE && *text != '\0')
		fprintf(out, "%s%s\033[0m", paint_code(paint), text);
	else
		fputs(text, out);
}

static size_t column_width(const struct table *t, size_t column)
{
	size_t width = 0;

	for (size_t i = column; i < t->n_cells; i += t->n_columns)
		if (t->cells[i].width > width)
			width = t->cells[i].width;
	return width;
}

static void print_padded(
    FILE *out, const struct table_column *column, const struct cell *c, size_t width, bool colour)
{
	int pad = (int)(width - c->width);

	if (column->right)
		fprintf(out, "%*s", pad, "");
	print_text(out, c->text, c->paint, colour);
	fprintf(out, "%*s", GAP + (column->right ? 0 : pad), "");
}

/* The last cell of a row: no blanks behind it, and cut to what is left of the line. */
static void print_last(FILE *out, const struct cell *c, size_t left, bool colour)
{
	char buf[CELL_MAX];

	text_fit(buf, sizeof(buf), c->text, left);
	print_text(out, buf, c->paint, colour);
	fputc('\n', out);
}

/* Which columns are printed, and how. */
struct layout {
	size_t *widths; /* 0: not at all, as it is wider than its title */
	size_t left;    /* for the last one */
};

static void print_row(
    const struct table *t, FILE *out, const struct cell *row, const struct layout *l, bool colour)
{
	size_t last = t->n_columns - 1;

	for (size_t i = 0; i < last; i++) {
		if (l->widths[i] > 0)
			print_padded(out, &t->columns[i], &row[i], l->widths[i], colour);
	}
	print_last(out, &row[last], l->left, colour);
}

/* All columns but the last one, with the gaps. */
static size_t taken(const struct table *t, const struct layout *l)
{
	size_t sum = 0;

	for (size_t i = 0; i + 1 < t->n_columns; i++)
		sum += l->widths[i] > 0 ? l->widths[i] + GAP : 0;
	return sum;
}

/* False: there is nothing left that can be spared. */
static bool spare_one(const struct table *t, const struct layout *l)
{
	size_t most = t->n_columns;

	for (size_t i = 0; i + 1 < t->n_columns; i++) {
		if (l->widths[i] > 0 && t->spare[i] > 0 &&
		    (most == t->n_columns || t->spare[i] > t->spare[most]))
			most = i;
	}
	if (most < t->n_columns)
		l->widths[most] = 0;
	return most < t->n_columns;
}

static void lay_out(const struct table *t, struct layout *l, size_t width)
{
	size_t last = column_width(t, t->n_columns - 1);

	for (size_t i = 0; i < t->n_columns; i++)
		l->widths[i] = column_width(t, i);
	l->left = SIZE_MAX;
	if (width == 0)
		return;
	if (last > LAST_MIN)
		last = LAST_MIN; /* the rest of it may be cut */
	while (t->spare != NULL && taken(t, l) + last > width && spare_one(t, l))
		;
	l->left = width > taken(t, l) ? width - taken(t, l) : 0;
}

int table_print(struct table *t, FILE *out, size_t width, bool colour)
{
	struct layout l = { .widths = calloc(t->n_columns, sizeof(*l.widths)) };

	if (l.widths == NULL || t->failed) {
		free(l.widths);
		return -1;
	}
	assert(t->n_cells % t->n_columns == 0);
	lay_out(t, &l, width);
	t->left = l.left;
	for (size_t i = 0; i < t->n_cells; i += t->n_columns)
		print_row(t, out, &t->cells[i], &l, colour);
	free(l.widths);
	return 0;
}

bool table_cuts(const struct table *t, size_t row)
{
	size_t last = (row + 2) * t->n_columns - 1; /* the titles are a row, too */

	assert(last < t->n_cells);
	return t->cells[last].width > t->left;
}
