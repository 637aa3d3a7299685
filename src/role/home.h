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
/*
 * Warns of a metrics_file in a directory of somebody else. The file itself is safe there: it is
 * made anew and renamed, and followed by nobody. But whoever can replace the directory by a link
 * has a file of that name, and with nothing but figures in it, put anywhere. That is no reason not
 * to start: Debian gives the directory above node_exporter's to prometheus.
 */
void home_look_at_metrics(const struct conf *conf);
/* Removes the PID files, then lets the locks go. */
void home_leave(struct home *h);

#endif
