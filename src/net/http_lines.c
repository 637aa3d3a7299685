#include "net/http_lines.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 1024
#define ROOM_KEPT 4096 /* a larger buffer is given back when it is empty */

static int reserve(struct http_lines *l, size_t more)
{
	size_t room = l->room > 0 ? l->room : ROOM_MIN;
	char *data;

	while (room < l->len + more + 1)
		room *= 2;
	if (room == l->room)
		return 0;
	data = realloc(l->data, room);
	if (data == NULL)
		return -1;
	l->data = data;
	l->room = room;
	return 0;
}

/* Moves what was not told yet to the front. */
static void drop_told(struct http_lines *l)
{
	if (l->told == 0)
		return;
	l->len -= l->told;
	l->whole -= l->told;
	memmove(l->data, l->data + l->told, l->len);
	l->told = 0;
}

/* Looks at what came from `from` on; false: a line is too long. */
static bool note_lines(struct http_lines *l, size_t from)
{
	const char *end;

	while ((end = memchr(l->data + from, '\n', l->len - from)) != NULL) {
		from = (size_t)(end - l->data) + 1;
		if (from - 1 - l->whole > l->max)
			return false;
		l->whole = from;
	}
	return true;
}

const char *http_lines_add(struct http_lines *l, const char *bytes, size_t n, bool by_line)
{
	size_t from;

	drop_told(l);
	if (reserve(l, n) < 0)
		return "out of memory";
	from = l->len;
	memcpy(l->data + from, bytes, n);
	l->len += n;
	l->data[l->len] = '\0';
	if ((by_line && !note_lines(l, from)) || l->len - l->whole > l->max)
		return "the answer is too long";
	return NULL;
}

void http_lines_end(struct http_lines *l)
{
	l->whole = l->len;
}

bool http_lines_any(const struct http_lines *l)
{
	return l->told < l->whole;
}

const char *http_lines_next(struct http_lines *l, size_t *len)
{
	char *text, *end;
	size_t room;

	if (!http_lines_any(l))
		return NULL;
	text = l->data + l->told;
	room = l->whole - l->told;
	end = memchr(text, '\n', room);
	if (end == NULL)
		end = text + room; /* the last one, without a newline */
	*len = (size_t)(end - text);
	l->told += *len + (end < text + room);
	*end = '\0';
	return text;
}

const char *http_lines_rest(const struct http_lines *l, size_t *len)
{
	*len = l->len - l->told;
	return *len > 0 ? l->data + l->told : "";
}

void http_lines_trim(struct http_lines *l)
{
	if (l->told < l->len)
		return;
	l->len = l->told = l->whole = 0;
	if (l->room > ROOM_KEPT) {
		free(l->data);
		l->data = NULL;
		l->room = 0;
	}
}

void http_lines_free(struct http_lines *l)
{
	free(l->data);
}
