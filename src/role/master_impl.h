/*
 * master_impl.h - the inside of the master, shared by its files:
 *   master.c          the process: loop, reports of workers; does what the fleet demands
 *   master_signals.c  what it is told by signals
 *   master_deaths.c   the ends of its children, and what dead workers left of their jobs
 */
#ifndef ROLE_MASTER_IMPL_H
#define ROLE_MASTER_IMPL_H

#include <ev.h>
#include <stdbool.h>

#include "base/alarm.h"
#include "role/board.h"
#include "role/complaints.h"
#include "role/home.h"
#include "role/init.h"
#include "role/master.h"
#include "role/roster.h"

struct master {
	const char *conf_file;
	struct post_shared shared;
	struct ev_loop *loop;
	struct alarm alarm;
	struct ev_io signals;
	struct home home;
	struct init init;
	int lifeline; /* write end: closed by the kernel when this process dies, however it dies */
	struct roster roster;
	unsigned reloads;
	struct board board;
	struct complaints complaints;
	msec clear_at; /* the next round against what dead workers left */
	msec reap_at;  /* more children have ended than were buried in one turn */
	bool settling;
	msec stop_began;
	bool at_end;
};

/* master.c */
/* After anything happened: until there is nothing left to do now. */
void master_settle(struct master *m);
/* Takes what is in the worker's pipe. Whether there was any. */
bool master_read_reports(struct master *m, struct post *p);

/* master_signals.c */
int master_signals_open(struct master *m, struct err *e);

/* master_deaths.c */
/* Buries children that have ended; when there are many, the rest when reap_at has come. */
void master_reap(struct master *m);
/* It may have been the last of a worker that went: when the next one comes, if not at once. */
void master_tell_pause(const struct master *m, const struct post *p);
/* A worker was killed and has not ended. */
void master_look_at_stuck(struct master *m, struct post *p);
/* Of the jobs of workers that died, whose main process and others are children of ours: tells the
 * fleet of those of which nothing is left, and kills what is to be killed. */
void master_clear_orphans(struct master *m);
void master_stop_orphan(const struct post *p);
void master_term_orphans(struct master *m, struct post *p);

#endif
