#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/sig.h"
#include "base/task.h"
#include "job/kin.h"
#include "job/notify.h"
#include "job/spawn.h"
#include "role/worker_impl.h"

/* Between two rounds of SIGKILL: a process that is just being born may have slipped through one. */
#define KILL_AGAIN_MS 50

#define PIPE_SIZE 65536

/* How long ends of processes are taken in one turn of the loop: a job may make them as fast as we
 * take them, and must not keep us from all else. */
#define REAP_MS 20

/* A job that floods its socket must not keep its worker from its work, nor the master from
 * everybody's: each message may be a report. What comes too fast waits in the socket. */
#define NOTIFY_BURST 50
#define NOTIFY_WINDOW_MS 100

/* More than fit into the socket: others of the job's user, who may write on, must not keep us. */
#define NOTIFY_OLD_MAX 1000

/* How long a job that was just started may take to install its handlers, and how often to look. */
#define SETTLE_MS 5000
#define SETTLE_LOOK_MS 10

/* Output */

static void on_line(void *ctx, const char *line, size_t len)
{
	const struct worker *w = ctx;

	log_output(w->last_pid, line, len);
}

/* One read at a time: a job that floods its output must not keep the loop from its signals. */
static ssize_t read_output(struct worker *w)
{
	char buf[16384];
	ssize_t n = read(w->setup->output[0], buf, sizeof(buf));

	if (n > 0)
		lines_feed(&w->lines, buf, (size_t)n, on_line, w);
	return n;
}

static void on_output(struct ev_loop *loop, struct ev_io *io, int revents)
{
	(void)loop;
	(void)revents;
	read_output(io->data);
}

/* What the pipe holds now - bounded by its size, as a process that lives on may fill it all the
 * time. */
static void read_last_words(struct worker *w)
{
	for (ssize_t n, room = PIPE_SIZE; room > 0 && (n = read_output(w)) > 0; room -= n)
		;
}

/* Notifications */

static void take_notification(struct worker *w, const struct notify *n)
{
	if (n->ready && !w->report.ready) {
		w->report.ready = true;
		log_info("the job is ready");
	}
	if (n->has_status)
		memcpy(w->report.status, n->status, sizeof(n->status));
	if (n->ready || n->watchdog)
		worker_tell(w, LIFE_EV_ALIVE, 0);
	if (n->extend > 0)
		worker_tell(w, LIFE_EV_EXTEND, n->extend);
	worker_report(w);
}

static void pace_notify(struct worker *w)
{
	msec now = clock_now();

	if (now >= w->hearing_since + NOTIFY_WINDOW_MS) {
		w->hearing_since = now;
		w->heard = 0;
	}
	if (++w->heard < NOTIFY_BURST)
		return;
	ev_io_stop(w->loop, &w->notify);
	w->hear_again_at = w->hearing_since + NOTIFY_WINDOW_MS;
	worker_rearm(w);
}

void worker_job_hear(struct worker *w)
{
	w->hear_again_at = MSEC_NEVER;
	if (!w->hearing_aside)
		ev_io_start(w->loop, &w->notify);
}

/* One message. */
struct hearing {
	struct worker *w;
	int fd;
	uid_t uid;
	pid_t job_pid; /* whose it is: the next run is not ready because the last one was */
	struct notify n;
	struct err e;
	int rc;
};

static void hear(void *arg)
{
	struct hearing *h = arg;

	h->rc = notify_receive(h->fd, h->uid, &h->n, &h->e);
}

static void heard(const struct hearing *h)
{
	if (h->rc < 0)
		log_warn("%s", h->e.text);
	else if (h->rc > 0 && h->w->job_pid != 0 && h->w->job_pid == h->job_pid)
		take_notification(h->w, &h->n);
}

static void heard_aside(void *arg)
{
	struct hearing *h = arg;
	struct worker *w = h->w;

	heard(h);
	free(h);
	w->hearing_aside = false;
	if (w->hear_again_at == MSEC_NEVER)
		ev_io_start(w->loop, &w->notify);
}

/* The messages behind it wait, or a job could have us start threads without end. */
static void hear_aside(struct worker *w, const struct hearing *what)
{
	struct hearing *h = malloc(sizeof(*h));
	struct err e;

	ev_io_stop(w->loop, &w->notify);
	if (h != NULL) {
		*h = *what;
		w->hearing_aside = true;
		if (task_start(w->loop, hear, heard_aside, h, &e) != NULL)
			return;
		w->hearing_aside = false;
		free(h);
	}
	w->hear_again_at = msec_add(clock_now(), NOTIFY_WINDOW_MS);
	worker_rearm(w);
}

static void on_notify(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct worker *w = io->data;
	struct hearing h = {
		.w = w, .fd = io->fd, .uid = worker_job_uid(w), .job_pid = w->job_pid
	};

	(void)loop;
	(void)revents;
	pace_notify(w);
	if (notify_is_burdened(io->fd)) {
		hear_aside(w, &h);
		return;
	}
	hear(&h);
	heard(&h);
}

void worker_job_open(struct worker *w)
{
	snprintf(
	    w->notify_path, sizeof(w->notify_path), "%s/notify/%s", w->conf->run_dir, w->job->name);
	ev_io_init(&w->output, on_output, w->setup->output[0], EV_READ);
	w->output.data = w;
	ev_io_start(w->loop, &w->output);
	ev_io_init(&w->notify, on_notify, -1, EV_READ);
	w->notify.data = w;
}

/*
 * Nobody of the last run lives, but what it said too fast to be heard may wait in the socket, and
 * is not of the next one. No further than to a message with descriptors, which only a thread may
 * receive: who waits for its end, as systemd-notify does, has nothing behind it.
 */
static void forget_unheard(struct worker *w)
{
	struct notify n;
	struct err e;

	for (int i = 0; i < NOTIFY_OLD_MAX && !notify_is_burdened(w->notify.fd); i++) {
		if (notify_receive(w->notify.fd, worker_job_uid(w), &n, &e) == 0)
			return;
	}
}

/* Made when the lock is ours: until then the path belongs to the worker before us, which may be
 * draining still. */
static const char *open_notify(struct worker *w)
{
	struct err e;
	int fd;

	if (w->notify.fd >= 0) {
		forget_unheard(w);
		return w->notify_path;
	}
	fd = notify_open(w->notify_path, worker_job_uid(w), w->job->gid, &e);
	if (fd < 0) {
		log_error("the job runs without NOTIFY_SOCKET: %s", e.text);
		return NULL;
	}
	ev_io_set(&w->notify, fd, EV_READ);
	ev_io_start(w->loop, &w->notify);
	return w->notify_path;
}

/* Start */

/* gone: as of worker_state_restored(). */
static int spawn(struct worker *w, bool *gone, struct err *e)
{
	char state_path[PATH_MAX + sizeof(STATE_FILE) + 1];
	struct spawn_facts facts = {
		.instance = w->conf->instance,
		.epoch = w->epoch,
		.state_path = state_path,
		.restored = worker_state_restored(w, gone, e),
		.notify_socket = open_notify(w),
	};
	msec until = coord_safe_until(w->coord), now = clock_now();
	char **env;
	int rc;

	if (facts.restored == NULL)
		return -1;
	/* This process may have been suspended, or have waited for a disk, since it got the lock.
	 */
	if (now >= until)
		return err_set(e, "the job is not started: its lock may have ended meanwhile");
	snprintf(state_path, sizeof(state_path), "%s/" STATE_FILE, w->dir);
	env = spawn_env(w->job, &facts, e);
	if (env == NULL)
		return -1;
	/* The loop waits meanwhile: a renewal or a sign of life, due each third of the TTL, comes
	 * late by this, and none is left out. */
	until = msec_min(until, msec_add(now, w->conf->ttl / 3));
	rc = spawn_job(w->job, w->dir, env, w->setup->output[1], until, &w->job_pid, e);
	spawn_env_free(env);
	if (rc != 0) {
		w->job_pid = 0;
		return -1;
	}
	log_info("started the job pid=%d epoch=%" PRIu64 " restored=%s", (int)w->job_pid, w->epoch,
	    facts.restored);
	if (coord_started(w->coord, w->job_pid, e) != 0)
		log_warn("should master and worker die together, the next owner will not wait for "
			 "this job's end: %s",
		    e->text);
	return 0;
}

void worker_job_spawn(struct worker *w)
{
	struct err e;
	bool gone;

	w->report.ready = false;
	w->report.status[0] = '\0';
	FAULT("before_spawn");
	if (spawn(w, &gone, &e) != 0) {
		log_error("%s", e.text);
		worker_note_failure(w, e.text);
		worker_tell(w, LIFE_EV_SPAWN_FAILED, gone);
		return;
	}
	FAULT("after_spawn");
	worker_note_failure(w, "");
	w->report.finished = false;
	w->last_pid = (int)w->job_pid;
	w->spawned_at = clock_now();
	w->stop_look = (struct second_look){ MSEC_NEVER, false };
	w->checkpoint_look = w->stop_look;
	w->kin = true;
	worker_stamp(w, STAMP_STARTED);
	worker_tell(w, LIFE_EV_SPAWNED, 0);
	worker_watch_begin(w);
	worker_garbage_plan(w);
}

/* Signals */

void worker_job_signal(struct worker *w, int signo)
{
	/* Not reaped yet, so the pid is still its own. */
	if (w->job_pid != 0 && signo != 0)
		kill(w->job_pid, signo);
}

/* Whoever was stopped - by a debugger, by an operator - hears of nothing until it goes on. */
void worker_job_wake(struct worker *w, int signo)
{
	worker_job_signal(w, signo);
	worker_job_signal(w, SIGCONT);
}

/* It may not have come to installing its handlers. A stop leaves half of its time until TERM for
 * the signal before that. */
static bool is_young(const struct worker *w)
{
	msec hurries_at = w->life.term_at;
	msec until = msec_add(w->spawned_at, SETTLE_MS);

	if (hurries_at != MSEC_NEVER)
		until = msec_min(
		    until, hurries_at - (w->job->stop_timeout - w->job->hurry_timeout) / 2);
	return !w->report.ready && clock_now() < until;
}

/*
 * The signal would end the job or, as WINCH, be lost. Blocked means nothing before a second look: a
 * fork of some languages does that for a moment.
 */
static bool is_unheard(const struct worker *w, int signo, struct second_look *look)
{
	enum kin_mind mind = kin_mind(w->job_pid, signo);
	bool was_blocked = look->blocked;

	look->blocked = mind == KIN_BLOCKS;
	return mind == KIN_ENDS || (mind == KIN_BLOCKS && !was_blocked);
}

static void look_again(struct worker *w, struct second_look *look)
{
	look->at = clock_now() + SETTLE_LOOK_MS;
	worker_rearm(w);
}

/*
 * Told to stop right after its start, a job would die of the signal before it has installed its
 * handler, and what it was just given would count as not dumped. So a young one gets a moment.
 */
void worker_job_stop(struct worker *w)
{
	int signo = w->job->stop_signal;

	w->stop_look.at = MSEC_NEVER;
	if (w->job_pid == 0)
		return;
	if (is_young(w) && is_unheard(w, signo, &w->stop_look)) {
		look_again(w, &w->stop_look);
		return;
	}
	log_info("stopping: sent %s to the job pid=%d", sig_name(signo), (int)w->job_pid);
	worker_job_wake(w, signo);
	worker_stamp(w, STAMP_SIGNALLED);
	FAULT("after_stop_signal");
	if (FAULT("release_early")) {
		worker_tell(w, LIFE_EV_EXITED, 1);
		worker_tell(w, LIFE_EV_CLEARED, 0);
	}
}

static void signal_checkpoint(struct worker *w)
{
	struct second_look *look = &w->checkpoint_look;
	int signo = w->job->checkpoint_signal;
	bool unheard = is_unheard(w, signo, look);

	if (unheard && (look->blocked || is_young(w))) {
		look_again(w, look);
		return;
	}
	look->blocked = false; /* the next one begins anew */
	if (!unheard)
		worker_job_signal(w, signo);
	else
		log_warn("no checkpoint: the job does not catch %s, so it was not sent; let the "
			 "job catch it, or set checkpoint_signal to \"none\"",
		    sig_name(signo));
}

/* A checkpoint is not worth the job's life. A look that is due is for this one, too. */
void worker_job_checkpoint(struct worker *w)
{
	if (w->job_pid != 0 && w->job->checkpoint_signal != 0 &&
	    w->checkpoint_look.at == MSEC_NEVER)
		signal_checkpoint(w);
}

void worker_job_checkpoint_again(struct worker *w)
{
	FAULT("before_second_look");
	w->checkpoint_look.at = MSEC_NEVER;
	/* One that was told to stop meanwhile dumps all the same. */
	if (w->job_pid != 0 && w->life.state == LIFE_RUNNING)
		signal_checkpoint(w);
}

void worker_job_clear(struct worker *w)
{
	struct err e;

	(void)w;
	if (kin_signal_children(SIGTERM, &e) != 0)
		log_error("%s", e.text);
}

static const char *why_killed(const struct life *l)
{
	if (l->lost)
		return "its lock is lost";
	if (l->killed)
		return "a stop without dumps was asked for";
	if (l->exited)
		return "its main process has ended, and what that left has not";
	return l->state == LIFE_DUMPING ? "the time that it has to dump is over"
					: "SIGABRT did not end it";
}

/*
 * The group first, as long as its leader is not reaped and the number cannot be another's; then,
 * level by level, whoever left the group.
 */
void worker_job_kill(struct worker *w)
{
	struct err e;

	w->kill_again_at = MSEC_NEVER;
	if (!w->kin)
		return;
	if (!w->killing)
		log_warn("killing every process of the job: %s", why_killed(&w->life));
	w->killing = true;
	if (w->job_pid != 0)
		kill(-w->job_pid, SIGKILL);
	if (kin_signal_children(SIGKILL, &e) != 0)
		log_error("%s", e.text);
	w->kill_again_at = msec_add(clock_now(), KILL_AGAIN_MS);
	worker_rearm(w);
}

/* Ends */

/* What made us end it, though nobody asked for that. */
static const char *why_ended(const struct worker *w)
{
	if (w->life.lost)
		return ", as its lock was lost";
	return w->life.state == LIFE_RUNNING && w->life.aborted
		   ? ", as it gave no sign of life for its watchdog time"
		   : "";
}

static void obituary(struct worker *w, int status, bool well)
{
	const char *why = why_ended(w);
	char how[160];

	if (WIFEXITED(status))
		snprintf(
		    how, sizeof(how), "the job exited with status %d%s", WEXITSTATUS(status), why);
	else
		snprintf(how, sizeof(how), "the job was ended by %s%s%s",
		    sig_name(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "", why);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		log_info("%s pid=%d", how, (int)w->job_pid);
	else
		log_warn("%s pid=%d", how, (int)w->job_pid);
	worker_note_failure(w, well && *why == '\0' ? "" : how);
	w->report.finished = well && *why == '\0' && w->life.state == LIFE_RUNNING;
}

/*
 * A job that has never had a state and that its own stop signal ended had nothing to dump and did
 * what it was told.
 */
static bool ended_well(const struct worker *w, int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == 0;
	return w->life.state == LIFE_DUMPING && WTERMSIG(status) == w->job->stop_signal &&
	       worker_never_had_a_state(w);
}

static void main_ended(struct worker *w, int status)
{
	bool well = ended_well(w, status);

	read_last_words(w);
	obituary(w, status, well);
	FAULT("after_job_end");
	w->job_pid = 0;
	w->report.ready = false;
	w->run_clean = well;
	worker_tell(w, LIFE_EV_EXITED, well);
}

/* How the main process ended is its debugger's to know, but it was killed. */
static void bury_withheld(struct worker *w)
{
	log_warn("every process of the job has ended, but a debugger keeps us from reaping");
	if (w->job_pid != 0)
		main_ended(w, SIGKILL);
}

void worker_job_kill_again(struct worker *w)
{
	worker_job_kill(w);
	worker_job_reap(w); /* who is withheld from us has no SIGCHLD for us, either */
}

void worker_job_reap(struct worker *w)
{
	enum kin_reap rc;
	msec until = msec_add(clock_now(), REAP_MS);
	bool any = false;
	int status;
	pid_t pid;

	w->reap_again_at = MSEC_NEVER;
	while ((rc = kin_look(&pid, &status)) == KIN_REAPED && clock_now() < until) {
		if (pid == w->job_pid)
			main_ended(w, status);
		else
			log_debug("a process that the job left behind is gone pid=%d", (int)pid);
		/* After the report: should this process die in between, the master reaps it, and
		 * sees how it ended. */
		kin_bury(pid);
		any = true;
	}
	/* Their children are ours now. Not after each: of thousands that would take minutes, in
	 * which no lease is renewed. */
	if (any && w->killing && rc != KIN_NONE)
		worker_job_kill(w);
	if (rc == KIN_REAPED) {
		w->reap_again_at = clock_now();
		worker_rearm(w);
	}
	if (rc == KIN_BUSY && w->kin && (w->killing || w->job_pid == 0) && kin_all_withheld()) {
		bury_withheld(w);
		rc = KIN_NONE;
	}
	if (rc != KIN_NONE || !w->kin)
		return;
	w->kin = false;
	w->killing = false;
	w->kill_again_at = MSEC_NEVER;
	read_last_words(w);
	lines_flush(&w->lines, on_line, w);
	worker_stamp(w, STAMP_DUMPED);
	worker_tell(w, LIFE_EV_CLEARED, 0);
}
