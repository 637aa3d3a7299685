/*
 * holder.h - the value of a lock key: who stands in the queue there, for people.
 *
 *   {"instance":"web-1","host":"hostA","pid":4711,"since":1795392459}
 *
 * Nothing depends on it. Keys of other programs, such as `etcdctl lock`, have other values or none.
 */
#ifndef COORD_HOLDER_H
#define COORD_HOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define HOLDER_TEXT_MAX 256

/* Of this process, from now on; freed by the caller. NULL when out of memory. */
char *holder_encode(const char *instance, struct err *e);
/* "web-1 on hostA (pid 4711) since 2026-11-22T23:50:19Z". False: it is no such value. */
bool holder_show(const char *value, size_t len, char text[HOLDER_TEXT_MAX]);

#endif
