/*
 * stream.h - bytes on their way between a descriptor and another, or memory: counted and hashed.
 *
 * Whatever is read here may be written to by somebody else at the same time, so nothing believes a
 * size from stat(): only the bytes that were read count, and never more than size + 1 are.
 */
#ifndef STATE_STREAM_H
#define STATE_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "state/record.h"

struct stream_end {
	int fd;
	const char *name; /* for errors: a path or a URL */
};

/*
 * Copies from, from its start, to to, from its start, and tells the SHA-256 of the bytes in
 * lower-case hex. A from that is shorter or longer than size is a failure. Neither is synced.
 */
int stream_copy(const struct stream_end *from, const struct stream_end *to, uint64_t size,
    char sha256[RECORD_SHA_LEN + 1], struct err *e);

/*
 * How far the copy of this process is that is under way, for onlookers; total 0: none is. Of two at
 * a time the one that began last is told of. Any thread.
 */
struct stream_progress {
	uint64_t done, total;
};

struct stream_progress stream_progress(void);

/* The same into memory: data holds size bytes. */
int stream_read(const struct stream_end *from, void *data, size_t size,
    char sha256[RECORD_SHA_LEN + 1], struct err *e);

void stream_sha256(const void *data, size_t size, char sha256[RECORD_SHA_LEN + 1]);

#endif
