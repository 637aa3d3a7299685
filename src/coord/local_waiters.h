/*
 * local_waiters.h - who waits in the queue of the local coordinator: for each place a note,
 * `waiting-<place>` in the job's directory. For people: nothing depends on it, it may be missing,
 * and it means nothing when the place is not taken. Places are never used again, so a note that
 * its writer could not take away misleads nobody, and goes when a later place owns the job.
 *
 * The calls block, as those of local_dir.h do, for a file that is not synced.
 */
#ifndef COORD_LOCAL_WAITERS_H
#define COORD_LOCAL_WAITERS_H

#include <stdbool.h>
#include <stdint.h>

#include "coord/holder.h"
#include "coord/local_dir.h"

/* This process waits there. */
void waiters_note(const struct local_dir *d, uint64_t place, const char *instance);
void waiters_forget(const struct local_dir *d, uint64_t place);
/* All up to this place, which is the first one in the queue. */
void waiters_forget_to(const struct local_dir *d, uint64_t place);
/* Checked like all input. */
bool waiters_read(const struct local_dir *d, uint64_t place, struct holder *h);

#endif
