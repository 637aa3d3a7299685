#include "job/kin.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"

/*
 * This process's list of its children. Kept open: a job must be killed in time also when there is
 * no descriptor to be had, as its lock may be lost then.
 *
 * Children are listed per thread: those that the main thread forked, and the adopted, which the
 * kernel gives to the first thread that lives - the main one again. Task threads never fork.
 */
static FILE *children;

int kin_adopt_orphans(struct err *e)
{
	char path[64];

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		return err_sys(e, "cannot become the sub-reaper of the job's processes");
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	/* What a fork left here is the parent's list, and its descriptor is closed by now. */
	children = fopen(path, "re");
	if (children == NULL)
		return err_sys(e, "cannot list the job's processes in %s", path);
	return 0;
}

/* As waitpid() would have it. */
static int status_of(const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		return W_EXITCODE(info->si_status & 0xff, 0);
	return info->si_code == CLD_DUMPED ? info->si_status | WCOREFLAG : info->si_status;
}

enum kin_reap kin_look(pid_t *pid, int *status)
{
	siginfo_t info = { 0 };
	int rc;

	do {
		rc = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
	} while (rc != 0 && errno == EINTR);
	if (rc != 0)
		return KIN_NONE;
	if (info.si_pid == 0)
		return KIN_BUSY;
	*pid = info.si_pid;
	*status = status_of(&info);
	return KIN_REAPED;
}

void kin_bury(pid_t pid)
{
	while (waitpid(pid, NULL, WNOHANG) < 0 && errno == EINTR)
		;
}

enum kin_reap kin_reap(pid_t *pid, int *status)
{
	pid_t got;

	do {
		got = waitpid(-1, status, WNOHANG);
	} while (got < 0 && errno == EINTR);
	if (got > 0) {
		*pid = got;
		return KIN_REAPED;
	}
	return got == 0 ? KIN_BUSY : KIN_NONE;
}

static int each_listed(FILE *list, void (*each)(pid_t pid, void *ctx), void *ctx)
{
	int pid;

	errno = 0;
	while (fscanf(list, "%d", &pid) == 1)
		each((pid_t)pid, ctx);
	return ferror(list) ? -1 : 0;
}

int kin_each_child(void (*each)(pid_t pid, void *ctx), void *ctx, struct err *e)
{
	rewind(children);
	if (each_listed(children, each, ctx) != 0)
		return err_sys(e, "cannot list the job's processes");
	return 0;
}

/* What cannot be found out is not: who has ended is waited for, who has not must be. */
static bool has_ended(pid_t pid)
{
	struct proc_stat p;

	return proc_stat(pid, &p) == 0 && p.state == 'Z' && p.threads == 1;
}

struct living {
	void (*each)(pid_t pid, void *ctx);
	void *ctx;
};

static void visit_living(pid_t pid, void *ctx)
{
	const struct living *l = ctx;

	if (!has_ended(pid))
		l->each(pid, l->ctx);
}

/* In this order: the children of one that has ended stand behind it in the list. */
static int each_of_thread(pid_t parent, const char *thread, struct living *l)
{
	char name[64];
	FILE *list;
	int rc;

	snprintf(name, sizeof(name), "task/%.20s/children", thread);
	list = proc_open(parent, name);
	if (list == NULL)
		return errno == ENOENT || errno == ESRCH ? 0 : -1; /* of a thread that has ended */
	rc = each_listed(list, visit_living, l);
	fclose(list);
	return rc;
}

int kin_each_grandchild(pid_t parent, void (*each)(pid_t pid, void *ctx), void *ctx, struct err *e)
{
	struct living living = { each, ctx };
	char path[64];
	struct dirent *thread;
	DIR *threads;
	int rc = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)parent);
	threads = opendir(path);
	if (threads == NULL)
		return err_sys(e, "cannot list the processes of a worker in %s", path);
	while ((thread = readdir(threads)) != NULL) {
		if (thread->d_name[0] != '.' &&
		    each_of_thread(parent, thread->d_name, &living) != 0)
			rc = err_sys(e, "cannot list the processes of a worker in %s", path);
	}
	closedir(threads);
	return rc;
}

/* In this order: who ends in between can be reaped. */
bool kin_is_withheld(pid_t pid)
{
	siginfo_t info = { 0 };

	return has_ended(pid) &&
	       waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0;
}

struct family {
	bool any;
	bool others; /* than withheld ones; the rest need not be looked at */
};

static void look_at_one(pid_t pid, void *ctx)
{
	struct family *f = ctx;

	f->any = true;
	f->others = f->others || !kin_is_withheld(pid);
}

/* Complete, as the children of one that has ended stand behind it in the list. */
bool kin_all_withheld(void)
{
	struct family f = { false, false };

	return kin_each_child(look_at_one, &f, NULL) == 0 && f.any && !f.others;
}

enum kin_mind kin_mind(pid_t pid, int signo)
{
	struct proc_status p;
	uint64_t bit = UINT64_C(1) << (signo - 1);

	if (proc_status(pid, &p) < 0 || ((p.ignored | p.caught) & bit) != 0)
		return KIN_MINDS;
	return (p.blocked & bit) != 0 ? KIN_BLOCKS : KIN_ENDS;
}

static void signal_one(pid_t pid, void *signo)
{
	kill(pid, *(const int *)signo);
}

int kin_signal_children(int signo, struct err *e)
{
	return kin_each_child(signal_one, &signo, e);
}
