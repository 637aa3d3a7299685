/*
 * trust.h - whether a path leads where we think it does, whoever else has an account here.
 *
 * A root process that works below a directory of somebody else does what that one likes: names can
 * become links between two calls. So the directories that this program relies on, and all above
 * them, must belong to root or to ourselves, and be such that nobody else can replace what is in
 * them. Links on the way are followed, and have to lead through such directories, too.
 */
#ifndef BASE_TRUST_H
#define BASE_TRUST_H

#include <stddef.h>
#include <sys/stat.h>

#include "base/err.h"

/*
 * path is absolute. The directory itself may be written by its owner alone; those above it by
 * root's group and those that this process is in, too, and by all if they are sticky, as /tmp is.
 * What is not there yet is ours to make: no failure.
 */
int trust_dir(const char *path, struct err *e);

/* The same of the directory that a file is in, or will be. */
int trust_dir_of(const char *path, struct err *e);

/* What to do about a failure at a directory of ours, in front of it: when it was a user other than
 * root who may not. */
void trust_advise(struct err *e);

/* Opens a file with a secret in it: of root or ourselves, and closed to all others. The descriptor,
 * or -1. */
int trust_open_secret(const char *path, struct err *e);

/* As fs_read(), of a file with a secret in it. */
int trust_read_secret(const char *path, size_t max, char **data, size_t *len, struct err *e);

#endif
