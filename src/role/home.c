#include "role/home.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/pidlock.h"
#include "base/trust.h"
#include "state/place.h"

/*
 * For people, and for programs that ask by flock(2) whether its process lives. Nothing here relies
 * on that lock, which everybody could take.
 */
static int write_pid(struct claim *c, struct err *e)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (fs_replace(c->pid_path, text, (size_t)len, 0644, false, e) != 0)
		return -1;
	c->pid_file = open(c->pid_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (c->pid_file < 0)
		return err_sys(e, "cannot open %s", c->pid_path);
	flock(c->pid_file, LOCK_EX | LOCK_NB);
	return 0;
}

/* In this order: a master is found by its PID and then proved by its lock. */
static void leave(struct claim *c)
{
	unlink(c->pid_path);
	if (c->pid_file >= 0)
		close(c->pid_file);
	close(c->lock);
}

static int refuse(const char *key, struct err *e)
{
	trust_advise(e);
	return err_add(e, "\"%s\"", key);
}

static int claim(struct claim *c, const char *dir, const char *key, struct err *e)
{
	char path[PATH_MAX];
	pid_t other;

	c->pid_file = -1;
	snprintf(path, sizeof(path), "%s/" CONF_LOCK_FILE, dir);
	snprintf(c->pid_path, sizeof(c->pid_path), "%s/" CONF_PID_FILE, dir);
	c->lock = pidlock_take(path, &other, e);
	if (c->lock < 0 && other != 0)
		return err_set(e,
		    "another master runs here, pid %d (%s is locked): stop it first, or give this "
		    "one a \"%s\" of its own",
		    (int)other, path, key);
	if (c->lock < 0)
		return refuse(key, e);
	if (write_pid(c, e) == 0)
		return 0;
	leave(c);
	return -1;
}

/* Looked at before, too: else somebody could have us make things where he likes. */
static int make_dir(const char *path, mode_t mode, const char *key, struct err *e)
{
	if (trust_dir(path, e) != 0 || fs_mkdirs(path, mode, e) != 0 || trust_dir(path, e) != 0)
		return refuse(key, e);
	return 0;
}

static int trust_local(const struct conf *conf, struct err *e)
{
	if (conf->coord != CONF_COORD_LOCAL || trust_dir(conf->local_path, e) == 0)
		return 0;
	return err_add(e, "\"coordinator.path\"");
}

static int make_dirs(const struct conf *conf, struct err *e)
{
	char notify[PATH_MAX + sizeof(CONF_NOTIFY_DIR)], jobs[PATH_MAX + sizeof(CONF_JOBS_DIR)];

	snprintf(notify, sizeof(notify), "%s/" CONF_NOTIFY_DIR, conf->run_dir);
	snprintf(jobs, sizeof(jobs), "%s/" CONF_JOBS_DIR, conf->work_dir);
	if (trust_local(conf, e) != 0)
		return -1;
	/* Jobs reach their own places in them, but cannot list these. */
	if (make_dir(conf->run_dir, 0755, "run_dir", e) != 0 ||
	    make_dir(notify, 0711, "run_dir", e) != 0 ||
	    make_dir(conf->work_dir, 0755, "work_dir", e) != 0 ||
	    make_dir(jobs, 0711, "work_dir", e) != 0)
		return -1;
	return 0;
}

/*
 * Not of a store, which may hang: the workers do that. Looked at once more behind it: where all may
 * make things, somebody else could have made it after the first look.
 */
static int settle(const struct conf *conf, struct err *e)
{
	struct err why;
	int rc;

	if (conf->coord != CONF_COORD_LOCAL)
		return 0;
	FAULT("before_settle");
	rc = place_settle(conf->work_dir, conf->local_path, &why);
	if (rc < 0) /* it may be mounted yet: no worker goes on before that */
		log_error("\"coordinator.path\": %s", why.text);
	else if (rc > 0 || fs_keeps_locks(conf->local_path, &why) != 0)
		log_warn("\"coordinator.path\": %s", why.text);
	return trust_local(conf, e);
}

void home_look_at_metrics(const struct conf *conf)
{
	struct err e;

	if (conf->metrics_file != NULL && trust_dir_of(conf->metrics_file, &e) != 0)
		log_warn("\"metrics_file\": %s", e.text);
}

int home_open(struct home *h, const struct conf *conf, struct err *e)
{
	if (make_dirs(conf, e) != 0)
		return -1;
	if (claim(&h->run, conf->run_dir, "run_dir", e) != 0)
		return -1;
	if (claim(&h->work, conf->work_dir, "work_dir", e) != 0)
		goto leave_run;
	if (settle(conf, e) != 0)
		goto leave_work;
	home_look_at_metrics(conf);
	return 0;
leave_work:
	leave(&h->work);
leave_run:
	leave(&h->run);
	return -1;
}

void home_leave(struct home *h)
{
	leave(&h->work);
	leave(&h->run);
}
