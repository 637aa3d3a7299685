#include "tally_state.h"

#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1

struct count {
	uint64_t n;
	char key[]; /* NUL-terminated */
};

static int compare(const void *a, const void *b)
{
	const struct count *x = a, *y = b;

	return strcmp(x->key, y->key);
}

void tally_clear(struct tally *t)
{
	tdestroy(t->counts, free);
	memset(t, 0, sizeof(*t));
}

/* The count of key, made with 0 if it is new. NULL: out of memory. */
static struct count *count_of(struct tally *t, const char *key, size_t len)
{
	struct count *fresh = malloc(sizeof(*fresh) + len + 1);
	void **node;

	if (fresh == NULL)
		return NULL;
	fresh->n = 0;
	memcpy(fresh->key, key, len);
	fresh->key[len] = '\0';
	node = tsearch(fresh, &t->counts, compare);
	if (node == NULL || *node != fresh)
		free(fresh);
	else
		t->keys++;
	return node == NULL ? NULL : *node;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\0';
}

static size_t skip(const char *line, size_t len, size_t i, bool blanks)
{
	while (i < len && is_blank(line[i]) == blanks)
		i++;
	return i;
}

int tally_count(struct tally *t, const char *line, size_t len)
{
	size_t begin = skip(line, len, 0, true), end = skip(line, len, begin, false);
	struct count *c;

	for (unsigned i = 1; i < t->field && begin < len; i++) {
		begin = skip(line, len, end, true);
		end = skip(line, len, begin, false);
	}
	len = end - begin;
	c = count_of(t, line + begin, len > TALLY_KEY_MAX ? TALLY_KEY_MAX : len);
	if (c == NULL)
		return -1;
	c->n++;
	t->lines++;
	return 0;
}

static void show_node(const void *node, VISIT visit, void *stream)
{
	const struct count *c = *(const struct count *const *)node;

	if (visit == postorder || visit == leaf)
		fprintf(stream, "%" PRIu64 " %s\n", c->n, c->key);
}

void tally_show(const struct tally *t, FILE *stream)
{
	twalk_r(t->counts, show_node, stream);
}

void tally_write(const struct tally *t, FILE *stream)
{
	const struct place *p = &t->place;

	fprintf(stream, "tally %d\nfield %u\n", VERSION, t->field);
	if (p->known)
		fprintf(stream,
		    "file %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", p->dev,
		    p->ino, p->offset, p->tail, p->hash);
	else
		fputs("file none\n", stream);
	fprintf(stream, "lines %" PRIu64 "\ngaps %" PRIu64 "\nkeys %" PRIu64 "\n", t->lines,
	    t->gaps, t->keys);
	tally_show(t, stream);
}

/*
 * Reading: text is taken from the front, piece by piece. Once a piece is not as expected, nothing
 * more is taken.
 */
struct text {
	const char *at, *end;
	bool bad;
};

static bool take_word(struct text *x, const char *word)
{
	size_t len = strlen(word);

	if (x->bad || (size_t)(x->end - x->at) < len || memcmp(x->at, word, len) != 0)
		return false;
	x->at += len;
	return true;
}

static void expect(struct text *x, const char *word)
{
	if (!take_word(x, word))
		x->bad = true;
}

static uint64_t take_number(struct text *x)
{
	const char *first = x->at;
	uint64_t value = 0;

	while (!x->bad && x->at < x->end && *x->at >= '0' && *x->at <= '9') {
		unsigned digit = (unsigned)(*x->at++ - '0');

		if (value > (UINT64_MAX - digit) / 10)
			x->bad = true;
		else
			value = value * 10 + digit;
	}
	if (x->at == first)
		x->bad = true;
	return value;
}

static uint64_t take_line(struct text *x, const char *name)
{
	uint64_t value;

	expect(x, name);
	value = take_number(x);
	expect(x, "\n");
	return value;
}

static void take_place(struct text *x, struct place *p)
{
	if (take_word(x, "file none\n"))
		return;
	p->known = true;
	expect(x, "file ");
	p->dev = take_number(x);
	expect(x, " ");
	p->ino = take_number(x);
	expect(x, " ");
	p->offset = take_number(x);
	expect(x, " ");
	p->tail = take_number(x);
	expect(x, " ");
	p->hash = take_number(x);
	expect(x, "\n");
	if (p->tail > p->offset || p->offset > INT64_MAX)
		x->bad = true;
}

/* "COUNT KEY\n" into the tree. -1: out of memory. */
static int take_count(struct text *x, struct tally *t)
{
	uint64_t keys = t->keys, n = take_number(x);
	const char *key, *newline;
	struct count *c;

	expect(x, " ");
	key = x->at;
	newline = x->bad ? NULL : memchr(key, '\n', (size_t)(x->end - key));
	if (newline == NULL || newline - key > TALLY_KEY_MAX || n == 0 ||
	    n > UINT64_MAX - t->lines || memchr(key, '\0', (size_t)(newline - key)) != NULL) {
		x->bad = true;
		return 0;
	}
	c = count_of(t, key, (size_t)(newline - key));
	if (c == NULL)
		return -1;
	c->n = n;
	t->lines += n;
	x->at = newline + 1;
	if (t->keys == keys)
		x->bad = true; /* the key was there already */
	return 0;
}

static const char *take_counts(struct text *x, struct tally *t)
{
	uint64_t lines = take_line(x, "lines "), keys;

	t->gaps = take_line(x, "gaps ");
	keys = take_line(x, "keys ");
	while (!x->bad && t->keys < keys)
		if (take_count(x, t) < 0)
			return "out of memory";
	if (x->bad || x->at != x->end)
		return "damaged: not as tally writes it";
	return t->lines == lines ? NULL : "damaged: the counts do not add up";
}

const char *tally_read(struct tally *t, const char *data, size_t len)
{
	struct text x = { .at = data, .end = data + len };
	const char *problem;
	uint64_t field;

	if (!take_word(&x, "tally "))
		return "not a state of tally";
	if (take_number(&x) != VERSION || x.bad)
		return "written by another version of tally";
	expect(&x, "\n");
	field = take_line(&x, "field ");
	take_place(&x, &t->place);
	problem = take_counts(&x, t);
	if (problem == NULL && (field == 0 || field > UINT32_MAX))
		problem = "damaged: not as tally writes it";
	t->field = (unsigned)field;
	if (problem != NULL)
		tally_clear(t);
	return problem;
}
