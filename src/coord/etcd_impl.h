/*
 * etcd_impl.h - the inside of the etcd coordinator, shared by its three files:
 *   etcd.c        the coordinator as coord.h sees it: phases, the lease, the way out
 *   etcd_queue.c  from the queue to the lock: joins, looks, watches; also keeps an eye on the own
 *                 key while owner
 *   etcd_owner.c  announces itself, commits, and what is told when the lock is lost
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

enum etcd_phase {
	PHASE_IDLE,       /* has not asked, or its acquire failed */
	PHASE_LEASING,    /* asked; there is no lease yet */
	PHASE_JOINING,    /* the own key is being put into the queue */
	PHASE_QUEUED,     /* it is there; looks, or waits */
	PHASE_OWNER,      /* granted */
	PHASE_COMMITTING, /* owner or in doubt, with a commit under way */
	PHASE_DOUBT,      /* the lease is lost by the clock; the lock may be ours as yet, and then
			     commits count */
	PHASE_LEAVING,    /* gives the lease back, and the key with it */
	PHASE_GONE,       /* holds nothing, or nothing that counts */
};

struct etcd {
	struct coord base;
	struct etcd_client *client;
	struct keeper keeper;
	enum etcd_phase phase;
	bool adopting;
	bool wavering;     /* the last renewal has failed */
	bool leave_wanted; /* coord_release() came while something had to be waited for */
	uint64_t epoch;    /* while owner; the one that is adopted */
	bool announced;    /* it is in the owner key */

	struct view view;
	struct ask step;   /* joining, the announcement, or a commit */
	struct ask look;   /* the view, or the own key while owner */
	struct ask burial; /* of a lease that a dead worker left */
	struct etcd_call *watch;
	msec watch_since;
	struct ev_timer look_due;
	char holder[HOLDER_TEXT_MAX]; /* that was told last */

	/* The commit under way. */
	char *text;
	bool release;
	int clashes;

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
void etcd_unwatch(struct etcd *t);
/* Nothing is asked or watched any more; the lease is kept. */
void etcd_rest(struct etcd *t);
/* The acquire, or the adoption, is given up. */
void etcd_fail(struct etcd *t, enum coord_trouble trouble, const struct err *e);
/* What coord_release() asks for, now that nothing is under way. */
void etcd_leave(struct etcd *t);

/* etcd_queue.c */
void etcd_join(struct etcd *t);
void etcd_look(struct etcd *t);
/* The lease was renewed, which may be what was missing. */
void etcd_queue_renewed(struct etcd *t);

/* etcd_owner.c */
void etcd_announce(struct etcd *t);
void etcd_commit(struct coord *c, const struct record *record, bool release);
/* Not ours any more: what the job does after `until` is not covered. */
void etcd_lose(struct etcd *t, msec until, const struct err *e);
void etcd_tell_loss(struct etcd *t);
void etcd_own_key_gone(struct etcd *t);

#endif
