/*
 * The log: what a line looks like, and every way in which its reader can be slow, dead or gone.
 * Each test runs in a process of its own, as standard error is what it changes.
 */
#include "child_test.h"
#include "state_test.h"

#include <grp.h>
#include <regex.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"

#define SYSLOG_SOCKET "/dev/log"

static bool syslog_is_ours; /* SYSLOG_SOCKET was not there before */

static int set_up(void **state)
{
	(void)state;
	return scratch_make();
}

static int tear_down(void **state)
{
	(void)state;
	if (syslog_is_ours)
		unlink(SYSLOG_SOCKET);
	syslog_is_ours = false;
	return scratch_remove(NULL);
}

/* In the child: what stands at the other end of standard error */

static int move_to_stderr(const int fds[2])
{
	CHECK(dup2(fds[1], STDERR_FILENO) == STDERR_FILENO);
	CHECK(close(fds[1]) == 0);
	CHECK(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
	return fds[0];
}

static int listen_on_pipe(void)
{
	int fds[2];

	CHECK(pipe(fds) == 0);
	return move_to_stderr(fds);
}

/* Like a pipe, but keeps the bounds of every single write. */
static int listen_on_packets(void)
{
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
	return move_to_stderr(fds);
}

static const char *hear(int fd)
{
	static char buf[4 * PIPE_BUF];
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void hear_all(int fd)
{
	while (*hear(fd) != '\0')
		;
}

static bool matches(const char *text, const char *pattern)
{
	regex_t re;
	bool rc;

	CHECK(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) == 0);
	rc = regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	if (!rc)
		printf("# \"%s\" does not match \"%s\"\n", text, pattern);
	return rc;
}

/* A line of this process, from its level on. */
static bool is_line(const char *line, const char *level, const char *role, const char *rest)
{
	char pattern[256];

	snprintf(pattern, sizeof(pattern),
	    "^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
	    "%s +%s\\[%d\\] +%s\n$",
	    level, role, (int)getpid(), rest);
	return matches(line, pattern);
}

/* The line that says that lines were lost, and the one after it. */
static bool hear_after_loss(int fd, const char *rest)
{
	char two[8 * PIPE_BUF];
	char pattern[256];

	snprintf(two, sizeof(two), "%s", hear(fd));
	/* Of a socket each line is a message of its own. */
	if (strchr(two, '\n') == strrchr(two, '\n'))
		snprintf(two + strlen(two), sizeof(two) - strlen(two), "%s", hear(fd));
	snprintf(pattern, sizeof(pattern),
	    "warn  graceful\\[%d\\] +lines of this process were lost here.* "
	    "lines=[1-9][0-9]*\n.*info  graceful\\[%d\\] +%s\n$",
	    (int)getpid(), (int)getpid(), rest);
	return matches(two, pattern);
}

/* Lines */

static void say_everything(void)
{
	int fd = listen_on_packets();

	log_info("before it was opened");
	CHECK(is_line(hear(fd), "info", "graceful", "before it was opened"));
	log_open(false, LOG_LEVEL_DEBUG);
	log_who("master", NULL);
	log_error("no %s", "room");
	CHECK(is_line(hear(fd), "error", "master", "no room"));
	log_who("worker", "orders");
	log_warn("late by=%dms", 12);
	CHECK(is_line(hear(fd), "warn", "worker", "orders: late by=12ms"));
	log_info("%s", "");
	CHECK(is_line(hear(fd), "info", "worker", "orders: "));
	log_debug("deep");
	CHECK(is_line(hear(fd), "debug", "worker", "orders: deep"));
	log_output(getpid(), "hello there", 5);
	CHECK(is_line(hear(fd), "info", "job", "orders: hello"));
	CHECK(log_lost() == 0);
}

static void test_what_a_line_looks_like(void **state)
{
	(void)state;
	in_child(say_everything);
}

static void say_at_every_level(void)
{
	int fd = listen_on_packets();

	for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		log_open(false, (enum log_level)level);
		log_error("x");
		CHECK((*hear(fd) != '\0') == (level >= LOG_LEVEL_ERROR));
		log_warn("x");
		CHECK((*hear(fd) != '\0') == (level >= LOG_LEVEL_WARN));
		log_info("x");
		CHECK((*hear(fd) != '\0') == (level >= LOG_LEVEL_INFO));
		log_output(1, "x", 1);
		CHECK((*hear(fd) != '\0') == (level >= LOG_LEVEL_INFO));
		log_debug("x");
		CHECK((*hear(fd) != '\0') == (level >= LOG_LEVEL_DEBUG));
	}
}

static void test_levels(void **state)
{
	enum log_level level = LOG_LEVEL_DEBUG;

	(void)state;
	in_child(say_at_every_level);
	assert_true(log_level_parse("error", &level) && level == LOG_LEVEL_ERROR);
	assert_true(log_level_parse("warn", &level) && level == LOG_LEVEL_WARN);
	assert_true(log_level_parse("info", &level) && level == LOG_LEVEL_INFO);
	assert_true(log_level_parse("debug", &level) && level == LOG_LEVEL_DEBUG);
	assert_false(log_level_parse("Error", &level));
	assert_false(log_level_parse("warning", &level));
	assert_false(log_level_parse("", &level));
	assert_int_equal(level, LOG_LEVEL_DEBUG);
}

/* One write, one newline, and that at the end; the text is cut to fit. */
static void check_long_line(int fd)
{
	const char *line = hear(fd);
	size_t len = strlen(line);

	CHECK(len > PIPE_BUF - 10 && len <= PIPE_BUF);
	CHECK(strchr(line, '\n') == line + len - 1);
	CHECK(strstr(line, "orders: ") != NULL);
	CHECK(*hear(fd) == '\0');
}

static void say_too_much(void)
{
	int fd = listen_on_packets();
	char much[3 * PIPE_BUF];

	memset(much, 'x', sizeof(much) - 1);
	much[sizeof(much) - 1] = '\0';
	log_open(false, LOG_LEVEL_INFO);
	log_who("a-role-with-a-name-that-is-too-long", "orders");
	for (size_t len = PIPE_BUF; len < PIPE_BUF + 8; len++) {
		log_info("%.*s", (int)len, much);
		check_long_line(fd);
		log_output(1, much, len);
		check_long_line(fd);
	}
	log_info("%s", much);
	check_long_line(fd);
	log_output(INT_MAX, much, sizeof(much));
	check_long_line(fd);
}

static void test_a_line_fits_one_write(void **state)
{
	(void)state;
	in_child(say_too_much);
}

/* Nobody forges a line or drives a terminal; what is text, also in UTF-8, stays. */
static void say_what_is_no_text(void)
{
	int fd = listen_on_packets();

	log_open(false, LOG_LEVEL_INFO);
	log_who("worker", NULL);
	log_info("%s", "a\nb\rc\x1b[2J\x7f\td");
	CHECK(is_line(hear(fd), "info", "worker", "a\\?b\\?c\\?\\[2J\\?\td"));
	log_info("%s", "M\u00fcller \u2013 \u6f22");
	CHECK(is_line(hear(fd), "info", "worker", "M\u00fcller \u2013 \u6f22"));
	log_info("%s", "a\xc2\x9b"
		       "2J\xc2\x85");
	CHECK(is_line(hear(fd), "info", "worker", "a\\?\\?2J\\?\\?"));
	log_output(getpid(), "a\0b\nc\xc2", 6);
	CHECK(is_line(hear(fd), "info", "job", "a\\?b\\?c\xc2"));
}

static void test_what_is_no_text(void **state)
{
	(void)state;
	in_child(say_what_is_no_text);
}

/* Readers that are slow or dead */

static void log_much(void)
{
	for (int i = 0; i < 3000; i++)
		log_info("%0200d", i);
}

static void log_to_full_target(int fd)
{
	log_open(false, LOG_LEVEL_INFO);
	log_much();
	CHECK(log_lost() > 0);
	/* Whoever shares standard error with us finds it as it was. */
	CHECK((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0);
	hear_all(fd);
	log_info("here again");
	CHECK(hear_after_loss(fd, "here again"));
	log_info("and again");
	CHECK(is_line(hear(fd), "info", "graceful", "and again"));
}

static void log_to_full_pipe(void)
{
	log_to_full_target(listen_on_pipe());
}

static void log_to_full_socket(void)
{
	log_to_full_target(listen_on_packets());
}

/*
 * A descriptor that another user opened cannot be opened again, so writing is by the shared
 * description, which blocks. A terminal that says that it has room may mean less than a line.
 */
static void log_to_full_terminal(void)
{
	int near = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int fd;

	if (near < 0 || grantpt(near) != 0 || unlockpt(near) != 0 || getuid() != 0)
		return;
	fd = open(ptsname(near), O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	CHECK(setgroups(0, NULL) == 0);
	become_nobody();
	log_open(false, LOG_LEVEL_INFO);
	CHECK(log_fd() == STDERR_FILENO);
	log_much();
	CHECK(log_lost() > 0);
	CHECK((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0);
}

static void test_a_full_target(void **state)
{
	(void)state;
	in_child(log_to_full_pipe);
	in_child(log_to_full_socket);
	in_child(log_to_full_terminal);
}

static void log_to_dead_reader(int fd)
{
	log_open(false, LOG_LEVEL_INFO);
	log_info("heard");
	close(fd);
	log_info("lost");
	CHECK(log_lost() == 1);
	log_open(false, LOG_LEVEL_INFO);
	log_info("lost, too");
	CHECK(log_lost() == 2);
}

static void log_to_dead_pipe(void)
{
	signal(SIGPIPE, SIG_DFL);
	log_to_dead_reader(listen_on_pipe());
}

static void log_to_dead_socket(void)
{
	signal(SIGPIPE, SIG_DFL);
	log_to_dead_reader(listen_on_packets());
}

static void test_a_dead_reader(void **state)
{
	(void)state;
	in_child(log_to_dead_pipe);
	in_child(log_to_dead_socket);
}

static void log_to_fifo(void)
{
	const char *path = at("fifo");
	int fd, reader;

	CHECK(mkfifo(path, 0600) == 0);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	for (int round = 0; round < 2; round++) { /* opened with a reader, and without one */
		log_open(false, LOG_LEVEL_INFO);
		close(reader);
		log_info("lost");
		CHECK(log_lost() == (unsigned long)round + 1);
		reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		log_info("here again");
		CHECK(hear_after_loss(reader, "here again"));
		log_info("and again");
		CHECK(is_line(hear(reader), "info", "graceful", "and again"));
		close(reader);
	}
}

static void test_a_reader_that_comes_back(void **state)
{
	(void)state;
	in_child(log_to_fifo);
}

static void log_to_what_fails(void)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	CHECK(full >= 0);
	CHECK(dup2(full, STDERR_FILENO) == STDERR_FILENO);
	log_open(false, LOG_LEVEL_INFO);
	errno = EDOM;
	log_info("lost");
	CHECK(errno == EDOM);
	CHECK(log_lost() == 1);
	close(STDERR_FILENO);
	log_open(false, LOG_LEVEL_INFO);
	log_info("lost");
	CHECK(log_lost() == 2);
}

static void test_a_target_that_fails(void **state)
{
	(void)state;
	in_child(log_to_what_fails);
}

static void log_to_file(void)
{
	int out = open(at("log"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int fd = open(at("log"), O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0 && dup2(out, STDERR_FILENO) == STDERR_FILENO);
	log_open(false, LOG_LEVEL_INFO);
	log_info("once");
	CHECK(is_line(hear(fd), "info", "graceful", "once"));
	log_info("twice");
	CHECK(is_line(hear(fd), "info", "graceful", "twice"));
}

static void test_a_file(void **state)
{
	(void)state;
	in_child(log_to_file);
}

static void open_again_and_again(void)
{
	int fd = listen_on_pipe();
	int before;

	log_open(false, LOG_LEVEL_INFO);
	before = count_fds();
	for (int i = 0; i < 5; i++) {
		log_open(true, LOG_LEVEL_INFO);
		log_open(false, LOG_LEVEL_INFO);
	}
	CHECK(count_fds() == before);
	CHECK(fcntl(log_fd(), F_GETFD) & FD_CLOEXEC);
	log_info("here");
	CHECK(is_line(hear(fd), "info", "graceful", "here"));
}

static void test_opening_it_again(void **state)
{
	(void)state;
	in_child(open_again_and_again);
}

/* Lines of many processes */

#define WRITERS 4

static void write_letters(char letter)
{
	char text[PIPE_BUF - 100];

	memset(text, letter, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_open(false, LOG_LEVEL_INFO);
	for (int i = 0; i < 200; i++)
		log_info("%.*s", (int)sizeof(text) - 1 - i, text);
}

static void start_writers(pid_t pids[WRITERS])
{
	for (int i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		CHECK(pids[i] >= 0);
		if (pids[i] == 0) {
			write_letters((char)('A' + i));
			_exit(0);
		}
	}
}

/* A line that some other one broke into would hold two kinds of letters. */
static bool is_unmixed(const char *line)
{
	const char *text = strstr(line, "] ");
	size_t len;

	if (text == NULL)
		return false;
	text += strspn(text, "] ");
	len = strlen(text);
	for (size_t i = 1; i + 1 < len; i++) {
		if (text[i] != text[0])
			return false;
	}
	return len > 1 && text[len - 1] == '\n';
}

static bool is_about_loss(const char *line)
{
	return matches(line, "lines of this process were lost here.* lines=[0-9]+\n$");
}

/* Lines may get lost when this reader is slow; those that come are whole, and nobody blocks. */
static void write_all_together(void)
{
	pid_t pids[WRITERS];
	char line[2 * PIPE_BUF];
	int fd = listen_on_pipe();
	int lines = 0;
	FILE *f;

	start_writers(pids);
	CHECK(close(STDERR_FILENO) == 0);
	CHECK(fcntl(fd, F_SETFL, 0) == 0);
	f = fdopen(fd, "r");
	CHECK(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		CHECK(is_unmixed(line) || is_about_loss(line));
		lines++;
	}
	CHECK(lines >= WRITERS);
	for (int i = 0; i < WRITERS; i++) {
		int status;

		CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
	}
}

static void test_lines_do_not_mix(void **state)
{
	(void)state;
	in_child(write_all_together);
}

/* The reader is there, but never reads: nobody may wait for it. */
static void write_all_to_a_full_pipe(void)
{
	pid_t pids[WRITERS];
	int status;

	listen_on_pipe();
	start_writers(pids);
	for (int i = 0; i < WRITERS; i++)
		CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
}

static void test_many_writers_and_a_full_pipe(void **state)
{
	(void)state;
	in_child(write_all_to_a_full_pipe);
}

/* Syslog: needs the place of the socket for itself */

static void borrow_syslog_socket(void)
{
	if (geteuid() != 0 || is_there(SYSLOG_SOCKET))
		skip();
	syslog_is_ours = true;
}

static int start_syslogd(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = SYSLOG_SOCKET };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	unlink(SYSLOG_SOCKET);
	CHECK(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0);
	return fd;
}

/* The next line of this process: others on the machine may have found the socket, too. */
static const char *hear_syslog(int fd)
{
	char who[32];
	const char *line;

	snprintf(who, sizeof(who), " graceful[%d]: ", (int)getpid());
	do {
		line = hear(fd);
	} while (*line != '\0' && strstr(line, who) == NULL);
	return line;
}

static bool is_syslog_line(const char *line, int priority, const char *rest)
{
	char pattern[256];

	snprintf(pattern, sizeof(pattern),
	    "^<%d>[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} graceful\\[%d\\]: %s$",
	    priority, (int)getpid(), rest);
	return matches(line, pattern);
}

static void log_to_syslog(void)
{
	int fd = start_syslogd();
	char much[2 * PIPE_BUF] = "";

	log_open(true, LOG_LEVEL_DEBUG);
	log_who("worker", "orders");
	log_error("no room");
	CHECK(is_syslog_line(hear_syslog(fd), 27, "worker orders: no room"));
	log_warn("a\nb");
	CHECK(is_syslog_line(hear_syslog(fd), 28, "worker orders: a\\?b"));
	log_output(getpid(), "hello", 5);
	CHECK(is_syslog_line(hear_syslog(fd), 30, "job orders: hello"));
	log_who("master", NULL);
	log_debug("deep");
	CHECK(is_syslog_line(hear_syslog(fd), 31, "master deep"));
	memset(much, 'x', sizeof(much) - 1);
	log_info("%s", much);
	CHECK(strlen(hear_syslog(fd)) <= PIPE_BUF);
}

static void try_syslog(void)
{
	struct err e;
	int fd = start_syslogd();

	CHECK(log_try_syslog(100, &e) == 0);
	log_open(true, LOG_LEVEL_DEBUG);
	while (log_lost() == 0)
		log_error("nobody reads this");
	CHECK(log_try_syslog(100, &e) == -1 && strstr(e.text, "nobody reads from it") != NULL);
	close(fd);
	CHECK(log_try_syslog(100, &e) == -1 && strstr(e.text, "Connection refused") != NULL);
	unlink(SYSLOG_SOCKET);
	CHECK(log_try_syslog(100, &e) == -1 && strstr(e.text, "No such file") != NULL);
}

static void test_a_syslog_that_takes_no_lines(void **state)
{
	(void)state;
	borrow_syslog_socket();
	in_child(try_syslog);
}

static void test_syslog(void **state)
{
	(void)state;
	borrow_syslog_socket();
	in_child(log_to_syslog);
}

static bool syslog_tells_of_loss(int fd)
{
	return is_syslog_line(hear_syslog(fd), 28,
	    "graceful lines of this process were lost here, as the log did not take them lines=1");
}

static void restart_syslogd(void)
{
	int fd;

	signal(SIGPIPE, SIG_DFL);
	log_open(true, LOG_LEVEL_INFO);
	log_info("lost");
	CHECK(log_lost() == 1);
	fd = start_syslogd();
	log_info("first");
	CHECK(syslog_tells_of_loss(fd));
	CHECK(is_syslog_line(hear_syslog(fd), 30, "graceful first"));
	close(fd);
	log_info("lost");
	CHECK(log_lost() == 2);
	fd = start_syslogd();
	log_info("second");
	CHECK(syslog_tells_of_loss(fd));
	CHECK(is_syslog_line(hear_syslog(fd), 30, "graceful second"));
	close(fd);
	fd = start_syslogd(); /* restarted, and no line was tried in between */
	log_info("third");
	CHECK(is_syslog_line(hear_syslog(fd), 30, "graceful third"));
	CHECK(log_lost() == 2);
}

static void test_a_syslogd_that_comes_and_goes(void **state)
{
	(void)state;
	borrow_syslog_socket();
	in_child(restart_syslogd);
}

static void fill_syslog(void)
{
	int fd = start_syslogd();

	log_open(true, LOG_LEVEL_INFO);
	log_much();
	CHECK(log_lost() > 0);
	hear_all(fd);
	log_info("here again");
	CHECK(strstr(hear_syslog(fd), "lines of this process were lost here") != NULL);
	CHECK(is_syslog_line(hear_syslog(fd), 30, "graceful here again"));
}

static void test_a_syslogd_that_hangs(void **state)
{
	(void)state;
	borrow_syslog_socket();
	in_child(fill_syslog);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_a_line_looks_like),
		TEST(test_levels),
		TEST(test_a_line_fits_one_write),
		TEST(test_what_is_no_text),
		TEST(test_a_full_target),
		TEST(test_a_dead_reader),
		TEST(test_a_reader_that_comes_back),
		TEST(test_a_target_that_fails),
		TEST(test_a_file),
		TEST(test_opening_it_again),
		TEST(test_lines_do_not_mix),
		TEST(test_many_writers_and_a_full_pipe),
		TEST(test_syslog),
		TEST(test_a_syslog_that_takes_no_lines),
		TEST(test_a_syslogd_that_comes_and_goes),
		TEST(test_a_syslogd_that_hangs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
