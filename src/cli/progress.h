/*
 * progress.h - following a master through its status file while jobs are handed over, and showing
 * that: a block of lines that is redrawn on a terminal, else one line for each change.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/find.h"
#include "cli/screen.h"
#include "cli/statusview.h"

struct progress {
	struct master master;
	int follow;
	const char *doing; /* "stopping"; NULL: nothing is shown */
	struct term term;
	struct screen screen;
	struct statusview view; /* as last seen; zeroed before */
	/*
	 * The names of jobs that had a worker while we looked; true: that were seen to be held.
	 * NULL: what was held at first could not be seen.
	 */
	json_t *seen;
	int64_t exit; /* the master's last word, -1 while there is none */
	msec begun;
};

/* Finds the master, and reads its status if there is one already. EXIT_OK, or the exit status after
 * it printed why not. */
int progress_open(struct progress *p, const struct cli_args *args, const char *doing);
void progress_close(struct progress *p);

/* Reads the status file; what cannot be read now is read at the next change. */
void progress_look(struct progress *p);

/* msec for the master to say in its status file that a signal arrived */
#define PROGRESS_CONFIRM 3000

/* It did not within that time, and is waited for on: says so on standard error, and what may keep
 * it. */
void progress_tell_silence(struct progress *p);

enum progress_end { PROGRESS_DONE, PROGRESS_GONE, PROGRESS_LATE, PROGRESS_FAILED };

/*
 * Until done(view, arg) says so, the master is gone, or `until` has come. The last status file is
 * read after the master went: it may be written and replaced by a next master's within moments, so
 * each change is read as it comes, too.
 */
enum progress_end progress_wait(struct progress *p,
    bool (*done)(const struct statusview *v, int64_t arg), int64_t arg, msec until);

/* Whether any job was, or may have been, held since progress_open(). */
bool progress_held_any(const struct progress *p);

#define PROGRESS_UNCLEAN_MAX 256

#define PROGRESS_LOCKED_MAX (PROGRESS_UNCLEAN_MAX + 128)

/* Likewise of locks, and places in a queue, that could not be given back by the workers that were
 * seen. For when there are some: what there is to say, with what progress_unclean() has to say. */
size_t progress_left(const struct progress *p);
void progress_say_locked(const struct progress *p, char text[PROGRESS_LOCKED_MAX]);

/* How many of the jobs that were seen to be held were given up without a clean dump, and what there
 * is to say of them. What was given up before progress_open() is no part of that. */
size_t progress_unclean(const struct progress *p, char text[PROGRESS_UNCLEAN_MAX]);

/* Takes what was drawn off the terminal; returns how long it has taken so far, in buf. */
const char *progress_end_show(struct progress *p, char *buf);

#endif
