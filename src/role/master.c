#include "role/master.h"

#include <bsd/unistd.h>
#include <ev.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exits.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/sig.h"
#include "job/kin.h"
#include "net/http.h"
#include "role/master_impl.h"
#include "role/worker.h"

#define REPORTS_MAX 500     /* more than fit into a pipe */
#define REPORT_GRACE_MS 500 /* for a report that found no room in its pipe */

/* Doing what the fleet demands */

static void take_report(struct master *m, struct post *p)
{
	board_reported(&m->board, p);
	complaints_note(&m->complaints, p, false, clock_now());
	fleet_reported(
	    &p->seat, p->report.owner, p->report.lease != 0, &p->report.end, clock_now());
	fleet_covered(&p->seat, p->report.dead_by, p->report.mute_by);
	fleet_granted(&p->seat, p->report.stop_by);
}

bool master_read_reports(struct master *m, struct post *p)
{
	enum post_read got = POST_NOTHING;
	bool any = false;
	struct err e;

	/* No more than what may have been in the pipe, as one worker that goes on and on must not
	 * keep this process from the others: the rest is read in the next round. */
	for (int i = 0; i < REPORTS_MAX && (got = post_read(p, m->loop, &e)) == POST_NEWS; i++) {
		if (e.text[0] != '\0')
			log_error("%s: %s", p->job->name, e.text);
		else
			take_report(m, p);
		board_touch(&m->board);
		any = true;
	}
	if (got == POST_NEWS)
		ev_feed_event(m->loop, &p->reports, EV_READ); /* some may be in our buffer */
	if (got == POST_EOF) {
		fleet_eof(&m->roster.fleet, &p->seat, clock_now());
		master_tell_pause(m, p);
	}
	return any;
}

/*
 * If not this process was the one that hung: then reports wait in the pipe, and when it was full
 * the worker could not yet write that it renewed its lease.
 */
static void kill_hung(struct master *m, struct post *p)
{
	const char *why = seat_end_is_told(&p->seat.end)   ? " after its last report"
			  : p->seat.quit_by <= clock_now() ? ", and was told to quit"
			  : p->seat.dead_by == MSEC_NEVER  ? ", it gives no sign of life"
							   : " and its lock is about to end";

	if (!p->seat.eof && master_read_reports(m, p)) {
		fleet_spared(&p->seat, msec_add(clock_now(), REPORT_GRACE_MS));
		return;
	}
	log_error("%s: the worker hangs%s: killing it pid=%d", p->job->name, why, (int)p->seat.pid);
	if (!FAULT("hangs_in_kernel"))
		kill(p->seat.pid, SIGKILL);
}

static void on_report(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct post *p = io->data;

	(void)loop;
	(void)revents;
	master_read_reports(p->master, p);
	master_settle(p->master);
}

/* No worker speaks for the job: status has to tell why. */
static void note_no_worker(struct post *p, const struct err *e)
{
	struct report *r = &p->report;
	char why[sizeof(r->failure)];
	bool due = fleet_fork_failed(&p->seat, clock_now());

	report_keep(why, sizeof(why), e->text);
	if (due || strcmp(r->failure, why) != 0)
		log_error("%s: %s; trying again soon", p->job->name, e->text);
	strcpy(r->failure, why);
	if (p->seat.state == SEAT_DUE && p->seat.fork_failures == 1)
		r->since = clock_wall();
}

static void fork_worker(struct master *m, struct post *p, bool rescue)
{
	struct err e;
	pid_t pid;

	FAULT(rescue ? "before_rescue" : "before_fork");
	pid = post_fork(p, &m->shared, rescue, on_report, &e);

	board_touch(&m->board);
	if (pid < 0) {
		note_no_worker(p, &e);
		return;
	}
	if (rescue)
		log_info("%s: a rescue worker commits and releases what the dead one held pid=%d",
		    p->job->name, (int)pid);
	else
		log_debug("%s: worker started pid=%d", p->job->name, (int)pid);
	if (!rescue) /* should this one die, the next has to know, too */
		p->orphan_clean = p->orphan_stopped = false;
	fleet_forked(&p->seat, pid, clock_now());
	FAULT(rescue ? "after_rescue" : "after_fork");
}

static void tell(const struct post *p, int signo)
{
	log_debug("%s: %s to worker %d", p->job->name, sig_name(signo), (int)p->seat.pid);
	/* Not reaped yet: the fleet tells living workers only. One that somebody stopped is woken,
	 * as it would hear of nothing and keep its lock for ever. */
	FAULT("before_tell");
	kill(p->seat.pid, signo);
	kill(p->seat.pid, SIGCONT);
	FAULT("after_tell");
}

static void forsake(struct master *m, struct post *p)
{
	log_error("%s: stopping without its worker, which hangs in the kernel pid=%d", p->job->name,
	    (int)p->seat.pid);
	board_touch(&m->board);
}

static void renew(struct master *m, struct post *p)
{
	FAULT("before_renew");
	roster_renew(&m->roster, p, clock_now());
}

static void forget(struct master *m, struct post *p)
{
	FAULT("before_forget");
	log_info("%s: the job was removed, nothing of it is held here any more", p->job->name);
	roster_free(&m->roster, p);
	board_touch(&m->board);
}

static void tell_cleared(const struct post *p)
{
	if (post_ended_well(p))
		tell(p, WORKER_CLEARED_WELL);
	else
		tell(p, p->orphan_stopped ? WORKER_CLEARED_STOPPED : WORKER_CLEARED);
}

static void act(struct master *m, const struct fleet_action *a)
{
	struct post *p = post_of(a->seat);

	switch (a->verb) {
	case FLEET_NOTHING: break;
	case FLEET_FORK: fork_worker(m, p, false); break;
	case FLEET_FORK_RESCUE: fork_worker(m, p, true); break;
	case FLEET_TELL_STOP: tell(p, SIGINT); break;
	case FLEET_TELL_HURRY: tell(p, WORKER_HURRY); break;
	case FLEET_TELL_KILL: tell(p, SIGQUIT); break;
	case FLEET_TELL_CLEARED: tell_cleared(p); break;
	case FLEET_KILL_WORKER: kill_hung(m, p); break;
	case FLEET_STUCK: master_look_at_stuck(m, p); break;
	case FLEET_FORSAKE: forsake(m, p); break;
	case FLEET_ORPHANS_STOP: master_stop_orphan(p); break;
	case FLEET_ORPHANS_TERM: master_term_orphans(m, p); break;
	case FLEET_ORPHANS_KILL: m->clear_at = clock_now(); break;
	case FLEET_DROP_ANCHOR: post_drop_anchor(p); break;
	case FLEET_RENEW: renew(m, p); break;
	case FLEET_FREE: forget(m, p); break;
	case FLEET_EXIT:
		m->at_end = true;
		ev_break(m->loop, EVBREAK_ALL);
		break;
	}
}

static msec next_deadline(const struct master *m)
{
	msec at = msec_min(fleet_deadline(&m->roster.fleet), m->clear_at);

	at = msec_min(at, msec_min(init_deadline(&m->init), m->reap_at));
	at = msec_min(at, complaints_deadline(&m->complaints, &m->roster.fleet));
	return msec_min(at, board_deadline(&m->board));
}

void master_settle(struct master *m)
{
	struct fleet_action a;

	do {
		master_clear_orphans(m);
		while ((a = fleet_next(&m->roster.fleet, clock_now())).verb != FLEET_NOTHING)
			act(m, &a);
	} while (m->clear_at <= clock_now());
	complaints_tick(&m->complaints, &m->roster.fleet, clock_now());
	board_draw(&m->board);
	init_tell(&m->init, &m->roster.fleet, m->stop_began);
	alarm_set(&m->alarm, next_deadline(m));
}

static void on_alarm(void *ctx)
{
	struct master *m = ctx;

	if (m->reap_at <= clock_now())
		master_reap(m);
	master_settle(m);
}

/* Start and end */

static int open_loop(struct master *m, struct err *e)
{
	int lifeline[2];

	m->loop = ev_loop_new(EVFLAG_AUTO);
	if (m->loop == NULL)
		return err_set(e, "cannot make an event loop");
	log_turns(m->loop);
	if (master_signals_open(m, e) != 0 || alarm_open(&m->alarm, m->loop, on_alarm, m, e) != 0)
		return -1;
	if (pipe2(lifeline, O_CLOEXEC) != 0)
		return err_sys(e, "cannot make a pipe");
	m->lifeline = lifeline[1];
	m->shared = (struct post_shared){ .loop = m->loop, .lifeline = lifeline[0] };
	return 0;
}

/* A few descriptors per job; the limit for jobs stays what it was. */
static void raise_limit(struct master *m)
{
	struct rlimit all;

	getrlimit(RLIMIT_NOFILE, &m->shared.nofile);
	all = m->shared.nofile;
	all.rlim_cur = all.rlim_max;
	setrlimit(RLIMIT_NOFILE, &all);
}

/* The bytes of the clean dump that the job was given up with; 0: with none. */
static uint64_t dumped(const struct handover *gave)
{
	return gave->clean && gave->stamps.at[STAMP_UPLOADED] != 0 ? gave->size : 0;
}

/* Of this stop: what had ended before it is no part of the exit status either. */
static void closing_line(const struct master *m, int status)
{
	const struct fleet *f = &m->roster.fleet;
	size_t released = 0;
	uint64_t bytes = 0;

	for (size_t i = 0; i < f->n; i++) {
		const struct post *p = roster_post(&m->roster, i);
		const struct report *r = &p->report;

		if (p->reported_at < m->stop_began)
			continue;
		released += r->gave.epoch != 0; /* a place in the queue has none */
		bytes += dumped(&r->gave);
	}
	log_info("stopped: jobs=%zu dumped_bytes=%" PRIu64
		 " locks_released=%zu unclean=%zu left=%zu time=%" PRId64 "ms exit=%d",
	    f->n, bytes, released, f->unclean, f->left, clock_now() - m->stop_began, status);
}

static int run(struct master *m)
{
	int status;

	setproctitle("master");
	log_info("graceful %s is up: instance=%s jobs=%zu", PACKAGE_VERSION,
	    m->roster.conf->instance, m->roster.fleet.n);
	board_touch(&m->board);
	master_settle(m);
	init_up(&m->init);
	master_settle(m);
	if (!m->at_end)
		ev_run(m->loop, 0);
	FAULT("before_exit");
	status = fleet_exit_status(&m->roster.fleet);
	m->board.status.exit = status;
	board_end(&m->board);
	closing_line(m, status);
	return status;
}

static void close_loop(struct master *m)
{
	close(m->lifeline);
	close(m->shared.lifeline);
	alarm_close(&m->alarm);
	close(m->signals.fd);
	ev_loop_destroy(m->loop);
}

/* What all workers would set up each for itself, and hold a copy of. */
static int share(const struct conf *conf, struct err *e)
{
	return conf->coord == CONF_COORD_ETCD ? http_init(e) : 0;
}

static int serve(struct master *m, struct err *e)
{
	int status;

	if (kin_adopt_orphans(e) != 0 || share(m->roster.conf, e) != 0 ||
	    home_open(&m->home, m->roster.conf, e) != 0)
		return -1;
	raise_limit(m);
	status = run(m);
	home_leave(&m->home);
	return status;
}

/* Signals first: once the PID file is there somebody may send one. */
static int open_and_serve(struct master *m, struct err *e)
{
	int status;

	if (open_loop(m, e) != 0)
		return -1;
	status = serve(m, e);
	close_loop(m);
	return status;
}

int master_run(struct conf *conf, const struct master_options *options)
{
	struct master m = {
		.conf_file = options->conf_file, .clear_at = MSEC_NEVER, .reap_at = MSEC_NEVER
	};
	struct err e;
	int status = -1;

	log_open(conf->log_syslog, conf->log_level);
	log_who("master", NULL);
	fault_open();
	fault_who("master", NULL);
	m.board.status = (struct status){
		.conf = conf, .since = clock_wall(), .exit = -1, .fleet = &m.roster.fleet
	};
	if (roster_open(&m.roster, conf, &m, clock_now(), &e) == 0 &&
	    init_open(&m.init, options->ready, &e) == 0)
		status = open_and_serve(&m, &e);
	if (status < 0) {
		log_error("cannot run with %s: %s", options->conf_file, e.text);
		/* Who just started it looks there first, and there may be no syslog at all. */
		if (m.roster.conf->log_syslog)
			fprintf(stderr, "graceful: cannot run with %s: %s\n", options->conf_file,
			    e.text);
		status = EXIT_CANNOT;
	}
	roster_close(&m.roster);
	json_decref(m.board.status.reload);
	return status;
}
