/*
 * stamp.c - a job that tells when it began. First of all it writes "<name> <nanoseconds>\n", by
 * CLOCK_MONOTONIC, into a FIFO; then it waits for SIGINT or SIGTERM and ends, leaving a state.
 *
 *   stamp FIFO NAME [SIZE [STATE]]
 *
 * SIZE: bytes of the state; 0 or left out: none. STATE: where to leave it, made durable. Without it
 * that is GRACEFUL_STATE, which the worker makes durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void die(const char *doing)
{
	fprintf(stderr, "stamp: cannot %s: %s\n", doing, strerror(errno));
	exit(1);
}

static void tell(const char *fifo, const char *name, const struct timespec *now)
{
	char line[160];
	int fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	int len = snprintf(
	    line, sizeof(line), "%s %lld\n", name, now->tv_sec * 1000000000LL + now->tv_nsec);

	if (fd < 0 || write(fd, line, (size_t)len) != len)
		die("tell when it began");
	close(fd);
}

/* As of a job that counts events by key, so that it compresses as such states do: to less than
 * half, by zlib. */
static char *make_bytes(size_t size)
{
	char *data = malloc(size + 80);
	uint32_t x = 1;

	if (data == NULL)
		die("make a state");
	for (size_t len = 0; len < size;) {
		x = x * 1664525 + 1013904223;
		len +=
		    (size_t)sprintf(data + len, "{\"key\":\"user-%u\",\"count\":%u,\"last\":%u}\n",
			(x >> 8) % 100000, (x >> 4) % 5000, x);
	}
	return data;
}

static void sync_dir_of(char *path)
{
	int fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) != 0)
		die("sync the directory of the state");
	close(fd);
}

static void dump(char *path, const char *data, size_t size, bool durable)
{
	char temp[4096];
	int fd;

	snprintf(temp, sizeof(temp), "%s.tmp", path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || (durable && fsync(fd) != 0) ||
	    close(fd) != 0 || rename(temp, path) != 0)
		die("write the state");
	if (durable)
		sync_dir_of(path);
}

/* Never called, as the signals are blocked. But a process in sigwait() looks as if they were not,
 * and the handler shows the worker that they will not just end it: it need not wait. */
static void hear(int signo)
{
	(void)signo;
}

static void expect_signals(sigset_t *stop)
{
	struct sigaction sa = { .sa_handler = hear };

	sigemptyset(stop);
	sigaddset(stop, SIGINT);
	sigaddset(stop, SIGTERM);
	sigprocmask(SIG_BLOCK, stop, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

int main(int argc, char *argv[])
{
	struct timespec now;
	sigset_t stop;
	size_t size;
	char *path;
	char *data;
	int signo;

	clock_gettime(CLOCK_MONOTONIC, &now);
	expect_signals(&stop);
	if (argc < 3) {
		fprintf(stderr, "usage: stamp FIFO NAME [SIZE [STATE]]\n");
		return 64;
	}
	size = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	path = argc > 4 ? argv[4] : getenv("GRACEFUL_STATE");
	data = size > 0 ? make_bytes(size) : NULL;
	tell(argv[1], argv[2], &now);
	sigwait(&stop, &signo);
	if (data != NULL && path != NULL)
		dump(path, data, size, argc > 4);
	free(data);
	return 0;
}
