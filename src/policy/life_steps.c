#include "policy/life_impl.h"

#define RETRY_MIN 200

void life_disarm(struct life *l)
{
	l->term_at = MSEC_NEVER;
	l->kill_at = MSEC_NEVER;
	l->watchdog_at = MSEC_NEVER;
	l->retry_at = MSEC_NEVER;
	l->abandon_at = MSEC_NEVER;
	l->leave_at = MSEC_NEVER;
}

void life_retry_later(struct life *l, msec most, msec now)
{
	l->retry_delay = l->retry_delay == 0 ? RETRY_MIN : l->retry_delay * 2;
	if (l->retry_delay > most)
		l->retry_delay = most;
	l->retry_at = msec_add(now, l->retry_delay);
}

unsigned life_leave(struct life *l)
{
	l->state = LIFE_GONE;
	l->owner = false;
	life_disarm(l);
	return LIFE_EXIT;
}

static msec later(msec a, msec b)
{
	return a > b ? a : b;
}

/* The end of the wait for what the coordinator is asked in this step. */
static msec answer_by(const struct life *l, msec now)
{
	bool brief = l->killed && l->step != LIFE_STEP_RELEASE;
	msec until = l->stopping ? l->give_up_at : msec_add(now, l->conf->stop_timeout);

	until = msec_min(until, msec_add(now, LIFE_ANSWER_MAX));
	return later(until, msec_add(now, brief ? LIFE_TRY_MIN : LIFE_ANSWER_MIN));
}

static void begin_last_step(struct life *l, enum life_step step, msec now)
{
	life_disarm(l);
	l->state = LIFE_RELEASING;
	l->step = step;
	l->leave_at = answer_by(l, now);
}

/*
 * One that is refused is tried again, and one without an answer is waited for, but not for ever:
 * the coordinator may refuse whatever we ask, and keep the lease alive all the same; or it hangs,
 * as its disk does. Left alone, the lock ends.
 */
unsigned life_release_alone(struct life *l, msec now)
{
	begin_last_step(l, LIFE_STEP_RELEASE, now);
	return LIFE_RELEASE;
}

unsigned life_try_commit(struct life *l, msec now)
{
	l->abandoned = false;
	l->abandon_at = later(l->give_up_at, msec_add(now, LIFE_TRY_MIN));
	return LIFE_COMMIT_RELEASE;
}

/* What the job left is committed and the lock released, with retries until the time for stopping is
 * used up. */
unsigned life_commit_and_release(struct life *l, msec now)
{
	msec at_least = msec_add(now, l->conf->hurry_timeout);

	if (l->give_up_at == MSEC_NEVER && !l->stopping)
		l->give_up_at = msec_add(now, l->conf->stop_timeout);
	if (l->give_up_at < at_least && !l->killed)
		l->give_up_at = at_least;
	l->state = LIFE_RELEASING;
	l->step = LIFE_STEP_COMMIT;
	l->retry_delay = 0;
	life_disarm(l);
	return life_try_commit(l, now);
}

/* The state cannot be saved: the last good one is called what it is. */
unsigned life_mark_and_release(struct life *l, msec now)
{
	begin_last_step(l, LIFE_STEP_MARK, now);
	return LIFE_MARK_RELEASE;
}

/* The job is at rest, so this is out of its way - unless the store hangs. */
static unsigned save_and_restart(struct life *l, msec now)
{
	l->state = LIFE_SAVING;
	l->abandoned = false;
	l->abandon_at = msec_add(now, later(l->conf->stop_timeout, LIFE_TRY_MIN));
	return LIFE_SAVE;
}

/* No process of the job lives: out, with what the last one left, if that is not committed yet. */
unsigned life_hand_over(struct life *l, msec now)
{
	return l->ran ? life_commit_and_release(l, now) : life_release_alone(l, now);
}

/* The job, or the attempt to start it, ended: when to try again, or whether to let another machine.
 */
unsigned life_after_failure(struct life *l, msec now)
{
	msec delay = backoff_failed(l->backoff, now);

	l->failures++;
	if (delay == BACKOFF_GIVE_UP) {
		l->failed = true;
		return life_hand_over(l, now);
	}
	l->restarts++;
	l->retry_at = msec_add(now, delay);
	if (!l->ran) {
		l->state = LIFE_BACKOFF;
		return 0;
	}
	return save_and_restart(l, now);
}

unsigned life_after_end(struct life *l, msec now)
{
	if (!l->clean)
		return life_after_failure(l, now);
	if (l->conf->finish_releases)
		return life_commit_and_release(l, now);
	l->restarts++;
	l->retry_at = msec_add(now, backoff_ended(l->backoff, now));
	return save_and_restart(l, now);
}

/* What is under way must not outlive the time that a stop has. */
static void limit_wait(struct life *l, msec now)
{
	if (l->leave_at != MSEC_NEVER)
		l->leave_at = msec_min(l->leave_at, answer_by(l, now));
	else if (l->awaited & (LIFE_SAVE | LIFE_COMMIT_RELEASE))
		l->abandon_at =
		    msec_min(l->abandon_at, later(l->give_up_at, msec_add(now, LIFE_TRY_MIN)));
}

void life_note_stop(struct life *l, msec now)
{
	if (!l->stopping)
		l->give_up_at = msec_add(now, l->conf->stop_timeout);
	l->stopping = true;
	limit_wait(l, now);
}

/* A hurried or killed stop gives the last commit less time, too. */
void life_note_hurry(struct life *l, msec now)
{
	life_note_stop(l, now);
	l->hurried = true;
	l->give_up_at = msec_min(l->give_up_at, msec_add(now, l->conf->hurry_timeout));
	limit_wait(l, now);
}

void life_note_kill(struct life *l, msec now)
{
	life_note_stop(l, now);
	l->killed = true;
	l->give_up_at = now;
	limit_wait(l, now);
}

/* What was not committed before is not committed any more: not the end of the job either. */
void life_note_lost(struct life *l, msec left)
{
	l->doubtful = left > 0 && (l->doubtful || !l->lost);
	l->lost = true;
	l->owner = false;
	l->done = false;
}

/* The lock is lost, and no process of the job lives. By the clock alone: it may be there still, and
 * is left to its time-out. For certain: nothing is left, though a release seemed to fail before,
 * which may be the one that took it away. */
unsigned life_leave_lost(struct life *l)
{
	l->left = l->doubtful;
	if (l->ran)
		l->dump = LIFE_DUMP_UNCLEAN;
	return life_leave(l);
}

/*
 * A store that never answers must not keep the job from its restart, nor the lock from the next
 * owner. If the coordinator hangs, too, there is nothing to wait for: the lock goes with this
 * process, or with its lease.
 */
unsigned life_abandon(struct life *l, msec now)
{
	l->abandoned = true;
	if (l->stopping || l->state == LIFE_RELEASING) {
		l->abandon_at = MSEC_NEVER;
		l->leave_at = answer_by(l, now);
	} else { /* again, should this one be answered and the next begin behind it */
		l->abandon_at = msec_add(now, later(l->conf->stop_timeout, LIFE_TRY_MIN));
	}
	return LIFE_ABANDON;
}

unsigned life_leave_behind(struct life *l)
{
	l->left = true;
	l->done = false;
	/* Of a release alone it is known how the dump went. */
	if (l->step != LIFE_STEP_RELEASE)
		l->dump = LIFE_DUMP_UNCLEAN;
	return life_leave(l);
}

unsigned life_any_lost_now(struct life *l, msec left, msec now)
{
	(void)now;
	life_note_lost(l, left);
	return life_leave_lost(l);
}

/*
 * The coordinator could not be asked for too long, so the job had to end. But the lock may be ours
 * until somebody says that it is not, and what the job left is worth asking: a commit with the
 * release, which is refused if it comes too late. Until there is an answer, or a stop has no more
 * time: a new worker could do nothing else meanwhile.
 */
unsigned life_doubt(struct life *l, msec now)
{
	life_disarm(l);
	l->state = LIFE_DOUBTING;
	l->step = LIFE_STEP_COMMIT;
	l->kill_at = l->give_up_at;
	l->abandoned = false;
	l->abandon_at = msec_add(now, later(l->conf->stop_timeout, LIFE_TRY_MIN));
	return l->awaited & LIFE_COMMIT_RELEASE ? 0 : LIFE_COMMIT_RELEASE;
}

/* No process of the job lives. */
unsigned life_end_lost(struct life *l, msec now)
{
	return l->doubtful && l->ran && !l->killed ? life_doubt(l, now) : life_leave_lost(l);
}

/* The lock is kept while the master sees what is left of the job to its end. */
unsigned life_rescue_waits(struct life *l, msec now)
{
	if (l->cleared)
		return l->lost ? life_end_lost(l, now) : life_hand_over(l, now);
	l->state = LIFE_DUMPING;
	return 0;
}

void life_note_cleared(struct life *l, bool clean)
{
	l->cleared = true;
	l->clean = l->clean || clean;
}
