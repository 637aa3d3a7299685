/*
 * follow.h - being woken when the master replaces its status file or its PID file.
 */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include <stdbool.h>

#include "base/err.h"

/*
 * A close-on-exec descriptor, readable when something changed in run_dir; -1 on failure. What was
 * read before this call may be stale: look again after it.
 */
int follow_open(const char *run_dir, struct err *e);

/* Follows the directory that has the name now: it may have been removed and made again. */
int follow_again(int fd, const char *run_dir, struct err *e);

/* Empties the descriptor. Whether one of the two files was touched, or may have been. */
bool follow_changed(int fd);

#endif
