#include "policy/life_impl.h"

/* RUNNING */

static unsigned running_exited(struct life *l, msec with_zero, msec now)
{
	life_disarm(l);
	l->state = LIFE_CLEARING;
	l->exited = true;
	/* Once its watchdog barked, no exit status is by its own will. */
	l->clean = with_zero != 0 && !l->aborted;
	l->done = l->clean && l->conf->finish_done;
	l->kill_at = msec_add(now, l->conf->hurry_timeout);
	return LIFE_CLEAR;
}

static unsigned running_stop(struct life *l, msec arg, msec now)
{
	msec aborted = l->kill_at; /* if its watchdog barked, a stop gives it no more time */

	(void)arg;
	life_disarm(l);
	l->state = LIFE_DUMPING;
	l->kill_at = msec_min(aborted, msec_add(now, l->conf->stop_timeout));
	if (l->kill_at != MSEC_NEVER)
		l->term_at = l->kill_at - l->conf->hurry_timeout;
	return LIFE_SIGNAL_STOP;
}

static unsigned running_hurry(struct life *l, msec arg, msec now)
{
	unsigned act = running_stop(l, arg, now);

	l->term_at = MSEC_NEVER;
	l->kill_at = msec_min(l->kill_at, msec_add(now, l->conf->hurry_timeout));
	return act | LIFE_SIGNAL_TERM;
}

static unsigned running_kill(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	life_disarm(l);
	l->state = LIFE_DUMPING;
	return LIFE_KILL;
}

static unsigned running_lost(struct life *l, msec left, msec now)
{
	life_disarm(l);
	life_note_lost(l, left);
	l->state = LIFE_DUMPING;
	if (left <= 0)
		return LIFE_KILL;
	l->kill_at = msec_add(now, left);
	return LIFE_SIGNAL_STOP;
}

static unsigned running_alive(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (l->conf->watchdog > 0 && !l->aborted)
		l->watchdog_at = msec_add(now, l->conf->watchdog);
	return 0;
}

static unsigned running_tick(struct life *l, msec arg, msec now)
{
	unsigned act = 0;

	(void)arg;
	if (now >= l->watchdog_at) {
		l->watchdog_at = MSEC_NEVER;
		l->aborted = true;
		l->kill_at = msec_add(now, l->conf->hurry_timeout);
		act |= LIFE_SIGNAL_ABORT;
	}
	if (now >= l->kill_at) {
		l->kill_at = MSEC_NEVER;
		act |= LIFE_KILL;
	}
	return act;
}

/* A job that was being started when the stop or the loss came: its answer was waited for, so that
 * no process runs unknown. */
unsigned life_spawned(struct life *l, msec arg, msec now)
{
	l->state = LIFE_RUNNING;
	l->ran = true;
	l->aborted = false;
	l->clean = false;
	l->exited = false;
	if (l->lost)
		return running_lost(l, 0, now);
	if (l->killed)
		return running_kill(l, arg, now);
	if (l->hurried)
		return running_hurry(l, arg, now);
	return l->stopping ? running_stop(l, arg, now) : 0;
}

/* CLEARING: the job's main process is gone, others of it may live */

static unsigned clearing_cleared(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (!l->exited)
		return 0; /* of a run before this one */
	life_disarm(l);
	if (l->lost)
		return life_end_lost(l, now);
	return l->stopping ? life_commit_and_release(l, now) : life_after_end(l, now);
}

static unsigned clearing_kill(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	life_disarm(l);
	return LIFE_KILL;
}

static unsigned clearing_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now >= l->kill_at) {
		life_disarm(l);
		return LIFE_KILL;
	}
	if (now >= l->term_at) {
		l->term_at = MSEC_NEVER;
		return LIFE_SIGNAL_TERM;
	}
	return 0;
}

static unsigned clearing_lost(struct life *l, msec left, msec now)
{
	life_note_lost(l, left);
	l->kill_at = msec_min(l->kill_at, msec_add(now, left > 0 ? left : 0));
	return clearing_tick(l, 0, now);
}

/* SAVING */

static unsigned saving_saved(struct life *l, msec arg, msec now)
{
	(void)arg;
	l->ran = false;
	if (l->stopping) {
		l->dump = l->clean ? LIFE_DUMP_CLEAN : LIFE_DUMP_UNCLEAN;
		return life_release_alone(l, now);
	}
	l->abandon_at = MSEC_NEVER;
	l->state = LIFE_BACKOFF;
	return 0;
}

/* What could not be saved stays in the job's file: the job starts from it, and it is saved with the
 * next backup. */
static unsigned saving_failed(struct life *l, msec for_good, msec now)
{
	if (for_good) {
		/* What it left is no state: the restart begins with the last committed one. */
		l->placed = false;
		l->clean = false;
	}
	if (l->stopping && l->abandoned)
		return life_mark_and_release(l, now);
	if (l->stopping)
		return life_commit_and_release(l, now);
	l->abandon_at = MSEC_NEVER;
	l->state = LIFE_BACKOFF;
	return 0;
}

static unsigned saving_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now >= l->leave_at)
		return life_leave_behind(l);
	return now >= l->abandon_at ? life_abandon(l, now) : 0;
}

/* BACKOFF */

static unsigned backoff_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now < l->retry_at)
		return 0;
	life_disarm(l);
	l->state = LIFE_RESTORING;
	return l->placed ? LIFE_SPAWN : LIFE_RESTORE;
}

static unsigned backoff_leave(struct life *l, msec arg, msec now)
{
	(void)arg;
	return life_hand_over(l, now);
}

/* DUMPING */

static unsigned dumping_cleared(struct life *l, msec clean, msec now)
{
	if (!l->rescue)
		return clearing_cleared(l, 0, now);
	life_note_cleared(l, clean != 0);
	life_disarm(l);
	return life_rescue_waits(l, now);
}

static unsigned dumping_exited(struct life *l, msec with_zero, msec now)
{
	if (l->exited)
		return 0; /* the first one told how it ended */
	l->exited = true;
	l->clean = with_zero != 0 && !l->killed;
	l->term_at = MSEC_NEVER;
	if (l->killed)
		return LIFE_KILL;
	l->kill_at = msec_min(l->kill_at, msec_add(now, l->conf->hurry_timeout));
	return LIFE_CLEAR;
}

/* It may be that the lock was lost before, which gave the job more time than a stop does. */
static unsigned dumping_stop(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	if (l->kill_at != MSEC_NEVER)
		l->kill_at = msec_min(l->kill_at, l->give_up_at);
	return 0;
}

static unsigned dumping_hurry(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (l->rescue)
		return 0; /* the job is the master's */
	l->term_at = MSEC_NEVER;
	l->kill_at = msec_min(l->kill_at, msec_add(now, l->conf->hurry_timeout));
	return l->exited ? 0 : LIFE_SIGNAL_TERM;
}

static unsigned dumping_extend(struct life *l, msec more, msec now)
{
	msec until = msec_add(now, more);

	if (l->exited || l->hurried || l->killed || l->lost || until <= l->kill_at)
		return 0;
	l->kill_at = until;
	l->give_up_at = until;
	/* Not in the past: then the job was told to hurry already, and asked for more because of
	 * it. */
	if (until == MSEC_NEVER)
		l->term_at = MSEC_NEVER;
	else if (until - l->conf->hurry_timeout > now)
		l->term_at = until - l->conf->hurry_timeout;
	return 0;
}

life_transition *const life_running[LIFE_EVENTS_N] = {
	[LIFE_EV_EXITED] = running_exited,
	[LIFE_EV_STOP] = running_stop,
	[LIFE_EV_HURRY] = running_hurry,
	[LIFE_EV_KILL] = running_kill,
	[LIFE_EV_LOST] = running_lost,
	[LIFE_EV_ALIVE] = running_alive,
	[LIFE_EV_TICK] = running_tick,
};

life_transition *const life_clearing[LIFE_EVENTS_N] = {
	[LIFE_EV_CLEARED] = clearing_cleared,
	[LIFE_EV_KILL] = clearing_kill,
	[LIFE_EV_LOST] = clearing_lost,
	[LIFE_EV_TICK] = clearing_tick,
};

life_transition *const life_saving[LIFE_EVENTS_N] = {
	[LIFE_EV_SAVED] = saving_saved,
	[LIFE_EV_SAVE_FAILED] = saving_failed,
	[LIFE_EV_LOST] = life_any_lost_now,
	[LIFE_EV_TICK] = saving_tick,
};

life_transition *const life_backoff[LIFE_EVENTS_N] = {
	[LIFE_EV_STOP] = backoff_leave,
	[LIFE_EV_HURRY] = backoff_leave,
	[LIFE_EV_KILL] = backoff_leave,
	[LIFE_EV_LOST] = life_any_lost_now,
	[LIFE_EV_TICK] = backoff_tick,
};

life_transition *const life_dumping[LIFE_EVENTS_N] = {
	[LIFE_EV_EXITED] = dumping_exited,
	[LIFE_EV_CLEARED] = dumping_cleared,
	[LIFE_EV_STOP] = dumping_stop,
	[LIFE_EV_HURRY] = dumping_hurry,
	[LIFE_EV_KILL] = clearing_kill,
	[LIFE_EV_LOST] = clearing_lost,
	[LIFE_EV_EXTEND] = dumping_extend,
	[LIFE_EV_TICK] = clearing_tick,
};
