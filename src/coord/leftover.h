/*
 * leftover.h - what still runs of a job whose worker and master died together.
 *
 * The kernel drops the lock of such a job with the last process that had the anchor. But its
 * processes live on: the job got its stop signal just then and dumps, maybe for long. So an owner
 * leaves a note of who they are (local_dir.h), and the next owner waits until they are gone.
 *
 * They are found in /proc: the job's main process by its number and its time of birth, others by
 * their session, or by the environment that the job was given and that its descendants inherit. A
 * process that left the session and wiped its environment, too, is not found. Everybody may give
 * himself any environment, so that counts of those users alone that a process of the job can be of.
 *
 * All calls block, and belong on a task thread.
 */
#ifndef COORD_LEFTOVER_H
#define COORD_LEFTOVER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "conf/conf.h"

#define LEFTOVER_BOOT_MAX 40

/* A job of root, or one that may run set-user-ID programs, can become any user. */
#define LEFTOVER_ANYBODY ((uid_t)-1)

struct leftover {
	pid_t main;           /* 0: not known */
	uint64_t born;        /* of main, in ticks since the machine started */
	char state[PATH_MAX]; /* the job's GRACEFUL_STATE */
	uint64_t epoch;       /* its GRACEFUL_EPOCH */
	uid_t uid;            /* of all its processes, or LEFTOVER_ANYBODY */
	bool seen;            /* main was found: until the end, its session is no other one's */
};

/* The user whose all processes of this job are, or LEFTOVER_ANYBODY. */
uid_t leftover_uid(const struct job_conf *job);
/* The birth of a process that lives, 0 of any other. */
uint64_t leftover_birth(pid_t pid);
/* The name of this run of the machine: a note from an earlier one concerns nobody. */
void leftover_boot(char boot[LEFTOVER_BOOT_MAX]);

/* Whether any process is left. -1: it cannot be found out. */
int leftover_any(struct leftover *l, struct err *e);

/*
 * Waits until none is left, and keeps the limits of a stop: SIGTERM at stop_timeout - hurry_timeout
 * or when the main process has ended, SIGKILL after hurry_timeout more. No stop signal: the kernel
 * sent it. 0, or -1: not all processes can be looked at, or is_off(ctx) became true.
 */
int leftover_wait(struct leftover *l, const struct job_conf *job, bool (*is_off)(void *ctx),
    void *ctx, struct err *e);

#endif
