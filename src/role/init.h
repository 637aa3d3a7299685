/*
 * init.h - the master and its init system: readiness by SIGSTOP, and the sd_notify protocol.
 *
 * What is told, and when, policy/herald.h decides; this file looks, sends, and keeps the variables
 * of the protocol from workers and jobs. Nothing here waits: an init system that does not read
 * holds up nobody.
 */
#ifndef ROLE_INIT_H
#define ROLE_INIT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/sdnotify.h"
#include "policy/fleet.h"
#include "policy/herald.h"

enum init_ready {
	INIT_READY_AUTO,    /* by NOTIFY_SOCKET, if it is set */
	INIT_READY_NOTIFY,  /* by NOTIFY_SOCKET, which has to be set */
	INIT_READY_SIGSTOP, /* by SIGSTOP to itself, once, for Upstart's "expect stop" */
};

struct init {
	enum init_ready how;
	bool up;
	struct sdnotify to;
	struct herald herald;
	bool failed; /* the last message could not be sent */
};

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment; before any fork. */
int init_open(struct init *i, enum init_ready how, struct err *e);

/*
 * The master is up: it hears signals, its directories are its own, and a first attempt was made to
 * fork a worker for each job. Not that any lock is held: the machines that hold them may be others.
 */
void init_up(struct init *i);

/* A reload begins. It has ended when init_tell() is called next. */
void init_reloading(struct init *i);

/* Says what is new. fleet: of posts. stop_began: meaningful once the fleet is being stopped. */
void init_tell(struct init *i, const struct fleet *fleet, msec stop_began);

/* When init_tell() is due though nothing has happened. */
msec init_deadline(const struct init *i);

#endif
