/*
 * http_lines.h - what has come of an answer: its bytes, and the lines among them that are complete.
 * Bounded. Knows neither libcurl nor the event loop.
 *
 * Bytes come by http_lines_add(), any number at a time, and are handed out in order: line by line,
 * or, of an answer that is not told by lines, all at once by http_lines_rest().
 */
#ifndef NET_HTTP_LINES_H
#define NET_HTTP_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* All zero but `max`: nothing has come. */
struct http_lines {
	size_t max; /* bytes of a line, or of an answer without lines */
	char *data; /* NUL-terminated when there is any */
	/* The lines before `told` were handed out, those before `whole` are complete. */
	size_t len, room, told, whole;
};

/*
 * Takes over n bytes; by_line: looks for lines in them. Invalidates what was handed out. NULL, or
 * why the answer has to be given up; lines that were complete before that can still be handed out.
 */
const char *http_lines_add(struct http_lines *l, const char *bytes, size_t n, bool by_line);
/* Nothing more comes: what there is of the last line counts as one. */
void http_lines_end(struct http_lines *l);

/* Whether there is a complete line. */
bool http_lines_any(const struct http_lines *l);
/* Hands out the next one, NUL-terminated and without its newline; NULL: there is none. */
const char *http_lines_next(struct http_lines *l, size_t *len);
/* What has not been handed out, NUL-terminated; stays there. */
const char *http_lines_rest(const struct http_lines *l, size_t *len);

/* What was handed out is not needed any more: gives memory back when there is nothing else. */
void http_lines_trim(struct http_lines *l);
void http_lines_free(struct http_lines *l);

#endif
