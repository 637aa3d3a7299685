#include "job/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/plain.h"

#define DATAGRAM_MAX 4096

/* Copies as much as fits and is text; the rest of the world (terminals, JSON) may rely on that. */
static void take_status(struct notify *n, const char *text, size_t len)
{
	size_t out = 0;

	while (len > 0) {
		bool plain;
		size_t step = plain_next(text, len, &plain);

		if (out + (plain ? step : 1) > NOTIFY_STATUS_MAX)
			break;
		if (plain)
			memcpy(n->status + out, text, step);
		else
			n->status[out] = '?';
		out += plain ? step : 1;
		text += step;
		len -= step;
	}
	n->status[out] = '\0';
	n->has_status = true;
}

/* Microseconds to msec, rounded up; 0 for what is no number. The largest one is how such clients
 * spell "for ever", and what is beyond it is no less. */
static msec take_usec(const char *text, size_t len)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++) {
		uint64_t digit = (uint64_t)(text[i] - '0');

		if (text[i] < '0' || text[i] > '9')
			return 0;
		value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
	}
	return value == UINT64_MAX ? MSEC_NEVER : (msec)(value / 1000 + (value % 1000 != 0));
}

static void take_line(struct notify *n, const char *line, size_t len)
{
	const char *eq = memchr(line, '=', len);
	const char *value;
	size_t key, rest;

	if (eq == NULL)
		return;
	key = (size_t)(eq - line);
	value = eq + 1;
	rest = len - key - 1;
#define IS(name) (key == sizeof(name) - 1 && memcmp(line, name, key) == 0)
	if (IS("STATUS"))
		take_status(n, value, rest);
	else if (IS("EXTEND_TIMEOUT_USEC"))
		n->extend = take_usec(value, rest);
	else if (rest != 1 || *value != '1')
		return;
	else if (IS("READY"))
		n->ready = true;
	else if (IS("STOPPING"))
		n->stopping = true;
	else if (IS("WATCHDOG"))
		n->watchdog = true;
#undef IS
}

void notify_parse(const char *text, size_t len, struct notify *n)
{
	memset(n, 0, sizeof(*n));
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t line = end == NULL ? len : (size_t)(end - text);

		take_line(n, text, line);
		line += end != NULL;
		text += line;
		len -= line;
	}
}

/* The socket is bound under the final mode: between bind and chmod a wider one would let anybody
 * in. */
static int bind_private(int fd, const char *path, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t old;
	int rc;

	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(
		    e, "cannot make socket %s: the path is too long, use a shorter run_dir", path);
	strcpy(sa.sun_path, path);
	unlink(path);
	old = umask(0177);
	rc = bind(fd, (const struct sockaddr *)&sa, sizeof(sa));
	umask(old);
	return rc == 0 ? 0 : err_sys(e, "cannot make socket %s", path);
}

int notify_open(const char *path, uid_t uid, gid_t gid, struct err *e)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return err_sys(e, "cannot make a socket for NOTIFY_SOCKET");
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0) {
		err_sys(e, "cannot ask for the credentials of senders");
	} else if (bind_private(fd, path, e) == 0) {
		/* lchown: the directory is the master's own, but a link is never what we made. */
		if (uid == geteuid() || lchown(path, uid, gid) == 0)
			return fd;
		err_sys(e, "cannot give socket %s to the job's user", path);
		unlink(path);
	}
	close(fd);
	return -1;
}

/* Room for the credentials of the sender and no more: what descriptors come along the kernel
 * closes, and says that it did. */
union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(struct ucred))];
};

bool notify_is_burdened(int fd)
{
	union control control;
	struct msghdr m = { .msg_control = control.room, .msg_controllen = sizeof(control.room) };

	/* Just a look: they stay open in the message. */
	return recvmsg(fd, &m, MSG_DONTWAIT | MSG_PEEK) >= 0 && (m.msg_flags & MSG_CTRUNC) != 0;
}

static struct ucred sender(struct msghdr *m)
{
	struct ucred who = { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS &&
		    c->cmsg_len >= CMSG_LEN(sizeof(who)))
			memcpy(&who, CMSG_DATA(c), sizeof(who));
	}
	return who;
}

int notify_receive(int fd, uid_t uid, struct notify *n, struct err *e)
{
	union control control;
	char text[DATAGRAM_MAX];
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room) };
	struct ucred who;
	ssize_t len;

	do {
		len = recvmsg(fd, &m, MSG_DONTWAIT);
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return 0;
	who = sender(&m);
	if (who.uid != uid && who.uid != 0)
		return err_set(e,
		    "ignored a notification from pid %d of user %d: only the job's user may send",
		    (int)who.pid, (int)who.uid);
	notify_parse(text, (m.msg_flags & MSG_TRUNC) ? 0 : (size_t)len, n);
	return 1;
}
