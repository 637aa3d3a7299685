/*
 * reload.h - SIGHUP: reads the configuration again and has the roster live by it, or, when anything
 * is wrong, changes nothing at all. Logs what came of it, and every mistake.
 */
#ifndef ROLE_RELOAD_H
#define ROLE_RELOAD_H

#include <jansson.h>

#include "role/roster.h"

/*
 * What came of it, as status.json shows it under "config" (the format is in graceful(8)); NULL:
 * out of memory. *applied: whether the new configuration is in force. nth: counts the reloads.
 */
json_t *reload_run(struct roster *r, const char *file, unsigned nth, bool *applied);

#endif
