#include "job/spawn.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/time_types.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include "base/fs.h"
#include "base/proc.h"
#include "base/sig.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The environment */

struct env_list {
	char **vars;
	size_t n, room;
	bool failed;
};

/* A variable that is there already is replaced. Takes var over. */
static void env_take(struct env_list *l, char *var)
{
	size_t key;

	if (var == NULL) {
		l->failed = true;
		return;
	}
	key = strcspn(var, "=") + 1;
	for (size_t i = 0; i < l->n; i++) {
		if (strncmp(l->vars[i], var, key) == 0) {
			free(l->vars[i]);
			l->vars[i] = var;
			return;
		}
	}
	if (l->n + 1 >= l->room) {
		size_t room = l->room == 0 ? 32 : l->room * 2;
		char **vars = reallocarray(l->vars, room, sizeof(*vars));

		if (vars == NULL) {
			free(var);
			l->failed = true;
			return;
		}
		l->vars = vars;
		l->room = room;
	}
	l->vars[l->n++] = var;
	l->vars[l->n] = NULL;
}

static void env_set(struct env_list *l, const char *key, const char *value)
{
	char *var;

	env_take(l, asprintf(&var, "%s=%s", key, value) < 0 ? NULL : var);
}

static void env_set_number(struct env_list *l, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	env_set(l, key, text);
}

static void env_of_configuration(struct env_list *l, const struct job_conf *job)
{
	env_set(l, "PATH", DEFAULT_PATH);
	env_set(l, "SHELL", "/bin/sh");
	env_set(l, "HOME", job->home);
	env_set(l, "USER", job->user_name);
	env_set(l, "LOGNAME", job->user_name);
	for (char **name = job->pass_env; name != NULL && *name != NULL; name++) {
		const char *value = getenv(*name);

		if (value != NULL)
			env_set(l, *name, value);
	}
	for (char **var = job->env; var != NULL && *var != NULL; var++)
		env_take(l, strdup(*var));
}

static void env_of_contract(
    struct env_list *l, const struct job_conf *job, const struct spawn_facts *facts)
{
	env_set(l, "GRACEFUL_JOB", job->name);
	env_set(l, "GRACEFUL_INSTANCE", facts->instance);
	env_set(l, "GRACEFUL_STATE", facts->state_path);
	env_set(l, "GRACEFUL_RESTORED", facts->restored);
	env_set_number(l, "GRACEFUL_EPOCH", facts->epoch);
	if (facts->notify_socket == NULL)
		return;
	env_set(l, "NOTIFY_SOCKET", facts->notify_socket);
	if (job->watchdog > 0)
		env_set_number(l, "WATCHDOG_USEC", (uint64_t)job->watchdog * 1000);
}

char **spawn_env(const struct job_conf *job, const struct spawn_facts *facts, struct err *e)
{
	struct env_list l = { 0 };

	env_of_configuration(&l, job);
	env_of_contract(&l, job, facts);
	if (!l.failed)
		return l.vars;
	spawn_env_free(l.vars);
	err_set(e, "cannot build the job's environment: out of memory");
	return NULL;
}

void spawn_env_free(char **env)
{
	for (char **var = env; var != NULL && *var != NULL; var++)
		free(*var);
	free(env);
}

/*
 * Between clone and exec: async-signal-safe calls only, as another thread may hold any lock of
 * libc. The memory is the worker's, who waits: nothing but the own stack and errno may be written
 * to. So no call of libc that changes the credentials, either, which it would do for all the
 * threads that it knows of.
 */

struct child {
	const struct job_conf *job;
	const char *dir;
	char *const *env;
	int output_fd, report_fd;
	pid_t parent;
};

#define CHILD_STACK (64u << 10)

/* Where there are two, the plain one knows only ids of 16 bits. */
#ifdef SYS_setresuid32
#define CALL_setgroups SYS_setgroups32
#define CALL_setresgid SYS_setresgid32
#define CALL_setresuid SYS_setresuid32
#else
#define CALL_setgroups SYS_setgroups
#define CALL_setresgid SYS_setresgid
#define CALL_setresuid SYS_setresuid
#endif

struct failure {
	int code;
	char doing[40 + SPAWN_INTERPRETER_MAX];
};

static void fail(int report_fd, const char *doing)
{
	struct failure f = { .code = errno };
	ssize_t ignored;

	strncpy(f.doing, doing, sizeof(f.doing) - 1);
	ignored = write(report_fd, &f, sizeof(f));
	(void)ignored;
	_exit(127);
}

bool spawn_interpreter(const char *path, char interpreter[SPAWN_INTERPRETER_MAX])
{
	char line[2 + SPAWN_INTERPRETER_MAX] = "";
	struct stat st;
	const char *name;
	size_t len;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		n = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return false;
	name = line + 2 + strspn(line + 2, " \t");
	len = strcspn(name, " \t\n");
	memcpy(interpreter, name, len);
	interpreter[len] = '\0';
	return len > 0;
}

/* Blames the interpreter of a script that is there, for which the kernel has the same errno. */
static void fail_exec(int report_fd, const char *path)
{
	char doing[sizeof(((struct failure *)NULL)->doing)] = "run its command";
	char interpreter[SPAWN_INTERPRETER_MAX];
	int code = errno;

	if (code == ENOENT && spawn_interpreter(path, interpreter)) {
		strcpy(doing, "run its interpreter ");
		strcat(doing, interpreter);
	}
	errno = code;
	fail(report_fd, doing);
}

static void connect_stdio(int output_fd, int report_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		fail(report_fd, "open /dev/null");
	if (dup2(null, STDIN_FILENO) < 0 || dup2(output_fd, STDOUT_FILENO) < 0 ||
	    dup2(output_fd, STDERR_FILENO) < 0)
		fail(report_fd, "connect its output");
}

static void fail_limit(int report_fd, const char *name)
{
	char doing[sizeof(((struct failure *)NULL)->doing)] = "set \"limits.";
	int code = errno;

	strcat(doing, name);
	strcat(doing,
	    code == EPERM ? "\" so high (lower it, or give graceful that limit, or root)" : "\"");
	errno = code;
	fail(report_fd, doing);
}

static void apply_limits(const struct job_conf *job, int report_fd)
{
	for (size_t i = 0; i < job->n_limits; i++) {
		if (setrlimit(job->limits[i].resource, &job->limits[i].value) != 0)
			fail_limit(report_fd, job->limits[i].name);
	}
	if (job->nice != 0 && setpriority(PRIO_PROCESS, 0, job->nice) != 0)
		fail(report_fd, "set \"nice\"");
	umask(job->umask);
}

/*
 * Who has a keyring may read the keys in it, whatever user he becomes; and all jobs would share
 * that of the session in which the master was started. While we are who we were, or keyrings of
 * jobs that crash again and again would use up what their user may have. Some containers have none.
 */
static void leave_keyring(int report_fd)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS &&
	    errno != EPERM)
		fail(report_fd, "get a keyring of its own");
}

static void switch_user(const struct job_conf *job, int report_fd)
{
	if (!job->switch_user)
		return;
	leave_keyring(report_fd);
	/* Or the job could write to its output, but not open it by name: /dev/stdout. */
	if (fchown(STDOUT_FILENO, job->uid, job->gid) != 0)
		fail(report_fd, "give its output to \"user\"");
	if (syscall(CALL_setgroups, job->n_groups, job->groups) != 0)
		fail(report_fd, "set the groups of \"user\"");
	if (syscall(CALL_setresgid, job->gid, job->gid, job->gid) != 0)
		fail(report_fd, "switch to \"group\"");
	if (syscall(CALL_setresuid, job->uid, job->uid, job->uid) != 0)
		fail(report_fd, "switch to \"user\"");
}

/* Else the kernel does it, unless somebody has set securebits; with another user than root nothing
 * is to be left. */
static void drop_capabilities(int report_fd)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capset, &header, none) != 0)
		fail(report_fd, "drop capabilities");
}

/*
 * After the switch of the user. What it runs may not become another user by a set-user-ID bit,
 * either: a worker that is not root could not kill it any more.
 */
static void limit_privileges(const struct job_conf *job, int report_fd)
{
	if (job->switch_user && job->uid != 0)
		drop_capabilities(report_fd);
	if (job->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		fail(report_fd, "set \"no_new_privs\"");
}

static int run_child(void *arg)
{
	const struct child *c = arg;
	const struct job_conf *job = c->job;
	int report_fd = c->report_fd;

	setsid();
	connect_stdio(c->output_fd, report_fd);
	/* Before the switch: from then on the user may stop this process for as long as he likes,
	 * and what it held of the worker's nobody would see closed: its end of the report. */
	fs_close_others(&report_fd, 1);
	apply_limits(job, report_fd);
	switch_user(job, report_fd);
	limit_privileges(job, report_fd);
	if (c->dir != NULL && access(c->dir, W_OK | X_OK) != 0)
		fail(report_fd, "write its state below \"work_dir\" as its user");
	if (chdir(job->cwd) != 0)
		fail(report_fd, "change to \"cwd\"");
	/* After the switch of the user, which would clear it. A parent that died before this line
	 * sends nothing: look. */
	prctl(PR_SET_PDEATHSIG, job->stop_signal);
	if (getppid() != c->parent)
		_exit(127);
	sig_reset();
	execve(job->argv[0], job->argv, c->env);
	fail_exec(report_fd, job->argv[0]);
	return 127;
}

#define LOOK_MS 60000

/*
 * Whether the child has parted with our memory before the deadline. Its end of the report is closed
 * after that and never before: exec puts the new memory in place (exec_mmap()) before it closes
 * what is close-on-exec, exit gives the memory back (exit_mm()) before the descriptors. Until then
 * both have one errno, so that there may be no call here that could set it, or that libc makes more
 * of: ppoll() itself cannot fail here. Without an event to wait for it tells of the end alone.
 */
static bool report_ends(int fd, msec deadline)
{
	struct pollfd p = { .fd = fd };
	long n;

	do {
		msec left = msec_min(deadline - clock_now(), LOOK_MS);
		struct __kernel_old_timespec t = { 0 };

		if (left > 0) {
			t.tv_sec = (__kernel_old_time_t)(left / 1000);
			t.tv_nsec = (long)(left % 1000) * 1000000;
		}
		n = syscall(SYS_ppoll, &p, 1, &t, NULL, (size_t)0);
	} while (n <= 0 && clock_now() < deadline);
	return n > 0;
}

/*
 * In our memory, on a stack of its own: to copy the page tables of a worker takes 0.5 ms, and half
 * of that again to part with what either touches. This thread waits until the child has called exec
 * or is gone; the others go on meanwhile. Not by CLONE_VFORK, which waits for as long as the job's
 * user keeps the child stopped by SIGSTOP: who comes *late is killed.
 * For a moment a process of the job's user shares our memory. Nobody gets at it by that: the kernel
 * refuses ptrace() of memory whose user was changed, also to that user.
 */
static pid_t clone_child(struct child *c, const int report[2], msec deadline, bool *late)
{
	int dumpable = prctl(PR_GET_DUMPABLE);
	_Alignas(16) char stack[CHILD_STACK];
	pid_t pid = clone(run_child, stack + sizeof(stack), CLONE_VM | SIGCHLD, c);

	syscall(SYS_close, report[1]); /* as in report_ends() */
	*late = pid > 0 && !report_ends(report[0], deadline);
	if (*late) {
		kill(pid, SIGKILL);
		report_ends(report[0], MSEC_NEVER);
	}
	/* With its user it changed that of our memory to the sysctl fs.suid_dumpable, by which a
	 * core may hold what we keep to ourselves. */
	if (pid > 0)
		prctl(PR_SET_DUMPABLE, dumpable);
#ifdef __SANITIZE_ADDRESS__
	/* The child's calls never returned: their frames would be marked in our memory for ever. */
	__asan_unpoison_memory_region(stack, sizeof(stack));
#endif
	return pid;
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int reap_failed(
    pid_t pid, const struct job_conf *job, const struct failure *f, struct err *e)
{
	reap(pid);
	errno = f->code;
	err_sys(e, "cannot start %s: cannot %.*s", job->argv[0], (int)sizeof(f->doing), f->doing);
	if (f->code == ENOEXEC)
		strlcat(e->text,
		    ": a script needs a first line such as #!/bin/sh, a program has to be made "
		    "for this machine",
		    sizeof(e->text));
	return -1;
}

/* It may have come to exec at the last moment, and to children: then it ends as a job that ran. */
static int reap_late(pid_t pid, const struct job_conf *job, struct err *e)
{
	struct proc_stat st;

	if (proc_stat(pid, &st) != 0 || !st.forked_only)
		return 0;
	reap(pid);
	return err_set(e,
	    "cannot start %s: its process did not come to run it in time and was killed: its user "
	    "has stopped it (SIGSTOP), or a disk with its command, \"cwd\" or \"work_dir\" hangs",
	    job->argv[0]);
}

int spawn_job(const struct job_conf *job, const char *dir, char *const env[], int output_fd,
    msec deadline, pid_t *pid, struct err *e)
{
	struct child child = {
		.job = job, .dir = dir, .env = env, .output_fd = output_fd, .parent = getpid()
	};
	struct failure f;
	sigset_t old;
	int report[2];
	bool late;
	ssize_t n;

	if (pipe2(report, O_CLOEXEC) != 0)
		return err_sys(e, "cannot start %s: cannot make a pipe", job->argv[0]);
	sig_block_all(&old); /* a signal must not run the parent's plans in the child */
	child.report_fd = report[1];
	*pid = clone_child(&child, report, deadline, &late);
	sig_restore(&old);
	if (*pid < 0) {
		close(report[0]);
		return err_sys(e, "cannot start %s: cannot fork", job->argv[0]);
	}
	/* The end of the pipe is close-on-exec: nothing to read means that exec has worked. */
	do {
		n = read(report[0], &f, sizeof(f));
	} while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n == (ssize_t)sizeof(f))
		return reap_failed(*pid, job, &f, e);
	return late ? reap_late(*pid, job, e) : 0;
}

/*
 * Where the kernel forgets whom the parent's death is to be told, it also marks the memory as not
 * to be read by its own user (commit_creds()), and the mark stays when the old credentials are
 * back. Root reads it all the same, by a capability that is laid down for the moment. Asked by what
 * wants no more than to read - where the list of its futexes is - which Yama leaves to all, where
 * it keeps everybody from the memory itself.
 */
static bool root_may_read(pid_t pid)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct had[_LINUX_CAPABILITY_U32S_3], less[_LINUX_CAPABILITY_U32S_3];
	void *head;
	size_t len;
	bool refused;

	if (syscall(SYS_capget, &header, had) != 0)
		return true;
	memcpy(less, had, sizeof(less));
	less[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective &= ~CAP_TO_MASK(CAP_SYS_PTRACE);
	if (syscall(SYS_capset, &header, less) != 0)
		return true;
	refused = syscall(SYS_get_robust_list, (int)pid, &head, &len) != 0 && errno == EPERM;
	syscall(SYS_capset, &header, had);
	return !refused;
}

/* The files in /proc of a process that is so marked are root's. */
static bool user_may_read(pid_t pid, uid_t uid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	return stat(path, &st) == 0 && st.st_uid == uid;
}

bool spawn_was_told(const struct job_conf *job, pid_t pid)
{
	uid_t uid = job->switch_user ? job->uid : geteuid();
	gid_t gid = job->switch_user ? job->gid : getegid();
	struct proc_status p;

	if (proc_status(pid, &p) != 0 || p.uid[1] != uid || p.gid[1] != gid)
		return false;
	/* Nobody reads the memory of a process of another group without that capability. */
	if (uid == 0)
		return gid != getgid() || root_may_read(pid);
	/* Without any right, and with none to be had, it cannot have been another. Its memory may
	 * be closed all the same: by a program that it may run, but not read. */
	return (job->switch_user && job->no_new_privs) || user_may_read(pid, uid);
}
