#include "base/sdnotify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
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

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* A socket's time-out begins anew with every call, and a signal can interrupt each of them: what is
 * left is set before each. None left: one more try that does not wait. */
static ssize_t send_until(int fd, const struct sdnotify *to, const char *text, long long end)
{
	const struct sockaddr *addr = (const struct sockaddr *)&to->addr;
	struct timeval limit;
	long long left;
	ssize_t n;

	do {
		left = end - now_ms();
		limit.tv_sec = (time_t)(left / 1000);
		limit.tv_usec = (suseconds_t)(left % 1000 * 1000);
		if (left > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
			left = 0;
		n = sendto(fd, text, strlen(text), MSG_NOSIGNAL | (left > 0 ? 0 : MSG_DONTWAIT),
		    addr, to->len);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* A socket for each message: nothing to share between threads, nothing left open. */
int sdnotify_send(const struct sdnotify *to, const char *text, int patience_ms)
{
	int fd, saved;
	ssize_t n;

	if (to->len == 0) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	n = send_until(fd, to, text, now_ms() + patience_ms);
	saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}
