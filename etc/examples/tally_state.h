/*
 * tally_state.h - what tally knows: how often each key came, and up to which place in the log.
 *
 * Both are written and read together, so that no line is counted twice or missed. As text:
 *
 *	tally 1                              the format's version
 *	field 3                              which field of a line is its key
 *	file DEV INO OFFSET TAIL HASH        struct place of follow.h, or "file none"
 *	lines 12345
 *	gaps 0
 *	keys 17
 *	7012 install                         17 of these, sorted by key; they add up to "lines"
 */
#ifndef TALLY_STATE_H
#define TALLY_STATE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "follow.h"

#define TALLY_KEY_MAX 255 /* longer keys are cut */

struct tally {
	unsigned field; /* 1 is the first */
	struct place place;
	uint64_t lines;
	uint64_t gaps;
	uint64_t keys;
	void *counts; /* a tree of tsearch(3) */
};

/* A zeroed tally is empty. */
void tally_clear(struct tally *t);

/*
 * Counts one line under its field, which blanks and tabs (and NUL bytes) set off; "" if the line
 * has fewer. -1: out of memory.
 */
int tally_count(struct tally *t, const char *line, size_t len);

/* Write errors show in ferror(). tally_show(): "COUNT KEY" for each key alone. */
void tally_write(const struct tally *t, FILE *stream);
void tally_show(const struct tally *t, FILE *stream);

/*
 * Fills an empty tally from what tally_write() wrote. Returns NULL, or what is wrong, for people;
 * *t is empty again then.
 */
const char *tally_read(struct tally *t, const char *data, size_t len);

#endif
