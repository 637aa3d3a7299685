/*
 * transfer.h - a state on its way: from the job's file to a record (backup) and from a record to
 * the job's file (restore).
 *
 * The job's directory belongs to the job's user, who is not trusted: nothing here follows a link,
 * opens a FIFO or a device, reads a file that another user owns or that has a second name, or
 * writes through a name that the job planted. All calls block: run them on a task thread.
 *
 * Layout: <dir>/state is the file that GRACEFUL_STATE names.
 */
#ifndef STATE_TRANSFER_H
#define STATE_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"
#include "state/record.h"
#include "state/store.h"

#define STATE_FILE "state"

/*
 * Which file was backed up: as a job replaces its file by rename, the same id means the same bytes,
 * unless it was taken of a young file. A file system's clock may stand still for some milliseconds,
 * and the number of a file that was removed is given out again: what replaces a file in that time
 * may look like it.
 */
struct state_id {
	dev_t dev;
	ino_t ino;
	int64_t size;
	struct timespec mtime;
	struct timespec ctime;
	bool young; /* when it was taken */
};

#define STATE_YOUNG_MS 20 /* most clocks move on each 10 ms, or more often */

bool state_id_equal(const struct state_id *a, const struct state_id *b);
/* Whether the file of which `seen` is the id has the bytes of the one of which `known` is. */
bool state_id_proves(const struct state_id *known, const struct state_id *seen);

/*
 * Makes <dir> for the job: 0700 and owned by uid:gid (pass -1 to keep the caller's). Missing
 * parents are made, 0711 the last. Refuses a <dir> that is a link.
 */
int transfer_prepare(const char *dir, uid_t uid, gid_t gid, struct err *e);

/*
 * The id of the state file as it stands. 1: there is one; 0: there is none; -1: there is something
 * that is no state file, or it cannot be told. owner as in struct backup.
 */
int transfer_peek(const char *dir, uid_t owner, struct state_id *id, struct err *e);

struct backup {
	const char *dir;
	uid_t owner; /* who must own the file; -1: the caller. Root's pass, if all may read them */
	uint64_t max_size;
	uint64_t inline_max;
	struct store *store; /* NULL: a state over inline_max is an error that says what to set */
	const char *job;
};

/*
 * Reads the state file and puts its bytes into the record or the store. In: r->epoch, seq, clean,
 * done, instance; url and data are NULL. Out: all else in r, and *id. Returns 1 if done, 0 if there
 * is no state file, -1 if it failed: too large, no regular file, changed while it was read, store
 * unreachable, disk full. After 0 and -1 r is untouched and nothing is left in the store. After 1
 * the blob is the caller's to delete if it will not be committed.
 */
int transfer_backup(const struct backup *b, struct record *r, struct state_id *id, struct err *e);

/*
 * Puts the state that r names into <dir>/state, owned by uid:gid, mode 0600: written under another
 * name, checked against length and hash, then renamed. What stands in the way, a directory say, is
 * moved aside to a name beginning REJECTED_PREFIX. With r NULL or empty: removes the state file, so
 * that the job starts from nothing. *id (may be NULL) is the id of the file that it placed, zeroed
 * if it placed none. Nothing is synced, as the state is safe where it came from: after a power cut
 * it is restored again, and until then the syncs would only lengthen the gap of a hand-over.
 */
int transfer_restore(const char *dir, uid_t uid, gid_t gid, struct store *store,
    const struct record *r, struct state_id *id, struct err *e);

/* What was moved out of the way of a state, by restore or by transfer_reject(). */
#define REJECTED_PREFIX "rejected-"
#define REJECTED_KEPT 3
#define REJECTED_MAX 32

/* Moves the state file aside, to the name that is told; it is not there any more, or that failed.
 */
int transfer_reject(const char *dir, char name[REJECTED_MAX], struct err *e);

/* Removes what was moved aside, but for the newest REJECTED_KEPT. owner: of the job; not -1. */
int transfer_tidy(const char *dir, uid_t owner, struct err *e);

#endif
