#include "policy/fleet.h"

#include <assert.h>
#include <string.h>

#include "base/exits.h"

#define FORK_RETRY_MIN 200
#define FORK_RETRY_MAX 30000
#define FORK_QUIET 60000 /* a seat without an end for so long begins with the shortest pause */
#define RESCUES_MAX 5
#define DOUBTS_MAX 2

void fleet_init(struct fleet *f, struct seat **seats, size_t n, size_t places)
{
	memset(f, 0, sizeof(*f));
	fleet_reseat(f, seats, n);
	fleet_set_places(f, places);
	f->rotate_at = MSEC_NEVER;
}

void fleet_reseat(struct fleet *f, struct seat **seats, size_t n)
{
	f->seats = seats;
	f->n = n;
	f->cursor = 0;
}

void fleet_remove(struct fleet *f, struct seat *s)
{
	size_t at = 0;

	while (f->seats[at] != s)
		at++;
	f->n--;
	memmove(f->seats + at, f->seats + at + 1, (f->n - at) * sizeof(struct seat *));
	if (f->cursor > at)
		f->cursor--;
}

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
		s->mute_by = msec_add(now, s->limits.adopt_timeout);
		s->main_ended = false;
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
	s->anchored = true;
	s->cleared_due = false;
	memset(&s->end, 0, sizeof(s->end));
	s->told = STOP_NOT;
	s->quit_by = MSEC_NEVER;
}

void fleet_fork_failed(struct seat *s, msec now)
{
	s->fork_failures++;
	s->calm = false;
	delay_fork(s, now);
}

void fleet_covered(struct seat *s, msec until, msec mute_by)
{
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
}

void fleet_spared(struct seat *s, msec mute_by)
{
	if (s->mute_by < mute_by)
		s->mute_by = mute_by;
	s->hung = false;
}

void fleet_reported(struct seat *s, bool holds, const struct seat_end *end)
{
	/* A rescue that has lost the lock again, too: it may have to wait for long until it hears
	 * whether that is certain. */
	if (s->holds && !holds)
		s->mute_by = MSEC_NEVER;
	s->holds = holds;
	s->end = *end;
	if (holds)
		s->turn = FLEET_TURN_MIN;
}

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
	s->calm = was_quiet(s, now);
	delay_fork(s, now); /* of the next worker; its rescue comes first, and at once */
	s->due = now;
	s->state = SEAT_ORPHANED;
	s->orphans_told = false;
	s->killing = false;
	s->kill_at = f->level == STOP_KILL ? now : msec_add(now, limit);
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
	if (s->end.released || s->end.left) {
		s->due = MSEC_NEVER;
		s->kill_at = now;
	} else {
		s->rescues++;
		replace_rescue(s, now);
	}
}

/* Nobody can commit and release what was held: the lock is left to the anchor's end. */
static void give_up(struct fleet *f, struct seat *s, msec now)
{
	f->any_left |= f->level != STOP_NOT;
	f->any_unclean |= f->level != STOP_NOT;
	s->rescues = 0;
	s->state = SEAT_DUE;
	delay_fork(s, now);
}

/* A rescue worker that dies is replaced a few times. */
static void rescue_died(struct fleet *f, struct seat *s, msec now)
{
	if (++s->rescues >= RESCUES_MAX) {
		give_up(f, s, now);
		return;
	}
	s->state = SEAT_STRANDED;
	replace_rescue(s, now);
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
	if (s->state == SEAT_ORPHANED)
		rescue_went_early(s, now);
	else if (s->end.released || s->end.left)
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
	assert(s->state == SEAT_ORPHANED);
	s->term_at = MSEC_NEVER;
	s->kill_at = MSEC_NEVER;
	s->state = SEAT_RESCUED;
	if (s->quit_by != MSEC_NEVER)
		s->quit_by = msec_add(now, FLEET_QUIT_MAX);
	if (s->pid != 0)
		s->cleared_due = true;
	else if (s->end.released || s->end.left)
		ended(f, s, now);
	else
		s->state = SEAT_STRANDED;
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

/* Coming and going */

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

void fleet_drain(struct fleet *f, bool on)
{
	f->draining = on;
}

static size_t wanted_jobs(const struct fleet *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += f->seats[i]->wish != SEAT_LEAVES;
	return n;
}

void fleet_set_places(struct fleet *f, size_t places)
{
	f->places = places;
	f->unlimited = places == FLEET_ALL;
}

void fleet_fewer(struct fleet *f)
{
	size_t jobs = wanted_jobs(f);

	if (f->places > jobs)
		f->places = jobs;
	if (f->places > 0)
		f->places--;
}

void fleet_more(struct fleet *f)
{
	if (f->places != FLEET_ALL)
		f->places++;
	/* So that a job which is added later finds a place as it did before. */
	if (f->unlimited && f->places >= wanted_jobs(f))
		f->places = FLEET_ALL;
}

/* Sharing out places */

/* It holds or queues for a lock, or what it held has not been given back. */
static bool is_busy(const struct seat *s)
{
	switch (s->state) {
	case SEAT_WORKING:
	case SEAT_ORPHANED:
	case SEAT_STRANDED:
	case SEAT_RESCUED: return true;
	case SEAT_VACANT:
	case SEAT_DUE:
	case SEAT_PARKED:
	case SEAT_FINISHED: break;
	}
	return s->anchored;
}

size_t fleet_busy(const struct fleet *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += is_busy(f->seats[i]);
	return n;
}

static bool is_recalled(const struct seat *s)
{
	return s->yields || s->wish != SEAT_STAYS;
}

/* Its place is not about to become free by itself. */
static bool is_settled(const struct seat *s)
{
	return s->state == SEAT_WORKING && !is_recalled(s) && s->told == STOP_NOT && !s->reaped;
}

/* Who queues gives way before who owns, and the newer before the older. */
static bool gives_way(const struct seat *a, const struct seat *b)
{
	if (a->holds != b->holds)
		return !a->holds;
	return a->forked_at > b->forked_at;
}

static struct seat *next_to_yield(const struct fleet *f)
{
	struct seat *best = NULL;

	for (size_t i = 0; i < f->n; i++) {
		struct seat *s = f->seats[i];

		if (is_settled(s) && (best == NULL || gives_way(s, best)))
			best = s;
	}
	return best;
}

/* At most `count` workers that queued for their turn in vain yield; when the next one is to. */
static msec rotate(const struct fleet *f, size_t count, msec now)
{
	msec at = MSEC_NEVER;

	for (size_t i = 0; i < f->n && count > 0; i++) {
		struct seat *s = f->seats[i];

		if (!is_settled(s) || s->holds)
			continue;
		if (now >= s->forked_at + s->turn) {
			s->yields = true;
			s->turn = msec_min(2 * s->turn, FLEET_TURN_MAX);
			count--;
		} else {
			at = msec_min(at, s->forked_at + s->turn);
		}
	}
	return count > 0 ? at : MSEC_NEVER;
}

static void share_out(struct fleet *f, msec now)
{
	size_t most = f->draining ? 0 : f->places;
	size_t busy = 0, settled = 0, parked = 0, served;
	struct seat *s;

	f->free = FLEET_ALL;
	f->rotate_at = MSEC_NEVER;
	if (most == FLEET_ALL || f->level != STOP_NOT)
		return;
	for (size_t i = 0; i < f->n; i++) {
		busy += is_busy(f->seats[i]);
		settled += is_settled(f->seats[i]);
		parked += f->seats[i]->state == SEAT_PARKED;
	}
	f->free = most > busy ? most - busy : 0;
	for (; settled > most && (s = next_to_yield(f)) != NULL; settled--)
		s->yields = true;
	/* By a place that is free, or becomes so. */
	served = most > settled ? most - settled : 0;
	if (parked > served && most > 0)
		f->rotate_at = rotate(f, parked - served, now);
}

/* First come, first served. */
static bool may_start(const struct fleet *f, const struct seat *s)
{
	size_t before = 0;

	if (f->free == FLEET_ALL || f->free == 0)
		return f->free != 0;
	for (size_t i = 0; i < f->n; i++)
		before += f->seats[i]->state == SEAT_PARKED && f->seats[i]->ticket < s->ticket;
	return before < f->free;
}

/* What is to be done */

static msec hangs_at(const struct seat *s)
{
	if (s->pid == 0 || s->reaped || s->hung)
		return MSEC_NEVER;
	/* Not while a rescue waits for the end of the job. */
	return s->state == SEAT_ORPHANED ? s->mute_by : msec_min(s->mute_by, s->quit_by);
}

/* This process may have slept until now, and the worker, too: it has yet to come to speak. */
static bool has_time(const struct seat *s, msec now)
{
	bool quits = s->state != SEAT_ORPHANED && now >= s->quit_by;

	return !quits && s->dead_by == MSEC_NEVER && s->doubts < DOUBTS_MAX;
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
	s->mute_by = msec_add(now, s->limits.silence);
	return false;
}

/* A worker hears of each level once, the highest first: INT after QUIT would say nothing new. */
static enum fleet_verb next_of_live(const struct fleet *f, struct seat *s, msec now)
{
	bool recalled = s->state == SEAT_WORKING && is_recalled(s);
	enum stop_level level = f->level == STOP_NOT && recalled ? STOP_GRACEFUL : f->level;

	static const enum fleet_verb tell[] = {
		[STOP_GRACEFUL] = FLEET_TELL_STOP,
		[STOP_HURRY] = FLEET_TELL_HURRY,
		[STOP_KILL] = FLEET_TELL_KILL,
	};

	if (is_hung(s, now)) {
		s->hung = true;
		return FLEET_KILL_WORKER;
	}
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
	if (f->level < STOP_KILL || s->fork_failures < RESCUES_MAX)
		return next_of_due(s, now);
	give_up(f, s, now);
	f->acted = true;
	return FLEET_NOTHING;
}

static msec orphans_end(const struct seat *s)
{
	return msec_min(s->kill_at, s->dead_by);
}

static enum fleet_verb next_of_orphaned(const struct fleet *f, struct seat *s, msec now)
{
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
	return s->pid != 0 ? next_of_live(f, s, now) : next_of_due(s, now);
}

/* Its time has come: it is served when its turn comes. */
static void park(struct fleet *f, struct seat *s)
{
	s->state = SEAT_PARKED;
	s->ticket = f->tickets++;
	f->acted = true;
}

static enum fleet_verb begin(struct fleet *f, struct seat *s)
{
	if (!may_start(f, s))
		return FLEET_NOTHING;
	if (f->free != FLEET_ALL)
		f->free--;
	s->state = SEAT_DUE;
	s->due = MSEC_NEVER; /* until the answer */
	return FLEET_FORK;
}

/* No worker, and nothing held: the anchor goes, and with it a seat that leaves, or in a stop. */
static enum fleet_verb next_of_idle(struct fleet *f, struct seat *s, msec now)
{
	if (s->anchored) {
		s->anchored = false;
		f->acted = true;
		return FLEET_DROP_ANCHOR;
	}
	if (s->wish == SEAT_LEAVES)
		return FLEET_FREE;
	if (f->level != STOP_NOT) {
		if (s->state != SEAT_FINISHED)
			s->state = SEAT_VACANT;
		return FLEET_NOTHING;
	}
	if (s->wish == SEAT_RENEWED)
		return FLEET_RENEW;
	if (s->state == SEAT_DUE && now >= s->due)
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
		share_out(f, now);
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
		at = msec_min(at, hangs_at(s));
		if (s->state == SEAT_ORPHANED) {
			at = msec_min(at, s->term_at);
			at = msec_min(at, s->killing ? MSEC_NEVER : orphans_end(s));
			at = msec_min(at, s->pid == 0 ? s->due : MSEC_NEVER);
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
