/*
 * store.h - where states live that are too large for a record. One interface; file: today, s3: and
 * http: to come.
 *
 * All calls block and may take long: they run on a task thread (base/task.h), so they take no loop
 * and no log. Blobs are named "<job>/<epoch>-<number>". A put always makes a new one and never
 * touches one that is there: nobody who follows a record sees half a blob or a changed one,
 * whatever became of the commit that was to name it. And nothing is deleted that a record may come
 * to name.
 */
#ifndef STATE_STORE_H
#define STATE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Ends the message when the bytes of a state are not those that its record names. */
#define STORE_DAMAGE_ADVICE \
	"bring a good copy back, or delete the job's state record so that it starts from nothing"

struct store;

/*
 * What the store may be away from: dir is the url's directory or one above it, and what work_dir
 * remembers of it (place.h). Nothing is used or made below it while it is not the one that it was.
 */
struct store_place {
	const char *work_dir, *dir;
};

/* url: "file:///absolute/dir". Does not touch it: a store may be away, or hang. The strings of
 * place must outlive it. NULL on failure. */
struct store *store_open(const char *url, const struct store_place *place, struct err *e);
void store_close(struct store *s);

/*
 * Makes what is missing of the store, and marks its place. A put does so, too; to do it early tells
 * early what is the matter. -1: it cannot be used now. 1: it can, but it is not protected against
 * being missed, or somebody else could replace what is in it, as e says.
 */
int store_prepare(struct store *s, struct err *e);

/*
 * Copies size bytes from fd (from its start) into the blob and makes it durable. *url: what a
 * record names it by; the caller frees it. sha256: of the bytes that were written, lower-case hex.
 * A file that turns out shorter or longer than size is a failure. Leaves nothing behind when it
 * fails. The blob's number is seq, or the next one that is free: what is there may be of an attempt
 * of this owner, dead or alive, whose commit nobody knows the outcome of.
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

/* What a blob is named by. */
struct blob_number {
	uint64_t epoch, seq;
};

/*
 * Removes the blobs of the job with a number before that one, so of an older epoch, or of the same
 * one and with a lower seq; and half ones; but for the one that the url keep names (NULL: none).
 * Refuses a keep that is outside the store. -1: not all could be removed.
 */
int store_sweep(
    struct store *s, const char *job, struct blob_number before, const char *keep, struct err *e);

#endif
