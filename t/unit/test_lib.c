/*
 * libgraceful against the contract in graceful.h. The library is set up once for a process, so
 * every test runs in a child of its own, with its own environment; what the child writes into its
 * work directory is removed by the parent.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "graceful.h"

/* cmocka's assertions jump back into the runner, which must not go on in a child. */
#define CHECK(condition)                                                                      \
	do {                                                                                  \
		if (!(condition)) {                                                           \
			fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, \
			    #condition, errno);                                               \
			_exit(1);                                                             \
		}                                                                             \
	} while (0)

static const char *const variables[] = { "GRACEFUL_STATE", "GRACEFUL_RESTORED", "GRACEFUL_EPOCH",
	"GRACEFUL_JOB", "GRACEFUL_INSTANCE", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID" };

static void remove_all(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	assert_non_null(d);
	while ((entry = readdir(d)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    unlinkat(dirfd(d), entry->d_name, 0) < 0)
			unlinkat(dirfd(d), entry->d_name, AT_REMOVEDIR);
	closedir(d);
	assert_int_equal(rmdir(dir), 0);
}

/* Runs body in a child, in a fresh directory, without any variable of the contract. */
static void in_child(void (*body)(void))
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX];
	int status;
	pid_t pid;

	snprintf(dir, sizeof(dir), "%s/graceful-lib-XXXXXX", tmp == NULL ? "/tmp" : tmp);
	assert_non_null(mkdtemp(dir));
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
			unsetenv(variables[i]);
		CHECK(chdir(dir) == 0);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	remove_all(dir);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define CHILD_TEST(name)                \
	static void name(void **unused) \
	{                               \
		(void)unused;           \
		in_child(name##_body);  \
	}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static bool holds(const char *path, const char *text)
{
	char buf[256];
	FILE *f = fopen(path, "r");
	size_t n;

	if (f == NULL)
		return false;
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	return n == strlen(text) && memcmp(buf, text, n) == 0;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* A receiver bound to name, a path or '@' and an abstract name; NOTIFY_SOCKET says so. */
static int listen_at(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CHECK(fd >= 0 && len < sizeof(addr.sun_path));
	memcpy(addr.sun_path, name, len);
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	len += offsetof(struct sockaddr_un, sun_path) + (name[0] == '/');
	CHECK(bind(fd, (struct sockaddr *)&addr, (socklen_t)len) == 0);
	CHECK(setenv("NOTIFY_SOCKET", name, 1) == 0);
	return fd;
}

static int listen_here(void)
{
	char dir[PATH_MAX], name[PATH_MAX + 8];

	CHECK(getcwd(dir, sizeof(dir)) != NULL);
	snprintf(name, sizeof(name), "%s/n", dir);
	return listen_at(name);
}

static bool heard(int fd, const char *text)
{
	char buf[1024];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	return n >= 0 && (size_t)n == strlen(text) && memcmp(buf, text, (size_t)n) == 0;
}

static void without_graceful_body(void)
{
	char *data = NULL;
	size_t len;

	CHECK(graceful_init("s") == 0);
	CHECK(graceful_epoch() == 0);
	CHECK(strcmp(graceful_job(), "") == 0 && strcmp(graceful_instance(), "") == 0);
	CHECK(strcmp(graceful_state_path(), "s") == 0);
	CHECK(graceful_watchdog_msec() == 0);
	CHECK(graceful_restore(&data, &len) == GRACEFUL_NONE && data == NULL && len == 0);
	CHECK(graceful_ready() == 0 && graceful_status("%d", 1) == 0 && graceful_stopping() == 0);
	CHECK(!graceful_should_stop() && !graceful_should_hurry() && !graceful_should_checkpoint());
	CHECK(!readable(graceful_fd()));
	CHECK(graceful_init("s") < 0 && errno == EALREADY);
}

static void environment_body(void)
{
	setenv("GRACEFUL_STATE", "given", 1);
	setenv("GRACEFUL_RESTORED", "clean", 1);
	setenv("GRACEFUL_EPOCH", "18446744073709551615", 1);
	setenv("GRACEFUL_JOB", "orders", 1);
	setenv("GRACEFUL_INSTANCE", "web-1", 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	CHECK(graceful_init("own") == 0);
	CHECK(strcmp(graceful_state_path(), "given") == 0);
	CHECK(graceful_epoch() == UINT64_MAX);
	CHECK(strcmp(graceful_job(), "orders") == 0);
	CHECK(strcmp(graceful_instance(), "web-1") == 0);
	CHECK(graceful_watchdog_msec() == 1500);
}

static void watchdog_of_another_body(void)
{
	setenv("WATCHDOG_USEC", "3000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	CHECK(graceful_init(NULL) == 0);
	CHECK(graceful_watchdog_msec() == 0);
}

static void bad_environment_body(void)
{
	static const char *const bad[][2] = { { "GRACEFUL_EPOCH", "-1" }, { "GRACEFUL_EPOCH", "" },
		{ "GRACEFUL_EPOCH", " 7" }, { "GRACEFUL_EPOCH", "7x" },
		{ "GRACEFUL_EPOCH", "18446744073709551616" }, { "GRACEFUL_RESTORED", "maybe" },
		{ "WATCHDOG_USEC", "1e6" } };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv(bad[i][0], bad[i][1], 1);
		errno = 0;
		CHECK(graceful_init("s") < 0 && errno == EINVAL);
		CHECK(graceful_state_path() == NULL && graceful_fd() == -1);
		unsetenv(bad[i][0]);
	}
	CHECK(graceful_init("s") == 0);
}

/* A start that failed half-way leaves nothing behind, and may be tried again. */
static void out_of_descriptors_body(void)
{
	struct rlimit limit, none;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	none = limit;
	none.rlim_cur = 0;
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	setenv("GRACEFUL_EPOCH", "7", 1);
	setenv("NOTIFY_SOCKET", "@graceful-test-nobody", 1);
	CHECK(graceful_init("s") < 0 && errno == EMFILE);
	CHECK(graceful_state_path() == NULL && graceful_epoch() == 0 && graceful_ready() == 0);
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(graceful_init("s") == 0 && graceful_epoch() == 7);
}

static void restore_clean_body(void)
{
	char *data;
	size_t len;

	put("s", "seven\n");
	setenv("GRACEFUL_STATE", "s", 1);
	setenv("GRACEFUL_RESTORED", "clean", 1);
	CHECK(graceful_init(NULL) == 0);
	CHECK(graceful_restore(&data, &len) == GRACEFUL_CLEAN);
	CHECK(len == 6 && strcmp(data, "seven\n") == 0);
	free(data);
}

static void restore_is_crash_when_unknown_body(void)
{
	char *data;
	size_t len;

	put("s", "");
	CHECK(graceful_init("s") == 0);
	CHECK(graceful_restore(&data, &len) == GRACEFUL_CRASH);
	CHECK(data != NULL && len == 0 && data[0] == '\0');
	free(data);
}

static void restore_large_body(void)
{
	static char want[300001];
	char *data;
	size_t len;

	memset(want, 'x', sizeof(want) - 1);
	put("s", want);
	CHECK(graceful_init("s") == 0);
	CHECK(graceful_restore(&data, &len) == GRACEFUL_CRASH);
	CHECK(len == sizeof(want) - 1 && strcmp(data, want) == 0);
	free(data);
}

static void restore_missing_body(void)
{
	char *data;
	size_t len;

	setenv("GRACEFUL_STATE", "s", 1);
	setenv("GRACEFUL_RESTORED", "crash", 1);
	CHECK(graceful_init(NULL) == 0);
	CHECK(graceful_restore(&data, &len) == -1 && errno == ENOENT && data == NULL);
}

static void restore_refuses_what_is_no_file_body(void)
{
	char *data;
	size_t len;

	CHECK(graceful_init("s") == 0);
	CHECK(mkdir("s", 0700) == 0);
	CHECK(graceful_restore(&data, &len) == -1 && errno == EISDIR);
	CHECK(rmdir("s") == 0 && mkfifo("s", 0600) == 0);
	CHECK(graceful_restore(&data, &len) == -1 && errno == EINVAL);
}

static void checkpoint_replaces_body(void)
{
	struct stat before, after;
	char *data;
	size_t len;

	put("s", "old");
	CHECK(stat("s", &before) == 0);
	put("s.tmp", "left by a killed dump, and longer than what comes");
	CHECK(graceful_init("s") == 0);
	CHECK(graceful_checkpoint("a\0b", 3) == 0);
	CHECK(stat("s", &after) == 0);
	CHECK(after.st_ino != before.st_ino && (after.st_mode & 0777) == 0600);
	CHECK(access("s.tmp", F_OK) < 0);
	CHECK(graceful_restore(&data, &len) == GRACEFUL_CRASH);
	CHECK(len == 3 && memcmp(data, "a\0b", 3) == 0);
	free(data);
	CHECK(graceful_checkpoint(NULL, 0) == 0 && holds("s", ""));
}

static void checkpoint_in_pieces_body(void)
{
	FILE *f;

	CHECK(graceful_init("s") == 0);
	f = graceful_checkpoint_begin();
	CHECK(f != NULL && fputs("one", f) >= 0);
	CHECK(graceful_checkpoint_begin() == NULL && errno == EBUSY);
	CHECK(graceful_checkpoint("x", 1) < 0 && errno == EBUSY);
	CHECK(access("s", F_OK) < 0);
	CHECK(graceful_checkpoint_commit(f) == 0 && holds("s", "one"));
	f = graceful_checkpoint_begin();
	CHECK(f != NULL && fputs("two", f) >= 0);
	errno = ENOANO;
	graceful_checkpoint_abort(f);
	CHECK(errno == ENOANO && holds("s", "one") && access("s.tmp", F_OK) < 0);
	CHECK(graceful_checkpoint("three", 5) == 0 && holds("s", "three"));
}

static void checkpoint_nowhere_body(void)
{
	CHECK(graceful_init(NULL) == 0);
	CHECK(graceful_state_path() == NULL);
	CHECK(graceful_checkpoint("x", 1) < 0 && errno == ENOTSUP);
	CHECK(graceful_checkpoint_begin() == NULL && errno == ENOTSUP);
}

/* What happens on a full disk, by way of a limit on the size of files. */
static void checkpoint_fails_whole_body(void)
{
	static char big[100000];
	struct rlimit limit = { 4096, 4096 };
	FILE *f;

	CHECK(graceful_init("s") == 0);
	CHECK(graceful_checkpoint("good", 4) == 0);
	signal(SIGXFSZ, SIG_IGN);
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	CHECK(graceful_checkpoint(big, sizeof(big)) < 0 && errno == EFBIG);
	f = graceful_checkpoint_begin();
	CHECK(f != NULL);
	fwrite(big, 1, sizeof(big), f);
	CHECK(graceful_checkpoint_commit(f) < 0 && errno == EIO);
	CHECK(holds("s", "good") && access("s.tmp", F_OK) < 0);
	CHECK(graceful_checkpoint("also", 4) == 0 && holds("s", "also"));
}

static void checkpoint_cannot_rename_body(void)
{
	CHECK(mkdir("s", 0700) == 0);
	CHECK(graceful_init("s") == 0);
	CHECK(graceful_checkpoint("x", 1) < 0 && errno == EISDIR);
	CHECK(access("s.tmp", F_OK) < 0);
}

static void checkpoint_without_directory_body(void)
{
	CHECK(graceful_init("missing/s") == 0);
	CHECK(graceful_checkpoint("x", 1) < 0 && errno == ENOENT);
}

/* A link planted in the place of the temporary file must not be written through. */
static void checkpoint_follows_no_link_body(void)
{
	put("other", "untouched");
	CHECK(symlink("other", "s.tmp") == 0);
	CHECK(graceful_init("s") == 0);
	CHECK(graceful_checkpoint("x", 1) == 0);
	CHECK(holds("other", "untouched") && holds("s", "x"));
}

static void stop_body(void)
{
	CHECK(graceful_init(NULL) == 0);
	raise(SIGINT);
	CHECK(graceful_should_stop() && !graceful_should_hurry());
	CHECK(readable(graceful_fd()));
	CHECK(!graceful_should_checkpoint());
	CHECK(readable(graceful_fd()));
	raise(SIGTERM);
	CHECK(graceful_should_stop() && graceful_should_hurry());
}

static void term_alone_stops_body(void)
{
	CHECK(graceful_init(NULL) == 0);
	raise(SIGTERM);
	CHECK(graceful_should_stop() && graceful_should_hurry() && readable(graceful_fd()));
}

/* As a shell starts a program in the background, and as a parent may that blocks signals. */
static void stop_though_ignored_and_blocked_body(void)
{
	sigset_t set;

	signal(SIGINT, SIG_IGN);
	sigfillset(&set);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	CHECK(graceful_init(NULL) == 0);
	raise(SIGINT);
	CHECK(graceful_should_stop());
}

static void checkpoint_signal_body(void)
{
	CHECK(graceful_checkpoint_signal(SIGUSR1) < 0 && errno == EINVAL);
	CHECK(graceful_init(NULL) == 0);
	CHECK(graceful_checkpoint_signal(SIGUSR1) == 0);
	raise(SIGUSR1);
	raise(SIGUSR1);
	CHECK(readable(graceful_fd()) && !graceful_should_stop());
	CHECK(graceful_should_checkpoint());
	CHECK(!graceful_should_checkpoint() && !readable(graceful_fd()));
	raise(SIGUSR1);
	raise(SIGINT);
	CHECK(graceful_should_checkpoint() && readable(graceful_fd()));
	CHECK(graceful_checkpoint_signal(SIGKILL) < 0 && errno == EINVAL);
}

static void stop_signal_body(void)
{
	CHECK(graceful_init(NULL) == 0);
	CHECK(graceful_stop_signal(SIGUSR2) == 0);
	raise(SIGUSR2);
	CHECK(graceful_should_stop() && !graceful_should_hurry() && readable(graceful_fd()));
}

struct interruption {
	int fds[2];
	pthread_t reader;
};

static void *interrupt(void *arg)
{
	struct interruption *i = arg;

	CHECK(pthread_kill(i->reader, SIGINT) == 0);
	CHECK(write(i->fds[1], "x", 1) == 1);
	return NULL;
}

/* Whether the signal comes before, in or after the read(), the byte is what it returns. */
static void handlers_restart_calls_body(void)
{
	struct interruption i = { .reader = pthread_self() };
	pthread_t thread;
	char c;

	CHECK(graceful_init(NULL) == 0 && pipe2(i.fds, O_CLOEXEC) == 0);
	CHECK(pthread_create(&thread, NULL, interrupt, &i) == 0);
	CHECK(read(i.fds[0], &c, 1) == 1);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(graceful_should_stop());
}

static void notify_body(void)
{
	int fd = listen_here();

	CHECK(graceful_init(NULL) == 0);
	CHECK(graceful_ready() == 0 && heard(fd, "READY=1"));
	CHECK(graceful_status("%d lines, %d keys", 12345, 17) == 0);
	CHECK(heard(fd, "STATUS=12345 lines, 17 keys"));
	CHECK(graceful_stopping() == 0 && heard(fd, "STOPPING=1"));
	CHECK(graceful_watchdog() == 0 && heard(fd, "WATCHDOG=1"));
	CHECK(graceful_extend_timeout(1500) == 0 && heard(fd, "EXTEND_TIMEOUT_USEC=1500000"));
	CHECK(graceful_extend_timeout(UINT64_MAX) == 0);
	CHECK(heard(fd, "EXTEND_TIMEOUT_USEC=18446744073709551000"));
}

static void notify_abstract_body(void)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "@graceful-test-%d", (int)getpid());
	fd = listen_at(name);
	CHECK(graceful_init(NULL) == 0);
	CHECK(graceful_ready() == 0 && heard(fd, "READY=1"));
}

static void status_is_one_bounded_line_body(void)
{
	char want[] = "STATUS=a READY=1 b";
	char large[400], cut[300] = "STATUS=";
	int fd = listen_here();

	CHECK(graceful_init(NULL) == 0);
	CHECK(graceful_status("a\nREADY=1\tb") == 0 && heard(fd, want));
	memset(large, 'y', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	memcpy(large + 254, "\xc3\xa9", 2);
	CHECK(graceful_status("%s", large) == 0);
	memset(cut + 7, 'y', 254);
	CHECK(heard(fd, cut));
}

static void notify_nobody_there_body(void)
{
	int fd = listen_here();

	CHECK(graceful_init(NULL) == 0);
	close(fd);
	CHECK(graceful_ready() < 0 && errno == ECONNREFUSED);
}

static void notify_unknown_address_body(void)
{
	char name[200];

	memset(name, 'n', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	CHECK(graceful_init(NULL) == 0);
	CHECK(graceful_ready() < 0 && errno == EAFNOSUPPORT);
}

/* The queue of a receiver that does not read fills up; the job must come back from it. */
static void notify_does_not_hang_body(void)
{
	int fd = listen_here(), sent = 0;

	CHECK(graceful_init(NULL) == 0);
	while (graceful_watchdog() == 0)
		sent++;
	CHECK(errno == EAGAIN && sent > 0);
	CHECK(heard(fd, "WATCHDOG=1"));
}

#define TICK_MS 10
#define TICKS_MAX 3000 /* half a minute: it hangs */

static volatile sig_atomic_t ticks;

static void tick(int signo)
{
	(void)signo;
	if (++ticks == TICKS_MAX)
		_exit(1);
}

/* A job with a timer: none of its signals gives the receiver a second anew. */
static void notify_does_not_hang_with_a_timer_body(void)
{
	struct itimerval often = { { 0, TICK_MS * 1000L }, { 0, TICK_MS * 1000L } };
	struct sigaction sa = { .sa_handler = tick, .sa_flags = SA_RESTART };

	listen_here();
	CHECK(graceful_init(NULL) == 0);
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
	while (graceful_watchdog() == 0)
		continue;
	CHECK(errno == EAGAIN);
}

/* A child that waits for signals, but not for ever. */
static pid_t fork_idler(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	alarm(60);
	for (;;)
		pause();
}

static void ends_by(pid_t child, int signo)
{
	int status;

	CHECK(kill(child, signo) == 0);
	alarm(30); /* a child that does not end would be waited for without end */
	CHECK(waitpid(child, &status, 0) == child);
	alarm(0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signo);
}

static void signals_end_a_forked_child_body(void)
{
	CHECK(graceful_init(NULL) == 0);
	CHECK(graceful_stop_signal(SIGUSR2) == 0 && graceful_checkpoint_signal(SIGUSR1) == 0);
	ends_by(fork_idler(), SIGTERM);
	ends_by(fork_idler(), SIGINT);
	ends_by(fork_idler(), SIGUSR2);
	ends_by(fork_idler(), SIGUSR1);
	CHECK(!readable(graceful_fd()) && !graceful_should_stop() && !graceful_should_checkpoint());
	raise(SIGINT);
	CHECK(graceful_should_stop() && readable(graceful_fd()));
}

/* What the stream still holds at fork() is the child's too, and exit() writes what streams hold. */
static void forked_child_adds_nothing_to_a_state_body(void)
{
	int status, gate[2];
	pid_t child;
	FILE *f;
	char c;

	CHECK(graceful_init("s") == 0 && pipe2(gate, O_CLOEXEC) == 0);
	f = graceful_checkpoint_begin();
	CHECK(f != NULL && fputs("STATE\n", f) >= 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		close(gate[1]);
		exit(read(gate[0], &c, 1) == 0 ? 0 : 1); /* after the commit */
	}
	CHECK(graceful_checkpoint_commit(f) == 0);
	close(gate[1]);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(holds("s", "STATE\n"));
}

static void checkpoint_stream_can_seek_body(void)
{
	FILE *f;

	CHECK(graceful_init("s") == 0);
	f = graceful_checkpoint_begin();
	CHECK(f != NULL && fputs("? lines\n", f) >= 0 && ftell(f) == 8);
	CHECK(fseek(f, 0, SEEK_SET) == 0 && fputc('7', f) == '7');
	CHECK(graceful_checkpoint_commit(f) == 0 && holds("s", "7 lines\n"));
}

static int descriptor_of(const char *name)
{
	struct stat want, st;

	CHECK(stat(name, &want) == 0);
	for (int fd = 0; fd < 1024; fd++)
		if (fstat(fd, &st) == 0 && st.st_ino == want.st_ino && st.st_dev == want.st_dev)
			return fd;
	return -1;
}

static void leaves_no_descriptor_to_programs_body(void)
{
	int fd;
	FILE *f;

	put("s", "x");
	CHECK(graceful_init("s") == 0);
	CHECK(graceful_restore_fd(&fd) == GRACEFUL_CRASH);
	f = graceful_checkpoint_begin();
	CHECK(f != NULL);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK(fcntl(descriptor_of("s.tmp"), F_GETFD) & FD_CLOEXEC);
	CHECK(fcntl(graceful_fd(), F_GETFD) & FD_CLOEXEC);
	graceful_checkpoint_abort(f);
	close(fd);
}

CHILD_TEST(without_graceful)
CHILD_TEST(environment)
CHILD_TEST(watchdog_of_another)
CHILD_TEST(bad_environment)
CHILD_TEST(out_of_descriptors)
CHILD_TEST(restore_clean)
CHILD_TEST(restore_is_crash_when_unknown)
CHILD_TEST(restore_large)
CHILD_TEST(restore_missing)
CHILD_TEST(restore_refuses_what_is_no_file)
CHILD_TEST(checkpoint_replaces)
CHILD_TEST(checkpoint_in_pieces)
CHILD_TEST(checkpoint_nowhere)
CHILD_TEST(checkpoint_fails_whole)
CHILD_TEST(checkpoint_cannot_rename)
CHILD_TEST(checkpoint_without_directory)
CHILD_TEST(checkpoint_follows_no_link)
CHILD_TEST(stop)
CHILD_TEST(term_alone_stops)
CHILD_TEST(stop_though_ignored_and_blocked)
CHILD_TEST(checkpoint_signal)
CHILD_TEST(stop_signal)
CHILD_TEST(handlers_restart_calls)
CHILD_TEST(notify)
CHILD_TEST(notify_abstract)
CHILD_TEST(status_is_one_bounded_line)
CHILD_TEST(notify_nobody_there)
CHILD_TEST(notify_unknown_address)
CHILD_TEST(notify_does_not_hang)
CHILD_TEST(notify_does_not_hang_with_a_timer)
CHILD_TEST(signals_end_a_forked_child)
CHILD_TEST(forked_child_adds_nothing_to_a_state)
CHILD_TEST(checkpoint_stream_can_seek)
CHILD_TEST(leaves_no_descriptor_to_programs)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_graceful),
		cmocka_unit_test(environment),
		cmocka_unit_test(watchdog_of_another),
		cmocka_unit_test(bad_environment),
		cmocka_unit_test(out_of_descriptors),
		cmocka_unit_test(restore_clean),
		cmocka_unit_test(restore_is_crash_when_unknown),
		cmocka_unit_test(restore_large),
		cmocka_unit_test(restore_missing),
		cmocka_unit_test(restore_refuses_what_is_no_file),
		cmocka_unit_test(checkpoint_replaces),
		cmocka_unit_test(checkpoint_in_pieces),
		cmocka_unit_test(checkpoint_nowhere),
		cmocka_unit_test(checkpoint_fails_whole),
		cmocka_unit_test(checkpoint_cannot_rename),
		cmocka_unit_test(checkpoint_without_directory),
		cmocka_unit_test(checkpoint_follows_no_link),
		cmocka_unit_test(stop),
		cmocka_unit_test(term_alone_stops),
		cmocka_unit_test(stop_though_ignored_and_blocked),
		cmocka_unit_test(checkpoint_signal),
		cmocka_unit_test(stop_signal),
		cmocka_unit_test(handlers_restart_calls),
		cmocka_unit_test(notify),
		cmocka_unit_test(notify_abstract),
		cmocka_unit_test(status_is_one_bounded_line),
		cmocka_unit_test(notify_nobody_there),
		cmocka_unit_test(notify_unknown_address),
		cmocka_unit_test(notify_does_not_hang),
		cmocka_unit_test(notify_does_not_hang_with_a_timer),
		cmocka_unit_test(signals_end_a_forked_child),
		cmocka_unit_test(forked_child_adds_nothing_to_a_state),
		cmocka_unit_test(checkpoint_stream_can_seek),
		cmocka_unit_test(leaves_no_descriptor_to_programs),
	};

	return cmocka_run_group_tests_name("libgraceful", tests, NULL, NULL);
}
