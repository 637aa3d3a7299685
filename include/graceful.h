/*
 * graceful.h - libgraceful: a job's side of the contract in graceful-job(7).
 *
 * A job starts, takes up its state, works, writes checkpoints, and dumps its state and exits with 0
 * when it is asked to stop. Nothing here needs graceful to be running: by hand, a job gets its
 * state from the path that it names itself, is ready for nobody, and stops on Ctrl-C.
 *
 *	graceful_init("orders.state");
 *	graceful_restore(&data, &len);
 *	graceful_ready();
 *	while (!graceful_should_stop())
 *		... wait with poll() on graceful_fd() too, work, now and then checkpoint ...
 *	graceful_checkpoint(data, len);
 *	return 0;
 *
 * Errors: functions return -1 (or NULL) and set errno; the library prints nothing and never exits.
 * Threads: graceful_init() comes first, once, before other threads use the library. After it every
 * function may be called from any thread, and the should_...() ones, graceful_fd() and
 * graceful_epoch() from a signal handler as well. A call that blocks says so.
 * Processes: what graceful_init() did is for the process that called it. A child made by fork()
 * should exec, or leave the library alone; the signals that the job handles end it, and a job that
 * forks itself into the background does so before graceful_init(). No descriptor of the library
 * survives an exec.
 */
#ifndef GRACEFUL_H
#define GRACEFUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __GNUC__
#define GRACEFUL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define GRACEFUL_PRINTF(fmt, args)
#endif

/* What graceful_restore() found. */
enum graceful_restored {
	GRACEFUL_NONE = 0,  /* no state: start from nothing */
	GRACEFUL_CLEAN = 1, /* the state dumped at the last stop: nothing happened since */
	GRACEFUL_CRASH = 2, /* the last checkpoint: what came after it has to be done again */
};

/*
 * Reads the environment and installs handlers for SIGINT and SIGTERM, also where these were
 * ignored or blocked (a shell starts background programs with SIGINT ignored). Handlers restart
 * interrupted calls, so no read() of the job begins to fail with EINTR; a job that blocks must wait
 * with poll() on graceful_fd() too.
 *
 * state_path is where the state lives when the job runs without graceful; NULL: nowhere.
 * GRACEFUL_STATE, when set, goes before it. A relative path is looked up anew by every call.
 *
 * EALREADY: called before. EINVAL: an unusable value in the environment, as a GRACEFUL_EPOCH that
 * is no number; better no job than one with a wrong fencing token. Else as eventfd(), malloc().
 */
int graceful_init(const char *state_path);

/* Where the state is kept; NULL if nowhere. Belongs to the library, never changes. */
const char *graceful_state_path(void);

/*
 * Reads the whole state. Returns an enum graceful_restored; after CLEAN and CRASH *data is a fresh
 * buffer of *len bytes, with a NUL behind them, that the caller frees; otherwise *data is NULL.
 * Without graceful nobody knows how the last run ended, so a state that is there counts as CRASH.
 *
 * -1 means that there is a state which cannot be read: the job must not go on from nothing then.
 * ENOENT: graceful says that there is one, but the file is gone. EISDIR, EINVAL: not a regular
 * file. Blocks while it reads.
 */
int graceful_restore(char **data, size_t *len);

/* The same for states too large for memory: *fd is open for reading, and the caller's to close. */
int graceful_restore_fd(int *fd);

/*
 * Replaces the state by len bytes, all or nothing: written to "<state>.tmp" in the same directory,
 * synced, renamed, directory synced. After 0 the new state survives a power cut. After -1 the old
 * one is in place, unless syncing the directory is what failed: then it is the new one, which a
 * power cut may undo.
 *
 * ENOTSUP: the job has no state path. EBUSY: another checkpoint is being written. Else as open(),
 * write(), fsync(), rename(). Blocks on the disk.
 */
int graceful_checkpoint(const void *data, size_t len);

/*
 * The same in pieces. begin() returns a stream to write to, or NULL; one at a time. commit() does
 * the rest and closes the stream in either case; EIO: a write to the stream had failed before.
 * fileno() has no answer for it. A child that is forked meanwhile writes nothing to it.
 * abort() gives up: the old state stays, errno too. Only commit() waits for the disk.
 */
FILE *graceful_checkpoint_begin(void);
int graceful_checkpoint_commit(FILE *stream);
void graceful_checkpoint_abort(FILE *stream);

/* Asked to stop (SIGINT, SIGTERM, graceful_stop_signal()): dump the state and exit 0. Stays true.
 */
bool graceful_should_stop(void);

/*
 * SIGTERM came: SIGKILL is near. Leave out all but the dump. Implies should_stop. Stays true.
 * With SIGTERM for a "stop_signal" it is true from the first stop on: the two cannot be told apart.
 */
bool graceful_should_hurry(void);

/* A checkpoint was asked for since the last call: true once. Makes a system call. */
bool graceful_should_checkpoint(void);

/*
 * A descriptor for poll(), readable once there is something to ask the functions above about: from
 * the first stop signal on for ever, and from a checkpoint signal until should_checkpoint(). Never
 * read or close it. -1 before graceful_init().
 */
int graceful_fd(void);

/* For a job configured with a "stop_signal": takes signo for a stop signal, beside SIGINT. */
int graceful_stop_signal(int signo);

/* For a job configured with a "checkpoint_signal": the one that should_checkpoint() reports. */
int graceful_checkpoint_signal(int signo);

/*
 * The fencing token: larger for every new owner of the job, 0 without graceful. Pass it to
 * whatever the job writes to, and let that refuse a smaller one than it has seen.
 */
uint64_t graceful_epoch(void);

/* Names of this job and of the master that runs it; "" without graceful. The library's. */
const char *graceful_job(void);
const char *graceful_instance(void);

/*
 * Messages to graceful, or to whoever set NOTIFY_SOCKET. 0: sent, or nobody asked for them. -1:
 * not sent; a job may ignore that. Blocks for at most a second, while the receiver's queue is
 * full, then EAGAIN. Raises no SIGPIPE.
 */

/* The state is taken up, the work begins. */
int graceful_ready(void);

#define GRACEFUL_STATUS_MAX 255

/* One line for people, as "12345 lines, 17 keys". Cut to GRACEFUL_STATUS_MAX bytes. */
int graceful_status(const char *fmt, ...) GRACEFUL_PRINTF(1, 2);

/* The job stops of its own accord, or has begun its dump. */
int graceful_stopping(void);

/* Stopping takes longer: do not give up for msec milliseconds from now. Repeat before they end. */
int graceful_extend_timeout(uint64_t msec);

/* Alive. To be sent every graceful_watchdog_msec() by a job with a watchdog. */
int graceful_watchdog(void);

/* Milliseconds between two pings: half of what the watchdog allows. 0: there is no watchdog. */
int graceful_watchdog_msec(void);

#ifdef __cplusplus
}
#endif

#endif
