#include "role/home.h"

#include <bsd/libutil.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/trust.h"
#include "state/place.h"

static struct pidfh *claim(const char *dir, const char *key, struct err *e)
{
	char path[PATH_MAX];
	struct pidfh *f;
	pid_t other = 0;

	snprintf(path, sizeof(path), "%s/graceful.pid", dir);
	f = pidfile_open(path, 0644, &other);
	if (f == NULL && errno == EEXIST) {
		err_set(e,
		    "another master runs here, pid %d (%s is locked): stop it first, or give this "
		    "one a \"%s\" of its own",
		    (int)other, path, key);
	} else if (f == NULL) {
		err_sys(e, "cannot lock %s: check \"%s\"", path, key);
	} else if (pidfile_write(f) != 0) {
		err_sys(e, "cannot write %s", path);
		pidfile_remove(f);
		f = NULL;
	}
	return f;
}

/* Looked at before, too: else somebody could have us make things where he likes. */
static int make_dir(const char *path, mode_t mode, const char *key, struct err *e)
{
	if (trust_dir(path, e) != 0 || fs_mkdirs(path, mode, e) != 0 || trust_dir(path, e) != 0)
		return err_add(e, "\"%s\"", key);
	return 0;
}

static int make_dirs(const struct conf *conf, struct err *e)
{
	char notify[PATH_MAX + sizeof(CONF_NOTIFY_DIR)], jobs[PATH_MAX + sizeof(CONF_JOBS_DIR)];

	snprintf(notify, sizeof(notify), "%s/" CONF_NOTIFY_DIR, conf->run_dir);
	snprintf(jobs, sizeof(jobs), "%s/" CONF_JOBS_DIR, conf->work_dir);
	if (conf->coord == CONF_COORD_LOCAL && trust_dir(conf->local_path, e) != 0)
		return err_add(e, "\"coordinator.path\"");
	/* Jobs reach their own places in them, but cannot list these. */
	if (make_dir(conf->run_dir, 0755, "run_dir", e) != 0 ||
	    make_dir(notify, 0711, "run_dir", e) != 0 ||
	    make_dir(conf->work_dir, 0755, "work_dir", e) != 0 ||
	    make_dir(jobs, 0711, "work_dir", e) != 0)
		return -1;
	return 0;
}

/* Not of a store, which may hang: the workers do that. */
static void settle(const struct conf *conf)
{
	struct err e;
	int rc = 0;

	if (conf->coord == CONF_COORD_LOCAL)
		rc = place_settle(conf->work_dir, conf->local_path, &e);
	if (rc < 0) /* it may be mounted yet: no worker goes on before that */
		log_error("\"coordinator.path\": %s", e.text);
	else if (rc > 0)
		log_warn("\"coordinator.path\": %s", e.text);
}

int home_open(struct home *h, const struct conf *conf, struct err *e)
{
	if (make_dirs(conf, e) != 0)
		return -1;
	h->run = claim(conf->run_dir, "run_dir", e);
	if (h->run == NULL)
		return -1;
	h->work = claim(conf->work_dir, "work_dir", e);
	if (h->work != NULL) {
		settle(conf);
		return 0;
	}
	pidfile_remove(h->run);
	return -1;
}

void home_leave(struct home *h)
{
	pidfile_remove(h->work);
	pidfile_remove(h->run);
}
