/* What the coordinator says of the lock, as events of the life. */
#include <inttypes.h>

#include "base/fault.h"
#include "base/log.h"
#include "role/worker_impl.h"

/* The master tells it: a hundred workers with the same trouble are one line. */
static void on_refused(void *ctx, enum coord_trouble why, const struct err *e)
{
	bool mistake = why == COORD_TLS || why == COORD_USER || why == COORD_DENIED;
	struct worker *w = ctx;

	if (w->setup->rescue)
		log_error("cannot get the lock: %s", e->text);
	else
		log_debug("cannot get the lock: %s", e->text);
	w->wavering = false;
	w->report.trouble_kind = why;
	worker_note_trouble(w, e);
	worker_tell(w, LIFE_EV_REFUSED, mistake);
}

static void on_granted(void *ctx, uint64_t epoch, const struct record *record)
{
	struct worker *w = ctx;

	w->report.trouble_kind = COORD_FINE;
	FAULT("after_grant");
	w->epoch = epoch;
	worker_stamps_granted(w, record);
	worker_state_granted(w, record);
	log_info("took the lock epoch=%" PRIu64 " waited=%" PRId64 "ms", epoch,
	    clock_now() - w->queued_at);
	worker_tell(w, LIFE_EV_GRANTED, record != NULL && record->done);
}

static void on_freed(void *ctx, const struct record *record)
{
	struct worker *w = ctx;
	bool in_order = worker_freed_in_order(w, record);

	/* For the last report: what the job is left with. */
	worker_state_granted(w, record);
	if (in_order)
		log_info("the worker that died had released the lock in order epoch=%" PRIu64,
		    w->setup->rescue_epoch);
	else
		log_error(
		    "the lock is free, but no record tells that the job's last state is in it "
		    "epoch=%" PRIu64,
		    w->setup->rescue_epoch);
	worker_tell(w, LIFE_EV_FREED, in_order);
}

static void on_waiting(void *ctx, const char *holder)
{
	struct worker *w = ctx;

	w->report.trouble_kind = COORD_FINE;
	log_info("waits for the lock, held by %s", holder);
	worker_note_holder(w, holder);
	worker_report(w);
	FAULT("in_standby");
}

/* How long the job has, as the life wants to hear it: a lock that may be ours as yet is in doubt
 * also when the time has run out, as after a suspend. */
static msec left_of(msec until)
{
	msec left = until - clock_now();

	if (until == 0)
		return 0;
	return left > 1 ? left : 1;
}

static void tell_loss(const struct worker *w, msec left, const struct err *e)
{
	if (w->epoch == 0 && !w->setup->rescue)
		log_warn("the place in the queue is %s: %s",
		    left > 0 ? "left to its time-out" : "lost", e->text);
	else
		log_error("the lock is lost, the job must be gone in %" PRId64 "ms: %s",
		    left > 1 ? left : 0, e->text);
}

static void on_lost(void *ctx, msec until, const struct err *e)
{
	struct worker *w = ctx;
	msec left = left_of(until);

	w->lost_until = left > 0 ? clock_now() + left : until;
	tell_loss(w, left, e);
	/* Until it is known what became of it, which may take as long as the coordinator is away.
	 */
	if (left > 0) {
		w->report.trouble_kind = COORD_UNREACHABLE;
		worker_note_trouble(w, e);
	}
	worker_tell(w, LIFE_EV_LOST, left);
	FAULT("after_loss");
}

static void on_kept(void *ctx)
{
	struct worker *w = ctx;

	if (w->wavering && w->life.owner)
		log_info("%s", coord_safe_until(w->coord) == MSEC_NEVER
				   ? "the lock is seen to be ours again"
				   : "the lease is renewed again");
	/* A waiter's trouble was told by the master, and so is its end. */
	if (w->wavering && !w->life.owner)
		w->report.trouble_kind = COORD_FINE;
	w->wavering = false;
	worker_report(w);
}

static void tell_wavering(const struct worker *w, const struct err *e)
{
	msec until = coord_safe_until(w->coord);

	if (until == MSEC_NEVER)
		log_warn("it cannot be seen whether the lock is still ours, looking on; the job "
			 "runs on: %s",
		    e->text);
	else
		log_warn("the lease could not be renewed, trying on; the job may run for %" PRId64
			 "ms without: %s",
		    until - clock_now(), e->text);
}

static void on_wavering(void *ctx, enum coord_trouble why, const struct err *e)
{
	struct worker *w = ctx;

	w->wavering = true;
	if (w->life.owner) {
		tell_wavering(w, e);
		return;
	}
	log_debug("no place in the queue can be had or kept, trying on: %s", e->text);
	w->report.trouble_kind = why;
	worker_note_trouble(w, e);
	worker_report(w);
}

static void on_announced(void *ctx)
{
	worker_restore_announced(ctx);
}

/* Of a lock that was in doubt: somebody has said what became of it. Otherwise what was the matter
 * still is, also when the worker has gone: one that had no lock may have had nothing to ask. */
static void note_answer(struct worker *w, enum coord_result result)
{
	if (result != COORD_FAILED && result != COORD_UNSURE && w->epoch != 0)
		w->report.trouble_kind = COORD_FINE;
}

void worker_released(struct worker *w)
{
	worker_stamp(w, STAMP_RELEASED);
	coord_step_aside(w->coord);
}

static void on_committed(void *ctx, enum coord_result result, const struct err *e)
{
	note_answer(ctx, result);
	worker_save_committed(ctx, result, e);
}

static void on_released(void *ctx, enum coord_result result, const struct err *e)
{
	struct worker *w = ctx;

	note_answer(w, result);
	if (w->saving != SAVE_NONE) {
		worker_save_released(w, result, e);
		return;
	}
	if (result == COORD_OK)
		worker_released(w);
	if (result == COORD_FAILED)
		log_error("cannot %s: %s",
		    w->epoch != 0 ? "release the lock" : "give the place in the queue back",
		    e->text);
	else if (w->epoch != 0)
		log_info("released the lock epoch=%" PRIu64, w->epoch);
	FAULT("after_release_before_ack");
	worker_tell(w, result == COORD_FAILED ? LIFE_EV_RELEASE_FAILED : LIFE_EV_RELEASED, 0);
}

const struct coord_hooks worker_coord_hooks = {
	.granted = on_granted,
	.freed = on_freed,
	.announced = on_announced,
	.waiting = on_waiting,
	.failed = on_refused,
	.kept = on_kept,
	.wavering = on_wavering,
	.lost = on_lost,
	.committed = on_committed,
	.released = on_released,
};
