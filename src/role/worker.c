#include "role/worker.h"

#include <assert.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/sig.h"
#include "job/kin.h"
#include "role/worker_impl.h"
#include "state/stream.h"

/* Of a state on its way that is large enough for somebody to wait for. */
#define MOVING_MIN (1u << 20)
#define MOVING_MS 500
/* For this process to kill a job that has no lock any more, before the master does. */
#define KILL_GRACE_MS 100

/* Reports */

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
static bool is_moving(const struct worker *w)
{
	return w->saving != SAVE_NONE || w->life.state == LIFE_RESTORING;
}

static void fill_moving(const struct worker *w, struct report *r)
{
	struct stream_progress p = { 0, 0 };

	if (is_moving(w))
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

/* A sign of life is due well before the master misses it. The last report has none after it. */
static void promise_report(struct worker *w)
{
	bool last = w->life.state == LIFE_GONE;
	msec now = clock_now();

	w->alive_at = last ? MSEC_NEVER : msec_add(now, w->conf->ttl / 3);
	w->report.mute_by =
	    last ? MSEC_NEVER : msec_min(lock_mute_by(w), msec_add(now, w->conf->ttl));
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
	r->stop_by = l->stopping && l->give_up_at != MSEC_NEVER ? l->give_up_at : 0;
	r->epoch = owner ? w->epoch : 0;
	r->seq = w->have_record ? w->record.seq : 0;
	r->size = w->have_record ? w->record.size : 0;
	r->clean = w->have_record && w->record.clean;
	r->restarts = l->restarts;
	r->failures = l->failures;
	r->since = w->state_since;
	fill_moving(w, r);
	worker_stamps_report(w);
	if (l->state == LIFE_GONE)
		r->trouble_kind = COORD_FINE;
	fill_end(l, &r->end);
}

/* True when it is in the pipe, or nobody is left to read it. */
static bool send_report(struct worker *w)
{
	char line[REPORT_MAX];
	struct err e;
	int len;

	fill_report(w);
	len = report_encode(&w->report, line, &e);
	if (len < 0)
		return false;
	return write(w->setup->report, line, (size_t)len) == len || errno != EAGAIN;
}

void worker_report(struct worker *w)
{
	w->report_due = !send_report(w);
	if (w->report_due)
		ev_io_start(w->loop, &w->reports);
	else
		ev_io_stop(w->loop, &w->reports);
}

void worker_report_now(struct worker *w)
{
	struct pollfd p = { .fd = w->setup->report, .events = POLLOUT };

	while (!send_report(w))
		poll(&p, 1, 1000);
	w->report_due = false;
	ev_io_stop(w->loop, &w->reports);
}

static void on_report_room(struct ev_loop *loop, struct ev_io *io, int revents)
{
	(void)loop;
	(void)revents;
	worker_report(io->data);
}

static void show_title(const struct worker *w)
{
	const char *role = w->setup->rescue ? "rescue"
			   : w->life.owner  ? "owner"
					    : life_state_shown(w->life.state);

	setproctitle("worker %s (%s)", w->job->name, role);
}

/* Carrying out what the life of the job demands */

static void acquire(struct worker *w)
{
	w->queued_at = clock_now();
	if (!w->setup->rescue) {
		coord_acquire(w->coord);
		return;
	}
	FAULT("before_adopt");
	if (FAULT("skip_rescue")) {
		worker_tell(w, LIFE_EV_REFUSED, 0);
		return;
	}
	coord_adopt(w->coord, w->setup->rescue_lease, w->setup->rescue_epoch);
}

static void signal_term(struct worker *w)
{
	if (w->job_pid != 0)
		log_warn("the job has to hurry: sent SIGTERM pid=%d", (int)w->job_pid);
	worker_job_wake(w, SIGTERM);
}

static void signal_abort(struct worker *w)
{
	log_error("the job gave no sign of life for its watchdog time: sent SIGABRT pid=%d",
	    (int)w->job_pid);
	worker_job_signal(w, SIGABRT);
}

static void save_keep(struct worker *w)
{
	worker_save_begin(w, SAVE_KEEP);
}

static void save_release(struct worker *w)
{
	worker_save_begin(w, SAVE_RELEASE);
}

static void save_mark(struct worker *w)
{
	worker_save_begin(w, SAVE_MARK);
}

static void release(struct worker *w)
{
	FAULT("before_release");
	coord_release(w->coord);
}

/* In the order of enum life_action. */
static void (*const deeds[])(struct worker *w) = {
	acquire,
	worker_restore_begin,
	worker_job_spawn,
	worker_job_stop,
	signal_term,
	signal_abort,
	worker_job_clear,
	worker_job_kill,
	save_keep,
	save_release,
	save_mark,
	release,
	worker_save_abandon,
};

static void carry_out(struct worker *w, unsigned actions)
{
	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
		if (actions & (1u << i))
			deeds[i](w);
	}
}

static void note_state(struct worker *w)
{
	enum life_state s = w->life.state;

	/* Also when a stop came so early that the state was never shown as running. */
	if (s != LIFE_RUNNING)
		pacer_stop(&w->pacer);
	if (w->life.stopping && w->gave.stamps.at[STAMP_TOLD] == 0)
		worker_stamp(w, STAMP_TOLD);
	if (s == w->shown)
		return;
	log_debug("state %s -> %s", life_state_name(w->shown), life_state_name(s));
	if (strcmp(life_state_shown(s), life_state_shown(w->shown)) != 0)
		w->state_since = clock_wall();
	w->shown = s;
	if (s == LIFE_BACKOFF)
		log_info("the job is started again in %" PRId64 "ms restarts=%u",
		    w->life.retry_at - clock_now(), w->life.restarts);
	show_title(w);
}

void worker_tell(struct worker *w, enum life_event ev, msec arg)
{
	assert(w->queued < HAPPENINGS_MAX);
	w->queue[w->queued++] = (struct happening){ ev, arg };
	if (w->carrying_out)
		return;
	w->carrying_out = true;
	for (size_t i = 0; i < w->queued; i++) {
		unsigned actions =
		    life_event(&w->life, w->queue[i].ev, w->queue[i].arg, clock_now());

		note_state(w);
		/* Before anything starts: if this process dies from here on, the master must know
		 * what it held. */
		if (actions & LIFE_SPAWN)
			worker_report_now(w);
		carry_out(w, actions);
		if (actions & LIFE_EXIT)
			ev_break(w->loop, EVBREAK_ALL);
	}
	w->queued = 0;
	w->carrying_out = false;
	worker_report(w);
	worker_rearm(w);
}

void worker_pace(struct worker *w, unsigned actions)
{
	if (actions & PACER_SIGNAL)
		worker_job_checkpoint(w);
	if (actions & PACER_SAVE)
		worker_save_begin(w, SAVE_PACED);
	worker_rearm(w);
}

/* Time */

void worker_rearm(struct worker *w)
{
	msec at = msec_min(life_deadline(&w->life), pacer_deadline(&w->pacer));

	if (!is_moving(w))
		w->moving_at = MSEC_NEVER;
	else if (w->moving_at == MSEC_NEVER)
		w->moving_at = msec_add(clock_now(), MOVING_MS);
	at = msec_min(at, msec_min(w->stop_again_at, msec_min(w->look_at, w->moving_at)));
	at = msec_min(at, msec_min(w->hear_again_at, w->alive_at));
	alarm_set(&w->alarm, msec_min(at, w->kill_again_at));
}

static void report_moving(struct worker *w)
{
	w->moving_at = MSEC_NEVER;
	if (stream_progress().total >= MOVING_MIN)
		worker_report(w);
}

static void on_alarm(void *ctx)
{
	struct worker *w = ctx;
	msec now = clock_now();

	if (now >= w->hear_again_at)
		worker_job_hear(w);
	if (now >= w->stop_again_at)
		worker_job_stop(w);
	if (now >= w->kill_again_at)
		worker_job_kill(w);
	if (now >= w->look_at)
		worker_watch_look(w);
	if (now >= w->moving_at)
		report_moving(w);
	if (now >= w->alive_at)
		worker_report(w);
	if (now >= pacer_deadline(&w->pacer))
		worker_pace(w, pacer_tick(&w->pacer, now));
	if (now >= life_deadline(&w->life))
		worker_tell(w, LIFE_EV_TICK, 0);
	worker_rearm(w);
}

/* Signals and the lifeline */

static void open_log(const struct sig_from *from)
{
	if (from->queued && from->pid == getppid())
		log_open_setting(from->value);
	else
		log_reopen();
}

static void on_signal(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct worker *w = io->data;
	struct sig_from from;
	int signo;

	(void)loop;
	(void)revents;
	while ((signo = sig_next(io->fd, &from)) != 0) {
		if (signo == SIGCHLD)
			worker_job_reap(w);
		else if (signo == SIGINT || signo == SIGTERM)
			worker_tell(w, LIFE_EV_STOP, 0);
		else if (signo == SIGQUIT)
			worker_tell(w, LIFE_EV_KILL, 0);
		else if (signo == SIGUSR1)
			worker_pace(w, pacer_ask(&w->pacer, clock_now()));
		else if (signo == WORKER_HURRY)
			worker_tell(w, LIFE_EV_HURRY, 0);
		else if (signo == WORKER_CLEARED || signo == WORKER_CLEARED_WELL)
			worker_tell(w, LIFE_EV_CLEARED, signo == WORKER_CLEARED_WELL);
		else if (signo == WORKER_LOG)
			open_log(&from);
	}
}

static void on_lifeline(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct worker *w = io->data;

	(void)revents;
	ev_io_stop(loop, io);
	log_warn("the master is gone: handing the job over");
	worker_tell(w, LIFE_EV_STOP, 0);
	if (w->setup->rescue && !w->life.cleared)
		worker_alone_watch(w);
}

/* The coordinator's answers */

/* They are of any language, and may be etcd's. They have to fit into a report. */
static void keep_words(char text[REPORT_TROUBLE_MAX + 1], const char *words)
{
	snprintf(text, REPORT_TROUBLE_MAX + 1, "%.*s", REPORT_TROUBLE_MAX, words);
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

/* The master tells it: a hundred workers with the same trouble are one line. */
static void on_refused(void *ctx, enum coord_trouble why, const struct err *e)
{
	bool mistake = why == COORD_TLS || why == COORD_USER || why == COORD_DENIED;
	struct worker *w = ctx;

	if (w->setup->rescue)
		log_error("cannot get the lock: %s", e->text);
	else
		log_debug("cannot get the lock: %s", e->text);
	w->report.trouble_kind = why;
	keep_words(w->report.trouble, e->text);
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
	worker_report(w);
	FAULT("in_standby");
}

static void on_lost(void *ctx, msec until, const struct err *e)
{
	struct worker *w = ctx;
	msec left = until - clock_now();

	w->lost_until = until;
	log_error("the lock is lost, the job must be gone in %" PRId64 "ms: %s",
	    left > 0 ? left : 0, e->text);
	/* Until it is known what became of it, which may take as long as the coordinator is away.
	 */
	if (left > 0) {
		w->report.trouble_kind = COORD_UNREACHABLE;
		keep_words(w->report.trouble, e->text);
	}
	worker_tell(w, LIFE_EV_LOST, left);
	FAULT("after_loss");
	worker_restore_announced(w);
}

static void on_kept(void *ctx)
{
	struct worker *w = ctx;

	if (w->wavering && w->life.owner)
		log_info("the lease is renewed again");
	/* A waiter's trouble was told by the master, and so is its end. */
	if (w->wavering && !w->life.owner)
		w->report.trouble_kind = COORD_FINE;
	w->wavering = false;
	worker_report(w);
}

static void on_wavering(void *ctx, const struct err *e)
{
	struct worker *w = ctx;

	w->wavering = true;
	if (w->life.owner) {
		log_warn("the lease could not be renewed, trying on; the job may run for %" PRId64
			 "ms without: %s",
		    coord_safe_until(w->coord) - clock_now(), e->text);
		return;
	}
	log_debug("the lease could not be renewed, trying on to keep the place in the queue: %s",
	    e->text);
	w->report.trouble_kind = COORD_UNREACHABLE;
	keep_words(w->report.trouble, e->text);
	worker_report(w);
}

static void on_announced(void *ctx)
{
	worker_restore_announced(ctx);
}

static void on_committed(void *ctx, enum coord_result result, const struct err *e)
{
	worker_save_committed(ctx, result, e);
}

static void on_released(void *ctx, enum coord_result result, const struct err *e)
{
	struct worker *w = ctx;

	if (w->saving != SAVE_NONE) {
		worker_save_released(w, result, e);
		return;
	}
	if (result == COORD_FAILED)
		log_error("cannot release the lock: %s", e->text);
	else if (w->epoch != 0)
		log_info("released the lock epoch=%" PRIu64, w->epoch);
	if (result == COORD_OK)
		worker_stamp(w, STAMP_RELEASED);
	FAULT("after_release_before_ack");
	worker_tell(w, result == COORD_FAILED ? LIFE_EV_RELEASE_FAILED : LIFE_EV_RELEASED, 0);
}

static const struct coord_hooks hooks = {
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

/* The process */

static void watch_io(struct worker *w, struct ev_io *io,
    void (*call)(struct ev_loop *, struct ev_io *, int), int fd, int events)
{
	ev_io_init(io, call, fd, events);
	io->data = w;
}

static int open_loop(struct worker *w, struct err *e)
{
	/* HUP, WINCH, USR2 and TTIN mean nothing to a worker; left alone they would end or stop it.
	 */
	const int wanted[] = { SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGCHLD, WORKER_HURRY, WORKER_LOG,
		WORKER_CLEARED, WORKER_CLEARED_WELL, SIGHUP, SIGWINCH, SIGUSR2, SIGTTIN, 0 };
	int fd;

	/* Made after the fork: an inherited loop or signal descriptor does not wake for our
	 * children. */
	w->loop = ev_loop_new(EVFLAG_AUTO);
	if (w->loop == NULL)
		return err_set(e, "cannot make an event loop");
	log_turns(w->loop);
	fd = sig_open(wanted, e);
	if (fd < 0 || alarm_open(&w->alarm, w->loop, on_alarm, w, e) != 0)
		return -1;
	watch_io(w, &w->signals, on_signal, fd, EV_READ);
	ev_io_start(w->loop, &w->signals);
	watch_io(w, &w->lifeline, on_lifeline, w->setup->lifeline, EV_READ);
	ev_io_start(w->loop, &w->lifeline);
	watch_io(w, &w->reports, on_report_room, w->setup->report, EV_WRITE);
	return 0;
}

static void open_policies(struct worker *w)
{
	const struct job_conf *j = w->job;
	uint64_t seed = 0;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
		seed = (uint64_t)clock_now() ^ ((uint64_t)getpid() << 32);
	w->life_conf = (struct life_conf){
		.stop_timeout = j->stop_timeout,
		.hurry_timeout = j->hurry_timeout,
		.watchdog = j->watchdog,
		.finish_releases = j->on_exit != ON_EXIT_RESTART,
		.finish_done = j->on_exit == ON_EXIT_DONE,
	};
	backoff_init(
	    &w->backoff, j->restart_min, j->restart_max, j->failure_window, j->max_failures, seed);
	pacer_init(&w->pacer, j->checkpoint, j->checkpoint_signal != 0);
	if (w->setup->rescue)
		life_init_rescue(&w->life, &w->life_conf, &w->backoff, &w->setup->left);
	else
		life_init(&w->life, &w->life_conf, &w->backoff);
	w->kill_again_at = MSEC_NEVER;
	w->moving_at = MSEC_NEVER;
	w->alive_at = MSEC_NEVER;
	w->stop_again_at = MSEC_NEVER;
	w->lost_until = MSEC_NEVER;
	w->hear_again_at = MSEC_NEVER;
	w->shown = w->life.state;
	w->state_since = clock_wall();
}

static int open_all(struct worker *w, struct err *e)
{
	open_policies(w);
	if (open_loop(w, e) != 0 || kin_adopt_orphans(e) != 0)
		return -1;
	if (worker_state_open(w, e) != 0)
		return -1;
	worker_watch_open(w);
	worker_job_open(w);
	w->coord = coord_open(w->loop, w->conf, w->job, w->setup->anchor, &hooks, w, e);
	if (w->coord == NULL)
		return -1;
	if (w->setup->stale_lease != 0 && !w->setup->rescue)
		coord_bury(w->coord, w->setup->stale_lease);
	return 0;
}

/* Leaves behind what belongs to the master alone: its descriptors, its group, its limit. */
static void detach(const struct worker_setup *s)
{
	int keep[] = { log_fd(), s->anchor, s->lifeline, s->report, s->output[0], s->output[1] };

	setpgid(0, 0);
	fs_close_others(keep, sizeof(keep) / sizeof(keep[0]));
	setrlimit(RLIMIT_NOFILE, &s->nofile);
	signal(SIGTTOU,
	    SIG_IGN); /* logging to a terminal from outside its foreground group must not stop us */
	/* A core of it would hold the password or the key. */
	if (s->conf->user != NULL || s->conf->key_file != NULL)
		prctl(PR_SET_DUMPABLE, 0);
	log_who(s->rescue ? "rescue" : "worker", s->job->name);
	fault_who(s->rescue ? "rescue" : "worker", s->job->name);
}

void worker_run(const struct worker_setup *setup)
{
	static struct worker w; /* the process has just one; large, and zeroed */
	struct err e;

	w.setup = setup;
	w.conf = setup->conf;
	w.job = setup->job;
	detach(setup);
	if (open_all(&w, &e) != 0) {
		log_error("%s", e.text);
		_exit(1);
	}
	show_title(&w);
	worker_tell(&w, LIFE_EV_BEGIN, 0);
	if (w.life.state != LIFE_GONE)
		ev_run(w.loop, 0);
	/* The acknowledgement: after the release, and the last thing that this process says. */
	worker_report_now(&w);
	FAULT("after_ack");
	worker_garbage_tidy(&w);
	worker_left_keep(&w);
	coord_farewell(w.coord);
	/* No clean-up: a task may still run, and everything else goes with the process. */
	_exit(0);
}
