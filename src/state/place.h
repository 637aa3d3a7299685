/*
 * place.h - a directory that keeps what must not be lost, and the proof that it is the one it was.
 *
 * A directory on a file system that is not mounted looks like one that was never made. To make it
 * then would start jobs from nothing, beside an owner on whatever is mounted later. So a directory
 * is made once, by the first master that uses it, and marked: by a file ".graceful" with a random
 * name in it. The master remembers the mark in its work_dir, and uses the directory from then on
 * only while it has that mark.
 *
 * All calls block, for as long as the directory's file system hangs: of a store only workers call
 * them. work_dir: where the memory is, a file with JSON {directory: mark}.
 */
#ifndef STATE_PLACE_H
#define STATE_PLACE_H

#include "base/err.h"

#define PLACE_MARK ".graceful"

/*
 * When a process starts to use dir: makes it (0700) and marks it if need be, and remembers the
 * mark. -1: it is not the one that is remembered, or is not there any more. 1: it could not be
 * made, marked or remembered, as e says; it is not protected until that succeeds another time.
 */
int place_settle(const char *work_dir, const char *dir, struct err *e);

/* Before anything is made in dir. -1: it is remembered, and not there as it was. */
int place_check(const char *work_dir, const char *dir, struct err *e);

#endif
