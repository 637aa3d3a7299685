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

#include "fleet_test.h"

enum what {
	LOOK,         /* nothing happened, time went by */
	DUE_NOW,      /* likewise, and fleet_deadline() asked for this moment */
	UP,           /* the worker reports that it holds nothing */
	QUEUES,       /* likewise, and that it has a place in the queue that outlasts it */
	HOLDS,        /* that the lock is its */
	COVERED,      /* likewise, for 30 s */
	ALIVE_QUEUES, /* that it has such a place, and reports again within 30 s */
	ALIVE,        /* that it holds nothing, and reports again within 30 s */
	ALIVE_HOLDS,  /* likewise, and that the lock is its, which does not end by itself */
	RELEASED,     /* that it released it */
	ASKED,        /* likewise, as it was told to */
	UNCLEAN,      /* likewise, without a clean dump */
	LEFT,         /* that it could not release it */
	GAVE_UP,      /* released after too many failures */
	DONE,         /* released, the job is finished */
	AT_EOF,       /* its pipe */
	REAPED,       /* the worker */
	MAIN_ENDED,   /* the main process of a dead worker's job */
	CLEARED,      /* nothing of the job is left */
	STOP,         /* INT or TERM */
	TO_STOP,      /* likewise, and no further than that */
	TO_HURRY,     /* likewise */
	QUIT,         /* QUIT */
	FORKS_FAIL,   /* from now on */
	CHANGE,       /* the job's definition changes */
	REMOVE,       /* the job is not wanted any more */
	DRAIN,
	RESUME
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
	.adopt_timeout = MSEC_NEVER,
	.silence = 20000,
	.cool_down = 300000,
};

static void open_script(struct script *s, const struct seat_limits *limits)
{
	memset(s, 0, sizeof(*s));
	s->seats[0] = &s->seat;
	seat_init(&s->seat, limits, 100000);
	fleet_init(&s->fleet, s->seats, 1, FLEET_ALL);
}

static void report(struct script *s, enum what what, msec now)
{
	struct seat_end end = {
		.released = what != UP && what != QUEUES && what != ALIVE_QUEUES && what != HOLDS &&
			    what != COVERED && what != ALIVE && what != ALIVE_HOLDS && what != LEFT,
		.asked = what == ASKED,
		.left = what == LEFT,
		.unclean = what == UNCLEAN,
		.failed = what == GAVE_UP,
		.done = what == DONE,
	};

	fleet_reported(&s->seat, what == HOLDS || what == COVERED || what == ALIVE_HOLDS,
	    what == QUEUES || what == ALIVE_QUEUES, &end, now);
}

static void happen(struct script *s, enum what what, msec now)
{
	switch (what) {
	case LOOK:
	case DUE_NOW: break;
	case UP:
	case QUEUES:
	case HOLDS:
	case RELEASED:
	case ASKED:
	case UNCLEAN:
	case LEFT:
	case GAVE_UP:
	case DONE: report(s, what, now); break;
	case COVERED:
		report(s, what, now);
		fleet_covered(&s->seat, now + 30000, now + 30000);
		break;
	case ALIVE:
	case ALIVE_QUEUES:
	case ALIVE_HOLDS:
		report(s, what, now);
		fleet_covered(&s->seat, MSEC_NEVER, now + 30000);
		break;
	case AT_EOF: fleet_eof(&s->fleet, &s->seat, now); break;
	case REAPED: fleet_reaped(&s->fleet, &s->seat, now); break;
	case MAIN_ENDED: fleet_main_ended(&s->seat, now); break;
	case CLEARED: fleet_cleared(&s->fleet, &s->seat, now); break;
	case STOP: fleet_interrupt(&s->fleet, now); break;
	case TO_STOP: fleet_stop(&s->fleet, STOP_GRACEFUL, now); break;
	case TO_HURRY: fleet_stop(&s->fleet, STOP_HURRY, now); break;
	case QUIT: fleet_stop(&s->fleet, STOP_KILL, now); break;
	case FORKS_FAIL: s->forks_fail = true; break;
	case CHANGE: fleet_renew(&s->seat); break;
	case REMOVE: fleet_retire(&s->seat); break;
	case DRAIN: fleet_drain(&s->fleet, true); break;
	case RESUME: fleet_drain(&s->fleet, false); break;
	}
}

static const struct seat_limits changed = {
	.stop_timeout = 30000,
	.hurry_timeout = 5000,
	.adopt_timeout = MSEC_NEVER,
	.cool_down = 100000,
};

static void answer(struct fleet *f, const struct fleet_action *a, bool forks_fail, msec now)
{
	if (a->verb == FLEET_RENEW)
		fleet_renewed(a->seat, &changed, now);
	else if (a->verb == FLEET_FREE)
		fleet_remove(f, a->seat);
	else if (a->verb != FLEET_FORK && a->verb != FLEET_FORK_RESCUE)
		return;
	else if (forks_fail)
		fleet_fork_failed(a->seat, now);
	else
		fleet_forked(a->seat, 4711, now);
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
		answer(&s->fleet, &a, s->forks_fail, now);
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
#define TO_ORPHANED                                  \
	TO_HOLDING, AT(200000, REAPED, "", WORKING), \
	    AT(200000, AT_EOF, "FORK_RESCUE ORPHANS_STOP", ORPHANED)
#define TO_RESCUED TO_ORPHANED, AT(200500, CLEARED, "TELL_CLEARED", RESCUED)

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

/* It would keep those behind it waiting until its lease ends. */
static void a_place_in_the_queue_is_given_back_in_a_stop(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_WORKING, AT(200000, QUEUES, "", WORKING),
	    AT(200001, STOP, "TELL_STOP", WORKING), AT(200002, REAPED, "", WORKING),
	    AT(200002, AT_EOF, "DROP_ANCHOR FORK TELL_STOP", WORKING),
	    AT(200300, ASKED, "", WORKING), AT(200301, AT_EOF, "", WORKING),
	    AT(200302, REAPED, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 0);
	/* Nor does a stop wait for the pause after a death, or for workers that die again and
	 * again. */
	open_script(&s, &usual);
	PLAY(&s, TO_WORKING, AT(200000, QUEUES, "", WORKING), AT(200001, REAPED, "", WORKING),
	    AT(200001, AT_EOF, "DROP_ANCHOR", DUE), AT(200100, STOP, "FORK TELL_STOP", WORKING),
	    AT(200210, REAPED, "", WORKING),
	    AT(200210, AT_EOF, "DROP_ANCHOR FORK TELL_STOP", WORKING),
	    AT(200310, REAPED, "", WORKING), AT(200310, AT_EOF, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 4);
}

/* However often workers died before in the queue. */
static void deaths_of_long_ago_leave_no_place_in_the_queue(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_WORKING, AT(200000, QUEUES, "", WORKING), AT(200001, REAPED, "", WORKING),
	    AT(200001, AT_EOF, "DROP_ANCHOR", DUE), AT(200201, DUE_NOW, "FORK", WORKING),
	    AT(300000, QUEUES, "", WORKING), AT(300001, REAPED, "", WORKING),
	    AT(300001, AT_EOF, "DROP_ANCHOR", DUE), AT(300201, DUE_NOW, "FORK", WORKING),
	    AT(400000, QUEUES, "", WORKING), AT(400001, STOP, "TELL_STOP", WORKING),
	    AT(400002, REAPED, "", WORKING),
	    AT(400002, AT_EOF, "DROP_ANCHOR FORK TELL_STOP", WORKING),
	    AT(400300, ASKED, "", WORKING), AT(400301, AT_EOF, "", WORKING),
	    AT(400302, REAPED, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 0);
}

static void a_place_in_the_queue_is_given_back_in_a_drain(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_WORKING, AT(200000, QUEUES, "", WORKING),
	    AT(200001, DRAIN, "TELL_STOP", WORKING), AT(200002, REAPED, "", WORKING),
	    AT(200002, AT_EOF, "DROP_ANCHOR", DUE), AT(200202, DUE_NOW, "FORK TELL_STOP", WORKING),
	    AT(200300, ASKED, "", WORKING), AT(200301, AT_EOF, "", WORKING),
	    AT(200302, REAPED, "DROP_ANCHOR", PARKED));
	open_script(&s, &usual);
	PLAY(&s, TO_WORKING, AT(200000, QUEUES, "", WORKING),
	    AT(200001, REMOVE, "TELL_STOP", WORKING), AT(200002, REAPED, "", WORKING),
	    AT(200002, AT_EOF, "DROP_ANCHOR", DUE), AT(200202, DUE_NOW, "FORK TELL_STOP", WORKING),
	    AT(200300, ASKED, "", WORKING), AT(200301, AT_EOF, "", WORKING),
	    AT(200302, REAPED, "DROP_ANCHOR FREE", DUE));
}

/* Who kills does not wait for it; the exit status tells. */
static void a_place_in_the_queue_is_left_by_a_kill(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_WORKING, AT(200000, QUEUES, "", WORKING),
	    AT(200001, QUIT, "TELL_KILL", WORKING), AT(200002, REAPED, "", WORKING),
	    AT(200002, AT_EOF, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 4);
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
	s.fleet.unclean = 1;
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
	    AT(230000, LOOK, "", WORKING), AT(240000, DUE_NOW, "KILL_WORKER ORPHANS_KILL", WORKING),
	    AT(240001, LOOK, "", WORKING), AT(240002, REAPED, "", WORKING),
	    AT(240003, AT_EOF, "FORK_RESCUE ORPHANS_STOP ORPHANS_KILL", ORPHANED),
	    AT(240004, CLEARED, "TELL_CLEARED", RESCUED), AT(290000, LOOK, "", RESCUED));
}

/* It had been asleep, or its reports were not read. */
static void a_worker_that_reports_does_not_hang(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING),
	    AT(230000, DUE_NOW, "KILL_WORKER ORPHANS_KILL", WORKING),
	    AT(230001, COVERED, "", WORKING),
	    AT(260001, DUE_NOW, "KILL_WORKER ORPHANS_KILL", WORKING));
}

/* Nothing presses: this process may have slept, and the worker with it. */
static void a_silent_worker_is_asked_three_times(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, ALIVE_HOLDS, "", WORKING), AT(230000, DUE_NOW, "", WORKING),
	    AT(250000, DUE_NOW, "", WORKING), AT(270000, DUE_NOW, "KILL_WORKER", WORKING),
	    AT(270001, REAPED, "", WORKING),
	    AT(270001, AT_EOF, "FORK_RESCUE ORPHANS_STOP", ORPHANED));
	open_script(&s, &usual);
	PLAY(&s, TO_WORKING, AT(200000, ALIVE, "", WORKING), AT(230000, DUE_NOW, "", WORKING),
	    AT(250000, DUE_NOW, "", WORKING), AT(270000, DUE_NOW, "KILL_WORKER", WORKING),
	    AT(270001, REAPED, "", WORKING), AT(270001, AT_EOF, "DROP_ANCHOR", DUE));
	/* A place that outlasts it blocks those behind it. */
	open_script(&s, &usual);
	PLAY(&s, TO_WORKING, AT(200000, ALIVE_QUEUES, "", WORKING),
	    AT(230000, DUE_NOW, "", WORKING), AT(232001, DUE_NOW, "", WORKING),
	    AT(234002, DUE_NOW, "KILL_WORKER", WORKING), AT(234003, REAPED, "", WORKING),
	    AT(234003, AT_EOF, "DROP_ANCHOR", DUE), AT(234203, DUE_NOW, "FORK", WORKING));
}

/* However long it was: it counts as one question. */
static void a_sleep_of_the_whole_machine_is_no_silence(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, ALIVE_HOLDS, "", WORKING), AT(9000000, LOOK, "", WORKING),
	    AT(9000500, ALIVE_HOLDS, "", WORKING), AT(9030500, DUE_NOW, "", WORKING),
	    AT(18000000, LOOK, "", WORKING), AT(18019999, ALIVE_HOLDS, "", WORKING),
	    AT(18049999, DUE_NOW, "", WORKING));
}

static void a_worker_that_never_reports_hangs(void **state)
{
	struct seat_limits limits = usual;
	struct script s;

	(void)state;
	limits.adopt_timeout = 45000;
	open_script(&s, &limits);
	PLAY(&s, AT(100000, LOOK, "FORK", WORKING), AT(145000, DUE_NOW, "", WORKING),
	    AT(165000, DUE_NOW, "", WORKING), AT(185000, DUE_NOW, "KILL_WORKER", WORKING));
}

/* A killing stop does not ask. */
static void a_silent_worker_that_was_told_to_quit_is_not_asked(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, ALIVE_HOLDS, "", WORKING),
	    AT(201000, QUIT, "TELL_KILL", WORKING), AT(211000, DUE_NOW, "KILL_WORKER", WORKING));
}

/* The next one would do no better, and five of them take most of a minute. */
static void a_rescue_that_hangs_and_was_told_to_quit_is_the_last(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RESCUED, AT(201000, QUIT, "TELL_KILL", RESCUED),
	    AT(211000, DUE_NOW, "KILL_WORKER", RESCUED), AT(211001, REAPED, "", RESCUED),
	    AT(211002, AT_EOF, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 4);
	assert_int_equal(s.fleet.left, 1);
}

/* While it ends its job. */
static void a_worker_without_the_lock_does_not_hang(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING), AT(229000, UP, "", WORKING),
	    AT(231000, LOOK, "", WORKING));
	assert_int_equal(fleet_deadline(&s.fleet), MSEC_NEVER);
}

/* A disk hangs, say: nothing is left for it to do that others should wait for. */
static void a_worker_does_not_outlive_its_last_report(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING),
	    AT(200100, RELEASED, "", WORKING), AT(205000, RELEASED, "", WORKING),
	    AT(210100, DUE_NOW, "KILL_WORKER", WORKING), AT(210101, REAPED, "", WORKING),
	    AT(210101, AT_EOF, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 0);
	/* Nobody stops: the next one has to queue. */
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, LEFT, "", WORKING),
	    AT(210000, DUE_NOW, "KILL_WORKER", WORKING), AT(210001, AT_EOF, "", WORKING),
	    AT(210001, REAPED, "DROP_ANCHOR FORK", WORKING), AT(290000, LOOK, "", WORKING));
	/* A rescue that goes while something of the job lives. */
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(201000, HOLDS, "", ORPHANED), AT(202000, UNCLEAN, "", ORPHANED),
	    AT(212000, DUE_NOW, "KILL_WORKER", ORPHANED), AT(212001, REAPED, "", ORPHANED),
	    AT(212001, AT_EOF, "ORPHANS_KILL", ORPHANED));
}

static void orphans_do_not_outlive_the_lock(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING), AT(205000, REAPED, "", WORKING),
	    AT(205000, AT_EOF, "FORK_RESCUE ORPHANS_STOP", ORPHANED),
	    AT(230000, DUE_NOW, "ORPHANS_KILL KILL_WORKER", ORPHANED));
}

static void orphans_live_on_while_a_rescue_keeps_the_lock(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING), AT(205000, REAPED, "", WORKING),
	    AT(205000, AT_EOF, "FORK_RESCUE ORPHANS_STOP", ORPHANED), AT(205500, UP, "", ORPHANED),
	    AT(206000, COVERED, "", ORPHANED), AT(235000, COVERED, "", ORPHANED),
	    AT(255000, DUE_NOW, "ORPHANS_TERM", ORPHANED), AT(256000, COVERED, "", ORPHANED),
	    AT(265000, DUE_NOW, "ORPHANS_KILL", ORPHANED));
}

/* It waits for somebody to tell whether what the job dumped can be committed still. */
static void a_rescue_that_lost_the_lock_does_not_hang(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING), AT(205000, REAPED, "", WORKING),
	    AT(205000, AT_EOF, "FORK_RESCUE ORPHANS_STOP", ORPHANED),
	    AT(206000, COVERED, "", ORPHANED), AT(207000, CLEARED, "TELL_CLEARED", RESCUED),
	    AT(235000, UP, "", RESCUED), AT(236001, LOOK, "", RESCUED),
	    AT(900000, RELEASED, "", RESCUED));
	/* While something of the job lives, that still ends in time. */
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING), AT(205000, REAPED, "", WORKING),
	    AT(205000, AT_EOF, "FORK_RESCUE ORPHANS_STOP", ORPHANED),
	    AT(206000, COVERED, "", ORPHANED), AT(235000, UP, "", ORPHANED),
	    AT(236000, DUE_NOW, "ORPHANS_KILL", ORPHANED));
}

/* Whatever it says: nobody keeps the lock any more. */
static void orphans_are_killed_when_their_rescue_goes(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(201000, HOLDS, "", ORPHANED), AT(202000, UNCLEAN, "", ORPHANED),
	    AT(202001, REAPED, "", ORPHANED), AT(202001, AT_EOF, "ORPHANS_KILL", ORPHANED),
	    AT(202002, CLEARED, "DROP_ANCHOR FORK", WORKING));
}

static void a_rescue_that_dies_early_is_replaced(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(201000, HOLDS, "", ORPHANED), AT(202000, REAPED, "", ORPHANED),
	    AT(202000, AT_EOF, "", ORPHANED), AT(202400, DUE_NOW, "FORK_RESCUE", ORPHANED),
	    AT(202500, CLEARED, "TELL_CLEARED", RESCUED));
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

static void a_named_level_is_reached_and_not_passed(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, TO_STOP, "TELL_STOP", WORKING),
	    AT(200001, TO_STOP, "", WORKING), AT(200002, TO_STOP, "", WORKING),
	    AT(200003, STOP, "", WORKING), AT(200004, TO_STOP, "", WORKING),
	    AT(200005, STOP, "TELL_HURRY", WORKING), AT(200006, TO_HURRY, "", WORKING),
	    AT(200007, TO_STOP, "", WORKING), AT(200008, STOP, "TELL_KILL", WORKING));
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, TO_HURRY, "TELL_HURRY", WORKING),
	    AT(200001, STOP, "", WORKING), AT(200002, TO_HURRY, "", WORKING),
	    AT(200003, STOP, "", WORKING), AT(200004, STOP, "TELL_KILL", WORKING));
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

/* If nobody else waits for the job, it must not stand still for a pause. */
static void the_first_rescue_is_followed_at_once(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(200010, CLEARED, "TELL_CLEARED", RESCUED),
	    AT(200020, RELEASED, "", RESCUED), AT(200020, REAPED, "", RESCUED),
	    AT(200020, AT_EOF, "DROP_ANCHOR FORK", WORKING), AT(200030, HOLDS, "", WORKING),
	    /* After a quiet minute it is the first again. */
	    AT(260000, REAPED, "", WORKING),
	    AT(260000, AT_EOF, "FORK_RESCUE ORPHANS_STOP", ORPHANED),
	    AT(260010, CLEARED, "TELL_CLEARED", RESCUED), AT(260020, RELEASED, "", RESCUED),
	    AT(260020, REAPED, "", RESCUED), AT(260020, AT_EOF, "DROP_ANCHOR FORK", WORKING));
}

/* Else a worker that dies whenever it gets the lock starts and kills its job as fast as it can. */
static void a_worker_that_keeps_dying_is_slowed_down(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(200010, CLEARED, "TELL_CLEARED", RESCUED),
	    AT(200020, RELEASED, "", RESCUED), AT(200020, REAPED, "", RESCUED),
	    AT(200020, AT_EOF, "DROP_ANCHOR FORK", WORKING), AT(200210, HOLDS, "", WORKING),
	    AT(200220, REAPED, "", WORKING),
	    AT(200220, AT_EOF, "FORK_RESCUE ORPHANS_STOP", ORPHANED),
	    AT(200230, CLEARED, "TELL_CLEARED", RESCUED), AT(200240, RELEASED, "", RESCUED),
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
	PLAY(&s, AT(270000, CLEARED, "TELL_CLEARED", RESCUED));
}

static void orphans_keep_the_time_that_they_asked_for(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING));
	fleet_granted(&s.seat, 500000);
	PLAY(&s, AT(201000, REAPED, "", WORKING),
	    AT(201000, AT_EOF, "FORK_RESCUE ORPHANS_STOP TELL_STOP", ORPHANED));
	fleet_granted(&s.seat, 1); /* of the rescue */
	PLAY(&s, AT(490000, DUE_NOW, "ORPHANS_TERM", ORPHANED),
	    AT(500000, DUE_NOW, "ORPHANS_KILL", ORPHANED));
	/* It has less left than a stop gives. */
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING));
	fleet_granted(&s.seat, 210000);
	PLAY(&s, AT(201000, REAPED, "", WORKING),
	    AT(201000, AT_EOF, "FORK_RESCUE ORPHANS_STOP TELL_STOP", ORPHANED),
	    AT(251000, DUE_NOW, "ORPHANS_TERM", ORPHANED));
	/* For ever; who hurries does not wait for that. */
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING));
	fleet_granted(&s.seat, MSEC_NEVER);
	PLAY(&s, AT(201000, REAPED, "", WORKING),
	    AT(201000, AT_EOF, "FORK_RESCUE ORPHANS_STOP TELL_STOP", ORPHANED),
	    AT(900000, LOOK, "", ORPHANED), AT(900001, STOP, "ORPHANS_TERM TELL_HURRY", ORPHANED),
	    AT(910001, DUE_NOW, "ORPHANS_KILL", ORPHANED));
}

static void orphans_hurry_with_the_master(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(201000, STOP, "TELL_STOP", ORPHANED),
	    AT(202000, STOP, "ORPHANS_TERM TELL_HURRY", ORPHANED),
	    AT(212000, DUE_NOW, "ORPHANS_KILL", ORPHANED),
	    AT(213000, CLEARED, "TELL_CLEARED", RESCUED), AT(213001, STOP, "TELL_KILL", RESCUED));
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(201000, QUIT, "ORPHANS_TERM ORPHANS_KILL TELL_KILL", ORPHANED),
	    AT(201001, QUIT, "", ORPHANED), AT(201002, STOP, "", ORPHANED));
}

static void orphans_of_a_hurried_worker_have_to_hurry(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING),
	    AT(200000, STOP, "TELL_HURRY", WORKING), AT(200001, REAPED, "", WORKING),
	    AT(200002, AT_EOF, "FORK_RESCUE ORPHANS_STOP ORPHANS_TERM TELL_HURRY", ORPHANED),
	    AT(210002, DUE_NOW, "ORPHANS_KILL", ORPHANED));
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, QUIT, "TELL_KILL", WORKING),
	    AT(200001, REAPED, "", WORKING),
	    AT(200002, AT_EOF, "FORK_RESCUE ORPHANS_STOP ORPHANS_TERM ORPHANS_KILL TELL_KILL",
		ORPHANED));
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
	    AT(200002, AT_EOF, "FORK_RESCUE ORPHANS_STOP ORPHANS_TERM", ORPHANED),
	    AT(210002, DUE_NOW, "ORPHANS_KILL", ORPHANED),
	    /* The next job is another one. */
	    AT(210003, CLEARED, "TELL_CLEARED", RESCUED), AT(210004, RELEASED, "", RESCUED),
	    AT(210004, AT_EOF, "", RESCUED), AT(210004, REAPED, "DROP_ANCHOR FORK", WORKING),
	    AT(300000, HOLDS, "", WORKING), AT(300001, AT_EOF, "", WORKING),
	    AT(300001, REAPED, "FORK_RESCUE ORPHANS_STOP", ORPHANED));
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
	PLAY(&s, AT(900001, STOP, "TELL_STOP", ORPHANED),
	    AT(900002, STOP, "ORPHANS_TERM TELL_HURRY", ORPHANED),
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
	PLAY(&s, TO_HOLDING, AT(200000, FORKS_FAIL, "", WORKING), AT(200000, REAPED, "", WORKING),
	    AT(200000, AT_EOF, "FORK_RESCUE ORPHANS_STOP", ORPHANED),
	    AT(200002, CLEARED, "", STRANDED), AT(200003, STOP, "", STRANDED),
	    AT(200400, DUE_NOW, "FORK_RESCUE", STRANDED));
}

/* A killing stop waits for nothing that hangs */

static void a_worker_that_does_not_quit_is_killed(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING),
	    AT(260000, QUIT, "TELL_KILL", WORKING), AT(269999, LOOK, "", WORKING),
	    AT(270000, DUE_NOW, "KILL_WORKER", WORKING), AT(270001, REAPED, "", WORKING),
	    AT(270001, AT_EOF, "FORK_RESCUE ORPHANS_STOP ORPHANS_TERM ORPHANS_KILL TELL_KILL",
		ORPHANED));
}

static void a_waiting_worker_that_does_not_quit_is_killed(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, AT(100000, LOOK, "FORK", WORKING), AT(100001, UP, "", WORKING),
	    AT(200000, QUIT, "TELL_KILL", WORKING), AT(210000, DUE_NOW, "KILL_WORKER", WORKING),
	    AT(210001, REAPED, "", WORKING), AT(210001, AT_EOF, "DROP_ANCHOR EXIT", VACANT));
}

/* The disk that it waits for hangs, and the kernel lets it go when that answers, if ever. */
static void a_stop_does_not_wait_for_a_worker_that_cannot_end(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING),
	    AT(200100, RELEASED, "", WORKING), AT(210100, DUE_NOW, "KILL_WORKER", WORKING),
	    AT(215100, DUE_NOW, "STUCK FORSAKE DROP_ANCHOR EXIT", VACANT),
	    AT(216000, STOP, "", VACANT), AT(217000, REAPED, "", VACANT),
	    AT(217001, AT_EOF, "", VACANT));
	assert_status(&s, 0);
	/* The lock that it left counts once. */
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, STOP, "TELL_STOP", WORKING), AT(200100, LEFT, "", WORKING),
	    AT(210100, DUE_NOW, "KILL_WORKER", WORKING), AT(211000, AT_EOF, "", WORKING),
	    AT(215100, DUE_NOW, "STUCK FORSAKE DROP_ANCHOR EXIT", VACANT),
	    AT(217000, REAPED, "", VACANT));
	assert_status(&s, 4);
	assert_int_equal(s.fleet.left, 1);
	/* Long before the stop. */
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, DONE, "", WORKING),
	    AT(210000, DUE_NOW, "KILL_WORKER", WORKING), AT(215000, DUE_NOW, "STUCK", WORKING),
	    AT(300000, STOP, "FORSAKE DROP_ANCHOR EXIT", FINISHED));
	assert_status(&s, 0);
	/* It has been removed. */
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, REMOVE, "TELL_STOP", WORKING),
	    AT(200100, ASKED, "", WORKING), AT(210100, DUE_NOW, "KILL_WORKER", WORKING),
	    AT(211000, STOP, "", WORKING),
	    AT(215100, DUE_NOW, "STUCK FORSAKE DROP_ANCHOR EXIT", VACANT),
	    AT(215200, AT_EOF, "", VACANT));
	assert_status(&s, 0);
}

static void a_place_in_the_queue_of_one_that_cannot_end_is_left(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_WORKING, AT(100020, QUEUES, "", WORKING),
	    AT(200000, QUIT, "TELL_KILL", WORKING), AT(210000, DUE_NOW, "KILL_WORKER", WORKING),
	    AT(215000, DUE_NOW, "STUCK FORSAKE DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 4);
	assert_int_equal(s.fleet.left, 1);
	open_script(&s, &usual);
	PLAY(&s, TO_WORKING, AT(200000, QUIT, "TELL_KILL", WORKING),
	    AT(210000, DUE_NOW, "KILL_WORKER", WORKING),
	    AT(215000, DUE_NOW, "STUCK FORSAKE DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 0);
}

/* Its job may live, and nobody but its parent can tell it to dump: that is killed when the lock
 * ends, or the operator says so. */
static void an_owner_that_cannot_end_loses_its_job(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, QUIT, "TELL_KILL", WORKING),
	    AT(210000, DUE_NOW, "KILL_WORKER", WORKING),
	    AT(215000, DUE_NOW, "STUCK ORPHANS_KILL", WORKING), AT(215010, LOOK, "", WORKING),
	    AT(215020, CLEARED, "FORSAKE DROP_ANCHOR EXIT", VACANT), AT(900000, REAPED, "", VACANT),
	    AT(900001, AT_EOF, "", VACANT));
	assert_status(&s, 4);
	assert_int_equal(s.fleet.left, 1);
	assert_int_equal(s.fleet.unclean, 1);
	/* A lock that does not end by itself covers the job until the operator has no patience. */
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, ALIVE_HOLDS, "", WORKING), AT(230000, DUE_NOW, "", WORKING),
	    AT(250000, DUE_NOW, "", WORKING), AT(270000, DUE_NOW, "KILL_WORKER", WORKING),
	    AT(275000, DUE_NOW, "STUCK", WORKING), AT(300000, STOP, "TELL_STOP", WORKING),
	    AT(900000, LOOK, "", WORKING));
	assert_int_equal(fleet_deadline(&s.fleet), MSEC_NEVER);
	PLAY(&s, AT(900001, QUIT, "ORPHANS_KILL TELL_KILL", WORKING),
	    AT(900050, CLEARED, "FORSAKE DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 4);
	/* One that does. */
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING),
	    AT(230000, DUE_NOW, "KILL_WORKER ORPHANS_KILL", WORKING),
	    AT(230100, CLEARED, "", WORKING), AT(235000, DUE_NOW, "STUCK", WORKING),
	    AT(300000, STOP, "FORSAKE DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 4);
	/* It ends after all: what it held is rescued. */
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, COVERED, "", WORKING),
	    AT(230000, DUE_NOW, "KILL_WORKER ORPHANS_KILL", WORKING),
	    AT(230100, CLEARED, "", WORKING), AT(235000, DUE_NOW, "STUCK", WORKING),
	    AT(240000, AT_EOF, "", WORKING),
	    AT(240001, REAPED, "FORK_RESCUE ORPHANS_STOP ORPHANS_KILL", ORPHANED),
	    AT(240002, CLEARED, "TELL_CLEARED", RESCUED));
}

/* Nothing is left of the job. */
static void a_rescue_that_cannot_end_is_the_last(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_RESCUED, AT(201000, ALIVE_HOLDS, "", RESCUED),
	    AT(202000, STOP, "TELL_STOP", RESCUED));
	PLAY(&s, AT(231000, DUE_NOW, "", RESCUED), AT(251000, DUE_NOW, "", RESCUED),
	    AT(271000, DUE_NOW, "KILL_WORKER", RESCUED),
	    AT(276000, DUE_NOW, "STUCK FORSAKE DROP_ANCHOR EXIT", VACANT),
	    AT(277000, REAPED, "", VACANT), AT(277000, AT_EOF, "", VACANT));
	assert_status(&s, 4);
	assert_int_equal(s.fleet.left, 1);
	assert_int_equal(s.fleet.unclean, 1);
	/* It had let go of the lock while something of the job lived. */
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(201000, HOLDS, "", ORPHANED), AT(202000, UNCLEAN, "", ORPHANED),
	    AT(203000, STOP, "TELL_STOP", ORPHANED), AT(212000, DUE_NOW, "KILL_WORKER", ORPHANED),
	    AT(217000, DUE_NOW, "STUCK ORPHANS_KILL", ORPHANED),
	    AT(217050, CLEARED, "FORSAKE DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 3);
}

static void a_killing_stop_ends_when_nothing_can_be_forked(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, FORKS_FAIL, "", WORKING), AT(200000, REAPED, "", WORKING),
	    AT(200000, AT_EOF, "FORK_RESCUE ORPHANS_STOP", ORPHANED),
	    AT(200002, CLEARED, "", STRANDED), AT(200003, STOP, "", STRANDED));
	PLAY(&s, AT(201000, LOOK, "FORK_RESCUE", STRANDED),
	    AT(261000, LOOK, "FORK_RESCUE", STRANDED), AT(321000, LOOK, "FORK_RESCUE", STRANDED),
	    AT(381000, LOOK, "FORK_RESCUE", STRANDED), AT(441000, LOOK, "FORK_RESCUE", STRANDED),
	    AT(501000, LOOK, "FORK_RESCUE", STRANDED));
	PLAY(&s, AT(501001, QUIT, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 4);
}

/* Jobs that change, come and go */

static void a_changed_job_is_handed_over_and_goes_on_anew(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, CHANGE, "TELL_STOP", WORKING),
	    AT(200001, CHANGE, "", WORKING), AT(200100, ASKED, "", WORKING),
	    AT(200101, AT_EOF, "", WORKING), AT(200102, REAPED, "DROP_ANCHOR RENEW FORK", WORKING),
	    AT(200103, HOLDS, "", WORKING));
	assert_int_equal(s.seat.limits.stop_timeout, changed.stop_timeout);
}

/* What its worker left is ended and committed under the definition that it ran with. */
static void a_changed_job_is_rescued_under_the_old_definition(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, CHANGE, "TELL_STOP", WORKING),
	    AT(200001, REAPED, "", WORKING),
	    AT(200001, AT_EOF, "FORK_RESCUE ORPHANS_STOP", ORPHANED),
	    AT(250001, DUE_NOW, "ORPHANS_TERM", ORPHANED),
	    AT(250002, CLEARED, "TELL_CLEARED", RESCUED), AT(250003, RELEASED, "", RESCUED),
	    AT(250003, AT_EOF, "", RESCUED), AT(250003, REAPED, "DROP_ANCHOR RENEW FORK", WORKING));
}

/* A change may be what mends a job that failed too often, or begins one that had finished. */
static void a_changed_job_need_not_wait(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, GAVE_UP, "", WORKING), AT(200001, AT_EOF, "", WORKING),
	    AT(200002, REAPED, "DROP_ANCHOR", DUE), AT(200003, CHANGE, "RENEW FORK", WORKING),
	    AT(200004, DONE, "", WORKING), AT(200004, AT_EOF, "", WORKING),
	    AT(200004, REAPED, "DROP_ANCHOR", FINISHED), AT(200005, CHANGE, "RENEW FORK", WORKING));
}

static void a_removed_job_is_handed_over_and_forgotten(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, REMOVE, "TELL_STOP", WORKING),
	    AT(200100, ASKED, "", WORKING), AT(200101, AT_EOF, "", WORKING),
	    AT(200102, REAPED, "DROP_ANCHOR FREE", DUE), AT(200103, STOP, "EXIT", DUE));
	assert_status(&s, 0);
}

static void a_removed_job_is_rescued_before_it_is_forgotten(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_ORPHANED, AT(200001, REMOVE, "", ORPHANED),
	    AT(200002, CLEARED, "TELL_CLEARED", RESCUED), AT(200003, RELEASED, "", RESCUED),
	    AT(200003, AT_EOF, "", RESCUED), AT(200003, REAPED, "DROP_ANCHOR FREE", DUE));
}

static void a_job_that_comes_back_before_it_is_gone_stays(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, REMOVE, "TELL_STOP", WORKING),
	    AT(200001, CHANGE, "", WORKING), AT(200100, ASKED, "", WORKING),
	    AT(200101, AT_EOF, "", WORKING), AT(200102, REAPED, "DROP_ANCHOR RENEW FORK", WORKING));
}

static void a_stop_goes_before_a_change(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, CHANGE, "TELL_STOP", WORKING),
	    AT(200001, STOP, "", WORKING), AT(200002, STOP, "TELL_HURRY", WORKING),
	    AT(200100, UNCLEAN, "", WORKING), AT(200101, AT_EOF, "", WORKING),
	    AT(200102, REAPED, "DROP_ANCHOR EXIT", VACANT));
	assert_status(&s, 3);
}

/* Places */

static void a_drained_fleet_holds_nothing_until_that_ends(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, DRAIN, "TELL_STOP", WORKING),
	    AT(200001, DRAIN, "", WORKING));
	assert_int_equal(fleet_busy(&s.fleet), 1);
	PLAY(&s, AT(200100, ASKED, "", WORKING), AT(200101, AT_EOF, "", WORKING),
	    AT(200102, REAPED, "DROP_ANCHOR", PARKED), AT(900000, LOOK, "", PARKED));
	assert_int_equal(fleet_busy(&s.fleet), 0);
	assert_int_equal(fleet_deadline(&s.fleet), MSEC_NEVER);
	PLAY(&s, AT(900001, CHANGE, "RENEW", PARKED), AT(900002, RESUME, "FORK", WORKING),
	    AT(900003, DRAIN, "TELL_STOP", WORKING), AT(900004, ASKED, "", WORKING),
	    AT(900004, AT_EOF, "", WORKING), AT(900004, REAPED, "DROP_ANCHOR", PARKED),
	    AT(900005, REMOVE, "FREE", PARKED));
}

static void a_drain_that_ends_early_takes_the_job_back(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, DRAIN, "TELL_STOP", WORKING),
	    AT(200001, RESUME, "", WORKING), AT(200100, ASKED, "", WORKING),
	    AT(200101, AT_EOF, "", WORKING), AT(200102, REAPED, "DROP_ANCHOR FORK", WORKING));
}

/* What it waits for is that this master takes jobs again; after that, for its time. */
static void a_job_that_gave_up_is_parked_in_a_drain(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, GAVE_UP, "", WORKING), AT(200001, AT_EOF, "", WORKING),
	    AT(200002, REAPED, "DROP_ANCHOR", DUE), AT(200003, DRAIN, "", PARKED));
	assert_int_equal(fleet_deadline(&s.fleet), MSEC_NEVER);
	PLAY(&s, AT(300000, RESUME, "", DUE), AT(500002, DUE_NOW, "FORK", WORKING));
	open_script(&s, &usual);
	PLAY(&s, TO_HOLDING, AT(200000, DRAIN, "TELL_STOP", WORKING),
	    AT(200001, GAVE_UP, "", WORKING), AT(200001, AT_EOF, "", WORKING),
	    AT(200002, REAPED, "DROP_ANCHOR", PARKED), AT(600000, RESUME, "FORK", WORKING));
}

static void a_drained_fleet_stops(void **state)
{
	struct script s;

	(void)state;
	open_script(&s, &usual);
	PLAY(&s, AT(100000, DRAIN, "", PARKED), AT(200000, STOP, "EXIT", VACANT));
	assert_status(&s, 0);
}

#define CREW 3

/* Several seats that share places: "0:FORK" is the first one's. */
struct crew {
	struct seat seats[CREW];
	struct seat *list[CREW];
	struct fleet fleet;
	char acts[200];
};

static const char *acts_of(struct crew *c, msec now)
{
	struct fleet_action a;
	size_t len = 0;

	c->acts[0] = '\0';
	while ((a = fleet_next(&c->fleet, now)).verb != FLEET_NOTHING) {
		len += (size_t)snprintf(c->acts + len, sizeof(c->acts) - len, "%s%d:%s",
		    len > 0 ? " " : "", (int)(a.seat - c->seats), verb_name(a.verb));
		answer(&c->fleet, &a, false, now);
	}
	return c->acts;
}

static void open_crew(struct crew *c, size_t places)
{
	for (int i = 0; i < CREW; i++) {
		seat_init(&c->seats[i], &usual, 100000);
		c->list[i] = &c->seats[i];
	}
	fleet_init(&c->fleet, c->list, CREW, places);
}

static void take(struct crew *c, int i)
{
	fleet_reported(&c->seats[i], true, false, &(struct seat_end){ 0 }, 0);
}

static void leave(struct crew *c, int i, msec now)
{
	fleet_reported(
	    &c->seats[i], false, false, &(struct seat_end){ .released = true, .asked = true }, now);
	fleet_eof(&c->fleet, &c->seats[i], now);
	fleet_reaped(&c->fleet, &c->seats[i], now);
}

static void jobs_beyond_the_limit_are_parked(void **state)
{
	struct crew c;

	(void)state;
	open_crew(&c, 2);
	assert_string_equal(acts_of(&c, 100000), "0:FORK 1:FORK");
	assert_int_equal(c.seats[2].state, SEAT_PARKED);
	take(&c, 0);
	take(&c, 1);
	assert_string_equal(acts_of(&c, 900000), "");
	assert_int_equal(fleet_deadline(&c.fleet), MSEC_NEVER);
	/* A place is handed on to who waited longest. */
	leave(&c, 0, 900001);
	assert_string_equal(acts_of(&c, 900001), "0:DROP_ANCHOR 2:FORK");
	assert_int_equal(c.seats[0].state, SEAT_PARKED);
}

static void who_still_waits_after_a_drain_is_before_nobody(void **state)
{
	struct crew c;

	(void)state;
	open_crew(&c, 1);
	assert_string_equal(acts_of(&c, 100000), "0:FORK");
	take(&c, 0);
	for (int i = 1; i < CREW; i++) {
		c.seats[i].state = SEAT_DUE;
		c.seats[i].due = 300000;
	}
	fleet_drain(&c.fleet, true);
	assert_string_equal(acts_of(&c, 100001), "0:TELL_STOP");
	leave(&c, 0, 100002);
	assert_string_equal(acts_of(&c, 100002), "0:DROP_ANCHOR");
	fleet_drain(&c.fleet, false);
	assert_string_equal(acts_of(&c, 100003), "0:FORK");
}

/* Else a lock that is free, of a job that is parked on every machine, would never be taken. */
static void who_queues_in_vain_gives_its_place_away(void **state)
{
	struct crew c;

	(void)state;
	open_crew(&c, 2);
	acts_of(&c, 100000);
	take(&c, 0);
	assert_int_equal(fleet_deadline(&c.fleet), 100000 + FLEET_TURN_MIN);
	assert_string_equal(acts_of(&c, 100500), "1:TELL_STOP");
	assert_int_equal(fleet_deadline(&c.fleet), MSEC_NEVER);
	leave(&c, 1, 100505);
	assert_string_equal(acts_of(&c, 100505), "1:DROP_ANCHOR 2:FORK");
	assert_int_equal(fleet_deadline(&c.fleet), 100505 + FLEET_TURN_MIN);
	assert_string_equal(acts_of(&c, 101005), "2:TELL_STOP");
}

static void turns_grow_with_each_that_was_in_vain(void **state)
{
	struct crew c;
	msec now = 100000;
	int at = 0;

	(void)state;
	open_crew(&c, 1);
	acts_of(&c, now);
	for (int i = 0; i < 8 * CREW; i++) {
		now = fleet_deadline(&c.fleet);
		acts_of(&c, now);
		leave(&c, at, now);
		acts_of(&c, now);
		at = (at + 1) % CREW;
		assert_int_equal(c.seats[at].state, SEAT_WORKING);
	}
	assert_int_equal(fleet_deadline(&c.fleet), now + FLEET_TURN_MAX);
	take(&c, at);
	leave(&c, at, now);
	acts_of(&c, now);
	assert_int_equal(c.seats[at].turn, FLEET_TURN_MIN);
}

static void one_fewer_hands_over_who_is_missed_least(void **state)
{
	struct crew c;

	(void)state;
	open_crew(&c, FLEET_ALL);
	assert_string_equal(acts_of(&c, 100000), "0:FORK 1:FORK 2:FORK");
	take(&c, 1);
	take(&c, 2);
	fleet_fewer(&c.fleet);
	assert_string_equal(acts_of(&c, 100001), "0:TELL_STOP"); /* owns nothing */
	fleet_fewer(&c.fleet);
	assert_string_equal(acts_of(&c, 100002), "1:TELL_STOP");
	fleet_fewer(&c.fleet);
	fleet_fewer(&c.fleet);
	assert_string_equal(acts_of(&c, 100003), "2:TELL_STOP");
	for (int i = 0; i < CREW; i++)
		leave(&c, i, 100004);
	assert_string_equal(acts_of(&c, 100004), "0:DROP_ANCHOR 1:DROP_ANCHOR 2:DROP_ANCHOR");
	fleet_more(&c.fleet);
	assert_string_equal(acts_of(&c, 100005), "0:FORK");
	fleet_more(&c.fleet);
	fleet_more(&c.fleet);
	assert_string_equal(acts_of(&c, 100006), "1:FORK 2:FORK");
	assert_true(c.fleet.places == FLEET_ALL);
}

/* A limit that was set stays one. */
static void more_than_a_limit_is_a_limit(void **state)
{
	struct crew c;

	(void)state;
	open_crew(&c, 3);
	fleet_more(&c.fleet);
	assert_int_equal(c.fleet.places, 4);
	fleet_fewer(&c.fleet);
	assert_int_equal(c.fleet.places, 2);
}

static void seats_come_and_go_beside_others(void **state)
{
	struct crew c;
	struct seat *two[CREW];

	(void)state;
	open_crew(&c, FLEET_ALL);
	c.fleet.n = 2;
	assert_string_equal(acts_of(&c, 100000), "0:FORK 1:FORK");
	take(&c, 0);
	take(&c, 1);
	memcpy(two, c.list, sizeof(two));
	fleet_retire(&c.seats[0]);
	fleet_reseat(&c.fleet, two, 3);
	assert_string_equal(acts_of(&c, 100001), "0:TELL_STOP 2:FORK");
	leave(&c, 0, 100002);
	assert_string_equal(acts_of(&c, 100002), "0:DROP_ANCHOR 0:FREE");
	assert_int_equal(c.fleet.n, 2);
	assert_ptr_equal(two[0], &c.seats[1]);
	assert_string_equal(acts_of(&c, 900000), "");
}

static void names_its_states(void **state)
{
	(void)state;
	assert_string_equal(seat_state_name(SEAT_ORPHANED), "ORPHANED");
}

static void failures_to_fork_are_told_ever_more_seldom(void **state)
{
	struct seat s;
	unsigned told = 0;

	(void)state;
	seat_init(&s, &usual, 100000);
	for (msec i = 0; i < 100; i++)
		told += fleet_fork_failed(&s, 100000 + i);
	assert_int_equal(told, 7); /* 1, 2, 4 ... 64 */
	fleet_forked(&s, 4711, 100200);
	assert_true(fleet_fork_failed(&s, 100300));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stops_when_the_worker_has_released),
		cmocka_unit_test(a_place_in_the_queue_is_given_back_in_a_stop),
		cmocka_unit_test(deaths_of_long_ago_leave_no_place_in_the_queue),
		cmocka_unit_test(a_place_in_the_queue_is_given_back_in_a_drain),
		cmocka_unit_test(a_place_in_the_queue_is_left_by_a_kill),
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
		cmocka_unit_test(a_silent_worker_is_asked_three_times),
		cmocka_unit_test(a_sleep_of_the_whole_machine_is_no_silence),
		cmocka_unit_test(a_worker_that_never_reports_hangs),
		cmocka_unit_test(a_silent_worker_that_was_told_to_quit_is_not_asked),
		cmocka_unit_test(a_rescue_that_hangs_and_was_told_to_quit_is_the_last),
		cmocka_unit_test(a_worker_without_the_lock_does_not_hang),
		cmocka_unit_test(a_worker_does_not_outlive_its_last_report),
		cmocka_unit_test(orphans_do_not_outlive_the_lock),
		cmocka_unit_test(orphans_live_on_while_a_rescue_keeps_the_lock),
		cmocka_unit_test(a_rescue_that_lost_the_lock_does_not_hang),
		cmocka_unit_test(orphans_are_killed_when_their_rescue_goes),
		cmocka_unit_test(a_rescue_that_dies_early_is_replaced),
		cmocka_unit_test(each_level_is_told_once),
		cmocka_unit_test(quit_kills_at_once),
		cmocka_unit_test(a_named_level_is_reached_and_not_passed),
		cmocka_unit_test(the_dead_are_told_nothing),
		cmocka_unit_test(a_worker_that_died_idle_is_replaced_after_a_pause),
		cmocka_unit_test(a_worker_that_died_holding_is_rescued),
		cmocka_unit_test(the_first_rescue_is_followed_at_once),
		cmocka_unit_test(a_worker_that_keeps_dying_is_slowed_down),
		cmocka_unit_test(orphans_get_the_time_of_a_stop),
		cmocka_unit_test(orphans_keep_the_time_that_they_asked_for),
		cmocka_unit_test(orphans_hurry_with_the_master),
		cmocka_unit_test(orphans_of_a_hurried_worker_have_to_hurry),
		cmocka_unit_test(what_an_orphaned_job_leaves_behind_has_to_hurry),
		cmocka_unit_test(endless_orphans_wait_for_the_operator),
		cmocka_unit_test(a_stop_waits_for_a_rescue),
		cmocka_unit_test(a_rescue_that_dies_is_replaced_until_nobody_believes_in_it),
		cmocka_unit_test(a_failed_fork_is_tried_again),
		cmocka_unit_test(pauses_between_forks_have_a_limit),
		cmocka_unit_test(a_failed_fork_of_a_rescue_keeps_the_anchor),
		cmocka_unit_test(a_worker_that_does_not_quit_is_killed),
		cmocka_unit_test(a_waiting_worker_that_does_not_quit_is_killed),
		cmocka_unit_test(a_stop_does_not_wait_for_a_worker_that_cannot_end),
		cmocka_unit_test(a_place_in_the_queue_of_one_that_cannot_end_is_left),
		cmocka_unit_test(an_owner_that_cannot_end_loses_its_job),
		cmocka_unit_test(a_rescue_that_cannot_end_is_the_last),
		cmocka_unit_test(a_killing_stop_ends_when_nothing_can_be_forked),
		cmocka_unit_test(a_changed_job_is_handed_over_and_goes_on_anew),
		cmocka_unit_test(a_changed_job_is_rescued_under_the_old_definition),
		cmocka_unit_test(a_changed_job_need_not_wait),
		cmocka_unit_test(a_removed_job_is_handed_over_and_forgotten),
		cmocka_unit_test(a_removed_job_is_rescued_before_it_is_forgotten),
		cmocka_unit_test(a_job_that_comes_back_before_it_is_gone_stays),
		cmocka_unit_test(a_stop_goes_before_a_change),
		cmocka_unit_test(a_drained_fleet_holds_nothing_until_that_ends),
		cmocka_unit_test(a_drain_that_ends_early_takes_the_job_back),
		cmocka_unit_test(a_job_that_gave_up_is_parked_in_a_drain),
		cmocka_unit_test(a_drained_fleet_stops),
		cmocka_unit_test(jobs_beyond_the_limit_are_parked),
		cmocka_unit_test(who_still_waits_after_a_drain_is_before_nobody),
		cmocka_unit_test(who_queues_in_vain_gives_its_place_away),
		cmocka_unit_test(turns_grow_with_each_that_was_in_vain),
		cmocka_unit_test(one_fewer_hands_over_who_is_missed_least),
		cmocka_unit_test(more_than_a_limit_is_a_limit),
		cmocka_unit_test(seats_come_and_go_beside_others),
		cmocka_unit_test(failures_to_fork_are_told_ever_more_seldom),
		cmocka_unit_test(names_its_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
