#include "cli/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* For a job's directories and command to be looked at, on a slow server, too. */
#define PATIENCE_MS 60000

/* Before the user is another one, as spawn_job() does it. What is lowered cannot be refused, and
 * would be in the way of what is tried next. */
static void probe_privileges(const struct job_conf *job, struct probe_job *result)
{
	struct rlimit limit;

	for (size_t i = 0; i < job->n_limits && result->limit == 0; i++) {
		const struct conf_limit *l = &job->limits[i];

		if (getrlimit(l->resource, &limit) != 0 || l->value.rlim_max <= limit.rlim_max)
			continue;
		limit.rlim_max = l->value.rlim_max;
		result->limit = setrlimit(l->resource, &limit) == 0 ? 0 : errno;
		result->refused = l;
	}
	if (job->nice != 0 && job->nice < getpriority(PRIO_PROCESS, 0))
		result->nice = setpriority(PRIO_PROCESS, 0, job->nice) == 0 ? 0 : errno;
}

/* The user in effect only: who may signal this process goes by the rest, and its user could stop it
 * for good, and us with it. */
static int become_user(const struct job_conf *job)
{
	if (!job->switch_user)
		return 0;
	if (setgroups(job->n_groups, job->groups) != 0 ||
	    setresgid(job->gid, job->gid, (gid_t)-1) != 0 ||
	    setresuid((uid_t)-1, job->uid, (uid_t)-1) != 0)
		return errno;
	return 0;
}

/* access(2) asks for whom we really are, who may signal us meanwhile: probe_job() waits in vain for
 * a while only. */
static int may_really_run(const char *path)
{
	uid_t real = getuid();
	int code;

	if (setresuid(geteuid(), (uid_t)-1, (uid_t)-1) != 0)
		return errno;
	code = access(path, X_OK) == 0 ? 0 : errno;
	return setresuid(real, (uid_t)-1, (uid_t)-1) == 0 ? code : errno;
}

/* Not faccessat(3), which takes the real user where the kernel knows no other way. EPERM: a filter
 * of system calls does not know this one. */
static int may_run(const char *path)
{
	if (syscall(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return 0;
	return errno == ENOSYS || errno == EPERM ? may_really_run(path) : errno;
}

static int find_command(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	return may_run(path);
}

static int find_interpreter(const char *script, char path[SPAWN_INTERPRETER_MAX])
{
	return spawn_interpreter(script, path) ? find_command(path) : 0;
}

/* A program, or a script that says what runs it. What cannot be read may be anything. */
static bool is_strange(const char *path)
{
	char start[4] = "";
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, start, sizeof(start)) : -1;

	if (fd >= 0)
		close(fd);
	return n >= 0 && memcmp(start, "#!", 2) != 0 && memcmp(start, "\177ELF", 4) != 0;
}

/* Takes the last name off an absolute path: "/a/b" to "/a", "/a" to "/". */
static void go_up(char *path)
{
	char *slash = strrchr(path, '/');

	while (slash > path && slash[1] == '\0') {
		*slash = '\0';
		slash = strrchr(path, '/');
	}
	if (slash == path)
		slash++;
	*slash = '\0';
}

static bool is_link(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* Leaves of path what is there already; a link to nothing is, and is in the way. As stat(). */
static int go_to_existing(char *path, struct stat *st)
{
	while (stat(path, st) != 0) {
		if (errno != ENOENT || is_link(path) || strchr(path, '/') == NULL)
			return -1;
		go_up(path);
	}
	return 0;
}

/* What is not there yet the master makes such that all can pass. */
static int pass_through(const char *dir)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s", dir);
	if (go_to_existing(path, &st) != 0)
		return errno;
	if (!S_ISDIR(st.st_mode))
		return ENOTDIR;
	return may_run(path);
}

/* Never returns. */
static void __attribute__((noreturn))
run_child(const struct conf *conf, const struct job_conf *job, int out)
{
	struct probe_job result = { .limit = 0 };

	probe_privileges(job, &result);
	result.user = become_user(job);
	if (result.user == 0) {
		result.cwd = chdir(job->cwd) == 0 ? 0 : errno;
		result.run_dir = pass_through(conf->run_dir);
		result.work_dir = pass_through(conf->work_dir);
		result.command = find_command(job->argv[0]);
		if (result.command == 0)
			result.interpreter =
			    find_interpreter(job->argv[0], result.interpreter_path);
		result.strange = result.command == 0 && is_strange(job->argv[0]);
	}
	_exit(write(out, &result, sizeof(result)) == (ssize_t)sizeof(result) ? 0 : 1);
}

static ssize_t read_result(int fd, pid_t pid, struct probe_job *result)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, PATIENCE_MS) == 0)
		kill(pid, SIGKILL);
	do {
		n = read(fd, result, sizeof(*result));
	} while (n < 0 && errno == EINTR);
	return n;
}

int probe_job(
    const struct conf *conf, const struct job_conf *job, struct probe_job *result, struct err *e)
{
	int fds[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return err_sys(e, "cannot make a pipe");
	pid = fork();
	if (pid == 0)
		run_child(conf, job, fds[1]);
	close(fds[1]);
	if (pid < 0) {
		err_sys(e, "cannot fork");
		close(fds[0]);
		return -1;
	}
	n = read_result(fds[0], pid, result);
	close(fds[0]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return n == (ssize_t)sizeof(*result)
		   ? 0
		   : err_set(e, "the process that tries it died, or did not end");
}

static int probe_existing(const char *path, const struct stat *st, struct err *e)
{
	if (!S_ISDIR(st->st_mode))
		return err_set(
		    e, "%s is not a directory: move it away, or choose another place", path);
	if (access(path, W_OK | X_OK) != 0)
		return err_sys(e, "cannot write in %s", path);
	return 0;
}

int probe_dir(const char *path, struct err *e)
{
	char *at = strdup(path);
	struct stat st;
	int rc;

	if (at == NULL)
		return err_set(e, "out of memory");
	rc = go_to_existing(at, &st);
	if (rc == 0)
		rc = probe_existing(at, &st, e);
	else if (errno == ENOENT)
		err_set(
		    e, "%s is a link to what is not there: make that, or move the link away", at);
	else
		err_sys(e, "cannot look at %s", at);
	free(at);
	return rc;
}

int probe_room(const char *path, dev_t *disk, struct err *e)
{
	char at[PATH_MAX];
	struct statvfs fs;
	struct stat st;

	snprintf(at, sizeof(at), "%s", path);
	if (go_to_existing(at, &st) != 0 || statvfs(at, &fs) != 0)
		return 0; /* told elsewhere */
	*disk = st.st_dev;
	/* Of what is kept for root the jobs have nothing. */
	if (fs.f_blocks > 0 && fs.f_bavail == 0)
		return err_set(e, "the file system of %s is full, free some space", at);
	if (fs.f_files > 0 && fs.f_favail == 0)
		return err_set(e, "the file system of %s can have no more files (inodes)", at);
	return 0;
}

int probe_name(const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return err_set(e, "%s is a directory: move it away, a file is made there", path);
	return 0;
}

int probe_file(const char *path, struct err *e)
{
	char *at = strdup(path);
	struct stat st;
	int rc;

	if (at == NULL)
		return err_set(e, "out of memory");
	go_up(at);
	rc = stat(at, &st) != 0 ? err_sys(e, "cannot look at %s", at) : probe_existing(at, &st, e);
	free(at);
	return rc == 0 ? probe_name(path, e) : -1;
}
