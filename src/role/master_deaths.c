/* The ends of our children: of workers, and of what is left of the jobs of those that died, which
 * became children of ours. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/sig.h"
#include "job/kin.h"
#include "job/spawn.h"
#include "role/master_impl.h"

#define CLEAR_AGAIN_MS 50
#define HOW_MAX 80 /* bytes of how a worker ended */

/* How long ends of children are taken in one turn of the loop: what a dead worker's job left may
 * make them as fast as we take them, and must not keep us from all the others. */
#define REAP_MS 20

static struct post *post_of_worker(struct master *m, pid_t pid)
{
	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		struct post *p = roster_post(&m->roster, i);

		if (p->seat.pid == pid)
			return p;
	}
	return NULL;
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
			master_read_reports(m, p);
	}
}

/*
 * Whose job an orphan belonged to. NULL: it left its job's session, so it may be anyone's. Its seat
 * may be WORKING still, as the kernel gives us a job before we can hear of the death of its worker.
 */
static struct post *post_of_orphan(struct master *m, pid_t pid)
{
	pid_t session = getsid(pid);
	struct post *unheard = NULL;

	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		struct post *p = roster_post(&m->roster, i);

		if (p->job_pid == 0 || (p->job_pid != session && p->job_pid != pid))
			continue;
		if (p->seat.state == SEAT_ORPHANED)
			return p;
		if (p->seat.state == SEAT_WORKING)
			unheard = p;
	}
	return unheard;
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
	if (p == NULL && o->signo != 0) { /* before it is hit as everybody's */
		read_all_reports(o->m);
		p = post_of_orphan(o->m, pid);
	}
	/* An orphan that nobody can be named for is everybody's: no job is taken for gone while it
	 * lives. */
	if ((p != NULL && p != o->of) || kin_is_withheld(pid))
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

	if (signo != 0)
		FAULT("before_orphans_signal");
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

static void kill_one(pid_t pid, void *ctx)
{
	bool *any = ctx;

	*any = true;
	kill(pid, SIGKILL);
}

/* The job of a worker that hangs: it is still the worker's, or has come to us level by level. */
static void kill_job_of_hung(struct master *m, struct post *p)
{
	bool any = false;
	struct err e;

	if (kin_each_grandchild(p->seat.pid, kill_one, &any, &e) != 0) {
		log_error("%s: %s", p->job->name, e.text);
		any = true;
	}
	if (signal_orphans(m, p, SIGKILL) || any) {
		m->clear_at = msec_add(clock_now(), CLEAR_AGAIN_MS);
		return;
	}
	log_info("%s: nothing is left of the job of the worker that hangs", p->job->name);
	fleet_cleared(&m->roster.fleet, &p->seat, clock_now());
}

/* Looks again after every death and every CLEAR_AGAIN_MS while a job is being killed. */
void master_clear_orphans(struct master *m)
{
	m->clear_at = MSEC_NEVER;
	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		struct post *p = roster_post(&m->roster, i);

		if (p->seat.state == SEAT_WORKING && p->seat.killing && !p->seat.cleared &&
		    !p->seat.reaped)
			kill_job_of_hung(m, p);
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

/* The main process of a dead worker's job is our child: the number is its own until we reap it. One
 * that somebody stopped is woken, as it would hear of nothing. signo 0: that alone. */
static void signal_orphaned_job(const struct post *p, int signo)
{
	if (p->job_pid == 0 || p->seat.main_ended)
		return;
	kill(p->job_pid, signo);
	kill(p->job_pid, SIGCONT);
}

void master_stop_orphan(const struct post *p)
{
	signal_orphaned_job(p, spawn_was_told(p->job, p->job_pid) ? 0 : p->job->stop_signal);
}

void master_term_orphans(struct master *m, struct post *p)
{
	if (p->seat.main_ended)
		signal_orphans(m, p, SIGTERM);
	else
		signal_orphaned_job(p, SIGTERM);
}

/* One line per worker that did not end as it should; those that did have said so themselves. */
static void obituary(const struct post *p, int status, char how[HOW_MAX])
{
	if (WIFSIGNALED(status))
		snprintf(how, HOW_MAX, "the worker was ended by %s", sig_name(WTERMSIG(status)));
	else
		snprintf(how, HOW_MAX, "the worker exited with status %d", WEXITSTATUS(status));
	log_error("%s: %s pid=%d", p->job->name, how, (int)p->seat.pid);
}

void master_tell_pause(const struct master *m, const struct post *p)
{
	const struct seat *s = &p->seat;
	msec wait = s->due - clock_now();

	/* Who gave up has said it. */
	if (s->pid == 0 && s->state == SEAT_DUE && s->wish == SEAT_STAYS && !s->end.failed &&
	    wait > 0 && m->roster.fleet.level == STOP_NOT && !m->roster.fleet.draining)
		log_info("%s: the lock is queued for again in %" PRId64 "ms", p->job->name, wait);
}

static void bury_worker(struct master *m, struct post *p, int status)
{
	bool died = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	char how[HOW_MAX];

	if (died)
		obituary(p, status, how);
	/* Its last words may still be in the pipe: that its trouble is over, say. */
	if (ev_is_active(&p->reports))
		master_read_reports(m, p);
	/* Until the next worker speaks for the job, status has to tell why it does not run. */
	if (died)
		report_keep(p->report.failure, sizeof(p->report.failure), how);
	p->counts.worker_deaths += died;
	complaints_note(&m->complaints, p, true, clock_now());
	FAULT("after_worker_end");
	fleet_reaped(&m->roster.fleet, &p->seat, clock_now());
	master_tell_pause(m, p);
	board_touch(&m->board);
}

static const char *lock_of_stuck(const struct post *p)
{
	if (p->seat.end.released)
		return "its lock was released";
	if (p->seat.end.left)
		return "its lock is left to its end";
	if (p->seat.state == SEAT_WORKING && !p->seat.holds)
		return "it did not own the lock";
	return p->conf->coord == CONF_COORD_LOCAL ? "its lock stays until it ends"
						  : "its lock ends by itself";
}

/* One that a debugger has will not be ours to reap before that lets go of it, but it has ended. */
void master_look_at_stuck(struct master *m, struct post *p)
{
	if (ev_is_active(&p->reports))
		master_read_reports(m, p);
	if (kin_is_withheld(p->seat.pid)) {
		log_warn("%s: the worker has ended, but a debugger keeps us from reaping it pid=%d",
		    p->job->name, (int)p->seat.pid);
		bury_worker(m, p, SIGKILL);
		return;
	}
	log_error(
	    "%s: the worker was killed and does not end, it hangs in the kernel, most likely "
	    "on the disk or file server of its state; %s; mend that disk or mount, or restart "
	    "the machine pid=%d",
	    p->job->name, lock_of_stuck(p), (int)p->seat.pid);
}

static void bury_orphan(struct master *m, pid_t pid, int status)
{
	read_all_reports(m);
	for (size_t i = 0; i < m->roster.fleet.n; i++) {
		struct post *p = roster_post(&m->roster, i);

		if (p->job_pid != pid)
			continue;
		p->orphan_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
		p->orphan_stopped = WIFSIGNALED(status) && WTERMSIG(status) == p->job->stop_signal;
		log_info("%s: the job of the worker that died has ended, %s pid=%d", p->job->name,
		    p->orphan_clean ? "with status 0" : "not in order", (int)pid);
		fleet_main_ended(&p->seat, clock_now());
		return;
	}
	log_debug("reaped an orphan pid=%d", (int)pid);
}

void master_reap(struct master *m)
{
	msec until = msec_add(clock_now(), REAP_MS);
	int status;
	pid_t pid;

	m->reap_at = MSEC_NEVER;
	while (kin_reap(&pid, &status) == KIN_REAPED) {
		struct post *p = post_of_worker(m, pid);

		if (p != NULL)
			bury_worker(m, p, status);
		else
			bury_orphan(m, pid, status);
		if (clock_now() >= until) {
			m->reap_at = clock_now();
			return;
		}
	}
}
