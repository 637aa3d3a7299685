/* The truth about the job, told to the master: at once when it changes, and now and then as a sign
 * of life. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fault.h"
#include "role/worker_impl.h"
#include "state/stream.h"

/* Of a state on its way that is large enough for somebody to wait for. */
#define MOVING_MIN (1u << 20)
/* For this process to kill a job that has no lock any more, before the master does. */
#define KILL_GRACE_MS 100
/* Between two tries of a report that has to go out now. */
#define NO_MEMORY_MS 100

void worker_note_trouble(struct worker *w, const struct err *e)
{
	report_keep(w->report.trouble, sizeof(w->report.trouble), e->text);
}

void worker_note_failure(struct worker *w, const char *why)
{
	report_keep(w->report.failure, sizeof(w->report.failure), why);
}

void worker_note_holder(struct worker *w, const char *holder)
{
	report_keep(w->report.holder, sizeof(w->report.holder), holder);
}

static void fill_end(const struct life *l, struct seat_end *end)
{
	bool gone = l->state == LIFE_GONE;

	end->released = gone && !l->left;
	end->left = gone && l->left;
	end->unclean = gone && l->dump == LIFE_DUMP_UNCLEAN;
	end->failed = gone && l->failed;
	end->asked = gone && l->stopping;
	end->done = gone && l->done;
}

/* Whether a state is, or may be, on its way. */
bool worker_is_moving(const struct worker *w)
{
	return w->saving != SAVE_NONE || w->life.state == LIFE_RESTORING;
}

static void fill_moving(const struct worker *w, struct report *r)
{
	struct stream_progress p = { 0, 0 };

	if (worker_is_moving(w))
		p = stream_progress();
	r->moved = p.total >= MOVING_MIN ? p.done : 0;
	r->to_move = p.total >= MOVING_MIN ? p.total : 0;
}

/* When the master has to hear of us because of the lock. Of a lost one, that the job is being
 * killed. */
static msec lock_mute_by(const struct worker *w)
{
	if (w->life.lost)
		return w->kin && !w->killing ? msec_add(w->lost_until, KILL_GRACE_MS) : MSEC_NEVER;
	return w->coord != NULL ? coord_mute_by(w->coord) : MSEC_NEVER;
}

/*
 * A sign of life is due well before the master misses it. The last report has none after it. One
 * that waits is missed earlier: before the lease of its place ends, if it has one, which others may
 * wait for.
 */
static void promise_report(struct worker *w)
{
	bool last = w->life.state == LIFE_GONE;
	msec ttl = w->conf->ttl;
	msec now = clock_now();
	msec silence = w->report.owner ? ttl : ttl * 2 / 3;

	w->alive_at = last ? MSEC_NEVER : msec_add(now, ttl / 3);
	w->report.mute_by = last ? MSEC_NEVER : msec_min(lock_mute_by(w), msec_add(now, silence));
}

static void fill_report(struct worker *w)
{
	struct report *r = &w->report;
	const struct life *l = &w->life;
	msec until = w->coord != NULL ? coord_safe_until(w->coord) : MSEC_NEVER;
	/* A lost lock, too, as long as the job is not gone, or what it dumped may be committed:
	 * should this process die, the master has to see to that. */
	bool owner = l->owner || w->kin || l->state == LIFE_DOUBTING;

	snprintf(r->state, sizeof(r->state), "%s", life_state_shown(l->state));
	if (l->state != LIFE_STANDBY)
		r->holder[0] = '\0';
	r->owner = owner;
	/* Of the run that is being started nothing is known. */
	r->ended_well = owner && l->clean && (l->exited || l->rescue) && !(l->awaited & LIFE_SPAWN);
	r->placed = life_is_placed(l);
	r->settled = life_is_settled(l);
	r->job_pid = w->job_pid;
	/* Of a worker that has ended well, the last report: it gives the lease back itself. */
	r->lease = w->coord != NULL && (l->state != LIFE_GONE || l->lost || l->left)
		       ? coord_lease(w->coord)
		       : 0;
	r->lease_ms = l->owner && until != MSEC_NEVER ? until - clock_now() : -1;
	r->dead_by = msec_min(until, w->lost_until);
	promise_report(w);
	r->stop_by = l->stopping ? l->give_up_at : 0;
	r->epoch = owner ? w->epoch : 0;
	r->seq = w->have_record ? w->record.seq : 0;
	r->size = w->have_record ? w->record.size : 0;
	r->clean = w->have_record && w->record.clean;
	r->restarts = l->restarts;
	r->failures = l->failures;
	r->since = w->state_since;
	/* As long as its state is being saved nobody knows when. */
	r->retry = l->state == LIFE_BACKOFF ? clock_wall_at(l->retry_at) : 0;
	fill_moving(w, r);
	worker_stamps_report(w);
	fill_end(l, &r->end);
}

enum sending {
	SENT, /* it is in the pipe, or nobody is left to read it */
	NO_ROOM,
	NO_MEMORY, /* of which no descriptor tells when there is some */
};

static enum sending send_report(struct worker *w)
{
	char line[REPORT_MAX];
	struct err e;
	int len;

	fill_report(w);
	len = FAULT("no_report") ? -1 : report_encode(&w->report, line, &e);
	if (len < 0)
		return NO_MEMORY;
	if (write(w->setup->report, line, (size_t)len) < 0 && errno == EAGAIN)
		return NO_ROOM;
	return SENT;
}

/* Without memory the next one, which is due by alive_at, says the same. */
void worker_report(struct worker *w)
{
	if (send_report(w) == NO_ROOM)
		ev_io_start(w->loop, &w->reports);
	else
		ev_io_stop(w->loop, &w->reports);
}

void worker_report_now(struct worker *w)
{
	struct pollfd p = { .fd = w->setup->report, .events = POLLOUT };
	enum sending got;

	while ((got = send_report(w)) != SENT)
		poll(&p, got == NO_ROOM ? 1 : 0, got == NO_ROOM ? 1000 : NO_MEMORY_MS);
	ev_io_stop(w->loop, &w->reports);
}

void worker_report_moving(struct worker *w)
{
	w->moving_at = MSEC_NEVER;
	if (stream_progress().total >= MOVING_MIN)
		worker_report(w);
}

static void on_report_room(struct ev_loop *loop, struct ev_io *io, int revents)
{
	(void)loop;
	(void)revents;
	worker_report(io->data);
}

void worker_report_open(struct worker *w)
{
	ev_io_init(&w->reports, on_report_room, w->setup->report, EV_WRITE);
	w->reports.data = w;
}
