/*
 * fake_test.h - an HTTP server that does what a test tells it to: answers late, in pieces, wrongly
 * or not at all. It lives in the loop of the test, so nothing happens at the same time and nothing
 * needs to be waited for but by running the loop. Included once per executable.
 */
#ifndef T_UNIT_FAKE_TEST_H
#define T_UNIT_FAKE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define FAKE_CONNS 16
#define PATIENCE 120000 /* msec; what takes longer is taken for something that never comes */

struct fake;

struct fake_conn {
	struct fake *fake;
	int fd; /* -1: none */
	struct ev_io io;
	char *in, *out;
	size_t in_len, out_len;
	bool close_after;  /* what is in `out` */
	const char *head;  /* of the request that is served; NUL-terminated */
	const char *body;  /* the same */
	unsigned requests; /* on this connection, with the one that is served */
};

struct fake {
	struct ev_loop *loop;
	struct ev_io io;
	int fd;
	int port;
	char url[64];
	/* What to do with a request that has come in full. */
	void (*serve)(struct fake *f, struct fake_conn *c);
	unsigned requests, accepted, gone; /* gone: connections that the client has closed */
	struct fake_conn conns[FAKE_CONNS];
};

static inline void fake_drop(struct fake_conn *c)
{
	if (c->fd < 0)
		return;
	ev_io_stop(c->fake->loop, &c->io);
	close(c->fd);
	free(c->in);
	free(c->out);
	c->fd = -1;
	c->in = c->out = NULL;
	c->in_len = c->out_len = 0;
}

/* Ends the connection as a server does that was killed. */
static inline void fake_reset(struct fake_conn *c)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	fake_drop(c);
}

static inline void fake_want(struct fake_conn *c, int events)
{
	ev_io_stop(c->fake->loop, &c->io);
	ev_io_set(&c->io, c->fd, events);
	ev_io_start(c->fake->loop, &c->io);
}

static inline void fake_send_bytes(struct fake_conn *c, const char *data, size_t len)
{
	c->out = realloc(c->out, c->out_len + len);
	assert_non_null(c->out);
	memcpy(c->out + c->out_len, data, len);
	c->out_len += len;
	fake_want(c, EV_READ | EV_WRITE);
}

static inline void fake_send(struct fake_conn *c, const char *text)
{
	fake_send_bytes(c, text, strlen(text));
}

/* A whole answer with this body. */
static inline void fake_answer(struct fake_conn *c, int status, const char *body)
{
	char head[128];

	snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", status,
	    strlen(body));
	fake_send(c, head);
	fake_send(c, body);
}

#define FAKE_STREAM "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

/* A piece of a stream, as one chunk. */
static inline void fake_chunk(struct fake_conn *c, const char *text)
{
	char head[32];

	snprintf(head, sizeof(head), "%zx\r\n", strlen(text));
	fake_send(c, head);
	fake_send(c, text);
	fake_send(c, "\r\n");
}

static inline void fake_write(struct fake_conn *c)
{
	ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0) {
		memmove(c->out, c->out + n, c->out_len - (size_t)n);
		c->out_len -= (size_t)n;
	}
	if (c->out_len > 0)
		return;
	if (c->close_after)
		fake_drop(c);
	else
		fake_want(c, EV_READ);
}

/* Serves the request at the front of the input; false if it is not all there. */
static inline bool fake_serve_one(struct fake_conn *c)
{
	char *end = c->in_len > 0 ? strstr(c->in, "\r\n\r\n") : NULL;
	const char *length;
	size_t head, body;
	char after;

	if (end == NULL)
		return false;
	head = (size_t)(end - c->in) + 4;
	length = strstr(c->in, "Content-Length: ");
	body = length != NULL && length < end ? strtoul(length + 16, NULL, 10) : 0;
	if (c->in_len < head + body)
		return false;
	after = c->in[head + body];
	c->in[head + body] = '\0';
	end[2] = '\0';
	c->head = c->in;
	c->body = c->in + head;
	c->requests++;
	c->fake->requests++;
	c->fake->serve(c->fake, c);
	if (c->fd < 0)
		return false;
	c->in[head + body] = after;
	c->in_len -= head + body;
	memmove(c->in, c->in + head + body, c->in_len + 1);
	return true;
}

static inline void fake_on_conn(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct fake_conn *c = io->data;
	static char bytes[65536];
	ssize_t n;

	(void)loop;
	if ((revents & EV_WRITE) != 0)
		fake_write(c);
	if ((revents & EV_READ) == 0 || c->fd < 0)
		return;
	n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		c->fake->gone++;
		fake_drop(c);
		return;
	}
	c->in = realloc(c->in, c->in_len + (size_t)n + 1);
	assert_non_null(c->in);
	memcpy(c->in + c->in_len, bytes, (size_t)n);
	c->in_len += (size_t)n;
	c->in[c->in_len] = '\0';
	while (fake_serve_one(c))
		;
}

static inline void fake_on_accept(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct fake *f = io->data;
	int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC);

	(void)revents;
	if (fd < 0)
		return;
	for (int i = 0; i < FAKE_CONNS; i++) {
		struct fake_conn *c = &f->conns[i];

		if (c->fd >= 0)
			continue;
		*c = (struct fake_conn){ .fake = f, .fd = fd };
		f->accepted++;
		ev_io_init(&c->io, fake_on_conn, fd, EV_READ);
		c->io.data = c;
		ev_io_start(loop, &c->io);
		return;
	}
	fail_msg("more than %d connections", FAKE_CONNS);
}

/* Refuses connections, and drops those it has as if it was killed. */
static inline void fake_stop(struct fake *f)
{
	if (f->fd >= 0) {
		ev_io_stop(f->loop, &f->io);
		close(f->fd);
		f->fd = -1;
	}
	for (int i = 0; i < FAKE_CONNS; i++) {
		if (f->conns[i].fd >= 0)
			fake_reset(&f->conns[i]);
	}
}

/* Listens on f->port; 0: on any that is free. */
static inline void fake_listen(struct fake *f)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)f->port) };
	socklen_t len = sizeof(addr);
	int on = 1;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(f->fd >= 0);
	setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(f->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(f->fd, 16), 0);
	assert_int_equal(getsockname(f->fd, (struct sockaddr *)&addr, &len), 0);
	f->port = ntohs(addr.sin_port);
	snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d", f->port);
	ev_io_init(&f->io, fake_on_accept, f->fd, EV_READ);
	f->io.data = f;
	ev_io_start(f->loop, &f->io);
}

static inline void fake_start(
    struct fake *f, struct ev_loop *loop, void (*serve)(struct fake *f, struct fake_conn *c))
{
	*f = (struct fake){ .loop = loop, .serve = serve };
	for (int i = 0; i < FAKE_CONNS; i++)
		f->conns[i].fd = -1;
	fake_listen(f);
}

/* Runs the loop until *what reaches n. */
static inline void run_until(struct ev_loop *loop, const unsigned *what, unsigned n)
{
	msec end = clock_now() + PATIENCE;

	while (*what < n) {
		if (clock_now() > end)
			fail_msg("waited in vain: %u of %u", *what, n);
		ev_run(loop, EVRUN_ONCE);
	}
}

#endif
