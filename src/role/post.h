/*
 * post.h - the master's end of one job: the seat in the fleet, and the descriptors and last report
 * that go with it.
 */
#ifndef ROLE_POST_H
#define ROLE_POST_H

#include <ev.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "policy/fleet.h"
#include "policy/trouble.h"
#include "role/metrics.h"
#include "role/report.h"

struct post {
	struct seat seat; /* first: the fleet hands seats back */
	/* What it lives by; next_conf: what it will, once it is renewed. */
	const struct conf *conf, *next_conf;
	const struct job_conf *job, *next_job;
	void *master;
	/* What outlives a worker, see worker.h. -1 when not there. */
	int anchor;
	int output[2];
	/* The pipe of the worker that lives. */
	struct ev_io reports;
	size_t len;
	char buf[REPORT_MAX];
	struct report report; /* the newest; of the last worker after its end */
	msec reported_at;
	/* The main process of the job of the newest worker, 0: none. A rescue worker has no job of
	 * its own. */
	pid_t job_pid;
	bool rescuing;
	uint64_t known_seq; /* the largest that any worker reported: there is a record */
	/* What a rescue worker is to finish: by the newest report of an owner, as `report` may be
	 * of a rescue worker that died before it had the lock. */
	uint64_t held_epoch, held_lease;
	bool held_placed;
	bool held_settled;
	bool held_ended_well;
	struct metrics_job counts;
	/* The epochs of the hand-overs that were noted last: each report tells of them anew. */
	uint64_t noted_took, noted_gave;
	enum coord_trouble trouble; /* by the newest report that complaints.h has heard of */
	struct trouble own_trouble;
	bool orphan_clean;   /* the job that a dead worker left was seen to exit with status 0 */
	bool orphan_stopped; /* likewise, to be ended by its own stop signal */
};

struct post_shared {
	struct ev_loop *loop;
	int lifeline; /* read end */
	struct rlimit nofile;
};

static inline struct post *post_of(struct seat *s)
{
	return (struct post *)(void *)s;
}

/* conf, which holds the job, must live as long as the post lives by it. */
void post_init(
    struct post *p, const struct conf *conf, const struct job_conf *job, void *master, msec now);
/* When nobody of the job lives and no anchor is there. */
void post_close(struct post *p);

/* Another definition that means the same. */
void post_follow(struct post *p, const struct conf *conf, const struct job_conf *job);
/* One that does not: told to the fleet; post_renew() makes it the post's own. */
void post_change(struct post *p, const struct conf *conf, const struct job_conf *job);
void post_renew(struct post *p, msec now);

/* Forks a worker, or a rescue worker, and opens what it needs. on_report is called when its pipe
 * has something. Returns its pid, -1 on failure. */
pid_t post_fork(struct post *p, const struct post_shared *shared, bool rescue,
    void (*on_report)(struct ev_loop *, struct ev_io *, int), struct err *e);

enum post_read {
	POST_NEWS,    /* p->report is a new one: read on */
	POST_NOTHING, /* for now */
	POST_EOF,     /* the pipe is closed; every report has been read */
};
/* A report that makes no sense fills *e (its text is empty otherwise) and is skipped. */
enum post_read post_read(struct post *p, struct ev_loop *loop, struct err *e);

/* The job that a dead worker left was seen to exit with status 0, by the worker or by us. */
bool post_ended_well(const struct post *p);

/* Closes the anchor, which frees what the dead worker may still hold. */
void post_drop_anchor(struct post *p);

#endif
