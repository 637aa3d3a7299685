/*
 * nearest.h - "did you mean ...?"
 */
#ifndef CONF_NEAREST_H
#define CONF_NEAREST_H

#include <stddef.h>

/* The words seen so far that may have been meant; begin with { .written = the wrong word }. */
struct nearest {
	const char *written;
	const char *best; /* NULL: nothing comes close */
	size_t distance;  /* of best */
};

/* Considers one known word. It must live as long as the search; the first of equals wins. */
void nearest_try(struct nearest *search, const char *known);

#endif
