/*
 * local_dir.h - the directory in which the local coordinator keeps one job.
 *
 *   <coordinator.path><namespace>/jobs/<job>/   0700
 *     lock    the queue (coord/places.h); its content is nothing
 *     epoch   the last number that was given out, decimal; it only rises
 *     state   the state record (state/record.h)
 *     holder  who owns the job: for people a hint, and for the next owner the note that leads to
 *             the job's processes if worker and master die together (coord/leftover.h)
 *     owner   the epoch of the last owner, decimal, also of one that has committed nothing
 *     waiting-<place>  who waits there, for people (coord/local_waiters.h)
 *
 * All calls block: they run in the master before it forks, on a task thread, or, of what is small
 * and not synced, in the loop at the grant.
 */
#ifndef COORD_LOCAL_DIR_H
#define COORD_LOCAL_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"
#include "coord/holder.h"
#include "coord/leftover.h"
#include "state/record.h"

struct local_dir {
	char *path;
	char *lock;
	char *epoch;
	char *state;
	char *holder;
	char *owner;
};

int local_dir_init(
    struct local_dir *d, const struct conf *conf, const struct job_conf *job, struct err *e);
void local_dir_clear(struct local_dir *d);

/* Makes what is missing and opens the lock file, close-on-exec; -1 says what to do about it. */
int local_dir_create(const struct local_dir *d, struct err *e);
/* Opens the lock file once more, for a description of its own. */
int local_dir_open_lock(const struct local_dir *d, struct err *e);
/* Whether fd still is the lock file that others find under its name: 1 or 0; -1: it cannot be told
 * now. */
int local_dir_is_lock(const struct local_dir *d, int fd, struct err *e);

/* The last number given out, 0 if there was none. */
int local_dir_epoch(const struct local_dir *d, uint64_t *epoch, struct err *e);
int local_dir_set_epoch(const struct local_dir *d, uint64_t epoch, struct err *e);

/*
 * The last committed record, for the caller to clear: 1, or 0 if there never was one. -1 with
 * e->code set: it cannot be read now. -1 with e->code 0: what is there is no record.
 */
int local_dir_record(const struct local_dir *d, struct record *r, struct err *e);
enum local_write {
	LOCAL_OLD, /* nothing changed */
	/* It is what everybody reads, but after a power cut that may be the old one; or whether
	 * anything has changed cannot be seen. */
	LOCAL_UNSURE,
	LOCAL_LASTING /* it is what everybody reads from now on */
};
/* Replaces the record. Anything but LOCAL_LASTING fills e. */
enum local_write local_dir_set_record(
    const struct local_dir *d, const struct record *r, struct err *e);

struct local_note {
	const char *instance;
	uint64_t epoch;
	const char *state; /* GRACEFUL_STATE of the job */
	pid_t job;         /* its main process, 0: none runs yet */
	uid_t uid;         /* leftover_uid() of it */
};

/* Leaves, or takes away, a note about the owner, this process. After a failure there is none, or
 * the one before. */
int local_dir_set_holder(const struct local_dir *d, const struct local_note *note, struct err *e);
void local_dir_remove_holder(const struct local_dir *d);

/* What the owner before this epoch may have left running, if it went without taking its note away:
 * 1, or 0: nothing; -1: its note cannot be read now. */
int local_dir_leftover(
    const struct local_dir *d, uint64_t epoch, struct leftover *l, struct err *e);

/*
 * Notes that this epoch owns the job, and tells which one did before; 0: none, or it is not known.
 * It is not known either when a note could not be written. Not synced: who asks has no use for what
 * was before a restart of the machine.
 */
uint64_t local_dir_succeed(const struct local_dir *d, uint64_t epoch);

/* The file may be stale, of another owner, or anything: it is a hint, checked like all input.
 */
bool local_dir_read_holder(const struct local_dir *d, uint64_t epoch, struct holder *h);
#define LOCAL_HOLDER_MAX HOLDER_TEXT_MAX
/* "web-1 on hostA (pid 4711) since …" of the owner with this epoch, as far as it is known. */
void local_dir_holder(const struct local_dir *d, uint64_t epoch, char text[LOCAL_HOLDER_MAX]);

#endif
