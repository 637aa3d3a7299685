/*
 * A worker's tenure as scripts: what happens, what must be done about it, and the state after it.
 * test_life_random.c plays the same policy against chance.
 *
 * A script plays under these limits: stop 60 s, hurry 10 s, watchdog 5 s; a restart waits for 2 ms,
 * then 3 ms (too short for jitter); the third failure gives up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/life.h"

struct row {
	msec now;
	enum life_event ev;
	msec arg;
	unsigned acts;
	enum life_state state;
};

/* For readable rows. */
enum {
	NOTHING = 0,
	ACQUIRE = LIFE_ACQUIRE,
	RESTORE = LIFE_RESTORE,
	SPAWN = LIFE_SPAWN,
	SIGNAL_STOP = LIFE_SIGNAL_STOP,
	SIGNAL_TERM = LIFE_SIGNAL_TERM,
	SIGNAL_ABORT = LIFE_SIGNAL_ABORT,
	CLEAR = LIFE_CLEAR,
	KILL = LIFE_KILL,
	SAVE = LIFE_SAVE,
	COMMIT_RELEASE = LIFE_COMMIT_RELEASE,
	MARK_RELEASE = LIFE_MARK_RELEASE,
	RELEASE = LIFE_RELEASE,
	ABANDON = LIFE_ABANDON,
	EXIT = LIFE_EXIT,
};

#define AT(now, event, arg, acts, state)                      \
	{                                                     \
		now, LIFE_EV_##event, arg, acts, LIFE_##state \
	}

static const struct life_conf usual = { .stop_timeout = 60000, .hurry_timeout = 10000 };

struct script {
	struct life_conf conf;
	struct backoff backoff;
	struct life life;
};

static void open_script(struct script *s, const struct life_conf *conf)
{
	s->conf = *conf;
	backoff_init(&s->backoff, 2, 3, 1000000, 3, 1);
	life_init(&s->life, &s->conf, &s->backoff);
}

static void open_rescue(struct script *s, const struct life_conf *conf, bool placed, bool clean)
{
	const struct life_rescue left = { .placed = placed, .clean = clean, .cleared = true };

	open_script(s, conf);
	life_init_rescue(&s->life, &s->conf, &s->backoff, &left);
}

static void play_row(struct script *s, const struct row *r, size_t i)
{
	unsigned acts = life_event(&s->life, r->ev, r->arg, r->now);

	if (acts != r->acts || s->life.state != r->state)
		fail_msg("row %zu: %s at %lld: does %#x, not %#x; is %s, not %s", i,
		    life_event_name(r->ev), (long long)r->now, acts, r->acts,
		    life_state_name(s->life.state), life_state_name(r->state));
}

/* Every TICK of a script must be the one that life_deadline() asks for, and one that comes a
 * millisecond too soon must do nothing. */
static void play_tick(struct script *s, const struct row *r, size_t i)
{
	struct row early = { r->now - 1, LIFE_EV_TICK, 0, NOTHING, s->life.state };

	if (life_deadline(&s->life) != r->now)
		fail_msg("row %zu: the deadline is %lld, not %lld", i,
		    (long long)life_deadline(&s->life), (long long)r->now);
	play_row(s, &early, i);
	play_row(s, r, i);
}

static void play(struct script *s, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (rows[i].ev == LIFE_EV_TICK)
			play_tick(s, &rows[i], i);
		else
			play_row(s, &rows[i], i);
	}
}

#define PLAY(s, ...)                                              \
	do {                                                      \
		static const struct row rows[] = { __VA_ARGS__ }; \
		play(s, rows, sizeof(rows) / sizeof(rows[0]));    \
	} while (0)

/* The ways into each state, at 1 .. 6 */
#define TO_STANDBY AT(1, BEGIN, 0, ACQUIRE, STANDBY)
#define TO_RESTORING TO_STANDBY, AT(2, GRANTED, 0, RESTORE, RESTORING)
#define TO_SPAWNING TO_RESTORING, AT(3, RESTORED, 0, SPAWN, RESTORING)
#define TO_RUNNING TO_SPAWNING, AT(4, SPAWNED, 0, NOTHING, RUNNING)
#define TO_CLEARING TO_RUNNING, AT(5, EXITED, 0, CLEAR, CLEARING)
#define TO_SAVING TO_CLEARING, AT(6, CLEARED, 0, SAVE, SAVING)
#define TO_BACKOFF TO_SAVING, AT(6, SAVED, 0, NOTHING, BACKOFF)
#define TO_UNSAVED TO_SAVING, AT(6, SAVE_FAILED, 0, NOTHING, BACKOFF)
/* What the job left is no state. */
#define TO_RESTORING_AGAIN \
	TO_SAVING, AT(6, SAVE_FAILED, 1, NOTHING, BACKOFF), AT(8, TICK, 0, RESTORE, RESTORING)
#define TO_DUMPING TO_RUNNING, AT(5, STOP, 0, SIGNAL_STOP, DUMPING)
#define TO_COMMITTING \
	TO_DUMPING, AT(6, EXITED, 1, CLEAR, DUMPING), AT(6, CLEARED, 0, COMMIT_RELEASE, RELEASING)
#define TO_RETRYING TO_COMMITTING, AT(6, SAVE_FAILED, 0, NOTHING, RELEASING)
#define TO_RELEASING TO_RESTORING, AT(3, STOP, 0, RELEASE, RELEASING)

static void assert_gone(const struct script *s, enum life_dump dump)
{
	assert_int_equal(s->life.state, LIFE_GONE);
	assert_int_equal(s->life.dump, dump);
	assert_int_equal(life_deadline(&s->life), MSEC_NEVER);
	assert_false(s->life.owner);
}

/* Start and stop */

static void starts_and_stops(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RUNNING, AT(1000, STOP, 0, SIGNAL_STOP, DUMPING),
	    AT(1200, EXITED, 1, CLEAR, DUMPING), AT(1201, CLEARED, 0, COMMIT_RELEASE, RELEASING),
	    AT(1210, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);
	assert_false(s.life.left || s.life.failed || s.life.done);
	assert_int_equal(s.life.restarts, 0);
}

static void owns_from_grant_to_release(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY);
	assert_false(s.life.owner);
	PLAY(&s, AT(2, GRANTED, 0, RESTORE, RESTORING));
	assert_true(s.life.owner);
}

static void ends_at_once_when_stopped_before_it_began(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, AT(0, STOP, 0, NOTHING, STARTING), AT(1, BEGIN, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
	open_script(&s, &usual);
	PLAY(&s, AT(0, KILL, 0, NOTHING, STARTING), AT(1, BEGIN, 0, EXIT, GONE));
	open_rescue(&s, &usual, true, true);
	PLAY(&s, AT(0, HURRY, 0, NOTHING, STARTING), AT(1, BEGIN, 0, ACQUIRE, STANDBY));
}

static void repeated_stops_change_nothing(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(30000, STOP, 0, NOTHING, DUMPING),
	    AT(50005, TICK, 0, SIGNAL_TERM, DUMPING), AT(50006, STOP, 0, NOTHING, DUMPING),
	    AT(60005, TICK, 0, KILL, DUMPING));
}

static void a_job_that_ends_badly_when_stopped_is_unclean(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(6, EXITED, 0, CLEAR, DUMPING),
	    AT(7, CLEARED, 0, COMMIT_RELEASE, RELEASING), AT(8, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

/* What a stop, a hurry, a kill and a loss do in every state */

#define WAY(name, ...) static const struct row name[] = { __VA_ARGS__ }

WAY(standby, TO_STANDBY);
WAY(refused, TO_STANDBY, AT(2, REFUSED, 0, NOTHING, STANDBY));
WAY(restoring, TO_RESTORING);
WAY(again, TO_RESTORING_AGAIN);
WAY(spawning, TO_SPAWNING);
WAY(running, TO_RUNNING);
WAY(clearing, TO_CLEARING);
WAY(saving, TO_SAVING);
WAY(backoff, TO_BACKOFF);
WAY(unsaved, TO_UNSAVED);
WAY(dumping, TO_DUMPING);
WAY(committing, TO_COMMITTING);
WAY(retrying, TO_RETRYING);
WAY(releasing, TO_RELEASING);

struct reaction {
	const char *name;
	const struct row *way;
	size_t n;
	enum life_event ev;
	msec arg;
	unsigned acts;
	enum life_state state;
	msec deadline;
};

#define ON(way, event, arg, acts, state, deadline)                                                \
	{                                                                                         \
#way " " #event, way, sizeof(way) / sizeof((way)[0]), LIFE_EV_##event, arg, acts, \
		    LIFE_##state, deadline                                                        \
	}
#define NEVER MSEC_NEVER

/* All at 100. */
static const struct reaction reactions[] = {
	ON(standby, STOP, 0, RELEASE, RELEASING, 60100),
	ON(standby, HURRY, 0, RELEASE, RELEASING, 10100),
	ON(standby, KILL, 0, RELEASE, RELEASING, 5100),
	ON(standby, LOST, 500, EXIT, GONE, NEVER),
	/* Nothing is queued for while the coordinator refuses: there is nothing to give back. */
	ON(refused, STOP, 0, EXIT, GONE, NEVER),
	ON(refused, HURRY, 0, EXIT, GONE, NEVER),
	ON(refused, KILL, 0, EXIT, GONE, NEVER),
	/* A store may hang for ever, and its answer changes nothing any more. */
	ON(restoring, STOP, 0, RELEASE, RELEASING, 60100),
	ON(restoring, HURRY, 0, RELEASE, RELEASING, 10100),
	ON(restoring, KILL, 0, RELEASE, RELEASING, 5100),
	ON(restoring, LOST, 500, EXIT, GONE, NEVER),
	ON(restoring, LOST, 0, EXIT, GONE, NEVER),
	ON(again, STOP, 0, MARK_RELEASE, RELEASING, 60100),
	ON(again, HURRY, 0, MARK_RELEASE, RELEASING, 10100),
	ON(again, KILL, 0, MARK_RELEASE, RELEASING, 1100),
	ON(again, LOST, 500, EXIT, GONE, NEVER),
	ON(again, LOST, 0, EXIT, GONE, NEVER),
	/* There may be a job any moment: first the answer. */
	ON(spawning, STOP, 0, NOTHING, RESTORING, NEVER),
	ON(spawning, HURRY, 0, NOTHING, RESTORING, NEVER),
	ON(spawning, KILL, 0, NOTHING, RESTORING, NEVER),
	ON(spawning, LOST, 500, NOTHING, RESTORING, NEVER),
	ON(running, STOP, 0, SIGNAL_STOP, DUMPING, 50100),
	ON(running, HURRY, 0, SIGNAL_STOP | SIGNAL_TERM, DUMPING, 10100),
	ON(running, KILL, 0, KILL, DUMPING, NEVER),
	ON(running, LOST, 500, SIGNAL_STOP, DUMPING, 600),
	ON(running, LOST, 0, KILL, DUMPING, NEVER),
	ON(running, LOST, -7, KILL, DUMPING, NEVER),
	ON(clearing, STOP, 0, NOTHING, CLEARING, 10005),
	ON(clearing, HURRY, 0, NOTHING, CLEARING, 10005),
	ON(clearing, KILL, 0, KILL, CLEARING, NEVER),
	ON(clearing, LOST, 500, NOTHING, CLEARING, 600),
	ON(clearing, LOST, 0, KILL, CLEARING, NEVER),
	/* The restart that was planned for 8 is none of its deadlines. A save that hangs is given
	 * up with the stop that waits for it. */
	ON(saving, STOP, 0, NOTHING, SAVING, 60006),
	ON(saving, HURRY, 0, NOTHING, SAVING, 10100),
	ON(saving, KILL, 0, NOTHING, SAVING, 1100),
	ON(saving, LOST, 500, EXIT, GONE, NEVER),
	ON(backoff, STOP, 0, RELEASE, RELEASING, 60100),
	ON(backoff, HURRY, 0, RELEASE, RELEASING, 10100),
	ON(backoff, KILL, 0, RELEASE, RELEASING, 5100),
	ON(backoff, LOST, 500, EXIT, GONE, NEVER),
	ON(unsaved, STOP, 0, COMMIT_RELEASE, RELEASING, 60100),
	ON(unsaved, HURRY, 0, COMMIT_RELEASE, RELEASING, 10100),
	ON(unsaved, KILL, 0, COMMIT_RELEASE, RELEASING, 1100),
	ON(unsaved, LOST, 500, EXIT, GONE, NEVER),
	ON(dumping, STOP, 0, NOTHING, DUMPING, 50005),
	ON(dumping, HURRY, 0, SIGNAL_TERM, DUMPING, 10100),
	ON(dumping, KILL, 0, KILL, DUMPING, NEVER),
	ON(dumping, LOST, 500, NOTHING, DUMPING, 600),
	ON(dumping, LOST, 0, KILL, DUMPING, NEVER),
	ON(committing, STOP, 0, NOTHING, RELEASING, 60005),
	ON(committing, HURRY, 0, NOTHING, RELEASING, 10100),
	ON(committing, KILL, 0, NOTHING, RELEASING, 1100),
	ON(committing, LOST, 500, NOTHING, DOUBTING, 60005),
	ON(committing, LOST, 0, EXIT, GONE, NEVER),
	ON(retrying, STOP, 0, NOTHING, RELEASING, 206),
	ON(retrying, HURRY, 0, NOTHING, RELEASING, 206),
	ON(retrying, KILL, 0, NOTHING, RELEASING, 100),
	ON(retrying, LOST, 500, COMMIT_RELEASE, DOUBTING, 60005),
	ON(retrying, LOST, 0, EXIT, GONE, NEVER),
	ON(releasing, STOP, 0, NOTHING, RELEASING, 60003),
	ON(releasing, HURRY, 0, NOTHING, RELEASING, 10100),
	ON(releasing, KILL, 0, NOTHING, RELEASING, 5100),
	ON(releasing, LOST, 500, EXIT, GONE, NEVER),
};

static void reacts_in_every_state(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(reactions) / sizeof(reactions[0]); i++) {
		const struct reaction *r = &reactions[i];
		struct script s;
		unsigned acts;

		open_script(&s, &usual);
		play(&s, r->way, r->n);
		acts = life_event(&s.life, r->ev, r->arg, 100);
		if (acts != r->acts || s.life.state != r->state ||
		    life_deadline(&s.life) != r->deadline)
			fail_msg("%s: does %#x, is %s, deadline %lld", r->name, acts,
			    life_state_name(s.life.state), (long long)life_deadline(&s.life));
	}
}

/* A loss with work that was not committed is unclean, wherever it strikes. */
static void a_loss_before_the_commit_is_unclean(void **state)
{
	static const struct reaction losses[] = {
		ON(unsaved, LOST, 1, EXIT, GONE, LIFE_DUMP_UNCLEAN),
		ON(saving, LOST, 1, EXIT, GONE, LIFE_DUMP_UNCLEAN),
		ON(committing, LOST, 0, EXIT, GONE, LIFE_DUMP_UNCLEAN),
		ON(retrying, LOST, 0, EXIT, GONE, LIFE_DUMP_UNCLEAN),
		ON(backoff, LOST, 1, EXIT, GONE, LIFE_DUMP_NONE),
		ON(standby, LOST, 1, EXIT, GONE, LIFE_DUMP_NONE),
		ON(releasing, LOST, 1, EXIT, GONE, LIFE_DUMP_NONE),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
		struct script s;

		open_script(&s, &usual);
		play(&s, losses[i].way, losses[i].n);
		life_event(&s.life, LIFE_EV_LOST, losses[i].arg, 100);
		assert_gone(&s, (enum life_dump)losses[i].deadline);
	}
}

/* Nothing but the answer that is awaited counts, and only once. */
static void late_and_repeated_answers_are_ignored(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, RESTORED, 0, NOTHING, STANDBY),
	    AT(2, GRANTED, 0, RESTORE, RESTORING), AT(3, GRANTED, 0, NOTHING, RESTORING),
	    AT(3, REFUSED, 0, NOTHING, RESTORING), AT(3, SPAWNED, 0, NOTHING, RESTORING),
	    AT(3, SPAWN_FAILED, 0, NOTHING, RESTORING), AT(3, RESTORED, 0, SPAWN, RESTORING),
	    AT(4, RESTORED, 0, NOTHING, RESTORING), AT(4, RESTORE_FAILED, 0, NOTHING, RESTORING),
	    AT(5, SPAWNED, 0, NOTHING, RUNNING), AT(6, SPAWNED, 0, NOTHING, RUNNING),
	    AT(7, CLEARED, 0, NOTHING, RUNNING), AT(8, STOP, 0, SIGNAL_STOP, DUMPING),
	    /* Of an earlier run: this one's main process lives. */
	    AT(9, CLEARED, 0, NOTHING, DUMPING), AT(9, SAVED, 0, NOTHING, DUMPING),
	    AT(10, EXITED, 1, CLEAR, DUMPING), AT(10, EXITED, 0, NOTHING, DUMPING),
	    AT(11, CLEARED, 0, COMMIT_RELEASE, RELEASING), AT(12, CLEARED, 0, NOTHING, RELEASING),
	    AT(12, RELEASED, 0, NOTHING, RELEASING), AT(13, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(14, SAVED, 0, NOTHING, RELEASING), AT(14, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(213, TICK, 0, COMMIT_RELEASE, RELEASING), AT(214, SAVED, 0, EXIT, GONE),
	    AT(215, SAVED, 0, NOTHING, GONE), AT(216, STOP, 0, NOTHING, GONE),
	    AT(217, LOST, 0, NOTHING, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);
}

static void a_restore_that_ends_after_a_stop_starts_nothing(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RELEASING, AT(4, RESTORED, 0, NOTHING, RELEASING),
	    AT(5, RELEASED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
}

static void a_grant_that_crosses_a_stop_is_given_back(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, STOP, 0, RELEASE, RELEASING),
	    AT(3, GRANTED, 0, NOTHING, RELEASING), AT(4, RELEASED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
}

/* A stop while the job is being started: it is told as soon as it is there. */

static void a_job_that_starts_during_a_stop_is_stopped(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_SPAWNING, AT(4, STOP, 0, NOTHING, RESTORING),
	    AT(10, SPAWNED, 0, SIGNAL_STOP, DUMPING), AT(50010, TICK, 0, SIGNAL_TERM, DUMPING));
	open_script(&s, &usual);
	PLAY(&s, TO_SPAWNING, AT(4, HURRY, 0, NOTHING, RESTORING),
	    AT(10, SPAWNED, 0, SIGNAL_STOP | SIGNAL_TERM, DUMPING),
	    AT(10010, TICK, 0, KILL, DUMPING));
	open_script(&s, &usual);
	PLAY(
	    &s, TO_SPAWNING, AT(4, KILL, 0, NOTHING, RESTORING), AT(10, SPAWNED, 0, KILL, DUMPING));
	open_script(&s, &usual);
	PLAY(&s, TO_SPAWNING, AT(4, LOST, 9000, NOTHING, RESTORING),
	    AT(10, SPAWNED, 0, KILL, DUMPING), AT(11, EXITED, 0, CLEAR, DUMPING),
	    AT(12, CLEARED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

static void a_job_that_fails_to_start_during_a_stop_is_released(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_SPAWNING, AT(4, STOP, 0, NOTHING, RESTORING),
	    AT(5, SPAWN_FAILED, 0, RELEASE, RELEASING), AT(6, RELEASED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
	/* With the work of the run before still to be committed. */
	open_script(&s, &usual);
	PLAY(&s, TO_UNSAVED, AT(8, TICK, 0, SPAWN, RESTORING), AT(9, STOP, 0, NOTHING, RESTORING),
	    AT(10, SPAWN_FAILED, 0, COMMIT_RELEASE, RELEASING), AT(11, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

/* The deadlines of a stop */

static void a_late_dump_is_hurried_and_killed(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(50005, TICK, 0, SIGNAL_TERM, DUMPING),
	    AT(60005, TICK, 0, KILL, DUMPING), AT(60006, EXITED, 0, CLEAR, DUMPING),
	    AT(60007, CLEARED, 0, COMMIT_RELEASE, RELEASING), AT(60008, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

static void what_the_job_leaves_behind_is_killed(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(1000, EXITED, 1, CLEAR, DUMPING), AT(11000, TICK, 0, KILL, DUMPING),
	    AT(11001, CLEARED, 0, COMMIT_RELEASE, RELEASING), AT(11002, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);
	/* But never later than the stop's own end. */
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(50005, TICK, 0, SIGNAL_TERM, DUMPING),
	    AT(59000, EXITED, 1, CLEAR, DUMPING), AT(60005, TICK, 0, KILL, DUMPING));
}

static const struct life_conf endless = { .stop_timeout = MSEC_NEVER, .hurry_timeout = 10000 };

static void an_endless_stop_waits_until_it_is_hurried(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &endless);
	PLAY(&s, TO_DUMPING);
	assert_int_equal(life_deadline(&s.life), MSEC_NEVER);
	PLAY(&s, AT(900000, EXTEND, 5, NOTHING, DUMPING));
	assert_int_equal(life_deadline(&s.life), MSEC_NEVER);
	PLAY(&s, AT(900000, HURRY, 0, SIGNAL_TERM, DUMPING), AT(910000, TICK, 0, KILL, DUMPING));
}

static void an_endless_stop_does_not_wait_for_leftovers(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &endless);
	PLAY(&s, TO_DUMPING, AT(900000, EXITED, 1, CLEAR, DUMPING),
	    AT(910000, TICK, 0, KILL, DUMPING));
}

static void a_repeated_hurry_does_not_push_the_end_out(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(1000, HURRY, 0, SIGNAL_TERM, DUMPING),
	    AT(9000, HURRY, 0, NOTHING, DUMPING), AT(11000, TICK, 0, KILL, DUMPING));
	/* Nor does one near the end give more time. */
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(50005, TICK, 0, SIGNAL_TERM, DUMPING),
	    AT(59000, HURRY, 0, SIGNAL_TERM, DUMPING), AT(60005, TICK, 0, KILL, DUMPING));
}

static void a_hurry_does_not_signal_a_job_that_has_ended(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(1000, EXITED, 1, CLEAR, DUMPING),
	    AT(1001, HURRY, 0, NOTHING, DUMPING), AT(11000, TICK, 0, KILL, DUMPING));
}

static void a_kill_wants_no_dump(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(1000, KILL, 0, KILL, DUMPING), AT(1001, HURRY, 0, NOTHING, DUMPING),
	    AT(1002, EXITED, 1, KILL, DUMPING), AT(1003, CLEARED, 0, COMMIT_RELEASE, RELEASING),
	    /* One try each, and no waiting. */
	    AT(1004, SAVE_FAILED, 0, MARK_RELEASE, RELEASING),
	    AT(1005, SAVE_FAILED, 0, RELEASE, RELEASING), AT(1006, RELEASE_FAILED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_true(s.life.left);
}

static void a_dump_that_a_kill_cut_short_is_unclean(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(1000, KILL, 0, KILL, DUMPING), AT(1001, EXITED, 1, KILL, DUMPING),
	    AT(1002, CLEARED, 0, COMMIT_RELEASE, RELEASING), AT(1003, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

/* A kill is told once: it must be remembered through every state. */
static void a_kill_ends_the_wait_for_a_release_in_every_state(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, KILL, 0, RELEASE, RELEASING),
	    AT(3, RELEASE_FAILED, 0, EXIT, GONE));
	open_script(&s, &usual);
	PLAY(&s, TO_BACKOFF, AT(7, KILL, 0, RELEASE, RELEASING),
	    AT(8, RELEASE_FAILED, 0, EXIT, GONE));
	open_script(&s, &usual);
	PLAY(&s, TO_SAVING, AT(7, KILL, 0, NOTHING, SAVING), AT(8, SAVED, 0, RELEASE, RELEASING),
	    AT(9, RELEASE_FAILED, 0, EXIT, GONE));
	open_script(&s, &usual);
	PLAY(&s, TO_RELEASING, AT(5, RELEASE_FAILED, 0, NOTHING, RELEASING),
	    AT(6, KILL, 0, NOTHING, RELEASING), AT(6, TICK, 0, RELEASE, RELEASING),
	    AT(7, RELEASE_FAILED, 0, EXIT, GONE));
	open_rescue(&s, &usual, true, true);
	PLAY(&s, TO_STANDBY, AT(2, KILL, 0, NOTHING, STANDBY),
	    AT(3, GRANTED, 0, COMMIT_RELEASE, RELEASING),
	    AT(4, SAVE_FAILED, 0, MARK_RELEASE, RELEASING),
	    AT(5, SAVE_FAILED, 0, RELEASE, RELEASING), AT(6, RELEASE_FAILED, 0, EXIT, GONE));
}

/* EXTEND */

static void the_job_may_ask_for_more_time(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(1000, EXTEND, 30000, NOTHING, DUMPING), /* less than it has */
	    AT(40000, EXTEND, 60000, NOTHING, DUMPING), AT(90000, TICK, 0, SIGNAL_TERM, DUMPING),
	    /* A few seconds more, when it was told to hurry already, bring no second TERM. */
	    AT(95000, EXTEND, 9000, NOTHING, DUMPING), AT(104000, TICK, 0, KILL, DUMPING),
	    AT(104001, EXTEND, 9000, NOTHING, DUMPING));
	assert_int_equal(life_deadline(&s.life), MSEC_NEVER);
}

static void the_job_may_ask_for_no_end(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(1000, EXTEND, MSEC_NEVER, NOTHING, DUMPING));
	assert_int_equal(life_deadline(&s.life), MSEC_NEVER);
}

static void an_extended_dump_has_an_extended_commit(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(40000, EXTEND, 60000, NOTHING, DUMPING),
	    AT(41000, EXITED, 1, CLEAR, DUMPING), AT(41000, CLEARED, 0, COMMIT_RELEASE, RELEASING),
	    AT(99900, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(100000, TICK, 0, MARK_RELEASE, RELEASING));
}

static void who_is_hurried_killed_or_fenced_gets_no_more_time(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(1000, HURRY, 0, SIGNAL_TERM, DUMPING),
	    AT(1001, EXTEND, 60000, NOTHING, DUMPING), AT(11000, TICK, 0, KILL, DUMPING));
	open_script(&s, &usual);
	PLAY(&s, TO_RUNNING, AT(1000, LOST, 3000, SIGNAL_STOP, DUMPING),
	    AT(1001, EXTEND, 60000, NOTHING, DUMPING), AT(4000, TICK, 0, KILL, DUMPING));
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(1000, EXITED, 1, CLEAR, DUMPING),
	    AT(1001, EXTEND, 70000, NOTHING, DUMPING), AT(11000, TICK, 0, KILL, DUMPING));
}

/* The job ends by itself */

static void exit_0_restarts_by_default(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RUNNING, AT(100, EXITED, 1, CLEAR, CLEARING), AT(101, CLEARED, 0, SAVE, SAVING),
	    AT(102, SAVED, 0, NOTHING, BACKOFF), AT(103, TICK, 0, SPAWN, RESTORING),
	    AT(104, SPAWNED, 0, NOTHING, RUNNING));
	assert_int_equal(s.life.restarts, 1);
}

static void exit_0_releases(void **state)
{
	struct life_conf conf = usual;
	struct script s;

	(void)state;
	conf.finish_releases = true;
	open_script(&s, &conf);
	PLAY(&s, TO_RUNNING, AT(100, EXITED, 1, CLEAR, CLEARING),
	    AT(101, CLEARED, 0, COMMIT_RELEASE, RELEASING), AT(102, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);
	assert_false(s.life.done);
}

static const struct life_conf finishing = {
	.stop_timeout = 60000,
	.hurry_timeout = 10000,
	.watchdog = 5000,
	.finish_releases = true,
	.finish_done = true,
};

static void exit_0_finishes(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &finishing);
	PLAY(&s, TO_RUNNING, AT(100, EXITED, 1, CLEAR, CLEARING),
	    AT(101, CLEARED, 0, COMMIT_RELEASE, RELEASING));
	assert_true(s.life.done); /* the record is to say so */
	PLAY(&s, AT(102, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);
	assert_true(s.life.done);
}

static void a_job_that_finished_just_before_a_stop_stays_finished(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &finishing);
	PLAY(&s, TO_RUNNING, AT(100, EXITED, 1, CLEAR, CLEARING),
	    AT(101, STOP, 0, NOTHING, CLEARING), AT(102, CLEARED, 0, COMMIT_RELEASE, RELEASING),
	    AT(103, SAVED, 0, EXIT, GONE));
	assert_true(s.life.done);
	/* Ended because it was asked to, it is not finished. */
	open_script(&s, &finishing);
	PLAY(&s, TO_COMMITTING, AT(103, SAVED, 0, EXIT, GONE));
	assert_false(s.life.done);
}

/* Else this machine would never queue for it again, and the others start it anew. */
static void a_job_is_not_finished_unless_that_is_on_record(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &finishing);
	PLAY(&s, TO_RUNNING, AT(100, EXITED, 1, CLEAR, CLEARING),
	    AT(101, CLEARED, 0, COMMIT_RELEASE, RELEASING), AT(102, LOST, 0, EXIT, GONE));
	assert_false(s.life.done);
	open_script(&s, &finishing);
	PLAY(&s, TO_RUNNING, AT(100, EXITED, 1, CLEAR, CLEARING),
	    AT(101, CLEARED, 0, COMMIT_RELEASE, RELEASING), AT(102, KILL, 0, NOTHING, RELEASING),
	    AT(103, SAVE_FAILED, 0, MARK_RELEASE, RELEASING),
	    AT(104, SAVE_FAILED, 0, RELEASE, RELEASING), AT(105, RELEASED, 0, EXIT, GONE));
	assert_false(s.life.done);
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

static void a_job_on_record_as_done_is_left_alone(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, GRANTED, 1, RELEASE, RELEASING), AT(3, RELEASED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
	assert_true(s.life.done);
}

/* Failures */

static void a_crashing_job_is_restarted_until_it_is_given_up(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RUNNING, AT(100, EXITED, 0, CLEAR, CLEARING), AT(101, CLEARED, 0, SAVE, SAVING),
	    AT(102, SAVED, 0, NOTHING, BACKOFF), AT(103, TICK, 0, SPAWN, RESTORING),
	    AT(104, SPAWNED, 0, NOTHING, RUNNING), AT(200, EXITED, 0, CLEAR, CLEARING),
	    AT(201, CLEARED, 0, SAVE, SAVING), AT(202, SAVED, 0, NOTHING, BACKOFF),
	    AT(204, TICK, 0, SPAWN, RESTORING), AT(205, SPAWNED, 0, NOTHING, RUNNING),
	    AT(300, EXITED, 0, CLEAR, CLEARING), AT(301, CLEARED, 0, COMMIT_RELEASE, RELEASING),
	    AT(302, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_true(s.life.failed);
	assert_int_equal(s.life.restarts, 2);
}

static void leftovers_of_a_crash_are_killed(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_CLEARING, AT(10005, TICK, 0, KILL, CLEARING),
	    AT(10006, CLEARED, 0, SAVE, SAVING));
}

static void a_failing_restore_is_tried_again_then_given_up(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RESTORING, AT(100, RESTORE_FAILED, 0, NOTHING, BACKOFF),
	    AT(102, TICK, 0, RESTORE, RESTORING), AT(110, RESTORE_FAILED, 0, NOTHING, BACKOFF),
	    AT(113, TICK, 0, RESTORE, RESTORING), AT(120, RESTORE_FAILED, 0, RELEASE, RELEASING),
	    AT(121, RELEASED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
	assert_true(s.life.failed);
}

static void a_failing_spawn_is_tried_again_without_a_restore(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_SPAWNING, AT(100, SPAWN_FAILED, 0, NOTHING, BACKOFF),
	    AT(102, TICK, 0, SPAWN, RESTORING), AT(110, SPAWN_FAILED, 0, NOTHING, BACKOFF),
	    AT(113, TICK, 0, SPAWN, RESTORING), AT(120, SPAWN_FAILED, 0, RELEASE, RELEASING),
	    AT(121, RELEASED, 0, EXIT, GONE));
	assert_true(s.life.failed);
}

static void what_is_gone_before_the_start_is_restored_again(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_SPAWNING, AT(100, SPAWN_FAILED, 1, NOTHING, BACKOFF),
	    AT(102, TICK, 0, RESTORE, RESTORING), AT(110, RESTORED, 0, SPAWN, RESTORING));
}

static void what_could_not_be_saved_is_saved_with_the_next_attempt(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_UNSAVED, AT(8, TICK, 0, SPAWN, RESTORING), AT(9, SPAWN_FAILED, 0, SAVE, SAVING),
	    AT(10, SAVED, 0, NOTHING, BACKOFF), AT(12, STOP, 0, RELEASE, RELEASING));
}

static void a_stop_tries_again_what_could_not_be_saved(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_SAVING, AT(7, STOP, 0, NOTHING, SAVING),
	    AT(8, SAVE_FAILED, 0, COMMIT_RELEASE, RELEASING), AT(9, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	open_script(&s, &usual);
	PLAY(&s, TO_SAVING, AT(7, STOP, 0, NOTHING, SAVING), AT(8, SAVED, 0, RELEASE, RELEASING),
	    AT(9, RELEASED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

static void what_is_no_state_is_replaced_by_the_last_committed_one(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_SAVING, AT(6, SAVE_FAILED, 1, NOTHING, BACKOFF),
	    AT(8, TICK, 0, RESTORE, RESTORING), AT(9, RESTORED, 0, SPAWN, RESTORING));
	/* And a stop does not call that clean, even after an exit with 0. */
	open_script(&s, &usual);
	PLAY(&s, TO_RUNNING, AT(5, EXITED, 1, CLEAR, CLEARING), AT(6, CLEARED, 0, SAVE, SAVING),
	    AT(6, SAVE_FAILED, 1, NOTHING, BACKOFF), AT(8, TICK, 0, RESTORE, RESTORING),
	    AT(9, STOP, 0, MARK_RELEASE, RELEASING), AT(10, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_false(s.life.left);
}

/* Whatever becomes of the restore, and of the mark. */
static void a_stop_does_not_wait_for_the_restore_after_a_failure(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RESTORING_AGAIN, AT(9, STOP, 0, MARK_RELEASE, RELEASING),
	    AT(10, RESTORED, 0, NOTHING, RELEASING), AT(11, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	open_script(&s, &usual);
	PLAY(&s, TO_RESTORING_AGAIN, AT(9, KILL, 0, MARK_RELEASE, RELEASING),
	    AT(10, RESTORE_FAILED, 0, NOTHING, RELEASING),
	    AT(11, SAVE_FAILED, 0, RELEASE, RELEASING), AT(12, RELEASED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	open_script(&s, &endless);
	PLAY(&s, TO_RESTORING_AGAIN, AT(9, STOP, 0, MARK_RELEASE, RELEASING),
	    AT(10, HURRY, 0, NOTHING, RELEASING), AT(10010, TICK, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_true(s.life.left);
}

static void a_slow_save_does_not_delay_the_restart_further(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_SAVING);
	assert_int_equal(life_deadline(&s.life), 60006);
	PLAY(&s, AT(5000, SAVED, 0, NOTHING, BACKOFF));
	assert_int_equal(life_deadline(&s.life), 8);
}

/* The last commit and the release */

static void the_last_commit_is_tried_until_the_time_is_used_up(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(100, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(300, TICK, 0, COMMIT_RELEASE, RELEASING),
	    AT(400, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(800, TICK, 0, COMMIT_RELEASE, RELEASING),
	    AT(59000, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(59800, TICK, 0, COMMIT_RELEASE, RELEASING),
	    /* The stop began at 5. */
	    AT(59900, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(60005, TICK, 0, MARK_RELEASE, RELEASING), AT(60006, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_false(s.life.left);
}

static void a_commit_that_works_at_last_is_clean(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RETRYING, AT(206, TICK, 0, COMMIT_RELEASE, RELEASING),
	    AT(207, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);
}

static void a_state_that_no_retry_can_save_is_not_retried(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(100, SAVE_FAILED, 1, MARK_RELEASE, RELEASING),
	    AT(101, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

static void a_late_dump_still_has_time_to_be_committed(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(50005, TICK, 0, SIGNAL_TERM, DUMPING),
	    AT(60000, EXITED, 1, CLEAR, DUMPING), AT(60001, CLEARED, 0, COMMIT_RELEASE, RELEASING),
	    AT(60100, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(60300, TICK, 0, COMMIT_RELEASE, RELEASING),
	    AT(69900, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(70001, TICK, 0, MARK_RELEASE, RELEASING));
}

static void a_hurry_shortens_the_last_commit(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &endless);
	PLAY(&s, TO_RETRYING, AT(100, HURRY, 0, NOTHING, RELEASING),
	    AT(206, TICK, 0, COMMIT_RELEASE, RELEASING),
	    AT(10000, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(10100, TICK, 0, MARK_RELEASE, RELEASING));
	/* Also one that comes when only the commit is left to do. */
	open_script(&s, &endless);
	PLAY(&s, TO_UNSAVED, AT(7, HURRY, 0, COMMIT_RELEASE, RELEASING),
	    AT(10000, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(10007, TICK, 0, MARK_RELEASE, RELEASING));
}

static void the_release_is_the_last_way_out(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(60006, SAVE_FAILED, 0, MARK_RELEASE, RELEASING),
	    AT(60007, SAVE_FAILED, 0, RELEASE, RELEASING),
	    AT(60008, RELEASE_FAILED, 0, NOTHING, RELEASING),
	    AT(60208, TICK, 0, RELEASE, RELEASING), AT(60209, RELEASED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_false(s.life.left);
}

static void a_release_is_tried_until_the_lock_is_gone(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RELEASING, AT(5, RELEASE_FAILED, 0, NOTHING, RELEASING),
	    AT(205, TICK, 0, RELEASE, RELEASING), AT(206, RELEASE_FAILED, 0, NOTHING, RELEASING),
	    AT(606, TICK, 0, RELEASE, RELEASING), AT(15000, LOST, 100, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
	assert_true(s.life.left);
	/* It is known to be gone: one of these releases may have done that. */
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, STOP, 0, RELEASE, RELEASING),
	    AT(3, RELEASE_FAILED, 0, NOTHING, RELEASING), AT(100, LOST, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
	assert_false(s.life.left);
}

/* By a coordinator that keeps the lease alive: it would never be lost. */
static void a_release_that_is_refused_ends_with_the_stop(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RELEASING, AT(59000, RELEASE_FAILED, 0, NOTHING, RELEASING),
	    AT(59200, TICK, 0, RELEASE, RELEASING),
	    AT(59201, RELEASE_FAILED, 0, NOTHING, RELEASING),
	    AT(59601, TICK, 0, RELEASE, RELEASING), AT(60003, TICK, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
	assert_true(s.life.left);
	/* Sooner in a hurry. */
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, STOP, 0, RELEASE, RELEASING),
	    AT(3, RELEASE_FAILED, 0, NOTHING, RELEASING), AT(4, HURRY, 0, NOTHING, RELEASING),
	    AT(203, TICK, 0, RELEASE, RELEASING), AT(10004, TICK, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
	/* A job that is finished, without a stop. */
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, GRANTED, 1, RELEASE, RELEASING),
	    AT(3, RELEASE_FAILED, 0, NOTHING, RELEASING), AT(203, TICK, 0, RELEASE, RELEASING),
	    AT(60002, TICK, 0, EXIT, GONE));
	assert_true(s.life.left);
}

/* The coordinator hangs, as its disk does. */
static void a_release_without_an_answer_is_left_behind(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_SAVING, AT(7, STOP, 0, NOTHING, SAVING), AT(8, SAVED, 0, RELEASE, RELEASING),
	    AT(60007, TICK, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_true(s.life.left);
	/* However urgent it is, it has time to say what is the matter. */
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, STOP, 0, RELEASE, RELEASING), AT(3, KILL, 0, NOTHING, RELEASING),
	    AT(5003, TICK, 0, EXIT, GONE));
	assert_true(s.life.left);
	/* A job that is finished, without a stop. */
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, GRANTED, 1, RELEASE, RELEASING), AT(60002, TICK, 0, EXIT, GONE));
	assert_true(s.life.left);
}

/* However late it is, and whatever took the time: the commit, the mark. */
static void every_question_has_time_for_an_answer(void **state)
{
	struct life_conf conf = { .stop_timeout = 1000, .hurry_timeout = 300 };
	struct script s;

	(void)state;
	open_script(&s, &conf);
	/* The longest that a stop can be. */
	PLAY(&s, TO_DUMPING, AT(705, TICK, 0, SIGNAL_TERM, DUMPING),
	    AT(1005, TICK, 0, KILL, DUMPING), AT(1005, EXITED, 0, CLEAR, DUMPING),
	    AT(1005, CLEARED, 0, COMMIT_RELEASE, RELEASING),
	    AT(1104, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(1304, TICK, 0, COMMIT_RELEASE, RELEASING), AT(2304, TICK, 0, ABANDON, RELEASING),
	    AT(7303, SAVE_FAILED, 0, MARK_RELEASE, RELEASING),
	    AT(12302, SAVE_FAILED, 0, RELEASE, RELEASING), AT(17302, TICK, 0, EXIT, GONE));
	assert_true(s.life.left);
	assert_in_range(17302, 5, 5 + conf.stop_timeout + life_stop_tail(&conf));
	/* A kill waits for the release alone. */
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(100, KILL, 0, NOTHING, RELEASING),
	    AT(1100, TICK, 0, ABANDON, RELEASING),
	    AT(2099, SAVE_FAILED, 0, MARK_RELEASE, RELEASING),
	    AT(3098, SAVE_FAILED, 0, RELEASE, RELEASING), AT(8098, TICK, 0, EXIT, GONE));
	assert_true(s.life.left);
}

/* What it has no end for is the dump. */
static void an_endless_stop_does_not_wait_for_ever_for_an_answer(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &endless);
	PLAY(&s, TO_RELEASING, AT(4, RELEASE_FAILED, 0, NOTHING, RELEASING),
	    AT(204, TICK, 0, RELEASE, RELEASING), AT(60003, TICK, 0, EXIT, GONE));
	assert_true(s.life.left);
	open_script(&s, &endless);
	PLAY(&s, TO_COMMITTING, AT(100, SAVE_FAILED, 1, MARK_RELEASE, RELEASING),
	    AT(60100, TICK, 0, EXIT, GONE));
	assert_true(s.life.left);
}

static void a_stop_gives_no_more_time_than_it_has_to_a_job_that_lost_its_lock(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RUNNING, AT(5, LOST, 300000, SIGNAL_STOP, DUMPING),
	    AT(100, STOP, 0, NOTHING, DUMPING), AT(200, STOP, 0, NOTHING, DUMPING),
	    AT(60100, TICK, 0, KILL, DUMPING));
}

/* A store that never answers */

static void a_last_commit_that_hangs_is_abandoned(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(60005, TICK, 0, ABANDON, RELEASING),
	    AT(60005, SAVE_FAILED, 0, MARK_RELEASE, RELEASING), AT(60006, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_false(s.life.left);
	/* One that hangs after others have failed. */
	open_script(&s, &usual);
	PLAY(&s, TO_RETRYING, AT(206, TICK, 0, COMMIT_RELEASE, RELEASING),
	    AT(60005, TICK, 0, ABANDON, RELEASING),
	    AT(60005, SAVE_FAILED, 0, MARK_RELEASE, RELEASING));
	/* A try that begins right before the end gets its time, too. */
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(59000, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(59200, TICK, 0, COMMIT_RELEASE, RELEASING), AT(60200, TICK, 0, ABANDON, RELEASING));
}

static void a_hurry_and_a_kill_shorten_the_wait_for_a_hung_commit(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &endless);
	PLAY(&s, TO_COMMITTING);
	assert_int_equal(life_deadline(&s.life), MSEC_NEVER);
	PLAY(&s, AT(100, HURRY, 0, NOTHING, RELEASING), AT(10100, TICK, 0, ABANDON, RELEASING),
	    AT(10100, SAVE_FAILED, 0, MARK_RELEASE, RELEASING));
	open_script(&s, &endless);
	PLAY(&s, TO_COMMITTING, AT(100, KILL, 0, NOTHING, RELEASING),
	    AT(1100, TICK, 0, ABANDON, RELEASING),
	    AT(1100, SAVE_FAILED, 0, MARK_RELEASE, RELEASING));
	/* One that is killed first has as long to commit what is there. */
	open_script(&s, &endless);
	PLAY(&s, TO_DUMPING, AT(100, KILL, 0, KILL, DUMPING), AT(200, EXITED, 0, KILL, DUMPING),
	    AT(300, CLEARED, 0, COMMIT_RELEASE, RELEASING), AT(1300, TICK, 0, ABANDON, RELEASING));
}

/* The coordinator has the commit, and hangs as well: only this process's end frees the lock. */
static void what_cannot_be_abandoned_is_left_behind(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(60005, TICK, 0, ABANDON, RELEASING),
	    AT(65005, TICK, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_true(s.life.left);
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(60005, TICK, 0, ABANDON, RELEASING),
	    AT(60006, KILL, 0, NOTHING, RELEASING), AT(61006, TICK, 0, EXIT, GONE));
	/* It answers after all, and so well that nothing is lost. */
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(60005, TICK, 0, ABANDON, RELEASING),
	    AT(60100, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);
	/* The mark hangs. */
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(60005, TICK, 0, ABANDON, RELEASING),
	    AT(60005, SAVE_FAILED, 0, MARK_RELEASE, RELEASING), AT(65005, TICK, 0, EXIT, GONE));
	assert_true(s.life.left);
}

static void a_save_that_hangs_does_not_keep_the_job_from_its_restart(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_SAVING, AT(60006, TICK, 0, ABANDON, SAVING),
	    AT(60006, SAVE_FAILED, 0, NOTHING, BACKOFF));
	assert_true(life_deadline(&s.life) <= 60006);
	assert_int_equal(life_event(&s.life, LIFE_EV_TICK, 0, 60006), LIFE_SPAWN);
	/* What it left is still to be saved. */
	PLAY(&s, AT(60007, SPAWN_FAILED, 0, SAVE, SAVING));
}

static void a_stop_does_not_try_again_what_hung(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_SAVING, AT(100, HURRY, 0, NOTHING, SAVING), AT(10100, TICK, 0, ABANDON, SAVING),
	    AT(10100, SAVE_FAILED, 0, MARK_RELEASE, RELEASING), AT(10101, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	open_script(&s, &usual);
	PLAY(&s, TO_SAVING, AT(100, KILL, 0, NOTHING, SAVING), AT(1100, TICK, 0, ABANDON, SAVING),
	    AT(2100, TICK, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_true(s.life.left);
}

static void an_endless_stop_never_gives_the_last_commit_up(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &endless);
	PLAY(&s, TO_COMMITTING);
	for (msec now = 100; now < 1000000000; now += 1000000) {
		assert_int_equal(life_event(&s.life, LIFE_EV_SAVE_FAILED, 0, now), 0);
		assert_in_range(life_deadline(&s.life), now + 200, now + 5000);
		assert_int_equal(
		    life_event(&s.life, LIFE_EV_TICK, 0, now + 5000), LIFE_COMMIT_RELEASE);
	}
}

/* The lock is lost */

static void a_lost_lock_gives_the_job_what_time_is_left(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RUNNING, AT(1000, LOST, 3000, SIGNAL_STOP, DUMPING),
	    AT(2000, LOST, 1500, NOTHING, DUMPING), AT(3500, TICK, 0, KILL, DUMPING),
	    AT(3501, EXITED, 0, CLEAR, DUMPING), AT(3502, CLEARED, 0, COMMIT_RELEASE, DOUBTING),
	    AT(3503, LOST, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

#define TO_DOUBTING                                             \
	TO_RUNNING, AT(1000, LOST, 3000, SIGNAL_STOP, DUMPING), \
	    AT(1100, EXITED, 1, CLEAR, DUMPING), AT(1101, CLEARED, 0, COMMIT_RELEASE, DOUBTING)

/* Nobody can be asked; when somebody can, it turns out that the lock was ours all the time. */
static void a_lock_in_doubt_may_still_be_committed_under(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DOUBTING, AT(5000, SAVE_FAILED, 0, NOTHING, DOUBTING),
	    AT(5200, TICK, 0, COMMIT_RELEASE, DOUBTING), AT(900000, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);
	open_script(&s, &usual);
	PLAY(&s, TO_DOUBTING, AT(5000, SAVE_FAILED, 1, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

/* A stop has its usual time for that, and no more. */
static void a_stop_does_not_wait_for_ever_in_doubt(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DOUBTING, AT(2000, STOP, 0, NOTHING, DOUBTING));
	/* The store may be what hangs. */
	PLAY(&s, AT(61101, TICK, 0, ABANDON, DOUBTING));
	assert_int_equal(life_deadline(&s.life), 62000);
	PLAY(&s, AT(62000, TICK, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	open_script(&s, &usual);
	PLAY(&s, TO_DOUBTING, AT(2000, HURRY, 0, NOTHING, DOUBTING));
	assert_int_equal(life_deadline(&s.life), 2000 + usual.hurry_timeout);
	PLAY(&s, AT(2001, KILL, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	/* Nobody has said that the lock is gone. */
	assert_true(s.life.left);
}

/* The job is gone already, and its commit is under way or waits for another try. */
static void a_release_goes_on_in_doubt(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(1000, LOST, 700, NOTHING, DOUBTING),
	    AT(1001, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);
	open_script(&s, &usual);
	PLAY(&s, TO_COMMITTING, AT(1000, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(1001, LOST, 700, COMMIT_RELEASE, DOUBTING), AT(1002, LOST, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

static void a_lost_lock_cuts_every_other_deadline(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(1000, LOST, 3000, NOTHING, DUMPING),
	    AT(4000, TICK, 0, KILL, DUMPING));
	open_script(&s, &usual);
	PLAY(&s, TO_DUMPING, AT(1000, HURRY, 0, SIGNAL_TERM, DUMPING),
	    AT(1001, LOST, 3000, NOTHING, DUMPING), AT(4001, TICK, 0, KILL, DUMPING));
	open_script(&s, &usual);
	PLAY(&s, TO_CLEARING, AT(1000, LOST, 3000, NOTHING, CLEARING),
	    AT(4000, TICK, 0, KILL, CLEARING), AT(4001, CLEARED, 0, COMMIT_RELEASE, DOUBTING));
}

static void a_lock_lost_while_restoring_starts_nothing(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RESTORING, AT(3, LOST, 9000, EXIT, GONE), AT(4, RESTORED, 0, NOTHING, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
	assert_true(s.life.left);
	open_script(&s, &usual);
	PLAY(&s, TO_RESTORING_AGAIN, AT(9, LOST, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_false(s.life.left);
}

/* The watchdog */

static void a_silent_job_is_aborted_killed_and_restarted(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &finishing);
	PLAY(&s, TO_RUNNING);
	assert_int_equal(life_deadline(&s.life), MSEC_NEVER); /* until its READY=1 */
	PLAY(&s, AT(100, ALIVE, 0, NOTHING, RUNNING), AT(3000, ALIVE, 0, NOTHING, RUNNING),
	    AT(8000, TICK, 0, SIGNAL_ABORT, RUNNING), AT(8001, ALIVE, 0, NOTHING, RUNNING),
	    AT(18000, TICK, 0, KILL, RUNNING), AT(18001, EXITED, 0, CLEAR, CLEARING),
	    AT(18002, CLEARED, 0, SAVE, SAVING));
}

static void an_aborted_job_that_exits_with_0_has_failed(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &finishing);
	PLAY(&s, TO_RUNNING, AT(100, ALIVE, 0, NOTHING, RUNNING),
	    AT(5100, TICK, 0, SIGNAL_ABORT, RUNNING), AT(5200, EXITED, 1, CLEAR, CLEARING),
	    AT(5201, CLEARED, 0, SAVE, SAVING));
	assert_false(s.life.done);
}

/* It had called exit() when SIGKILL came; and what it had said before that waited to be heard. */
static void one_that_exits_with_0_as_it_is_killed_has_failed_too(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &finishing);
	PLAY(&s, TO_RUNNING, AT(100, ALIVE, 0, NOTHING, RUNNING),
	    AT(5100, TICK, 0, SIGNAL_ABORT, RUNNING), AT(15100, TICK, 0, KILL, RUNNING),
	    AT(15101, ALIVE, 0, NOTHING, RUNNING));
	assert_int_equal(life_deadline(&s.life), MSEC_NEVER);
	PLAY(&s, AT(15102, EXITED, 1, CLEAR, CLEARING), AT(15103, CLEARED, 0, SAVE, SAVING));
	assert_false(s.life.clean);
	assert_false(s.life.done);
}

static void a_stop_gives_an_aborted_job_no_more_time(void **state)
{
	struct life_conf conf = finishing;
	struct script s;

	(void)state;
	conf.stop_timeout = MSEC_NEVER;
	open_script(&s, &conf);
	PLAY(&s, TO_RUNNING, AT(100, ALIVE, 0, NOTHING, RUNNING),
	    AT(5100, TICK, 0, SIGNAL_ABORT, RUNNING), AT(5200, STOP, 0, SIGNAL_STOP, DUMPING));
	/* It is as late as a stop near its end. */
	assert_int_equal(life_event(&s.life, LIFE_EV_TICK, 0, 5201), SIGNAL_TERM);
	PLAY(&s, AT(15100, TICK, 0, KILL, DUMPING));
}

static void the_watchdog_sleeps_during_a_stop(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &finishing);
	PLAY(&s, TO_RUNNING, AT(100, ALIVE, 0, NOTHING, RUNNING),
	    AT(200, STOP, 0, SIGNAL_STOP, DUMPING), AT(300, ALIVE, 0, NOTHING, DUMPING),
	    AT(50200, TICK, 0, SIGNAL_TERM, DUMPING));
}

/* Rescue: the worker before this one died, and its lock was adopted */

static void a_rescue_commits_and_releases(void **state)
{
	struct script s;

	(void)state;
	open_rescue(&s, &usual, true, true);
	PLAY(&s, TO_STANDBY, AT(2, GRANTED, 0, COMMIT_RELEASE, RELEASING),
	    AT(3, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);
	open_rescue(&s, &usual, true, false);
	PLAY(&s, TO_STANDBY, AT(2, GRANTED, 0, COMMIT_RELEASE, RELEASING),
	    AT(3, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

/* The file is of an earlier tenure, and others may have committed since. */
static void a_rescue_leaves_a_state_alone_that_was_not_placed(void **state)
{
	struct script s;

	(void)state;
	open_rescue(&s, &usual, false, false);
	PLAY(&s, TO_STANDBY, AT(2, GRANTED, 0, RELEASE, RELEASING), AT(3, RELEASED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
}

static void a_state_is_placed_from_its_restore_on(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, GRANTED, 0, RESTORE, RESTORING));
	assert_false(life_is_placed(&s.life));
	PLAY(&s, AT(3, RESTORED, 0, SPAWN, RESTORING));
	assert_true(life_is_placed(&s.life)); /* before the job runs: the master must know then */
}

/* Then a rescue that finds the lock released knows that nothing was lost. */
static void a_tenure_is_settled_from_its_commit_to_its_next_start(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, GRANTED, 0, RESTORE, RESTORING));
	assert_true(life_is_settled(&s.life));
	PLAY(&s, AT(3, RESTORED, 0, SPAWN, RESTORING));
	assert_false(life_is_settled(&s.life)); /* there may be a job before anybody says so */
	PLAY(&s, AT(4, SPAWNED, 0, NOTHING, RUNNING), AT(5, EXITED, 1, CLEAR, CLEARING),
	    AT(6, CLEARED, 0, SAVE, SAVING));
	assert_false(life_is_settled(&s.life));
	PLAY(&s, AT(6, SAVED, 0, NOTHING, BACKOFF));
	assert_true(life_is_settled(&s.life));
	PLAY(&s, AT(8, TICK, 0, SPAWN, RESTORING));
	assert_false(life_is_settled(&s.life));
}

static void a_stop_does_not_keep_a_rescue_from_its_work(void **state)
{
	struct script s;

	(void)state;
	open_rescue(&s, &endless, true, true);
	PLAY(&s, TO_STANDBY, AT(2, STOP, 0, NOTHING, STANDBY), AT(3, HURRY, 0, NOTHING, STANDBY),
	    AT(4, GRANTED, 0, COMMIT_RELEASE, RELEASING),
	    AT(9000, SAVE_FAILED, 0, NOTHING, RELEASING),
	    AT(9200, TICK, 0, COMMIT_RELEASE, RELEASING),
	    AT(10005, SAVE_FAILED, 0, MARK_RELEASE, RELEASING));
}

static void a_rescue_that_comes_too_late_says_so(void **state)
{
	struct script s;

	(void)state;
	open_rescue(&s, &usual, true, true);
	PLAY(&s, TO_STANDBY, AT(2, REFUSED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_true(s.life.left);
	open_rescue(&s, &usual, true, true);
	PLAY(&s, TO_STANDBY, AT(2, LOST, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

/* It keeps the lock while the master sees the job to its end. */
static void a_rescue_waits_for_the_end_of_the_job(void **state)
{
	const struct life_rescue left = { .placed = true };
	struct script s;

	(void)state;
	open_script(&s, &usual);
	life_init_rescue(&s.life, &s.conf, &s.backoff, &left);
	PLAY(&s, TO_STANDBY, AT(2, GRANTED, 0, NOTHING, DUMPING), AT(3, STOP, 0, NOTHING, DUMPING),
	    AT(4, HURRY, 0, NOTHING, DUMPING), AT(9001, CLEARED, 1, COMMIT_RELEASE, RELEASING),
	    AT(9002, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);

	/* The news may come before the lock. */
	open_script(&s, &usual);
	life_init_rescue(&s.life, &s.conf, &s.backoff, &left);
	PLAY(&s, TO_STANDBY, AT(2, CLEARED, 0, NOTHING, STANDBY),
	    AT(3, GRANTED, 0, COMMIT_RELEASE, RELEASING), AT(4, SAVED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);

	/* What the job dumps is noted down when it is whole. */
	open_script(&s, &usual);
	life_init_rescue(&s.life, &s.conf, &s.backoff, &left);
	PLAY(&s, TO_STANDBY, AT(2, GRANTED, 0, NOTHING, DUMPING), AT(3, LOST, 0, KILL, DUMPING),
	    AT(4, CLEARED, 1, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	open_script(&s, &usual);
	life_init_rescue(&s.life, &s.conf, &s.backoff, &left);
	PLAY(&s, TO_STANDBY, AT(2, LOST, 0, NOTHING, DUMPING), AT(4, CLEARED, 1, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
}

/* The dead worker released it before it died, and did not come to say so. */
static void a_rescue_that_finds_the_lock_released_has_nothing_left_to_do(void **state)
{
	struct script s;

	(void)state;
	open_rescue(&s, &usual, true, true);
	PLAY(&s, TO_STANDBY, AT(2, FREED, 1, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_CLEAN);
	assert_false(s.life.left);
	/* The record does not prove that the last dump is in it. */
	open_rescue(&s, &usual, true, true);
	PLAY(&s, TO_STANDBY, AT(2, FREED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_UNCLEAN);
	assert_false(s.life.left);
	/* No job ran. */
	open_rescue(&s, &usual, false, false);
	PLAY(&s, TO_STANDBY, AT(2, FREED, 0, EXIT, GONE));
	assert_gone(&s, LIFE_DUMP_NONE);
	/* For any other worker this is no answer. */
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(2, FREED, 1, NOTHING, STANDBY));
}

/* The coordinator cannot be used */

static void asks_a_refusing_coordinator_again_and_again(void **state)
{
	struct script s;
	msec pause = 0;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY, AT(10, REFUSED, 0, NOTHING, STANDBY),
	    AT(210, TICK, 0, ACQUIRE, STANDBY), AT(220, REFUSED, 0, NOTHING, STANDBY),
	    AT(620, TICK, 0, ACQUIRE, STANDBY));
	for (msec now = 1000; now < 200000; now += 10000) {
		assert_int_equal(life_event(&s.life, LIFE_EV_REFUSED, 0, now), 0);
		pause = life_deadline(&s.life) - now;
		assert_int_equal(life_event(&s.life, LIFE_EV_TICK, 0, now + pause), LIFE_ACQUIRE);
	}
	assert_int_equal(pause, 5000);
	PLAY(&s, AT(200000, GRANTED, 0, RESTORE, RESTORING));
}

/* One that would ask for a password's check each time gets more rest, and not from all at once. */
static void asks_seldom_while_a_mistake_lasts(void **state)
{
	struct script s;
	msec pause = 0;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_STANDBY);
	for (msec now = 1000; now < 1000000; now += 50000) {
		assert_int_equal(life_event(&s.life, LIFE_EV_REFUSED, 1, now), 0);
		pause = life_deadline(&s.life) - now;
		assert_int_equal(life_event(&s.life, LIFE_EV_TICK, 0, now + pause), LIFE_ACQUIRE);
	}
	assert_in_range(pause, 22500, 37500);
}

/* What people read */

static void names_its_states(void **state)
{
	(void)state;
	assert_string_equal(life_state_shown(LIFE_CLEARING), "backoff");
	assert_string_equal(life_state_shown(LIFE_GONE), "stopped");
	assert_string_equal(life_state_name(LIFE_GONE), "GONE");
	assert_string_equal(life_event_name(LIFE_EV_TICK), "TICK");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(starts_and_stops),
	cmocka_unit_test(owns_from_grant_to_release),
	cmocka_unit_test(ends_at_once_when_stopped_before_it_began),
	cmocka_unit_test(repeated_stops_change_nothing),
	cmocka_unit_test(a_job_that_ends_badly_when_stopped_is_unclean),
	cmocka_unit_test(reacts_in_every_state),
	cmocka_unit_test(a_loss_before_the_commit_is_unclean),
	cmocka_unit_test(late_and_repeated_answers_are_ignored),
	cmocka_unit_test(a_restore_that_ends_after_a_stop_starts_nothing),
	cmocka_unit_test(a_grant_that_crosses_a_stop_is_given_back),
	cmocka_unit_test(a_job_that_starts_during_a_stop_is_stopped),
	cmocka_unit_test(a_job_that_fails_to_start_during_a_stop_is_released),
	cmocka_unit_test(a_late_dump_is_hurried_and_killed),
	cmocka_unit_test(what_the_job_leaves_behind_is_killed),
	cmocka_unit_test(an_endless_stop_waits_until_it_is_hurried),
	cmocka_unit_test(an_endless_stop_does_not_wait_for_leftovers),
	cmocka_unit_test(a_repeated_hurry_does_not_push_the_end_out),
	cmocka_unit_test(a_hurry_does_not_signal_a_job_that_has_ended),
	cmocka_unit_test(a_kill_wants_no_dump),
	cmocka_unit_test(a_dump_that_a_kill_cut_short_is_unclean),
	cmocka_unit_test(a_kill_ends_the_wait_for_a_release_in_every_state),
	cmocka_unit_test(the_job_may_ask_for_more_time),
	cmocka_unit_test(the_job_may_ask_for_no_end),
	cmocka_unit_test(an_extended_dump_has_an_extended_commit),
	cmocka_unit_test(who_is_hurried_killed_or_fenced_gets_no_more_time),
	cmocka_unit_test(exit_0_restarts_by_default),
	cmocka_unit_test(exit_0_releases),
	cmocka_unit_test(exit_0_finishes),
	cmocka_unit_test(a_job_that_finished_just_before_a_stop_stays_finished),
	cmocka_unit_test(a_job_is_not_finished_unless_that_is_on_record),
	cmocka_unit_test(a_job_on_record_as_done_is_left_alone),
	cmocka_unit_test(a_crashing_job_is_restarted_until_it_is_given_up),
	cmocka_unit_test(leftovers_of_a_crash_are_killed),
	cmocka_unit_test(a_failing_restore_is_tried_again_then_given_up),
	cmocka_unit_test(a_failing_spawn_is_tried_again_without_a_restore),
	cmocka_unit_test(what_is_gone_before_the_start_is_restored_again),
	cmocka_unit_test(what_could_not_be_saved_is_saved_with_the_next_attempt),
	cmocka_unit_test(a_stop_tries_again_what_could_not_be_saved),
	cmocka_unit_test(what_is_no_state_is_replaced_by_the_last_committed_one),
	cmocka_unit_test(a_stop_does_not_wait_for_the_restore_after_a_failure),
	cmocka_unit_test(a_slow_save_does_not_delay_the_restart_further),
	cmocka_unit_test(the_last_commit_is_tried_until_the_time_is_used_up),
	cmocka_unit_test(a_commit_that_works_at_last_is_clean),
	cmocka_unit_test(a_state_that_no_retry_can_save_is_not_retried),
	cmocka_unit_test(a_late_dump_still_has_time_to_be_committed),
	cmocka_unit_test(a_hurry_shortens_the_last_commit),
	cmocka_unit_test(the_release_is_the_last_way_out),
	cmocka_unit_test(a_release_is_tried_until_the_lock_is_gone),
	cmocka_unit_test(a_release_that_is_refused_ends_with_the_stop),
	cmocka_unit_test(a_release_without_an_answer_is_left_behind),
	cmocka_unit_test(every_question_has_time_for_an_answer),
	cmocka_unit_test(an_endless_stop_does_not_wait_for_ever_for_an_answer),
	cmocka_unit_test(a_stop_gives_no_more_time_than_it_has_to_a_job_that_lost_its_lock),
	cmocka_unit_test(a_last_commit_that_hangs_is_abandoned),
	cmocka_unit_test(a_hurry_and_a_kill_shorten_the_wait_for_a_hung_commit),
	cmocka_unit_test(what_cannot_be_abandoned_is_left_behind),
	cmocka_unit_test(a_save_that_hangs_does_not_keep_the_job_from_its_restart),
	cmocka_unit_test(a_stop_does_not_try_again_what_hung),
	cmocka_unit_test(an_endless_stop_never_gives_the_last_commit_up),
	cmocka_unit_test(a_lost_lock_gives_the_job_what_time_is_left),
	cmocka_unit_test(a_lock_in_doubt_may_still_be_committed_under),
	cmocka_unit_test(a_stop_does_not_wait_for_ever_in_doubt),
	cmocka_unit_test(a_release_goes_on_in_doubt),
	cmocka_unit_test(a_lost_lock_cuts_every_other_deadline),
	cmocka_unit_test(a_lock_lost_while_restoring_starts_nothing),
	cmocka_unit_test(a_silent_job_is_aborted_killed_and_restarted),
	cmocka_unit_test(an_aborted_job_that_exits_with_0_has_failed),
	cmocka_unit_test(one_that_exits_with_0_as_it_is_killed_has_failed_too),
	cmocka_unit_test(a_stop_gives_an_aborted_job_no_more_time),
	cmocka_unit_test(the_watchdog_sleeps_during_a_stop),
	cmocka_unit_test(a_rescue_commits_and_releases),
	cmocka_unit_test(a_rescue_leaves_a_state_alone_that_was_not_placed),
	cmocka_unit_test(a_state_is_placed_from_its_restore_on),
	cmocka_unit_test(a_tenure_is_settled_from_its_commit_to_its_next_start),
	cmocka_unit_test(a_stop_does_not_keep_a_rescue_from_its_work),
	cmocka_unit_test(a_rescue_that_comes_too_late_says_so),
	cmocka_unit_test(a_rescue_that_finds_the_lock_released_has_nothing_left_to_do),
	cmocka_unit_test(a_rescue_waits_for_the_end_of_the_job),
	cmocka_unit_test(asks_a_refusing_coordinator_again_and_again),
	cmocka_unit_test(asks_seldom_while_a_mistake_lasts),
	cmocka_unit_test(names_its_states),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
