/*
 * board.h - what the master puts up for onlookers: the status file, the metrics file, the history
 * of hand-overs. Whatever fails here is logged once per outage and harms no job.
 */
#ifndef ROLE_BOARD_H
#define ROLE_BOARD_H

#include <limits.h>

#include "role/metrics.h"
#include "role/post.h"
#include "role/status.h"

/* A file that is drawn again after changes, but not with each of them. */
struct picture {
	bool changed;
	bool failed;
	msec at; /* the next one may be drawn */
};

struct board {
	struct status status;   /* filled by the master; posts may change between calls */
	struct metrics metrics; /* zeroed at first, as all below */
	struct picture status_file, metrics_file;
	char metrics_at[PATH_MAX]; /* where that was drawn; "": nowhere */
	bool history_failed;
};

/* Something changed that onlookers may want to know. */
void board_touch(struct board *b);
/* A post has a new report: notes the hand-overs that it tells of. */
void board_reported(struct board *b, struct post *p);
/* Draws what is due. */
void board_draw(struct board *b);
/* When to call it next. */
msec board_deadline(const struct board *b);
/* The last pictures, due or not. */
void board_end(struct board *b);

#endif
