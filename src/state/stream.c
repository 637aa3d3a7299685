#include "state/stream.h"

#include <errno.h>
#include <sha256.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"

#define CHUNK (256u << 10)

/* Of the one copy that a worker makes at a time, on a thread; its loop looks on. */
static struct {
	_Atomic uint64_t done, total;
} under_way;

_Static_assert(RECORD_SHA_LEN + 1 == SHA256_DIGEST_STRING_LENGTH, "SHA256End() fills a record's");

/* Up to max bytes at offset: less than max only at the end of the file. */
static ssize_t read_full(
    const struct stream_end *from, unsigned char *buf, size_t max, off_t offset, struct err *e)
{
	size_t got = 0;
	ssize_t n;

	while (got < max) {
		n = pread(from->fd, buf + got, max - got, offset + (off_t)got);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return err_sys(e, "cannot read %s", from->name);
		if (n > 0)
			got += (size_t)n;
	}
	return (ssize_t)got;
}

/* Reads exactly max bytes, of the size that the whole should have. */
static int read_exact(const struct stream_end *from, unsigned char *buf, size_t max, uint64_t done,
    uint64_t size, struct err *e)
{
	ssize_t n = read_full(from, buf, max, (off_t)done, e);

	if (n < 0)
		return -1;
	if ((size_t)n < max)
		return err_set(e, "%s ends after %ju of %ju bytes", from->name,
		    (uintmax_t)(done + (uint64_t)n), (uintmax_t)size);
	return 0;
}

static int expect_end(const struct stream_end *from, uint64_t size, struct err *e)
{
	unsigned char extra;
	ssize_t n = read_full(from, &extra, 1, (off_t)size, e);

	if (n < 0)
		return -1;
	if (n > 0)
		return err_set(e, "%s goes on after its %ju bytes", from->name, (uintmax_t)size);
	return 0;
}

static int copy_chunks(const struct stream_end *from, const struct stream_end *to, uint64_t size,
    unsigned char *buf, SHA256_CTX *sha, struct err *e)
{
	uint64_t done = 0;

	while (done < size) {
		size_t want = size - done < CHUNK ? (size_t)(size - done) : CHUNK;

		if (read_exact(from, buf, want, done, size, e) < 0)
			return -1;
		SHA256Update(sha, buf, want);
		if (fs_write_all(to->fd, buf, want, e) < 0)
			return err_add(e, "cannot write %s", to->name);
		done += want;
		under_way.done = done;
		FAULT("in_copy");
	}
	return expect_end(from, size, e);
}

int stream_copy(const struct stream_end *from, const struct stream_end *to, uint64_t size,
    char sha256[RECORD_SHA_LEN + 1], struct err *e)
{
	unsigned char *buf;
	SHA256_CTX sha;
	int rc;

	if (lseek(to->fd, 0, SEEK_SET) < 0)
		return err_sys(e, "cannot write %s from its start", to->name);
	buf = malloc(CHUNK);
	if (buf == NULL)
		return err_sys(e, "cannot copy %s", from->name);
	SHA256Init(&sha);
	under_way.done = 0;
	under_way.total = size;
	rc = copy_chunks(from, to, size, buf, &sha, e);
	under_way.total = 0;
	free(buf);
	if (rc == 0)
		SHA256End(&sha, sha256);
	return rc;
}

struct stream_progress stream_progress(void)
{
	struct stream_progress p = { under_way.done, under_way.total };

	if (p.done > p.total)
		p.done = p.total; /* seen between two copies */
	return p;
}

int stream_read(const struct stream_end *from, void *data, size_t size,
    char sha256[RECORD_SHA_LEN + 1], struct err *e)
{
	if (read_exact(from, data, size, 0, size, e) < 0 || expect_end(from, size, e) < 0)
		return -1;
	stream_sha256(data, size, sha256);
	return 0;
}

void stream_sha256(const void *data, size_t size, char sha256[RECORD_SHA_LEN + 1])
{
	SHA256_CTX sha;

	SHA256Init(&sha);
	SHA256Update(&sha, data, size);
	SHA256End(&sha, sha256);
}
