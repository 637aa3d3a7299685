#include "policy/fleet.h"

#include <assert.h>
#include <string.h>

#include "base/exits.h"

#define FORK_RETRY_MIN 200
#define FORK_RETRY_MAX 30000
#define FORK_QUIET 60000 /* a seat without an end for so long begins with the shortest pause */
#define RESCUES_MAX 5

void fleet_init(struct fleet *f, struct seat **seats, size_t n)
{
	memset(f, 0, sizeof(*f));
	f->seats = seats;
	f->n = n;
}

void seat_init(struct seat *s, const struct seat_limits *limits, msec now)
{
	memset(s, 0, sizeof(*s));
	s->limits = *limits;
	s->state = SEAT_DUE;
	s->due = now;
	s->ended = now - FORK_QUIET;
	s->term_at = MSEC_NEVER;
	s->kill_at = MSEC_NEVER;
	s->dead_by = MSEC_NEVER;
}

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

void fleet_forked(struct seat *s, pid_t pid)
{
	assert(s->state == SEAT_DUE || s->state == SEAT_STRANDED);
	s->state = s->state == SEAT_DUE ? SEAT_WORKING : SEAT_RESCUED;
	s->pid = pid;
	s->eof = false;
	s->reaped = false;
	s->holds = s->state == SEAT_RESCUED;
	s->dead_by = MSEC_NEVER;
	s->hung = false;
	s->anchored = true;
	s->main_ended = false;
	memset(&s->end, 0, sizeof(s->end));
	s->told = STOP_NOT;
}

void fleet_fork_failed(struct seat *s, msec now)
{
	delay_fork(s, now);
}

void fleet_covered(struct seat *s, msec until)
{
	s->dead_by = until;
	s->hung = false;
}

void fleet_reported(struct seat *s, bool holds, const struct seat_end *end)
{
	s->holds = holds;
	s->end = *end;
}

/*
 * A tenure that ended in order is followed by the next at once, unless ends that nobody asked for
 * come thick and fast: a job with on_exit "release" that has nothing to do, or a lock that is lost
 * again and again. After a rescue the pause counts from the death.
 */
static void requeue(struct seat *s, bool rescue, msec now)
{
	if (rescue) {
		s->due = msec_add(s->ended, s->delay);
	} else if (s->end.asked) {
		s->due = now; /* a standby that comes late is a gap at the next hand-over */
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

	f->any_left |= counts && s->end.left;
	f->any_unclean |= counts && s->end.unclean;
	s->rescues = 0;
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

/* A worker died and its job may live on: it gets the time that a stop would have given it. */
static void orphaned(struct fleet *f, struct seat *s, msec now)
{
	msec limit = s->limits.stop_timeout;

	if (f->level >= STOP_HURRY)
		limit = msec_min(limit, s->limits.hurry_timeout);
	delay_fork(s, now); /* of the next worker; its rescue comes first, and at once */
	s->state = SEAT_ORPHANED;
	s->told = STOP_NOT;
	s->killing = false;
	s->kill_at = f->level == STOP_KILL ? now : msec_add(now, limit);
	s->kill_at = msec_min(s->kill_at, s->dead_by); /* nobody renews the lease meanwhile */
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

/* A rescue worker that dies is replaced a few times; then the lock is left to the anchor's end. */
static void rescue_died(struct fleet *f, struct seat *s, msec now)
{
	if (++s->rescues < RESCUES_MAX) {
		s->state = SEAT_STRANDED;
		delay_fork(s, now);
		return;
	}
	f->any_left |= f->level != STOP_NOT;
	f->any_unclean |= f->level != STOP_NOT;
	s->rescues = 0;
	s->state = SEAT_DUE;
	delay_fork(s, now);
}

/* A worker died while it held nothing: its place in the queue goes with the anchor. */
static void died_idle(struct seat *s, msec now)
{
	s->state = SEAT_DUE;
	delay_fork(s, now);
}

static void gone(struct fleet *f, struct seat *s, msec now)
{
	bool rescue = s->state == SEAT_RESCUED;

	if (!s->eof || !s->reaped)
		return;
	s->pid = 0;
	if (s->end.released || s->end.left)
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

void fleet_cleared(struct seat *s, msec now)
{
	assert(s->state == SEAT_ORPHANED);
	s->state = SEAT_STRANDED;
	s->due = now;
	s->term_at = MSEC_NEVER;
	s->kill_at = MSEC_NEVER;
}

void fleet_stop(struct fleet *f, enum stop_level at_least, msec now)
{
	enum stop_level next = f->level + 1;

	if (f->level == STOP_KILL)
		return; /* nothing is left to be said */
	f->level = at_least > next ? at_least : next;
	for (size_t i = 0; i < f->n; i++) {
		struct seat *s = f->seats[i];

		if (s->state != SEAT_ORPHANED || f->level == STOP_GRACEFUL)
			continue;
		s->term_at = msec_min(s->term_at, now);
		s->kill_at = msec_min(s->kill_at,
		    f->level == STOP_KILL ? now : msec_add(now, s->limits.hurry_timeout));
	}
}

static msec hangs_at(const struct seat *s)
{
	bool counts = s->state == SEAT_WORKING && s->holds && !s->reaped && !s->hung;

	return counts ? s->dead_by : MSEC_NEVER;
}

/* It was stopped, or starved: its job must not outlive the lock because of that. */
static bool is_hung(const struct seat *s, msec now)
{
	msec at = hangs_at(s);

	return at != MSEC_NEVER && now >= at;
}

/* A worker hears of each level once, the highest first: INT after QUIT would say nothing new. */
static enum fleet_verb next_of_live(struct seat *s, enum stop_level level, msec now)
{
	static const enum fleet_verb tell[] = {
		[STOP_GRACEFUL] = FLEET_TELL_STOP,
		[STOP_HURRY] = FLEET_TELL_HURRY,
		[STOP_KILL] = FLEET_TELL_KILL,
	};

	if (is_hung(s, now)) {
		s->hung = true;
		return FLEET_KILL_WORKER;
	}
	if (s->reaped || s->told >= level)
		return FLEET_NOTHING;
	s->told = level;
	return tell[level];
}

static enum fleet_verb next_of_orphaned(struct seat *s, msec now)
{
	if (s->told == STOP_NOT) {
		s->told = STOP_GRACEFUL;
		return FLEET_ORPHANS_STOP;
	}
	if (now >= s->term_at) {
		s->term_at = MSEC_NEVER;
		return FLEET_ORPHANS_TERM;
	}
	if (now >= s->kill_at && !s->killing) {
		s->killing = true;
		return FLEET_ORPHANS_KILL;
	}
	return FLEET_NOTHING;
}

/* No worker, and nothing held: the anchor goes, and in a stop the seat with it. */
static enum fleet_verb next_of_idle(struct seat *s, enum stop_level level, msec now)
{
	if (s->anchored) {
		s->anchored = false;
		return FLEET_DROP_ANCHOR;
	}
	if (level != STOP_NOT) {
		s->state = SEAT_VACANT;
		return FLEET_NOTHING;
	}
	if (now < s->due)
		return FLEET_NOTHING;
	s->due = MSEC_NEVER; /* until the answer */
	return FLEET_FORK;
}

static enum fleet_verb next_of(struct seat *s, enum stop_level level, msec now)
{
	switch (s->state) {
	case SEAT_VACANT:
	case SEAT_FINISHED:
		if (!s->anchored)
			return FLEET_NOTHING;
		s->anchored = false;
		return FLEET_DROP_ANCHOR;
	case SEAT_DUE: return next_of_idle(s, level, now);
	case SEAT_WORKING:
	case SEAT_RESCUED: return next_of_live(s, level, now);
	case SEAT_ORPHANED: return next_of_orphaned(s, now);
	case SEAT_STRANDED:
		if (now < s->due)
			return FLEET_NOTHING;
		s->due = MSEC_NEVER;
		return FLEET_FORK_RESCUE;
	}
	return FLEET_NOTHING;
}

static bool all_empty(const struct fleet *f)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->seats[i]->state != SEAT_VACANT && f->seats[i]->state != SEAT_FINISHED)
			return false;
	}
	return true;
}

struct fleet_action fleet_next(struct fleet *f, msec now)
{
	struct fleet_action a = { FLEET_NOTHING, NULL };

	/* Goes on where it left off, so that a pass over many seats is one pass. */
	while (f->cursor < f->n) {
		a.seat = f->seats[f->cursor];
		a.verb = next_of(a.seat, f->level, now);
		if (a.verb != FLEET_NOTHING)
			return a;
		f->cursor++;
	}
	f->cursor = 0;
	a.seat = NULL;
	if (f->level != STOP_NOT && !f->exiting && all_empty(f)) {
		f->exiting = true;
		a.verb = FLEET_EXIT;
	}
	return a;
}

msec fleet_deadline(const struct fleet *f)
{
	msec at = MSEC_NEVER;

	for (size_t i = 0; i < f->n; i++) {
		const struct seat *s = f->seats[i];

		if (s->state == SEAT_DUE || s->state == SEAT_STRANDED)
			at = msec_min(at, s->due);
		at = msec_min(at, hangs_at(s));
		if (s->state == SEAT_ORPHANED) {
			at = msec_min(at, s->term_at);
			at = msec_min(at, s->killing ? MSEC_NEVER : s->kill_at);
		}
	}
	return at;
}

int fleet_exit_status(const struct fleet *f)
{
	if (f->any_left)
		return EXIT_LOCKED;
	return f->any_unclean ? EXIT_UNCLEAN : EXIT_OK;
}

const char *seat_state_name(enum seat_state s)
{
	static const char *const names[] = {
#define X(name) [SEAT_##name] = #name,
		SEAT_STATES(X)
#undef X
	};

	return names[s];
}
