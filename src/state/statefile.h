/*
 * statefile.h - the job's directory and its state file, opened so that the job cannot lead us
 * astray.
 *
 * The directory itself lies in one that only graceful writes to; it is opened once per operation
 * and everything in it goes by descriptor. What is in it may be anything at any moment: names
 * appear, vanish and change their kind between two calls.
 */
#ifndef STATE_STATEFILE_H
#define STATE_STATEFILE_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"
#include "state/transfer.h"

/* dir as a descriptor, or -1: a link, no directory, or not there. */
int statefile_open_dir(const char *dir, struct err *e);

void statefile_id(const struct stat *st, struct state_id *id);

/* As transfer_peek(), on the open directory. Opens nothing. */
int statefile_peek(int dirfd, const char *dir, uid_t owner, struct state_id *id, struct err *e);

/* As statefile_peek(), and when it returns 1 *fd is open for reading and *id is that file's. */
int statefile_open(
    int dirfd, const char *dir, uid_t owner, int *fd, struct state_id *id, struct err *e);

/*
 * Whether the bytes behind fd are other ones than id says. That another file got the name meanwhile
 * is no change: what fd reads is still one whole state.
 */
bool statefile_changed(int fd, const struct state_id *id);

#endif
