/*
 * coord.h - one job's lock and state record, wherever these are kept. Two implementations: local.c
 * (a directory on this machine) and etcd.c (many machines).
 *
 * A `struct coord` belongs to one worker process and serves one tenure: acquire once, commit while
 * owner, release once. To queue again the worker exits and a new one is forked. No call waits for
 * another worker or a server; the local one may wait for its disk, as notes about who owns the job
 * and who waits are written and removed from the loop. Every answer comes through a hook from the
 * loop, never from inside the call that asked. A coord does not log; a hook is told what happened,
 * and the worker decides what that means.
 *
 * The rules that every implementation keeps:
 *  - granted() is called only while the lock is certainly held;
 *  - the epoch is larger than that of every owner before;
 *  - a commit of a coord that is not the owner any more changes nothing that anyone reads;
 *  - after an unknown outcome the implementation reads back, for as long as that takes, and reports
 *    what is true.
 */
#ifndef COORD_COORD_H
#define COORD_COORD_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "conf/conf.h"
#include "state/record.h"

struct coord;

/* How a commit or release ended. */
enum coord_result {
	COORD_OK,
	COORD_FAILED, /* not done; e says why; may be tried again while owner. A commit that failed
			 so will never be carried out; of a release nobody needs to know */
	COORD_UNSURE, /* of a commit: an attempt without an answer may be carried out yet, or it
			 was, and a power cut may undo it; so what this record and the one before
			 name must stay. Once a later one of this owner is COORD_OK, it cannot count
			 any more, and never will */
	COORD_LOST,   /* the lock is not ours any more, and nothing changed; no lost() follows */
};

/* Why the lock cannot be had; so coarse that one reason stays the same from attempt to attempt. */
enum coord_trouble {
	COORD_FINE,
	COORD_UNREACHABLE, /* no answer, or no quorum: it may pass by itself */
	COORD_TLS,         /* certificates or protocols do not fit */
	COORD_USER,        /* user or password is refused */
	COORD_DENIED,      /* the user may not use the namespace */
	COORD_STRANGE,     /* it answers, and not as it should */
	COORD_UNUSABLE,    /* what is kept there of this job is damaged, or was taken away */
};
#define COORD_TROUBLES (COORD_UNUSABLE + 1)

struct coord_hooks {
	/*
	 * The lock is ours. record: the last committed one, NULL if the job never had one; it is
	 * the hook's only during the call.
	 */
	void (*granted)(void *ctx, uint64_t epoch, const struct record *record);
	/*
	 * After granted(), unless coord_is_announced() was true then: nobody who comes after us
	 * will go on from what an owner before us left (coord_predecessor()). Only now may the job
	 * be started.
	 */
	void (*announced)(void *ctx);
	/* Somebody else has it. holder: for people, such as "web-1 (pid 4711)"; may be called again
	 * when the holder changes. */
	void (*waiting)(void *ctx, const char *holder);
	/* acquire failed and has been given up: the coordinator cannot be used. The worker may call
	 * coord_acquire() again, after a backoff. */
	void (*failed)(void *ctx, enum coord_trouble why, const struct err *e);
	/*
	 * Instead of granted(), after coord_adopt(): nobody holds the lock of that epoch any more,
	 * so there is nothing to release. record: as in granted(); a later owner may have committed
	 * it.
	 */
	void (*freed)(void *ctx, const struct record *record);
	/* It is held for longer than was known: coord_safe_until() has moved. Also before a place
	 * in the queue is taken, when coord_lease() is known. */
	void (*kept)(void *ctx);
	/* The lock, or the place in the queue, could not be kept(), or it cannot be seen whether it
	 * is, and that is being tried again before coord_safe_until(); once until the next kept()
	 * or lost(), which may come without. Or no place could be had so far: once after acquire or
	 * adopt, long before failed(). */
	void (*wavering)(void *ctx, enum coord_trouble why, const struct err *e);
	/* The lock was lost, or may be before long: what the job does after `until` (msec of
	 * clock.h, which may have passed) is no longer covered by it. 0: it is not ours, for
	 * certain. Otherwise nobody has said so: commits are still tried, for however long that
	 * takes, and are refused (COORD_LOST) if the lock is not ours. */
	void (*lost)(void *ctx, msec until, const struct err *e);
	void (*committed)(void *ctx, enum coord_result result, const struct err *e);
	void (*released)(void *ctx, enum coord_result result, const struct err *e);
};

/*
 * An anchor is what must outlive a worker so that its death does not free the lock while its job
 * may still run. The master makes it before it forks the worker, keeps its descriptor until the
 * worker is gone and the lock released, and hands it to a rescue worker. -1 in *fd: this
 * coordinator needs none.
 */
int coord_anchor(const struct conf *conf, const struct job_conf *job, int *fd, struct err *e);

/*
 * conf and job must outlive the coord; the anchor stays the caller's. Does no I/O. NULL when out of
 * memory.
 */
struct coord *coord_open(struct ev_loop *loop, const struct conf *conf, const struct job_conf *job,
    int anchor, const struct coord_hooks *hooks, void *ctx, struct err *e);

/* Queue up. Answers: waiting()*, then granted() or failed(). */
void coord_acquire(struct coord *c);
/*
 * Instead of coord_acquire(), for a rescue worker: takes over the lock that a dead worker of this
 * master held under this epoch, through the anchor or the lease that it reported (coord_lease()).
 * Answers: granted() with the same epoch, freed(), or failed() when neither can be proven.
 */
void coord_adopt(struct coord *c, uint64_t lease, uint64_t epoch);
/*
 * Before coord_acquire(): the lease that a worker of this master reported which then died in the
 * queue, or lost its lock and has ended its job. It is given back first, so that nobody waits for
 * that place. Until then coord_lease() is it, and a release does not end before.
 */
void coord_bury(struct coord *c, uint64_t lease);
/*
 * The job's main process was started; only while owner. A coordinator that cannot tell by itself
 * when a job has outlived its worker and its master notes it for the next owner. The one call that
 * answers at once; after -1 that note is missing, and the job is as well off otherwise.
 */
int coord_started(struct coord *c, pid_t job, struct err *e);
/* One at a time; the record is copied. With release, commits and releases as one transaction.
 * Answer: committed(). Only while owner. */
void coord_commit(struct coord *c, const struct record *record, bool release);
/*
 * Gives up the lock, or the place in the queue, without a commit. left_nothing: it is certain that
 * there is no state here that was not committed, so the next owner need not announce itself first.
 * Answer: released(). One that is called while a commit is under way is carried out behind it:
 * committed() comes first.
 */
void coord_release(struct coord *c, bool left_nothing);
/*
 * The lock was just released, and nothing is to be told or done about it but by us: waits for as
 * long as the next owner may be at starting its job, 20 ms, if it may share a machine with us or
 * with the coordinator. Blocks.
 */
void coord_step_aside(struct coord *c);
/*
 * For a worker that is about to exit, when no process of the job is left: gives back what is still
 * held beside the lock, or of a lock that was lost, and waits for that, but for no longer than
 * COORD_FAREWELL_MAX. It runs the loop.
 */
#define COORD_FAREWELL_MAX 3000
void coord_farewell(struct coord *c);
/* Frees it; no hook is called any more. Does not release: a place or lock still held stays until
 * the anchor is closed. */
void coord_close(struct coord *c);

bool coord_is_announced(const struct coord *c);
/*
 * The epoch of the owner before us; 0 if there was none, it is certain that its job left nothing
 * but what is in the record, or it is not known. A state that a job left on this machine under that
 * epoch, when its lock was lost or its dump could not be committed, is newer than the record, and
 * nobody else has gone on from the record.
 */
uint64_t coord_predecessor(const struct coord *c);

/* The id of the lease for reports, 0 if there is none; and until when the job may run unless the
 * lock is kept(), with time to be killed; MSEC_NEVER for the local one, and while it waits. */
uint64_t coord_lease(const struct coord *c);
msec coord_safe_until(const struct coord *c);
/* When a worker that lives will have told that it is kept() or lost(); MSEC_NEVER likewise. */
msec coord_mute_by(const struct coord *c);

#endif
