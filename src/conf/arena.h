/*
 * arena.h - memory that is freed all at once.
 *
 * A configuration is read again at every reload of a master that runs for months, and most ways
 * through the reader end in an error. So nothing in this layer is freed piece by piece: what
 * belongs together comes from one arena and goes with it. A failed allocation is remembered, so
 * callers may go on and ask once at the end.
 */
#ifndef CONF_ARENA_H
#define CONF_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

/* All zero is an empty arena. */
struct arena {
	struct arena_block *blocks;
	bool failed; /* an allocation failed: what was built is incomplete */
};

/* Where this layer gets its memory: malloc, or a test that lets the Nth call fail. */
extern void *(*arena_malloc)(size_t size);

/* Zeroed memory for n items; NULL, and a->failed, when there is none. */
void *arena_alloc(struct arena *a, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *text);
char *arena_strndup(struct arena *a, const char *text, size_t len);
/*
 * Room for one more item in an array of n with *room places, which is moved when it is full.
 * Returns the array, or NULL: the old one stays as it is.
 */
void *arena_grow(struct arena *a, void *items, size_t n, size_t *room, size_t size);
void arena_free(struct arena *a);

#endif
