/*
 * etcd_impl.h - the inside of the etcd coordinator, shared by its four files:
 *   etcd.c        the coordinator as coord.h sees it: phases, the lease
 *   etcd_queue.c  from the queue to the lock: joins, looks, watches; also keeps an eye on the own
 *                 key while owner
 *   etcd_owner.c  announces itself, commits, and what is told when the lock is lost
 *   etcd_leave.c  the way out
 *
 * The owner key, and when a new owner has to wait for it.
 *
 * A job that lost its lock, or whose dump could not be committed, leaves a state on its machine,
 * with a note of its epoch N. Later that state may be gone on from only if no other owner's job ran
 * in between, and that is what the key `owner` tells: it must say N. So it must never say N at a
 * grant, once the job of a later owner Y has run. An owner announces itself: it puts its epoch
 * there. It deletes the key with its lock key, in one transaction, only where no such state can be:
 * with a clean record, or without one when its job left no file, or when it started none and there
 * was no number before it.
 *  - Both depend on the lock key of the owner that asks (`compare`). That of N was deleted before Y
 *    was granted, so from then on nothing of N can change the key, be it carried out ever so late
 *    by a member that hung.
 *  - If the key did not say N when Y was granted, it never will again: Y, and whoever comes after
 *    Y, writes other numbers or deletes. So when it was not there, Y may start its job at once, and
 *    its announcement follows. Should the job end before that has landed, it goes with the release;
 *    only of an owner that dies or loses its lock until then the note will not be taken.
 *  - If there was a number, it may be N: its owner may have left a state. Then Y's announcement
 *    must have landed before the job starts.
 * What Y saw is true: see etcd_view.h; no owner before Y can have changed it since. And if
 * Y leaves before it has announced itself, the last number stays, and is still true.
 *
 * A hook may close the coord, so it is always the last thing called.
 */
#ifndef COORD_ETCD_IMPL_H
#define COORD_ETCD_IMPL_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "coord/coord_impl.h"
#include "coord/etcd_ask.h"
#include "coord/etcd_client.h"
#include "coord/etcd_keeper.h"
#include "coord/etcd_view.h"
#include "coord/holder.h"

/* How long etcd may be out of reach before somebody is told. While owner it is the lease that
 * counts. */
#define ETCD_PATIENCE 10000
#define ETCD_RELEASE_PATIENCE 3000
#define ETCD_FAREWELL_PATIENCE 1000

/*
 * What may wait is not asked for so long after a lock has changed hands: the next job is starting,
 * and where it shares the machine with etcd every request would be in its way.
 */
#define ETCD_ASIDE 20

enum etcd_phase {
	PHASE_IDLE,       /* has not asked, or its acquire failed */
	PHASE_CLEANING,   /* asked; gives back what a dead worker left, before it has anything */
	PHASE_LEASING,    /* asked; there is no lease yet */
	PHASE_JOINING,    /* the own key is being put into the queue */
	PHASE_QUEUED,     /* it is there; looks, or waits */
	PHASE_OWNER,      /* granted */
	PHASE_COMMITTING, /* owner or in doubt, with a commit under way */
	PHASE_DOUBT,      /* the lease is lost by the clock; the lock may be ours as yet, and then
			     commits count */
	PHASE_RELEASING,  /* owner, gives the lock up; or that failed */
	PHASE_LEAVING,    /* no owner; gives the lease back, and the key with it */
	PHASE_GONE,       /* holds nothing, or nothing that counts */
};

struct etcd {
	struct coord base;
	struct etcd_client *client;
	struct keeper keeper;
	enum etcd_phase phase;
	bool adopting;
	bool inherits;        /* the lease is a dead worker's, to be given back first */
	msec adopt_by;        /* no more patience with refusals then */
	bool wavering;        /* the last renewal has failed, or the lease cannot be had yet */
	bool leave_wanted;    /* coord_release() came while something had to be waited for */
	uint64_t epoch;       /* while owner; the one that is adopted */
	bool announced;       /* the job may be started: see above */
	bool note_due;        /* the owner key may not say our epoch yet, and can be told to */
	char number[24];      /* the epoch, as that key has it */
	bool started;         /* it was, or may have been */
	bool left_nothing;    /* as coord_release() was told */
	uint64_t predecessor; /* what the owner key said at the grant */

	struct view view;
	struct ask step; /* joining, a commit, or the release */
	struct ask announcement;
	struct ask look; /* the view, or the own key while owner */
	struct etcd_call *watch;
	msec watch_since;
	struct ev_timer look_due;
	struct ev_timer away_due;     /* a commit that releases was sent */
	struct ev_timer settle_due;   /* ETCD_ASIDE after the grant */
	struct ev_timer grant_due;    /* the view says that we are first */
	char holder[HOLDER_TEXT_MAX]; /* that was told last */

	/* The commit under way. */
	char *text;
	struct record_trace trace; /* how the next owner's records remember it */
	bool release;
	int clashes;
	bool unsure;              /* one without an answer may have been carried out; until the
				     next one is sent */
	struct ev_timer back_due; /* the next look at what became of it */

	msec aside_until; /* after an orderly release */

	/* An answer that is due from the loop. */
	struct ev_timer post;
	void (*answer)(struct etcd *t);

	/* The lock was lost, or is in doubt. */
	bool doubt;
	struct ev_timer loss; /* due to be told, behind the answer to what was under way */
	msec until;
	struct err err;
};

/* etcd.c */
void etcd_post(struct etcd *t, void (*answer)(struct etcd *t));
/* What happens to the keys is not looked at any more. */
void etcd_look_away(struct etcd *t);
/* And the owner is not announced any more, nor is anything that was put off until then done. */
void etcd_unwatch(struct etcd *t);
/* Nothing is asked or watched any more; the lease is kept. */
void etcd_rest(struct etcd *t);
/* The acquire, or the adoption, is given up. */
void etcd_fail(struct etcd *t, enum coord_trouble trouble, const struct err *e);

/* etcd_queue.c */
void etcd_join(struct etcd *t);
void etcd_look(struct etcd *t);
/* Nobody is before us, and what arrived since has been read: takes the lock, or looks again. */
void etcd_grant(struct etcd *t);
/* The job has had time to start: what was put off for it. */
void etcd_settle(struct etcd *t);
/* The lease was renewed, which may be what was missing. */
void etcd_queue_renewed(struct etcd *t);

/* etcd_owner.c */
/* At the grant: now if the job has to wait for it, else by etcd_announce_late(). */
void etcd_announce(struct etcd *t);
void etcd_announce_late(struct etcd *t);
/* What a release does to the owner key, as for wire_release(). */
struct owner_change {
	const char *key;
	const char *value;
};
struct owner_change etcd_owner_change(const struct etcd *t, bool left_nothing);
void etcd_commit(struct coord *c, const struct record *record, bool release);
/* back_due has come. */
void etcd_look_back(struct etcd *t);
/* Not ours any more: what the job does after `until` is not covered. */
void etcd_lose(struct etcd *t, msec until, const struct err *e);
void etcd_tell_loss(struct etcd *t);
void etcd_own_key_gone(struct etcd *t);

/* etcd_leave.c */
/* coord_release(); and what it asks for, now that nothing is under way: of an owner, and of others.
 */
void etcd_give_up(struct coord *c, bool left_nothing);
void etcd_release(struct etcd *t);
void etcd_leave(struct etcd *t);
void etcd_step_aside(const struct coord *c);
void etcd_farewell(struct coord *c);

#endif
