/*
 * life_impl.h - the inside of a life, shared by its files:
 *   life.c        what others see; which transition an event leads to
 *   life_start.c  STARTING, STANDBY, RESTORING: until the job runs
 *   life_run.c    RUNNING to DUMPING: while there is a job, or will be again
 *   life_end.c    RELEASING, DOUBTING: the last commit
 *   life_steps.c  what transitions of several states do
 */
#ifndef POLICY_LIFE_IMPL_H
#define POLICY_LIFE_IMPL_H

#include "policy/life.h"

#define LIFE_SAVES (LIFE_SAVE | LIFE_COMMIT_RELEASE | LIFE_MARK_RELEASE)
#define LIFE_EVENTS_N (LIFE_EV_TICK + 1)
#define LIFE_RETRY_MAX 5000 /* between two tries of what the coordinator refuses */

/* Returns what is to be done. That a stop is wanted, and how, is noted before it is called. */
typedef unsigned life_transition(struct life *l, msec arg, msec now);

/* One row for each state but GONE, in which nothing happens any more; NULL: ignored. */
extern life_transition *const life_starting[LIFE_EVENTS_N];
extern life_transition *const life_standby[LIFE_EVENTS_N];
extern life_transition *const life_restoring[LIFE_EVENTS_N];
extern life_transition *const life_running[LIFE_EVENTS_N];
extern life_transition *const life_clearing[LIFE_EVENTS_N];
extern life_transition *const life_saving[LIFE_EVENTS_N];
extern life_transition *const life_backoff[LIFE_EVENTS_N];
extern life_transition *const life_dumping[LIFE_EVENTS_N];
extern life_transition *const life_releasing[LIFE_EVENTS_N];
extern life_transition *const life_doubting[LIFE_EVENTS_N];

/* A job that was being started is there; of RESTORING, but about the job that runs. */
unsigned life_spawned(struct life *l, msec arg, msec now);

/* life_steps.c, where they are explained */
void life_disarm(struct life *l);
void life_retry_later(struct life *l, msec most, msec now);
unsigned life_leave(struct life *l);
unsigned life_release_alone(struct life *l, msec now);
unsigned life_try_commit(struct life *l, msec now);
unsigned life_commit_and_release(struct life *l, msec now);
unsigned life_mark_and_release(struct life *l, msec now);
unsigned life_hand_over(struct life *l, msec now);
unsigned life_after_failure(struct life *l, msec now);
unsigned life_after_end(struct life *l, msec now);
void life_note_stop(struct life *l, msec now);
void life_note_hurry(struct life *l, msec now);
void life_note_kill(struct life *l, msec now);
void life_note_lost(struct life *l, msec left);
unsigned life_leave_lost(struct life *l);
unsigned life_abandon(struct life *l, msec now);
unsigned life_leave_behind(struct life *l);
unsigned life_any_lost_now(struct life *l, msec left, msec now);
unsigned life_doubt(struct life *l, msec now);
unsigned life_end_lost(struct life *l, msec now);
unsigned life_rescue_waits(struct life *l, msec now);
void life_note_cleared(struct life *l, bool clean);

#endif
