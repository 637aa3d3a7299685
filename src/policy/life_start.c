#include "policy/life_impl.h"

#define RETRY_MISTAKE_MIN 2000 /* an attempt may cost the server a lot: a password does */
#define RETRY_MISTAKE_MAX 30000

/* STARTING */

static unsigned starting_begin(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	if (l->stopping && !l->rescue)
		return life_leave(l);
	l->state = LIFE_STANDBY;
	return LIFE_ACQUIRE;
}

/* STANDBY */

static unsigned standby_cleared(struct life *l, msec clean, msec now)
{
	(void)now;
	life_note_cleared(l, clean != 0);
	return 0;
}

static unsigned standby_granted(struct life *l, msec is_done, msec now)
{
	l->owner = true;
	life_disarm(l);
	if (l->rescue)
		return life_rescue_waits(l, now);
	if (is_done) {
		l->done = true;
		return life_release_alone(l, now);
	}
	l->state = LIFE_RESTORING;
	return LIFE_RESTORE;
}

/* Of a rescue, whose job may live on: what that dumps is noted down when it is whole. */
static unsigned standby_lost(struct life *l, msec arg, msec now)
{
	(void)arg;
	life_note_lost(
	    l, 0); /* whatever it says: nothing was granted, so nothing can be committed */
	return l->rescue ? life_rescue_waits(l, now) : life_leave_lost(l);
}

static unsigned standby_refused(struct life *l, msec is_mistake, msec now)
{
	if (l->rescue) {
		l->left = true;
		l->dump = LIFE_DUMP_UNCLEAN;
		return life_leave(l);
	}
	if (is_mistake && l->retry_delay < RETRY_MISTAKE_MIN / 2)
		l->retry_delay = RETRY_MISTAKE_MIN / 2;
	life_retry_later(l, is_mistake ? RETRY_MISTAKE_MAX : LIFE_RETRY_MAX, now);
	/* All jobs meet it at once, and should not come back at once. */
	if (is_mistake)
		l->retry_at = msec_add(now, backoff_jitter(l->backoff, l->retry_delay));
	return 0;
}

/* The dead worker released it and had no time to say so, or its lease has ended. */
static unsigned standby_freed(struct life *l, msec nothing_lost, msec now)
{
	if (!l->rescue)
		return 0;
	if (!nothing_lost)
		return life_any_lost_now(l, 0, now);
	l->dump = l->ran ? LIFE_DUMP_CLEAN : LIFE_DUMP_NONE;
	return life_leave(l);
}

/* How a stop ends the wait, however urgent it is. */
static unsigned standby_leave(struct life *l, msec arg, msec now)
{
	(void)arg;
	/* A rescue holds the lock already and goes on: it is what a stop would ask for. */
	if (l->rescue)
		return 0;
	/* Between two attempts nothing is queued for; a release would fail as they do. */
	return l->retry_at != MSEC_NEVER ? life_leave(l) : life_release_alone(l, now);
}

static unsigned standby_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now < l->retry_at)
		return 0;
	l->retry_at = MSEC_NEVER;
	return LIFE_ACQUIRE;
}

/* RESTORING: no job yet */

/*
 * A store that hangs must not keep a stop from its end: nothing is held that the answer could
 * change. What a job that ran before left is no state, or it would not be replaced: there is only
 * the last record to mark. Not so while a job is being started, as there may be one any moment.
 */
static unsigned restoring_leave(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (!(l->awaited & LIFE_RESTORE))
		return 0;
	return l->ran ? life_mark_and_release(l, now) : life_release_alone(l, now);
}

static unsigned restoring_restored(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	l->placed = true;
	return LIFE_SPAWN;
}

static unsigned restoring_failed(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (l->lost)
		return life_leave_lost(l);
	return l->stopping ? life_hand_over(l, now) : life_after_failure(l, now);
}

static unsigned restoring_not_spawned(struct life *l, msec is_gone, msec now)
{
	if (is_gone)
		l->placed = false;
	return restoring_failed(l, 0, now);
}

/* Who waits for a store does not queue for the lock again. While a job is being started there may
 * be one any moment. */
static unsigned restoring_lost(struct life *l, msec left, msec now)
{
	if (l->awaited & LIFE_RESTORE)
		return life_any_lost_now(l, left, now);
	life_note_lost(l, left);
	return 0;
}

life_transition *const life_starting[LIFE_EVENTS_N] = {
	[LIFE_EV_BEGIN] = starting_begin,
};

life_transition *const life_standby[LIFE_EVENTS_N] = {
	[LIFE_EV_GRANTED] = standby_granted,
	[LIFE_EV_REFUSED] = standby_refused,
	[LIFE_EV_FREED] = standby_freed,
	[LIFE_EV_STOP] = standby_leave,
	[LIFE_EV_HURRY] = standby_leave,
	[LIFE_EV_KILL] = standby_leave,
	[LIFE_EV_LOST] = standby_lost,
	[LIFE_EV_CLEARED] = standby_cleared,
	[LIFE_EV_TICK] = standby_tick,
};

life_transition *const life_restoring[LIFE_EVENTS_N] = {
	[LIFE_EV_RESTORED] = restoring_restored,
	[LIFE_EV_RESTORE_FAILED] = restoring_failed,
	[LIFE_EV_SPAWNED] = life_spawned,
	[LIFE_EV_SPAWN_FAILED] = restoring_not_spawned,
	[LIFE_EV_STOP] = restoring_leave,
	[LIFE_EV_HURRY] = restoring_leave,
	[LIFE_EV_KILL] = restoring_leave,
	[LIFE_EV_LOST] = restoring_lost,
};
