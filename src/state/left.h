/*
 * left.h - the note about a state that a job left on this machine and that could not be committed
 * any more, because the lock was lost.
 *
 * The state stays where it is, in the job's directory. If the lock is regained before anybody else
 * owned the job, it is newer than the record, and the job goes on from it. The note says under
 * which epoch it was made, and of which file it speaks. After a restart of the machine nobody goes
 * on from it, as nothing in the job's directory is synced. Calls block.
 */
#ifndef STATE_LEFT_H
#define STATE_LEFT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "state/transfer.h"

#define LEFT_REALM_MAX (2 * PATH_MAX)

struct left {
	uint64_t epoch; /* of the last owner that may have written it; 0: the machine was
			   restarted since */
	/* Of an owner that set out to go on from it, and may not have got as far as to be known; 0:
	 * none. */
	uint64_t taken;
	/* Where that epoch was given out: the same number elsewhere is another owner. */
	char realm[LEFT_REALM_MAX + 1];
	bool clean; /* dumped at a stop */
	struct state_id id;
};

/* boot: the name of this run of the machine. */
int left_write(const char *path, const struct left *left, const char *boot, struct err *e);
/* 1: it is there; 0: there is none, or none that makes sense; -1: nobody knows, as it cannot be
 * read. */
int left_read(const char *path, const char *boot, struct left *left, struct err *e);
void left_remove(const char *path);

#endif
