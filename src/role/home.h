/*
 * home.h - the directories that belong to one master, and the proof that they belong to this one.
 *
 * run_dir and work_dir each hold a file that the master locks as long as it lives (base/pidlock.h),
 * and one that tells everybody its PID. Two masters with one of them in common would overwrite each
 * other's jobs' files, so the second refuses to start and names the first one's PID.
 */
#ifndef ROLE_HOME_H
#define ROLE_HOME_H

#include <limits.h>

#include "base/err.h"
#include "conf/conf.h"

struct claim {
	int lock, pid_file;
	char pid_path[PATH_MAX];
};

struct home {
	struct claim run, work;
};

/* Makes the directories that are missing, then locks both and writes this process's PID. That of
 * the local coordinator is made, too, unless it was there before (place.h). */
int home_open(struct home *h, const struct conf *conf, struct err *e);
/* Removes the PID files, then lets the locks go. */
void home_leave(struct home *h);

#endif
