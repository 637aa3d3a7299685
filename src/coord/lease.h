/*
 * lease.h - keeping a lease alive, as pure decisions: when to renew, and until when the lock that
 * hangs on it is certainly held. No I/O, no clock: `now` is passed in.
 *
 * The rules:
 *  - a renewal extends the lease from the moment it was SENT: the answer may have been on the way
 *    for long;
 *  - renew at TTL/3, with a little jitter; after a failure again at once at the next endpoint, then
 *    with a short pause, for as long as there is time;
 *  - a granted TTL that differs from the one asked for is the one that counts; a renewal that is
 *    answered with less shortens it, one that is answered with more than was granted does not
 *    lengthen it: no etcd does that, and who believed it would rely on a lease that nobody keeps;
 *  - an answer that comes late extends the lease only by what it is worth; one that says that the
 *    lease is gone means lost, at once;
 *  - once somebody relies on it: with too little left to be safe (the margin for stopping the job),
 *    the lease counts as lost. Before that it is tried until the server says that it is gone: there
 * is nothing to stop, and a place in a queue hangs on it;
 *  - a lease once lost is never held again.
 */
#ifndef COORD_LEASE_H
#define COORD_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

enum lease_action {
	LEASE_NOTHING,
	LEASE_RENEW, /* send a keepalive; lease_renewed(), lease_failed() or lease_gone() follows */
	LEASE_LOST,  /* told once: stop the job, and see lease_kill_by() */
};

struct lease {
	msec granted;
	msec ttl;  /* as the last answer has it, granted at most */
	msec end;  /* the lease is certainly alive before that */
	msec next; /* renewal */
	msec sent; /* of the renewal under way, or of the last one */
	bool renewing;
	bool relied_on;
	bool lost;
	int failures; /* in a row */
	uint64_t random;
};

/* ttl > 0, as granted; sent: when the request for the grant was sent. */
void lease_init(struct lease *l, msec ttl, msec sent, uint64_t seed);
/* Something must have stopped when it ends, from now on. */
void lease_rely(struct lease *l);
enum lease_action lease_tick(struct lease *l, msec now);
/* The renewal that was sent last was answered: alive, for ttl > 0 (but no more than was granted)
 * from when it was sent. */
void lease_renewed(struct lease *l, msec ttl);
/* It failed or timed out; the lease may have been extended or not. */
void lease_failed(struct lease *l, msec now);
/* The server says that the lease does not exist. */
enum lease_action lease_gone(struct lease *l);

/* Whether it is too late for another try: the next lease_tick() says that it is lost, or one has.
 */
bool lease_is_over(const struct lease *l, msec now);
msec lease_deadline(const struct lease *l); /* of lease_tick() */
/* When to give the renewal under way up, and try the next endpoint. */
msec lease_attempt_until(const struct lease *l);
/* The lock is certainly held before that, which may have passed; 0 when gone. */
msec lease_end(const struct lease *l);
/* When the job must be killed, so that all of it is dead by lease_end(); 0 when gone. */
msec lease_kill_by(const struct lease *l);
/* By then whoever keeps the lease has renewed it or called it lost; 0 when gone. */
msec lease_mute_by(const struct lease *l);
/*
 * Whether a renewal that was sent not long ago succeeded, and there is time enough to begin
 * something: what is asked for after the queue, before a job is started.
 */
bool lease_is_fresh(const struct lease *l, msec now);

#endif
