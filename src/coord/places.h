/*
 * places.h - a queue made of one file, whose bytes are the places in it.
 *
 * A place is an open-file-description (OFD) write lock on one byte; the lowest byte that is locked
 * is the head of the queue. Such a lock belongs to the open file, not to a process: it lives as
 * long as any process has that open file, and the kernel drops it, and wakes who waits for it, the
 * moment the last one is gone, however it went. Byte 0 is no place but the door: numbers are given
 * out behind it, one process at a time.
 *
 * Two kinds of descriptor, which must not be mixed up:
 *  - the anchor holds a place. Master and worker share its description.
 *  - a probe is a description of one thread's own. It looks, waits and holds the door. Locks of one
 *    description never conflict, so through the anchor one would not even see one's own place.
 */
#ifndef COORD_PLACES_H
#define COORD_PLACES_H

#include <stdint.h>

#include "base/err.h"

/* The largest number of a place: it fits an off_t and a JSON integer, with one to spare. */
#define PLACES_MAX ((uint64_t)INT64_MAX - 1)

/* Waits for the door, through a probe. It is only held for a few file operations at a time. */
int places_enter(int probe, struct err *e);
int places_exit(int probe, struct err *e);

/* Takes a place. Never waits: -1 also when it is another one's. No-op when it is ours already. */
int places_take(int anchor, uint64_t place, struct err *e);
/* Gives up every place of this anchor. */
int places_leave(int anchor, struct err *e);

/* Any taken place in [from, to]: 1 and *place, or 0 if there is none. */
int places_find(int probe, uint64_t from, uint64_t to, uint64_t *place, struct err *e);
/* The taken place next before `place`, or the very first one before it: 1, or 0 if none is. */
int places_nearest(int probe, uint64_t place, uint64_t *ahead, struct err *e);
int places_first(int probe, uint64_t place, uint64_t *head, struct err *e);

/* Sleeps in the kernel until nobody holds the place. */
int places_wait(int probe, uint64_t place, struct err *e);

#endif
