/*
 * What a dead owner left running is found by its number and birth, by its session and by its
 * environment, and nobody else is; it gets the limits of a stop, and is gone in the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coord/leftover.h"

#define STATE "/nowhere/test_leftover/%d/state"

static struct err err;
static char state[64]; /* of this test program: others may run beside it */

struct kind {
	bool leads; /* a session of its own */
	bool marked;
	uint64_t epoch;
	bool deaf; /* to TERM */
	uid_t uid; /* 0: ours */
};

/* A process that has passed its exec: what is ignored stays ignored, what it is called is its own.
 */
static pid_t start(const struct kind *k)
{
	char mark_state[96], mark_epoch[64];
	char *marked[] = { mark_state, mark_epoch, NULL }, *none[] = { NULL };
	char *argv[] = { (char[]){ "sleep" }, (char[]){ "1000" }, NULL };
	int ready[2];
	char c;
	pid_t pid;

	snprintf(mark_state, sizeof(mark_state), "GRACEFUL_STATE=%s", state);
	snprintf(mark_epoch, sizeof(mark_epoch), "GRACEFUL_EPOCH=%ju", (uintmax_t)k->epoch);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (k->leads)
			setsid();
		if (k->uid != 0 && setuid(k->uid) != 0)
			_exit(127);
		if (k->deaf)
			signal(SIGTERM, SIG_IGN);
		execve("/bin/sleep", argv, k->marked ? marked : none);
		_exit(127);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 0); /* the exec has closed it */
	close(ready[0]);
	return pid;
}

/* The signal that ended it. */
static int end_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void put_down(pid_t pid)
{
	kill(pid, SIGKILL);
	end_of(pid);
}

static struct leftover leftover(pid_t main, uint64_t born, uint64_t epoch)
{
	struct leftover l = { .main = main, .born = born, .epoch = epoch, .uid = LEFTOVER_ANYBODY };

	snprintf(l.state, sizeof(l.state), "%s", state);
	return l;
}

static void birth_is_of_the_living(void **unused)
{
	pid_t pid = start(&(struct kind){ 0 });
	siginfo_t info;

	(void)unused;
	assert_true(leftover_birth(getpid()) > 0);
	assert_true(leftover_birth(pid) >= leftover_birth(getpid()));
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(leftover_birth(pid), 0); /* a zombie */
	end_of(pid);
	assert_int_equal(leftover_birth(pid), 0);
	assert_int_equal(leftover_birth(0), 0);
}

static void main_is_found_by_number_and_birth(void **unused)
{
	pid_t pid = start(&(struct kind){ 0 });
	struct leftover right = leftover(pid, leftover_birth(pid), 7);
	struct leftover reused = leftover(pid, leftover_birth(pid) + 1, 7);

	(void)unused;
	assert_int_equal(leftover_any(&right, &err), 1);
	assert_int_equal(leftover_any(&reused, &err), 0);
	put_down(pid);
	assert_int_equal(leftover_any(&right, &err), 0);
}

static void others_are_found_by_environment(void **unused)
{
	pid_t pid = start(&(struct kind){ .leads = true, .marked = true, .epoch = 7 });
	struct leftover right = leftover(0, 0, 7), other_epoch = leftover(0, 0, 8);
	struct leftover other_job = leftover(0, 0, 7);

	(void)unused;
	strcat(other_job.state, "2");
	assert_int_equal(leftover_any(&right, &err), 1);
	assert_int_equal(leftover_any(&other_epoch, &err), 0);
	assert_int_equal(leftover_any(&other_job, &err), 0);
	put_down(pid);
	assert_int_equal(leftover_any(&right, &err), 0);
}

/* Now, that memory is all its environment, in which nothing is marked. */
static void claim(char *memory, size_t len)
{
	unsigned long v[64] = { 0 };
	char text[4096] = "", *at, *word;
	struct prctl_mm_map map = { .exe_fd = (unsigned)-1 };
	FILE *f = fopen("/proc/self/stat", "re");

	if (f == NULL || fread(text, 1, sizeof(text) - 1, f) == 0 ||
	    (at = strrchr(text, ')')) == NULL)
		_exit(1);
	for (size_t i = 3; i < 64 && (word = strtok(at, ") \n")) != NULL; at = NULL)
		v[i++] = strtoul(word, NULL, 10);
	/* As they are numbered in proc_pid_stat(5). */
	map.start_code = v[26];
	map.end_code = v[27];
	map.start_stack = v[28];
	map.start_data = v[45];
	map.end_data = v[46];
	map.start_brk = v[47];
	map.brk = (uintptr_t)sbrk(0);
	map.arg_start = v[48];
	map.arg_end = v[49];
	map.env_start = (uintptr_t)memory;
	map.env_end = (uintptr_t)memory + len;
	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) != 0)
		_exit(1);
}

/* A stranger cannot keep the next owner for hours by one process. */
static void an_environment_without_end(void **unused)
{
	const size_t len = SIZE_MAX >> 24;
	struct leftover l = leftover(0, 0, 7);
	int ready[2];
	char c;
	pid_t pid;

	(void)unused;
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *memory =
		    mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (memory == MAP_FAILED)
			_exit(1);
		claim(memory, len);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1) {
		end_of(pid);
		skip(); /* a kernel without it */
	}
	alarm(60); /* ends this program */
	assert_int_equal(leftover_any(&l, &err), 0);
	alarm(0);
	put_down(pid);
	close(ready[0]);
}

/* Without descriptors nothing can be seen, which proves nothing. */
static void blindness_is_no_proof(void **unused)
{
	pid_t pid = start(&(struct kind){ 0 });
	struct leftover l = leftover(pid, leftover_birth(pid), 7);
	struct rlimit before, few;
	int rc, fd = dup(STDERR_FILENO);

	(void)unused;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)fd + 1; /* enough for the list of all, and for nothing else */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	rc = leftover_any(&l, &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, EMFILE);
	assert_int_equal(leftover_any(&l, &err), 1);
	put_down(pid);
}

#define STRANGER 65534
#define OTHER 65533

static bool is_left(uid_t uid)
{
	struct leftover l = leftover(0, 0, 7);

	l.uid = uid;
	return leftover_any(&l, &err) == 1;
}

/* The marks of a stranger are forged. */
static void environment_counts_of_the_jobs_user(void **unused)
{
	struct kind kind = { .leads = true, .marked = true, .epoch = 7 };
	uid_t uid = geteuid() == 0 ? STRANGER : geteuid();
	pid_t pid;

	(void)unused;
	kind.uid = geteuid() == 0 ? STRANGER : 0;
	pid = start(&kind);
	assert_true(is_left(uid));
	assert_false(is_left(OTHER));
	assert_true(is_left(LEFTOVER_ANYBODY));
	put_down(pid);
}

/* Who can become somebody else may be anybody by now. */
static void jobs_that_keep_their_user(void **unused)
{
	struct job_conf job = { .switch_user = true, .uid = STRANGER, .no_new_privs = true };

	(void)unused;
	assert_int_equal(leftover_uid(&job), STRANGER);
	job.no_new_privs = false;
	assert_int_equal(leftover_uid(&job), LEFTOVER_ANYBODY);
	job = (struct job_conf){ .switch_user = true, .uid = 0, .no_new_privs = true };
	assert_int_equal(leftover_uid(&job), LEFTOVER_ANYBODY);
	job.switch_user = false;
	assert_int_equal(leftover_uid(&job), geteuid() == 0 ? LEFTOVER_ANYBODY : geteuid());
}

/* Of its own, as the end of the first thread goes over that one's stack. */
static int rest_fd;

static void *rest(void *unused)
{
	const char c = 0;

	(void)unused;
	/* The first thread may not have come to its end yet; its parent looks until it has. */
	if (write(rest_fd, &c, 1) != 1)
		_exit(1);
	for (;;)
		pause();
	return NULL;
}

static bool is_shown_as_zombie(pid_t pid)
{
	char path[64], text[256];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return strstr(text, ") Z ") != NULL;
}

static void process_lives_as_long_as_any_thread(void **unused)
{
	struct leftover l;
	pthread_t thread;
	int fds[2];
	pid_t pid;
	char c;

	(void)unused;
	assert_int_equal(pipe(fds), 0);
	rest_fd = fds[1];
	pid = fork();
	if (pid == 0) {
		if (pthread_create(&thread, NULL, rest, NULL) != 0)
			_exit(1);
		pthread_exit(NULL);
	}
	assert_true(pid > 0);
	close(fds[1]);
	l = leftover(pid, leftover_birth(pid), 7);
	assert_int_equal(read(fds[0], &c, 1), 1);
	for (int i = 0; i < 6000 && !is_shown_as_zombie(pid); i++)
		poll(NULL, 0, 10);
	assert_true(is_shown_as_zombie(pid));
	assert_int_equal(leftover_any(&l, &err), 1);
	put_down(pid);
	assert_int_equal(leftover_any(&l, &err), 0);
	close(fds[0]);
}

/* A leader with a child in its session, neither of them marked; returns the leader. */
static pid_t start_session(pid_t *member)
{
	int fds[2];
	pid_t leader;

	assert_int_equal(pipe(fds), 0);
	leader = fork();
	assert_true(leader >= 0);
	if (leader == 0) {
		setsid();
		*member = fork();
		if (*member != 0 && write(fds[1], member, sizeof(*member)) != sizeof(*member))
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(fds[0], member, sizeof(*member)), sizeof(*member));
	close(fds[0]);
	close(fds[1]);
	return leader;
}

/* That is no child of ours. */
static void put_down_other(pid_t pid)
{
	struct pollfd p = { .fd = pidfd_open(pid, 0), .events = POLLIN };

	assert_true(p.fd >= 0);
	kill(pid, SIGKILL);
	assert_int_equal(poll(&p, 1, 60000), 1);
	close(p.fd);
}

static void members_of_a_session_count_once_its_leader_was_seen(void **unused)
{
	pid_t member;
	pid_t leader = start_session(&member);
	struct leftover seen = leftover(leader, leftover_birth(leader), 7), unseen = seen;

	(void)unused;
	assert_int_equal(leftover_any(&seen, &err), 1);
	put_down(leader);
	assert_int_equal(leftover_any(&seen, &err), 1);
	/* Its number may have been another's: this one was never proven. */
	assert_int_equal(leftover_any(&unseen, &err), 0);
	put_down_other(member);
	assert_int_equal(leftover_any(&seen, &err), 0);
}

static bool never(void *ctx)
{
	(void)ctx;
	return false;
}

static bool at_once(void *ctx)
{
	++*(int *)ctx;
	return true;
}

static void main_that_goes_by_itself_is_not_touched(void **unused)
{
	const struct job_conf job = { .stop_timeout = MSEC_NEVER, .hurry_timeout = 60000 };
	pid_t pid = start(&(struct kind){ .leads = true });
	struct leftover l = leftover(pid, leftover_birth(pid), 7);
	int asked = 0;

	(void)unused;
	assert_int_equal(leftover_wait(&l, &job, at_once, &asked, &err), -1);
	assert_int_equal(asked, 1);
	assert_int_equal(leftover_birth(pid), l.born);
	kill(pid, SIGUSR1);
	assert_int_equal(leftover_wait(&l, &job, never, NULL, &err), 0);
	assert_int_equal(end_of(pid), SIGUSR1);
}

static void main_that_stays_is_hurried(void **unused)
{
	const struct job_conf job = { .stop_timeout = 60010, .hurry_timeout = 60000 };
	pid_t pid = start(&(struct kind){ .leads = true });
	struct leftover l = leftover(pid, leftover_birth(pid), 7);

	(void)unused;
	assert_int_equal(leftover_wait(&l, &job, never, NULL, &err), 0);
	assert_int_equal(end_of(pid), SIGTERM);
}

static void main_that_is_deaf_is_killed(void **unused)
{
	const struct job_conf job = { .stop_timeout = 100, .hurry_timeout = 50 };
	pid_t pid = start(&(struct kind){ .leads = true, .deaf = true });
	struct leftover l = leftover(pid, leftover_birth(pid), 7);

	(void)unused;
	assert_int_equal(leftover_wait(&l, &job, never, NULL, &err), 0);
	assert_int_equal(end_of(pid), SIGKILL);
}

/* Without a main process there will be no dump, however long a stop may take. */
static void others_are_ended_when_main_is_gone(void **unused)
{
	const struct job_conf job = { .stop_timeout = MSEC_NEVER, .hurry_timeout = 200 };
	struct kind mild = { .leads = true, .marked = true, .epoch = 7 }, deaf = mild;
	struct leftover l = leftover(0, 0, 7);
	pid_t pids[2];

	(void)unused;
	deaf.deaf = true;
	pids[0] = start(&mild);
	pids[1] = start(&deaf);
	assert_int_equal(leftover_wait(&l, &job, never, NULL, &err), 0);
	assert_int_equal(end_of(pids[0]), SIGTERM);
	assert_int_equal(end_of(pids[1]), SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(birth_is_of_the_living),
		cmocka_unit_test(main_is_found_by_number_and_birth),
		cmocka_unit_test(others_are_found_by_environment),
		cmocka_unit_test(an_environment_without_end),
		cmocka_unit_test(blindness_is_no_proof),
		cmocka_unit_test(environment_counts_of_the_jobs_user),
		cmocka_unit_test(jobs_that_keep_their_user),
		cmocka_unit_test(process_lives_as_long_as_any_thread),
		cmocka_unit_test(members_of_a_session_count_once_its_leader_was_seen),
		cmocka_unit_test(main_that_goes_by_itself_is_not_touched),
		cmocka_unit_test(main_that_stays_is_hurried),
		cmocka_unit_test(main_that_is_deaf_is_killed),
		cmocka_unit_test(others_are_ended_when_main_is_gone),
	};

	snprintf(state, sizeof(state), STATE, (int)getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
