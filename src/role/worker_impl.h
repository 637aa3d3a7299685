/*
 * worker_impl.h - the inside of the worker, shared by its files:
 *   worker.c          the process: loop, signals, time; does what policies decide
 *   worker_coord.c    what the coordinator says of the lock
 *   worker_report.c   what the master hears of the job
 *   worker_job.c      the job's processes: start, signals, kin, output, notifications
 *   worker_state.c    what is known of the job's state: its record, its file
 *   worker_restore.c  from the record to the file, before the job starts
 *   worker_watch.c    notices that the job replaced the file
 *   worker_save.c     from the file to the record: backup, commit, release
 *   worker_doubt.c    the last record of whose commit nobody knows the outcome
 *   worker_garbage.c  what no record names any more
 *   worker_left.c     the state that a job left and that could not be committed any more
 *   worker_freed.c    a rescue worker's view of a lock that the dead one had released
 *   worker_stamps.c   when what was done, for the history of hand-overs
 *   worker_alone.c    a rescue worker whose master died, too
 */
#ifndef ROLE_WORKER_IMPL_H
#define ROLE_WORKER_IMPL_H

#include <ev.h>
#include <limits.h>

#include "base/alarm.h"
#include "coord/coord.h"
#include "job/lines.h"
#include "policy/backoff.h"
#include "policy/life.h"
#include "policy/pacer.h"
#include "role/report.h"
#include "role/worker.h"
#include "state/transfer.h"

/* What is to become of the state that is being saved. */
enum save_kind {
	SAVE_NONE,
	SAVE_PACED,   /* the pacer's: the job runs; commit, keep the lock */
	SAVE_KEEP,    /* the life's, like the next two: commit, keep the lock */
	SAVE_RELEASE, /* commit and release as one */
	SAVE_MARK,    /* no new bytes: the last record becomes unclean; release */
};

/* A record of whose commit nobody knows the outcome: it may count, or come to. */
struct doubt {
	struct record record; /* epoch 0: none */
	struct state_id id;   /* of the file that it was made from */
	int tries;            /* in a row, and in vain, to make it certain */
};

struct happening {
	enum life_event ev;
	msec arg;
};

#define HAPPENINGS_MAX 8

/* At what a job does about a signal, before that is sent. */
struct second_look {
	msec at;      /* the next one */
	bool blocked; /* at the last one, without a handler */
};

/*
 * A state up to this size that travels in the record is restored, and saved after the job's end,
 * right in the loop: to hand it to a thread and back costs two switches of a busy machine, more
 * than all the rest. It takes about a millisecond. If the disk of work_dir hangs, the loop hangs
 * with it, renews no lease and hears of no stop, until the master ends this process for its silence
 * and rescues. No process of the job lives then, a commit is fenced, and a job is not started when
 * the lease may have ended (worker_job_spawn()). While the job runs the loop touches neither its
 * state nor the name of that, but for the watch of its directory, which is set right behind the
 * start, and a look behind the end of a main process that never had a state, while others of the
 * job may live; and a store is never waited for here.
 */
#define WORKER_QUICK_MAX (64u << 10)

/*
 * A thread (base/task.h) may look at what stays as it is from the grant on: conf, job, dir, store,
 * epoch. All else changes under it - a stop does not wait for a restore - and what it has to know
 * of that it is given as a copy.
 */
struct worker {
	const struct worker_setup *setup;
	const struct conf *conf;
	const struct job_conf *job;
	struct ev_loop *loop;
	struct alarm alarm;
	struct ev_io signals, lifeline, reports;

	struct life_conf life_conf;
	struct life life;
	struct backoff backoff;
	struct pacer pacer;
	/* Events that came up while another was being carried out: each is carried out to its end
	 * before the next. */
	struct happening queue[HAPPENINGS_MAX];
	size_t queued;
	bool carrying_out;

	struct coord *coord;
	struct store *store;
	uint64_t epoch;
	struct record_trace began; /* the last record of the owner before us */
	msec queued_at;
	msec lost_until; /* the lock is lost, and covers the job until then */
	bool wavering;   /* the coordinator does not answer, and is asked on */

	/* worker_job.c */
	char dir[PATH_MAX]; /* of the job */
	char notify_path[PATH_MAX];
	struct ev_io output, notify;
	pid_t job_pid;
	int last_pid; /* for lines that arrive after its end */
	msec spawned_at;
	unsigned heard; /* messages on the notify socket, since then */
	msec hearing_since, hear_again_at;
	bool hearing_aside; /* a message is being received on a thread */
	/* The stop signal, and the checkpoint's, wait for the job's handlers. */
	struct second_look stop_look, checkpoint_look;
	bool kin; /* processes of the job may live */
	bool killing;
	msec kill_again_at, reap_again_at;
	struct lines lines;

	/* worker_watch.c */
	struct ev_io watch;
	int watched;  /* inotify watch of dir, -1: none */
	msec look_at; /* the next look at a state file that cannot be watched */
	bool looking; /* on a thread */
	bool look_again, look_at_any;

	/* worker_state.c, worker_restore.c */
	struct record record; /* the last committed one */
	bool have_record;
	bool run_clean;  /* the last run in this tenure ended well: what a restart is told */
	bool goes_on;    /* the job began from what it left here when its lock was lost */
	bool left_kept;  /* what it left now was noted */
	bool forgetting; /* the note of what it began from is being removed */
	/* The restore is done, and is told when the lock's owner is announced. */
	bool restore_done;
	enum life_event restore_ev;
	struct state_id saved_id;
	bool have_saved_id;

	/* worker_save.c */
	enum save_kind saving; /* under way */
	enum save_kind save_next;
	bool release_asked; /* without a commit */
	struct save *save;
	struct doubt doubt;
	struct state_id refused_id; /* of a file that can never be saved; all zero: none */
	uint64_t spent;             /* the last number of a save that failed */
	int abandoned;              /* saves that nobody waits for, and whose threads hang */
	msec sweep_at;              /* what earlier tenures left is due to be removed */
	bool swept;

	struct handover took, gave; /* as far as they have come */
	struct report report;
	msec moving_at; /* the next look at how far a large state has come */
	msec alive_at;  /* the next report, though there be nothing new */
	int64_t state_since;
	enum life_state shown;
	bool gave_up; /* after max_failures, and said so */
};

/* worker.c */
void worker_tell(struct worker *w, enum life_event ev, msec arg);
void worker_pace(struct worker *w, unsigned actions);
void worker_rearm(struct worker *w);

/* worker_coord.c */
/* The first to be done when the lock was released. */
void worker_released(struct worker *w);
extern const struct coord_hooks worker_coord_hooks;

/* worker_report.c */
void worker_report_open(struct worker *w);
void worker_report(struct worker *w);
/* For the reports: why the lock cannot be had; why the job has to be started again. */
void worker_note_trouble(struct worker *w, const struct err *e);
void worker_note_failure(struct worker *w, const char *why);
/* Who has the lock that it waits for; forgotten when it waits no more. */
void worker_note_holder(struct worker *w, const char *holder);
/* Waits until the newest report is in the pipe. */
void worker_report_now(struct worker *w);
/* Whether a state is, or may be, on its way; moving_at has come, to tell how far it is. */
bool worker_is_moving(const struct worker *w);
void worker_report_moving(struct worker *w);

/* worker_job.c */
void worker_job_open(struct worker *w);
void worker_job_spawn(struct worker *w);
/* hear_again_at has come. */
void worker_job_hear(struct worker *w);
void worker_job_signal(struct worker *w, int signo);
/* The same, to a job that somebody may have stopped. */
void worker_job_wake(struct worker *w, int signo);
void worker_job_stop(struct worker *w);
void worker_job_checkpoint(struct worker *w);
/* Its second look is due. */
void worker_job_checkpoint_again(struct worker *w);
void worker_job_clear(struct worker *w);
void worker_job_kill(struct worker *w);
void worker_job_kill_again(struct worker *w);
void worker_job_reap(struct worker *w);

/* worker_state.c */
/* Whose the state is. */
uid_t worker_job_uid(const struct worker *w);
gid_t worker_job_gid(const struct worker *w);
/* Where it lies, before all else. */
void worker_state_place(struct worker *w);
int worker_state_open(struct worker *w, struct err *e);
void worker_state_granted(struct worker *w, const struct record *record);
/* As transfer_peek(), of the job's state file; also on a thread. Blocks. */
int worker_state_peek(const struct worker *w, struct state_id *id, struct err *e);
/* Whether there is a state file that is not in the last record; which one. */
bool worker_state_unsaved(const struct worker *w, struct state_id *id);
bool worker_never_had_a_state(const struct worker *w);
/* "none", "clean" or "crash", for the job that starts now. NULL: its state cannot be told, or is
 * gone, and must be restored again. */
const char *worker_state_restored(const struct worker *w, bool *gone, struct err *e);

/* worker_restore.c */
void worker_restore_begin(struct worker *w);
/* The owner is announced: see coord.h. */
void worker_restore_announced(struct worker *w);

/* worker_watch.c */
void worker_watch_open(struct worker *w);
/* The job runs: from now on its state file is watched. */
void worker_watch_begin(struct worker *w);
/* look_at has come: a file that cannot be watched is looked at. */
void worker_watch_look(struct worker *w);
/* A backup may be due: a file that came without an event, and rests, counts, too. */
void worker_watch_check(struct worker *w);

/* worker_save.c */
void worker_save_begin(struct worker *w, enum save_kind kind);
/* LIFE_ABANDON */
void worker_save_abandon(struct worker *w);
/* The coordinator's answers. */
void worker_save_committed(struct worker *w, enum coord_result result, const struct err *e);
/* The lock was released without a commit, while a save asked for that. */
void worker_save_released(struct worker *w, enum coord_result result, const struct err *e);

/*
 * worker_doubt.c: what is in doubt is the newest record that came to be: to commit an older one
 * over it could lose a state.
 */
bool worker_is_in_doubt(const struct worker *w);
/* A save that keeps the lock begins: whether it has to commit that record once more, for certain,
 * before it looks at the file. */
bool worker_doubt_comes_first(struct worker *w);
/* The outcome of a commit is not known: of new bytes, and their record is taken over; of those of a
 * record before. */
void worker_doubt_begin(struct worker *w, struct record *r, const struct state_id *id);
void worker_doubt_goes_on(struct worker *w);
/* A commit has counted, without a release: no record that was in doubt can count any more
 * (coord.h), so none names a blob of theirs - but for the one that was just committed. */
void worker_doubt_end(struct worker *w);

/* worker_garbage.c */
/* Removes a blob that no record names any more, beside the loop; url may be NULL, and is taken
 * over. */
void worker_garbage_drop(struct worker *w, char *url);
/* The job runs: what earlier tenures left can be removed beside it, once, when sweep_at has come.
 */
void worker_garbage_plan(struct worker *w);
void worker_garbage_sweep(struct worker *w);
/* What this tenure left whose commits nobody knew the outcome of: the last record was committed for
 * certain. */
void worker_garbage_sweep_ours(struct worker *w);

/* worker_freed.c */
/*
 * The lock that was to be adopted is free. Whether it is certain that the dead worker lost nothing:
 * that it committed what its job left, as a clean dump.
 */
bool worker_freed_in_order(const struct worker *w, const struct record *record);

/* worker_stamps.c: a step of a hand-over is done */
void worker_stamp(struct worker *w, enum stamp which);
/* The lock is ours: what the record tells of the other end. */
void worker_stamps_granted(struct worker *w, const struct record *record);
/* Into the report, as far as there is a whole end to tell of. */
void worker_stamps_report(struct worker *w);

/* worker_left.c: a state that was not committed */
/* At the end, before the last report is made: notes what could not be committed any more. Once. */
void worker_left_keep(struct worker *w);
/* The same, before the lock is released with a mark - of the record in doubt, if there is one. */
void worker_left_keep_early(struct worker *w);
/* What of the worker that depends on: to be taken in the loop. */
struct left_search {
	uint64_t predecessor;    /* whose state the job may go on from; 0: nobody's */
	struct state_id saved;   /* the file that is in the last record; all zero: none */
	struct state_id refused; /* that can never be; likewise */
};
struct left_search worker_left_search(const struct worker *w);
/* Before a restore, on its thread: what is in the place of the state. */
enum worker_left {
	LEFT_NONE,    /* nothing that counts */
	LEFT_GOES_ON, /* what the job left here, and its owner then was the last one before us */
	LEFT_MOVED,   /* it may be older than the record: it was moved aside, to be kept */
	LEFT_FAILED,
};
enum worker_left worker_left_find(const struct worker *w, const struct left_search *s,
    char moved[REJECTED_MAX], bool *clean, struct err *e);
void worker_left_committed(struct worker *w);

/* worker_alone.c */
/* Nobody else tells when nothing is left of the dead worker's job: CLEARED will. */
void worker_alone_watch(struct worker *w);

#endif
