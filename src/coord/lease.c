#include "coord/lease.h"

#include <assert.h>
#include <string.h>

#define ATTEMPT_MAX 1000
#define ATTEMPT_MIN 200
#define PAUSE_MAX 1000
#define PAUSE_MIN 100
#define MARGIN_MIN 1000

/*
 * What stopping the job takes: the stop signal, a short dump, and the last quarter of it for
 * SIGKILL and for clocks that do not quite agree.
 */
static msec margin(const struct lease *l)
{
	msec fifth = l->ttl / 5;

	return msec_min(fifth > MARGIN_MIN ? fifth : MARGIN_MIN, l->ttl / 2);
}

/* Jitter makes it earlier only: a third of the TTL is what must be left for two more attempts. */
static void extend(struct lease *l, msec ttl)
{
	l->ttl = ttl;
	l->end = msec_add(l->sent, ttl);
	l->next = l->sent + ttl / 3 - msec_roll(&l->random, ttl / 30);
	l->failures = 0;
}

void lease_init(struct lease *l, msec ttl, msec sent, uint64_t seed)
{
	assert(ttl > 0);
	memset(l, 0, sizeof(*l));
	l->random = seed | 1;
	l->granted = ttl;
	l->sent = sent;
	extend(l, ttl);
}

/* When it counts as lost, unless it is renewed. */
static msec lost_at(const struct lease *l)
{
	return l->relied_on ? l->end - margin(l) : MSEC_NEVER;
}

bool lease_is_over(const struct lease *l, msec now)
{
	return l->lost || now >= lost_at(l);
}

void lease_rely(struct lease *l)
{
	l->relied_on = true;
}

enum lease_action lease_tick(struct lease *l, msec now)
{
	if (l->lost)
		return LEASE_NOTHING;
	if (lease_is_over(l, now)) {
		l->lost = true;
		return LEASE_LOST;
	}
	if (l->renewing || now < l->next)
		return LEASE_NOTHING;
	l->renewing = true;
	l->sent = now;
	return LEASE_RENEW;
}

/* A renewal may be answered after the lease was given up for lost; that changes nothing any more.
 */
void lease_renewed(struct lease *l, msec ttl)
{
	assert(l->renewing && ttl > 0);
	l->renewing = false;
	if (!l->lost)
		extend(l, msec_min(ttl, l->granted));
}

static msec pause_of(struct lease *l)
{
	msec pause = msec_min(l->ttl / 15, PAUSE_MAX);

	if (pause < PAUSE_MIN)
		pause = PAUSE_MIN;
	return pause - pause / 4 + msec_roll(&l->random, pause / 2 + 1);
}

void lease_failed(struct lease *l, msec now)
{
	assert(l->renewing);
	l->renewing = false;
	l->next = l->failures == 0 ? now : now + pause_of(l);
	l->failures++;
}

enum lease_action lease_gone(struct lease *l)
{
	bool told = l->lost;

	l->renewing = false;
	l->lost = true;
	l->end = 0;
	return told ? LEASE_NOTHING : LEASE_LOST;
}

msec lease_deadline(const struct lease *l)
{
	if (l->lost)
		return MSEC_NEVER;
	return l->renewing ? lost_at(l) : msec_min(l->next, lost_at(l));
}

msec lease_attempt_until(const struct lease *l)
{
	msec most = msec_min(l->ttl / 5, ATTEMPT_MAX);

	return l->sent + (most > ATTEMPT_MIN ? most : ATTEMPT_MIN);
}

msec lease_end(const struct lease *l)
{
	return l->end;
}

msec lease_kill_by(const struct lease *l)
{
	return l->end > 0 ? l->end - margin(l) / 4 : 0;
}

msec lease_mute_by(const struct lease *l)
{
	return l->end > 0 ? l->end - margin(l) + margin(l) / 4 : 0;
}

bool lease_is_fresh(const struct lease *l, msec now)
{
	return !l->lost && l->end - now > l->ttl / 2;
}
