/*
 * notify.h - the receiving end of NOTIFY_SOCKET: the sd_notify protocol, one datagram of KEY=value
 * lines at a time.
 *
 * Whatever a job sends is untrusted: datagrams are bounded, senders checked by the credentials that
 * the kernel attaches, descriptors that come along closed (which is also the answer that BARRIER=1
 * of systemd-notify waits for).
 */
#ifndef JOB_NOTIFY_H
#define JOB_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"

#define NOTIFY_STATUS_MAX 160

struct notify {
	bool ready, stopping, watchdog;
	bool has_status;
	char
	    status[NOTIFY_STATUS_MAX + 1]; /* one line of valid UTF-8, without control characters */
	msec extend;                       /* EXTEND_TIMEOUT_USEC, 0 if none */
};

/* Never fails: what it does not know or understand it leaves out. */
void notify_parse(const char *text, size_t len, struct notify *n);

/* A non-blocking socket at path, which only uid (and root) may write to; an old socket there is
 * replaced. */
int notify_open(const char *path, uid_t uid, gid_t gid, struct err *e);

/*
 * Whether descriptors come along with the message that is next. To receive that one may take as
 * long as its sender likes - a connection that lingers blocks whoever closes it last - so that
 * belongs on a task thread.
 */
bool notify_is_burdened(int fd);

/* 1: *n is a message. 0: none waits. -1: one came from a user who may not send; e says who. */
int notify_receive(int fd, uid_t uid, struct notify *n, struct err *e);

#endif
