/*
 * lines.h - a job's output, cut into lines. Pure.
 *
 * Bytes come in as the pipe delivers them; emit() gets whole lines without the newline. A line
 * longer than LINES_MAX is cut there and goes on as the next one: nothing is dropped.
 */
#ifndef JOB_LINES_H
#define JOB_LINES_H

#include <stddef.h>

#define LINES_MAX 2048

struct lines {
	size_t len;
	char text[LINES_MAX];
};

typedef void lines_emit(void *ctx, const char *line, size_t len);

void lines_feed(struct lines *l, const char *data, size_t len, lines_emit *emit, void *ctx);
/* Emits a last line that had no newline. */
void lines_flush(struct lines *l, lines_emit *emit, void *ctx);

#endif
