/*
 * bulk.h - JSON with long strings in it, such as the base64 of a state.
 *
 * jansson looks at every byte of a string several times, one by one: a state of 4 KiB on its way
 * from one owner to the next cost half a millisecond of that, four times what all the rest of its
 * JSON did. Here a long string that needs no escaping is copied as a whole, and jansson sees the
 * rest. The results are the same: t/unit/test_bulk.c compares them.
 */
#ifndef BASE_BULK_H
#define BASE_BULK_H

#include <jansson.h>

/* As json_loadb(). */
json_t *bulk_load(const char *text, size_t len, size_t flags, json_error_t *where);

/* As json_dumps() with JSON_COMPACT. */
char *bulk_dump(json_t *json);

#endif
