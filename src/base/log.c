#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* All lines of one turn of an event loop wait this long for a full target; none of them does when
 * one waited in vain, until a line finds room. */
#define PATIENCE_MS 200
#define TRIES 20

#define SYSLOG_PATH "/dev/log"

enum target { TARGET_FILE, TARGET_SOCKET, TARGET_SYSLOG };

static struct {
	enum target target;
	enum log_level level;
	int fd;
	bool may_block; /* O_NONBLOCK could not be had */
	bool stuck;
	bool in_loop;
	msec patience; /* left in this turn of the loop */
	unsigned long lost, lost_told;
	char role[16];
	char job[72];
} out = {
	.target = TARGET_FILE, .level = LOG_LEVEL_INFO, .fd = STDERR_FILENO, .patience = PATIENCE_MS
};

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARN] = { "warn", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

bool log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(name, levels[i].name) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static void interrupt(int signo)
{
	(void)signo;
}

/* So that the timer of write_in_time() ends a system call and nothing else. */
static void expect_timer(void)
{
	struct sigaction sa = { .sa_handler = interrupt };

	sigaction(SIGALRM, &sa, NULL);
}

/*
 * A description of our own on the same pipe or terminal, so that O_NONBLOCK is ours alone: on the
 * shared one it would change the shell's terminal, too. Where that cannot be had - who became
 * another user may not open what the one before opened - writing has to be interrupted.
 */
static int open_stderr(void)
{
	struct stat st;
	int fd;

	if (fstat(STDERR_FILENO, &st) != 0)
		return STDERR_FILENO;
	if (S_ISSOCK(st.st_mode)) {
		out.target = TARGET_SOCKET;
		return STDERR_FILENO;
	}
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return STDERR_FILENO;
	fd = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	out.may_block = fd < 0;
	if (out.may_block)
		expect_timer();
	return fd < 0 ? STDERR_FILENO : fd;
}

/*
 * Not syslog(3): that blocks for as long as a syslogd hangs with a full socket, and a stop must not
 * wait for it.
 */
static int open_syslog(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = SYSLOG_PATH };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int log_try_syslog(int patience, struct err *e)
{
	struct pollfd p = { .fd = open_syslog(), .events = POLLOUT };
	int room;

	if (p.fd < 0)
		return err_sys(e, SYSLOG_PATH " takes no lines");
	room = poll(&p, 1, patience);
	close(p.fd);
	if (room > 0 && (p.revents & POLLOUT) != 0)
		return 0;
	return err_set(e, SYSLOG_PATH " takes no lines: it is full, and nobody reads from it");
}

void log_open(bool to_syslog, enum log_level level)
{
	/* The first lines come before the signals are set up, and their reader may be dead. */
	signal(SIGPIPE, SIG_IGN);
	if (out.fd > STDERR_FILENO)
		close(out.fd);
	out.level = level;
	out.stuck = false;
	out.may_block = false;
	out.target = to_syslog ? TARGET_SYSLOG : TARGET_FILE;
	out.fd = to_syslog ? open_syslog() : open_stderr();
}

int log_setting(bool to_syslog, enum log_level level)
{
	return (int)level * 2 + to_syslog;
}

void log_open_setting(int setting)
{
	int level = setting / 2;

	/* It came from another process. */
	if (setting >= 0 && level <= LOG_LEVEL_DEBUG)
		log_open(setting % 2 != 0, (enum log_level)level);
}

void log_reopen(void)
{
	log_open(out.target == TARGET_SYSLOG, out.level);
}

void log_who(const char *role, const char *job)
{
	snprintf(out.role, sizeof(out.role), "%s", role);
	snprintf(out.job, sizeof(out.job), "%s%s", job ? job : "", job ? ": " : "");
}

int log_fd(void)
{
	return out.fd;
}

unsigned long log_lost(void)
{
	return out.lost;
}

static void on_turn(struct ev_loop *loop, struct ev_prepare *prepare, int revents)
{
	(void)loop;
	(void)prepare;
	(void)revents;
	out.patience = PATIENCE_MS;
}

void log_turns(struct ev_loop *loop)
{
	static struct ev_prepare prepare;

	out.in_loop = true;
	ev_prepare_init(&prepare, on_turn);
	ev_prepare_start(loop, &prepare);
}

/* poll() said that there is room; another process may have been faster, and a terminal may have
 * meant less than a line. The timer repeats, as its first signal may come before the write. */
static ssize_t write_in_time(const char *line, size_t len)
{
	struct timeval limit = { .tv_usec = PATIENCE_MS * 1000L };
	struct itimerval on = { .it_value = limit, .it_interval = limit }, off = { 0 };
	ssize_t n;

	setitimer(ITIMER_REAL, &on, NULL);
	n = write(out.fd, line, len);
	setitimer(ITIMER_REAL, &off, NULL);
	return n;
}

/* A line that was cut is a line lost. */
static bool put_once(const char *line, size_t len)
{
	ssize_t n;

	if (out.target != TARGET_FILE)
		n = send(out.fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (out.may_block)
		n = write_in_time(line, len);
	else
		n = write(out.fd, line, len);
	return n == (ssize_t)len;
}

/* A syslogd that was restarted has a new socket behind the old name. */
static bool reconnect(void)
{
	if (out.target != TARGET_SYSLOG || (out.fd >= 0 && errno == EAGAIN))
		return false;
	if (out.fd >= 0)
		close(out.fd);
	out.fd = open_syslog();
	return out.fd >= 0;
}

/* Whether there is room, or came while the patience lasted. */
static bool wait_for_room(void)
{
	struct pollfd p = { .fd = out.fd, .events = POLLOUT };
	msec began;
	int n;

	if (out.fd < 0 || poll(&p, 1, 0) != 0) {
		out.stuck = false;
		return true;
	}
	if (out.stuck || out.patience <= 0)
		return false;
	began = clock_now();
	n = poll(&p, 1, (int)out.patience);
	if (out.in_loop)
		out.patience -= clock_now() - began;
	out.stuck = n == 0;
	return n != 0;
}

static bool put_somehow(const char *line, size_t len)
{
	return put_once(line, len) || (reconnect() && put_once(line, len));
}

/* Others write to the same pipe: the room that was there may be gone by now. */
static void put(const char *line, size_t len)
{
	int saved = errno;
	bool heard = false;

	for (int i = 0; i < TRIES && !heard && wait_for_room(); i++) {
		heard = put_somehow(line, len);
		if (!heard && errno != EAGAIN)
			break;
	}
	out.lost += !heard;
	errno = saved;
}

/* The start of a line, up to the text. who: "role[pid]". Returns its length, always less than size.
 */
static size_t put_head(char *buf, size_t size, enum log_level level, const char *role, int pid)
{
	char stamp[CLOCK_STAMP_MAX];
	char who[32];
	struct tm tm;
	time_t now;
	int n;

	if (out.target != TARGET_SYSLOG) {
		snprintf(who, sizeof(who), "%s[%d]", role, pid);
		n = snprintf(buf, size, "%s %-5s %-14s %s", clock_stamp(stamp), levels[level].name,
		    who, out.job);
		return n < (int)size ? (size_t)n : size - 1;
	}
	now = time(NULL);
	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
	n = snprintf(buf, size, "<%d>%s graceful[%d]: %s %s", LOG_DAEMON | levels[level].priority,
	    stamp, pid, role, out.job);
	return n < (int)size ? (size_t)n : size - 1;
}

/* C1 controls, U+0080 to U+009F in UTF-8: some terminals obey them. */
static bool is_c1(const char *p, size_t len)
{
	return len >= 2 && p[0] == '\xc2' && (unsigned char)p[1] >= 0x80 &&
	       (unsigned char)p[1] < 0xa0;
}

/* Ends the line: what is not text becomes '?', so that nobody can forge a line of their own or
 * drive a terminal. */
static void put_text(char *buf, size_t start, size_t len)
{
	for (size_t i = start; i < len; i++) {
		unsigned char c = (unsigned char)buf[i];

		if (is_c1(buf + i, len - i))
			buf[i] = buf[i + 1] = '?';
		else if ((c < 0x20 && c != '\t') || c == 0x7f)
			buf[i] = '?';
	}
	if (out.target != TARGET_SYSLOG)
		buf[len++] = '\n';
	put(buf, len);
}

static void put_format(enum log_level level, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* Before the next line that may be heard. */
static void tell_lost(void)
{
	char buf[PIPE_BUF];
	unsigned long lost = out.lost;
	size_t start;
	int n;

	if (lost == out.lost_told || !wait_for_room())
		return;
	start = put_head(buf, sizeof(buf) - 1, LOG_LEVEL_WARN, out.role[0] ? out.role : "graceful",
	    (int)getpid());
	n = snprintf(buf + start, sizeof(buf) - 1 - start,
	    "lines of this process were lost here, as the log did not take them lines=%lu",
	    lost - out.lost_told);
	put_text(buf, start, start + (size_t)n);
	if (out.lost == lost)
		out.lost_told = lost;
	else
		out.lost = lost; /* this one does not count */
}

static void put_format(enum log_level level, const char *fmt, va_list ap)
{
	char buf[PIPE_BUF];
	size_t room = sizeof(buf) - 1;
	size_t start;
	int n;

	if (level > out.level)
		return;
	tell_lost();
	start = put_head(buf, room, level, out.role[0] ? out.role : "graceful", (int)getpid());
	n = vsnprintf(buf + start, room - start, fmt, ap);
	if (n < 0)
		n = 0;
	put_text(buf, start, (size_t)n < room - start ? start + (size_t)n : room - 1);
}

#define LOG_FUNCTION(name, level)           \
	void name(const char *fmt, ...)     \
	{                                   \
		va_list ap;                 \
                                            \
		va_start(ap, fmt);          \
		put_format(level, fmt, ap); \
		va_end(ap);                 \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)

void log_output(int pid, const char *line, size_t len)
{
	char buf[PIPE_BUF];
	size_t room = sizeof(buf) - 1;
	size_t start;

	if (out.level < LOG_LEVEL_INFO)
		return;
	tell_lost();
	start = put_head(buf, room, LOG_LEVEL_INFO, "job", pid);
	if (len > room - start)
		len = room - start;
	memcpy(buf + start, line, len);
	put_text(buf, start, start + len);
}
