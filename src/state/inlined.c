#define ZLIB_CONST /* it does not write to its input */
#include "state/inlined.h"

#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Of fewer bytes the fields around them are the larger part. */
#define PACK_MIN 256
/* zlib's quickest way, with little memory: some 30 KiB, which a worker touches for the first time
 * when somebody waits. */
#define PACK_WINDOW_BITS 12
#define PACK_MEMORY 5

size_t inlined_room(uint64_t size)
{
	return ((size_t)size + 2) / 3 * 4;
}

static char *to_text(const unsigned char *bytes, size_t size)
{
	size_t room = inlined_room(size) + 1;
	char *text = malloc(room);

	if (text != NULL && b64_ntop(bytes, size, text, room) >= 0)
		return text;
	free(text);
	return NULL;
}

/* Returns the length of the zlib form in out; 0: it is not shorter, or there is no memory. */
static size_t pack(const unsigned char *bytes, size_t size, unsigned char *out)
{
	z_stream z = { .next_in = bytes, .avail_in = (uInt)size, .next_out = out };
	size_t len;

	/* No room for one that is as long. */
	z.avail_out = (uInt)size - 1;
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, PACK_WINDOW_BITS, PACK_MEMORY,
		Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	len = deflate(&z, Z_FINISH) == Z_STREAM_END ? (size_t)z.total_out : 0;
	deflateEnd(&z);
	return len;
}

char *inlined_encode(const unsigned char *bytes, size_t size, bool *packed)
{
	unsigned char *form = size >= PACK_MIN && size <= INLINED_MAX ? malloc(size) : NULL;
	size_t len = form != NULL ? pack(bytes, size, form) : 0;
	char *text;

	*packed = len > 0;
	text = *packed ? to_text(form, len) : to_text(bytes, size);
	free(form);
	return text;
}

/* One byte more than it can hold: b64_pton() looks at the byte behind the last one. */
static unsigned char *from_text(const char *text, size_t *size, struct err *e)
{
	size_t room = strlen(text) / 4 * 3 + 1;
	unsigned char *bytes = malloc(room);
	int len;

	if (bytes == NULL) {
		err_set(e, "out of memory");
		return NULL;
	}
	len = b64_pton(text, bytes, room);
	if (len >= 0) {
		*size = (size_t)len;
		return bytes;
	}
	free(bytes);
	err_set(e, "it is not base64");
	return NULL;
}

static int unpack(
    const unsigned char *form, size_t len, unsigned char *out, uint64_t size, struct err *e)
{
	uLongf got = (uLongf)size;
	uLong used = (uLong)len;
	int rc = uncompress2(out, &got, form, &used);

	if (rc == Z_MEM_ERROR)
		return err_set(e, "out of memory");
	if (rc == Z_OK && got == size && used == len)
		return 0;
	return err_set(
	    e, "it is not the zlib form of the %ju bytes that \"size\" says", (uintmax_t)size);
}

static unsigned char *unpack_new(
    const unsigned char *form, size_t len, uint64_t size, struct err *e)
{
	unsigned char *bytes;

	if (size > INLINED_MAX) {
		err_set(
		    e, "\"size\" says %ju bytes, the limit is %u", (uintmax_t)size, INLINED_MAX);
		return NULL;
	}
	bytes = malloc(size + 1);
	if (bytes == NULL)
		err_set(e, "out of memory");
	else if (unpack(form, len, bytes, size, e) == 0)
		return bytes;
	free(bytes);
	return NULL;
}

unsigned char *inlined_decode(const char *text, bool packed, uint64_t size, struct err *e)
{
	size_t len = 0;
	unsigned char *bytes = from_text(text, &len, e);
	unsigned char *form = bytes;

	if (bytes != NULL && packed) {
		bytes = unpack_new(form, len, size, e);
		free(form);
	} else if (bytes != NULL && len != size) {
		err_set(e, "it holds %zu bytes, \"size\" says %ju", len, (uintmax_t)size);
		free(bytes);
		return NULL;
	}
	return bytes;
}
