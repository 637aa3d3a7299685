/* When a running job's state is backed up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "dice.h"
#include "policy/pacer.h"

/* Scripts: one row a call, with what it must ask for and the deadline after it */

enum call { START, STOP, CHANGED, STALE, ASK, SAVED, FAILED, TICK };

struct row {
	msec now;
	enum call call;
	unsigned wanted;
	msec deadline;
};

static unsigned make(struct pacer *p, enum call call, msec now)
{
	switch (call) {
	case START: pacer_start(p, now); return 0;
	case STOP: pacer_stop(p); return 0;
	case CHANGED: return pacer_changed(p, now);
	case STALE: return pacer_stale(p, now);
	case ASK: return pacer_ask(p, now);
	case SAVED: return pacer_saved(p, true, now);
	case FAILED: return pacer_saved(p, false, now);
	case TICK: return pacer_tick(p, now);
	}
	return 0;
}

static void play(struct pacer *p, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];
		unsigned got = make(p, r->call, r->now);

		if (got != r->wanted || pacer_deadline(p) != r->deadline)
			fail_msg("row %zu: asks for %u, deadline %lld", i, got,
			    (long long)pacer_deadline(p));
	}
}

#define PLAY(interval, signals, ...)                              \
	do {                                                      \
		static const struct row rows[] = { __VA_ARGS__ }; \
		struct pacer p;                                   \
                                                                  \
		pacer_init(&p, interval, signals);                \
		play(&p, rows, sizeof(rows) / sizeof(rows[0]));   \
	} while (0)

#define NO PACER_NOTHING
#define SAVE PACER_SAVE
#define SIGNAL PACER_SIGNAL
#define NEVER MSEC_NEVER

static void does_nothing_while_no_job_runs(void **state)
{
	(void)state;
	PLAY(1000, true, { 0, CHANGED, NO, NEVER }, { 1, ASK, NO, NEVER },
	    { 5000, TICK, NO, NEVER });
}

static void backs_a_change_up_within_the_interval(void **state)
{
	(void)state;
	PLAY(1000, false, { 0, START, NO, 1000 }, { 100, CHANGED, NO, 1000 },
	    { 999, TICK, NO, 1000 }, { 1000, TICK, SAVE, 2000 }, { 1005, SAVED, NO, 2000 },
	    /* Nothing new: the next change need not wait. */
	    { 2000, TICK, NO, 3000 }, { 2500, CHANGED, SAVE, 3500 }, { 2505, SAVED, NO, 3500 },
	    /* But one soon after that waits for its turn. */
	    { 2600, CHANGED, NO, 3500 }, { 3500, TICK, SAVE, 4500 });
}

static void one_backup_at_a_time(void **state)
{
	(void)state;
	PLAY(1000, false, { 0, START, NO, 1000 }, { 1, CHANGED, NO, 1000 },
	    { 1000, TICK, SAVE, 2000 }, { 1100, CHANGED, NO, 2000 }, { 1200, ASK, NO, 2000 },
	    { 2000, TICK, NO, 3000 },
	    /* What came meanwhile goes out when the first is done, as it is overdue. */
	    { 2100, SAVED, SAVE, 3100 }, { 2200, SAVED, NO, 3100 });
}

static void backs_up_at_once_when_asked(void **state)
{
	(void)state;
	PLAY(NEVER, false, { 0, START, NO, NEVER }, { 10, CHANGED, NO, NEVER },
	    { 20, ASK, SAVE, NEVER }, { 30, SAVED, NO, NEVER },
	    /* Nothing to save yet: the next change is what was asked for. */
	    { 40, ASK, NO, NEVER }, { 50, CHANGED, SAVE, NEVER });
}

static void a_stale_record_goes_out_in_a_moment_and_unsignalled(void **state)
{
	(void)state;
	PLAY(NEVER, true, { 0, START, NO, NEVER }, { 0, STALE, NO, 5 }, { 4, TICK, NO, 5 },
	    { 5, TICK, SAVE, NEVER }, { 10, FAILED, NO, 1010 }, { 1010, TICK, SAVE, NEVER },
	    /* The next run began during that: it goes out after it. */
	    { 1020, STOP, NO, NEVER }, { 1030, START, NO, NEVER }, { 1030, STALE, NO, NEVER },
	    { 1040, SAVED, SAVE, NEVER }, { 1050, SAVED, NO, NEVER });
}

static void tries_again_after_a_failure(void **state)
{
	(void)state;
	PLAY(60000, false, { 0, START, NO, 60000 }, { 10, CHANGED, NO, 60000 },
	    { 20, ASK, SAVE, 60020 }, { 30, FAILED, NO, 1030 }, { 40, CHANGED, NO, 1030 },
	    { 1029, TICK, NO, 1030 }, { 1030, TICK, SAVE, 61030 }, { 1040, FAILED, NO, 3040 },
	    /* Who asks does not wait for the pause. */
	    { 1100, ASK, SAVE, 61100 }, { 1110, FAILED, NO, 5110 }, { 5110, TICK, SAVE, 65110 },
	    /* And after a success the pauses begin at the shortest again. */
	    { 5120, SAVED, NO, 65110 }, { 5130, CHANGED, NO, 65110 }, { 5140, ASK, SAVE, 65140 },
	    { 5150, FAILED, NO, 6150 });
}

static void pauses_have_a_limit(void **state)
{
	struct pacer p;
	msec now = 0, pause = 0;

	(void)state;
	pacer_init(&p, MSEC_NEVER, false);
	pacer_start(&p, now);
	pacer_ask(&p, now);
	assert_int_equal(pacer_changed(&p, now), PACER_SAVE);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(pacer_saved(&p, false, now), PACER_NOTHING);
		pause = pacer_deadline(&p) - now;
		now += pause;
		assert_int_equal(pacer_tick(&p, now), PACER_SAVE);
	}
	assert_int_equal(pause, 30000);
}

static void signals_the_job_and_saves_its_answer_at_once(void **state)
{
	(void)state;
	PLAY(1000, true, { 0, START, NO, 1000 }, { 1000, TICK, SIGNAL, 2000 },
	    { 1010, CHANGED, SAVE, 2010 }, { 1020, SAVED, NO, 2010 }, { 1500, ASK, SIGNAL, 2010 },
	    { 1510, CHANGED, SAVE, 2510 });
}

/* An older file that waits must not take the place of the answer to the signal. */
static void the_answer_does_not_wait_behind_an_older_file(void **state)
{
	(void)state;
	PLAY(1000, true, { 0, START, NO, 1000 }, { 500, CHANGED, NO, 1000 },
	    { 1000, TICK, SIGNAL | SAVE, 2000 }, { 1010, SAVED, NO, 2000 },
	    { 1020, CHANGED, SAVE, 2020 });
	/* Nor when it comes while the older one is being saved. */
	PLAY(1000, true, { 0, START, NO, 1000 }, { 500, CHANGED, NO, 1000 },
	    { 1000, TICK, SIGNAL | SAVE, 2000 }, { 1010, CHANGED, NO, 2000 },
	    { 1020, SAVED, SAVE, 2020 }, { 1030, SAVED, NO, 2020 }, { 1040, CHANGED, NO, 2020 });
	PLAY(NEVER, true, { 0, START, NO, NEVER }, { 500, CHANGED, NO, NEVER },
	    { 1000, ASK, SIGNAL | SAVE, NEVER }, { 1010, SAVED, NO, NEVER },
	    { 1020, CHANGED, SAVE, NEVER });
}

static void begins_anew_with_every_run(void **state)
{
	(void)state;
	PLAY(1000, false, { 0, START, NO, 1000 }, { 1, ASK, NO, 1000 }, { 2, STOP, NO, NEVER },
	    { 3, CHANGED, NO, NEVER }, { 500, START, NO, 1500 }, { 600, CHANGED, NO, 1500 },
	    { 1500, TICK, SAVE, 2500 });
}

static void a_backup_outlives_the_run_that_began_it(void **state)
{
	(void)state;
	PLAY(1000, false, { 0, START, NO, 1000 }, { 1, CHANGED, NO, 1000 }, { 2, ASK, SAVE, 1002 },
	    { 3, STOP, NO, NEVER }, { 4, START, NO, 1004 }, { 5, CHANGED, NO, 1004 },
	    { 6, ASK, NO, 1004 }, { 7, SAVED, SAVE, 1007 }, { 8, STOP, NO, NEVER },
	    { 9, FAILED, NO, NEVER });
}

/* Random: whatever happens, a change is on its way within the interval */

struct world {
	struct dice dice;
	struct pacer p;
	bool on, saving;
	msec oldest; /* change that no backup has begun to take, MSEC_NEVER: none */
	msec paused_until;
};

static void check(struct world *w, unsigned acts)
{
	if (!(acts & PACER_SAVE))
		return;
	assert_true(w->on);
	assert_false(w->saving);
	assert_true(w->oldest != MSEC_NEVER);
	w->saving = true;
	w->oldest = MSEC_NEVER;
}

static void happen(struct world *w, msec now)
{
	bool ok = dice_chance(&w->dice, 70);

	switch (dice_roll(&w->dice, 8)) {
	case 0:
		w->on = true;
		w->oldest = MSEC_NEVER;
		pacer_start(&w->p, now);
		break;
	case 1:
		w->on = false;
		pacer_stop(&w->p);
		break;
	case 2:
	case 3:
		if (!w->on)
			break;
		w->oldest = msec_min(w->oldest, now);
		check(w, pacer_changed(&w->p, now));
		break;
	case 4: check(w, pacer_ask(&w->p, now)); break;
	default:
		if (!w->saving)
			break;
		w->saving = false;
		if (!ok) {
			w->oldest = msec_min(w->oldest, now);
			w->paused_until = now + 30000;
		}
		check(w, pacer_saved(&w->p, ok, now));
	}
}

static void tick(struct world *w, msec now)
{
	check(w, pacer_tick(&w->p, now));
	assert_true(pacer_deadline(&w->p) > now); /* or the caller would spin */
}

static void play_random(uint64_t seed)
{
	struct world w = { .dice = { seed }, .oldest = MSEC_NEVER };
	msec interval = 1 + dice_roll(&w.dice, 5000);
	msec now = 0;

	pacer_init(&w.p, interval, dice_chance(&w.dice, 50));
	for (int i = 0; i < 300; i++) {
		msec next = now + dice_roll(&w.dice, 3000);

		while (pacer_deadline(&w.p) <= next) {
			now = pacer_deadline(&w.p) > now ? pacer_deadline(&w.p) : now;
			tick(&w, now);
		}
		now = next;
		if (w.on && !w.saving && w.oldest != MSEC_NEVER && now >= w.paused_until &&
		    now - w.oldest > interval)
			fail_msg("a change waits for %lld ms", (long long)(now - w.oldest));
		happen(&w, now);
	}
}

static void no_change_is_forgotten(void **state)
{
	(void)state;
	dice_play(3000, play_random);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(does_nothing_while_no_job_runs),
		cmocka_unit_test(backs_a_change_up_within_the_interval),
		cmocka_unit_test(one_backup_at_a_time),
		cmocka_unit_test(backs_up_at_once_when_asked),
		cmocka_unit_test(a_stale_record_goes_out_in_a_moment_and_unsignalled),
		cmocka_unit_test(tries_again_after_a_failure),
		cmocka_unit_test(pauses_have_a_limit),
		cmocka_unit_test(signals_the_job_and_saves_its_answer_at_once),
		cmocka_unit_test(the_answer_does_not_wait_behind_an_older_file),
		cmocka_unit_test(begins_anew_with_every_run),
		cmocka_unit_test(a_backup_outlives_the_run_that_began_it),
		cmocka_unit_test(no_change_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
