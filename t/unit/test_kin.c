/*
 * Whatever a job left behind is found, ended, and proven to be gone. Each test runs in a process of
 * its own, as every child counts. All that it starts inherits one end of a pipe: the other end
 * tells whether any of them lives, from a source that kin.c knows nothing of.
 */
#include "child_test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#include "job/kin.h"

static int life[2];  /* [1] is held by every descendant */
static int leash[2]; /* [1] is held by the test alone: nobody outlives one that fails */
static struct err err;

static void adopt(void)
{
	CHECK(pipe2(life, O_CLOEXEC) == 0);
	CHECK(pipe2(leash, O_CLOEXEC) == 0);
	CHECK(kin_adopt_orphans(&err) == 0);
}

/* The holder of the pipe gives its own end up, once it has started all. */
static void start_done(void)
{
	CHECK(close(life[1]) == 0);
}

static bool anyone_lives(void)
{
	struct pollfd p = { .fd = life[0], .events = POLLIN };

	CHECK(poll(&p, 1, 0) >= 0);
	return (p.revents & POLLHUP) == 0;
}

static void say_here(void)
{
	CHECK(write(life[1], "x", 1) == 1);
}

/* Waits until n descendants have said that they are there. */
static void wait_for_them(int n)
{
	char c;

	while (n-- > 0)
		CHECK(read(life[0], &c, 1) == 1);
}

static pid_t spawn(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	return pid;
}

static void stay(void)
{
	ssize_t ignored;
	char c;

	close(leash[1]);
	say_here();
	ignored = read(leash[0], &c, 1);
	(void)ignored;
	_exit(0);
}

/* A child of this process ended, or will soon; it is not reaped. */
static void wait_for_an_end(void)
{
	siginfo_t si;

	CHECK(waitid(P_ALL, 0, &si, WEXITED | WNOWAIT) == 0);
}

/* As a worker does it. Returns how many were reaped. */
static int kill_all(void)
{
	enum kin_reap rc;
	int status, n = 0;
	pid_t pid;

	for (;;) {
		while ((rc = kin_reap(&pid, &status)) == KIN_REAPED)
			n++;
		if (rc == KIN_NONE)
			return n;
		CHECK(kin_signal_children(SIGKILL, &err) == 0);
		wait_for_an_end();
	}
}

static void check_all_gone(void)
{
	pid_t pid;
	int status;

	CHECK(!anyone_lives());
	CHECK(kin_reap(&pid, &status) == KIN_NONE);
}

struct listed {
	int n;
	pid_t last;
};

static void list_one(pid_t pid, void *ctx)
{
	struct listed *l = ctx;

	l->n++;
	l->last = pid;
}

static struct listed list(void)
{
	struct listed l = { 0 };

	CHECK(kin_each_child(list_one, &l, &err) == 0);
	return l;
}

static void no_child(void)
{
	adopt();
	start_done();
	CHECK(list().n == 0);
	CHECK(kin_signal_children(SIGKILL, &err) == 0);
	check_all_gone();
}

static void test_no_child(void **state)
{
	(void)state;
	in_child(no_child);
}

static void one_child(void)
{
	int status = 0;
	pid_t pid, reaped = 0;

	adopt();
	pid = spawn();
	if (pid == 0) {
		CHECK(prctl(PR_GET_CHILD_SUBREAPER, &status) == 0);
		CHECK(status == 0); /* its orphans are ours, not its own */
		stay();
	}
	start_done();
	wait_for_them(1);
	CHECK(list().n == 1 && list().last == pid);
	CHECK(kin_reap(&reaped, &status) == KIN_BUSY);
	CHECK(kin_signal_children(SIGUSR1, &err) == 0);
	wait_for_an_end();
	CHECK(list().n == 1 && list().last == pid); /* as a zombie */
	CHECK(kin_reap(&reaped, &status) == KIN_REAPED);
	CHECK(reaped == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
	CHECK(list().n == 0);
	check_all_gone();
}

static void test_one_child(void **state)
{
	(void)state;
	in_child(one_child);
}

static void ignoring_child(void)
{
	int status;
	pid_t pid;

	adopt();
	if (spawn() == 0) {
		signal(SIGTERM, SIG_IGN);
		stay();
	}
	start_done();
	wait_for_them(1);
	CHECK(kin_signal_children(SIGTERM, &err) == 0);
	CHECK(kin_reap(&pid, &status) == KIN_BUSY);
	CHECK(anyone_lives());
	CHECK(kill_all() == 1);
	check_all_gone();
}

static void test_a_child_that_ignores_signals(void **state)
{
	(void)state;
	in_child(ignoring_child);
}

/* A child, its child, and so on, each in a session of its own and deaf to SIGTERM. */
static void nest(int depth)
{
	if (spawn() != 0)
		return;
	signal(SIGTERM, SIG_IGN);
	setsid();
	if (depth > 1)
		nest(depth - 1);
	stay();
}

static void nested(void)
{
	adopt();
	for (int i = 0; i < 3; i++)
		nest(5);
	start_done();
	wait_for_them(15);
	CHECK(list().n == 3); /* nobody but our own children is ever signalled */
	CHECK(kill_all() == 15);
	check_all_gone();
}

static void test_a_tree_goes_level_by_level(void **state)
{
	(void)state;
	in_child(nested);
}

/* How daemons detach: the parent ends at once, the grandchild has a session of its own. */
static void daemonise(void)
{
	pid_t pid = spawn();

	if (pid != 0)
		return;
	setsid();
	if (spawn() == 0)
		stay();
	_exit(0);
}

static void daemons(void)
{
	adopt();
	for (int i = 0; i < 5; i++)
		daemonise();
	start_done();
	wait_for_them(5);
	CHECK(anyone_lives());
	CHECK(kill_all() == 10);
	check_all_gone();
}

static void test_daemons(void **state)
{
	(void)state;
	in_child(daemons);
}

static void exited(int code)
{
	if (spawn() == 0)
		_exit(code);
}

static void exit_codes(void)
{
	int status;
	pid_t pid;

	adopt();
	start_done();
	exited(7);
	wait_for_an_end();
	CHECK(kin_reap(&pid, &status) == KIN_REAPED);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	CHECK(kin_reap(&pid, &status) == KIN_NONE);
}

static void test_exit_codes(void **state)
{
	(void)state;
	in_child(exit_codes);
}

/* More than one read of the list gives at once; some end while it is read. */
static void many(void)
{
	adopt();
	for (int i = 0; i < 1200; i++) {
		exited(0);
		if (i % 3 == 0 && spawn() == 0)
			stay();
	}
	start_done();
	wait_for_them(400);
	CHECK(list().n == 1600);
	CHECK(kill_all() == 1600);
	check_all_gone();
}

static void test_many_children(void **state)
{
	(void)state;
	in_child(many);
}

/* Always just being born: each forks the next one and ends. */
static void run_away(int generations)
{
	if (spawn() != 0)
		return;
	say_here();
	setsid();
	while (generations-- > 0 && spawn() == 0)
		setsid();
	_exit(0);
}

static void fugitives(void)
{
	adopt();
	for (int i = 0; i < 3; i++)
		run_away(1000);
	start_done();
	wait_for_them(3);
	CHECK(kill_all() >= 3);
	check_all_gone();
}

static void test_those_who_run_away(void **state)
{
	(void)state;
	in_child(fugitives);
}

static struct listed list_of(pid_t parent)
{
	struct listed l = { 0 };

	CHECK(kin_each_grandchild(parent, list_one, &l, &err) == 0);
	return l;
}

/* Of a child that reaps nobody: those that have ended do not count. */
static void grandchildren(void)
{
	pid_t parent;

	adopt();
	parent = spawn();
	if (parent == 0) {
		if (spawn() == 0)
			stay();
		if (spawn() == 0) {
			say_here();
			_exit(0);
		}
		stay();
	}
	start_done();
	wait_for_them(3);
	for (int i = 0; i < 6000 && list_of(parent).n != 1; i++)
		CHECK(poll(NULL, 0, 10) == 0);
	CHECK(list_of(parent).n == 1);
	CHECK(kill(list_of(parent).last, SIGKILL) == 0);
	for (int i = 0; i < 6000 && list_of(parent).n != 0; i++)
		CHECK(poll(NULL, 0, 10) == 0);
	CHECK(list_of(parent).n == 0);
	CHECK(list().n == 1 && list().last == parent);
	CHECK(kill_all() == 3);
	CHECK(kin_each_grandchild(parent, list_one, &(struct listed){ 0 }, &err) == -1);
	check_all_gone();
}

static void test_the_children_of_one_that_reaps_nobody(void **state)
{
	(void)state;
	in_child(grandchildren);
}

/* Who is held by a debugger tells that one of its end, and nobody else. */
static void withheld(void)
{
	pid_t pid, tracer;
	int status;
	char c;

	adopt();
	pid = spawn();
	if (pid == 0) {
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* where that is asked for */
		say_here();
		for (;;)
			pause();
	}
	wait_for_them(1);
	tracer = fork(); /* with an end of the leash, so that it does not outlive a failure */
	if (tracer == 0) {
		CHECK(ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0);
		say_here();
		CHECK(close(life[1]) == 0 && close(leash[1]) == 0);
		CHECK(read(leash[0], &c, 1) == 0);
		_exit(0);
	}
	start_done();
	wait_for_them(1);
	CHECK(!kin_is_withheld(pid) && !kin_all_withheld());
	CHECK(kill(pid, SIGKILL) == 0);
	while (anyone_lives())
		CHECK(poll(NULL, 0, 1) == 0);
	for (int i = 0; i < 6000 && !kin_is_withheld(pid); i++)
		CHECK(poll(NULL, 0, 10) == 0);
	CHECK(kin_is_withheld(pid) && !kin_is_withheld(tracer));
	CHECK(kin_reap(&pid, &status) == KIN_BUSY);
	CHECK(!kin_all_withheld()); /* the debugger is a child, too */
	CHECK(close(leash[1]) == 0);
	CHECK(kill_all() == 2);
	CHECK(!kin_all_withheld());
}

static void test_whom_a_debugger_withholds(void **state)
{
	(void)state;
	in_child(withheld);
}

static void on_signal(int signo)
{
	(void)signo;
}

static void block(int signo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
}

/* What this process is seen to do about signals, by itself. */
static void minds(void)
{
	pid_t me = getpid();

	CHECK(kin_mind(me, SIGUSR1) == KIN_ENDS);
	block(SIGUSR1);
	CHECK(kin_mind(me, SIGUSR1) == KIN_BLOCKS);
	CHECK(kin_mind(me, SIGUSR2) == KIN_ENDS);
	CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
	CHECK(kin_mind(me, SIGUSR1) == KIN_MINDS);
	CHECK(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
	CHECK(kin_mind(me, SIGUSR2) == KIN_MINDS);
	CHECK(signal(SIGUSR2, SIG_DFL) != SIG_ERR);
	CHECK(kin_mind(me, SIGUSR2) == KIN_ENDS);
}

static void test_what_a_process_does_about_a_signal(void **state)
{
	(void)state;
	in_child(minds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_child),
		cmocka_unit_test(test_one_child),
		cmocka_unit_test(test_a_child_that_ignores_signals),
		cmocka_unit_test(test_a_tree_goes_level_by_level),
		cmocka_unit_test(test_daemons),
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_many_children),
		cmocka_unit_test(test_those_who_run_away),
		cmocka_unit_test(test_what_a_process_does_about_a_signal),
		cmocka_unit_test(test_the_children_of_one_that_reaps_nobody),
		cmocka_unit_test(test_whom_a_debugger_withholds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
