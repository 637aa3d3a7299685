/*
 * The rules of GRACEFUL_FAULT: which are understood, for whom and at which time they hold, and that
 * one that makes no sense does not pass for none. Each test runs in a process of its own, as rules
 * are read once.
 */
#include "child_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

#ifdef GRACEFUL_DEVELOPER

/* What the process said on standard error. */
static char *said(void)
{
	static char text[4096];
	ssize_t n = pread(STDERR_FILENO, text, sizeof(text) - 1, 0);

	CHECK(n >= 0);
	text[n] = '\0';
	return text;
}

static void begin(const char *rules)
{
	char path[] = "/tmp/graceful-fault-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0 && unlink(path) == 0);
	CHECK(dup2(fd, STDERR_FILENO) >= 0 && close(fd) == 0);
	CHECK(setenv("GRACEFUL_FAULT", rules, 1) == 0);
	fault_open();
	CHECK(getenv("GRACEFUL_FAULT") == NULL); /* jobs do not get it */
}

static void no_rules(void)
{
	CHECK(unsetenv("GRACEFUL_FAULT") == 0);
	fault_open();
	CHECK(!FAULT("here"));
	begin(",,");
	CHECK(!FAULT("here"));
	CHECK(*said() == '\0');
}

static void test_no_rules(void **state)
{
	(void)state;
	in_child(no_rules);
}

static void once(void)
{
	begin("here=fail");
	CHECK(!FAULT("there"));
	CHECK(!FAULT("her") && !FAULT("heres"));
	CHECK(FAULT("here"));
	CHECK(!FAULT("here")); /* without a number: the first time */
	CHECK(strncmp(said(), "fault: here: fail - job=- pid=", 30) == 0);
}

static void test_without_a_number_it_is_the_first_time(void **state)
{
	(void)state;
	in_child(once);
}

static void numbers(void)
{
	begin("second=fail::2,all=fail::*,later=fail:orders:3");
	CHECK(!FAULT("second") && FAULT("second") && !FAULT("second"));
	for (int i = 0; i < 5; i++)
		CHECK(FAULT("all"));
	for (int i = 0; i < 5; i++)
		CHECK(!FAULT("later")); /* nor are those of others counted */
	fault_who("worker", "orders");
	CHECK(!FAULT("later") && !FAULT("later") && FAULT("later") && !FAULT("later"));
}

static void test_numbers(void **state)
{
	(void)state;
	in_child(numbers);
}

static void roles_and_jobs(void)
{
	begin("rescue.a=fail::*,b=fail:orders:*,worker.c=fail:orders:*,.d=fail::*");
	CHECK(!FAULT("a") && !FAULT("b") && !FAULT("c") && FAULT("d"));
	fault_who("master", NULL);
	CHECK(!FAULT("a") && !FAULT("b") && !FAULT("c") && FAULT("d"));
	fault_who("worker", "clicks");
	CHECK(!FAULT("a") && !FAULT("b") && !FAULT("c"));
	fault_who("worker", "orders");
	CHECK(!FAULT("a") && FAULT("b") && FAULT("c"));
	fault_who("rescue", "orders");
	CHECK(FAULT("a") && FAULT("b") && !FAULT("c"));
	CHECK(strstr(said(), "fault: a: fail rescue job=orders pid=") != NULL);
}

static void test_roles_and_jobs(void **state)
{
	(void)state;
	in_child(roles_and_jobs);
}

/* The next process goes on counting. */
static void shared_counts(void)
{
	begin("here=fail::3");
	for (int i = 1; i <= 4; i++) {
		pid_t pid = fork();
		int status;

		CHECK(pid >= 0);
		if (pid == 0)
			_exit(FAULT("here") ? 1 : 0);
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
		CHECK(WEXITSTATUS(status) == (i == 3));
	}
}

static void test_all_processes_count_together(void **state)
{
	(void)state;
	in_child(shared_counts);
}

static void killed(void)
{
	begin("slowly=slow,here=kill");
	CHECK(!FAULT("slowly")); /* goes on */
	(void)FAULT("here");
}

static void stopped(void)
{
	begin("here=stop");
	CHECK(!FAULT("here")); /* who is woken goes on */
}

static void blocked(void)
{
	CHECK(setenv("GRACEFUL_FAULT_GO", "/", 1) == 0);
	begin("here=block");
	CHECK(getenv("GRACEFUL_FAULT_GO") == NULL);
	CHECK(!FAULT("here"));
}

static void test_actions(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	status = wait_for(start_child(killed));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);

	pid = start_child(stopped);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(wait_for(pid), 0);

	in_child(blocked);
}

static const struct bad_rules {
	const char *rules, *why;
} bad[] = {
	{ "here", "is not POINT=ACTION" },
	{ "fine=fail,here", "is not POINT=ACTION" },
	{ "here=", "no such action" },
	{ "here=die", "no such action" },
	{ "here=kill me", "no such action" },
	{ "here=fail:orders:", "N is a number from 1, or *" },
	{ "here=fail::0", "N is a number from 1, or *" },
	{ "here=fail::-1", "N is a number from 1, or *" },
	{ "here=fail::+1", "N is a number from 1, or *" },
	{ "here=fail::1st", "N is a number from 1, or *" },
	{ "here=fail::1:2", "N is a number from 1, or *" },
	{ "here=fail::**", "N is a number from 1, or *" },
	{ "a=fail,a=fail,a=fail,a=fail,a=fail,a=fail,a=fail,a=fail,a=fail,"
	  "a=fail,a=fail,a=fail,a=fail,a=fail,a=fail,a=fail,one=fail",
	    "one rule too many" },
};
static const struct bad_rules *now;

static void on_abort(int signo)
{
	(void)signo;
	_exit(strstr(said(), now->why) != NULL ? 0 : 2);
}

static void read_bad(void)
{
	CHECK(signal(SIGABRT, on_abort) != SIG_ERR);
	begin(now->rules);
	CHECK(!"it was taken");
}

static void test_bad_rules(void **state)
{
	(void)state;
	for (now = bad; now < bad + sizeof(bad) / sizeof(bad[0]); now++) {
		print_message("# %s\n", now->rules);
		in_child(read_bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_rules),
		cmocka_unit_test(test_without_a_number_it_is_the_first_time),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_roles_and_jobs),
		cmocka_unit_test(test_all_processes_count_together),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_bad_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

/* Without fault points there are no rules; not even the variable is looked at. */
static void test_nothing_is_there(void **state)
{
	(void)state;
	assert_int_equal(setenv("GRACEFUL_FAULT", "here=fail::*", 1), 0);
	fault_open();
	fault_who("worker", NULL);
	assert_false(FAULT("here"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_nothing_is_there) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
