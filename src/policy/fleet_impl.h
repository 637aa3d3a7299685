/*
 * fleet_impl.h - the inside of the fleet, shared by its files:
 *   fleet.c         the fleet as a whole: which seats it has, how far a stop has come, how it ended
 *   fleet_seat.c    a seat and what happened to its worker: the next state, the next fork
 *   fleet_places.c  how many seats may have a worker, and which: who is parked, who yields
 *   fleet_next.c    what is to be done about each seat, and when
 */
#ifndef POLICY_FLEET_IMPL_H
#define POLICY_FLEET_IMPL_H

#include "policy/fleet.h"

#define FLEET_RESCUES_MAX 5
#define FLEET_TIDIES_MAX 2 /* workers in a row that are to give back a place in a queue */

/* fleet_seat.c */

/* Nobody can commit and release what was held: the lock is left to the anchor's end. */
void fleet_give_up(struct fleet *f, struct seat *s, msec now);
/* A stop goes on without its worker, which is stuck. False: something of its job may live. */
bool fleet_forsake(struct fleet *f, struct seat *s, msec now);
/* It has not said that it is done with the lock, nor with the job. */
bool fleet_owns(const struct seat *s);

/* fleet_places.c */

/* It has to hand over, be it for another seat or under its wish. */
bool fleet_is_recalled(const struct seat *s);
/* At the begin of a pass: counts the free places, and says who yields. */
void fleet_share_out(struct fleet *f, msec now);
/* Whether a parked seat may have a worker now: first come, first served. */
bool fleet_may_start(const struct fleet *f, const struct seat *s);

#endif
