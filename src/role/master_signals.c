/* What the master is told by signals, and by whom. Events come of them here and nowhere else. */
#include <ev.h>
#include <signal.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/sig.h"
#include "role/master_impl.h"
#include "role/reload.h"
#include "role/worker.h"

/* For people. */
static const char *show_sender(const struct sig_from *from, char text[32])
{
	if (from->pid != 0)
		snprintf(text, 32, "from pid %d", from->pid);
	else
		snprintf(text, 32, "%s", from->kernel ? "from the terminal" : "from outside");
	return text;
}

/* How far it shall go; STOP_NOT: it does not say. A value that means nothing says nothing. */
static enum stop_level level_of(int signo, const struct sig_from *from)
{
	if (signo == SIGQUIT)
		return STOP_KILL;
	if (from->queued && from->value >= STOP_GRACEFUL && from->value <= STOP_KILL)
		return (enum stop_level)from->value;
	return STOP_NOT;
}

static void stop(struct master *m, int signo, const struct sig_from *from)
{
	struct fleet *f = &m->roster.fleet;
	enum stop_level before = f->level, wanted = level_of(signo, from);
	char sender[32];
	static const char *const how[] = {
		[STOP_GRACEFUL] = "every job dumps its state",
		[STOP_HURRY] = "every job has to hurry",
		[STOP_KILL] = "every job is killed",
	};

	if (before == STOP_NOT)
		m->stop_began = clock_now();
	if (wanted == STOP_NOT)
		fleet_interrupt(f, clock_now());
	else
		fleet_stop(f, wanted, clock_now());
	if (f->level == before) {
		log_info("%s %s: stopping already, nothing changes", sig_name(signo),
		    show_sender(from, sender));
		return;
	}
	m->board.status.stopping = true;
	m->board.status.hurry = f->level >= STOP_HURRY;
	board_touch(&m->board);
	log_info(
	    "stopping on %s %s: %s", sig_name(signo), show_sender(from, sender), how[f->level]);
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
	FAULT("after_reload");
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
		log_info("%s from pid %d: at most %zu of the jobs may be held here",
		    sig_name(signo), from, f->places);
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
	bool ended = false;
	int signo;

	(void)loop;
	(void)revents;
	while ((signo = sig_next(io->fd, &from)) != 0) {
		if (signo == SIGCHLD)
			ended = true; /* once, below: meanwhile the next one may come, and so on */
		else if (signo == SIGINT || signo == SIGTERM || signo == SIGQUIT)
			stop(m, signo, &from);
		else if (signo == SIGUSR1)
			checkpoint_all(m);
		else if (signo == SIGHUP)
			on_hangup(m, &from);
		else if (signo == MASTER_LOG_REOPEN)
			reopen_logs(m, from.pid);
		else
			on_request(m, signo, &from);
	}
	if (ended)
		master_reap(m);
	master_settle(m);
}

/* USR2 means nothing yet; left alone it would end this process. No constants: the number of a
 * real-time signal is none. */
#define WANTED_SIGNALS                                                                          \
	{                                                                                       \
		SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGCHLD, SIGWINCH, SIGTTIN, SIGTTOU, \
		    SIGUSR2, MASTER_LOG_REOPEN, 0                                               \
	}

void master_hold_signals(void)
{
	const int wanted[] = WANTED_SIGNALS;

	sig_hold(wanted);
}

int master_signals_open(struct master *m, struct err *e)
{
	const int wanted[] = WANTED_SIGNALS;
	int fd = sig_open(wanted, e);

	if (fd < 0)
		return -1;
	ev_io_init(&m->signals, on_signal, fd, EV_READ);
	m->signals.data = m;
	ev_io_start(m->loop, &m->signals);
	return 0;
}
