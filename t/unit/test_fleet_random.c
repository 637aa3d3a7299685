/*
 * The master's fleet against chance: workers that hold and release locks, report, die at any
 * moment, are read to the end and reaped in either order; jobs that outlive them; forks that fail;
 * an operator who stops, hurries and kills, drains, and has more or fewer held; jobs that
 * are changed, removed and added. The rules of fleet.h must hold at every step.
 *
 * A failure prints its seed and the steps that led to it; see dice.h for playing it again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dice.h"
#include "fleet_test.h"

#define SEATS_MAX 6
#define REPORTS_MAX 8
#define RUNS 10000
#define STEPS_MAX 20000
#define DEATHS_MAX 40 /* of one run's workers; after these they are well */
#define TRACE_MAX 60

struct report {
	bool holds, queues;
	struct seat_end end;
};

/* A worker and its job as they are, whatever the master knows. */
struct worker {
	bool lives, rescue;
	bool cleared;    /* the rescue knows that nothing is left of the job */
	bool littered;   /* it died, or the one before, and left a place in the queue */
	bool went_early; /* it ended in order before that: that counts when nothing is left */
	bool job_lives;  /* may be longer than the worker */
	bool stubborn;   /* the job ends by SIGKILL only */
	bool lock;
	bool wants_end; /* told to stop, or the job ended */
	bool sticks;    /* after its last report, until it is killed */
	bool stuck;     /* killed, it hangs in the kernel */
	bool for_good;  /* and will for ever */
	bool forsaken;
	struct report pipe[REPORTS_MAX];
	size_t unread;
	bool eof, reaped; /* told */
	/* What was asked for */
	bool anchor;
	enum stop_level told;
	bool orphans_stopped, orphans_killed;
	msec heard_at;   /* forked, or the last report that counts */
	msec gone_at;    /* for the master: reaped and read to the end */
	msec stop_by;    /* by the last report that counts */
	bool rescue_due; /* it died holding, and the master knows that it held */
	int rescue_deaths, tidies, fork_fails; /* in a row; forks that failed */
	unsigned drops, forks;                 /* anchors dropped, series of forks begun */
	bool listed;                           /* in the fleet */
	enum seat_wish wish;
};

struct world {
	uint64_t seed;
	struct dice dice;
	msec now;
	msec cover;         /* so long at most a report covers the job; 0: for ever */
	size_t n, n_listed; /* jobs that may be; those in the fleet */
	bool limited;       /* places were ever too few */
	struct seat seats[SEATS_MAX];
	struct seat *list[SEATS_MAX];
	struct worker workers[SEATS_MAX];
	struct fleet fleet;
	bool unclean, left; /* expected of the exit status */
	int exits, deaths;
	unsigned steps;
	struct {
		msec now;
		const char *what;
		size_t seat;
	} trace[TRACE_MAX];
};

static uint64_t steps_played;

/* Failing */

static void note(struct world *w, const char *what, size_t seat)
{
	unsigned at = w->steps++ % TRACE_MAX;

	w->trace[at].now = w->now;
	w->trace[at].what = what;
	w->trace[at].seat = seat;
}

static void demand(struct world *w, bool holds, const char *rule)
{
	if (holds)
		return;
	for (unsigned i = w->steps > TRACE_MAX ? w->steps - TRACE_MAX : 0; i < w->steps; i++)
		print_error("  %8lld seat %zu %s\n", (long long)w->trace[i % TRACE_MAX].now,
		    w->trace[i % TRACE_MAX].seat, w->trace[i % TRACE_MAX].what);
	fail_msg("broken at %lld: %s\nplay it again: GRACEFUL_TEST_SEED=%llu GRACEFUL_TEST_RUNS=1",
	    (long long)w->now, rule, (unsigned long long)w->seed);
}

/* What the master asks for is done */

static size_t index_of(const struct world *w, const struct seat *s)
{
	return (size_t)(s - w->seats);
}

static size_t most(const struct world *w)
{
	return w->fleet.draining ? 0 : w->fleet.places;
}

static size_t busy(const struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += w->workers[i].anchor;
	return n;
}

static void begin_worker(struct world *w, struct worker *k, bool rescue)
{
	k->lives = true;
	k->rescue = rescue;
	k->lock = rescue;
	k->wants_end = rescue;
	k->unread = 0;
	k->heard_at = w->now;
	k->eof = false;
	k->reaped = false;
	k->stuck = false;
	k->told = STOP_NOT;
	if (rescue)
		return;
	k->orphans_stopped = false;
	k->orphans_killed = false;
	k->stop_by = 0;
	k->stubborn = dice_chance(&w->dice, 30);
}

/* Nobody but a worker could give the place back, and no more is wanted of it. */
static bool is_tidied(const struct world *w, const struct worker *k)
{
	return k->littered &&
	       (w->fleet.level != STOP_NOT || w->fleet.draining || k->wish == SEAT_LEAVES);
}

static void may_fork(struct world *w, const struct worker *k)
{
	demand(w, w->fleet.level == STOP_NOT, "no new worker during a stop");
	demand(w, busy(w) < most(w), "no more workers than places");
	demand(w, k->wish == SEAT_STAYS, "under the newest definition, of a job that is wanted");
}

static void do_fork(struct world *w, struct seat *s, struct worker *k)
{
	if (!is_tidied(w, k))
		may_fork(w, k);
	demand(w, w->fleet.level != STOP_KILL, "nor in one that kills");
	demand(w, !k->lives && !k->job_lives, "one worker at a time, and nothing left of the last");
	demand(w, !k->anchor && !k->lock, "the last lock is gone");
	demand(w, !k->rescue_due, "a worker that died holding is rescued first");
	if (dice_chance(&w->dice, 15)) {
		k->fork_fails++;
		fleet_fork_failed(s, w->now);
		return;
	}
	k->tidies = is_tidied(w, k) ? k->tidies + 1 : 0;
	begin_worker(w, k, false);
	k->anchor = true;
	k->forks++;
	k->fork_fails = 0;
	k->rescue_deaths = 0;
	fleet_forked(s, 1, w->now);
}

static void do_fork_rescue(struct world *w, struct seat *s, struct worker *k)
{
	demand(w, !k->lives && k->eof && k->reaped, "one rescue at a time");
	demand(w, k->anchor && k->rescue_due, "a rescue has something to rescue");
	demand(w, s->state != SEAT_STRANDED || !k->job_lives, "nothing is left of a stranded job");
	if (dice_chance(&w->dice, 15)) {
		k->fork_fails++;
		fleet_fork_failed(s, w->now);
		return;
	}
	k->fork_fails = 0;
	begin_worker(w, k, true);
	k->cleared = s->state == SEAT_STRANDED;
	fleet_forked(s, 1, w->now);
}

static void do_tell_cleared(struct world *w, struct worker *k)
{
	demand(w, k->rescue && !k->reaped, "only a rescue hears that nothing is left");
	demand(w, !k->job_lives && !k->cleared, "when that is so, and once");
	k->cleared = true;
}

static enum stop_level level_of(const struct world *w, const struct seat *s, const struct worker *k)
{
	if (w->fleet.level != STOP_NOT)
		return w->fleet.level;
	return !k->rescue && (k->wish != SEAT_STAYS || s->yields) ? STOP_GRACEFUL : STOP_NOT;
}

static void do_tell(struct world *w, const struct seat *s, struct worker *k, enum stop_level level)
{
	demand(w, w->limited || w->fleet.level != STOP_NOT || k->wish != SEAT_STAYS,
	    "who is not concerned is left in peace");
	demand(w, !k->reaped && k->anchor, "only a worker that is there is told");
	demand(w, k->told < level, "each level is told once");
	demand(w, level == level_of(w, s, k), "and only the one that is meant");
	k->told = level;
	k->wants_end = true;
}

static void do_kill(struct world *w, const struct seat *s, struct worker *k)
{
	bool quits = w->now >= s->quit_by && (k->told == STOP_KILL || seat_end_is_told(&s->end));
	bool waits = s->state == SEAT_WORKING && s->queues && !s->holds;
	msec patience = waits ? s->limits.silence / 10 + 1 : s->limits.silence;

	demand(w, !k->reaped, "only a worker that is there is killed");
	demand(w, w->now >= s->mute_by || quits, "and not before it owes a report");
	demand(w, s->dead_by != MSEC_NEVER || quits || w->now >= k->heard_at + 2 * patience,
	    "nor after a short silence when nothing presses");
	k->lives = false;
	k->sticks = false;
	k->stuck = dice_chance(&w->dice, 20);
	k->for_good = dice_chance(&w->dice, 50);
}

static void count_end(struct world *w, struct worker *k, const struct seat_end *end);

static void read_report(struct world *w, struct seat *s, struct worker *k);

static void do_stuck(struct world *w, struct seat *s, struct worker *k)
{
	demand(w, !k->lives && !k->reaped, "who was buried does not hang");
	while (k->unread > 0)
		read_report(w, s, k);
}

static void do_forsake(struct world *w, const struct seat *s, struct worker *k)
{
	demand(w, w->fleet.level != STOP_NOT, "only in a stop nobody waits for a worker");
	demand(w, !k->lives && !k->reaped, "that was killed and is still there");
	demand(w, !k->job_lives, "and that may not have a job");
	k->forsaken = true;
	if (seat_end_is_told(&s->end)) {
		count_end(w, k, &s->end);
	} else if (k->rescue || s->holds) {
		w->left = w->unclean = true;
	} else {
		w->left |= s->queues || k->littered;
	}
	k->littered = false;
	k->rescue_due = false;
}

static void do_orphans(
    struct world *w, const struct seat *s, struct worker *k, enum fleet_verb verb)
{
	bool hung = s->state == SEAT_WORKING && s->hung && !k->reaped && s->holds;

	demand(w, k->rescue || (!k->lives && ((k->reaped && k->eof) || hung)),
	    "orphans have no worker, or one that hangs");
	demand(w,
	    !hung || (verb == FLEET_ORPHANS_KILL &&
			 (w->now >= s->dead_by || w->fleet.level == STOP_KILL)),
	    "whose lock is over, unless it is a stop that kills");
	if (verb == FLEET_ORPHANS_STOP) {
		demand(w, !k->orphans_stopped, "orphans are told to stop once");
		k->orphans_stopped = true;
	} else if (verb == FLEET_ORPHANS_KILL) {
		demand(w, !k->orphans_killed, "killing is asked for once");
		k->orphans_killed = true;
	}
	if (verb == FLEET_ORPHANS_KILL || (!k->stubborn && dice_chance(&w->dice, 50)))
		k->job_lives = false;
}

static void do_drop(struct world *w, struct seat *s, struct worker *k)
{
	demand(w, k->anchor, "an anchor is dropped once");
	demand(w, !k->lives && !k->job_lives, "and not before the job's last process");
	demand(w,
	    !k->rescue_due || k->rescue_deaths >= 5 ||
		((k->fork_fails >= 5 || s->hung) && w->fleet.level == STOP_KILL),
	    "nor while a rescue is possible");
	demand(
	    w, s->state == SEAT_DUE || s->state == SEAT_FINISHED, "nor before the seat is empty");
	if (k->rescue_due && k->rescue_deaths < 5)
		w->left = w->unclean = true;
	k->anchor = false;
	k->rescue_due = false;
	k->lock = false; /* the kernel's doing, or the lease's end */
	k->drops++;
}

static void roll_limits(struct world *w, struct seat_limits *limits)
{
	*limits = (struct seat_limits){
		.stop_timeout = 1 + dice_roll(&w->dice, 20000),
		.hurry_timeout = 1 + dice_roll(&w->dice, 5000),
		.cool_down = dice_roll(&w->dice, 10000),
		.adopt_timeout = 1 + dice_roll(&w->dice, 20000),
		.silence = 1 + dice_roll(&w->dice, 10000),
	};
	if (dice_chance(&w->dice, 10))
		limits->stop_timeout = MSEC_NEVER;
}

static void demand_empty(struct world *w, const struct worker *k)
{
	demand(w, !k->lives && !k->job_lives, "nobody of the seat lives");
	demand(w, k->forsaken || (k->eof && k->reaped), "its worker was buried, if it could be");
	demand(w, !k->anchor && !k->lock && !k->rescue_due, "and nothing of it is held");
	demand(w, k->forks == k->drops, "one anchor dropped for each series of forks");
}

/* Its seat goes, or the master. */
static void look_for_litter(struct world *w, struct worker *k)
{
	if (!k->littered)
		return;
	demand(w, w->fleet.level == STOP_KILL || k->tidies >= 2 || k->fork_fails >= 5,
	    "no place in a queue is left without need");
	w->left |= w->fleet.level != STOP_NOT;
	k->littered = false;
}

static void do_renew(struct world *w, struct seat *s, struct worker *k)
{
	struct seat_limits limits;

	demand(w, k->wish == SEAT_RENEWED, "only what changed is renewed");
	demand(w, w->fleet.level == STOP_NOT, "and not during a stop");
	demand_empty(w, k);
	k->wish = SEAT_STAYS;
	roll_limits(w, &limits);
	fleet_renewed(s, &limits, w->now);
}

static void do_free(struct world *w, struct seat *s, struct worker *k)
{
	demand(w, k->listed && k->wish == SEAT_LEAVES, "only what shall leave is freed");
	demand_empty(w, k);
	look_for_litter(w, k);
	k->listed = false;
	fleet_remove(&w->fleet, s);
	w->n_listed--;
	memset(s, 0xee, sizeof(*s)); /* whoever looks there now is wrong */
}

static void do_exit(struct world *w)
{
	demand(w, ++w->exits == 1, "EXIT comes once");
	demand(w, w->fleet.level != STOP_NOT, "and only when asked for");
	for (size_t i = 0; i < w->n; i++) {
		demand_empty(w, &w->workers[i]); /* the master goes last */
		look_for_litter(w, &w->workers[i]);
	}
	demand(w,
	    fleet_exit_status(&w->fleet) == (w->left         ? 4
						: w->unclean ? 3
							     : 0),
	    "the exit status is true");
}

static void carry_out(struct world *w, struct fleet_action a)
{
	struct seat *s = a.seat;
	struct worker *k;

	if (s == NULL) {
		demand(w, a.verb == FLEET_EXIT, "all but EXIT concerns a seat");
		do_exit(w);
		return;
	}
	k = &w->workers[index_of(w, s)];
	switch (a.verb) {
	case FLEET_FORK: do_fork(w, s, k); break;
	case FLEET_FORK_RESCUE: do_fork_rescue(w, s, k); break;
	case FLEET_TELL_STOP: do_tell(w, s, k, STOP_GRACEFUL); break;
	case FLEET_TELL_HURRY: do_tell(w, s, k, STOP_HURRY); break;
	case FLEET_TELL_KILL: do_tell(w, s, k, STOP_KILL); break;
	case FLEET_KILL_WORKER: do_kill(w, s, k); break;
	case FLEET_STUCK: do_stuck(w, s, k); break;
	case FLEET_FORSAKE: do_forsake(w, s, k); break;
	case FLEET_TELL_CLEARED: do_tell_cleared(w, k); break;
	case FLEET_ORPHANS_STOP:
	case FLEET_ORPHANS_TERM:
	case FLEET_ORPHANS_KILL: do_orphans(w, s, k, a.verb); break;
	case FLEET_DROP_ANCHOR: do_drop(w, s, k); break;
	case FLEET_RENEW: do_renew(w, s, k); break;
	case FLEET_FREE: do_free(w, s, k); break;
	case FLEET_NOTHING:
	case FLEET_EXIT: break;
	}
}

/* What must hold when the master has nothing more to do for now */

static bool moves_by_itself(const struct worker *k)
{
	return k->lives || !k->eof || !k->reaped;
}

static void check_seat(struct world *w, size_t i)
{
	static const char *const forgotten = "a seat never waits for nothing";
	const struct seat *s = &w->seats[i];
	const struct worker *k = &w->workers[i];
	msec killed_by = msec_add(k->gone_at, s->limits.stop_timeout);

	if (killed_by < k->stop_by)
		killed_by = k->stop_by;
	switch (s->state) {
	case SEAT_VACANT:
	case SEAT_FINISHED: demand(w, !k->anchor && !k->lives, "an empty seat is empty"); break;
	case SEAT_DUE:
	case SEAT_STRANDED: demand(w, s->due != MSEC_NEVER, forgotten); break;
	case SEAT_PARKED: demand(w, busy(w) >= most(w), "no place stays free"); break;
	case SEAT_WORKING:
	case SEAT_RESCUED:
		demand(w, moves_by_itself(k), forgotten);
		demand(w, k->reaped || k->told >= level_of(w, s, k), "each worker knows the level");
		demand(w, k->reaped || !s->holds || s->hung || w->now < s->mute_by,
		    "no owner outlives its lock");
		demand(w,
		    k->rescue || k->reaped || !s->holds || !s->hung || w->now < s->dead_by ||
			!k->job_lives,
		    "nor does its job");
		demand(w, k->reaped || s->hung || w->now < s->quit_by,
		    "none outlives a killing stop, or its last report");
		demand(w, s->state == SEAT_WORKING || k->reaped || k->cleared, "a rescue is told");
		break;
	case SEAT_ORPHANED:
		demand(w, moves_by_itself(k) || k->went_early || s->due != MSEC_NEVER, forgotten);
		demand(w, !k->went_early || k->orphans_killed, "nor is a job left without a lock");
		demand(w, k->reaped || s->hung || !seat_end_is_told(&s->end) || w->now < s->quit_by,
		    "nor outlives a rescue its last report");
		demand(w, k->orphans_stopped, "orphans are told to stop");
		demand(w, k->orphans_killed || w->now < killed_by, "orphans are killed in the end");
		demand(w, k->orphans_killed || w->fleet.level < STOP_KILL, "a kill kills orphans");
		demand(w, k->orphans_killed || w->now < s->dead_by, "no orphan outlives its lock");
		break;
	}
}

static void settle(struct world *w)
{
	struct fleet_action a;

	while ((a = fleet_next(&w->fleet, w->now)).verb != FLEET_NOTHING) {
		demand(w, w->steps < STEPS_MAX, "it settles");
		note(w, verb_name(a.verb), a.seat != NULL ? index_of(w, a.seat) : 0);
		carry_out(w, a);
	}
	for (size_t i = 0; i < w->n; i++) {
		if (w->workers[i].listed)
			check_seat(w, i);
	}
	demand(w, fleet_deadline(&w->fleet) > w->now, "a deadline that was met is not due again");
}

/* What happens */

static void write_report(struct worker *k, bool holds, const struct seat_end *end)
{
	if (k->unread < REPORTS_MAX)
		k->pipe[k->unread++] =
		    (struct report){ holds, !holds && !seat_end_is_told(end), *end };
}

/* The job may have asked for more than a stop gives. */
static void read_granted(struct world *w, struct seat *s, struct worker *k)
{
	msec stop_by = dice_chance(&w->dice, 50) ? 0 : w->now + dice_roll(&w->dice, 40000);

	fleet_granted(s, stop_by);
	if (s->state == SEAT_WORKING)
		k->stop_by = stop_by;
}

static void read_report(struct world *w, struct seat *s, struct worker *k)
{
	struct report r = k->pipe[0];

	memmove(k->pipe, k->pipe + 1, --k->unread * sizeof(r));
	fleet_reported(s, r.holds, r.queues, &r.end, w->now);
	if (s->state == SEAT_WORKING)
		k->orphans_killed = false; /* it is covered anew */
	if (s->state == SEAT_WORKING || r.holds)
		k->heard_at = w->now;
	if (w->cover == 0) {
		fleet_covered(s, MSEC_NEVER, w->now + 1 + dice_roll(&w->dice, 20000));
	} else {
		msec mute_by = w->now + 1 + dice_roll(&w->dice, w->cover);

		fleet_covered(s, mute_by + dice_roll(&w->dice, w->cover), mute_by);
	}
	read_granted(w, s, k);
}

/* The worker ends its tenure in order, with its last report. */
static void finish(struct world *w, struct worker *k)
{
	struct seat_end end = { .unclean = dice_chance(&w->dice, 20) };

	k->job_lives = k->job_lives && k->rescue;
	end.left = dice_chance(&w->dice, 10);
	end.released = !end.left;
	end.done = end.released && dice_chance(&w->dice, 5);
	end.failed = !end.done && dice_chance(&w->dice, 10);
	k->lock = false;
	write_report(k, false, &end);
	k->lives = false;
	k->sticks = dice_chance(&w->dice, 10);
}

static void count_end(struct world *w, struct worker *k, const struct seat_end *end)
{
	bool counts = w->fleet.level != STOP_NOT;

	k->rescue_deaths = 0;
	k->littered = false;
	k->tidies = 0;
	k->went_early = false;
	w->unclean |= counts && end->unclean;
	w->left |= counts && end->left;
}

/* What the master will know of the end, once all is read. */
static void expect(struct world *w, struct worker *k, const struct seat *s)
{
	const struct seat_end *end = &s->end;
	bool counts = w->fleet.level != STOP_NOT;

	if (!k->rescue)
		k->gone_at = w->now;
	if (end->released || end->left) {
		k->rescue_due = false;
		k->went_early = s->state == SEAT_ORPHANED;
		if (!k->went_early)
			count_end(w, k, end);
	} else if (k->rescue) {
		bool last = s->hung && w->fleet.level == STOP_KILL;

		if ((++k->rescue_deaths >= 5 || last) && s->state == SEAT_RESCUED) {
			w->unclean |= counts;
			w->left |= counts;
		}
	} else {
		k->rescue_due = s->holds;
		k->orphans_killed = false;
		k->littered = !s->holds && s->queues;
		k->tidies = s->holds ? 0 : k->tidies;
	}
}

static void live_on(struct world *w, struct worker *k)
{
	static const struct seat_end nothing;

	if (w->deaths < DEATHS_MAX && dice_chance(&w->dice, 20)) {
		w->deaths++;
		k->lives = false;
	} else if (k->rescue && !k->cleared && dice_chance(&w->dice, 95)) {
		if (k->unread < REPORTS_MAX)
			write_report(k, dice_chance(&w->dice, 90), &nothing);
	} else if (k->wants_end && dice_chance(&w->dice, 50)) {
		finish(w, k);
	} else if (!k->lock && dice_chance(&w->dice, 50)) {
		k->lock = true;
	} else if (k->lock && !k->rescue && !k->job_lives) {
		/* Reported before the job starts. */
		write_report(k, true, &nothing);
		k->job_lives = k->unread > 0;
	} else if (k->unread < REPORTS_MAX) {
		write_report(k, k->rescue || k->job_lives, &nothing);
		k->wants_end |= dice_chance(&w->dice, 10);
	}
}

/* The end of a worker reaches the master as its last reports, EOF and SIGCHLD, the last two in
 * either order. */
static void bury(struct world *w, struct seat *s, struct worker *k)
{
	if (k->stuck) {
		k->stuck = k->for_good || dice_chance(&w->dice, 95);
		if (s->state == SEAT_WORKING && s->killing && !s->cleared)
			fleet_cleared(&w->fleet, s, w->now);
	} else if (!k->reaped && !k->sticks && dice_chance(&w->dice, 50)) {
		k->reaped = true;
		if (k->eof && !k->forsaken)
			expect(w, k, s);
		fleet_reaped(&w->fleet, s, w->now);
	} else if (k->unread > 0) {
		read_report(w, s, k);
	} else if (!k->eof && !k->sticks) {
		k->eof = true;
		if (k->reaped && !k->forsaken)
			expect(w, k, s);
		fleet_eof(&w->fleet, s, w->now);
	}
}

static void orphan(struct world *w, struct seat *s, struct worker *k)
{
	if (!k->job_lives) {
		if (k->went_early)
			count_end(w, k, &s->end);
		fleet_cleared(&w->fleet, s, w->now);
	} else if (!k->stubborn && dice_chance(&w->dice, 20))
		k->job_lives = false;
	else if (!s->main_ended && dice_chance(&w->dice, 10))
		fleet_main_ended(s, w->now); /* others of the job live on */
}

static void happen_to(struct world *w, size_t i)
{
	struct seat *s = &w->seats[i];
	struct worker *k = &w->workers[i];

	if (!k->listed)
		return;
	if (s->state == SEAT_ORPHANED && (!moves_by_itself(k) || dice_chance(&w->dice, 30))) {
		note(w, "orphan", i);
		orphan(w, s, k);
	} else if (k->lives) {
		note(w, "lives", i);
		if (k->unread > 0 && dice_chance(&w->dice, 50))
			read_report(w, s, k);
		else
			live_on(w, k);
	} else if (!k->reaped || !k->eof) {
		note(w, "buried", i);
		bury(w, s, k);
	}
}

/* One master */

static void add(struct world *w, size_t i)
{
	struct seat_limits limits;

	roll_limits(w, &limits);
	seat_init(&w->seats[i], &limits, w->now);
	memset(&w->workers[i], 0, sizeof(w->workers[i]));
	w->workers[i].eof = w->workers[i].reaped = true;
	w->workers[i].listed = true;
	w->list[w->n_listed++] = &w->seats[i];
	fleet_reseat(&w->fleet, w->list, w->n_listed);
}

static void open_world(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->dice.state = seed;
	w->now = 100000;
	w->cover = dice_chance(&w->dice, 50) ? 0 : 1 + dice_roll(&w->dice, 20000);
	w->n = (size_t)(1 + dice_roll(&w->dice, SEATS_MAX));
	w->limited = dice_chance(&w->dice, 30);
	fleet_init(&w->fleet, w->list, 0,
	    w->limited ? (size_t)dice_roll(&w->dice, SEATS_MAX + 1) : FLEET_ALL);
	for (size_t i = 0; i < w->n; i++)
		add(w, i);
}

/* The operator has edited the configuration, or wants more or less held here. */
static void operate(struct world *w)
{
	size_t i = (size_t)dice_roll(&w->dice, (int64_t)w->n);
	struct worker *k = &w->workers[i];

	if (!k->listed) {
		note(w, "add", i);
		add(w, i);
	} else if (dice_chance(&w->dice, 50)) {
		bool stays = dice_chance(&w->dice, 50);

		note(w, stays ? "renew" : "retire", i);
		k->wish = stays ? SEAT_RENEWED : SEAT_LEAVES;
		(stays ? fleet_renew : fleet_retire)(&w->seats[i]);
	} else if (w->limited && dice_chance(&w->dice, 40)) {
		note(w, "drain on or off", 0);
		fleet_drain(&w->fleet, !w->fleet.draining);
	} else if (w->limited) {
		note(w, "fewer or more", 0);
		(dice_chance(&w->dice, 50) ? fleet_fewer : fleet_more)(&w->fleet);
	}
}

static void stop(struct world *w)
{
	note(w, "stop", 0);
	if (dice_chance(&w->dice, 50))
		fleet_interrupt(&w->fleet, w->now);
	else
		fleet_stop(
		    &w->fleet, (enum stop_level)(STOP_GRACEFUL + dice_roll(&w->dice, 3)), w->now);
}

static void pass_time(struct world *w)
{
	msec deadline = fleet_deadline(&w->fleet);
	msec next = w->now + dice_roll(&w->dice, 500);

	/* Deadlines are met, or the operator of an endless stop loses patience. */
	w->now = deadline <= next || (deadline != MSEC_NEVER && dice_chance(&w->dice, 30))
		     ? deadline
		     : next;
}

static void play(struct world *w)
{
	int64_t calm = dice_roll(&w->dice, 300);

	settle(w);
	while (w->exits == 0) {
		demand(w, w->steps < STEPS_MAX, "it ends");
		pass_time(w);
		settle(w);
		if (w->fleet.level == STOP_NOT && dice_chance(&w->dice, 5)) {
			operate(w);
			settle(w);
		}
		if (calm-- > 0 || dice_chance(&w->dice, 97))
			happen_to(w, (size_t)dice_roll(&w->dice, (int64_t)w->n));
		else
			stop(w);
		settle(w);
	}
	stop(w);
	settle(w);
	steps_played += w->steps;
}

static void play_one(uint64_t seed)
{
	struct world w;

	open_world(&w, seed);
	play(&w);
}

static void keeps_the_rules_whatever_happens(void **state)
{
	uint64_t runs = dice_play(RUNS, play_one);

	(void)state;
	print_message("%llu masters, %llu steps\n", (unsigned long long)runs,
	    (unsigned long long)steps_played);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_rules_whatever_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
