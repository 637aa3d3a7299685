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

#include <jansson.h>
#include <limits.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"

#define HOLDER_TEXT_MAX 256

struct holder {
	char instance[CONF_INSTANCE_MAX + 1];
	char host[HOST_NAME_MAX + 1];
	int pid;
	int64_t since; /* seconds since 1970 */
};

/* Of this process, from now on; freed by the caller. NULL when out of memory. */
char *holder_encode(const char *instance, struct err *e);
/* False: it is no such value, or one that is not fit for a log line. */
bool holder_read(const json_t *json, struct holder *h);
bool holder_decode(const char *value, size_t len, struct holder *h);
void holder_text(const struct holder *h, char text[HOLDER_TEXT_MAX]);
/* "web-1 on hostA (pid 4711) since 2026-11-22T23:50:19Z". False: it is no such value. */
bool holder_show(const char *value, size_t len, char text[HOLDER_TEXT_MAX]);

#endif
