/*
 * text.h - text that jobs and files gave us, made fit for a terminal.
 *
 * Control characters, broken UTF-8 and invisible characters that reorder or hide text become '?',
 * by base/plain.h, and so does what the terminal cannot show: no job can move the cursor, colour or
 * forge a line of `graceful status`.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stddef.h>

/* Takes the locale from the environment. Before this call, and in other charsets than UTF-8,
 * every character outside ASCII is shown as '?'. */
void text_setup(void);

/* The columns that the text takes on a terminal once it is made fit. */
size_t text_width(const char *text);

/*
 * Puts the text into buf, fit for a terminal, in at most `columns` columns and size bytes (with
 * the NUL; size >= 8). Never cuts inside a character; what was cut ends in an ellipsis. Returns
 * the columns used.
 */
size_t text_fit(char *buf, size_t size, const char *text, size_t columns);

#endif
