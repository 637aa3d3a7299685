/*
 * coord_test.h - for the tests of both coordinators: records with an inline state that says its own
 * number. Include it behind cmocka.h.
 */
#ifndef T_UNIT_COORD_TEST_H
#define T_UNIT_COORD_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "state/record.h"

static inline void make_record(struct record *r, uint64_t epoch, uint64_t seq, const char *instance)
{
	char data[32];

	memset(r, 0, sizeof(*r));
	snprintf(data, sizeof(data), "state %ju", (uintmax_t)seq);
	r->epoch = epoch;
	r->seq = seq;
	r->size = strlen(data);
	memset(r->sha256, 'a', RECORD_SHA_LEN);
	snprintf(r->instance, sizeof(r->instance), "%s", instance);
	clock_stamp(r->time);
	r->data = (unsigned char *)strdup(data);
	assert_non_null(r->data);
}

static inline bool record_is_whole(const struct record *r)
{
	char data[32];

	snprintf(data, sizeof(data), "state %ju", (uintmax_t)r->seq);
	return r->size == strlen(data) && memcmp(r->data, data, r->size) == 0;
}

#endif
