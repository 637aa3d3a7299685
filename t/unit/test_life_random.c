/*
 * A worker's tenure against chance: a model of the worker's surroundings carries out what the
 * policy asks for, answers with random outcomes after random times, and lets signals, losses and
 * answers that came too late fall in between. The rules of life.h must hold at every step.
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
#include "policy/fleet.h"
#include "policy/life.h"

#define DELAY_MAX 2000 /* of an answer */
#define DELAY_SHORT 20 /* of what concerns a process: the kernel does it */
#define DELAY_LONG 20000
#define RUNS 200000
#define STEPS_MAX 3000
#define EVENTS_MAX 64
#define TRACE_MAX 60

struct happening {
	msec at;
	enum life_event ev;
	msec arg;
	bool stray; /* an answer that was given before, once more */
};

struct world {
	uint64_t seed;
	struct dice dice;
	struct life_conf conf;
	struct backoff backoff;
	struct life life;
	msec now;
	struct happening pending[EVENTS_MAX];
	size_t n;

	/* The facts */
	bool lock;       /* it is ours */
	bool lost;       /* and that we know it no more is has been told */
	bool main_lives; /* the job's main process */
	bool told_main;  /* SPAWNED was told, and EXITED not yet */
	bool kin_lives;  /* other processes of the job */
	bool stubborn;   /* the job ends by SIGKILL only */
	bool killing;
	bool zero;                /* how the main process ended */
	bool unsaved;             /* the job ran since the last commit */
	bool on_record;           /* the record says that the job is done */
	unsigned asked;           /* actions without an answer */
	msec mark_at, release_at; /* first asked for, 0: not yet */
	int failures;             /* of the coordinator, in a row */
	msec dead_by;             /* told with the loss of the lock */
	bool hung;                /* the save under way: nobody will answer it */
	bool stuck;               /* nor can it be abandoned, as the coordinator has it */

	bool told_stop;
	bool hurried;
	msec end_by;    /* when the stop's time for the job is over */
	msec killed_at; /* the stop was told to kill, MSEC_NEVER: it was not */
	int exits;
	unsigned steps;

	struct {
		msec now;
		enum life_event ev;
		msec arg;
		unsigned acts;
		enum life_state state;
	} trace[TRACE_MAX];
};

static uint64_t steps_played;

/* Failing */

static void print_trace(const struct world *w)
{
	unsigned first = w->steps > TRACE_MAX ? w->steps - TRACE_MAX : 0;

	for (unsigned i = first; i < w->steps; i++) {
		unsigned at = i % TRACE_MAX;

		print_error("  %8lld %-14s %6lld -> %#06x %s\n", (long long)w->trace[at].now,
		    life_event_name(w->trace[at].ev), (long long)w->trace[at].arg,
		    w->trace[at].acts, life_state_name(w->trace[at].state));
	}
}

static void demand(struct world *w, bool holds, const char *rule)
{
	if (holds)
		return;
	print_trace(w);
	fail_msg("broken at %lld: %s (stop %lld, hurry %lld)\n"
		 "play it again: GRACEFUL_TEST_SEED=%llu GRACEFUL_TEST_RUNS=1",
	    (long long)w->now, rule, (long long)w->conf.stop_timeout,
	    (long long)w->conf.hurry_timeout, (unsigned long long)w->seed);
}

/* The future */

static void plan(struct world *w, msec in, enum life_event ev, msec arg, bool stray)
{
	demand(w, w->n < EVENTS_MAX, "the model has room");
	w->pending[w->n++] = (struct happening){ w->now + in, ev, arg, stray };
}

static void answer(struct world *w, unsigned action, enum life_event ev, msec arg)
{
	w->asked |= action;
	plan(w, dice_roll(&w->dice, DELAY_MAX), ev, arg, false);
}

/* By a coordinator that hangs: much later, or never. */
static void answer_late(struct world *w, unsigned action, enum life_event ev)
{
	w->asked |= action;
	if (dice_chance(&w->dice, 50))
		plan(w, dice_roll(&w->dice, DELAY_LONG), ev, 0, false);
}

static bool fails(struct world *w, int percent)
{
	if (w->failures < 3 && dice_chance(&w->dice, percent)) {
		w->failures++;
		return true;
	}
	w->failures = 0;
	return false;
}

/* The main process ends; its kin may live on. */
static void end_main(struct world *w, msec in, bool zero)
{
	for (size_t i = 0; i < w->n; i++) {
		if (w->pending[i].ev != LIFE_EV_EXITED || w->pending[i].stray)
			continue;
		if (w->now + in >= w->pending[i].at)
			return;
		w->pending[i] = w->pending[--w->n];
	}
	plan(w, in, LIFE_EV_EXITED, zero, false);
}

static void plan_cleared(struct world *w)
{
	for (size_t i = 0; i < w->n; i++) {
		if (w->pending[i].ev == LIFE_EV_CLEARED && !w->pending[i].stray)
			return;
	}
	if (!w->main_lives && !w->told_main && !w->kin_lives)
		plan(w, dice_roll(&w->dice, DELAY_SHORT), LIFE_EV_CLEARED, 0, false);
}

/* What is asked for is done */

static bool job_lives(const struct world *w)
{
	return w->main_lives || w->kin_lives;
}

static void do_acquire(struct world *w)
{
	demand(w, !w->lock || w->life.rescue, "no second lock");
	demand(w, !(w->asked & LIFE_ACQUIRE), "asked once");
	w->asked |= LIFE_ACQUIRE;
	if (fails(w, 20))
		plan(w, dice_roll(&w->dice, DELAY_MAX), LIFE_EV_REFUSED, 0, false);
	else if (w->life.rescue || dice_chance(&w->dice, 90)) /* else another keeps it for good */
		plan(w, dice_roll(&w->dice, DELAY_MAX), LIFE_EV_GRANTED,
		    !w->life.rescue && dice_chance(&w->dice, 3), false);
}

static void do_spawn(struct world *w)
{
	demand(w, w->lock && !w->lost, "the job starts only while the lock is held");
	demand(w, !job_lives(w) && !w->told_main, "the job starts only when nothing of it is left");
	demand(w, !(w->asked & LIFE_SPAWN), "one start at a time");
	if (fails(w, 10)) {
		w->asked |= LIFE_SPAWN;
		plan(w, dice_roll(&w->dice, DELAY_SHORT), LIFE_EV_SPAWN_FAILED, 0, false);
		return;
	}
	w->main_lives = true;
	w->kin_lives = dice_chance(&w->dice, 40);
	w->killing = false;
	w->stubborn = dice_chance(&w->dice, 30);
	w->unsaved = true;
	w->asked |= LIFE_SPAWN;
	plan(w, dice_roll(&w->dice, DELAY_SHORT), LIFE_EV_SPAWNED, 0, false);
	if (dice_chance(&w->dice, 60))
		plan(w, DELAY_MAX + dice_roll(&w->dice, 20000), LIFE_EV_EXITED,
		    dice_chance(&w->dice, 40), false);
}

static void do_signal(struct world *w)
{
	demand(w, w->told_main, "only a process that is known to live is signalled");
	if (!w->stubborn && dice_chance(&w->dice, 80))
		end_main(w, dice_roll(&w->dice, 8000), dice_chance(&w->dice, 70));
}

static void do_clear(struct world *w)
{
	demand(w, !w->main_lives, "what is left is cleared after the main process");
	if (!w->stubborn)
		w->kin_lives = false;
	plan_cleared(w);
}

static void do_kill(struct world *w)
{
	w->killing = true;
	w->kin_lives = false;
	w->dead_by = MSEC_NEVER;
	if (w->main_lives || w->told_main)
		end_main(w, dice_roll(&w->dice, DELAY_SHORT), false);
	plan_cleared(w);
}

static void do_restore(struct world *w)
{
	demand(w, w->lock && !w->lost && !job_lives(w), "restored only for a new start");
	/* The store hangs. */
	if (dice_chance(&w->dice, 5))
		w->asked |= LIFE_RESTORE;
	else
		answer(
		    w, LIFE_RESTORE, fails(w, 15) ? LIFE_EV_RESTORE_FAILED : LIFE_EV_RESTORED, 0);
}

static void do_save(struct world *w, unsigned action)
{
	demand(
	    w, w->life.state == LIFE_DOUBTING || (w->lock && !w->lost), "a commit needs the lock");
	demand(w, !job_lives(w), "a commit at the end waits for the job's last process");
	demand(w, !(w->asked & ~(unsigned)(LIFE_ACQUIRE | LIFE_RESTORE)), "one question at a time");
	if (action == LIFE_MARK_RELEASE)
		w->mark_at = w->now;
	w->hung = dice_chance(&w->dice, 8);
	w->stuck = w->hung && dice_chance(&w->dice, 50);
	if (w->stuck)
		answer_late(
		    w, action, dice_chance(&w->dice, 30) ? LIFE_EV_SAVED : LIFE_EV_SAVE_FAILED);
	else if (w->hung)
		w->asked |= action;
	else if (dice_chance(&w->dice, w->lost ? 30 : 3))
		answer(w, action, LIFE_EV_LOST, 0);
	else if (fails(w, 30))
		answer(w, action, LIFE_EV_SAVE_FAILED, dice_chance(&w->dice, 20));
	else
		answer(w, action, LIFE_EV_SAVED, 0);
}

static void do_abandon(struct world *w)
{
	demand(w, (w->asked & (LIFE_SAVE | LIFE_COMMIT_RELEASE)) != 0,
	    "what is abandoned is under way");
	if (w->hung && !w->stuck)
		plan(w, 0, LIFE_EV_SAVE_FAILED, 0, false);
	w->hung = false;
}

static void do_release(struct world *w)
{
	demand(w, !job_lives(w), "the lock is released after the job's last process");
	demand(w, !w->lost, "what is lost is not released");
	demand(w, !(w->asked & ~(unsigned)(LIFE_ACQUIRE | LIFE_RESTORE)), "one question at a time");
	w->release_at = w->release_at == 0 ? w->now : w->release_at;
	if (dice_chance(&w->dice, 10))
		answer_late(w, LIFE_RELEASE,
		    dice_chance(&w->dice, 30) ? LIFE_EV_RELEASED : LIFE_EV_RELEASE_FAILED);
	else
		answer(
		    w, LIFE_RELEASE, fails(w, 30) ? LIFE_EV_RELEASE_FAILED : LIFE_EV_RELEASED, 0);
}

/* Within what the operator was told, and a kill before the master ends its worker. A rescue may
 * have to hear first that the lock is its. */
static void check_end(struct world *w)
{
	msec slack = 5 * DELAY_SHORT + (w->life.rescue ? DELAY_MAX : 0);
	msec last = msec_add(w->end_by, life_stop_tail(&w->conf));

	last = msec_min(last, msec_add(w->killed_at, FLEET_QUIT_MAX));
	demand(w, last == MSEC_NEVER || w->now <= last + slack, "a stop ends in time");
}

static void do_exit(struct world *w)
{
	const struct life *l = &w->life;

	demand(w, ++w->exits == 1, "EXIT comes once");
	check_end(w);
	demand(w, l->state == LIFE_GONE, "EXIT means GONE");
	demand(w,
	    w->lost || !(w->asked & LIFE_RELEASE) || w->now >= w->release_at + LIFE_ANSWER_MIN,
	    "a release has time for an answer");
	demand(w, w->lost || !(w->asked & LIFE_MARK_RELEASE) || w->now >= w->mark_at + LIFE_TRY_MIN,
	    "so has a mark");
	demand(w, !job_lives(w), "nothing of the job outlives its worker");
	demand(w, !w->lock || w->lost || l->left, "nothing is held at the end");
	demand(w, !l->owner, "nor believed to be");
	demand(w, !w->unsaved || l->dump == LIFE_DUMP_UNCLEAN, "unsaved work is unclean");
	demand(w, l->dump != LIFE_DUMP_CLEAN || (w->zero && !w->unsaved), "clean means clean");
	demand(w, !l->done || w->on_record, "done means that the record says so");
	demand(w, life_deadline(l) == MSEC_NEVER, "nothing is due any more");
}

static void carry_out(struct world *w, unsigned acts)
{
	if (acts & LIFE_ACQUIRE)
		do_acquire(w);
	if (acts & LIFE_RESTORE)
		do_restore(w);
	if (acts & LIFE_SPAWN)
		do_spawn(w);
	if (acts & (LIFE_SIGNAL_STOP | LIFE_SIGNAL_TERM | LIFE_SIGNAL_ABORT))
		do_signal(w);
	if (acts & LIFE_CLEAR)
		do_clear(w);
	if (acts & LIFE_KILL)
		do_kill(w);
	if (acts & (LIFE_SAVE | LIFE_COMMIT_RELEASE | LIFE_MARK_RELEASE))
		do_save(w, acts & (LIFE_SAVE | LIFE_COMMIT_RELEASE | LIFE_MARK_RELEASE));
	if (acts & LIFE_RELEASE)
		do_release(w);
	if (acts & LIFE_ABANDON)
		do_abandon(w);
	if (acts & LIFE_EXIT)
		do_exit(w);
}

/* What happens becomes fact before it is told */

static void become_saved(struct world *w)
{
	/* A mark says that the work is lost: unsaved stays. */
	if (!(w->asked & LIFE_MARK_RELEASE))
		w->unsaved = false;
	if (w->asked & (LIFE_COMMIT_RELEASE | LIFE_MARK_RELEASE)) {
		w->lock = false;
		w->on_record = w->life.done;
	}
}

static void become_lost(struct world *w, msec left)
{
	w->lost = true;
	w->dead_by = msec_min(w->dead_by, w->now + (left > 0 ? left : 0));
}

/* The time that a stop may take, as the operator reckons it. */
static void become_stopped(struct world *w, enum life_event ev, msec arg)
{
	if (ev == LIFE_EV_EXTEND) {
		if (w->told_stop && !w->hurried && w->end_by != MSEC_NEVER)
			w->end_by = w->end_by > w->now + arg ? w->end_by : w->now + arg;
		return;
	}
	if (!w->told_stop)
		w->end_by = msec_add(w->now, w->conf.stop_timeout);
	w->told_stop = true;
	w->hurried |= ev != LIFE_EV_STOP;
	if (ev == LIFE_EV_HURRY)
		w->end_by = msec_min(w->end_by, msec_add(w->now, w->conf.hurry_timeout));
	if (ev == LIFE_EV_KILL) {
		w->end_by = msec_min(w->end_by, w->now);
		w->killed_at = msec_min(w->killed_at, w->now);
	}
}

static void become(struct world *w, const struct happening *h)
{
	switch (h->ev) {
	case LIFE_EV_GRANTED:
		w->lock = true;
		w->on_record |= h->arg != 0;
		break;
	case LIFE_EV_SPAWNED: w->told_main = true; break;
	case LIFE_EV_EXITED:
		w->main_lives = false;
		w->told_main = false;
		w->zero = h->arg != 0;
		break;
	case LIFE_EV_SAVED: become_saved(w); break;
	case LIFE_EV_RELEASED: w->lock = false; break;
	case LIFE_EV_LOST: become_lost(w, h->arg); break;
	case LIFE_EV_STOP:
	case LIFE_EV_HURRY:
	case LIFE_EV_KILL:
	case LIFE_EV_EXTEND: become_stopped(w, h->ev, h->arg); break;
	case LIFE_EV_BEGIN:
	case LIFE_EV_REFUSED:
	case LIFE_EV_FREED:
	case LIFE_EV_RESTORED:
	case LIFE_EV_RESTORE_FAILED:
	case LIFE_EV_SPAWN_FAILED:
	case LIFE_EV_CLEARED:
	case LIFE_EV_SAVE_FAILED:
	case LIFE_EV_RELEASE_FAILED:
	case LIFE_EV_ALIVE:
	case LIFE_EV_TICK: break;
	}
}

/* Which questions an event answers. */
static unsigned answered(const struct world *w, enum life_event ev, msec arg)
{
	unsigned saves = LIFE_SAVE | LIFE_COMMIT_RELEASE | LIFE_MARK_RELEASE;

	if (ev == LIFE_EV_GRANTED || ev == LIFE_EV_REFUSED || ev == LIFE_EV_FREED)
		return LIFE_ACQUIRE;
	if (ev == LIFE_EV_RESTORED || ev == LIFE_EV_RESTORE_FAILED)
		return LIFE_RESTORE;
	if (ev == LIFE_EV_SPAWNED || ev == LIFE_EV_SPAWN_FAILED)
		return LIFE_SPAWN;
	if (ev == LIFE_EV_SAVED || ev == LIFE_EV_SAVE_FAILED)
		return saves;
	if (ev == LIFE_EV_RELEASED || ev == LIFE_EV_RELEASE_FAILED)
		return LIFE_RELEASE;
	/* As long as nobody knows whose the lock is, a commit goes on. */
	return ev == LIFE_EV_LOST && arg <= 0 ? w->asked & saves : 0;
}

/* An answer that nobody can tell from a true one is not played as a stray. */
static bool credible(const struct world *w, enum life_event ev, msec arg)
{
	if (ev == LIFE_EV_EXITED)
		return w->main_lives || w->told_main;
	if (ev == LIFE_EV_CLEARED)
		return !w->told_main && !w->main_lives;
	return (w->asked & answered(w, ev, arg)) != 0;
}

/* One step, and what must hold after it */

/* Whether an answer or the end of a process will come, without anybody's doing. */
static bool is_awaited(const struct world *w)
{
	for (size_t i = 0; i < w->n; i++) {
		enum life_event ev = w->pending[i].ev;

		if (!w->pending[i].stray && (ev == LIFE_EV_EXITED || ev == LIFE_EV_CLEARED))
			return true;
	}
	return w->asked != 0 || w->life.state == LIFE_STARTING;
}

static bool is_at_rest(const struct world *w)
{
	const struct life *l = &w->life;

	/* The job runs as it should, or dumps as long as it likes. */
	return (l->state == LIFE_RUNNING || l->state == LIFE_DUMPING) && w->told_main &&
	       (l->state == LIFE_RUNNING || w->conf.stop_timeout == MSEC_NEVER);
}

static void check(struct world *w)
{
	const struct life *l = &w->life;

	if (l->state == LIFE_GONE) {
		demand(w, w->exits == 1, "GONE is told by EXIT");
		return;
	}
	check_end(w);
	demand(w, is_awaited(w) || life_deadline(l) != MSEC_NEVER || is_at_rest(w),
	    "something is awaited or due");
	demand(w, !job_lives(w) || !w->told_main || w->now <= w->dead_by,
	    "the job is killed before the lock can be another's");
	demand(w, !w->lost || !l->owner, "who lost the lock does not claim it");
	demand(w, !w->lost || !(w->asked & LIFE_RESTORE), "nor waits for a store that may hang");
}

static void tell(struct world *w, enum life_event ev, msec arg)
{
	unsigned acts = life_event(&w->life, ev, arg, w->now);
	unsigned at = w->steps++ % TRACE_MAX;

	w->trace[at].now = w->now;
	w->trace[at].ev = ev;
	w->trace[at].arg = arg;
	w->trace[at].acts = acts;
	w->trace[at].state = w->life.state;
	carry_out(w, acts);
	check(w);
}

static void tick(struct world *w)
{
	tell(w, LIFE_EV_TICK, 0);
	demand(w, life_deadline(&w->life) > w->now, "a deadline that was met is not due again");
}

static void happen(struct world *w, size_t i)
{
	struct happening h = w->pending[i];
	unsigned was_asked = w->asked;

	w->pending[i] = w->pending[--w->n];
	if (h.stray) {
		if (!credible(w, h.ev, h.arg))
			tell(w, h.ev, h.arg);
		return;
	}
	become(w, &h);
	w->asked &= ~answered(w, h.ev, h.arg);
	if (was_asked != w->asked && h.ev != LIFE_EV_LOST && dice_chance(&w->dice, 15))
		plan(w, dice_roll(&w->dice, 2 * DELAY_MAX), h.ev, h.arg, true);
	if ((h.ev == LIFE_EV_EXITED || h.ev == LIFE_EV_CLEARED) && dice_chance(&w->dice, 15))
		plan(w, dice_roll(&w->dice, 2 * DELAY_MAX), h.ev, h.arg, true);
	tell(w, h.ev, h.arg);
	if (h.ev == LIFE_EV_EXITED)
		plan_cleared(w);
}

/* One tenure */

static msec some_timeout(struct world *w)
{
	return dice_chance(&w->dice, 10) ? 1 : 1 + dice_roll(&w->dice, 30000);
}

static void plan_operator(struct world *w)
{
	static const enum life_event all[] = { LIFE_EV_STOP, LIFE_EV_STOP, LIFE_EV_HURRY,
		LIFE_EV_KILL };
	msec at = dice_roll(&w->dice, 60000);

	for (int64_t n = dice_roll(&w->dice, 4); n > 0; n--)
		plan(w, dice_roll(&w->dice, 60000), all[dice_roll(&w->dice, 4)], 0, false);
	for (int64_t n = dice_roll(&w->dice, 4); n > 0; n--)
		plan(w, dice_roll(&w->dice, 60000), LIFE_EV_ALIVE, 0, false);
	for (int64_t n = dice_roll(&w->dice, 3); n > 0; n--)
		plan(w, dice_roll(&w->dice, 90000), LIFE_EV_EXTEND, dice_roll(&w->dice, 60000),
		    false);
	/* In the end somebody stops it, and does not wait for ever. */
	plan(w, at, LIFE_EV_STOP, 0, false);
	if (w->conf.stop_timeout == MSEC_NEVER)
		plan(w, at + 60000, LIFE_EV_HURRY, 0, false);
}

static void open_world(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->dice.state = seed;
	w->now = 1000;
	w->dead_by = MSEC_NEVER;
	w->end_by = MSEC_NEVER;
	w->killed_at = MSEC_NEVER;
	w->conf.stop_timeout = dice_chance(&w->dice, 15) ? MSEC_NEVER : some_timeout(w);
	w->conf.hurry_timeout = msec_min(some_timeout(w) / 4 + 1, w->conf.stop_timeout);
	w->conf.watchdog = dice_chance(&w->dice, 50) ? 1 + dice_roll(&w->dice, 10000) : 0;
	w->conf.finish_releases = dice_chance(&w->dice, 50);
	w->conf.finish_done = w->conf.finish_releases && dice_chance(&w->dice, 50);
	backoff_init(&w->backoff, 1 + dice_roll(&w->dice, 1000), 8000, 60000,
	    (int)(1 + dice_roll(&w->dice, 5)), seed);
	if (dice_chance(&w->dice, 15)) {
		w->unsaved = dice_chance(&w->dice, 80);
		w->zero = w->unsaved && dice_chance(&w->dice, 50);
		life_init_rescue(&w->life, &w->conf, &w->backoff,
		    &(struct life_rescue){
			.placed = w->unsaved, .clean = w->zero, .cleared = true });
		w->lock = true;
	} else {
		life_init(&w->life, &w->conf, &w->backoff);
	}
	plan(w, 0, LIFE_EV_BEGIN, 0, false);
	plan_operator(w);
	if (dice_chance(&w->dice, 20))
		plan(w, dice_roll(&w->dice, 60000), LIFE_EV_LOST, dice_roll(&w->dice, 60000) - 1000,
		    false);
}

/* A loss needs a lock, or at least a place in the queue; an extension needs a job. */
static bool makes_sense(const struct world *w, const struct happening *h)
{
	if (h->ev == LIFE_EV_LOST)
		return w->lock || (w->asked & LIFE_ACQUIRE);
	if (h->ev == LIFE_EV_EXTEND || h->ev == LIFE_EV_ALIVE)
		return w->main_lives;
	return true;
}

static size_t next_of(const struct world *w)
{
	size_t next = 0;

	for (size_t i = 1; i < w->n; i++) {
		if (w->pending[i].at < w->pending[next].at)
			next = i;
	}
	return next;
}

static void play(struct world *w)
{
	while (w->life.state != LIFE_GONE || w->n > 0) {
		msec deadline = life_deadline(&w->life);
		size_t i = next_of(w);
		bool first = dice_chance(&w->dice, 50); /* of two that are due at once */

		demand(w, w->steps < STEPS_MAX, "it ends");
		demand(w, w->n > 0 || deadline != MSEC_NEVER, "something is to come");
		if (w->n == 0 || deadline < w->pending[i].at ||
		    (first && deadline == w->pending[i].at)) {
			w->now = deadline > w->now ? deadline : w->now;
			tick(w);
			continue;
		}
		w->now = w->pending[i].at > w->now ? w->pending[i].at : w->now;
		if (makes_sense(w, &w->pending[i]))
			happen(w, i);
		else
			w->pending[i] = w->pending[--w->n];
	}
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
	print_message("%llu tenures, %llu steps\n", (unsigned long long)runs,
	    (unsigned long long)steps_played);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_rules_whatever_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
