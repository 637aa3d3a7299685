#include "coord/leftover.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/proc.h"

/* How often to look without news, as a process that is new has none to tell. */
#define ROUND_MS 500
/* Between two rounds of SIGKILL: a process that is just being born may have slipped through one. */
#define KILL_AGAIN_MS 50
/* More than the kernel takes at an exec. A process may say later that all its memory is its
 * environment, which would take hours to read. */
#define ENVIRON_MAX (8 << 20)

/* Whether what is not to be seen is not there, or not for us; else there was no descriptor, say. */
static bool is_none(int code)
{
	return code == ENOENT || code == ESRCH || code == EACCES || code == EPERM;
}

/* *blind: the errno if it cannot be told whether it is there; left alone otherwise. */
static bool fail(int *blind)
{
	if (!is_none(errno))
		*blind = errno;
	return false;
}

/* False for a process that is gone, zombies included. */
static bool look_at(pid_t pid, struct proc_stat *p, int *blind)
{
	if (proc_stat(pid, p) < 0)
		return fail(blind);
	return (p->state != 'Z' && p->state != 'X') || p->threads > 1;
}

static uint64_t birth(pid_t pid, int *blind)
{
	struct proc_stat p;

	return look_at(pid, &p, blind) ? p.born : 0;
}

uint64_t leftover_birth(pid_t pid)
{
	int blind;

	return birth(pid, &blind);
}

void leftover_boot(char boot[LEFTOVER_BOOT_MAX])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f == NULL || fgets(boot, LEFTOVER_BOOT_MAX, f) == NULL)
		boot[0] = '\0';
	boot[strcspn(boot, "\n")] = '\0';
	if (f != NULL)
		fclose(f);
}

uid_t leftover_uid(const struct job_conf *job)
{
	uid_t uid = job->switch_user ? job->uid : geteuid();

	return uid != 0 && job->no_new_privs ? uid : LEFTOVER_ANYBODY;
}

/*
 * By what cannot be forged, and before the environment is read: that lies in the process's own
 * memory, where a stranger can make a reader hang.
 */
static bool may_be_of(uid_t uid, pid_t pid, int *blind)
{
	struct proc_status p;

	if (uid == LEFTOVER_ANYBODY)
		return true;
	if (proc_status(pid, &p) < 0)
		return fail(blind);
	return p.uid[0] == uid || p.uid[1] == uid || p.uid[2] == uid || p.uid[3] == uid;
}

static bool is_marked(const struct leftover *l, pid_t pid, int *blind)
{
	static const char state[] = "GRACEFUL_STATE=", epoch[] = "GRACEFUL_EPOCH=";
	bool same_state = false, same_epoch = false;
	ssize_t left = ENVIRON_MAX, n;
	char *var = NULL;
	size_t room = 0;
	FILE *f;

	if (!may_be_of(l->uid, pid, blind))
		return false;
	f = proc_open(pid, "environ");
	if (f == NULL)
		return fail(blind);
	for (; left > 0 && (n = getdelim(&var, &room, '\0', f)) > 0; left -= n) {
		if (strncmp(var, state, sizeof(state) - 1) == 0)
			same_state = strcmp(var + sizeof(state) - 1, l->state) == 0;
		if (strncmp(var, epoch, sizeof(epoch) - 1) == 0)
			same_epoch = strtoull(var + sizeof(epoch) - 1, NULL, 10) == l->epoch;
	}
	free(var);
	fclose(f);
	return same_state && same_epoch;
}

static bool is_main(const struct leftover *l, pid_t pid, int *blind)
{
	return pid != 0 && pid == l->main && birth(pid, blind) == l->born;
}

/* The number of a session is not given away while it has a member. So once its leader was seen, the
 * members are the job's; of one that we never saw, the number may be another's by now. */
static bool is_left(const struct leftover *l, pid_t pid, int *blind)
{
	struct proc_stat p;

	if (!look_at(pid, &p, blind))
		return false;
	return is_main(l, pid, blind) || (l->seen && p.session == l->main) ||
	       is_marked(l, pid, blind);
}

struct round {
	bool main; /* the main process lives */
	int pidfd; /* of a process that is left, the main one if it is; -1: none is left */
	int blind; /* an errno: one that is left may not have been seen */
};

/* Others than SIGKILL are for the main process while that lives, as it may be dumping with the
 * others' help. */
static bool is_meant(const struct leftover *l, pid_t pid, int signo, const struct round *r)
{
	return signo == SIGKILL || (signo != 0 && (pid == l->main || !r->main));
}

/* Looks once more with the descriptor in hand: before, the number may have changed hands. */
static void visit(const struct leftover *l, pid_t pid, int signo, struct round *r)
{
	int fd = pidfd_open(pid, 0);

	if (fd < 0 && !is_none(errno))
		r->blind = errno;
	if (fd < 0)
		return;
	if (!is_left(l, pid, &r->blind)) {
		close(fd);
		return;
	}
	if (is_meant(l, pid, signo, r))
		pidfd_send_signal(fd, signo, NULL, 0);
	if (r->pidfd >= 0 && pid != l->main) {
		close(fd);
		return;
	}
	if (r->pidfd >= 0)
		close(r->pidfd);
	r->pidfd = fd;
}

/* signo, or nothing if that is 0, to those that are left. */
static int go_round(struct leftover *l, int signo, struct round *r, struct err *e)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (dir == NULL)
		return err_sys(e, "cannot look in /proc for what the last owner left running");
	*r = (struct round){ .pidfd = -1 };
	r->main = is_main(l, l->main, &r->blind);
	l->seen |= r->main;
	while ((entry = readdir(dir)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 0 && is_left(l, pid, &r->blind))
			visit(l, pid, signo, r);
	}
	closedir(dir);
	if (r->blind == 0)
		return 0;
	if (r->pidfd >= 0)
		close(r->pidfd);
	errno = r->blind;
	return err_sys(e, "cannot look at all processes for what the last owner left running");
}

int leftover_any(struct leftover *l, struct err *e)
{
	struct round r;

	if (go_round(l, 0, &r, e) != 0)
		return -1;
	if (r.pidfd < 0)
		return 0;
	close(r.pidfd);
	return 1;
}

struct limits {
	msec term_at, kill_at;
	bool main_ended;
};

static int next_signal(struct limits *t, const struct round *last, msec hurry_timeout)
{
	msec now = clock_now();

	if (!last->main && !t->main_ended) {
		/* There will be no dump any more: the others get what a worker gives them. */
		t->main_ended = true;
		t->term_at = now;
		t->kill_at = msec_min(t->kill_at, msec_add(now, hurry_timeout));
	}
	if (now >= t->kill_at)
		return SIGKILL;
	if (now < t->term_at)
		return 0;
	t->term_at = MSEC_NEVER;
	return SIGTERM;
}

static void sleep_until_news(const struct round *r, const struct limits *t)
{
	struct pollfd p = { .fd = r->pidfd, .events = POLLIN };
	msec left = msec_min(t->term_at, t->kill_at) - clock_now();

	poll(&p, 1, left < KILL_AGAIN_MS ? KILL_AGAIN_MS : (int)msec_min(left, ROUND_MS));
}

int leftover_wait(struct leftover *l, const struct job_conf *job, bool (*is_off)(void *ctx),
    void *ctx, struct err *e)
{
	struct limits t = { .kill_at = msec_add(clock_now(), job->stop_timeout) };
	struct round r;
	int rc;

	t.term_at = t.kill_at == MSEC_NEVER ? MSEC_NEVER : t.kill_at - job->hurry_timeout;
	/* The kernel told it to stop; if somebody had stopped it, it has yet to hear of that. */
	rc = go_round(l, SIGCONT, &r, e);
	while (rc == 0 && r.pidfd >= 0) {
		int signo = next_signal(&t, &r, job->hurry_timeout);

		if (signo != SIGTERM)
			sleep_until_news(&r, &t);
		close(r.pidfd);
		if (is_off(ctx))
			return err_set(e, "was told to stop");
		rc = go_round(l, signo, &r, e);
	}
	return rc;
}
