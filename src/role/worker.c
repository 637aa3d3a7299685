#include "role/worker.h"

#include <assert.h>
#include <bsd/unistd.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/sig.h"
#include "conf/units.h"
#include "job/kin.h"
#include "role/worker_impl.h"

#define MOVING_MS 500 /* how often it is told how far a large state has come */

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

/* The note first, where it can be: with the release another master on this machine may go on here,
 * and put the last good state in the place of what is left. */
static void save_mark(struct worker *w)
{
	worker_left_keep_early(w);
	worker_save_begin(w, SAVE_MARK);
}

static void release(struct worker *w)
{
	FAULT("before_release");
	coord_release(w->coord, false);
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

/* The job failed too often here. */
static void give_up(struct worker *w)
{
	char window[UNITS_MAX], pause[UNITS_MAX], why[ERR_TEXT_MAX];

	w->gave_up = true;
	units_show_duration(w->job->failure_window, window);
	units_show_duration(w->job->restart_max, pause);
	snprintf(why, sizeof(why), "gave up, as it failed %d time%s within %s: %s",
	    w->job->max_failures, w->job->max_failures == 1 ? "" : "s", window, w->report.failure);
	log_error("%s; whoever waits for its lock may try, and here it is tried again after %s",
	    why, pause);
	worker_note_failure(w, why);
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
	if (w->life.failed && !w->gave_up)
		give_up(w);
	if (s == LIFE_BACKOFF)
		log_info("the job is started again in %" PRId64 "ms restarts=%u",
		    w->life.retry_at - clock_now(), w->life.restarts);
	show_title(w);
}

/* Whoever reads that a lock was left finds here why. What else it may be was told when it came. */
static void tell_silence(const struct worker *w)
{
	const unsigned questions =
	    LIFE_SAVE | LIFE_COMMIT_RELEASE | LIFE_MARK_RELEASE | LIFE_RELEASE;

	if (w->life.left && (w->life.awaited & questions))
		log_error("the coordinator has not answered in time: %s is left to its end",
		    w->epoch != 0 ? "the lock" : "the place in the queue");
}

/* Before the last report: who has sent that is not waited for any more. */
static void leave(struct worker *w)
{
	tell_silence(w);
	worker_left_keep(w);
	ev_break(w->loop, EVBREAK_ALL);
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
			leave(w);
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

	if (!worker_is_moving(w))
		w->moving_at = MSEC_NEVER;
	else if (w->moving_at == MSEC_NEVER)
		w->moving_at = msec_add(clock_now(), MOVING_MS);
	at = msec_min(at, msec_min(w->stop_look.at, msec_min(w->look_at, w->moving_at)));
	at = msec_min(at, msec_min(w->hear_again_at, msec_min(w->alive_at, w->sweep_at)));
	at = msec_min(at, msec_min(w->checkpoint_look.at, w->reap_again_at));
	alarm_set(&w->alarm, msec_min(at, w->kill_again_at));
}

static void on_alarm(void *ctx)
{
	struct worker *w = ctx;
	msec now = clock_now();

	if (now >= w->hear_again_at)
		worker_job_hear(w);
	if (now >= w->stop_look.at)
		worker_job_stop(w);
	if (now >= w->checkpoint_look.at)
		worker_job_checkpoint_again(w);
	if (now >= w->reap_again_at)
		worker_job_reap(w);
	if (now >= w->kill_again_at)
		worker_job_kill_again(w);
	if (now >= w->look_at)
		worker_watch_look(w);
	if (now >= w->sweep_at)
		worker_garbage_sweep(w);
	if (now >= w->moving_at)
		worker_report_moving(w);
	if (now >= w->alive_at)
		worker_report(w);
	if (now >= pacer_deadline(&w->pacer)) {
		worker_watch_check(w);
		worker_pace(w, pacer_tick(&w->pacer, now));
	}
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

static void save_on_request(struct worker *w)
{
	worker_watch_check(w);
	worker_pace(w, pacer_ask(&w->pacer, clock_now()));
}

static void on_signal(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct worker *w = io->data;
	struct sig_from from;
	bool ended = false;
	int signo;

	(void)loop;
	(void)revents;
	while ((signo = sig_next(io->fd, &from)) != 0) {
		if (signo == SIGCHLD)
			ended = true; /* once, below: meanwhile the next one may come, and so on */
		else if (signo == SIGINT || signo == SIGTERM)
			worker_tell(w, LIFE_EV_STOP, 0);
		else if (signo == SIGQUIT)
			worker_tell(w, LIFE_EV_KILL, 0);
		else if (signo == SIGUSR1)
			save_on_request(w);
		else if (signo == WORKER_HURRY)
			worker_tell(w, LIFE_EV_HURRY, 0);
		else if (signo == WORKER_CLEARED || signo == WORKER_CLEARED_WELL)
			worker_tell(w, LIFE_EV_CLEARED, signo == WORKER_CLEARED_WELL);
		else if (signo == WORKER_CLEARED_STOPPED)
			worker_tell(w, LIFE_EV_CLEARED, worker_never_had_a_state(w));
		else if (signo == WORKER_LOG)
			open_log(&from);
	}
	if (ended)
		worker_job_reap(w);
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
		WORKER_CLEARED, WORKER_CLEARED_WELL, WORKER_CLEARED_STOPPED, SIGHUP, SIGWINCH,
		SIGUSR2, SIGTTIN, 0 };
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
	worker_report_open(w);
	return 0;
}

static struct life_conf life_conf_of(const struct job_conf *j)
{
	return (struct life_conf){
		.stop_timeout = j->stop_timeout,
		.hurry_timeout = j->hurry_timeout,
		.watchdog = j->watchdog,
		.finish_releases = j->on_exit != ON_EXIT_RESTART,
		.finish_done = j->on_exit == ON_EXIT_DONE,
	};
}

msec worker_stop_tail(const struct job_conf *job)
{
	struct life_conf conf = life_conf_of(job);

	return msec_add(life_stop_tail(&conf), COORD_FAREWELL_MAX);
}

static void open_policies(struct worker *w)
{
	const struct job_conf *j = w->job;
	struct life_rescue left = w->setup->left;
	uint64_t seed = 0;

	left.clean |= w->setup->left_stopped && worker_never_had_a_state(w);
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
		seed = (uint64_t)clock_now() ^ ((uint64_t)getpid() << 32);
	w->life_conf = life_conf_of(j);
	backoff_init(
	    &w->backoff, j->restart_min, j->restart_max, j->failure_window, j->max_failures, seed);
	pacer_init(&w->pacer, j->checkpoint, j->checkpoint_signal != 0);
	if (w->setup->rescue)
		life_init_rescue(&w->life, &w->life_conf, &w->backoff, &left);
	else
		life_init(&w->life, &w->life_conf, &w->backoff);
	w->kill_again_at = MSEC_NEVER;
	w->reap_again_at = MSEC_NEVER;
	w->moving_at = MSEC_NEVER;
	w->alive_at = MSEC_NEVER;
	w->sweep_at = MSEC_NEVER;
	w->stop_look.at = MSEC_NEVER;
	w->checkpoint_look.at = MSEC_NEVER;
	w->lost_until = MSEC_NEVER;
	w->hear_again_at = MSEC_NEVER;
	w->shown = w->life.state;
	w->state_since = clock_wall();
}

static int open_all(struct worker *w, struct err *e)
{
	worker_state_place(w);
	open_policies(w);
	if (open_loop(w, e) != 0 || kin_adopt_orphans(e) != 0)
		return -1;
	if (worker_state_open(w, e) != 0)
		return -1;
	worker_watch_open(w);
	worker_job_open(w);
	w->coord =
	    coord_open(w->loop, w->conf, w->job, w->setup->anchor, &worker_coord_hooks, w, e);
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
	coord_farewell(w.coord);
	/* No clean-up: a task may still run, and everything else goes with the process. */
	_exit(0);
}
