/*
 * sdnotify.h - the sender's half of the sd_notify protocol: one datagram of KEY=value lines for
 * each message.
 *
 * Shared by the master, which tells its init system, and libgraceful, by which jobs tell their
 * worker; so it uses nothing but the C library.
 */
#ifndef BASE_SDNOTIFY_H
#define BASE_SDNOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

struct sdnotify {
	socklen_t len; /* 0: nobody is to be told, or the address is of an unknown kind */
	struct sockaddr_un addr;
};

/* name: the value of NOTIFY_SOCKET. -1: it is no path and no abstract name (or too long). */
int sdnotify_address(const char *name, struct sdnotify *to);

/* Waits at most patience_ms for a receiver with a full queue. -1 with errno; EAGAIN: that queue
 * was full throughout. */
int sdnotify_send(const struct sdnotify *to, const char *text, int patience_ms);

#endif
