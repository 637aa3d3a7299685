/*
 * local_tenure.h - one worker's way through the queue of the local coordinator, step by step.
 *
 * The steps block and run on a task thread, one at a time; between two of them the loop may read
 * and write the struct as it likes. While one runs, the loop calls tenure_give_up() and
 * tenure_abandon() alone.
 */
#ifndef COORD_LOCAL_TENURE_H
#define COORD_LOCAL_TENURE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "coord/coord.h"
#include "coord/local_dir.h"

/* Where a step in the queue led to. */
enum tenure_step {
	TENURE_FIRST,  /* the job is ours; the record is in t->record if t->has_record */
	TENURE_BEHIND, /* t->holder owns it: tenure_wait() is next */
	TENURE_LEFT,   /* tenure_give_up() or tenure_abandon() was called meanwhile */
	TENURE_FREED,  /* tenure_adopt() only: our anchor does not hold it; the record as above */
	TENURE_FAILED, /* t->err says why */
};

struct tenure {
	struct local_dir dir;
	const char *instance;
	const struct job_conf *job;
	char *job_state; /* its GRACEFUL_STATE */

	/* What the loop and a step share. */
	pthread_mutex_t gate;
	int anchor;     /* our own duplicate of the descriptor; -1 after tenure_abandon() */
	bool left;      /* the place was given up, and none may be taken any more */
	uint64_t noted; /* the place that a note says we wait at; 0: none */

	uint64_t place; /* also the epoch */
	uint64_t ahead; /* the place that we wait for */
	uint64_t predecessor;
	/* We are first, but wait for what the owner before left running. */
	bool haunted;
	struct leftover leftover;
	char holder[LOCAL_HOLDER_MAX];
	struct record record;
	bool has_record;
	struct err err;
};

int tenure_init(struct tenure *t, const struct conf *conf, const struct job_conf *job, int anchor,
    struct err *e);
void tenure_destroy(struct tenure *t);

enum tenure_step tenure_queue_up(struct tenure *t);
enum tenure_step tenure_wait(struct tenure *t);
/*
 * From the loop, at the grant of a place that was queued for: notes that the job is ours from now
 * on. Not by the step that found us first: the loop may have given the place up by then, and the
 * notes would hide those of the owner after us, or those of one before us who left something.
 */
void tenure_begin(struct tenure *t);
/* From the loop, by the owner: notes that this is the main process of the job that runs now. */
int tenure_started(const struct tenure *t, pid_t job, struct err *e);
/* For a rescue: proves that our anchor holds t->place, and that it is the first one; or that it
 * does not hold it, so nobody does. */
enum tenure_step tenure_adopt(struct tenure *t);

/* From the loop, by the owner: whether others still queue at the file that our place is in: 1 or 0,
 * and e says so; -1: it cannot be told now. */
int tenure_holds_lock_file(const struct tenure *t, struct err *e);

/* Writes t->record, if we still are the owner. */
enum coord_result tenure_commit(struct tenure *t);
/* The owner's way out. */
enum coord_result tenure_leave(struct tenure *t);

/* From the loop, at any time: gives up the place, and stops a step from taking one. */
int tenure_give_up(struct tenure *t, struct err *e);
/* From the loop, at any time: whatever place there is belongs to the caller's anchor alone. */
void tenure_abandon(struct tenure *t);

#endif
