#include "policy/life_impl.h"

/* RELEASING */

static unsigned releasing_saved(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	l->dump = l->clean && l->step == LIFE_STEP_COMMIT ? LIFE_DUMP_CLEAN : LIFE_DUMP_UNCLEAN;
	return life_leave(l);
}

/* The state is tried again until the time is used up; marking the old one is tried once. */
static unsigned releasing_save_failed(struct life *l, msec for_good, msec now)
{
	l->dump = LIFE_DUMP_UNCLEAN;
	l->abandon_at = MSEC_NEVER;
	if (l->step == LIFE_STEP_COMMIT && !for_good && !l->abandoned && now < l->give_up_at) {
		life_retry_later(l, LIFE_RETRY_MAX, now);
		l->retry_at = msec_min(l->retry_at, l->give_up_at);
		return 0;
	}
	if (l->step == LIFE_STEP_COMMIT)
		return life_mark_and_release(l, now);
	l->done = false; /* no record says so: somebody will run it again */
	return life_release_alone(l, now);
}

static unsigned releasing_released(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	l->left = false;
	return life_leave(l);
}

/* Tried until it works, the lock is known to be lost, or the time of a stop is used up; a killed
 * stop does not wait for that. */
static unsigned releasing_release_failed(struct life *l, msec arg, msec now)
{
	(void)arg;
	l->left = true;
	if (l->killed)
		return life_leave(l);
	life_retry_later(l, LIFE_RETRY_MAX, now);
	return 0;
}

static unsigned releasing_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now >= l->leave_at)
		return life_leave_behind(l);
	if (now >= l->abandon_at)
		return life_abandon(l, now);
	if (now < l->retry_at)
		return 0;
	l->retry_at = MSEC_NEVER;
	if (l->step == LIFE_STEP_RELEASE)
		return LIFE_RELEASE;
	return now < l->give_up_at ? life_try_commit(l, now) : life_mark_and_release(l, now);
}

static unsigned releasing_lost(struct life *l, msec left, msec now)
{
	if (left <= 0 || l->step != LIFE_STEP_COMMIT || l->killed)
		return life_any_lost_now(l, left, now);
	life_note_lost(l, left);
	return life_doubt(l, now);
}

/* A shorter deadline may have come: the wait for the next try must not outlive it. */
static unsigned releasing_hurry(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	if (l->retry_at != MSEC_NEVER)
		l->retry_at = msec_min(l->retry_at, l->give_up_at);
	return 0;
}

static unsigned releasing_kill(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (l->retry_at != MSEC_NEVER)
		l->retry_at = now;
	return 0;
}

/* DOUBTING */

static unsigned doubting_saved(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	l->dump = l->clean ? LIFE_DUMP_CLEAN : LIFE_DUMP_UNCLEAN;
	return life_leave(l);
}

static unsigned doubting_failed(struct life *l, msec for_good, msec now)
{
	l->abandon_at = MSEC_NEVER;
	if (for_good || l->abandoned)
		return life_leave_lost(l);
	life_retry_later(l, LIFE_RETRY_MAX, now);
	return 0;
}

static unsigned doubting_lost(struct life *l, msec left, msec now)
{
	return left > 0 ? 0 : life_any_lost_now(l, left, now);
}

static unsigned doubting_stop(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	l->kill_at = l->give_up_at;
	return 0;
}

static unsigned doubting_kill(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	return life_leave_lost(l);
}

static unsigned doubting_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now >= l->kill_at || now >= l->leave_at)
		return life_leave_lost(l);
	if (now >= l->abandon_at)
		return life_abandon(l, now);
	return now < l->retry_at ? 0 : life_doubt(l, now);
}

life_transition *const life_releasing[LIFE_EVENTS_N] = {
	[LIFE_EV_SAVED] = releasing_saved,
	[LIFE_EV_SAVE_FAILED] = releasing_save_failed,
	[LIFE_EV_RELEASED] = releasing_released,
	[LIFE_EV_RELEASE_FAILED] = releasing_release_failed,
	[LIFE_EV_HURRY] = releasing_hurry,
	[LIFE_EV_KILL] = releasing_kill,
	[LIFE_EV_LOST] = releasing_lost,
	[LIFE_EV_TICK] = releasing_tick,
};

life_transition *const life_doubting[LIFE_EVENTS_N] = {
	[LIFE_EV_SAVED] = doubting_saved,
	[LIFE_EV_SAVE_FAILED] = doubting_failed,
	[LIFE_EV_STOP] = doubting_stop,
	[LIFE_EV_HURRY] = doubting_stop,
	[LIFE_EV_KILL] = doubting_kill,
	[LIFE_EV_LOST] = doubting_lost,
	[LIFE_EV_TICK] = doubting_tick,
};
