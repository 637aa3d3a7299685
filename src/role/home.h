/*
 * home.h - the directories that belong to one master, and the proof that they belong to this one.
 *
 * run_dir and work_dir each hold a PID file that is locked while the master lives. Two masters with
 * one of them in common would overwrite each other's jobs' files, so the second refuses to start
 * and names the first one's PID.
 */
#ifndef ROLE_HOME_H
#define ROLE_HOME_H

#include "base/err.h"
#include "conf/conf.h"

struct home {
	struct pidfh *run, *work;
};

/* Makes the directories that are missing, then locks both and writes this process's PID. */
int home_open(struct home *h, const struct conf *conf, struct err *e);
/*
 * Makes the directories that keep what the jobs have, unless they were there before (place.h). -1:
 * one of these is not there now, because it is not mounted yet, say.
 */
int home_settle(const struct conf *conf, struct err *e);
/* Removes the PID files. */
void home_leave(struct home *h);

#endif
