#include "role/home.h"

#include <bsd/libutil.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"

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

static int make_dirs(const struct conf *conf, struct err *e)
{
	char path[PATH_MAX];

	if (fs_mkdirs(conf->run_dir, 0755, e) != 0)
		return err_add(e, "\"run_dir\"");
	snprintf(path, sizeof(path), "%s/notify", conf->run_dir);
	if (fs_mkdirs(path, 0711, e) != 0)
		return err_add(e, "\"run_dir\"");
	/* Jobs reach their own directory below it, but cannot list it. */
	snprintf(path, sizeof(path), "%s/jobs", conf->work_dir);
	if (fs_mkdirs(path, 0711, e) != 0)
		return err_add(e, "\"work_dir\"");
	return 0;
}

int home_open(struct home *h, const struct conf *conf, struct err *e)
{
	if (make_dirs(conf, e) != 0)
		return -1;
	h->run = claim(conf->run_dir, "run_dir", e);
	if (h->run == NULL)
		return -1;
	h->work = claim(conf->work_dir, "work_dir", e);
	if (h->work != NULL)
		return 0;
	pidfile_remove(h->run);
	return -1;
}

void home_leave(struct home *h)
{
	pidfile_remove(h->work);
	pidfile_remove(h->run);
}
