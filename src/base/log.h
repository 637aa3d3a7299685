/*
 * log.h - one line for everything worth telling: time, level, process, job, text.
 *
 *   2026-11-22T23:50:19.123Z info   worker[4711] orders: took the lock epoch=7 waited=12ms
 *
 * Text is a sentence for the operator; figures follow as key=value. A line is written with one
 * write() of at most PIPE_BUF bytes, so that lines of many processes never mix. A log that cannot
 * be written - full pipe, dead reader, hung terminal - loses lines and never blocks, kills or fails
 * the caller; how many, it says when it takes lines again. The one exception is a regular file on a
 * disk that hangs.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* "error", "warn", "info", "debug" to its level; false if it is none of these. */
bool log_level_parse(const char *name, enum log_level *level);

/*
 * Sends lines to stderr (the start-up default) or to syslog, facility daemon, tag "graceful". May
 * be called again. Syslog lines carry no time and level of their own: syslog adds these.
 */
void log_open(bool to_syslog, enum log_level level);

/* Where lines go and which, as one number for a signal that carries one; and back. */
int log_setting(bool to_syslog, enum log_level level);
void log_open_setting(int setting);

/* Opens the target anew, as it is. */
void log_reopen(void);

/* Says who speaks from now on: a process role ("master", "worker") and a job name or NULL. Keeps
 * copies. */
void log_who(const char *role, const char *job);

/* Whether somebody listens there (if not, e->code is not 0) and reads, without a line; for one that
 * is busy it waits for that many milliseconds. */
int log_try_syslog(int patience, struct err *e);

/* The descriptor of the log target that must survive a fork's clean-up of descriptors, or -1. */
int log_fd(void);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A line of a job's own output: as log_info(), with "job[pid]" in the place of the role. line has
 * no newline. */
void log_output(int pid, const char *line, size_t len);

/*
 * Lines may wait a fifth of a second for a full target, all lines of one turn of this loop
 * together: a slow reader must not keep a process from its signals and its lease. (Without a loop:
 * each line.) Once a process.
 */
void log_turns(struct ev_loop *loop);

/* Lines lost so far because the target did not take them. */
unsigned long log_lost(void);

#endif
