/*
 * fs.h - the few things this program does to files, done the durable and the symlink-safe way.
 *
 * All calls block. "Durable" means that after a return of 0 the result survives a power cut: file
 * and directory are synced. Failures fill e with the path and the cause.
 */
#ifndef BASE_FS_H
#define BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"

/* Makes path with exactly the mode given if it is missing, and missing directories above it with
 * 0755, whatever the umask. */
int fs_mkdirs(const char *path, mode_t mode, struct err *e);

/* Reads a regular file of at most max bytes into a fresh, NUL-terminated buffer that the caller
 * frees. */
int fs_read(const char *path, size_t max, char **data, size_t *len, struct err *e);
/* The same, but what path names must not be a link. */
int fs_read_no_link(const char *path, size_t max, char **data, size_t *len, struct err *e);
/* The two halves of fs_read(). path: for messages. */
int fs_open_regular(const char *path, struct stat *st, struct err *e);
int fs_read_fd(int fd, const char *path, size_t max, char **data, size_t *len, struct err *e);
/*
 * Whether the failure to read or examine a file, by the code of its error, says that there is none:
 * it is missing, or something else is in its place. Any other may pass by itself - a disk or server
 * that does not answer - and says nothing of what is there.
 */
bool fs_is_none(int code);

/*
 * Replaces path atomically: readers see the old file or the new one, never a part. Writes
 * "path.tmp" first, and removes that when it fails; so one writer per path. With durable, synced
 * before and after the rename.
 */
int fs_replace(
    const char *path, const void *data, size_t len, mode_t mode, bool durable, struct err *e);

/* Writes all of it, through EINTR and short writes. */
int fs_write_all(int fd, const void *data, size_t len, struct err *e);

/*
 * Removes from the directory behind dirfd the files whose names go() is true of. For left-overs,
 * which cost room and nothing else: what cannot be removed just stays. -1: not all could.
 */
int fs_sweep(int dirfd, bool (*go)(const char *name, void *ctx), void *ctx, struct err *e);

/*
 * Gives what is open to uid and gid (-1: whose it is), with this mode. What is so already is left
 * alone: a file system with a journal writes even the same again.
 */
int fs_own(int fd, uid_t uid, gid_t gid, mode_t mode, struct err *e);

/* Syncs a directory that is open; path: for messages. 0, too, where a file system knows no such
 * sync: there is no more to be had from it. */
int fs_sync_dir(int fd, const char *path, struct err *e);
/* The one that holds path. */
int fs_sync_dir_of(const char *path, struct err *e);
/* All above path, which is absolute: makes directories themselves survive a power cut. Without that
 * a synced file in them may not. */
int fs_sync_above(const char *path, struct err *e);

/* Whether locks in path can be relied upon. -1: it is on a network file system, which may lose one
 * that is held, and let others have it. What cannot be examined is not said to be. */
int fs_keeps_locks(const char *path, struct err *e);

/* Closes every descriptor from 3 up, but those in keep (any order, -1 allowed). For the child side
 * of a fork. */
void fs_close_others(const int *keep, size_t n);

#endif
