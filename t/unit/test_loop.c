/*
 * What hangs on an event loop: alarms, and tasks on threads.
 */
#include "child_test.h"

#include <ev.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alarm.h"
#include "base/task.h"

#define FAR 3600000 /* no test takes that long */

static struct ev_loop *loop;
static struct alarm bell;
static int rings;
static struct err err;

static int make_loop(void **state)
{
	(void)state;
	rings = 0;
	loop = ev_loop_new(EVFLAG_AUTO);
	return loop != NULL ? 0 : -1;
}

static int end_loop(void **state)
{
	(void)state;
	ev_loop_destroy(loop);
	return 0;
}

/* Alarms */

static void count_ring(void *ctx)
{
	assert_ptr_equal(ctx, &bell);
	rings++;
}

static int make_alarm(void **state)
{
	if (make_loop(state) != 0)
		return -1;
	return alarm_open(&bell, loop, count_ring, &bell, &err);
}

static int end_alarm(void **state)
{
	alarm_close(&bell);
	return end_loop(state);
}

/* Lets the loop run until the alarm has rung n times; and once more, for one ring too many. */
static void run_until(int n)
{
	while (rings < n)
		ev_run(loop, EVRUN_ONCE);
	ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(rings, n);
}

static void test_it_rings_at_its_time(void **state)
{
	msec at = clock_now() + 20;

	(void)state;
	alarm_set(&bell, at);
	run_until(1);
	assert_true(clock_now() >= at);
}

static void test_the_past_rings_from_the_loop(void **state)
{
	const msec times[] = { clock_now() - 1, 1, 0, -1, INT64_MIN };

	(void)state;
	for (int i = 0; i < (int)(sizeof(times) / sizeof(times[0])); i++) {
		alarm_set(&bell, times[i]);
		assert_int_equal(rings, i);
		run_until(i + 1);
	}
}

static void test_the_same_time_rings_again(void **state)
{
	(void)state;
	alarm_set(&bell, 5);
	alarm_set(&bell, 5);
	run_until(1);
	alarm_set(&bell, 5);
	run_until(2);
}

/* It has expired, but the loop did not look yet. */
static void test_a_later_time_takes_an_expired_one_back(void **state)
{
	(void)state;
	alarm_set(&bell, 1);
	alarm_set(&bell, clock_now() + FAR);
	ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(rings, 0);
	alarm_set(&bell, 1);
	run_until(1);
}

static void test_never(void **state)
{
	(void)state;
	alarm_set(&bell, 1);
	alarm_set(&bell, MSEC_NEVER);
	ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(rings, 0);
	alarm_set(&bell, MSEC_NEVER - 1);
	ev_run(loop, EVRUN_NOWAIT);
	assert_int_equal(rings, 0);
	alarm_set(&bell, 2);
	run_until(1);
}

static void ring_thrice(void *ctx)
{
	(void)ctx;
	if (++rings < 3)
		alarm_set(&bell, clock_now());
}

static void test_it_may_be_set_while_it_rings(void **state)
{
	(void)state;
	bell.ring = ring_thrice;
	alarm_set(&bell, 1);
	run_until(3);
}

static void put_both_off(void *ctx)
{
	struct alarm *other = ctx;

	rings++;
	alarm_set(&bell, clock_now() + FAR);
	alarm_set(other, clock_now() + FAR);
}

/* The loop saw both expire; the first to ring takes the other one back before its turn. */
static void test_one_that_is_put_off_in_the_same_round(void **state)
{
	struct alarm other;

	(void)state;
	assert_int_equal(alarm_open(&other, loop, put_both_off, &other, &err), 0);
	bell.ring = put_both_off;
	bell.ctx = &other;
	alarm_set(&bell, 1);
	alarm_set(&other, 1);
	run_until(1);
	alarm_close(&other);
}

/* Suspended or not, a deadline is a deadline: CLOCK_BOOTTIME is 7. */
static void test_its_clock(void **state)
{
	char path[64];
	char text[256] = "";
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bell.io.fd);
	f = fopen(path, "re");
	if (f == NULL)
		skip();
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	assert_non_null(strstr(text, "clockid: 7\n"));
	assert_true(fcntl(bell.io.fd, F_GETFD) & FD_CLOEXEC);
}

static void test_a_closed_one_holds_nothing(void **state)
{
	struct alarm other;
	int before = count_fds();

	(void)state;
	assert_int_equal(alarm_open(&other, loop, count_ring, &bell, &err), 0);
	alarm_set(&other, clock_now() + FAR);
	alarm_close(&other);
	assert_int_equal(count_fds(), before);
	ev_run(loop, 0); /* nothing keeps it */
}

static void test_no_descriptor_is_left(void **state)
{
	struct alarm other;
	struct rlimit limit, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(alarm_open(&other, loop, count_ring, &bell, &err), -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(err.code, EMFILE);
}

/* Tasks */

struct job {
	pthread_t worked_by, done_by;
	sigset_t mask;
	int worked, done;
	pthread_barrier_t *meet;
	struct job *next;
};

static void work(void *arg)
{
	struct job *j = arg;

	j->worked++;
	j->worked_by = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &j->mask);
	if (j->meet != NULL)
		pthread_barrier_wait(j->meet);
}

static void done(void *arg)
{
	struct job *j = arg;

	j->done++;
	j->done_by = pthread_self();
	if (j->next != NULL)
		assert_non_null(task_start(loop, work, done, j->next, &err));
}

static void assert_done(const struct job *j)
{
	assert_int_equal(j->worked, 1);
	assert_int_equal(j->done, 1);
	assert_true(pthread_equal(j->done_by, pthread_self()));
	assert_false(pthread_equal(j->worked_by, pthread_self()));
	assert_int_equal(sigismember(&j->mask, SIGTERM), 1);
	assert_int_equal(sigismember(&j->mask, SIGCHLD), 1);
	assert_int_equal(sigismember(&j->mask, SIGRTMAX), 1);
}

/* That ev_run() returns proves that nothing of a finished task is left in the loop. */
static void test_many_tasks(void **state)
{
	struct job jobs[40] = { 0 };

	(void)state;
	for (size_t i = 0; i < 40; i++)
		assert_non_null(task_start(loop, work, done, &jobs[i], &err));
	for (size_t i = 0; i < 40; i++)
		assert_int_equal(jobs[i].done, 0);
	ev_run(loop, 0);
	for (size_t i = 0; i < 40; i++)
		assert_done(&jobs[i]);
}

/* Both have to be at work for either to finish. */
static void test_two_tasks_at_once(void **state)
{
	pthread_barrier_t meet;
	struct job a = { .meet = &meet }, b = { .meet = &meet };

	(void)state;
	pthread_barrier_init(&meet, NULL, 2);
	assert_non_null(task_start(loop, work, done, &a, &err));
	assert_non_null(task_start(loop, work, done, &b, &err));
	ev_run(loop, 0);
	assert_done(&a);
	assert_done(&b);
	pthread_barrier_destroy(&meet);
}

static void test_a_task_starts_the_next(void **state)
{
	struct job c = { 0 }, b = { .next = &c }, a = { .next = &b };

	(void)state;
	assert_non_null(task_start(loop, work, done, &a, &err));
	ev_run(loop, 0);
	assert_done(&a);
	assert_done(&b);
	assert_done(&c);
}

static void test_the_loop_keeps_its_signals(void **state)
{
	struct job j = { 0 };
	sigset_t one, mask;

	(void)state;
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	sigprocmask(SIG_BLOCK, &one, NULL);
	assert_non_null(task_start(loop, work, done, &j, &err));
	ev_run(loop, 0);
	sigprocmask(SIG_UNBLOCK, &one, &mask);
	assert_int_equal(sigismember(&mask, SIGUSR1), 1);
	assert_int_equal(sigismember(&mask, SIGTERM), 0);
}

static void start_without_threads(void)
{
	const struct rlimit none = { 0, 0 };
	struct job j = { 0 };
	struct ev_loop *own = ev_loop_new(EVFLAG_AUTO);

	become_nobody();
	CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
	CHECK(task_start(own, work, done, &j, &err) == NULL);
	CHECK(err.code == EAGAIN);
	CHECK(strstr(err.text, "cannot start a thread: Resource") != NULL);
	ev_run(own, 0);
	CHECK(j.worked == 0 && j.done == 0);
}

static void test_no_thread_is_left(void **state)
{
	(void)state;
	in_child(start_without_threads);
}

#define ALARM(name) cmocka_unit_test_setup_teardown(name, make_alarm, end_alarm)
#define TASK(name) cmocka_unit_test_setup_teardown(name, make_loop, end_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALARM(test_it_rings_at_its_time),
		ALARM(test_the_past_rings_from_the_loop),
		ALARM(test_the_same_time_rings_again),
		ALARM(test_a_later_time_takes_an_expired_one_back),
		ALARM(test_never),
		ALARM(test_it_may_be_set_while_it_rings),
		ALARM(test_one_that_is_put_off_in_the_same_round),
		ALARM(test_its_clock),
		TASK(test_a_closed_one_holds_nothing),
		ALARM(test_no_descriptor_is_left),
		TASK(test_many_tasks),
		TASK(test_two_tasks_at_once),
		TASK(test_a_task_starts_the_next),
		TASK(test_the_loop_keeps_its_signals),
		TASK(test_no_thread_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
