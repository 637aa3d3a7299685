/*
 * fleet.h - the master's view of its workers, as pure decisions: who is to be forked, told, cleaned
 * up after, and when the master may go.
 *
 * One seat per job. role/master.c tells it what happened to a seat's process and asks fleet_next()
 * what is to be done until that says nothing more. No I/O, no clock. The rules it keeps
 * (t/unit/test_fleet_random.c plays random interleavings):
 *  - a worker is gone when its pipe is at EOF and it is reaped, in either order: most are reaped
 * before their last report is read;
 *  - a worker that went without saying RELEASED gets a rescue worker, after the last process of its
 * job is gone;
 *  - the anchor of a seat is dropped only when its lock is released or nobody can release it any
 * more;
 *  - a signal is sent once per level: repeated ones change nothing;
 *  - a job is dead when its lock ends, whatever has become of its worker;
 *  - the master goes last: when no seat holds anything.
 */
#ifndef POLICY_FLEET_H
#define POLICY_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"

#define SEAT_STATES(X)                                                                             \
	X(VACANT)   /* no worker, and none due */                                                  \
	X(DUE)      /* a worker is to be forked at `due` */                                        \
	X(WORKING)  /* its worker lives */                                                         \
	X(ORPHANED) /* its worker died holding the lock; what is left of the job is being ended */ \
	X(STRANDED) /* nothing of the job is left; a rescue worker is to be forked at `due` */     \
	X(RESCUED)  /* the rescue worker lives */                                                  \
	X(FINISHED) /* the job is done and wants no worker any more */

enum seat_state {
#define X(name) SEAT_##name,
	SEAT_STATES(X)
#undef X
};

/* How far a stop has come; only ever rises. */
enum stop_level { STOP_NOT, STOP_GRACEFUL, STOP_HURRY, STOP_KILL };

struct seat_limits {
	msec stop_timeout, hurry_timeout;
	msec cool_down; /* before a job that gave up here is queued for again */
};

/* What the last report of a worker said of its end. */
struct seat_end {
	bool released; /* holds no lock any more */
	bool left;     /* could not release; the lease runs out by itself */
	bool unclean;  /* a state was not dumped cleanly */
	bool failed;   /* gave up after max_failures */
	bool asked;    /* it was told to hand the job over */
	bool done;     /* the job is finished for ever */
};

struct seat {
	enum seat_state state;
	struct seat_limits limits;
	pid_t pid; /* of the worker that lives */
	bool eof, reaped;
	bool holds; /* it reported that the lock is its: it does so before it starts the job */
	/* Its lock covers the job until then. A worker that lives says so anew, or that it holds
	 * the lock no more, before that time comes. */
	msec dead_by;
	bool hung; /* it did not, and was killed */
	struct seat_end end;
	enum stop_level told;
	bool anchored;
	msec due;
	msec delay; /* before the next fork, when ends or failures follow each other closely */
	msec ended; /* the last of these */
	/* ORPHANED */
	msec term_at, kill_at;
	bool killing;
	bool main_ended; /* the job's main process was seen to end after its worker */
	int rescues;     /* rescue workers that died in a row */
};

enum fleet_verb {
	FLEET_NOTHING,
	FLEET_FORK, /* a worker for the seat; answer: fleet_forked() or fleet_fork_failed() */
	FLEET_FORK_RESCUE, /* likewise */
	FLEET_TELL_STOP,   /* SIGINT to the worker */
	FLEET_TELL_HURRY,
	FLEET_TELL_KILL,
	FLEET_KILL_WORKER,  /* SIGKILL to the worker: it hangs, and its lock is about to end */
	FLEET_ORPHANS_STOP, /* stop_signal to the job's main process, unless the kernel has sent it:
			       it does not to one that changed its credentials */
	FLEET_ORPHANS_TERM, /* SIGTERM to it; when it has ended, to what else is left */
	FLEET_ORPHANS_KILL, /* SIGKILL to what is left of the job; asked for once, to be repeated
			       until fleet_cleared() */
	FLEET_DROP_ANCHOR,
	FLEET_EXIT, /* fleet_exit_status() says how */
};

struct fleet_action {
	enum fleet_verb verb;
	struct seat *seat; /* NULL for FLEET_EXIT */
};

struct fleet {
	struct seat **seats; /* the caller's array */
	size_t n;
	enum stop_level level;
	size_t cursor;
	bool any_unclean, any_left;
	bool exiting;
};

void fleet_init(struct fleet *f, struct seat **seats, size_t n);
void seat_init(struct seat *s, const struct seat_limits *limits, msec now);

/* What happened. */
void fleet_forked(struct seat *s, pid_t pid);
void fleet_fork_failed(struct seat *s, msec now);
void fleet_reported(struct seat *s, bool holds, const struct seat_end *end);
/* Until when the lock covers the job, by the same report; MSEC_NEVER: it does not end by itself. */
void fleet_covered(struct seat *s, msec until);
void fleet_eof(struct fleet *f, struct seat *s, msec now);
void fleet_reaped(struct fleet *f, struct seat *s, msec now);
/* The main process of a dead worker's job has ended; the rest gets no more than hurry_timeout. */
void fleet_main_ended(struct seat *s, msec now);
/* No process of an ORPHANED seat's job is left. */
void fleet_cleared(struct seat *s, msec now);
/* An INT or TERM: graceful, then hurry, then kill. QUIT: kill. */
void fleet_stop(struct fleet *f, enum stop_level at_least, msec now);

/* The next thing to do, FLEET_NOTHING when all is done for now. */
struct fleet_action fleet_next(struct fleet *f, msec now);
/* When fleet_next() may have something new by itself. */
msec fleet_deadline(const struct fleet *f);

/* EXIT_OK, EXIT_UNCLEAN or EXIT_LOCKED of base/exits.h. */
int fleet_exit_status(const struct fleet *f);

const char *seat_state_name(enum seat_state s);

#endif
