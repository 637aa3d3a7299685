/*
 * pidlock.h - a lock file that proves which process holds it.
 *
 * A file that others can read they can lock, and so keep us out of our own or pass for us. This one
 * is closed to them. The lock is a record lock of POSIX: the kernel tells whose it is, also to who
 * just asks, and neither a child nor its descriptors hold it after the process. It goes with the
 * first close of the file by the process that holds it, so that must not open it again.
 */
#ifndef BASE_PIDLOCK_H
#define BASE_PIDLOCK_H

#include <sys/types.h>

#include "base/err.h"

/*
 * Makes the file and takes the lock: a descriptor to keep. -1 with *other set: that process holds
 * it. -1 with *other 0: e says why not. The file stays for ever: a lock on one that was removed
 * keeps out nobody who makes it anew.
 */
int pidlock_take(const char *path, pid_t *other, struct err *e);

enum pidlock {
	PIDLOCK_HELD,  /* by *pid */
	PIDLOCK_OTHER, /* by another process */
	PIDLOCK_FREE,  /* e says how that shows */
	PIDLOCK_FAILED,
};

/*
 * Takes nothing. *pid is who is asked about, or 0: whoever it is, to be filled in. Who may not open
 * the file is never told PIDLOCK_OTHER, but PIDLOCK_FREE, and not whose it is: PIDLOCK_FAILED.
 */
enum pidlock pidlock_ask(const char *path, pid_t *pid, struct err *e);

#endif
