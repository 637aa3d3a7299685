#include "policy/fleet_impl.h"

#include <assert.h>
#include <string.h>

#define FORK_RETRY_MIN 200
#define FORK_RETRY_MAX 30000
#define FORK_QUIET 60000 /* a seat without an end for so long begins with the shortest pause */

void seat_init(struct seat *s, const struct seat_limits *limits, msec now)
{
	memset(s, 0, sizeof(*s));
	s->limits = *limits;
	s->state = SEAT_DUE;
	s->due = now;
	s->turn = FLEET_TURN_MIN;
	s->ended = now - FORK_QUIET;
	s->term_at = MSEC_NEVER;
	s->kill_at = MSEC_NEVER;
	s->dead_by = MSEC_NEVER;
	s->mute_by = MSEC_NEVER;
	s->quit_by = MSEC_NEVER;
}

/* What becomes of it */

void fleet_renew(struct seat *s)
{
	s->wish = SEAT_RENEWED;
}

void fleet_retire(struct seat *s)
{
	s->wish = SEAT_LEAVES;
}

/* What failed, or was finished, was the old definition. */
void fleet_renewed(struct seat *s, const struct seat_limits *limits, msec now)
{
	s->wish = SEAT_STAYS;
	s->limits = *limits;
	s->end.failed = false;
	s->delay = 0;
	s->ended = now - FORK_QUIET;
	s->due = now;
	if (s->state == SEAT_FINISHED)
		s->state = SEAT_DUE;
}

/* Its worker */

static bool was_quiet(const struct seat *s, msec now)
{
	return now - s->ended >= FORK_QUIET;
}

/* Whatever the reason: ends or failures in a row must not keep the machine busy. */
static void delay_fork(struct seat *s, msec now)
{
	if (was_quiet(s, now))
		s->delay = 0;
	s->ended = now;
	s->delay = s->delay == 0 ? FORK_RETRY_MIN : s->delay * 2;
	if (s->delay > FORK_RETRY_MAX)
		s->delay = FORK_RETRY_MAX;
	s->due = msec_add(now, s->delay);
}

void fleet_forked(struct seat *s, pid_t pid, msec now)
{
	assert(s->state == SEAT_DUE || s->state == SEAT_ORPHANED || s->state == SEAT_STRANDED);
	assert(s->pid == 0);
	if (s->state == SEAT_DUE) {
		s->state = SEAT_WORKING;
		s->dead_by = MSEC_NEVER;
		s->stop_by = 0;
		s->mute_by = msec_add(now, s->limits.adopt_timeout);
		s->main_ended = false;
		s->killing = false;
		s->cleared = false;
	} else {
		/* The sign of life that the dead one owed, if there is time for it still. */
		if (s->mute_by <= now || s->mute_by == MSEC_NEVER)
			s->mute_by = msec_add(now, s->limits.adopt_timeout);
		if (s->state == SEAT_STRANDED)
			s->state = SEAT_RESCUED;
	}
	s->pid = pid;
	s->fork_failures = 0;
	s->forked_at = now;
	s->doubts = 0;
	s->yields = false;
	s->eof = false;
	s->reaped = false;
	s->holds = false;
	s->hung = false;
	s->stuck = false;
	s->forsaken = false;
	s->anchored = true;
	s->cleared_due = false;
	memset(&s->end, 0, sizeof(s->end));
	s->told = STOP_NOT;
	s->quit_by = MSEC_NEVER;
}

bool fleet_fork_failed(struct seat *s, msec now)
{
	s->fork_failures++;
	if (s->tidies > 0)
		s->tidies--; /* none came of it */
	s->calm = false;
	delay_fork(s, now);
	return (s->fork_failures & (s->fork_failures - 1)) == 0;
}

void fleet_covered(struct seat *s, msec until, msec mute_by)
{
	if (s->forsaken)
		return;
	/* Before it has adopted the lock, or after it has lost it, that cannot have become longer.
	 */
	if (s->state != SEAT_WORKING && !s->holds) {
		s->dead_by = msec_min(s->dead_by, until);
		return;
	}
	s->dead_by = until;
	s->mute_by = mute_by;
	s->doubts = 0;
	s->hung = false;
	s->stuck = false;
	if (s->state == SEAT_WORKING)
		s->killing = false;
}

void fleet_granted(struct seat *s, msec stop_by)
{
	if (s->state == SEAT_WORKING)
		s->stop_by = stop_by;
}

void fleet_spared(struct seat *s, msec mute_by)
{
	if (s->mute_by < mute_by)
		s->mute_by = mute_by;
	s->hung = false;
	s->stuck = false;
}

void fleet_reported(struct seat *s, bool holds, bool queues, const struct seat_end *end, msec now)
{
	if (s->forsaken)
		return; /* its end has been counted */
	/* All that it does after its last report is to give its lease back. */
	if (seat_end_is_told(end) && !seat_end_is_told(&s->end))
		s->quit_by = msec_add(now, FLEET_QUIT_MAX);
	/* A rescue that has lost the lock again, too: it may have to wait for long until it hears
	 * whether that is certain. */
	if (s->holds && !holds)
		s->mute_by = MSEC_NEVER;
	s->holds = holds;
	s->queues = queues;
	s->end = *end;
	if (holds)
		s->turn = FLEET_TURN_MIN;
}

/* The end of its worker, and of its job */

/*
 * A tenure that ended in order is followed by the next at once, unless ends that nobody asked for
 * come thick and fast: a job with on_exit "release" that has nothing to do, or a lock that is lost
 * again and again. The first death after a long quiet costs nobody a pause either: perhaps no other
 * machine waits for the job. After other rescues the pause counts from the death.
 */
static void requeue(struct seat *s, bool rescue, msec now)
{
	/* A standby that comes late is a gap at the next hand-over. */
	bool at_once = rescue ? s->calm : s->end.asked;

	if (at_once) {
		s->due = now;
	} else if (rescue) {
		s->due = msec_add(s->ended, s->delay);
	} else if (was_quiet(s, now)) {
		s->delay = 0;
		s->ended = now;
		s->due = now;
	} else {
		delay_fork(s, now);
	}
}

/* A worker ended its tenure in order. */
static void ended(struct fleet *f, struct seat *s, msec now)
{
	bool rescue = s->state == SEAT_RESCUED;
	bool counts = f->level != STOP_NOT;

	f->left += counts && s->end.left;
	f->unclean += counts && s->end.unclean;
	s->rescues = 0;
	s->littered = false;
	s->tidies = 0;
	if (s->end.done) {
		s->state = SEAT_FINISHED;
	} else if (s->end.failed) {
		s->state = SEAT_DUE;
		s->due = msec_add(now, s->limits.cool_down);
	} else {
		s->state = SEAT_DUE;
		requeue(s, rescue, now);
	}
}

/* A worker died and its job may live on: it gets the time that a stop would have given it, or has
 * given it already. */
static void orphaned(struct fleet *f, struct seat *s, msec now)
{
	msec until = msec_add(now, s->limits.stop_timeout);

	if (until < s->stop_by)
		until = s->stop_by;
	if (f->level >= STOP_HURRY)
		until = msec_min(until, msec_add(now, s->limits.hurry_timeout));
	s->calm = was_quiet(s, now);
	s->littered = false;
	s->tidies = 0;
	delay_fork(s, now); /* of the next worker; its rescue comes first, and at once */
	s->due = now;
	s->state = SEAT_ORPHANED;
	s->orphans_told = false;
	s->killing = false;
	s->kill_at = f->level == STOP_KILL ? now : until;
	s->term_at = s->kill_at == MSEC_NEVER ? MSEC_NEVER : s->kill_at - s->limits.hurry_timeout;
	if (s->main_ended)
		fleet_main_ended(s, now);
}

void fleet_main_ended(struct seat *s, msec now)
{
	s->main_ended = true;
	if (s->state != SEAT_ORPHANED)
		return; /* it was quicker than the news of its worker's death */
	s->term_at = now;
	s->kill_at = msec_min(s->kill_at, msec_add(now, s->limits.hurry_timeout));
}

/* One that hung had its time, and there is not much left. */
static void replace_rescue(struct seat *s, msec now)
{
	s->calm = false;
	delay_fork(s, now);
	if (s->hung)
		s->due = now;
}

/* A rescue worker went while something of the job may live. Whatever it said: the lock is not kept
 * any more, or another one is needed. */
static void rescue_went_early(struct seat *s, msec now)
{
	if (seat_end_is_told(&s->end)) {
		s->due = MSEC_NEVER;
		s->kill_at = now;
	} else {
		s->rescues++;
		replace_rescue(s, now);
	}
}

void fleet_give_up(struct fleet *f, struct seat *s, msec now)
{
	f->left += f->level != STOP_NOT;
	f->unclean += f->level != STOP_NOT;
	s->end.left = true;
	s->end.unclean = true;
	s->rescues = 0;
	s->state = SEAT_DUE;
	delay_fork(s, now);
}

bool fleet_owns(const struct seat *s)
{
	return s->state == SEAT_WORKING && s->holds && !seat_end_is_told(&s->end);
}

/*
 * It was killed and runs no more, but may be in the middle of a system call: nobody can take over
 * what it held. A place in a queue is given back by none, either, as the next worker would be stuck
 * where this one is.
 */
bool fleet_forsake(struct fleet *f, struct seat *s, msec now)
{
	if (s->state == SEAT_ORPHANED || (fleet_owns(s) && !s->cleared))
		return false;
	s->forsaken = true;
	if (seat_end_is_told(&s->end)) {
		ended(f, s, now);
	} else if (s->state == SEAT_RESCUED || fleet_owns(s)) {
		fleet_give_up(f, s, now);
	} else {
		f->left += s->queues || s->littered;
		s->state = SEAT_DUE;
	}
	s->littered = false;
	return true;
}

/* A rescue worker that dies is replaced a few times; one that was told to quit and hangs is not, as
 * the next would do no better. */
static void rescue_died(struct fleet *f, struct seat *s, msec now)
{
	if (++s->rescues >= FLEET_RESCUES_MAX || (f->level == STOP_KILL && s->hung)) {
		fleet_give_up(f, s, now);
		return;
	}
	s->state = SEAT_STRANDED;
	replace_rescue(s, now);
}

/* A worker died while it held nothing: its place in the queue goes with the anchor, or has to be
 * given back by the next one. */
static void died_idle(struct seat *s, msec now)
{
	s->littered = s->queues;
	s->state = SEAT_DUE;
	delay_fork(s, now);
}

static void gone(struct fleet *f, struct seat *s, msec now)
{
	bool rescue = s->state == SEAT_RESCUED;

	if (!s->eof || !s->reaped)
		return;
	s->pid = 0;
	if (s->forsaken)
		return;
	if (s->state == SEAT_ORPHANED)
		rescue_went_early(s, now);
	else if (seat_end_is_told(&s->end))
		ended(f, s, now);
	else if (rescue)
		rescue_died(f, s, now);
	else if (s->holds)
		orphaned(f, s, now);
	else
		died_idle(s, now);
}

void fleet_eof(struct fleet *f, struct seat *s, msec now)
{
	s->eof = true;
	gone(f, s, now);
}

void fleet_reaped(struct fleet *f, struct seat *s, msec now)
{
	s->reaped = true;
	gone(f, s, now);
}

void fleet_cleared(struct fleet *f, struct seat *s, msec now)
{
	if (s->state == SEAT_WORKING) {
		s->cleared = true;
		return;
	}
	assert(s->state == SEAT_ORPHANED);
	s->term_at = MSEC_NEVER;
	s->kill_at = MSEC_NEVER;
	s->state = SEAT_RESCUED;
	if (s->quit_by != MSEC_NEVER)
		s->quit_by = msec_add(now, FLEET_QUIT_MAX);
	if (s->pid != 0)
		s->cleared_due = true;
	else if (seat_end_is_told(&s->end))
		ended(f, s, now);
	else
		s->state = SEAT_STRANDED;
}
