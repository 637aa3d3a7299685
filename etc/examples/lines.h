/*
 * lines.h - the complete lines of a file that grows, and the place up to which they were read.
 *
 * A line counts as read when lines_next() has returned it, never before its newline is there. The
 * last bytes before that place, the tail, tell later whether a file is still the one they were
 * read from: inode numbers are used again, and a truncated file may have grown past the place.
 */
#ifndef LINES_H
#define LINES_H

#include <stddef.h>
#include <stdint.h>

#define LINES_HEAD 4096 /* of a longer line only this much is returned */
#define LINES_TAIL 256
#define LINES_BUFFER 65536

struct lines {
	int fd;          /* the caller's */
	uint64_t offset; /* of the first byte that was not read yet */
	/*
	 * buf: [solid, start) is what stands in the file right before offset, [start, end) what
	 * follows it, less `dropped` bytes from the middle of a line that fills the buffer.
	 * [start, scan) holds no newline.
	 */
	size_t solid, start, scan, end;
	uint64_t dropped;
	char buf[LINES_BUFFER];
};

/* Takes up reading at offset. -1 and errno if the tail there cannot be read. */
int lines_start(struct lines *l, int fd, uint64_t offset);

/*
 * 1: the next line, without its newline; text stays valid until the next call. 0: no further
 * complete line now. An incomplete one is read again from its start next time, so that no line is
 * ever made up of two files. -1 and errno: read error.
 */
int lines_next(struct lines *l, const char **text, size_t *len);

/* The same, of what was read already: 0 where lines_next() would have to read. */
int lines_take(struct lines *l, const char **text, size_t *len);

/* The tail: at most LINES_TAIL bytes, less only at the start of a file or after a huge line. */
size_t lines_tail(const struct lines *l, const char **tail);

#endif
