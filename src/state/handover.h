/*
 * handover.h - when each step of a hand-over was done, for people and their graphs. Nothing
 * depends on it.
 *
 * A stamp is wall-clock time in microseconds since the epoch, 0: not known. One machine takes
 * several of a hand-over with one reading of the wall clock and counts the rest on a clock that
 * nobody sets; the clocks of two machines may disagree, so a phase that ends on another machine
 * than it began on may come out too short, too long, or negative.
 */
#ifndef STATE_HANDOVER_H
#define STATE_HANDOVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"

/* X(name, what JSON calls it, the phase that ends there or NULL) */
#define STAMPS(X)                                                                           \
	X(TOLD, "told", NULL)               /* the worker was asked to hand over */         \
	X(SIGNALLED, "signalled", "signal") /* the job got its stop signal */               \
	X(DUMPED, "dumped", "dump")         /* no process of the job is left */             \
	X(UPLOADED, "uploaded", "upload")   /* its state is durable; the commit goes out */ \
	X(RELEASED, "released", "commit")   /* committed, and the lock given up */          \
	X(GRANTED, "granted", "acquire")    /* the next owner has the lock */               \
	X(RESTORED, "restored", "restore")  /* the state is in place there */               \
	X(STARTED, "started", "start")      /* the job runs again */

enum stamp {
#define X(name, key, phase) STAMP_##name,
	STAMPS(X)
#undef X
	    STAMPS_N
};

struct stamps {
	int64_t at[STAMPS_N];
	int64_t offset; /* what was added to clock_usec(); not kept in JSON */
};

/* "told" */
const char *stamp_key(enum stamp s);
/* "dump"; NULL: no phase ends there. */
const char *stamp_phase(enum stamp s);

/* Takes a stamp now. After stamps_clear(), or a zeroed one, the wall clock is read anew. */
void stamps_take(struct stamps *s, enum stamp which);
/* The microseconds since the last step before that is known; false: there is no such pair. */
bool stamps_phase(const struct stamps *s, enum stamp end, int64_t *usec);
/* From the first known one to the last; false: there are not two. */
bool stamps_total(const struct stamps *s, int64_t *usec);

/* An object of those that are known; NULL when out of memory. */
json_t *stamps_encode(const struct stamps *s);
/* False, and nothing is known, when any is out of range or o is no object. NULL: nothing known. */
bool stamps_decode(const json_t *o, struct stamps *s);

/* One end of a hand-over, as a worker reports it and `graceful history` shows it. */
struct handover {
	uint64_t epoch;                   /* of the tenure that ended or began; 0: none */
	uint64_t size;                    /* of the state */
	bool clean;                       /* the state is a clean dump */
	char peer[CONF_INSTANCE_MAX + 1]; /* who had committed the state; "": nobody */
	struct stamps stamps;
};

json_t *handover_encode(const struct handover *h);
bool handover_decode(const json_t *o, struct handover *h);

#endif
