/*
 * The master's memory of a job: what a rescue worker has to finish.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "role/post.h"

static const struct conf conf = { .ttl = 15000 };
static struct job_conf job = { .name = "orders" };

static int open_post(struct post *p)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	post_init(p, &conf, &job, NULL, clock_now());
	p->reports.fd = fds[0];
	return fds[1];
}

static void say(struct post *p, int fd, const struct report *r)
{
	char line[REPORT_MAX];
	struct err e;
	int len = report_encode(r, line, &e);

	assert_int_equal(write(fd, line, (size_t)len), len);
	assert_int_equal(post_read(p, NULL, &e), POST_NEWS);
	assert_string_equal(e.text, "");
	assert_int_equal(post_read(p, NULL, &e), POST_NOTHING);
}

/* Before it has the lock a rescue worker reports no epoch, and may die right then. */
static void what_was_held_outlives_a_rescue(void **state)
{
	struct report owner = { .state = "backoff",
		.owner = true,
		.placed = true,
		.settled = true,
		.epoch = 7,
		.lease_ms = -1 };
	struct report rescue = { .state = "standby", .lease_ms = -1 };
	struct post p;
	int fd = open_post(&p);

	(void)state;
	say(&p, fd, &owner);
	say(&p, fd, &rescue);
	assert_int_equal(p.report.epoch, 0);
	assert_int_equal(p.held_epoch, 7);
	assert_true(p.held_placed);
	assert_true(p.held_settled);
	close(fd);
	close(p.reports.fd);
}

/* Of the tenure that is, not of one before. */
static void a_new_owner_holds_what_it_says(void **state)
{
	struct report owner = {
		.state = "running", .owner = true, .placed = true, .epoch = 7, .lease_ms = -1
	};
	struct report next = { .state = "restoring", .owner = true, .epoch = 9, .lease_ms = -1 };
	struct post p;
	int fd = open_post(&p);

	(void)state;
	say(&p, fd, &owner);
	say(&p, fd, &next);
	assert_int_equal(p.held_epoch, 9);
	assert_false(p.held_placed);
	close(fd);
	close(p.reports.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_held_outlives_a_rescue),
		cmocka_unit_test(a_new_owner_holds_what_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
