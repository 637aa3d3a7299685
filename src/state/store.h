/*
 * store.h - where states live that are too large for a record. One interface; file: today, s3: and
 * http: to come.
 *
 * All calls block and may take long: they run on a task thread (base/task.h), so they take no loop
 * and no log. Blobs are named "<job>/<epoch>-<seq>", a name that is never committed twice: nobody
 * who follows a record sees half a blob or a changed one.
 */
#ifndef STATE_STORE_H
#define STATE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct store;

/* url: "file:///absolute/dir". make: the directory (0700), if it is missing. NULL on failure. */
struct store *store_open(const char *url, bool make, struct err *e);
void store_close(struct store *s);

/*
 * Copies size bytes from fd (from its start) into the blob and makes it durable. *url: what a
 * record names it by; the caller frees it. sha256: of the bytes that were written, lower-case hex.
 * A file that turns out shorter or longer than size is a failure. Leaves nothing behind when it
 * fails. A blob of the same name, from a commit that failed and is tried again, is replaced.
 */
int store_put(struct store *s, const char *job, uint64_t epoch, uint64_t seq, int fd, uint64_t size,
    char **url, char sha256[65], struct err *e);

/*
 * Copies the blob to fd, a fresh and empty file, and checks length and hash. -1: what fd holds then
 * is no state and must be thrown away. Refuses a url outside the store.
 */
int store_get(
    struct store *s, const char *url, uint64_t size, const char *sha256, int fd, struct err *e);

/* Removes a blob; one that is gone already is no failure. Refuses a url outside the store. */
int store_delete(struct store *s, const char *url, struct err *e);

/*
 * Removes the blobs of the job with an epoch below `before`, and half ones, but for the one that
 * the url keep names (NULL: none). Refuses a keep that is outside the store. -1: not all could be
 * removed.
 */
int store_sweep(struct store *s, const char *job, uint64_t before, const char *keep, struct err *e);

#endif
