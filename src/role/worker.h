/*
 * worker.h - the worker process: owns one job's place in the queue, lock, state and process, from
 * fork to the final report.
 *
 * worker_run() is the whole process. It decides nothing itself: policy/life.h and policy/pacer.h
 * say what to do, it does that and tells them what came of it. It reports to the master at least
 * three times in each coordinator.ttl: who does not is taken for hung (fleet.h).
 *
 * Signals: INT, TERM hand the job over; WORKER_HURRY shortens a dump under way; QUIT kills the job;
 * USR1 asks for a checkpoint; WORKER_LOG opens the log anew, from its master with the log_setting()
 * to use (real-time signals do not coalesce, so the last one counts). The end of the lifeline - the
 * master died - is an INT; a rescue worker then sees to it by itself that nothing is left of the
 * job.
 */
#ifndef ROLE_WORKER_H
#define ROLE_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "conf/conf.h"
#include "policy/life.h"

#define WORKER_HURRY (SIGRTMIN + 0)
/* To a rescue worker: nothing is left of the dead one's job, which exited with status 0, was ended
 * by its own stop signal, or neither. */
#define WORKER_CLEARED_WELL (SIGRTMIN + 2)
#define WORKER_CLEARED (SIGRTMIN + 3)
#define WORKER_CLEARED_STOPPED (SIGRTMIN + 4)
#define WORKER_LOG (SIGRTMIN + 1)

/* What a worker gets from its master. The descriptors are shared with it and outlive the worker. */
struct worker_setup {
	const struct conf *conf;
	const struct job_conf *job;
	int anchor;    /* of the lock, see coord.h; -1: none */
	int lifeline;  /* read end; EOF when the master is dead */
	int report;    /* write end */
	int output[2]; /* the job's output: made by the master, so that the job of a worker that
			  died does not get SIGPIPE in the middle of its dump */
	struct rlimit nofile; /* the limit that jobs shall inherit */
	/* A record with this seq was committed. One that is older, or none, was put there by
	 * somebody else. 0: not known. */
	uint64_t known_seq;
	uint64_t stale_lease; /* that the worker before left: it died in the queue, or lost its lock
				 while etcd was away; 0: none */
	/* A rescue worker finishes what a dead one held. */
	bool rescue;
	struct life_rescue left;
	bool left_stopped; /* its job was ended by its own stop signal */
	uint64_t rescue_lease, rescue_epoch;
	pid_t rescue_job; /* the main process, if it may live */
	uint64_t rescue_job_born;
};

/* How long a stop may take, each step using up its time (life.h), behind stop_timeout or what the
 * job asked for, until its worker has gone. */
msec worker_stop_tail(const struct job_conf *job);

_Noreturn void worker_run(const struct worker_setup *setup);

#endif
