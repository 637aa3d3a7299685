/*
 * inlined.h - a state's bytes as a text inside its record: base64, of their zlib form where that is
 * shorter.
 *
 * What travels in a record is written as JSON and as base64 several times over on its way to the
 * next owner, by etcd as well: of a state of 4 KiB that compresses well that was a fifth of the
 * hand-over.
 */
#ifndef STATE_INLINED_H
#define STATE_INLINED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* More bytes than this are not taken out of a record: a few may claim to be very many. */
#define INLINED_MAX (8u << 20)

/* How long the text gets at most. */
size_t inlined_room(uint64_t size);

/*
 * The text, NUL-terminated, freed by the caller, and whether it is of the zlib form; NULL: out of
 * memory. The same bytes give the same text.
 */
char *inlined_encode(const unsigned char *bytes, size_t size, bool *packed);

/*
 * The bytes, freed by the caller. NULL when out of memory, or when the text is not what it is said
 * to be or does not hold exactly size bytes.
 */
unsigned char *inlined_decode(const char *text, bool packed, uint64_t size, struct err *e);

#endif
