/*
 * life.h - a worker's tenure of one job, from the queue for the lock to its release, as pure
 * decisions.
 *
 * life_event() takes what happened and returns what is to be done; role/worker.c does it and comes
 * back with the outcome as the next event. No I/O, no clock: `now` is passed in. The orders it
 * keeps, whatever the interleaving (t/unit/test_life_random.c plays random ones):
 *  - the job runs only between GRANTED and the release;
 *  - release only when no process of the job is left (CLEARED after the last SPAWNED);
 *  - commit only after that, and before or together with the release - also when the lock counts as
 *    lost because nobody could say whether it is ours: the coordinator refuses if it is not;
 *  - GONE is reached once, with nothing held but a lock that could not be given back (`left`): that
 *    is left to its end.
 *
 * Every stop ends, whatever hangs. The job is killed after stop_timeout, or what it asked for. What
 * it left is committed, again and again, until then, and for hurry_timeout at least; a try that is
 * under way when that is over has LIFE_TRY_MIN. Of what the coordinator is asked last - the commit,
 * if it has it by then; the mark; the release - each is waited for LIFE_ANSWER_MIN at least after
 * all before it has ended, for longer while the time of the stop lasts, and never for more than
 * LIFE_ANSWER_MAX. A hurry takes hurry_timeout for stop_timeout; a kill none, and it waits no
 * longer than LIFE_TRY_MIN but for the release.
 */
#ifndef POLICY_LIFE_H
#define POLICY_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "policy/backoff.h"

/* X(name, what status.json calls it) */
#define LIFE_STATES(X)                                                                          \
	X(STARTING, "starting")   /* nothing asked for yet */                                   \
	X(STANDBY, "standby")     /* queued for the lock */                                     \
	X(RESTORING, "restoring") /* owner; the last committed state is being put in place */   \
	X(RUNNING, "running")     /* owner; the job runs */                                     \
	X(CLEARING, "backoff")    /* the job ended unasked; what is left of its kin is ended */ \
	X(SAVING, "backoff")      /* what it left is committed, the lock kept */                \
	X(BACKOFF, "backoff")     /* it waits for its restart */                                \
	X(DUMPING, "dumping")     /* told to stop; until no process of the job is left */       \
	X(RELEASING, "releasing") /* the last commit, and the release */                        \
	X(DOUBTING, "releasing")  /* the same, of a lock that counts as lost but may be ours */ \
	X(GONE, "stopped")        /* nothing is held, see above: the worker exits */

enum life_state {
#define X(name, shown) LIFE_##name,
	LIFE_STATES(X)
#undef X
};

/* X(name, what its argument says) */
#define LIFE_EVENTS(X)                                                                            \
	X(BEGIN)    /* first event */                                                             \
	X(GRANTED)  /* the lock is ours; arg 1: the record says that the job is done */           \
	X(REFUSED)  /* the coordinator cannot be used now; arg 1: somebody has to mend that */    \
	X(FREED)    /* a rescue finds its lock released; arg 1: nothing was lost, for certain */  \
	X(RESTORED) /* the state is in place */                                                   \
	X(RESTORE_FAILED)                                                                         \
	X(SPAWNED) /* the job runs */                                                             \
	X(SPAWN_FAILED)                                                                           \
	X(EXITED)  /* its main process ended; arg 1: with exit status 0 */                        \
	X(CLEARED) /* no process of the job is left; after EXITED. To a rescue: of the dead       \
		      worker's job, arg 1: it exited with status 0 */                             \
	X(SAVED)   /* SAVE, or COMMIT_RELEASE or MARK_RELEASE (then the lock is released, too) */ \
	X(SAVE_FAILED) /* it changed nothing; arg 1: trying again cannot help (no state file) */  \
	X(RELEASED)                                                                               \
	X(RELEASE_FAILED)                                                                         \
	X(LOST)   /* the lock; arg: msec from now until the job must be dead, and the lock may be \
		     ours as yet; 0 or less: it is not */                                         \
	X(STOP)   /* hand the job over */                                                         \
	X(HURRY)  /* a dump in progress must end within hurry_timeout; means STOP, too */         \
	X(KILL)   /* no dump; means STOP, too */                                                  \
	X(ALIVE)  /* READY=1 or WATCHDOG=1 */                                                     \
	X(EXTEND) /* the job asks for arg msec more to stop */                                    \
	X(TICK)   /* life_deadline() has come */

enum life_event {
#define X(name) LIFE_EV_##name,
	LIFE_EVENTS(X)
#undef X
};

/* What is to be done, a sum; in this order. */
enum life_action {
	LIFE_ACQUIRE = 1 << 0,        /* answered by GRANTED or REFUSED, of a rescue also FREED */
	LIFE_RESTORE = 1 << 1,        /* RESTORED or RESTORE_FAILED; a stop or a loss does not wait
					 for that: MARK_RELEASE, RELEASE or EXIT may come first */
	LIFE_SPAWN = 1 << 2,          /* SPAWNED or SPAWN_FAILED */
	LIFE_SIGNAL_STOP = 1 << 3,    /* stop_signal to the job's main process */
	LIFE_SIGNAL_TERM = 1 << 4,    /* SIGTERM to the job's main process: hurry */
	LIFE_SIGNAL_ABORT = 1 << 5,   /* SIGABRT to the job's main process: its watchdog barked */
	LIFE_CLEAR = 1 << 6,          /* SIGTERM to all that the job left behind */
	LIFE_KILL = 1 << 7,           /* SIGKILL to every process of the job, until CLEARED */
	LIFE_SAVE = 1 << 8,           /* back up and commit; SAVED or SAVE_FAILED, or LOST */
	LIFE_COMMIT_RELEASE = 1 << 9, /* back up, then commit and release as one; likewise */
	LIFE_MARK_RELEASE = 1 << 10,  /* mark the last good record unclean and release; likewise */
	LIFE_RELEASE = 1 << 11,       /* release alone; RELEASED or RELEASE_FAILED */
	LIFE_ABANDON = 1 << 12,       /* SAVE or COMMIT_RELEASE takes too long: answer it with
					 SAVE_FAILED now, unless the coordinator has it already */
	LIFE_EXIT = 1 << 13,          /* all is done */
};

/* How far the release has come: each step is the way out when the one before cannot be done. */
enum life_step { LIFE_STEP_COMMIT, LIFE_STEP_MARK, LIFE_STEP_RELEASE };

/* How the tenure ended, for the report and the exit status of the master. */
enum life_dump { LIFE_DUMP_NONE, LIFE_DUMP_CLEAN, LIFE_DUMP_UNCLEAN };

#define LIFE_TRY_MIN 1000
#define LIFE_ANSWER_MIN 5000 /* a coordinator that lives takes less */
#define LIFE_ANSWER_MAX 60000

struct life_conf {
	msec stop_timeout, hurry_timeout, watchdog;
	bool finish_releases; /* on_exit "release" or "done" */
	bool finish_done;     /* on_exit "done" */
};

struct life {
	const struct life_conf *conf;
	struct backoff *backoff;
	enum life_state state;
	bool rescue;  /* adopts a dead worker's lock: commits what is there, releases, goes */
	bool cleared; /* of a rescue: no process of the job is left */
	bool owner;
	bool placed; /* the state is in place: a restart needs no restore */
	bool stopping;
	bool hurried;
	bool killed; /* no dump is wanted */
	bool lost;
	bool doubtful;    /* by the clock alone: a commit may still be accepted */
	bool ran;         /* a job process ran since the last commit that ended it */
	bool exited;      /* the job's main process has ended */
	bool aborted;     /* the watchdog barked at its last run */
	bool clean;       /* the job's last run ended with status 0, by its own will */
	bool done;        /* finished for ever */
	bool failed;      /* gave up: max_failures */
	bool left;        /* the lock could not be released */
	bool abandoned;   /* the save that is awaited, or was awaited last */
	unsigned awaited; /* the actions whose answers are still to come */
	enum life_step step;
	enum life_dump dump;
	unsigned restarts;
	unsigned failures; /* of the job, or of a start */
	msec retry_delay;
	/* Absolute deadlines, MSEC_NEVER when not armed. */
	msec term_at, kill_at, watchdog_at, retry_at;
	msec give_up_at; /* no further try to save the state */
	msec abandon_at; /* nor any more patience with the one under way */
	msec leave_at;   /* nor with what that was abandoned for, or with a release */
};

/* b and conf must outlive l. */
void life_init(struct life *l, const struct life_conf *conf, struct backoff *b);

/* What is known of the dead worker's tenure. */
struct life_rescue {
	bool placed;  /* what it last said of life_is_placed() */
	bool settled; /* likewise, of life_is_settled() */
	bool clean;   /* the job was seen to exit with status 0 */
	bool cleared; /* no process of it is left; otherwise CLEARED comes later */
};
void life_init_rescue(struct life *l, const struct life_conf *conf, struct backoff *b,
    const struct life_rescue *rescue);

/* Whether the file in the state's place is of this tenure: restored in it, or by a job that ran in
 * it. Before that it is what an earlier tenure left, older than the record, and must never be
 * committed. */
bool life_is_placed(const struct life *l);

/* Whether every run of the job that this tenure began was ended by a commit: then nothing is lost
 * with the lock. */
bool life_is_settled(const struct life *l);

/* What happened -> what to do. Events that make no sense in a state (late answers) are ignored. */
unsigned life_event(struct life *l, enum life_event ev, msec arg, msec now);

/* How long a stop may take, by the rule above, behind stop_timeout or what the job asked for. */
msec life_stop_tail(const struct life_conf *conf);

/* When TICK is due. */
msec life_deadline(const struct life *l);

/* "running" */
const char *life_state_shown(enum life_state s);
/* "RUNNING", "EXITED": for logs and tests */
const char *life_state_name(enum life_state s);
const char *life_event_name(enum life_event ev);

#endif
