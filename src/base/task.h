/*
 * task.h - blocking work beside an event loop.
 *
 * A worker's loop must go on while files are copied, hashed and synced, and while it waits in the
 * kernel for a lock: renewal of the lease and signals may not queue behind a disk. task_start()
 * runs `work` on a thread of its own and then `done` in the loop.
 *
 * Rules: `work` touches nothing but its argument, starts no process and takes no loop or log call.
 * All signals are blocked in it. It cannot be cancelled: a worker that must leave while one runs
 * just exits, so `work` must leave the world consistent at every step.
 */
#ifndef BASE_TASK_H
#define BASE_TASK_H

#include <ev.h>

#include "base/err.h"

struct task;

/*
 * arg belongs to the task until done(arg) is called, in the loop's thread, exactly once. Returns
 * NULL (nothing will be called) when no thread can be had. The task frees itself right before it
 * calls done.
 */
struct task *task_start(struct ev_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
    void *arg, struct err *e);

#endif
