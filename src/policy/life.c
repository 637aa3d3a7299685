#include "policy/life.h"

#include <string.h>

#define RETRY_MIN 200
#define RETRY_MAX 5000
#define RETRY_MISTAKE_MIN 2000 /* an attempt may cost the server a lot: a password does */
#define RETRY_MISTAKE_MAX 30000
#define SAVES (LIFE_SAVE | LIFE_COMMIT_RELEASE | LIFE_MARK_RELEASE)

#define TRY_MIN 1000 /* what a save gets at least, before it counts as one that hangs */

static void disarm(struct life *l)
{
	l->term_at = MSEC_NEVER;
	l->kill_at = MSEC_NEVER;
	l->watchdog_at = MSEC_NEVER;
	l->retry_at = MSEC_NEVER;
	l->abandon_at = MSEC_NEVER;
	l->leave_at = MSEC_NEVER;
}

void life_init(struct life *l, const struct life_conf *conf, struct backoff *b)
{
	memset(l, 0, sizeof(*l));
	l->conf = conf;
	l->backoff = b;
	l->state = LIFE_STARTING;
	l->give_up_at = MSEC_NEVER;
	disarm(l);
}

void life_init_rescue(struct life *l, const struct life_conf *conf, struct backoff *b,
    const struct life_rescue *rescue)
{
	life_init(l, conf, b);
	l->rescue = true;
	l->ran = rescue->placed;
	l->clean = rescue->clean;
	l->cleared = rescue->cleared;
	l->exited = true; /* or it will have, when it is cleared */
}

bool life_is_placed(const struct life *l)
{
	return l->placed || l->ran;
}

bool life_is_settled(const struct life *l)
{
	return !l->ran && !(l->awaited & LIFE_SPAWN);
}

/* Steps that several transitions share */

static void retry_later(struct life *l, msec most, msec now)
{
	l->retry_delay = l->retry_delay == 0 ? RETRY_MIN : l->retry_delay * 2;
	if (l->retry_delay > most)
		l->retry_delay = most;
	l->retry_at = msec_add(now, l->retry_delay);
}

static unsigned leave(struct life *l)
{
	l->state = LIFE_GONE;
	l->owner = false;
	disarm(l);
	return LIFE_EXIT;
}

static unsigned release_alone(struct life *l)
{
	l->state = LIFE_RELEASING;
	l->step = LIFE_STEP_RELEASE;
	disarm(l);
	return LIFE_RELEASE;
}

static msec later(msec a, msec b)
{
	return a > b ? a : b;
}

static unsigned try_commit(struct life *l, msec now)
{
	l->abandoned = false;
	l->abandon_at = later(l->give_up_at, msec_add(now, TRY_MIN));
	return LIFE_COMMIT_RELEASE;
}

/* What the job left is committed and the lock released, with retries until the time for stopping is
 * used up. */
static unsigned commit_and_release(struct life *l, msec now)
{
	msec at_least = msec_add(now, l->conf->hurry_timeout);

	if (l->give_up_at == MSEC_NEVER && !l->stopping)
		l->give_up_at = msec_add(now, l->conf->stop_timeout);
	if (l->give_up_at < at_least && !l->killed)
		l->give_up_at = at_least;
	l->state = LIFE_RELEASING;
	l->step = LIFE_STEP_COMMIT;
	l->retry_delay = 0;
	disarm(l);
	return try_commit(l, now);
}

/* Until when the coordinator is waited for, behind the time of a stop. */
static msec end_of_last_wait(const struct life *l, msec now)
{
	msec wait = l->killed ? TRY_MIN : later(l->conf->hurry_timeout, TRY_MIN);

	return msec_min(l->leave_at, later(l->give_up_at, msec_add(now, wait)));
}

/* The state cannot be saved: the last good one is called what it is. */
static unsigned mark_and_release(struct life *l, msec now)
{
	msec leave_at = end_of_last_wait(l, now);

	disarm(l);
	l->state = LIFE_RELEASING;
	l->step = LIFE_STEP_MARK;
	l->leave_at = leave_at;
	return LIFE_MARK_RELEASE;
}

/* The job is at rest, so this is out of its way - unless the store hangs. */
static unsigned save_and_restart(struct life *l, msec now)
{
	l->state = LIFE_SAVING;
	l->abandoned = false;
	l->abandon_at = msec_add(now, later(l->conf->stop_timeout, TRY_MIN));
	return LIFE_SAVE;
}

/* No process of the job lives: out, with what the last one left, if that is not committed yet. */
static unsigned hand_over(struct life *l, msec now)
{
	return l->ran ? commit_and_release(l, now) : release_alone(l);
}

/* The job, or the attempt to start it, ended: when to try again, or whether to let another machine.
 */
static unsigned after_failure(struct life *l, msec now)
{
	msec delay = backoff_failed(l->backoff, now);

	l->failures++;
	if (delay == BACKOFF_GIVE_UP) {
		l->failed = true;
		return hand_over(l, now);
	}
	l->restarts++;
	l->retry_at = msec_add(now, delay);
	if (!l->ran) {
		l->state = LIFE_BACKOFF;
		return 0;
	}
	return save_and_restart(l, now);
}

static unsigned after_end(struct life *l, msec now)
{
	if (!l->clean)
		return after_failure(l, now);
	if (l->conf->finish_releases)
		return commit_and_release(l, now);
	l->restarts++;
	l->retry_at = msec_add(now, backoff_ended(l->backoff, now));
	return save_and_restart(l, now);
}

/* A save under way must not outlive the time that a stop has. */
static void limit_save(struct life *l, msec now)
{
	if (l->awaited & (LIFE_SAVE | LIFE_COMMIT_RELEASE) && l->leave_at == MSEC_NEVER)
		l->abandon_at =
		    msec_min(l->abandon_at, later(l->give_up_at, msec_add(now, TRY_MIN)));
	else if (l->awaited & SAVES)
		l->leave_at = end_of_last_wait(l, now);
}

static void note_stop(struct life *l, msec now)
{
	if (!l->stopping)
		l->give_up_at = msec_add(now, l->conf->stop_timeout);
	l->stopping = true;
	limit_save(l, now);
}

/* A hurried or killed stop gives the last commit less time, too. */
static void note_hurry(struct life *l, msec now)
{
	note_stop(l, now);
	l->hurried = true;
	l->give_up_at = msec_min(l->give_up_at, msec_add(now, l->conf->hurry_timeout));
	limit_save(l, now);
}

static void note_kill(struct life *l, msec now)
{
	note_stop(l, now);
	l->killed = true;
	l->give_up_at = now;
	limit_save(l, now);
}

/* What was not committed before is not committed any more: not the end of the job either. */
static void note_lost(struct life *l, msec left)
{
	l->doubtful = left > 0 && (l->doubtful || !l->lost);
	l->lost = true;
	l->owner = false;
	l->done = false;
}

/* The lock is lost, and no process of the job lives. */
static unsigned leave_lost(struct life *l)
{
	if (l->ran)
		l->dump = LIFE_DUMP_UNCLEAN;
	return leave(l);
}

/*
 * A store that never answers must not keep the job from its restart, nor the lock from the next
 * owner. If the coordinator hangs, too, there is nothing to wait for: the lock goes with this
 * process, or with its lease.
 */
static unsigned abandon(struct life *l, msec now)
{
	l->abandoned = true;
	l->abandon_at = MSEC_NEVER;
	if (l->stopping || l->state == LIFE_RELEASING)
		l->leave_at = end_of_last_wait(l, now);
	return LIFE_ABANDON;
}

static unsigned leave_behind(struct life *l)
{
	l->left = true;
	l->done = false;
	l->dump = LIFE_DUMP_UNCLEAN;
	return leave(l);
}

static unsigned any_lost_now(struct life *l, msec left, msec now)
{
	(void)now;
	note_lost(l, left);
	return leave_lost(l);
}

/*
 * The coordinator could not be asked for too long, so the job had to end. But the lock may be ours
 * until somebody says that it is not, and what the job left is worth asking: a commit with the
 * release, which is refused if it comes too late. Until there is an answer, or a stop has no more
 * time: a new worker could do nothing else meanwhile.
 */
static unsigned doubt(struct life *l, msec now)
{
	disarm(l);
	l->state = LIFE_DOUBTING;
	l->step = LIFE_STEP_COMMIT;
	l->kill_at = l->give_up_at;
	l->abandoned = false;
	l->abandon_at = msec_add(now, later(l->conf->stop_timeout, TRY_MIN));
	return l->awaited & LIFE_COMMIT_RELEASE ? 0 : LIFE_COMMIT_RELEASE;
}

/* No process of the job lives. */
static unsigned end_lost(struct life *l, msec now)
{
	return l->doubtful && l->ran && !l->killed ? doubt(l, now) : leave_lost(l);
}

/* STARTING */

static unsigned starting_begin(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	if (l->stopping && !l->rescue)
		return leave(l);
	l->state = LIFE_STANDBY;
	return LIFE_ACQUIRE;
}

/* STANDBY */

/* The lock is kept while the master sees what is left of the job to its end. */
static unsigned rescue_waits(struct life *l, msec now)
{
	if (l->cleared)
		return l->lost ? end_lost(l, now) : hand_over(l, now);
	l->state = LIFE_DUMPING;
	return 0;
}

static void note_cleared(struct life *l, bool clean)
{
	l->cleared = true;
	l->clean = l->clean || clean;
}

static unsigned standby_cleared(struct life *l, msec clean, msec now)
{
	(void)now;
	note_cleared(l, clean != 0);
	return 0;
}

static unsigned standby_granted(struct life *l, msec is_done, msec now)
{
	l->owner = true;
	disarm(l);
	if (l->rescue)
		return rescue_waits(l, now);
	if (is_done) {
		l->done = true;
		return release_alone(l);
	}
	l->state = LIFE_RESTORING;
	return LIFE_RESTORE;
}

/* Of a rescue, whose job may live on: what that dumps is noted down when it is whole. */
static unsigned standby_lost(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_lost(l, 0); /* whatever it says: nothing was granted, so nothing can be committed */
	return l->rescue ? rescue_waits(l, now) : leave_lost(l);
}

static unsigned standby_refused(struct life *l, msec is_mistake, msec now)
{
	if (l->rescue) {
		l->left = true;
		l->dump = LIFE_DUMP_UNCLEAN;
		return leave(l);
	}
	if (is_mistake && l->retry_delay < RETRY_MISTAKE_MIN / 2)
		l->retry_delay = RETRY_MISTAKE_MIN / 2;
	retry_later(l, is_mistake ? RETRY_MISTAKE_MAX : RETRY_MAX, now);
	/* All jobs meet it at once, and should not come back at once. */
	if (is_mistake)
		l->retry_at = msec_add(now, backoff_jitter(l->backoff, l->retry_delay));
	return 0;
}

/* The dead worker released it and had no time to say so, or its lease has ended. */
static unsigned standby_freed(struct life *l, msec nothing_lost, msec now)
{
	if (!l->rescue)
		return 0;
	if (!nothing_lost)
		return any_lost_now(l, 0, now);
	l->dump = l->ran ? LIFE_DUMP_CLEAN : LIFE_DUMP_NONE;
	return leave(l);
}

/* How a stop ends the wait, however urgent it is. */
static unsigned standby_leave(struct life *l)
{
	/* A rescue holds the lock already and goes on: it is what a stop would ask for. */
	if (l->rescue)
		return 0;
	/* Between two attempts nothing is queued for; a release would fail as they do. */
	return l->retry_at != MSEC_NEVER ? leave(l) : release_alone(l);
}

static unsigned standby_stop(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_stop(l, now);
	return standby_leave(l);
}

static unsigned standby_hurry(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_hurry(l, now);
	return standby_leave(l);
}

static unsigned standby_kill(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_kill(l, now);
	return standby_leave(l);
}

static unsigned standby_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now < l->retry_at)
		return 0;
	l->retry_at = MSEC_NEVER;
	return LIFE_ACQUIRE;
}

/* RESTORING: no job yet */

/*
 * A store that hangs must not keep a stop from its end: nothing is held that the answer could
 * change. What the restore still writes is in a directory of this worker alone. Not so when a job
 * ran: what that left is committed, and the two would meet in the file; nor while a job is being
 * started, as there may be one any moment.
 */
static unsigned restoring_leave(struct life *l)
{
	if (!(l->awaited & LIFE_RESTORE) || l->ran)
		return 0;
	return l->lost ? leave_lost(l) : release_alone(l);
}

static unsigned restoring_stop(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_stop(l, now);
	return restoring_leave(l);
}

static unsigned restoring_hurry(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_hurry(l, now);
	return restoring_leave(l);
}

static unsigned restoring_kill(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_kill(l, now);
	return restoring_leave(l);
}

static unsigned restoring_restored(struct life *l, msec arg, msec now)
{
	(void)arg;
	l->placed = true;
	if (l->lost)
		return leave_lost(l);
	return l->stopping ? hand_over(l, now) : LIFE_SPAWN;
}

static unsigned restoring_failed(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (l->lost)
		return leave_lost(l);
	return l->stopping ? hand_over(l, now) : after_failure(l, now);
}

static unsigned any_stop_later(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_stop(l, now);
	return 0;
}

static unsigned any_hurry_later(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_hurry(l, now);
	return 0;
}

static unsigned any_kill_later(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_kill(l, now);
	return 0;
}

/* There may be a job any moment. */
static unsigned restoring_lost(struct life *l, msec left, msec now)
{
	(void)now;
	note_lost(l, left);
	return 0;
}

/* RUNNING */

static unsigned running_exited(struct life *l, msec with_zero, msec now)
{
	bool aborted = l->kill_at != MSEC_NEVER; /* then no exit status is by its own will */

	disarm(l);
	l->state = LIFE_CLEARING;
	l->exited = true;
	l->clean = with_zero != 0 && !aborted;
	l->done = l->clean && l->conf->finish_done;
	l->kill_at = msec_add(now, l->conf->hurry_timeout);
	return LIFE_CLEAR;
}

static unsigned running_stop(struct life *l, msec arg, msec now)
{
	msec aborted = l->kill_at; /* if its watchdog barked, a stop gives it no more time */

	(void)arg;
	disarm(l);
	note_stop(l, now);
	l->state = LIFE_DUMPING;
	l->kill_at = msec_min(aborted, msec_add(now, l->conf->stop_timeout));
	if (l->kill_at != MSEC_NEVER)
		l->term_at = l->kill_at - l->conf->hurry_timeout;
	return LIFE_SIGNAL_STOP;
}

static unsigned running_hurry(struct life *l, msec arg, msec now)
{
	unsigned act = running_stop(l, arg, now);

	note_hurry(l, now);
	l->term_at = MSEC_NEVER;
	l->kill_at = msec_min(l->kill_at, msec_add(now, l->conf->hurry_timeout));
	return act | LIFE_SIGNAL_TERM;
}

static unsigned running_kill(struct life *l, msec arg, msec now)
{
	(void)arg;
	disarm(l);
	note_kill(l, now);
	l->state = LIFE_DUMPING;
	return LIFE_KILL;
}

static unsigned running_lost(struct life *l, msec left, msec now)
{
	disarm(l);
	note_lost(l, left);
	l->state = LIFE_DUMPING;
	if (left <= 0)
		return LIFE_KILL;
	l->kill_at = msec_add(now, left);
	return LIFE_SIGNAL_STOP;
}

static unsigned running_alive(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (l->conf->watchdog > 0 && l->kill_at == MSEC_NEVER)
		l->watchdog_at = msec_add(now, l->conf->watchdog);
	return 0;
}

static unsigned running_tick(struct life *l, msec arg, msec now)
{
	unsigned act = 0;

	(void)arg;
	if (now >= l->watchdog_at) {
		l->watchdog_at = MSEC_NEVER;
		l->kill_at = msec_add(now, l->conf->hurry_timeout);
		act |= LIFE_SIGNAL_ABORT;
	}
	if (now >= l->kill_at) {
		l->kill_at = MSEC_NEVER;
		act |= LIFE_KILL;
	}
	return act;
}

/* A job that was being started when the stop or the loss came: its answer was waited for, so that
 * no process runs unknown. */
static unsigned restoring_spawned(struct life *l, msec arg, msec now)
{
	l->state = LIFE_RUNNING;
	l->ran = true;
	l->clean = false;
	l->exited = false;
	if (l->lost)
		return running_lost(l, 0, now);
	if (l->killed)
		return running_kill(l, arg, now);
	if (l->hurried)
		return running_hurry(l, arg, now);
	return l->stopping ? running_stop(l, arg, now) : 0;
}

/* CLEARING: the job's main process is gone, others of it may live */

static unsigned clearing_cleared(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (!l->exited)
		return 0; /* of a run before this one */
	disarm(l);
	if (l->lost)
		return end_lost(l, now);
	return l->stopping ? commit_and_release(l, now) : after_end(l, now);
}

static unsigned clearing_kill(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_kill(l, now);
	disarm(l);
	return LIFE_KILL;
}

static unsigned clearing_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now >= l->kill_at) {
		disarm(l);
		return LIFE_KILL;
	}
	if (now >= l->term_at) {
		l->term_at = MSEC_NEVER;
		return LIFE_SIGNAL_TERM;
	}
	return 0;
}

static unsigned clearing_lost(struct life *l, msec left, msec now)
{
	note_lost(l, left);
	l->kill_at = msec_min(l->kill_at, msec_add(now, left > 0 ? left : 0));
	return clearing_tick(l, 0, now);
}

/* SAVING */

static unsigned saving_saved(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	l->ran = false;
	if (l->stopping) {
		l->dump = l->clean ? LIFE_DUMP_CLEAN : LIFE_DUMP_UNCLEAN;
		return release_alone(l);
	}
	l->abandon_at = MSEC_NEVER;
	l->state = LIFE_BACKOFF;
	return 0;
}

/* What could not be saved stays in the job's file: the job starts from it, and it is saved with the
 * next backup. */
static unsigned saving_failed(struct life *l, msec for_good, msec now)
{
	if (for_good) {
		/* What it left is no state: the restart begins with the last committed one. */
		l->placed = false;
		l->clean = false;
	}
	if (l->stopping && l->abandoned)
		return mark_and_release(l, now);
	if (l->stopping)
		return commit_and_release(l, now);
	l->abandon_at = MSEC_NEVER;
	l->state = LIFE_BACKOFF;
	return 0;
}

static unsigned saving_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now >= l->leave_at)
		return leave_behind(l);
	return now >= l->abandon_at ? abandon(l, now) : 0;
}

/* BACKOFF */

static unsigned backoff_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now < l->retry_at)
		return 0;
	disarm(l);
	l->state = LIFE_RESTORING;
	return l->placed ? LIFE_SPAWN : LIFE_RESTORE;
}

static unsigned backoff_stop(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_stop(l, now);
	return hand_over(l, now);
}

static unsigned backoff_hurry(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_hurry(l, now);
	return hand_over(l, now);
}

static unsigned backoff_kill(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_kill(l, now);
	return hand_over(l, now);
}

/* DUMPING */

static unsigned dumping_cleared(struct life *l, msec clean, msec now)
{
	if (!l->rescue)
		return clearing_cleared(l, 0, now);
	note_cleared(l, clean != 0);
	disarm(l);
	return rescue_waits(l, now);
}

static unsigned dumping_exited(struct life *l, msec with_zero, msec now)
{
	if (l->exited)
		return 0; /* the first one told how it ended */
	l->exited = true;
	l->clean = with_zero != 0 && !l->killed;
	l->term_at = MSEC_NEVER;
	if (l->killed)
		return LIFE_KILL;
	l->kill_at = msec_min(l->kill_at, msec_add(now, l->conf->hurry_timeout));
	return LIFE_CLEAR;
}

static unsigned dumping_hurry(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (l->hurried || l->killed)
		return 0; /* a repeated one must not push the deadline out */
	note_hurry(l, now);
	if (l->rescue)
		return 0; /* the job is the master's */
	l->term_at = MSEC_NEVER;
	l->kill_at = msec_min(l->kill_at, msec_add(now, l->conf->hurry_timeout));
	return l->exited ? 0 : LIFE_SIGNAL_TERM;
}

static unsigned dumping_extend(struct life *l, msec more, msec now)
{
	msec until = msec_add(now, more);

	if (l->exited || l->hurried || l->killed || l->lost || until <= l->kill_at)
		return 0;
	l->kill_at = until;
	l->give_up_at = until;
	/* Not in the past: then the job was told to hurry already, and asked for more because of
	 * it. */
	if (until != MSEC_NEVER && until - l->conf->hurry_timeout > now)
		l->term_at = until - l->conf->hurry_timeout;
	return 0;
}

/* RELEASING */

static unsigned releasing_saved(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	l->dump = l->clean && l->step == LIFE_STEP_COMMIT ? LIFE_DUMP_CLEAN : LIFE_DUMP_UNCLEAN;
	return leave(l);
}

/* The state is tried again until the time is used up; marking the old one is tried once. */
static unsigned releasing_save_failed(struct life *l, msec for_good, msec now)
{
	l->dump = LIFE_DUMP_UNCLEAN;
	l->abandon_at = MSEC_NEVER;
	if (l->step == LIFE_STEP_COMMIT && !for_good && !l->abandoned && now < l->give_up_at) {
		retry_later(l, RETRY_MAX, now);
		l->retry_at = msec_min(l->retry_at, l->give_up_at);
		return 0;
	}
	if (l->step == LIFE_STEP_COMMIT)
		return mark_and_release(l, now);
	l->step = LIFE_STEP_RELEASE;
	l->done = false; /* no record says so: somebody will run it again */
	return LIFE_RELEASE;
}

static unsigned releasing_released(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	l->left = false;
	return leave(l);
}

/* Tried until it works or the lock is known to be lost; a killed stop does not wait for that. */
static unsigned releasing_release_failed(struct life *l, msec arg, msec now)
{
	(void)arg;
	l->left = true;
	if (l->killed)
		return leave(l);
	retry_later(l, RETRY_MAX, now);
	return 0;
}

static unsigned releasing_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now >= l->leave_at)
		return leave_behind(l);
	if (now >= l->abandon_at)
		return abandon(l, now);
	if (now < l->retry_at)
		return 0;
	l->retry_at = MSEC_NEVER;
	if (l->step == LIFE_STEP_RELEASE)
		return LIFE_RELEASE;
	return now < l->give_up_at ? try_commit(l, now) : mark_and_release(l, now);
}

static unsigned releasing_lost(struct life *l, msec left, msec now)
{
	if (left <= 0 || l->step != LIFE_STEP_COMMIT || l->killed)
		return any_lost_now(l, left, now);
	note_lost(l, left);
	return doubt(l, now);
}

/* A shorter deadline may have come: the wait for the next try must not outlive it. */
static unsigned releasing_hurry(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_hurry(l, now);
	if (l->retry_at != MSEC_NEVER)
		l->retry_at = msec_min(l->retry_at, l->give_up_at);
	return 0;
}

static unsigned releasing_kill(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_kill(l, now);
	if (l->retry_at != MSEC_NEVER)
		l->retry_at = now;
	return 0;
}

/* DOUBTING */

static unsigned doubting_saved(struct life *l, msec arg, msec now)
{
	(void)arg;
	(void)now;
	l->dump = l->clean ? LIFE_DUMP_CLEAN : LIFE_DUMP_UNCLEAN;
	return leave(l);
}

static unsigned doubting_failed(struct life *l, msec for_good, msec now)
{
	l->abandon_at = MSEC_NEVER;
	if (for_good || l->abandoned)
		return leave_lost(l);
	retry_later(l, RETRY_MAX, now);
	return 0;
}

static unsigned doubting_lost(struct life *l, msec left, msec now)
{
	return left > 0 ? 0 : any_lost_now(l, left, now);
}

static unsigned doubting_stop(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_stop(l, now);
	l->kill_at = l->give_up_at;
	return 0;
}

static unsigned doubting_hurry(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_hurry(l, now);
	l->kill_at = l->give_up_at;
	return 0;
}

static unsigned doubting_kill(struct life *l, msec arg, msec now)
{
	(void)arg;
	note_kill(l, now);
	return leave_lost(l);
}

static unsigned doubting_tick(struct life *l, msec arg, msec now)
{
	(void)arg;
	if (now >= l->kill_at || now >= l->leave_at)
		return leave_lost(l);
	if (now >= l->abandon_at)
		return abandon(l, now);
	return now < l->retry_at ? 0 : doubt(l, now);
}

typedef unsigned transition(struct life *l, msec arg, msec now);

/* What is not in the table is ignored: it came too late to matter. */
static transition *const transitions[][LIFE_EV_TICK + 1] = {
	[LIFE_STARTING] = {
		[LIFE_EV_BEGIN] = starting_begin,
		[LIFE_EV_STOP] = any_stop_later,
		[LIFE_EV_HURRY] = any_hurry_later,
		[LIFE_EV_KILL] = any_kill_later,
	},
	[LIFE_STANDBY] = {
		[LIFE_EV_GRANTED] = standby_granted,
		[LIFE_EV_REFUSED] = standby_refused,
		[LIFE_EV_FREED] = standby_freed,
		[LIFE_EV_STOP] = standby_stop,
		[LIFE_EV_HURRY] = standby_hurry,
		[LIFE_EV_KILL] = standby_kill,
		[LIFE_EV_LOST] = standby_lost,
		[LIFE_EV_CLEARED] = standby_cleared,
		[LIFE_EV_TICK] = standby_tick,
	},
	[LIFE_RESTORING] = {
		[LIFE_EV_RESTORED] = restoring_restored,
		[LIFE_EV_RESTORE_FAILED] = restoring_failed,
		[LIFE_EV_SPAWNED] = restoring_spawned,
		[LIFE_EV_SPAWN_FAILED] = restoring_failed,
		[LIFE_EV_STOP] = restoring_stop,
		[LIFE_EV_HURRY] = restoring_hurry,
		[LIFE_EV_KILL] = restoring_kill,
		[LIFE_EV_LOST] = restoring_lost,
	},
	[LIFE_RUNNING] = {
		[LIFE_EV_EXITED] = running_exited,
		[LIFE_EV_STOP] = running_stop,
		[LIFE_EV_HURRY] = running_hurry,
		[LIFE_EV_KILL] = running_kill,
		[LIFE_EV_LOST] = running_lost,
		[LIFE_EV_ALIVE] = running_alive,
		[LIFE_EV_TICK] = running_tick,
	},
	[LIFE_CLEARING] = {
		[LIFE_EV_CLEARED] = clearing_cleared,
		[LIFE_EV_STOP] = any_stop_later,
		[LIFE_EV_HURRY] = any_hurry_later,
		[LIFE_EV_KILL] = clearing_kill,
		[LIFE_EV_LOST] = clearing_lost,
		[LIFE_EV_TICK] = clearing_tick,
	},
	[LIFE_SAVING] = {
		[LIFE_EV_SAVED] = saving_saved,
		[LIFE_EV_SAVE_FAILED] = saving_failed,
		[LIFE_EV_STOP] = any_stop_later,
		[LIFE_EV_HURRY] = any_hurry_later,
		[LIFE_EV_KILL] = any_kill_later,
		[LIFE_EV_LOST] = any_lost_now,
		[LIFE_EV_TICK] = saving_tick,
	},
	[LIFE_BACKOFF] = {
		[LIFE_EV_STOP] = backoff_stop,
		[LIFE_EV_HURRY] = backoff_hurry,
		[LIFE_EV_KILL] = backoff_kill,
		[LIFE_EV_LOST] = any_lost_now,
		[LIFE_EV_TICK] = backoff_tick,
	},
	[LIFE_DUMPING] = {
		[LIFE_EV_EXITED] = dumping_exited,
		[LIFE_EV_CLEARED] = dumping_cleared,
		[LIFE_EV_STOP] = any_stop_later,
		[LIFE_EV_HURRY] = dumping_hurry,
		[LIFE_EV_KILL] = clearing_kill,
		[LIFE_EV_LOST] = clearing_lost,
		[LIFE_EV_EXTEND] = dumping_extend,
		[LIFE_EV_TICK] = clearing_tick,
	},
	[LIFE_RELEASING] = {
		[LIFE_EV_SAVED] = releasing_saved,
		[LIFE_EV_SAVE_FAILED] = releasing_save_failed,
		[LIFE_EV_RELEASED] = releasing_released,
		[LIFE_EV_RELEASE_FAILED] = releasing_release_failed,
		[LIFE_EV_STOP] = any_stop_later,
		[LIFE_EV_HURRY] = releasing_hurry,
		[LIFE_EV_KILL] = releasing_kill,
		[LIFE_EV_LOST] = releasing_lost,
		[LIFE_EV_TICK] = releasing_tick,
	},
	[LIFE_DOUBTING] = {
		[LIFE_EV_SAVED] = doubting_saved,
		[LIFE_EV_SAVE_FAILED] = doubting_failed,
		[LIFE_EV_STOP] = doubting_stop,
		[LIFE_EV_HURRY] = doubting_hurry,
		[LIFE_EV_KILL] = doubting_kill,
		[LIFE_EV_LOST] = doubting_lost,
		[LIFE_EV_TICK] = doubting_tick,
	},
	[LIFE_GONE] = { NULL },
};

/* Which actions an event may be the answer to. */
static const unsigned answers[LIFE_EV_TICK + 1] = {
	[LIFE_EV_GRANTED] = LIFE_ACQUIRE,
	[LIFE_EV_REFUSED] = LIFE_ACQUIRE,
	[LIFE_EV_FREED] = LIFE_ACQUIRE,
	[LIFE_EV_RESTORED] = LIFE_RESTORE,
	[LIFE_EV_RESTORE_FAILED] = LIFE_RESTORE,
	[LIFE_EV_SPAWNED] = LIFE_SPAWN,
	[LIFE_EV_SPAWN_FAILED] = LIFE_SPAWN,
	[LIFE_EV_SAVED] = SAVES,
	[LIFE_EV_SAVE_FAILED] = SAVES,
	[LIFE_EV_RELEASED] = LIFE_RELEASE,
	[LIFE_EV_RELEASE_FAILED] = LIFE_RELEASE,
};

#define ANSWERED (LIFE_ACQUIRE | LIFE_RESTORE | LIFE_SPAWN | SAVES | LIFE_RELEASE)

unsigned life_event(struct life *l, enum life_event ev, msec arg, msec now)
{
	transition *t = transitions[l->state][ev];
	unsigned actions;

	/* An answer that nobody waits for must not pass for one to another question. */
	if (t == NULL || (answers[ev] != 0 && !(answers[ev] & l->awaited)))
		return 0;
	l->awaited &= ~answers[ev];
	actions = t(l, arg, now);
	l->awaited |= actions & ANSWERED;
	return actions;
}

msec life_deadline(const struct life *l)
{
	msec end = msec_min(l->abandon_at, l->leave_at);

	/* A restart that falls due during the save waits for its end. */
	if (l->state == LIFE_SAVING)
		return end;
	end = msec_min(end, msec_min(l->term_at, l->kill_at));
	return msec_min(end, msec_min(l->watchdog_at, l->retry_at));
}

const char *life_state_shown(enum life_state s)
{
	static const char *const shown[] = {
#define X(name, text) [LIFE_##name] = (text),
		LIFE_STATES(X)
#undef X
	};

	return shown[s];
}

const char *life_state_name(enum life_state s)
{
	static const char *const names[] = {
#define X(name, text) [LIFE_##name] = #name,
		LIFE_STATES(X)
#undef X
	};

	return names[s];
}

const char *life_event_name(enum life_event ev)
{
	static const char *const names[] = {
#define X(name) [LIFE_EV_##name] = #name,
		LIFE_EVENTS(X)
#undef X
	};

	return names[ev];
}
