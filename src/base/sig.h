/*
 * sig.h - signals become events in one place; no code of this program runs in a handler.
 *
 * A process blocks the signals it wants with sig_open() and reads them from a descriptor. That
 * descriptor must be made after the fork: an inherited one reports the parent's signals. SIGPIPE
 * and SIGXFSZ are ignored throughout, writes return EPIPE and EFBIG.
 */
#ifndef BASE_SIG_H
#define BASE_SIG_H

#include <signal.h>
#include <stdbool.h>

#include "base/err.h"

/*
 * From now on the signals of the 0-terminated list wait for sig_open(), instead of ending a process
 * that has not come to it yet. Also by whom they were ignored: a shell that starts a program with
 * "&" hands it SIGINT so.
 */
void sig_hold(const int *signals);

/*
 * The same, and nothing else stays blocked. Returns a non-blocking, close-on-exec descriptor, or
 * -1.
 */
int sig_open(const int *signals, struct err *e);

/* Who sent a signal, and how. */
struct sig_from {
	int pid;     /* 0: nobody of this PID namespace */
	bool kernel; /* not a process that meant us, but a terminal, say */
	bool queued; /* with sigqueue(3), and so with a value */
	int value;
};

/* The next signal that arrived, and where it is from when from is not NULL; 0 when there is none.
 */
int sig_next(int fd, struct sig_from *from);

/* Mask and every disposition back to default: between fork and exec. Async-signal-safe. */
void sig_reset(void);

/* Blocks everything; sig_open() of the new process then sets its own mask. Around fork, so no
 * signal is lost to the wrong process. */
void sig_block_all(sigset_t *old);
void sig_restore(const sigset_t *old);

/* "INT", "SIGINT", "int" or "RTMIN+2" to its number; 0 if there is no such signal. */
int sig_number(const char *name);
/* "SIGINT" for 2; a static or constant string. */
const char *sig_name(int signo);

#endif
