/*
 * find.h - finding the master of a run directory, so that a signal can never hit another process.
 */
#ifndef CLI_FIND_H
#define CLI_FIND_H

#include <sys/types.h>

#include "base/err.h"
#include "cli/cli.h"

/* A living master. It may end at any time, but pidfd stays its own, however PIDs are reused. */
struct master {
	char *run_dir;
	pid_t pid;
	int pidfd; /* readable once the master is gone */
};

/*
 * The directory to look in: --run-dir, else what the configuration says. Returns EXIT_OK and a path
 * that the caller frees, or the exit status after it printed why not.
 */
int find_run_dir(const struct cli_args *args, char **run_dir);

/*
 * Looks for the master of run_dir. 1: found, to be freed with find_close(). 0: none runs, e says
 * how that shows. -1: cannot be told, e says why.
 */
int find_master(const char *run_dir, struct master *m, struct err *e);

/* Prints why find_master() found none, and what to do; returns EXIT_CANNOT. */
int find_fail(const struct cli_args *args, int found, const struct err *e);

/* All of the above for most commands: EXIT_OK, or the exit status after it printed why not. */
int find_open(const struct cli_args *args, struct master *m);
void find_close(struct master *m);

/*
 * Sends a signal to a worker, after making sure that the process is a child of this master: the
 * PID comes from a file and may belong to somebody else by now.
 */
int find_signal_worker(const struct master *m, pid_t worker, int signo, struct err *e);
int find_signal_master(const struct master *m, int signo, struct err *e);
/* The same with a value, as by sigqueue(3). */
int find_queue_master(const struct master *m, int signo, int value, struct err *e);

/* Whether somebody stopped it, by SIGSTOP or a debugger: it hears nothing until SIGCONT. */
bool find_is_suspended(const struct master *m);

#endif
