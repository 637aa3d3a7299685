#include "policy/fleet_impl.h"

#define DOUBTS_MAX 2

/* A rescue that was told to waits for the end of the job first. */
static msec quits_at(const struct seat *s)
{
	bool waits = s->state == SEAT_ORPHANED && !seat_end_is_told(&s->end);

	return waits ? MSEC_NEVER : s->quit_by;
}

static msec hangs_at(const struct seat *s)
{
	if (s->pid == 0 || s->reaped || s->hung || s->forsaken)
		return MSEC_NEVER;
	return msec_min(s->mute_by, quits_at(s));
}

/* It was killed, and should have ended by then. */
static msec sticks_at(const struct seat *s)
{
	bool awaited = s->pid != 0 && !s->reaped && s->hung && !s->stuck;

	return awaited ? s->bury_by : MSEC_NEVER;
}

/* This process may have slept until now, and the worker, too: it has yet to come to speak. */
static bool has_time(const struct seat *s, msec now)
{
	return now < quits_at(s) && s->dead_by == MSEC_NEVER && s->doubts < DOUBTS_MAX;
}

/*
 * For the answer. Who only queues loses nothing but its place when it is ended for having been
 * slow; and who comes behind a place with a lease waits for that to end, if nobody gives it back
 * before.
 */
static msec patience(const struct seat *s)
{
	bool waits = s->state == SEAT_WORKING && s->queues && !s->holds;

	return waits ? s->limits.silence / 10 + 1 : s->limits.silence;
}

/* It was stopped, or starved: its job must not outlive the lock because of that. */
static bool is_hung(struct seat *s, msec now)
{
	msec at = hangs_at(s);

	if (at == MSEC_NEVER || now < at)
		return false;
	if (!has_time(s, now))
		return true;
	s->doubts++;
	s->mute_by = msec_add(now, patience(s));
	return false;
}

/* When the job of a worker that was killed, and has not ended, has to end without it. */
static msec job_ends_at(const struct fleet *f, const struct seat *s)
{
	if (!s->hung || s->reaped || s->killing || !fleet_owns(s))
		return MSEC_NEVER;
	return f->level == STOP_KILL ? msec_min(s->bury_by, s->dead_by) : s->dead_by;
}

/* Whom words do not reach. */
static enum fleet_verb next_of_hung(struct fleet *f, struct seat *s, msec now)
{
	if (is_hung(s, now)) {
		s->hung = true;
		s->bury_by = msec_add(now, FLEET_BURY_MAX);
		return FLEET_KILL_WORKER;
	}
	if (now >= sticks_at(s)) {
		s->stuck = true;
		return FLEET_STUCK;
	}
	if (now >= job_ends_at(f, s)) {
		s->killing = true;
		return FLEET_ORPHANS_KILL;
	}
	if (s->stuck && !s->reaped && f->level != STOP_NOT && fleet_forsake(f, s, now))
		return FLEET_FORSAKE;
	return FLEET_NOTHING;
}

/* A worker hears of each level once, the highest first: INT after QUIT would say nothing new. */
static enum fleet_verb next_of_live(struct fleet *f, struct seat *s, msec now)
{
	enum fleet_verb hung = next_of_hung(f, s, now);
	bool recalled = s->state == SEAT_WORKING && fleet_is_recalled(s);
	enum stop_level level = f->level == STOP_NOT && recalled ? STOP_GRACEFUL : f->level;

	static const enum fleet_verb tell[] = {
		[STOP_GRACEFUL] = FLEET_TELL_STOP,
		[STOP_HURRY] = FLEET_TELL_HURRY,
		[STOP_KILL] = FLEET_TELL_KILL,
	};

	if (hung != FLEET_NOTHING)
		return hung;
	if (s->reaped)
		return FLEET_NOTHING;
	if (s->told < level) {
		s->told = level;
		if (level == STOP_KILL)
			s->quit_by = msec_add(now, FLEET_QUIT_MAX);
		return tell[level];
	}
	if (s->cleared_due) {
		s->cleared_due = false;
		return FLEET_TELL_CLEARED;
	}
	return FLEET_NOTHING;
}

/* The rescue worker of a seat that has none. */
static enum fleet_verb next_of_due(struct seat *s, msec now)
{
	if (now < s->due)
		return FLEET_NOTHING;
	s->due = MSEC_NEVER; /* until the answer */
	return FLEET_FORK_RESCUE;
}

/* Who kills does not wait for a process to be had, either. */
static enum fleet_verb next_of_stranded(struct fleet *f, struct seat *s, msec now)
{
	if (f->level < STOP_KILL || s->fork_failures < FLEET_RESCUES_MAX)
		return next_of_due(s, now);
	fleet_give_up(f, s, now);
	f->acted = true;
	return FLEET_NOTHING;
}

/* At once if their rescue is stuck and said that it keeps no lock any more: nobody else will. */
static msec orphans_end(const struct seat *s)
{
	if (s->stuck && seat_end_is_told(&s->end))
		return s->bury_by;
	return msec_min(s->kill_at, s->dead_by);
}

/* The rescue comes first: it sees the job to its end should this process die in the middle of it.
 */
static enum fleet_verb next_of_orphaned(struct fleet *f, struct seat *s, msec now)
{
	enum fleet_verb rescue = s->pid == 0 ? next_of_due(s, now) : FLEET_NOTHING;

	if (rescue != FLEET_NOTHING)
		return rescue;
	if (!s->orphans_told) {
		s->orphans_told = true;
		return FLEET_ORPHANS_STOP;
	}
	if (now >= s->term_at) {
		s->term_at = MSEC_NEVER;
		return FLEET_ORPHANS_TERM;
	}
	if (now >= orphans_end(s) && !s->killing) {
		s->killing = true;
		return FLEET_ORPHANS_KILL;
	}
	return s->pid != 0 ? next_of_live(f, s, now) : FLEET_NOTHING;
}

/* Its time has come: it is served when its turn comes. */
static void park(struct fleet *f, struct seat *s)
{
	s->state = SEAT_PARKED;
	s->ticket = f->tickets++;
	f->acted = true;
}

static enum fleet_verb fork_worker(struct fleet *f, struct seat *s)
{
	if (f->free != FLEET_ALL && f->free > 0)
		f->free--;
	s->state = SEAT_DUE;
	s->due = MSEC_NEVER; /* until the answer */
	return FLEET_FORK;
}

static enum fleet_verb begin(struct fleet *f, struct seat *s)
{
	if (!fleet_may_start(f, s))
		return FLEET_NOTHING;
	s->tidies = 0;
	return fork_worker(f, s);
}

/* Whether a worker is wanted for no more than to give back the place in the queue that the last one
 * left. Who kills leaves it, and so does what failed again and again, to the end of its lease. */
static bool is_littered(const struct fleet *f, const struct seat *s)
{
	bool ends = f->level != STOP_NOT || f->draining || s->wish == SEAT_LEAVES;

	return ends && s->littered && s->tidies < FLEET_TIDIES_MAX &&
	       s->fork_failures < FLEET_RESCUES_MAX && f->level < STOP_KILL;
}

static enum fleet_verb next_of_littered(struct fleet *f, struct seat *s, msec now)
{
	s->state = SEAT_DUE;
	/* A stop has no time for the pauses between one death and the next. */
	if (now < s->due && (f->level == STOP_NOT || s->fork_failures > 0))
		return FLEET_NOTHING;
	s->tidies++;
	return fork_worker(f, s);
}

/* No worker, and nothing held: the anchor goes, and with it a seat that leaves, or in a stop. */
static enum fleet_verb next_of_idle(struct fleet *f, struct seat *s, msec now)
{
	if (s->anchored) {
		s->anchored = false;
		f->acted = true;
		return FLEET_DROP_ANCHOR;
	}
	if (is_littered(f, s))
		return next_of_littered(f, s, now);
	if (f->level != STOP_NOT) {
		f->left += s->littered;
		s->littered = false;
	}
	if (s->wish == SEAT_LEAVES && !s->forsaken)
		return FLEET_FREE;
	if (f->level != STOP_NOT) {
		if (s->state != SEAT_FINISHED)
			s->state = SEAT_VACANT;
		return FLEET_NOTHING;
	}
	if (s->wish == SEAT_RENEWED)
		return FLEET_RENEW;
	/* A drain has no place for it, whatever it waits for; afterwards it goes on waiting. */
	if (s->state == SEAT_PARKED && now < s->due && !f->draining) {
		s->state = SEAT_DUE;
		f->acted = true; /* it is before nobody any more */
	}
	if (s->state == SEAT_DUE && (now >= s->due || f->draining))
		park(f, s);
	return s->state == SEAT_PARKED ? begin(f, s) : FLEET_NOTHING;
}

static enum fleet_verb next_of(struct fleet *f, struct seat *s, msec now)
{
	switch (s->state) {
	case SEAT_VACANT:
	case SEAT_FINISHED:
	case SEAT_DUE:
	case SEAT_PARKED: return next_of_idle(f, s, now);
	case SEAT_WORKING:
	case SEAT_RESCUED: return next_of_live(f, s, now);
	case SEAT_ORPHANED: return next_of_orphaned(f, s, now);
	case SEAT_STRANDED: return next_of_stranded(f, s, now);
	}
	return FLEET_NOTHING;
}

/* Over all seats */

static bool all_empty(const struct fleet *f)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->seats[i]->state != SEAT_VACANT && f->seats[i]->state != SEAT_FINISHED)
			return false;
	}
	return true;
}

/* The rest of a pass over all seats: goes on where it left off. */
static struct fleet_action next_in_pass(struct fleet *f, msec now)
{
	struct fleet_action a = { FLEET_NOTHING, NULL };

	if (f->cursor == 0)
		fleet_share_out(f, now);
	for (; f->cursor < f->n; f->cursor++) {
		a.seat = f->seats[f->cursor];
		a.verb = next_of(f, a.seat, now);
		if (a.verb != FLEET_NOTHING)
			return a;
	}
	f->cursor = 0;
	a.seat = NULL;
	return a;
}

struct fleet_action fleet_next(struct fleet *f, msec now)
{
	struct fleet_action a;

	/* Once more after a pass in which something was done: it may have made room. */
	do {
		f->acted = f->acted && f->cursor > 0;
		a = next_in_pass(f, now);
	} while (a.verb == FLEET_NOTHING && f->acted);
	if (a.verb != FLEET_NOTHING)
		f->acted = true;
	if (a.verb == FLEET_NOTHING && f->level != STOP_NOT && !f->exiting && all_empty(f)) {
		f->exiting = true;
		a.verb = FLEET_EXIT;
	}
	return a;
}

msec fleet_deadline(const struct fleet *f)
{
	msec at = f->rotate_at;

	for (size_t i = 0; i < f->n; i++) {
		const struct seat *s = f->seats[i];

		if (s->state == SEAT_DUE || s->state == SEAT_STRANDED)
			at = msec_min(at, s->due);
		at = msec_min(at, msec_min(hangs_at(s), sticks_at(s)));
		at = msec_min(at, job_ends_at(f, s));
		if (s->state == SEAT_ORPHANED) {
			at = msec_min(at, s->term_at);
			at = msec_min(at, s->killing ? MSEC_NEVER : orphans_end(s));
			at = msec_min(at, s->pid == 0 ? s->due : MSEC_NEVER);
		}
	}
	return at;
}
