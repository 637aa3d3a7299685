/*
 * The master's view of one worker as scripts: what happens to its seat, what must be done about it,
 * and the seat's state after it. test_fleet_random.c plays many seats against chance.
 *
 * A script plays under these limits: stop 60 s, hurry 10 s, cool-down 300 s.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/fleet.h"

enum what {
	LOOK,       /* nothing happened, time went by */
	DUE_NOW,    /* likewise, and fleet_deadline() asked for this moment */
	UP,         /* the worker reports that it holds nothing */
	HOLDS,      /* that the lock is its */
	COVERED,    /* likewise, for 30 s */
	RELEASED,   /* that it released it */
	ASKED,      /* likewise, as it was told to */
	UNCLEAN,    /* likewise, without a clean dump */
	LEFT,       /* that it could not release it */
	GAVE_UP,    /* released after too many failures */
	DONE,       /* released, the job is finished */
	AT_EOF,     /* its pipe */
	REAPED,     /* the worker */
	MAIN_ENDED, /* the main process of a dead worker's job */
	CLEARED,    /* nothing of the job is left */
	STOP,       /* INT or TERM */
	QUIT,       /* QUIT */
	FORKS_FAIL  /* from now on */
};

struct row {
	msec now;
	enum what what;
	const char *acts;
	enum seat_state state;
};

struct script {
	struct seat seat;
	struct seat *seats[1];
	struct fleet fleet;
	bool forks_fail;
};

static const struct seat_limits usual = {
	.stop_timeout = 60000,
	.hurry_timeout = 10000,
	.cool_down = 300000,
};

static void open_script(struct script *s, const struct seat_limits *limits)
{
	memset(s, 0, sizeof(*s));
	s->seats[0] = &s->seat;
	seat_init(&s->seat, limits, 100000);
	fleet_init(&s->fleet, s->seats, 1);
}

static void report(struct script *s, enum what what)
{
	struct seat_end end = {
		.released = what != UP && what != HOLDS && what != COVERED && what != LEFT,
		.asked = what == ASKED,
		.left = what == LEFT,
		.unclean = what == UNCLEAN,
		.failed = what == GAVE_UP,
		.done = what == DONE,
	};

	fleet_reported(&s->seat, what == HOLDS || what == COVERED, &end);
}

static void happen(struct script *s, enum what what, msec now)
{
	switch (what) {
	case LOOK:
	case DUE_NOW: break;
	case UP:
	case HOLDS:
	case RELEASED:
	case ASKED:
	case UNCLEAN:
	case LEFT:
	case GAVE_UP:
	case DONE: report(s, what); break;
	case COVERED:
		report(s, what);
		fleet_covered(&s->seat, now + 30000);
		break;
	case AT_EOF: fleet_eof(&s->fleet, &s->seat, now); break;
	case REAPED: fleet_reaped(&s->fleet, &s->seat, now); break;
	case MAIN_ENDED: fleet_main_ended(&s->seat, now); break;
	case CLEARED: fleet_cleared(&s->seat, now); break;
	case STOP: fleet_stop(&s->fleet, STOP_GRACEFUL, now); break;
	case QUIT: fleet_stop(&s->fleet, STOP_KILL, now); break;
	case FORKS_FAIL: s->forks_fail = true; break;
	}
}

static const char *verb_name(enum fleet_verb verb)
{
	static const char *const names[] = {
		[FLEET_FORK] = "FORK",
		[FLEET_FORK_RESCUE] = "FORK_RESCUE",
		[FLEET_TELL_STOP] = "TELL_STOP",
		[FLEET_TELL_HURRY] = "TELL_HURRY",
		[FLEET_TELL_KILL] = "TELL_KILL",
		[FLEET_KILL_WORKER] = "KILL_WORKER",
		[FLEET_ORPHANS_STOP] = "ORPHANS_STOP",
		[FLEET_ORPHANS_TERM] = "ORPHANS_TERM",
		[FLEET_ORPHANS_KILL] = "ORPHANS_KILL",
		[FLEET_DROP_ANCHOR] = "DROP_ANCHOR",
		[FLEET_EXIT] = "EXIT",
	};

	return names[verb];
}

/* Does all that is asked for, and writes it down in acts. */
static void carry_out(struct script *s, msec now, char *acts, size_t size)
{
	struct fleet_action a;
	size_t len = 0;

	acts[0] = '\0';
	while ((a = fleet_next(&s->fleet, now)).verb != FLEET_NOTHING) {
		len += (size_t)snprintf(
		    acts + len, size - len, "%s%s", len > 0 ? " " : "", verb_name(a.verb));
		assert_true(len < size);
		if (a.verb != FLEET_FORK && a.verb != FLEET_FORK_RESCUE)
			continue;
		if (s->forks_fail)
			fleet_fork_failed(a.seat, now);
		else
			fleet_forked(a.seat, 4711);
	}
}

static void play(struct script *s, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];
		char acts[200];

		if (r->what == DUE_NOW && fleet_deadline(&s->fleet) != r->now)
			fail_msg("row %zu: the deadline is %lld", i,
			    (long long)fleet_deadline(&s->fleet));
		happen(s, r->what, r->now);
		carry_out(s, r->now, acts, sizeof(acts));
		if (strcmp(acts, r->acts) != 0 || s->seat.state != r->state)
			fail_msg("row %zu: does \"%s\", not \"%s\"; is %s, not %s", i, acts,
			    r->acts, seat_state_name(s->seat.state), seat_state_name(r->state));
		assert_true(fleet_deadline(&s->fleet) > r->now);
	}
}

#define PLAY(s, ...)                                              \
	do {                                                      \
		static const struct row rows[] = { __VA_ARGS__ }; \
		play(s, rows, sizeof(rows) / sizeof(rows[0]));    \
	} while (0)
#define AT(now, what, acts, state)            \
	{                                     \
		now, what, acts, SEAT_##state \
	}

#define TO_WORKING AT(100000, LOOK, "FORK", WORKING), AT(100010, UP, "", WORKING)
#define TO_HOLDING TO_WORKING, AT(100020, HOLDS, "", WORKING)
#define TO_ORPHANED \
	TO_HOLDING, AT(200000, REAPED, "", WORKING), AT(200000, AT_EOF, "ORPHANS_STOP", ORPHANED)
#define TO_RESCUED TO_ORPHANED, AT(200500, CLEARED, "FORK_RESCUE", RESCUED)

static void assert_status(const struct script *s, int status)
{
	assert_int_equal(fleet_exit_status(&s->fleet), status);
	assert_int_equal(fleet_deadline(&s->fleet), MSEC_NEVER);
}

/* Orderly ends */

static void stops_when_the_worker_has_released(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING),
	    AT(200100, RELEASED, "", WORKING), AT(200101, AT_EOF, "", WORKING),
	    AT(200102, REAPED, "DROP_ANCHOR EXIT", VACANT), AT(200103, LOOK, "", VACANT),
	    AT(200104, STOP, "", VACANT));
	assert_status(&s, 0);
}

/* Most workers are reaped before their last report is read. */
static void a_worker_is_gone_when_reaped_and_read_to_the_end(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING),
	    AT(200100, REAPED, "", WORKING), AT(200101, RELEASED, "", WORKING),
	    AT(200102, AT_EOF, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 0);
}

static void the_exit_status_tells_the_worst(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING),
	    AT(200100, UNCLEAN, "", WORKING), AT(200101, AT_EOF, "", WORKING),
	    AT(200102, REAPED, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 3);
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING), AT(200100, LEFT, "", WORKING),
	    AT(200101, AT_EOF, "", WORKING), AT(200102, REAPED, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 4);
	s.fleet.any_unclean = true;
	assert_int_equal(fleet_exit_status(&s.fleet), 4);
}

static void what_was_unclean_before_the_stop_does_not_count(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200100, UNCLEAN, "", WORKING), AT(200101, AT_EOF, "", WORKING),
	    AT(200102, REAPED, "DROP_ANCHOR FORK", WORKING), AT(200200, STOP, "TELL_STOP", WORKING),
	    AT(200300, RELEASED, "", WORKING), AT(200301, AT_EOF, "", WORKING),
	    AT(200302, REAPED, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 0);
}

static void a_job_that_was_handed_over_queues_again(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, RELEASED, "", WORKING), AT(200001, AT_EOF, "", WORKING),
	    AT(200002, REAPED, "DROP_ANCHOR FORK", WORKING));
}

/* A job that ends at once, or a lock that is lost at once, must not keep the machine busy. */
static void short_tenures_are_spaced_out(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, RELEASED, "", WORKING), AT(200000, AT_EOF, "", WORKING),
	    AT(200000, REAPED, "DROP_ANCHOR FORK", WORKING), AT(200010, HOLDS, "", WORKING),
	    AT(200020, RELEASED, "", WORKING), AT(200020, AT_EOF, "", WORKING),
	    AT(200020, REAPED, "DROP_ANCHOR", DUE), AT(200220, DUE_NOW, "FORK", WORKING),
	    AT(200230, RELEASED, "", WORKING), AT(200230, AT_EOF, "", WORKING),
	    AT(200230, REAPED, "DROP_ANCHOR", DUE), AT(200630, DUE_NOW, "FORK", WORKING),
	    /* After a quiet minute all is forgiven. */
	    AT(260630, RELEASED, "", WORKING), AT(260630, AT_EOF, "", WORKING),
	    AT(260630, REAPED, "DROP_ANCHOR FORK", WORKING));
}

/* A standby that is not there in time is a gap at the next hand-over. */
static void what_was_asked_for_is_not_spaced_out(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, ASKED, "", WORKING), AT(200000, AT_EOF, "", WORKING),
	    AT(200000, REAPED, "DROP_ANCHOR FORK", WORKING), AT(200010, HOLDS, "", WORKING),
	    AT(200020, ASKED, "", WORKING), AT(200020, AT_EOF, "", WORKING),
	    AT(200020, REAPED, "DROP_ANCHOR FORK", WORKING), AT(200030, HOLDS, "", WORKING),
	    AT(200040, RELEASED, "", WORKING), AT(200040, AT_EOF, "", WORKING),
	    AT(200040, REAPED, "DROP_ANCHOR FORK", WORKING));
}

static void a_finished_job_wants_no_worker(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, DONE, "", WORKING), AT(200001, AT_EOF, "", WORKING),
	    AT(200002, REAPED, "DROP_ANCHOR", FINISHED), AT(900000, LOOK, "", FINISHED),
	    AT(900001, STOP, "EXIT", FINISHED));
	assert_status(&s, 0);
}

static void a_job_that_gave_up_here_cools_down(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, GAVE_UP, "", WORKING), AT(200001, AT_EOF, "", WORKING),
	    AT(200002, REAPED, "DROP_ANCHOR", DUE), AT(500001, LOOK, "", DUE),
	    AT(500002, DUE_NOW, "FORK", WORKING));
}

static void a_seat_that_waits_for_its_fork_is_empty_for_a_stop(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, GAVE_UP, "", WORKING), AT(200001, AT_EOF, "", WORKING),
	    AT(200002, REAPED, "DROP_ANCHOR", DUE), AT(200100, STOP, "EXIT", VACANT));
	assert_status(&s, 0);
}

/* Locks that end by themselves */

static void a_worker_that_hangs_is_killed_with_its_job(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING), AT(210000, COVERED, "", WORKING),
	    AT(230000, LOOK, "", WORKING), AT(240000, DUE_NOW, "KILL_WORKER", WORKING),
	    AT(240001, LOOK, "", WORKING), AT(240002, REAPED, "", WORKING),
	    AT(240003, AT_EOF, "ORPHANS_STOP ORPHANS_TERM ORPHANS_KILL", ORPHANED),
	    AT(240004, CLEARED, "FORK_RESCUE", RESCUED), AT(290000, LOOK, "", RESCUED));
}

/* It had been asleep, or its reports were not read. */
static void a_worker_that_reports_does_not_hang(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING),
	    AT(230000, DUE_NOW, "KILL_WORKER", WORKING), AT(230001, COVERED, "", WORKING),
	    AT(260001, DUE_NOW, "KILL_WORKER", WORKING));
}

/* While it ends its job, or after the release. */
static void a_worker_without_the_lock_does_not_hang(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING), AT(229000, UP, "", WORKING),
	    AT(231000, LOOK, "", WORKING), AT(232000, RELEASED, "", WORKING));
	assert_int_equal(fleet_deadline(&s.fleet), MSEC_NEVER);
}

static void orphans_do_not_outlive_the_lock(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING), AT(205000, REAPED, "", WORKING),
	    AT(205000, AT_EOF, "ORPHANS_STOP", ORPHANED),
	    AT(220000, DUE_NOW, "ORPHANS_TERM", ORPHANED),
	    AT(230000, DUE_NOW, "ORPHANS_KILL", ORPHANED));
}

/* Levels */

static void each_level_is_told_once(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING), AT(200001, LOOK, "", WORKING),
	    AT(200002, STOP, "TELL_HURRY", WORKING), AT(200003, STOP, "TELL_KILL", WORKING),
	    AT(200004, STOP, "", WORKING), AT(200005, QUIT, "", WORKING));
}

static void quit_kills_at_once(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, QUIT, "TELL_KILL", WORKING), AT(200001, STOP, "", WORKING));
}

static void the_dead_are_told_nothing(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, REAPED, "", WORKING), AT(200001, STOP, "", WORKING));
}

/* Deaths */

static void a_worker_that_died_idle_is_replaced_after_a_pause(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_WORKING, AT(200000, REAPED, "", WORKING),
	    AT(200000, AT_EOF, "DROP_ANCHOR", DUE), AT(200200, DUE_NOW, "FORK", WORKING),
	    /* It comes up, and dies again: that is no better. */
	    AT(200210, UP, "", WORKING), AT(200220, REAPED, "", WORKING),
	    AT(200220, AT_EOF, "DROP_ANCHOR", DUE), AT(200620, DUE_NOW, "FORK", WORKING),
	    /* After a quiet minute all is forgiven. */
	    AT(260620, REAPED, "", WORKING), AT(260620, AT_EOF, "DROP_ANCHOR", DUE),
	    AT(260820, DUE_NOW, "FORK", WORKING));
}

static void a_worker_that_died_holding_is_rescued(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RESCUED, AT(200600, RELEASED, "", RESCUED), AT(200601, REAPED, "", RESCUED),
	    AT(200602, AT_EOF, "DROP_ANCHOR FORK", WORKING));
}

/* Else a worker that dies whenever it gets the lock starts and kills its job as fast as it can. */
static void a_worker_that_keeps_dying_is_slowed_down(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(200010, CLEARED, "FORK_RESCUE", RESCUED),
	    AT(200020, RELEASED, "", RESCUED), AT(200020, REAPED, "", RESCUED),
	    AT(200020, AT_EOF, "DROP_ANCHOR", DUE), AT(200200, DUE_NOW, "FORK", WORKING),
	    AT(200210, HOLDS, "", WORKING), AT(200220, REAPED, "", WORKING),
	    AT(200220, AT_EOF, "ORPHANS_STOP", ORPHANED),
	    AT(200230, CLEARED, "FORK_RESCUE", RESCUED), AT(200240, RELEASED, "", RESCUED),
	    AT(200240, REAPED, "", RESCUED), AT(200240, AT_EOF, "DROP_ANCHOR", DUE),
	    AT(200620, DUE_NOW, "FORK", WORKING));
}

static void orphans_get_the_time_of_a_stop(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(250000, DUE_NOW, "ORPHANS_TERM", ORPHANED),
	    AT(260000, DUE_NOW, "ORPHANS_KILL", ORPHANED), AT(270000, LOOK, "", ORPHANED));
	assert_int_equal(fleet_deadline(&s.fleet), MSEC_NEVER);
	PLAY(&s, AT(270000, CLEARED, "FORK_RESCUE", RESCUED));
}

static void orphans_hurry_with_the_master(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(201000, STOP, "", ORPHANED),
	    AT(202000, STOP, "ORPHANS_TERM", ORPHANED),
	    AT(212000, DUE_NOW, "ORPHANS_KILL", ORPHANED),
	    AT(213000, CLEARED, "FORK_RESCUE TELL_HURRY", RESCUED),
	    AT(213001, STOP, "TELL_KILL", RESCUED));
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(201000, QUIT, "ORPHANS_TERM ORPHANS_KILL", ORPHANED),
	    AT(201001, QUIT, "", ORPHANED), AT(201002, STOP, "", ORPHANED));
}

static void orphans_of_a_hurried_worker_have_to_hurry(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING),
	    AT(200000, STOP, "TELL_HURRY", WORKING), AT(200001, REAPED, "", WORKING),
	    AT(200002, AT_EOF, "ORPHANS_STOP ORPHANS_TERM", ORPHANED),
	    AT(210002, DUE_NOW, "ORPHANS_KILL", ORPHANED));
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, QUIT, "TELL_KILL", WORKING),
	    AT(200001, REAPED, "", WORKING),
	    AT(200002, AT_EOF, "ORPHANS_STOP ORPHANS_TERM ORPHANS_KILL", ORPHANED));
}

static void what_an_orphaned_job_leaves_behind_has_to_hurry(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(200100, MAIN_ENDED, "ORPHANS_TERM", ORPHANED),
	    AT(210100, DUE_NOW, "ORPHANS_KILL", ORPHANED));
	/* Seen to end before the last report of the worker is read. */
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, REAPED, "", WORKING), AT(200001, MAIN_ENDED, "", WORKING),
	    AT(200002, AT_EOF, "ORPHANS_STOP ORPHANS_TERM", ORPHANED),
	    AT(210002, DUE_NOW, "ORPHANS_KILL", ORPHANED),
	    /* The next job is another one. */
	    AT(210003, CLEARED, "FORK_RESCUE", RESCUED), AT(210004, RELEASED, "", RESCUED),
	    AT(210004, AT_EOF, "", RESCUED), AT(210004, REAPED, "DROP_ANCHOR FORK", WORKING),
	    AT(300000, HOLDS, "", WORKING), AT(300001, AT_EOF, "", WORKING),
	    AT(300001, REAPED, "ORPHANS_STOP", ORPHANED));
}

static void endless_orphans_wait_for_the_operator(void **state)
{
	struct seat_limits endless = usual;
	struct script s;

	(void)state;
	endless.stop_timeout = MSEC_NEVER;
	open_script(&s, &endless);
	PLAY(&s, TO_ORPHANED, AT(900000, LOOK, "", ORPHANED));
	assert_int_equal(fleet_deadline(&s.fleet), MSEC_NEVER);
	PLAY(&s, AT(900001, STOP, "", ORPHANED), AT(900002, STOP, "ORPHANS_TERM", ORPHANED),
	    AT(910002, DUE_NOW, "ORPHANS_KILL", ORPHANED));
}

/* The anchor holds the lock for the rescue; the stop waits for it. */
static void a_stop_waits_for_a_rescue(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RESCUED, AT(201000, STOP, "TELL_STOP", RESCUED),
	    AT(201100, UNCLEAN, "", RESCUED), AT(201101, AT_EOF, "", RESCUED),
	    AT(201102, REAPED, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 3);
}

static void a_rescue_that_dies_is_replaced_until_nobody_believes_in_it(void **state)
{
	static const msec pause[] = { 400, 800, 1600, 3200 };
	struct script s;
	msec now = 200500;
	char acts[200];

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RESCUED, AT(200500, STOP, "TELL_STOP", RESCUED));
	for (size_t i = 0; i < sizeof(pause) / sizeof(pause[0]); i++) {
		happen(&s, AT_EOF, now);
		happen(&s, REAPED, now);
		carry_out(&s, now, acts, sizeof(acts));
		assert_string_equal(acts, "");
		assert_int_equal(s.seat.state, SEAT_STRANDED);
		assert_int_equal(fleet_deadline(&s.fleet), now + pause[i]);
		now += pause[i];
		carry_out(&s, now, acts, sizeof(acts));
		assert_string_equal(acts, "FORK_RESCUE TELL_STOP");
	}
	happen(&s, AT_EOF, now);
	happen(&s, REAPED, now);
	carry_out(&s, now, acts, sizeof(acts));
	assert_string_equal(acts, "DROP_ANCHOR EXIT");
	assert_status(&s, 4);
}

/* Forks that fail */

static void a_failed_fork_is_tried_again(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, AT(100000, FORKS_FAIL, "FORK", DUE), AT(100200, DUE_NOW, "FORK", DUE),
	    AT(100600, DUE_NOW, "FORK", DUE), AT(101400, DUE_NOW, "FORK", DUE),
	    AT(101500, STOP, "EXIT", VACANT));
	assert_status(&s, 0);
}

static void pauses_between_forks_have_a_limit(void **state)
{
	struct script s;
	msec now = 100000, pause = 0;
	char acts[200];

	(void)state;
	open_script(&s, &usual);
	s.forks_fail = true;
	for (int i = 0; i < 20; i++) {
		carry_out(&s, now, acts, sizeof(acts));
		assert_string_equal(acts, "FORK");
		pause = fleet_deadline(&s.fleet) - now;
		now += pause;
	}
	assert_int_equal(pause, 30000);
}

static void a_failed_fork_of_a_rescue_keeps_the_anchor(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(200001, FORKS_FAIL, "", ORPHANED),
	    AT(200002, CLEARED, "FORK_RESCUE", STRANDED), AT(200003, STOP, "", STRANDED),
	    AT(200402, DUE_NOW, "FORK_RESCUE", STRANDED));
}

static void names_its_states(void **state)
{
	(void)state;
	assert_string_equal(seat_state_name(SEAT_ORPHANED), "ORPHANED");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stops_when_the_worker_has_released),
		cmocka_unit_test(a_worker_is_gone_when_reaped_and_read_to_the_end),
		cmocka_unit_test(the_exit_status_tells_the_worst),
		cmocka_unit_test(what_was_unclean_before_the_stop_does_not_count),
		cmocka_unit_test(a_job_that_was_handed_over_queues_again),
		cmocka_unit_test(short_tenures_are_spaced_out),
		cmocka_unit_test(what_was_asked_for_is_not_spaced_out),
		cmocka_unit_test(a_finished_job_wants_no_worker),
		cmocka_unit_test(a_job_that_gave_up_here_cools_down),
		cmocka_unit_test(a_seat_that_waits_for_its_fork_is_empty_for_a_stop),
		cmocka_unit_test(a_worker_that_hangs_is_killed_with_its_job),
		cmocka_unit_test(a_worker_that_reports_does_not_hang),
		cmocka_unit_test(a_worker_without_the_lock_does_not_hang),
		cmocka_unit_test(orphans_do_not_outlive_the_lock),
		cmocka_unit_test(each_level_is_told_once),
		cmocka_unit_test(quit_kills_at_once),
		cmocka_unit_test(the_dead_are_told_nothing),
		cmocka_unit_test(a_worker_that_died_idle_is_replaced_after_a_pause),
		cmocka_unit_test(a_worker_that_died_holding_is_rescued),
		cmocka_unit_test(a_worker_that_keeps_dying_is_slowed_down),
		cmocka_unit_test(orphans_get_the_time_of_a_stop),
		cmocka_unit_test(orphans_hurry_with_the_master),
		cmocka_unit_test(orphans_of_a_hurried_worker_have_to_hurry),
		cmocka_unit_test(what_an_orphaned_job_leaves_behind_has_to_hurry),
		cmocka_unit_test(endless_orphans_wait_for_the_operator),
		cmocka_unit_test(a_stop_waits_for_a_rescue),
		cmocka_unit_test(a_rescue_that_dies_is_replaced_until_nobody_believes_in_it),
		cmocka_unit_test(a_failed_fork_is_tried_again),
		cmocka_unit_test(pauses_between_forks_have_a_limit),
		cmocka_unit_test(a_failed_fork_of_a_rescue_keeps_the_anchor),
		cmocka_unit_test(names_its_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
