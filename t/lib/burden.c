/*
 * burden.c - a job that hands its worker, by NOTIFY_SOCKET, a connection that takes an hour to
 * close: it lingers, and nobody reads at its other end.
 *
 * burden DIR: does so when DIR/go is there, and says so by DIR/done. The connection is nobody's but
 * the message's then: if the worker is stopped meanwhile, it is the one who closes it.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static int connect_lingering(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	const struct linger hour = { .l_onoff = 1, .l_linger = 3600 };
	socklen_t len = sizeof(to);
	int listening = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
	char rubbish[65536] = { 0 };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(bind(listening, (const struct sockaddr *)&to, len) == 0, "bind");
	must(listen(listening, 1) == 0, "listen");
	must(getsockname(listening, (struct sockaddr *)&to, &len) == 0, "getsockname");
	must(connect(fd, (const struct sockaddr *)&to, len) == 0, "connect");
	must(accept(listening, NULL, NULL) >= 0, "accept");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, rubbish, sizeof(rubbish)) > 0)
		;
	must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour)) == 0, "SO_LINGER");
	return fd;
}

static void hand_over(int passed)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char text[] = "STATUS=burdened";
	struct iovec iov = { .iov_base = text, .iov_len = strlen(text) };
	struct msghdr m = { .msg_name = &to,
		.msg_namelen = sizeof(to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room) };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", getenv("NOTIFY_SOCKET"));
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &passed, sizeof(int));
	must(sendmsg(fd, &m, 0) >= 0, "sendmsg");
	close(passed);
}

static void leave(int signo)
{
	(void)signo;
	_exit(0);
}

int main(int argc, char **argv)
{
	int fd;

	signal(SIGINT, leave);
	must(argc == 2 && chdir(argv[1]) == 0, "chdir");
	fd = connect_lingering();
	while (access("go", F_OK) != 0)
		usleep(20000);
	hand_over(fd);
	must(open("done", O_WRONLY | O_CREAT, 0644) >= 0, "done");
	for (;;)
		pause();
}
