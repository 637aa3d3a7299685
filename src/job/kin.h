/*
 * kin.h - all processes that a job left behind, and the proof that none is left.
 *
 * This process is a sub-reaper: whatever a job forks, and however it detaches (setsid, double
 * fork), becomes this process's child when its own parent dies. Two facts follow, and everything
 * here rests on them:
 *  - Only our own children are ever signalled. Nobody but us can reap them, so their pids cannot be
 * recycled under our feet.
 *  - waitpid() failing with ECHILD proves that no descendant lives: the topmost ancestor of one
 * would be our child. Killing goes down the tree level by level: the children of a killed child
 * become ours before its death is reported.
 */
#ifndef JOB_KIN_H
#define JOB_KIN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Makes this process a sub-reaper. Not inherited by children: each process calls it before all
 * else here. Keeps a descriptor, so that the rest needs none.
 */
int kin_adopt_orphans(struct err *e);

enum kin_reap {
	KIN_REAPED, /* *pid and *status are set */
	KIN_BUSY,   /* children live, none has ended */
	KIN_NONE,   /* there is no child, hence no descendant */
};
enum kin_reap kin_reap(pid_t *pid, int *status);

/*
 * The same in two steps, so that how a child ended can be passed on in between: as long as it is
 * not buried, whoever inherits it when this process dies hears the same.
 */
enum kin_reap kin_look(pid_t *pid, int *status);
void kin_bury(pid_t pid);

/*
 * Calls each(pid, ctx) for every child of this process, zombies included. Complete as long as this
 * process has one thread that forks and reaps (a zombie stays listed until it is reaped, and an
 * orphan is appended before its parent's end is reported). -1: the list cannot be read.
 */
int kin_each_child(void (*each)(pid_t pid, void *ctx), void *ctx, struct err *e);

/*
 * The same for the children of a child that was killed and hangs in the kernel, but for those that
 * have ended: it reaps nobody any more, and when it ends they are ours. -1: they cannot be listed,
 * as when it has just ended.
 */
int kin_each_grandchild(pid_t parent, void (*each)(pid_t pid, void *ctx), void *ctx, struct err *e);

/*
 * Whether a child has ended, every thread of it, and cannot be reaped: a debugger has it, which may
 * belong to anybody who may trace it, and keep it for ever. Nothing of it runs any more, and its
 * children are ours.
 */
bool kin_is_withheld(pid_t pid);
/* Whether there are children, all of them withheld. */
bool kin_all_withheld(void);

/*
 * What a process does about a signal that would otherwise end it, or be lost. KIN_MINDS, too, when
 * that cannot be found out. A job that was just started has not come to installing its handlers
 * yet; and one that only blocks the signal may do so for good, or for the moment of a fork.
 */
enum kin_mind {
	KIN_ENDS,   /* nothing */
	KIN_BLOCKS, /* blocks it, without a handler */
	KIN_MINDS,  /* catches or ignores it */
};
enum kin_mind kin_mind(pid_t pid, int signo);

/* signo to every child. */
int kin_signal_children(int signo, struct err *e);

#endif
