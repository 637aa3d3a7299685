/*
 * history.h - <work_dir>/history, the last hand-overs of this machine, what `graceful history`
 * shows.
 *
 * One JSON object a line, the newest last:
 *
 *   {"way":"took" or "gave","job","instance","epoch","size","clean","peer","stamps":{...}}
 *
 * The master appends each line with one write. When the file has grown to HISTORY_MAX it becomes
 * "history.old" and a new one begins, so that both together hold thousands of hand-overs and never
 * more than twice that size. A line that a crash cut in two is skipped by readers.
 */
#ifndef ROLE_HISTORY_H
#define ROLE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "state/handover.h"

#define HISTORY_MAX (1u << 20)
#define HISTORY_LINE_MAX 4096 /* a longer one is none of ours */

struct history_line {
	bool took; /* else it gave the job up */
	char job[JOB_NAME_MAX + 1];
	char instance[CONF_INSTANCE_MAX + 1];
	struct handover handover;
};

/* Failing harms nobody but the onlookers. */
int history_add(const char *work_dir, const struct history_line *line, struct err *e);

/*
 * Calls each() for every line of both files, the oldest first. What is no such line is skipped, and
 * counted in *bad. No file at all is no error.
 */
int history_read(const char *work_dir, void (*each)(const struct history_line *line, void *ctx),
    void *ctx, size_t *bad, struct err *e);

/* One line without its newline; NULL when out of memory. json: the object that a line holds. */
json_t *history_encode(const struct history_line *line);
bool history_decode(const char *text, size_t len, struct history_line *line);

#endif
