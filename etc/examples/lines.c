#include "lines.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static ssize_t read_at(int fd, char *buf, size_t len, uint64_t offset)
{
	ssize_t n;

	do
		n = pread(fd, buf, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n;
}

int lines_start(struct lines *l, int fd, uint64_t offset)
{
	size_t tail = offset < LINES_TAIL ? (size_t)offset : LINES_TAIL;
	ssize_t n = read_at(fd, l->buf, tail, offset - tail);

	if (n < 0)
		return -1;
	l->fd = fd;
	l->offset = offset;
	/* A file that is shorter has no tail at offset. */
	l->start = l->scan = l->end = (size_t)n == tail ? tail : 0;
	l->solid = 0;
	l->dropped = 0;
	return 0;
}

size_t lines_tail(const struct lines *l, const char **tail)
{
	size_t len = l->start - l->solid;

	if (len > LINES_TAIL)
		len = LINES_TAIL;
	*tail = l->buf + l->start - len;
	return len;
}

/* Moves what is still needed to the front; a line that fills the buffer loses its middle. */
static void make_room(struct lines *l)
{
	const char *tail;
	size_t len = lines_tail(l, &tail);
	size_t shift = l->start - len;

	if (shift == 0) {
		l->dropped += l->end - (l->start + LINES_HEAD);
		l->scan = l->end = l->start + LINES_HEAD;
		return;
	}
	memmove(l->buf, l->buf + shift, l->end - shift);
	l->solid = 0;
	l->start -= shift;
	l->scan -= shift;
	l->end -= shift;
}

static void forget_incomplete(struct lines *l)
{
	l->scan = l->end = l->start;
	l->dropped = 0;
}

static void take(struct lines *l, const char *newline, const char **text, size_t *len)
{
	size_t next = (size_t)(newline - l->buf) + 1;

	*text = l->buf + l->start;
	*len = next - 1 - l->start;
	if (*len > LINES_HEAD)
		*len = LINES_HEAD;
	l->offset += next - l->start + l->dropped;
	if (l->dropped > 0)
		l->solid = l->start + LINES_HEAD;
	l->start = l->scan = next;
	l->dropped = 0;
}

int lines_take(struct lines *l, const char **text, size_t *len)
{
	const char *newline = memchr(l->buf + l->scan, '\n', l->end - l->scan);

	if (newline == NULL) {
		l->scan = l->end;
		return 0;
	}
	take(l, newline, text, len);
	return 1;
}

int lines_next(struct lines *l, const char **text, size_t *len)
{
	ssize_t n;

	while (lines_take(l, text, len) == 0) {
		if (l->end == sizeof(l->buf))
			make_room(l);
		n = read_at(l->fd, l->buf + l->end, sizeof(l->buf) - l->end,
		    l->offset + (l->end - l->start) + l->dropped);
		if (n <= 0) {
			forget_incomplete(l);
			return n < 0 ? -1 : 0;
		}
		l->end += (size_t)n;
	}
	return 1;
}
