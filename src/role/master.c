#include "role/master.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alarm.h"
#include "base/exits.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/sig.h"
#include "job/kin.h"
#include "job/spawn.h"
#include "net/http.h"
#include "role/board.h"
#include "role/complaints.h"
#include "role/home.h"
#include "role/init.h"
#include "role/reload.h"
#include "role/roster.h"
#include "role/worker.h"

#define CLEAR_AGAIN_MS 50
#define REPORTS_MAX 500     /* more than fit into a pipe */
#define REPORT_GRACE_MS 500 /* for a report that found no room in its pipe */

struct master {
	const char *conf_file;
	struct post_shared shared;
	struct ev_loop *loop;
	struct alarm alarm;
	struct ev_io signals;
	struct home home;
	struct init init;
	int lifeline; /* write end: closed by the kernel when this process dies, however it dies */
	struct roster roster;
	unsigned reloads;
	struct board board;
	struct complaints complaints;
	msec clear_at; /* the next round against what dead workers left */
	bool settling;
	msec stop_began;
	bool at_end;
};

/* Orphans: what is left of the jobs of workers that died. They became our children */

static const struct post *post_of_worker(const struct master *m, pid_t pid)
{
	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		const struct post *p = roster_post(&m->roster, i);

		if (p->seat.pid == pid)
			return p;
	}
	return NULL;
}

/* Whose job an orphan belonged to. NULL: it left its job's session, so it may be anyone's. */
static struct post *post_of_orphan(struct master *m, pid_t pid)
{
	pid_t session = getsid(pid);

	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		struct post *p = roster_post(&m->roster, i);

		if (p->seat.state == SEAT_ORPHANED && p->job_pid != 0 &&
		    (p->job_pid == session || p->job_pid == pid))
			return p;
	}
	return NULL;
}

/* One round over our children. */
struct orphans {
	struct master *m;
	struct post *of; /* the post asked about */
	int signo;       /* to send; 0: just look */
	bool any;
	bool main; /* the job's main process is among them */
};

static void visit_orphan(pid_t pid, void *ctx)
{
	struct orphans *o = ctx;
	const struct post *p;

	if (post_of_worker(o->m, pid) != NULL)
		return;
	p = post_of_orphan(o->m, pid);
	/* An orphan that nobody can be named for is everybody's: no job is taken for gone while it
	 * lives. */
	if (p != NULL && p != o->of)
		return;
	o->any = true;
	o->main |= pid == o->of->job_pid;
	if (o->signo != 0)
		kill(pid, o->signo);
}

static bool signal_orphans(struct master *m, struct post *p, int signo)
{
	struct orphans o = { .m = m, .of = p, .signo = signo };
	struct err e;

	if (kin_each_child(visit_orphan, &o, &e) != 0) {
		log_error("%s", e.text);
		return true;
	}
	/* Its worker may have buried it and died before that was told: the rest has no reason to be
	 * waited for as long as a dump. */
	if (o.any && !o.main && !p->seat.main_ended)
		fleet_main_ended(&p->seat, clock_now());
	return o.any;
}

/* Looks again after every death and every CLEAR_AGAIN_MS while a job is being killed. */
static void clear_orphans(struct master *m)
{
	m->clear_at = MSEC_NEVER;
	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		struct post *p = roster_post(&m->roster, i);

		if (p->seat.state != SEAT_ORPHANED)
			continue;
		if (!signal_orphans(m, p, p->seat.killing ? SIGKILL : 0)) {
			log_info(
			    "%s: nothing is left of the job of the worker that died", p->job->name);
			fleet_cleared(&m->roster.fleet, &p->seat, clock_now());
		} else if (p->seat.killing) {
			m->clear_at = msec_add(clock_now(), CLEAR_AGAIN_MS);
		}
	}
}

/* The main process of a dead worker's job is our child: the number is its own until we reap it. */
static void signal_orphaned_job(const struct post *p, int signo)
{
	if (p->job_pid != 0 && !p->seat.main_ended)
		kill(p->job_pid, signo);
}

static void stop_orphaned_job(const struct post *p)
{
	if (!spawn_was_told(p->job, p->job_pid))
		signal_orphaned_job(p, p->job->stop_signal);
}

static void term_orphans(struct master *m, struct post *p)
{
	if (p->seat.main_ended)
		signal_orphans(m, p, SIGTERM);
	else
		signal_orphaned_job(p, SIGTERM);
}

/* Doing what the fleet demands */

static void settle(struct master *m);

static void take_report(struct master *m, struct post *p)
{
	board_reported(&m->board, p);
	complaints_note(&m->complaints, p, false, clock_now());
	fleet_reported(&p->seat, p->report.owner, &p->report.end);
	fleet_covered(&p->seat, p->report.dead_by, p->report.mute_by);
}

/* Whether there was any. */
static bool read_reports(struct master *m, struct post *p)
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
	if (got == POST_EOF)
		fleet_eof(&m->roster.fleet, &p->seat, clock_now());
	return any;
}

/*
 * If not this process was the one that hung: then reports wait in the pipe, and when it was full
 * the worker could not yet write that it renewed its lease.
 */
static void kill_hung(struct master *m, struct post *p)
{
	const char *why = p->seat.quit_by <= clock_now()  ? ", and was told to quit"
			  : p->seat.dead_by == MSEC_NEVER ? ", it gives no sign of life"
							  : " and its lock is about to end";

	if (!p->seat.eof && read_reports(m, p)) {
		fleet_spared(&p->seat, msec_add(clock_now(), REPORT_GRACE_MS));
		return;
	}
	log_error("%s: the worker hangs%s: killing it pid=%d", p->job->name, why, (int)p->seat.pid);
	kill(p->seat.pid, SIGKILL);
}

static void on_report(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct post *p = io->data;

	(void)loop;
	(void)revents;
	read_reports(p->master, p);
	settle(p->master);
}

static void fork_worker(struct master *m, struct post *p, bool rescue)
{
	struct err e;
	pid_t pid;

	FAULT(rescue ? "before_rescue" : "before_fork");
	pid = post_fork(p, &m->shared, rescue, on_report, &e);

	board_touch(&m->board);
	if (pid < 0) {
		log_error("%s: %s; trying again soon", p->job->name, e.text);
		fleet_fork_failed(&p->seat, clock_now());
		return;
	}
	if (rescue)
		log_info("%s: a rescue worker commits and releases what the dead one held pid=%d",
		    p->job->name, (int)pid);
	else
		log_debug("%s: worker started pid=%d", p->job->name, (int)pid);
	if (!rescue) /* should this one die, the next has to know, too */
		p->orphan_clean = false;
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

static void forget(struct master *m, struct post *p)
{
	log_info("%s: the job was removed, nothing of it is held here any more", p->job->name);
	roster_free(&m->roster, p);
	board_touch(&m->board);
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
	case FLEET_TELL_CLEARED:
		tell(p, post_ended_well(p) ? WORKER_CLEARED_WELL : WORKER_CLEARED);
		break;
	case FLEET_KILL_WORKER: kill_hung(m, p); break;
	case FLEET_ORPHANS_STOP: stop_orphaned_job(p); break;
	case FLEET_ORPHANS_TERM: term_orphans(m, p); break;
	case FLEET_ORPHANS_KILL: m->clear_at = clock_now(); break;
	case FLEET_DROP_ANCHOR: post_drop_anchor(p); break;
	case FLEET_RENEW: roster_renew(&m->roster, p, clock_now()); break;
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

	at = msec_min(at, init_deadline(&m->init));
	at = msec_min(at, complaints_deadline(&m->complaints, &m->roster.fleet));
	return msec_min(at, board_deadline(&m->board));
}

/* After anything happened: until there is nothing left to do now. */
static void settle(struct master *m)
{
	struct fleet_action a;

	do {
		clear_orphans(m);
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
	settle(ctx);
}

/* Deaths */

/* One line per worker that did not end as it should; those that did have said so themselves. */
static void obituary(const struct post *p, int status)
{
	if (WIFSIGNALED(status))
		log_error("%s: the worker was ended by %s pid=%d", p->job->name,
		    sig_name(WTERMSIG(status)), (int)p->seat.pid);
	else if (WEXITSTATUS(status) != 0)
		log_error("%s: the worker exited with status %d pid=%d", p->job->name,
		    WEXITSTATUS(status), (int)p->seat.pid);
}

static void bury_worker(struct master *m, struct post *p, int status)
{
	obituary(p, status);
	/* Its last words may still be in the pipe: that its trouble is over, say. */
	if (ev_is_active(&p->reports))
		read_reports(m, p);
	p->counts.worker_deaths += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	complaints_note(&m->complaints, p, true, clock_now());
	FAULT("after_worker_end");
	fleet_reaped(&m->roster.fleet, &p->seat, clock_now());
	board_touch(&m->board);
}

/*
 * What a worker wrote before it died may still be in its pipe, and only that tells which process
 * was its job: a master that was busy hears of both deaths first.
 */
static void read_all_reports(struct master *m)
{
	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		struct post *p = roster_post(&m->roster, i);

		if (ev_is_active(&p->reports))
			read_reports(m, p);
	}
}

static void bury_orphan(struct master *m, pid_t pid, int status)
{
	read_all_reports(m);
	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		struct post *p = roster_post(&m->roster, i);

		if (p->job_pid != pid)
			continue;
		p->orphan_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
		log_info("%s: the job of the worker that died has ended, %s pid=%d", p->job->name,
		    p->orphan_clean ? "with status 0" : "not in order", (int)pid);
		fleet_main_ended(&p->seat, clock_now());
		return;
	}
	log_debug("reaped an orphan pid=%d", (int)pid);
}

static void reap(struct master *m)
{
	int status;
	pid_t pid;

	while (kin_reap(&pid, &status) == KIN_REAPED) {
		struct post *p = (struct post *)(uintptr_t)post_of_worker(m, pid);

		if (p != NULL)
			bury_worker(m, p, status);
		else
			bury_orphan(m, pid, status);
	}
}

/* Signals */

/* For people. */
static const char *show_sender(const struct sig_from *from, char text[32])
{
	if (from->pid != 0)
		snprintf(text, 32, "from pid %d", from->pid);
	else
		snprintf(text, 32, "%s", from->kernel ? "from the terminal" : "from outside");
	return text;
}

static void begin_stop(
    struct master *m, enum stop_level at_least, int signo, const struct sig_from *from)
{
	char sender[32];
	static const char *const how[] = {
		[STOP_GRACEFUL] = "every job dumps its state",
		[STOP_HURRY] = "every job has to hurry",
		[STOP_KILL] = "every job is killed",
	};

	if (m->roster.fleet.level == STOP_NOT)
		m->stop_began = clock_now();
	fleet_stop(&m->roster.fleet, at_least, clock_now());
	m->board.status.stopping = true;
	m->board.status.hurry = m->roster.fleet.level >= STOP_HURRY;
	board_touch(&m->board);
	log_info("stopping on %s %s: %s", sig_name(signo), show_sender(from, sender),
	    how[m->roster.fleet.level]);
}

static void checkpoint_all(struct master *m)
{
	log_info("checkpoint asked for");
	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		const struct seat *s = m->roster.fleet.seats[i];

		if (s->state == SEAT_WORKING && !s->reaped)
			kill(s->pid, SIGUSR1);
	}
}

/* Those that are being told to hand over, too: their jobs still have something to say. */
static void open_logs(struct master *m)
{
	const struct conf *c = m->roster.conf;
	const union sigval setting = { .sival_int = log_setting(c->log_syslog, c->log_level) };

	log_open(c->log_syslog, c->log_level);
	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		const struct seat *s = m->roster.fleet.seats[i];

		if ((s->state == SEAT_WORKING || s->state == SEAT_RESCUED) && !s->reaped)
			sigqueue(s->pid, WORKER_LOG, setting);
	}
}

static void reopen_logs(struct master *m, int from)
{
	open_logs(m);
	log_debug("the log was opened anew for pid %d", from);
}

static void reload(struct master *m, int from)
{
	bool applied;

	if (m->roster.fleet.level != STOP_NOT) {
		log_warn("SIGHUP from pid %d: stopping already, nothing is reloaded", from);
		return;
	}
	log_info("reloading on SIGHUP from pid %d", from);
	init_reloading(&m->init);
	json_decref(m->board.status.reload);
	m->board.status.reload = reload_run(&m->roster, m->conf_file, ++m->reloads, &applied);
	m->board.status.conf = m->roster.conf;
	if (applied && m->roster.fleet.draining) {
		log_info("the drain has ended: this master takes jobs again");
		fleet_drain(&m->roster.fleet, false);
	}
	/* Also when nothing else changed: it is how logs are rotated. */
	open_logs(m);
	board_touch(&m->board);
}

/* The kernel's tells that our terminal is gone, which is no reason to read anything. */
static void on_hangup(struct master *m, const struct sig_from *from)
{
	if (from->kernel)
		log_info("the terminal is gone, the jobs run on");
	else
		reload(m, from->pid);
}

static void drain(struct master *m, int from)
{
	log_info("draining on SIGWINCH from pid %d: every job is handed over, none is taken", from);
	fleet_drain(&m->roster.fleet, true);
	board_touch(&m->board);
}

static void hold_fewer_or_more(struct master *m, int signo, int from)
{
	struct fleet *f = &m->roster.fleet;

	(signo == SIGTTOU ? fleet_fewer : fleet_more)(f);
	if (f->places == FLEET_ALL)
		log_info("%s from pid %d: every job may be held here", sig_name(signo), from);
	else
		log_info("%s from pid %d: at most %zu jobs are held here", sig_name(signo), from,
		    f->places);
	board_touch(&m->board);
}

/* What the kernel sends by these names comes from a terminal - it was resized, or read by somebody
 * in the background - and asks us for nothing. */
static void on_request(struct master *m, int signo, const struct sig_from *from)
{
	if (from->kernel)
		return;
	if (m->roster.fleet.level != STOP_NOT)
		log_warn("%s from pid %d: stopping already, nothing changes", sig_name(signo),
		    from->pid);
	else if (signo == SIGWINCH)
		drain(m, from->pid);
	else if (signo == SIGTTOU || signo == SIGTTIN)
		hold_fewer_or_more(m, signo, from->pid);
	else
		log_warn("%s from pid %d: this version has no use for it, nothing changes",
		    sig_name(signo), from->pid);
}

static void on_signal(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct master *m = io->data;
	struct sig_from from;
	int signo;

	(void)loop;
	(void)revents;
	while ((signo = sig_next(io->fd, &from)) != 0) {
		if (signo == SIGCHLD)
			reap(m);
		else if (signo == SIGINT || signo == SIGTERM)
			begin_stop(m, STOP_GRACEFUL, signo, &from);
		else if (signo == SIGQUIT)
			begin_stop(m, STOP_KILL, signo, &from);
		else if (signo == SIGUSR1)
			checkpoint_all(m);
		else if (signo == SIGHUP)
			on_hangup(m, &from);
		else if (signo == MASTER_LOG_REOPEN)
			reopen_logs(m, from.pid);
		else
			on_request(m, signo, &from);
	}
	settle(m);
}

/* Start and end */

static int open_loop(struct master *m, struct err *e)
{
	/* USR2 means nothing yet; left alone it would end this process. */
	const int wanted[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGCHLD, SIGWINCH,
		SIGTTIN, SIGTTOU, SIGUSR2, MASTER_LOG_REOPEN, 0 };
	int lifeline[2];
	int fd;

	m->loop = ev_loop_new(EVFLAG_AUTO);
	if (m->loop == NULL)
		return err_set(e, "cannot make an event loop");
	log_turns(m->loop);
	fd = sig_open(wanted, e);
	if (fd < 0 || alarm_open(&m->alarm, m->loop, on_alarm, m, e) != 0)
		return -1;
	ev_io_init(&m->signals, on_signal, fd, EV_READ);
	m->signals.data = m;
	ev_io_start(m->loop, &m->signals);
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

static void closing_line(const struct master *m, int status)
{
	size_t released = 0, unclean = 0, left = 0;
	uint64_t bytes = 0;

	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		const struct report *r = &roster_post(&m->roster, i)->report;

		released += r->end.released;
		left += r->end.left;
		unclean += r->end.unclean;
		bytes += r->saved != 0 ? r->size : 0;
	}
	log_info("stopped: jobs=%zu dumped_bytes=%" PRIu64
		 " locks_released=%zu unclean=%zu left=%zu time=%" PRId64 "ms exit=%d",
	    m->roster.fleet.n, bytes, released, unclean, left, clock_now() - m->stop_began, status);
}

static int run(struct master *m)
{
	int status;

	setproctitle("master");
	log_info("graceful %s is up: instance=%s jobs=%zu", PACKAGE_VERSION,
	    m->roster.conf->instance, m->roster.fleet.n);
	board_touch(&m->board);
	settle(m);
	init_up(&m->init);
	settle(m);
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
	/* It may be mounted yet: no worker goes on before that. */
	if (home_settle(m->roster.conf, e) != 0)
		log_error("%s", e->text);
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
	struct master m = { .conf_file = options->conf_file, .clear_at = MSEC_NEVER };
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
		status = EXIT_CANNOT;
	}
	roster_close(&m.roster);
	json_decref(m.board.status.reload);
	return status;
}
