#include "role/post.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sig.h"
#include "coord/coord.h"
#include "coord/leftover.h"
#include "role/worker.h"
#include "state/place.h"

#define ADOPT_GRACE_MS 30000

static struct seat_limits limits_of(const struct conf *conf, const struct job_conf *job)
{
	return (struct seat_limits){
		.stop_timeout = job->stop_timeout,
		.hurry_timeout = job->hurry_timeout,
		.cool_down = job->restart_max,
		/* It tries for as long as a lease may live. */
		.adopt_timeout = msec_add(conf->ttl, ADOPT_GRACE_MS),
		.silence = conf->ttl,
	};
}

void post_init(
    struct post *p, const struct conf *conf, const struct job_conf *job, void *master, msec now)
{
	struct seat_limits limits = limits_of(conf, job);

	memset(p, 0, sizeof(*p));
	seat_init(&p->seat, &limits, now);
	p->conf = conf;
	p->job = job;
	p->master = master;
	p->anchor = -1;
	p->output[0] = p->output[1] = -1;
	p->report.since = clock_wall();
	p->report.lease_ms = -1;
	p->report.dead_by = MSEC_NEVER;
	p->report.mute_by = MSEC_NEVER;
}

void post_close(struct post *p)
{
	for (int i = 0; i < 2; i++) {
		if (p->output[i] >= 0)
			close(p->output[i]);
		p->output[i] = -1;
	}
}

void post_follow(struct post *p, const struct conf *conf, const struct job_conf *job)
{
	p->conf = conf;
	p->job = job;
}

void post_change(struct post *p, const struct conf *conf, const struct job_conf *job)
{
	p->next_conf = conf;
	p->next_job = job;
	fleet_renew(&p->seat);
}

void post_renew(struct post *p, msec now)
{
	struct seat_limits limits = limits_of(p->next_conf, p->next_job);

	/* The job may be another user's now, and the old one may have opened the pipe: he would
	 * read what the new one says, and speak for it. */
	post_close(p);
	post_follow(p, p->next_conf, p->next_job);
	p->next_conf = NULL;
	p->next_job = NULL;
	fleet_renewed(&p->seat, &limits, now);
}

/* Made once and kept from worker to worker: the job of a dead one may still write. */
static int open_lasting(struct post *p, struct err *e)
{
	if (p->output[0] < 0) {
		if (pipe2(p->output, O_CLOEXEC) != 0) {
			p->output[0] = p->output[1] = -1;
			return err_sys(e, "cannot make a pipe for the job's output");
		}
		fcntl(p->output[0], F_SETFL, O_NONBLOCK);
	}
	if (p->anchor >= 0)
		return 0;
	/* It may have been unmounted since the last one. */
	if (p->conf->coord == CONF_COORD_LOCAL &&
	    place_check(p->conf->work_dir, p->conf->local_path, e) != 0)
		return err_add(e, "\"coordinator.path\"");
	return coord_anchor(p->conf, p->job, &p->anchor, e);
}

static void start_reading(struct post *p, struct ev_loop *loop, int fd,
    void (*call)(struct ev_loop *, struct ev_io *, int))
{
	p->len = 0;
	ev_io_init(&p->reports, call, fd, EV_READ);
	p->reports.data = p;
	ev_io_start(loop, &p->reports);
}

pid_t post_fork(struct post *p, const struct post_shared *shared, bool rescue,
    void (*on_report)(struct ev_loop *, struct ev_io *, int), struct err *e)
{
	struct worker_setup setup = {
		.conf = p->conf,
		.job = p->job,
		.lifeline = shared->lifeline,
		.nofile = shared->nofile,
		.known_seq = p->known_seq,
		.stale_lease = p->report.lease, /* of one that died early: what it was told of */
		.rescue = rescue,
		.left = {
			.placed = p->held_placed,
			.settled = p->held_settled,
			.clean = post_ended_well(p),
			.cleared = p->seat.state == SEAT_STRANDED,
		},
		.left_stopped = p->orphan_stopped,
		.rescue_job = p->seat.main_ended ? 0 : p->job_pid,
		.rescue_lease = p->held_lease,
		.rescue_epoch = p->held_epoch,
	};
	sigset_t old;
	int report[2];
	pid_t pid;

	/* While it is a child of ours that was not reaped, so that it cannot be another's. */
	if (rescue && setup.rescue_job != 0)
		setup.rescue_job_born = leftover_birth(setup.rescue_job);
	if (open_lasting(p, e) != 0)
		return -1;
	if (pipe2(report, O_CLOEXEC | O_NONBLOCK) != 0)
		return err_sys(e, "cannot make a pipe to a worker");
	setup.anchor = p->anchor;
	setup.report = report[1];
	memcpy(setup.output, p->output, sizeof(setup.output));
	sig_block_all(
	    &old); /* until it has its own descriptor for them, a worker must not lose a signal */
	pid = fork();
	if (pid == 0)
		worker_run(&setup);
	sig_restore(&old);
	close(report[1]);
	if (pid < 0) {
		err_sys(e, "cannot fork a worker");
		close(report[0]);
		return -1;
	}
	setpgid(pid,
	    pid); /* here, too: whoever is first, it is out of our group before either goes on */
	metrics_job_forked(&p->counts);
	start_reading(p, shared->loop, report[0], on_report);
	p->rescuing = rescue;
	if (!rescue)
		p->job_pid = 0;
	return pid;
}

static void take_report(struct post *p, const struct report *r)
{
	p->report = *r;
	p->reported_at = clock_now();
	metrics_job_reported(&p->counts, r);
	if (!p->rescuing)
		p->job_pid = r->job_pid;
	if (r->owner) {
		p->held_epoch = r->epoch;
		p->held_lease = r->lease;
		p->held_placed = r->placed;
		p->held_settled = r->settled;
		p->held_ended_well = r->ended_well;
	}
	if (r->seq > p->known_seq)
		p->known_seq = r->seq;
}

/* Takes one line out of the buffer, if a whole one is there. */
static bool take_line(struct post *p, struct err *e)
{
	char *end = memchr(p->buf, '\n', p->len);
	struct report r;
	size_t n;

	if (end == NULL && p->len < sizeof(p->buf))
		return false;
	n = end == NULL ? p->len : (size_t)(end - p->buf) + 1;
	if (end == NULL)
		err_set(e, "a worker's report is longer than %d bytes", REPORT_MAX);
	else if (report_decode(p->buf, n - 1, &r, e) == 0)
		take_report(p, &r);
	p->len -= n;
	memmove(p->buf, p->buf + n, p->len);
	return true;
}

enum post_read post_read(struct post *p, struct ev_loop *loop, struct err *e)
{
	ssize_t n;

	e->text[0] = '\0';
	if (take_line(p, e))
		return POST_NEWS;
	do {
		n = read(p->reports.fd, p->buf + p->len, sizeof(p->buf) - p->len);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return POST_NOTHING;
	if (n > 0) {
		p->len += (size_t)n;
		return take_line(p, e) ? POST_NEWS : POST_NOTHING;
	}
	ev_io_stop(loop, &p->reports);
	close(p->reports.fd);
	return POST_EOF;
}

bool post_ended_well(const struct post *p)
{
	return p->orphan_clean || p->held_ended_well;
}

void post_drop_anchor(struct post *p)
{
	if (p->anchor >= 0)
		close(p->anchor);
	p->anchor = -1;
}
