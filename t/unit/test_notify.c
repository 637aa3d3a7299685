/*
 * NOTIFY_SOCKET: what a message means, who may send one, and what must never come through.
 */
#include "child_test.h"
#include "state_test.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "job/notify.h"

#define SYSTEMD_NOTIFY "/usr/bin/systemd-notify"
#define PATIENCE 60000 /* only a broken program makes a test wait that long */

static struct notify n;
static int sock = -1;

/* Parsing */

static void parse(const char *text)
{
	notify_parse(text, strlen(text), &n);
}

static void assert_status(const char *text, size_t len, const char *expected)
{
	notify_parse(text, len, &n);
	assert_true(n.has_status);
	assert_string_equal(n.status, expected);
}

static void assert_nothing(const char *text)
{
	const struct notify nothing = { 0 };

	parse(text);
	assert_memory_equal(&n, &nothing, sizeof(n));
}

static void test_each_key(void **state)
{
	(void)state;
	parse("READY=1");
	assert_true(n.ready && !n.stopping && !n.watchdog && !n.has_status && n.extend == 0);
	parse("STOPPING=1\n");
	assert_true(!n.ready && n.stopping && !n.watchdog && !n.has_status && n.extend == 0);
	parse("WATCHDOG=1");
	assert_true(!n.ready && !n.stopping && n.watchdog && !n.has_status && n.extend == 0);
	parse("STATUS=42 events");
	assert_true(!n.ready && !n.stopping && !n.watchdog && n.has_status && n.extend == 0);
	assert_string_equal(n.status, "42 events");
	parse("EXTEND_TIMEOUT_USEC=2000");
	assert_true(!n.ready && !n.stopping && !n.watchdog && !n.has_status && n.extend == 2);
}

static void test_many_keys(void **state)
{
	(void)state;
	parse("\nX=1\nREADY=1\n\nSTATUS=a=b\nMAINPID=12\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=1500\n"
	      "STOPPING=1\n");
	assert_true(n.ready && n.stopping && n.watchdog && n.has_status);
	assert_string_equal(n.status, "a=b");
	assert_int_equal(n.extend, 2);
	parse("STATUS=first\nSTATUS=second");
	assert_string_equal(n.status, "second");
	parse("STATUS=first\nSTATUS=");
	assert_true(n.has_status);
	assert_string_equal(n.status, "");
}

static void test_what_is_not_understood(void **state)
{
	static const char *const texts[] = { "", "\n", "=", "=1", "READY", "READY=", "READY=0",
		"READY=11", "READY=1 ", "READY=1\r", " READY=1", "ready=1", "READY =1", "XREADY=1",
		"READYX=1", "READ=1", "WATCHDOG=trigger", "STOPPING=yes", "WATCHDOG_USEC=1",
		"BARRIER=1", "STATU=x", "STATUSX=x", "STATUS" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_nothing(texts[i]);
	notify_parse("READY=1\0", 8, &n);
	assert_false(n.ready);
}

static void test_extensions(void **state)
{
	static const char *const bad[] = { "EXTEND_TIMEOUT_USEC=", "EXTEND_TIMEOUT_USEC=0",
		"EXTEND_TIMEOUT_USEC=-1", "EXTEND_TIMEOUT_USEC=+1", "EXTEND_TIMEOUT_USEC= 1",
		"EXTEND_TIMEOUT_USEC=1s", "EXTEND_TIMEOUT_USEC=0x10", "EXTEND_TIMEOUT_USEC=1e3",
		"EXTEND_TIMEOUT_USEC=99999999999999999999999999999999x" };
	static const char *const endless[] = { "EXTEND_TIMEOUT_USEC=18446744073709551615",
		"EXTEND_TIMEOUT_USEC=18446744073709551616",
		"EXTEND_TIMEOUT_USEC=99999999999999999999999999999999" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_nothing(bad[i]);
	parse("EXTEND_TIMEOUT_USEC=1");
	assert_int_equal(n.extend, 1); /* rounded up: less than asked for would be too early */
	parse("EXTEND_TIMEOUT_USEC=1000");
	assert_int_equal(n.extend, 1);
	parse("EXTEND_TIMEOUT_USEC=999999999999999999");
	assert_int_equal(n.extend, 1000000000000000);
	parse("EXTEND_TIMEOUT_USEC=18446744073709551000"); /* graceful_extend_timeout(UINT64_MAX) */
	assert_int_equal(n.extend, 18446744073709551);
	for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
		parse(endless[i]);
		assert_int_equal(n.extend, MSEC_NEVER);
	}
}

static void test_a_status_is_text(void **state)
{
	(void)state;
	parse("STATUS=a\x1b[2J\tb\x7f");
	assert_string_equal(n.status, "a?[2J?b?");
	assert_status("STATUS=a\0b", 10, "a?b");
	parse("STATUS=M\u00fc \u2013 \u6f22 \U0001f600");
	assert_string_equal(n.status, "M\u00fc \u2013 \u6f22 \U0001f600");
	parse("STATUS=\xc2\x80x\xc2\x9f\xc2\xa0");
	assert_string_equal(n.status, "?x?\xc2\xa0"); /* C1 controls */
}

static void test_a_status_in_broken_utf8(void **state)
{
	static const char *const texts[][2] = {
		{ "STATUS=a\xff\xfez", "a??z" },
		{ "STATUS=\x80", "?" },
		{ "STATUS=\xe2\x80", "??" },
		{ "STATUS=\xe2\x80z", "??z" },
		{ "STATUS=\xc0\xaf", "??" },               /* overlong */
		{ "STATUS=\xc1\xbf", "??" },               /* overlong */
		{ "STATUS=\xe0\x9f\xbf", "???" },          /* overlong */
		{ "STATUS=\xe0\xa0\x80", "\u0800" },       /* the first of three bytes */
		{ "STATUS=\xed\x9f\xbf", "\xed\x9f\xbf" }, /* the last before the surrogates */
		{ "STATUS=\xed\xa0\x80", "???" },          /* a surrogate */
		{ "STATUS=\xf0\x8f\xbf\xbf", "????" },     /* overlong */
		{ "STATUS=\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
		{ "STATUS=\xf4\x90\x80\x80", "????" }, /* beyond Unicode */
		{ "STATUS=\xf5\x80\x80\x80", "????" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_status(texts[i][0], strlen(texts[i][0]), texts[i][1]);
}

/* Cut between characters, never inside one. */
static void test_a_status_that_is_too_long(void **state)
{
	static const char *const last[] = { "x", "\u00fc", "\u2013", "\U0001f600" };
	char text[1024] = "STATUS=";

	(void)state;
	for (size_t width = 1; width <= 4; width++) {
		for (size_t pad = 0; pad < 8; pad++) {
			size_t head = NOTIFY_STATUS_MAX - pad;
			size_t fits = pad / width * width;

			memset(text + 7, 'y', sizeof(text) - 7);
			for (size_t i = 0; i < 12; i++)
				text[7 + head + i] = last[width - 1][i % width];
			notify_parse(text, 7 + head + 12, &n);
			assert_int_equal(strlen(n.status), head + fits);
			assert_memory_equal(n.status, text + 7, head + fits);
		}
	}
}

/* The socket */

static int set_up(void **state)
{
	(void)state;
	if (scratch_make() != 0)
		return -1;
	sock = notify_open(at("socket"), geteuid(), getegid(), &err);
	return sock >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	close(sock);
	return scratch_remove(NULL);
}

static int connect_to_socket(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", at("socket"));
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Sends text along with n_fds copies of one descriptor. */
static void send_message(const char *text, size_t len, int passed, size_t n_fds)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(253 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = strdup(text), .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fd = connect_to_socket();

	assert_true(fd >= 0);
	if (n_fds > 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &passed, sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &m, 0), (ssize_t)len);
	close(fd);
	free(iov.iov_base);
}

static void send_text(const char *text)
{
	send_message(text, strlen(text), -1, 0);
}

static void test_messages_come_one_by_one(void **state)
{
	(void)state;
	assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 0);
	send_text("READY=1\nSTATUS=one");
	send_text("");
	send_text("STATUS=two");
	assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 1);
	assert_true(n.ready);
	assert_string_equal(n.status, "one");
	assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 1);
	assert_true(!n.ready && !n.has_status);
	assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 1);
	assert_true(!n.ready);
	assert_string_equal(n.status, "two");
	assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 0);
}

/* Half a message might say what the whole one does not. */
static void test_a_message_that_is_too_long_says_nothing(void **state)
{
	char text[5000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "READY=1\nSTATUS=", 15);
	send_message(text, 4096, -1, 0);
	assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 1);
	assert_true(n.ready);
	assert_int_equal(strlen(n.status), NOTIFY_STATUS_MAX);
	send_message(text, 4097, -1, 0);
	assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 1);
	assert_true(!n.ready && !n.has_status);
}

static void test_passed_descriptors_are_closed(void **state)
{
	static const size_t numbers[] = { 1, 2, 15, 16, 17, 24, 253 };
	int before = count_fds();

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		send_message("READY=1", 7, STDIN_FILENO, numbers[i]);
		assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 1);
		assert_true(n.ready);
		assert_int_equal(count_fds(), before);
	}
}

/* Told without taking anything. */
static void test_who_brings_descriptors_is_told_before(void **state)
{
	int before = count_fds();

	(void)state;
	assert_false(notify_is_burdened(sock));
	send_text("READY=1");
	send_message("WATCHDOG=1", 10, STDIN_FILENO, 1);
	send_message("STATUS=x", 8, STDIN_FILENO, 253);
	assert_false(notify_is_burdened(sock));
	assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 1);
	assert_true(n.ready);
	assert_true(notify_is_burdened(sock));
	assert_true(notify_is_burdened(sock));
	assert_int_equal(count_fds(), before);
	assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 1);
	assert_true(n.watchdog);
	assert_true(notify_is_burdened(sock));
	assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 1);
	assert_true(n.has_status);
	assert_false(notify_is_burdened(sock));
}

/* What BARRIER=1 waits for: the far end of a pipe is closed once the message was taken. */
static void test_a_barrier(void **state)
{
	struct pollfd p = { .events = POLLIN };
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	p.fd = fds[0];
	send_message("BARRIER=1", 9, fds[1], 1);
	close(fds[1]);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(notify_receive(sock, geteuid(), &n, &err), 1);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(p.revents & POLLHUP);
	close(fds[0]);
}

/* Receives until the child has ended; its exit status. *ready: whether READY=1 came. */
static int serve(pid_t pid, int ended, bool *ready)
{
	struct pollfd p[] = { { .fd = sock, .events = POLLIN }, { .fd = ended, .events = POLLIN } };

	while (p[1].revents == 0) {
		assert_true(poll(p, 2, PATIENCE) > 0);
		while (notify_receive(sock, geteuid(), &n, &err) == 1) {
			*ready |= n.ready;
			if (n.has_status)
				assert_string_equal(n.status, "42 events");
		}
	}
	return wait_for(pid);
}

static void test_systemd_notify(void **state)
{
	bool ready = false;
	int ended[2];
	pid_t pid;

	(void)state;
	if (access(SYSTEMD_NOTIFY, X_OK) != 0)
		skip();
	assert_int_equal(pipe(ended), 0);
	pid = fork();
	if (pid == 0) {
		close(ended[0]);
		setenv("NOTIFY_SOCKET", at("socket"), 1);
		execl(SYSTEMD_NOTIFY, SYSTEMD_NOTIFY, "--ready", "--status=42 events", (char *)0);
		_exit(127);
	}
	close(ended[1]);
	assert_int_equal(serve(pid, ended[0], &ready), 0);
	assert_true(ready);
	close(ended[0]);
}

static void send_as_nobody(void)
{
	int fd = connect_to_socket();

	become_nobody();
	CHECK(send(fd, "READY=1", 7, 0) == 7);
}

static void test_only_the_user_of_the_job_may_send(void **state)
{
	char said[64];
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = start_child(send_as_nobody);
	assert_int_equal(wait_for(pid), 0);
	assert_int_equal(notify_receive(sock, 12345, &n, &err), -1);
	snprintf(said, sizeof(said), "pid %d of user %d", (int)pid, NOBODY);
	assert_says(said);
	in_child(send_as_nobody);
	assert_int_equal(notify_receive(sock, NOBODY, &n, &err), 1);
	assert_true(n.ready);
	send_text("WATCHDOG=1"); /* root may */
	assert_int_equal(notify_receive(sock, NOBODY, &n, &err), 1);
	assert_true(n.watchdog);
}

static void connect_as_nobody(void)
{
	become_nobody();
	CHECK(connect_to_socket() < 0);
	CHECK(errno == EACCES);
}

static void connect_and_send_as_nobody(void)
{
	int fd;

	become_nobody();
	fd = connect_to_socket();
	CHECK(fd >= 0);
	CHECK(send(fd, "READY=1", 7, 0) == 7);
}

static void test_the_socket_belongs_to_the_user(void **state)
{
	struct stat st = stat_of(at("socket"));
	int other;

	(void)state;
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(fcntl(sock, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(sock, F_GETFL) & O_NONBLOCK);
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(scratch, 0711), 0);
	in_child(connect_as_nobody);
	other = notify_open(at("socket"), NOBODY, NOBODY, &err); /* in the place of the old one */
	assert_true(other >= 0);
	st = stat_of(at("socket"));
	assert_int_equal(st.st_uid, NOBODY);
	assert_int_equal(st.st_gid, NOBODY);
	assert_int_equal(st.st_mode & 0777, 0600);
	in_child(connect_and_send_as_nobody);
	assert_int_equal(notify_receive(other, NOBODY, &n, &err), 1);
	assert_true(n.ready);
	close(other);
}

static void test_sockets_that_cannot_be(void **state)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	int before = count_fds();
	mode_t mask = umask(027);

	(void)state;
	assert_int_equal(notify_open(at("no/where"), geteuid(), getegid(), &err), -1);
	assert_says(at("no/where"));
	assert_int_equal(err.code, ENOENT);
	assert_int_equal(mkdir(at("dir"), 0700), 0);
	assert_int_equal(notify_open(at("dir"), geteuid(), getegid(), &err), -1);
	assert_int_equal(err.code, EADDRINUSE);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(notify_open(path, geteuid(), getegid(), &err), -1);
	assert_says("use a shorter run_dir");
	assert_int_equal(count_fds(), before);
	assert_int_equal(umask(mask), 027);
}

static void give_away(void)
{
	become_nobody();
	CHECK(notify_open(at("open/socket"), 1, 1, &err) == -1);
	CHECK(err.code == EPERM);
}

static void test_a_socket_that_cannot_be_given_away_is_removed(void **state)
{
	(void)state;
	assert_int_equal(chmod(scratch, 0711), 0);
	assert_int_equal(mkdir(at("open"), 0755), 0);
	assert_int_equal(chmod(at("open"), 0777), 0);
	in_child(give_away);
	assert_false(is_there(at("open/socket")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_key),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_what_is_not_understood),
		cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_a_status_is_text),
		cmocka_unit_test(test_a_status_in_broken_utf8),
		cmocka_unit_test(test_a_status_that_is_too_long),
		TEST(test_messages_come_one_by_one),
		TEST(test_a_message_that_is_too_long_says_nothing),
		TEST(test_passed_descriptors_are_closed),
		TEST(test_who_brings_descriptors_is_told_before),
		TEST(test_a_barrier),
		TEST(test_systemd_notify),
		TEST(test_only_the_user_of_the_job_may_send),
		TEST(test_the_socket_belongs_to_the_user),
		TEST(test_sockets_that_cannot_be),
		TEST(test_a_socket_that_cannot_be_given_away_is_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
