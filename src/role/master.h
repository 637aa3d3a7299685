/*
 * master.h - the master process: forks a worker per job, passes signals down, reads their reports,
 * buries them, and goes last.
 *
 * One thread, no network, and no decision of its own: policy/fleet.h says what to do.
 */
#ifndef ROLE_MASTER_H
#define ROLE_MASTER_H

#include <signal.h>

#include "conf/conf.h"
#include "role/init.h"

struct master_options {
	const char *conf_file;
	enum init_ready ready;
};

/*
 * INT and TERM may carry a value, as sigqueue(3) sends it: an enum stop_level of policy/fleet.h.
 * The master goes to that level, and no further however often it is told. Without a value, or with
 * another, they are counted: the second of these hurries, the third kills. The kernel drops a
 * signal when one of the same name is waiting, and a value when it has no room for it.
 */

/* Opens the logs anew, the workers' too. */
#define MASTER_LOG_REOPEN (SIGRTMIN + 1)

/* The first thing of all: a signal that comes while the configuration is read counts, too. */
void master_hold_signals(void);

/*
 * Runs until it is stopped; blocks throughout. Takes conf over: a reload replaces it by what
 * conf_file says then. Returns the exit status of the program (base/exits.h), having logged why it
 * is not 0.
 */
int master_run(struct conf *conf, const struct master_options *options);

#endif
