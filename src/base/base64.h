/*
 * base64.h - decoding base64, ten times as fast as b64_pton(), which searches its alphabet for
 * each byte. (b64_ntop(), for the other way, is fast.)
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* Bytes that a text of that length may hold, at most. */
#define BASE64_ROOM(len) ((len) / 4 * 3)

/*
 * Strict, as RFC 4648 wants it: whole groups of four, padded, nothing but the alphabet, and no bits
 * left over. data has room for BASE64_ROOM(len). Returns the number of bytes, or -1.
 */
ssize_t base64_decode(const char *text, size_t len, unsigned char *data);

#endif
