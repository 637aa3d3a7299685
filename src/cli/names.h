/*
 * names.h - what to say to somebody who wrote the name of a job that is not there.
 */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/nearest.h"

#define NAMES_MAX 400 /* bytes; what does not fit is counted */

/* The names that are there. Begin with { .nearest.written = the wrong one }. */
struct names {
	struct nearest nearest;
	char list[NAMES_MAX];
	size_t left_out;
	char text[NAMES_MAX + 64];
};

/* Considers one. It must live as long as the search. */
void names_try(struct names *n, const char *known);
/* "did you mean orders?", "there are orders, clicks" or "there are none". n's. */
const char *names_advice(struct names *n);

#endif
