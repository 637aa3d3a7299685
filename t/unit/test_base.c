/*
 * Errors, time and signals.
 */
#include "child_test.h"

#include <fcntl.h>
#include <limits.h>
#include <regex.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/plain.h"
#include "base/sig.h"

static void test_err_set(void **state)
{
	struct err e = { .code = 7 };

	(void)state;
	assert_int_equal(err_set(&e, "no %s for %d", "room", 3), -1);
	assert_string_equal(e.text, "no room for 3");
	assert_int_equal(e.code, 0);
	assert_int_equal(err_set(NULL, "nobody listens"), -1);
}

static void test_err_sys(void **state)
{
	struct err e;

	(void)state;
	errno = ENOSPC;
	assert_int_equal(err_sys(&e, "cannot write %s", "/a"), -1);
	assert_string_equal(e.text, "cannot write /a: No space left on device");
	assert_int_equal(e.code, ENOSPC);
	assert_int_equal(err_sys(NULL, "nobody listens"), -1);
}

static void test_err_add(void **state)
{
	struct err e;

	(void)state;
	errno = EACCES;
	err_sys(&e, "cannot open");
	assert_int_equal(err_add(&e, "job %s", "orders"), -1);
	assert_string_equal(e.text, "job orders: cannot open: Permission denied");
	assert_int_equal(e.code, EACCES);
	assert_int_equal(err_add(NULL, "nobody listens"), -1);
}

/* However long the path: the cause is still there at the end. */
static void test_a_long_error_keeps_its_cause(void **state)
{
	char path[2 * ERR_TEXT_MAX];
	struct err e;

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	for (size_t skip = 0; skip < sizeof(path); skip++) {
		errno = EROFS;
		err_sys(&e, "%s", path + skip);
		assert_in_range(strlen(e.text), 1, ERR_TEXT_MAX - 1);
		assert_non_null(strstr(e.text, ": Read-only file system"));
	}
	err_set(&e, "%s", path);
	assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
	err_add(&e, "%s", path);
	assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
}

/* File names may hold newlines and worse; an error is one line all the same. */
static void test_an_error_is_one_line(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, "cannot open %s", "/tmp/a\nb\x1b[2J");
	assert_string_equal(e.text, "cannot open /tmp/a?b?[2J");
	errno = ENOENT;
	err_sys(&e, "cannot open %s", "a\rb\x7f");
	assert_string_equal(e.text, "cannot open a?b?: No such file or directory");
	err_set(&e, "f\u00fcr");
	err_add(&e, "%s", "x\ny");
	assert_string_equal(e.text, "x?y: f\u00fcr");
}

/* C1 controls drive some terminals, direction marks turn a line around; JSON takes UTF-8 alone. */
static void test_an_error_is_plain_text(void **state)
{
	char path[ERR_TEXT_MAX];
	struct err e;

	(void)state;
	err_set(&e, "etcd: %s",
	    "a\xc2\x9b"
	    "2J\u202efdp.exe\u200b");
	assert_string_equal(e.text, "etcd: a?2J?fdp.exe?");
	errno = ENOENT;
	err_sys(&e, "%s", "\xff\xe2\x80z \u20ac");
	assert_string_equal(e.text, "???z \u20ac: No such file or directory");
	/* Whatever the place at which it is cut. */
	for (size_t i = 0; i + 1 < sizeof(path); i++)
		path[i] = "\xe2\x82\xac"[i % 3];
	for (size_t skip = 0; skip < 6; skip++) {
		err_set(&e, "%.*s%s", (int)skip, "xxxxxx", path);
		err_add(&e, "f\u00fcr");
		assert_in_range(strlen(e.text), ERR_TEXT_MAX - 4, ERR_TEXT_MAX - 1);
		assert_in_range(strcspn(e.text, "?"), ERR_TEXT_MAX - 4, ERR_TEXT_MAX - 1);
		for (size_t at = 0; at < strlen(e.text);) {
			bool plain;

			at += plain_next(e.text + at, strlen(e.text) - at, &plain);
			assert_true(plain);
		}
	}
}

static void test_sums_of_time(void **state)
{
	(void)state;
	assert_int_equal(msec_add(1, 2), 3);
	assert_int_equal(msec_add(MSEC_NEVER, 0), MSEC_NEVER);
	assert_int_equal(msec_add(0, MSEC_NEVER), MSEC_NEVER);
	assert_int_equal(msec_add(MSEC_NEVER, MSEC_NEVER), MSEC_NEVER);
	assert_int_equal(msec_add(MSEC_NEVER - 1, 2), MSEC_NEVER);
	assert_int_equal(msec_add(MSEC_NEVER - 2, 1), MSEC_NEVER - 1);
	assert_int_equal(msec_min(3, 2), 2);
	assert_int_equal(msec_min(2, MSEC_NEVER), 2);
}

static void test_the_clock(void **state)
{
	char stamp[CLOCK_STAMP_MAX];
	msec before = clock_now();
	int64_t wall = clock_wall();
	struct timespec boot, real;
	regex_t form;

	(void)state;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	assert_in_range((msec)boot.tv_sec * 1000 + boot.tv_nsec / 1000000, before, clock_now());
	clock_gettime(CLOCK_REALTIME, &real);
	assert_in_range(real.tv_sec, wall, clock_wall());
	assert_int_equal(regcomp(&form,
			     "^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
			     "\\.[0-9]{3}Z$",
			     REG_EXTENDED | REG_NOSUB),
	    0);
	assert_int_equal(regexec(&form, clock_stamp(stamp), 0, NULL, 0), 0);
	regfree(&form);
}

static void test_signal_names(void **state)
{
	(void)state;
	assert_int_equal(sig_number("INT"), SIGINT);
	assert_int_equal(sig_number("SIGINT"), SIGINT);
	assert_int_equal(sig_number("int"), SIGINT);
	assert_int_equal(sig_number("sigUsr1"), SIGUSR1);
	assert_int_equal(sig_number("RTMIN"), SIGRTMIN);
	assert_int_equal(sig_number("SIGRTMIN+2"), SIGRTMIN + 2);
	assert_int_equal(sig_number("RTMIN+0"), SIGRTMIN);
	assert_string_equal(sig_name(SIGTERM), "SIGTERM");
	assert_string_equal(sig_name(SIGRTMIN + 3), "SIGRTMIN+3");
	assert_string_equal(sig_name(0), "signal 0");
	assert_string_equal(sig_name(-1), "signal -1");
	assert_string_equal(sig_name(INT_MAX), "signal 2147483647");
	for (int s = 1; s <= SIGRTMAX; s++) {
		if (s < 32 || s >= SIGRTMIN)
			assert_int_equal(sig_number(sig_name(s)), s);
	}
}

static void test_what_is_no_signal(void **state)
{
	static const char *const names[] = { "", "SIG", "FOO", "2", "SIGSIGINT", "INT ", " INT",
		"RTMIN+", "RTMIN-1", "RTMIN+-1", "RTMIN+ 1", "RTMIN+ -1", "RTMIN++1", "RTMIN+1x",
		"RTMIN+31", "RTMIN+99999999999999999999", "RTMIN2", "RTMAX+1" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (sig_number(names[i]) != 0)
			fail_msg("\"%s\" became %d", names[i], sig_number(names[i]));
	}
}

static bool is_default(int signo)
{
	struct sigaction now;

	return sigaction(signo, NULL, &now) != 0 || now.sa_handler == SIG_DFL;
}

static void receive_signals(void)
{
	const int wanted[] = { SIGINT, SIGTERM, SIGCHLD, 0 };
	struct err e;
	struct sig_from from = { 0 };
	int fd;

	signal(SIGINT, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	fd = sig_open(wanted, &e);
	CHECK(fd >= 0);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK(is_default(SIGINT) && is_default(SIGCHLD));
	CHECK(sig_next(fd, &from) == 0);
	CHECK(kill(getpid(), SIGINT) == 0);
	CHECK(kill(getpid(), SIGINT) == 0);
	CHECK(sig_next(fd, &from) == SIGINT);
	CHECK(from.pid == getpid() && !from.kernel && !from.queued);
	CHECK(sig_next(fd, NULL) == 0); /* the same signal twice is one */
	CHECK(kill(getpid(), SIGTERM) == 0);
	CHECK(sig_next(fd, NULL) == SIGTERM);
	CHECK(raise(SIGCHLD) == 0);
	CHECK(sig_next(fd, NULL) == SIGCHLD);
	CHECK(sigqueue(getpid(), SIGTERM, (union sigval){ .sival_int = 42 }) == 0);
	CHECK(sig_next(fd, &from) == SIGTERM && from.queued && from.value == 42);
}

static void test_signals_become_events(void **state)
{
	(void)state;
	in_child(receive_signals);
}

static void hold_signals(void)
{
	const int wanted[] = { SIGHUP, SIGINT, SIGWINCH, SIGCHLD, 0 };
	bool seen[NSIG] = { false };
	struct err e;
	int fd, signo;

	signal(SIGINT, SIG_IGN);
	sig_hold(wanted);
	for (const int *s = wanted; *s != 0; s++)
		CHECK(kill(getpid(), *s) == 0);
	fd = sig_open(wanted, &e);
	CHECK(fd >= 0);
	while ((signo = sig_next(fd, NULL)) != 0)
		seen[signo] = true;
	for (const int *s = wanted; *s != 0; s++)
		CHECK(seen[*s]);
}

/* Those, too, whose default it is to do nothing. */
static void test_held_signals_are_not_lost(void **state)
{
	(void)state;
	in_child(hold_signals);
}

static void open_with_all_blocked(void)
{
	const int wanted[] = { SIGINT, 0 };
	sigset_t mask;
	struct err e;

	sig_block_all(NULL);
	CHECK(sig_open(wanted, &e) >= 0);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int s = 1; s <= SIGRTMAX; s++) {
		if (s < 32 || s >= SIGRTMIN)
			CHECK(sigismember(&mask, s) == (s == SIGINT));
	}
	CHECK(!is_default(SIGPIPE));
}

/* A process forked under sig_block_all() sets its own mask, not one beside that. */
static void test_opening_sets_the_whole_mask(void **state)
{
	(void)state;
	in_child(open_with_all_blocked);
}

static void block_and_restore(void)
{
	sigset_t before, now;

	sigprocmask(SIG_SETMASK, NULL, &before);
	sigaddset(&before, SIGUSR2);
	sig_restore(&before);
	sig_block_all(&before);
	CHECK(kill(getpid(), SIGUSR1) == 0); /* would end us */
	sigprocmask(SIG_SETMASK, NULL, &now);
	CHECK(sigismember(&now, SIGRTMAX) == 1);
	CHECK(signal(SIGUSR1, SIG_IGN) == SIG_DFL);
	sig_restore(&before);
	sigprocmask(SIG_SETMASK, NULL, &now);
	CHECK(sigismember(&now, SIGUSR1) == 0);
	CHECK(sigismember(&now, SIGUSR2) == 1);
}

static void test_blocking(void **state)
{
	(void)state;
	in_child(block_and_restore);
}

static void reset_all(void)
{
	sigset_t mask;

	sig_block_all(NULL);
	for (int s = 1; s <= SIGRTMAX; s++)
		signal(s, SIG_IGN);
	sig_reset();
	for (int s = 1; s <= SIGRTMAX; s++)
		CHECK(is_default(s));
	sigprocmask(SIG_SETMASK, NULL, &mask);
	CHECK(sigisemptyset(&mask));
}

static void test_resetting(void **state)
{
	(void)state;
	in_child(reset_all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err_set),
		cmocka_unit_test(test_err_sys),
		cmocka_unit_test(test_err_add),
		cmocka_unit_test(test_a_long_error_keeps_its_cause),
		cmocka_unit_test(test_an_error_is_one_line),
		cmocka_unit_test(test_an_error_is_plain_text),
		cmocka_unit_test(test_sums_of_time),
		cmocka_unit_test(test_the_clock),
		cmocka_unit_test(test_signal_names),
		cmocka_unit_test(test_what_is_no_signal),
		cmocka_unit_test(test_signals_become_events),
		cmocka_unit_test(test_held_signals_are_not_lost),
		cmocka_unit_test(test_opening_sets_the_whole_mask),
		cmocka_unit_test(test_blocking),
		cmocka_unit_test(test_resetting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
