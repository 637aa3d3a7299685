#include "cli/find.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/pidlock.h"
#include "base/proc.h"
#include "conf/conf.h"

#define TRIES 5 /* at catching a PID file that does not change under our eyes */

enum probe { PROBE_FOUND, PROBE_NONE, PROBE_AGAIN, PROBE_FAILED };

int find_run_dir(const struct cli_args *args, char **run_dir)
{
	static const char *const only[] = { "run_dir", NULL };
	struct conf *conf;

	*run_dir = NULL;
	if (args->run_dir != NULL) {
		*run_dir = strdup(args->run_dir);
		return *run_dir != NULL ? EXIT_OK : cli_fail(EXIT_CANNOT, "out of memory");
	}
	conf = cli_load(args->conf_file, only);
	if (conf == NULL)
		return cli_fail(EXIT_BAD_CONF,
		    "cannot tell the run directory from %s; "
		    "correct it, name another with -c, or give --run-dir",
		    args->conf_file);
	*run_dir = strdup(conf->run_dir);
	conf_free(conf);
	return *run_dir != NULL ? EXIT_OK : cli_fail(EXIT_CANNOT, "out of memory");
}

/* 0 while the file is empty, as between a master's lock and its PID; -1 for what is no PID. */
static pid_t read_pid(int fd)
{
	char text[32];
	char *end;
	long pid;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -1;
	if (n == 0)
		return 0;
	text[n] = '\0';
	errno = 0;
	pid = strtol(text, &end, 10);
	if (end == text || (*end != '\0' && *end != '\n') || errno != 0 || pid <= 0 ||
	    pid > INT_MAX)
		return -1;
	return (pid_t)pid;
}

/*
 * The order matters: the process is pinned by a descriptor first, then it is found to hold the lock
 * of the directory. So the process that we have is the master, and not one that got its number.
 */
static enum probe probe_lock(const char *lock_path, struct master *m, struct err *e)
{
	struct err why;

	switch (pidlock_ask(lock_path, &m->pid, &why)) {
	case PIDLOCK_HELD: return PROBE_FOUND;
	case PIDLOCK_OTHER: /* it has just started, or another has just ended */
		err_set(e,
		    "%s is held by another process than pid %d: try again; if it stays so, the "
		    "master runs in another PID namespace, as of a container: ask there",
		    lock_path, m->pid);
		return PROBE_AGAIN;
	case PIDLOCK_FREE: err_set(e, "no master runs here (%s)", why.text); return PROBE_NONE;
	case PIDLOCK_FAILED: err_set(e, "%s", why.text); return PROBE_FAILED;
	}
	return PROBE_FAILED;
}

static enum probe pin_and_prove(
    const char *path, const char *lock_path, struct master *m, struct err *e)
{
	enum probe probe;

	m->pidfd = pidfd_open(m->pid, 0);
	if (m->pidfd < 0 && errno == ESRCH) {
		err_set(e, "no master runs here (%s names PID %d, which is gone)", path, m->pid);
		return PROBE_NONE;
	}
	if (m->pidfd < 0) {
		err_sys(e, "cannot watch PID %d of %s", m->pid, path);
		return PROBE_FAILED;
	}
	probe = probe_lock(lock_path, m, e);
	if (probe != PROBE_FOUND)
		close(m->pidfd);
	return probe;
}

static enum probe probe_pid_file(
    int fd, const char *path, const char *lock_path, struct master *m, struct err *e)
{
	m->pid = read_pid(fd);
	if (m->pid < 0) {
		err_set(e, "%s holds no PID", path);
		return PROBE_FAILED;
	}
	if (m->pid == 0) {
		err_set(e, "no master runs here yet (%s is empty)", path);
		return PROBE_NONE;
	}
	return pin_and_prove(path, lock_path, m, e);
}

/* Of a master that lives somebody may have removed it. */
static enum probe probe_without_pid_file(
    const char *path, const char *lock_path, struct master *m, struct err *e)
{
	struct err why;

	m->pid = 0;
	switch (pidlock_ask(lock_path, &m->pid, &why)) {
	case PIDLOCK_HELD: return pin_and_prove(lock_path, lock_path, m, e);
	case PIDLOCK_OTHER:
	case PIDLOCK_FREE:
		err_set(e, "no master runs here (%s does not exist)", path);
		return PROBE_NONE;
	case PIDLOCK_FAILED:
		err_set(e, "cannot tell whether a master runs here: %s does not exist, and: %s",
		    path, why.text);
		return PROBE_FAILED;
	}
	return PROBE_FAILED;
}

static enum probe probe_path(
    const char *path, const char *lock_path, struct master *m, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	enum probe probe;

	if (fd < 0 && errno == ENOENT)
		return probe_without_pid_file(path, lock_path, m, e);
	if (fd < 0) {
		err_sys(e, "cannot read %s", path);
		return PROBE_FAILED;
	}
	probe = probe_pid_file(fd, path, lock_path, m, e);
	close(fd);
	return probe;
}

int find_master(const char *run_dir, struct master *m, struct err *e)
{
	enum probe probe = PROBE_AGAIN;
	char path[PATH_MAX], lock_path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/" CONF_PID_FILE, run_dir) >= PATH_MAX ||
	    snprintf(lock_path, sizeof(lock_path), "%s/" CONF_LOCK_FILE, run_dir) >= PATH_MAX)
		return err_set(e, "the name of the run directory is too long");
	for (int i = 0; i < TRIES && probe == PROBE_AGAIN; i++)
		probe = probe_path(path, lock_path, m, e);
	if (probe != PROBE_FOUND)
		return probe == PROBE_NONE ? 0 : -1;
	m->run_dir = strdup(run_dir);
	if (m->run_dir == NULL) {
		close(m->pidfd);
		return err_set(e, "out of memory");
	}
	return 1;
}

int find_fail(const struct cli_args *args, int found, const struct err *e)
{
	if (found < 0)
		return cli_fail_err(e);
	if (args->run_dir != NULL)
		return cli_fail(EXIT_CANNOT, "%s; start one with: graceful run", e->text);
	return cli_fail(
	    EXIT_CANNOT, "%s; start one with: graceful run -c %s", e->text, args->conf_file);
}

int find_open(const struct cli_args *args, struct master *m)
{
	struct err e;
	char *run_dir;
	int status = find_run_dir(args, &run_dir);
	int found;

	if (run_dir == NULL)
		return status;
	found = find_master(run_dir, m, &e);
	free(run_dir);
	return found > 0 ? EXIT_OK : find_fail(args, found, &e);
}

void find_close(struct master *m)
{
	close(m->pidfd);
	free(m->run_dir);
}

static int send_signal(
    int pidfd, const char *whom, pid_t pid, int signo, siginfo_t *info, struct err *e)
{
	if (pidfd_send_signal(pidfd, signo, info, 0) == 0)
		return 0;
	if (errno == EPERM)
		return err_set(e,
		    "not allowed to signal %s (pid %d); "
		    "be root or the user that it runs as",
		    whom, pid);
	if (errno == ESRCH)
		return err_set(e, "%s (pid %d) is gone", whom, pid);
	return err_sys(e, "cannot signal %s (pid %d)", whom, pid);
}

int find_signal_master(const struct master *m, int signo, struct err *e)
{
	return send_signal(m->pidfd, "the master", m->pid, signo, NULL, e);
}

int find_queue_master(const struct master *m, int signo, int value, struct err *e)
{
	siginfo_t info = { .si_signo = signo, .si_code = SI_QUEUE };

	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = value;
	return send_signal(m->pidfd, "the master", m->pid, signo, &info, e);
}

bool find_is_suspended(const struct master *m)
{
	struct proc_stat p;

	return proc_stat(m->pid, &p) == 0 && (p.state == 'T' || p.state == 't');
}

int find_signal_worker(const struct master *m, pid_t worker, int signo, struct err *e)
{
	struct proc_stat p;
	int pidfd = pidfd_open(worker, 0);
	int rc;

	if (pidfd < 0 && errno == ESRCH)
		return err_set(e, "the worker (pid %d) is gone", worker);
	if (pidfd < 0)
		return err_sys(e, "cannot watch the worker (pid %d)", worker);
	/* If the PID is reused between these two, the signal goes nowhere: pidfd is the old one. */
	if (proc_stat(worker, &p) == 0 && p.parent == m->pid)
		rc = send_signal(pidfd, "the worker", worker, signo, NULL, e);
	else
		rc = err_set(
		    e, "pid %d is no worker of the master (pid %d) any more", worker, m->pid);
	close(pidfd);
	return rc;
}
