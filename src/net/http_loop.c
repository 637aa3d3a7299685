#include "net/http_impl.h"

#include <stdlib.h>

#define POOL_MAX 8L /* connections that are kept, in use or idle */

struct http_socket {
	struct http_socket *next;
	struct http *http;
	struct ev_io io;
};

static void collect_ended(struct http *h)
{
	struct CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct http_call *call = NULL;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		if (message->msg == CURLMSG_DONE && call != NULL)
			http_note_end(call, message->data.result);
	}
}

static void act(struct http *h, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(h->multi, fd, what, &running);
	collect_ended(h);
	http_tell(h);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *tick, int revents)
{
	(void)loop;
	(void)revents;
	act(tick->data, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl's, which may not be called from here. */
static int on_curl_timer(CURLM *multi, long ms, void *ctx)
{
	struct http *h = ctx;

	(void)multi;
	ev_timer_stop(h->loop, &h->tick);
	if (ms < 0)
		return 0;
	ev_timer_set(&h->tick, (double)ms / 1000, 0);
	ev_timer_start(h->loop, &h->tick);
	return 0;
}

static void on_socket(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct http_socket *s = io->data;
	int what = ((revents & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
		   ((revents & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);

	(void)loop;
	act(s->http, io->fd, what);
}

static struct http_socket *socket_add(struct http *h, curl_socket_t fd)
{
	struct http_socket *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->http = h;
	ev_io_init(&s->io, on_socket, fd, EV_NONE);
	s->io.data = s;
	s->next = h->sockets;
	h->sockets = s;
	curl_multi_assign(h->multi, fd, s);
	return s;
}

static void socket_remove(struct http *h, struct http_socket *s)
{
	struct http_socket **at = &h->sockets;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	ev_io_stop(h->loop, &s->io);
	free(s);
}

/* libcurl's: what it wants to know of a socket. After -1 its calls end at their deadlines. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned)
{
	struct http *h = ctx;
	struct http_socket *s = assigned;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s != NULL)
			socket_remove(h, s);
		return 0;
	}
	if (s == NULL)
		s = socket_add(h, fd);
	if (s == NULL)
		return -1;
	ev_io_stop(h->loop, &s->io);
	ev_io_set(&s->io, fd,
	    ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
		((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));
	ev_io_start(h->loop, &s->io);
	return 0;
}

void http_loop_open(struct http *h)
{
	ev_timer_init(&h->tick, on_tick, 0, 0);
	h->tick.data = h;
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, POOL_MAX);
}

void http_loop_close(struct http *h)
{
	while (h->sockets != NULL)
		socket_remove(h, h->sockets);
	ev_timer_stop(h->loop, &h->tick);
}
