/* The sender's half of the sd_notify protocol: one datagram of KEY=value lines for each message. */
#include "lib/lib.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
	bool wanted;
	socklen_t len; /* 0: a kind of address that this library does not know */
	struct sockaddr_un addr;
} peer;

void lib_notify_setup(const char *name)
{
	size_t len = name == NULL ? 0 : strlen(name);

	memset(&peer, 0, sizeof(peer));
	peer.wanted = len > 0;
	if (len < 2 || len >= sizeof(peer.addr.sun_path) || (name[0] != '/' && name[0] != '@'))
		return;
	peer.addr.sun_family = AF_UNIX;
	memcpy(peer.addr.sun_path, name, len);
	/* An abstract name begins with a NUL and ends where the address ends; a path ends with a
	 * NUL. */
	if (name[0] == '@')
		peer.addr.sun_path[0] = '\0';
	else
		len++;
	peer.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static int open_socket(void)
{
	/* A receiver that does not read may hold the job up, but not stop it. */
	struct timeval limit = { .tv_sec = 1 };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

/* A socket for each message: nothing to share between threads, nothing left open. */
static int notify(const char *text)
{
	const struct sockaddr *addr = (const struct sockaddr *)&peer.addr;
	int fd, saved;
	ssize_t n;

	if (!peer.wanted)
		return 0;
	if (peer.len == 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	fd = open_socket();
	if (fd < 0)
		return -1;
	do
		n = sendto(fd, text, strlen(text), MSG_NOSIGNAL, addr, peer.len);
	while (n < 0 && errno == EINTR);
	saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

int graceful_ready(void)
{
	return notify("READY=1");
}

int graceful_stopping(void)
{
	return notify("STOPPING=1");
}

int graceful_watchdog(void)
{
	return notify("WATCHDOG=1");
}

int graceful_extend_timeout(uint64_t msec)
{
	char text[64];

	if (msec > UINT64_MAX / 1000)
		msec = UINT64_MAX / 1000;
	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%" PRIu64, msec * 1000);
	return notify(text);
}

/* The cut may have gone through a character (UTF-8): takes the last one away, whole or not. */
static void trim_cut(char *text, size_t len)
{
	size_t i = len;

	while (i > 0 && ((unsigned char)text[i - 1] & 0xc0) == 0x80)
		i--;
	if (i > 0 && (unsigned char)text[i - 1] >= 0xc0)
		text[i - 1] = '\0';
}

int graceful_status(const char *fmt, ...)
{
	char text[GRACEFUL_STATUS_MAX + sizeof("STATUS=")] = "STATUS=";
	char *value = text + strlen(text);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(value, GRACEFUL_STATUS_MAX + 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -1;
	if (n > GRACEFUL_STATUS_MAX)
		trim_cut(value, GRACEFUL_STATUS_MAX);
	/* A newline would end the line, and the rest be taken for the next assignment. */
	for (char *p = value; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	return notify(text);
}
