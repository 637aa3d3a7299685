/*
 * spawn.h - starting a job: its environment, its credentials, its session; and the one place
 * between fork and exec.
 */
#ifndef JOB_SPAWN_H
#define JOB_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "conf/conf.h"

/* What a job is told of its tenure. */
struct spawn_facts {
	const char *instance;
	uint64_t epoch;
	const char *state_path;    /* GRACEFUL_STATE */
	const char *restored;      /* "none", "clean" or "crash" */
	const char *notify_socket; /* NULL: none could be made */
};

/*
 * The environment is built, not inherited: PATH, HOME, USER, LOGNAME and SHELL, then "pass_env",
 * then "env", then what the contract promises - later ones win. NULL when out of memory.
 */
char **spawn_env(const struct job_conf *job, const struct spawn_facts *facts, struct err *e);
void spawn_env_free(char **env);

/*
 * Starts the job in a session of its own, with stdin /dev/null, stdout and stderr on output_fd and
 * no other descriptor, all signals at their default. The kernel sends it stop_signal when this
 * process dies. dir: where it dumps its state, NULL: nowhere; a job that cannot write there is not
 * started, as all that it does would be lost. Blocks until exec has worked or failed, which e then
 * tells (-1). What has not come to exec by the deadline is killed, and has failed: from when it is
 * of the job's user he can stop it. Longer than that it lasts only with a process that cannot be
 * killed, as it hangs in the kernel.
 */
int spawn_job(const struct job_conf *job, const char *dir, char *const env[], int output_fd,
    msec deadline, pid_t *pid, struct err *e);

#define SPAWN_INTERPRETER_MAX 128

/*
 * The interpreter that the script at path names in its first line; false if it names none, or
 * cannot be read. When exec fails with ENOENT it is the interpreter that is missing. For the child
 * side of a fork, too.
 */
bool spawn_interpreter(const char *path, char interpreter[SPAWN_INTERPRETER_MAX]);

/*
 * Whether the kernel told the job, as it does not tell one that has changed its credentials since,
 * be it for a moment. A second signal could break off the dump that the first one began. In doubt:
 * false. It cannot be seen of a job that called exec after that, nor of one that called
 * prctl(PR_SET_PDEATHSIG) itself. pid: not reaped yet.
 */
bool spawn_was_told(const struct job_conf *job, pid_t pid);

#endif
