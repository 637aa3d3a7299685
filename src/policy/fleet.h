/*
 * fleet.h - the master's view of its workers, as pure decisions: who is to be forked, told, cleaned
 * up after, and when the master may go.
 *
 * One seat per job. role/master.c tells it what happened to a seat's process and asks fleet_next()
 * what is to be done until that says nothing more. No I/O, no clock. The rules it keeps
 * (t/unit/test_fleet_random.c plays random interleavings):
 *  - a worker is gone when its pipe is at EOF and it is reaped, in either order: most are reaped
 * before their last report is read;
 *  - a worker that went without saying RELEASED gets a rescue worker at once, which keeps the lock
 * while what is left of the job ends, and is told when nothing of it is left;
 *  - what a worker that died in the queue left there is given back, if by a worker forked for that
 *    alone: whoever waits behind it would wait until the lease ends;
 *  - the anchor of a seat is dropped only when its lock is released or nobody can release it any
 * more;
 *  - a signal is sent once per level: repeated ones change nothing;
 *  - a job is dead when its lock ends, whatever has become of its worker;
 *  - a worker that gives no sign of life is killed and rescued; one that is slow, or slept as this
 * process did, is not;
 *  - a stop that kills ends, whatever hangs: a worker that does not is killed, too. So is one that
 * does not go after its last report;
 *  - the job of a worker that was killed and hangs in the kernel is killed when its lock ends, and
 *    by a stop that kills; a stop does not wait for such a worker that owns nothing, nor for an
 * owner when nothing is left of the job that was killed: what it has said of its end stands, and a
 * lock that it did not let go is left;
 *  - a seat that is renewed or leaves is told to hand over, and forgotten when nothing is held;
 *  - no more seats than there are places have a worker. The others are parked, first come first
 * served. A worker that has queued in vain for its turn gives its place to a parked seat: every
 * lock that is free somewhere is found in the end, whatever the other masters queue for. Turns are
 * short at first, to find what is free, and longer with each that was in vain;
 *  - the master goes last: when no seat holds anything.
 */
#ifndef POLICY_FLEET_H
#define POLICY_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"

#define SEAT_STATES(X)                                                                           \
	X(VACANT)   /* no worker, and none due */                                                \
	X(DUE)      /* a worker is to be forked at `due` */                                      \
	X(PARKED)   /* likewise, as soon as this master may hold one job more */                 \
	X(WORKING)  /* its worker lives */                                                       \
	X(ORPHANED) /* its worker died holding the lock; what is left of the job is being ended. \
		       A rescue worker lives, or is to be forked at `due` */                     \
	X(STRANDED) /* nothing of the job is left; a rescue worker is to be forked at `due` */   \
	X(RESCUED)  /* likewise, and the rescue worker lives */                                  \
	X(FINISHED) /* the job is done and wants no worker any more */

enum seat_state {
#define X(name) SEAT_##name,
	SEAT_STATES(X)
#undef X
};

/* What becomes of a seat once nothing of its job is held here any more. */
enum seat_wish {
	SEAT_STAYS,
	SEAT_RENEWED, /* it goes on under a new definition */
	SEAT_LEAVES,  /* it is taken out of the fleet */
};

/* How far a stop has come; only ever rises. */
enum stop_level { STOP_NOT, STOP_GRACEFUL, STOP_HURRY, STOP_KILL };

struct seat_limits {
	msec stop_timeout, hurry_timeout;
	msec adopt_timeout; /* a rescue worker that has not adopted the lock by then hangs, and so
			       does any worker without a first report */
	msec silence;       /* what a worker that lives never exceeds; see mute_by */
	msec cool_down;     /* before a job that gave up here is queued for again */
};

/* What the last report of a worker said of its end, or what is true when none could be made. */
struct seat_end {
	bool released; /* holds no lock any more */
	bool left;     /* could not release; the lease runs out by itself */
	bool unclean;  /* a state was not dumped cleanly */
	bool failed;   /* gave up after max_failures */
	bool asked;    /* it was told to hand the job over */
	bool done;     /* the job is finished for ever */
};

/* There is one: this was its last report. */
static inline bool seat_end_is_told(const struct seat_end *end)
{
	return end->released || end->left;
}

struct seat {
	enum seat_state state;
	enum seat_wish wish;
	struct seat_limits limits;
	pid_t pid; /* of the worker, or rescue worker, that lives */
	msec forked_at, turn;
	bool yields;     /* it has to give its place to another seat */
	uint64_t ticket; /* PARKED: the smallest is served first */
	bool eof, reaped;
	bool holds;    /* it reported that the lock is its: it does so before it starts the job */
	bool queues;   /* likewise, that it has a place in the queue which does not end with it */
	bool littered; /* its worker died and left such a place behind */
	int tidies;    /* workers forked in a row for no more than to give that back */
	msec dead_by;  /* its lock covers the job until then */
	msec stop_by;  /* its worker lets the job dump until then; 0: it does not stop */
	/*
	 * A worker that lives says anew until when, before that time comes. One that does not while
	 * its lock is about to end hangs. When nothing ends by itself there is time to ask whether
	 * it was this process that slept, together with the worker perhaps, as all of a machine
	 * does that is suspended: it hangs when it says nothing in two more times of `silence` -
	 * or a tenth of it, if it only keeps a place that blocks others - each counted from when
	 * this process looked.
	 */
	msec mute_by;
	int doubts;
	/* Told to kill its job, it has let go of the lock by then; after its last report it has
	 * gone by then. */
	msec quit_by;
	bool hung;     /* it did not, and was killed */
	msec bury_by;  /* then it has ended by that time, */
	bool stuck;    /* or hangs in the kernel: on a disk, say */
	bool forsaken; /* and a stop has gone on without it. `pid` is still its own */
	struct seat_end end;
	enum stop_level told;
	bool anchored;
	msec due;
	msec delay; /* before the next fork, when ends or failures follow each other closely */
	msec ended; /* the last of these */
	bool calm;  /* the worker that is rescued died out of a long quiet */
	/* ORPHANED */
	msec term_at, kill_at;
	bool orphans_told;
	bool killing;      /* likewise, or its worker is hung */
	bool cleared;      /* nothing is left of the job of a worker that is hung */
	bool cleared_due;  /* RESCUED: the rescue worker has to hear that nothing is left */
	bool main_ended;   /* the job's main process was seen to end after its worker */
	int rescues;       /* rescue workers that died in a row */
	int fork_failures; /* likewise, could not be forked */
};

enum fleet_verb {
	FLEET_NOTHING,
	FLEET_FORK, /* a worker for the seat; answer: fleet_forked() or fleet_fork_failed() */
	FLEET_FORK_RESCUE, /* likewise */
	FLEET_TELL_STOP,   /* SIGINT to the worker */
	FLEET_TELL_HURRY,
	FLEET_TELL_KILL,
	FLEET_TELL_CLEARED, /* to the rescue worker: nothing is left of the job */
	FLEET_KILL_WORKER,  /* SIGKILL to the worker: it hangs; or fleet_spared() */
	FLEET_STUCK,        /* that did not end it: what it reported before it was killed is to be
			       read, as nobody looks for that later, and the operator to be told */
	FLEET_FORSAKE,      /* likewise, and the stop goes on without it */
	FLEET_ORPHANS_STOP, /* stop_signal to the job's main process, unless the kernel has sent it:
			       it does not to one that changed its credentials */
	FLEET_ORPHANS_TERM, /* SIGTERM to it; when it has ended, to what else is left */
	FLEET_ORPHANS_KILL, /* SIGKILL to what is left of the job, be it that its worker is dead or
			       that it hangs; asked for once, to be repeated until fleet_cleared()
			     */
	FLEET_DROP_ANCHOR,
	FLEET_RENEW, /* nothing is held under the old definition; answer: fleet_renewed() */
	FLEET_FREE,  /* nor anything of the seat; answer: fleet_remove() */
	FLEET_EXIT,  /* fleet_exit_status() says how */
};

struct fleet_action {
	enum fleet_verb verb;
	struct seat *seat; /* NULL for FLEET_EXIT */
};

#define FLEET_ALL SIZE_MAX

struct fleet {
	struct seat **seats; /* the caller's array */
	size_t n;
	enum stop_level level;
	enum stop_level interrupts; /* as far as these alone go */
	size_t places;  /* seats that may hold, or queue for, a lock at a time; FLEET_ALL */
	bool unlimited; /* FLEET_ALL is what it began with */
	bool draining;
	uint64_t tickets;
	/* One pass over all seats */
	size_t cursor;
	size_t free; /* places */
	bool acted;
	msec rotate_at;
	size_t unclean, left; /* seats that ended so in this stop */
	bool exiting;
};

/* More than a life takes that was told to kill its job (life.h), once that is gone; and more than a
 * worker does after its last report. */
#define FLEET_QUIT_MAX 10000
/* More than the kernel takes to end a process that was killed and does not hang in it. */
#define FLEET_BURY_MAX 5000

#define FLEET_TURN_MIN 500
#define FLEET_TURN_MAX 10000

/* places: FLEET_ALL, or how many seats may have a worker at a time. */
void fleet_init(struct fleet *f, struct seat **seats, size_t n, size_t places);
/* The array was replaced by one that holds the same seats and new ones, in any order. */
void fleet_reseat(struct fleet *f, struct seat **seats, size_t n);
/* Takes an entry out of the array. */
void fleet_remove(struct fleet *f, struct seat *s);
void seat_init(struct seat *s, const struct seat_limits *limits, msec now);

/* What happened. */
void fleet_forked(struct seat *s, pid_t pid, msec now);
/* True: it is to be told. At each attempt would be a flood, so ever more seldom in a row. */
bool fleet_fork_failed(struct seat *s, msec now);
void fleet_reported(struct seat *s, bool holds, bool queues, const struct seat_end *end, msec now);
/* Until when the lock covers the job, and when the next report is due, by the same report;
 * MSEC_NEVER: it does not end by itself. A rescue worker's counts when it has the lock. */
void fleet_covered(struct seat *s, msec until, msec mute_by);
/* Until when the worker lets its job dump, by the same report; 0: the job was not told to stop.
 * That stands when the worker dies: the job may have asked for more than stop_timeout. */
void fleet_granted(struct seat *s, msec stop_by);
/* Instead of FLEET_KILL_WORKER: it had reported, and this process had not read that. */
void fleet_spared(struct seat *s, msec mute_by);
void fleet_eof(struct fleet *f, struct seat *s, msec now);
void fleet_reaped(struct fleet *f, struct seat *s, msec now);
/* The main process of a dead worker's job has ended; the rest gets no more than hurry_timeout. */
void fleet_main_ended(struct seat *s, msec now);
/* No process is left of the job of an ORPHANED seat, or of one whose worker hangs and whose job is
 * being killed. */
void fleet_cleared(struct fleet *f, struct seat *s, msec now);
/* The definition of the seat's job changed, or it is no longer wanted. The newest wish counts. */
void fleet_renew(struct seat *s);
void fleet_retire(struct seat *s);
void fleet_renewed(struct seat *s, const struct seat_limits *limits, msec now);
/* To hold nothing until it ends; one place fewer or more; a new number of places. */
void fleet_drain(struct fleet *f, bool on);
void fleet_fewer(struct fleet *f);
void fleet_more(struct fleet *f);
void fleet_set_places(struct fleet *f, size_t places);
/* A stop is to go that far, if it has not: to say so again changes nothing. */
void fleet_stop(struct fleet *f, enum stop_level level, msec now);
/*
 * A request that names no level: the first of them means graceful, the second hurry, the third
 * kill. Those that name one do not count: who asks once, behind another's stop, wants no hurry.
 */
void fleet_interrupt(struct fleet *f, msec now);

/* The next thing to do, FLEET_NOTHING when all is done for now. */
struct fleet_action fleet_next(struct fleet *f, msec now);
/* When fleet_next() may have something new by itself. */
msec fleet_deadline(const struct fleet *f);

/* Seats that hold, or queue for, a lock. */
size_t fleet_busy(const struct fleet *f);

/* EXIT_OK, EXIT_UNCLEAN or EXIT_LOCKED of base/exits.h. */
int fleet_exit_status(const struct fleet *f);

const char *seat_state_name(enum seat_state s);

#endif
