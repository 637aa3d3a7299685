/*
 * etcd_keeper.h - one lease in etcd: granted or taken over, renewed until it is given back.
 *
 * When to renew, and what counts as lost, is decided in coord/lease.h; here it is carried out. A
 * renewal is a request of its own and never waits for another one.
 *
 * The id is chosen here, at random, before etcd is asked. So a grant whose answer was lost can be
 * asked for again, and what it left can be given back by whoever knows the id, also if no answer
 * ever comes. An id is never used again once it may have been given back: a late revocation would
 * end a lease that somebody relies on.
 */
#ifndef COORD_ETCD_KEEPER_H
#define COORD_ETCD_KEEPER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/alarm.h"
#include "base/clock.h"
#include "base/err.h"
#include "coord/etcd_ask.h"
#include "coord/etcd_burial.h"
#include "coord/etcd_client.h"
#include "coord/lease.h"

/* Each is called from the loop, as the last thing: it may close the keeper. */
struct keeper_hooks {
	void (*ready)(void *ctx); /* after begin or adopt: it is held */
	/* after begin or adopt: it is not */
	void (*refused)(void *ctx, enum etcd_code code, const struct err *e);
	void (*renewed)(void *ctx);
	/* A renewal has failed; the next ones may not, and there is time for them. Once until
	 * renewed() or lost(). Also once after begin or adopt, or part for somebody who waits, when
	 * etcd does not answer and is asked on. */
	void (*wavering)(void *ctx, enum etcd_code code, const struct err *e);
	/* Once: it runs out while somebody relies on it, or etcd says that it is gone. It is not
	 * renewed any more. Also instead of refused(), when what is to be adopted is gone. */
	void (*lost)(void *ctx, const struct err *e);
};

struct keeper {
	struct ev_loop *loop;
	struct etcd_client *client;
	const struct keeper_hooks *hooks;
	void *ctx;
	uint64_t id;   /* 0: there is none */
	msec asked;    /* the TTL that bounds what is believed of etcd's answers */
	bool doubtful; /* it was asked for, and whether it was granted is not known */
	bool held;     /* it is being renewed, or was until it was lost */
	struct lease lease;
	struct alarm alarm;
	struct ask asking; /* the grant, or the first keepalive of an adopted one */
	struct etcd_call *renewal;
	struct ask parting;
	uint64_t parting_id;
	void (*parted)(void *ctx, const struct err *e);
	struct burials burials; /* of older leases */
	struct err why;         /* the last failure of a renewal */
};

int keeper_open(struct keeper *k, struct ev_loop *loop, struct etcd_client *client,
    const struct keeper_hooks *hooks, void *ctx, struct err *e);
void keeper_close(struct keeper *k);

/* For a lease: random, so that nobody else has it. etcd takes any of 1 to INT64_MAX. */
uint64_t keeper_choose_id(void);

/*
 * Gets a new lease. Answer: ready() or, after `patience`, refused(). From now on k->id is its id;
 * after refused() it is 0, or doubtful: then the next keeper_begin() asks for the same one.
 */
void keeper_begin(struct keeper *k, msec ttl, msec patience);
/* Takes a lease over that another process held. ttl: what that would have asked for. Likewise. */
void keeper_adopt(struct keeper *k, uint64_t id, msec ttl, msec patience);
/* One that another process left, and that nobody is to renew: for keeper_part(). */
void keeper_inherit(struct keeper *k, uint64_t id);
/* The lock hangs on it from now on: it is lost in time to stop a job. Before that, only when etcd
 * says that it is gone. No-op when none is held. */
void keeper_rely(struct keeper *k);
bool keeper_is_relied_on(const struct keeper *k);

/*
 * Gives the lease back, and with it every key that hangs on it. parted is told when that is done (e
 * NULL), or could not be within `patience` or was refused; then it may be called again. Until it is
 * done the lease is renewed as before, and may be lost. Without parted nobody needs it any more, so
 * it is not renewed either: what cannot be given back ends by itself. An older lease that is being
 * given back goes on being so, in k->burials.
 */
void keeper_part(struct keeper *k, msec patience, void (*parted)(void *ctx, const struct err *e));
bool keeper_is_parting(struct keeper *k);
/* What begin, adopt or part still wait for is to be answered within `patience`. */
void keeper_hurry(struct keeper *k, msec patience);
/* Forgets the lease without giving it back: it runs out by itself. */
void keeper_drop(struct keeper *k);

bool keeper_is_fresh(const struct keeper *k);

#endif
