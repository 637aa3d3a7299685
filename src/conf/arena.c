#include "conf/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* One malloc for each piece, so that a sanitizer sees every overrun. */
struct arena_block {
	struct arena_block *next;
	_Alignas(max_align_t) unsigned char data[];
};

void *(*arena_malloc)(size_t size) = malloc;

void *arena_alloc(struct arena *a, size_t n, size_t size)
{
	struct arena_block *b = NULL;
	size_t bytes;

	if (!__builtin_mul_overflow(n, size, &bytes) && bytes < SIZE_MAX - sizeof(*b))
		b = arena_malloc(sizeof(*b) + bytes);
	if (b == NULL) {
		a->failed = true;
		return NULL;
	}
	memset(b->data, 0, bytes);
	b->next = a->blocks;
	a->blocks = b;
	return b->data;
}

char *arena_strndup(struct arena *a, const char *text, size_t len)
{
	char *copy = arena_alloc(a, len + 1, 1);

	if (copy != NULL)
		memcpy(copy, text, len);
	return copy;
}

char *arena_strdup(struct arena *a, const char *text)
{
	return arena_strndup(a, text, strlen(text));
}

void *arena_grow(struct arena *a, void *items, size_t n, size_t *room, size_t size)
{
	size_t more = *room == 0 ? 4 : *room * 2;
	void *grown;

	if (n < *room)
		return items;
	grown = arena_alloc(a, more, size);
	if (grown == NULL)
		return NULL;
	if (n > 0)
		memcpy(grown, items, n * size);
	*room = more;
	return grown;
}

void arena_free(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
}
