/*
 * store_file.h - states as files of a directory: <dir>/<job>/<epoch>-<seq>, mode 0600.
 *
 * A blob is written as ".tmp-<epoch>-<seq>", synced, and renamed. The directory and what is in it
 * belong to graceful alone; the job's users cannot enter it. It may be shared by machines (NFS, a
 * cluster file system): a record is only good for stores that have the same path on each of them.
 */
#ifndef STATE_STORE_FILE_H
#define STATE_STORE_FILE_H

#include "base/err.h"
#include "state/store.h"

#define STORE_FILE_SCHEME "file://"

struct store *store_file_open(const char *url, const struct store_place *place, struct err *e);

#endif
