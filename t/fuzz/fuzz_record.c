/*
 * Any text at all as a state record. What is accepted must be written again and read back the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "state/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct record *a, const struct record *b)
{
	assert(a->epoch == b->epoch && a->seq == b->seq && a->size == b->size);
	assert(a->clean == b->clean && a->done == b->done && a->empty == b->empty);
	assert(strcmp(a->sha256, b->sha256) == 0);
	assert(strcmp(a->instance, b->instance) == 0 && strcmp(a->time, b->time) == 0);
	assert((a->url == NULL) == (b->url == NULL) && (a->data == NULL) == (b->data == NULL));
	assert(a->url == NULL || strcmp(a->url, b->url) == 0);
	assert(a->data == NULL || memcmp(a->data, b->data, (size_t)a->size) == 0);
}

static void check_accepted(const struct record *r)
{
	struct record copy, back;
	struct err err;
	char *text;

	assert(r->empty == (r->url == NULL && r->data == NULL));
	assert(!r->empty || r->size == 0);
	assert(record_copy(&copy, r, &err) == 0);
	text = record_encode(&copy, &err);
	assert(text != NULL);
	assert(record_decode(text, strlen(text), &back, &err) == 0);
	check_same(r, &back);
	record_clear(&back);
	record_clear(&copy);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct record cleared;
	struct err err = { 0 };
	struct record r;

	if (record_decode((const char *)data, size, &r, &err) == 0) {
		check_accepted(&r);
	} else {
		assert(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
		assert(memcmp(&r, &cleared, sizeof(r)) == 0);
	}
	record_clear(&r);
	return 0;
}
