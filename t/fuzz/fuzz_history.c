/*
 * A line of the history file, which anybody may have edited: skipped, or taken, and then the same
 * again after a way back and forth, with nothing in it that could do things to a terminal.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "role/history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
	if (!good)
		abort();
}

static void check_fields(const struct history_line *l)
{
	require(conf_job_name_ok(l->job) && conf_job_name_ok(l->instance));
	require(l->handover.peer[0] == '\0' || conf_job_name_ok(l->handover.peer));
	require(l->handover.epoch > 0 && l->handover.epoch <= INT64_MAX);
	require(l->handover.size <= INT64_MAX);
}

/* Whatever stamps it has, a difference of two can be told. */
static void check_stamps(const struct stamps *s)
{
	int64_t usec;

	for (enum stamp i = 0; i < STAMPS_N; i++) {
		require(s->at[i] >= 0);
		if (stamps_phase(s, i, &usec))
			require(usec > INT64_MIN / 2 && usec < INT64_MAX / 2);
	}
	stamps_total(s, &usec);
}

static char *encode(const struct history_line *l)
{
	json_t *o = history_encode(l);
	char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	require(text != NULL && strlen(text) < HISTORY_LINE_MAX && strchr(text, '\n') == NULL);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct history_line line, again;
	char *first, *second;

	if (!history_decode((const char *)data, size, &line))
		return 0;
	check_fields(&line);
	check_stamps(&line.handover.stamps);
	first = encode(&line);
	require(history_decode(first, strlen(first), &again));
	second = encode(&again);
	require(strcmp(first, second) == 0);
	free(first);
	free(second);
	return 0;
}
