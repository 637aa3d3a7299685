/*
 * plain.h - what may be shown of a text that is from elsewhere: a job, a file name, a server.
 *
 * The one rule for errors, reports and commands. It is UTF-8, has no control characters, so that it
 * stays one line and drives no terminal, and none that cannot be seen and change how others look
 * (direction, joining, tags). JSON takes it. The log has a rule of its own, as it keeps what jobs
 * write in other charsets.
 */
#ifndef BASE_PLAIN_H
#define BASE_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a character, by its number in Unicode, may be shown. */
bool plain_is(uint32_t c);

/* The bytes of the character that begins at p, where len > 0 are left. *plain: whether it is UTF-8
 * and may be shown; what is no UTF-8 counts as characters of one byte each. */
size_t plain_next(const char *p, size_t len, bool *plain);

/* Each character that may not be shown becomes a '?'. Also mends what was cut in the middle of one.
 */
void plain_make(char *text);

#endif
