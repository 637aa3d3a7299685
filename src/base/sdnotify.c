#include "base/sdnotify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

int sdnotify_address(const char *name, struct sdnotify *to)
{
	size_t len = strlen(name);

	memset(to, 0, sizeof(*to));
	if (len < 2 || len >= sizeof(to->addr.sun_path) || (name[0] != '/' && name[0] != '@'))
		return -1;
	to->addr.sun_family = AF_UNIX;
	memcpy(to->addr.sun_path, name, len);
	/* An abstract name begins with a NUL and ends where the address ends; a path ends with a
	 * NUL. */
	if (name[0] == '@')
		to->addr.sun_path[0] = '\0';
	else
		len++;
	to->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return 0;
}

static int open_socket(int patience_ms)
{
	struct timeval limit = { patience_ms / 1000, patience_ms % 1000 * 1000L };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && patience_ms > 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

/* A socket for each message: nothing to share between threads, nothing left open. */
int sdnotify_send(const struct sdnotify *to, const char *text, int patience_ms)
{
	const struct sockaddr *addr = (const struct sockaddr *)&to->addr;
	int flags = MSG_NOSIGNAL | (patience_ms > 0 ? 0 : MSG_DONTWAIT);
	int fd, saved;
	ssize_t n;

	if (to->len == 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	fd = open_socket(patience_ms);
	if (fd < 0)
		return -1;
	do
		n = sendto(fd, text, strlen(text), flags, addr, to->len);
	while (n < 0 && errno == EINTR);
	saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}
