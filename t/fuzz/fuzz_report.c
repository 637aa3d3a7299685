/*
 * What may come through a worker's pipe: refused with one line that says why, or taken, and then
 * the same again after a way back and forth.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "role/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
	if (!good)
		abort();
}

static void check_fields(const struct report *r)
{
	require(r->state[0] != '\0' && memchr(r->state, '\0', sizeof(r->state)) != NULL);
	require(memchr(r->status, '\0', sizeof(r->status)) != NULL);
	require(r->job_pid >= 0 && r->lease_ms >= -1 && r->saved >= 0 && r->since >= 0);
	require(r->epoch <= INT64_MAX && r->seq <= INT64_MAX && r->size <= INT64_MAX);
}

/* However it was written, and however long its texts: it fits one write, as the same bytes. */
static void check_way_back(const struct report *r)
{
	char first[REPORT_MAX], second[REPORT_MAX];
	struct report again;
	int len = report_encode(r, first, NULL);

	require(len > 1 && len <= REPORT_MAX && first[len - 1] == '\n');
	require(memchr(first, '\n', (size_t)len) == first + len - 1);
	require(report_decode(first, (size_t)len - 1, &again, NULL) == 0);
	require(report_encode(&again, second, NULL) == len);
	require(memcmp(first, second, (size_t)len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report r;
	struct err e = { 0 };

	if (report_decode((const char *)data, size, &r, &e) != 0) {
		require(e.text[0] != '\0' && strchr(e.text, '\n') == NULL);
		return 0;
	}
	check_fields(&r);
	check_way_back(&r);
	return 0;
}
