#include "net/http.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alarm.h"
#include "net/http_lines.h"

/* A lookup that hangs must not hang the loop with it, as it did before CURLOPT_QUICK_EXIT. */
#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87 or later is needed"
#endif

#define HEADER_MAX (64 << 10) /* bytes of all header lines of an answer */
#define POOL_MAX 8L           /* connections that are kept, in use or idle */
#define BUFFER 4096L          /* libcurl's, of each call: most answers are short */

/*
 * A silent stream is not watched by anything else: its connection asks every few seconds whether
 * the other machine is still there, and gives up when that does not answer. (A stopped process does
 * answer: its kernel does it.)
 */
#define PROBE_IDLE_S 15L
#define PROBE_INTERVAL_S 5L
#define UNANSWERED_MS 20000U

struct http_socket {
	struct http_socket *next;
	struct http *http;
	struct ev_io io;
};

struct http_call {
	struct http_call *next;
	struct http *http;
	CURL *easy;
	struct curl_slist *headers;
	void (*line)(void *ctx, const char *text, size_t len); /* NULL: not a stream */
	void (*done)(void *ctx, const struct http_answer *answer);
	void *ctx;
	msec deadline; /* MSEC_NEVER from the first line of a stream on */
	msec timeout;
	size_t header_len;
	bool once;
	bool sent;
	bool https;
	bool fresh;        /* it was sent on a new connection */
	bool ended;        /* only the rest of its lines and its end are still to be told */
	bool dead;         /* cancelled, or told to the end, while its hook runs */
	const char *fault; /* why it was given up here, when it was not libcurl that failed */
	CURLcode result;
	char why[CURL_ERROR_SIZE];
	struct http_lines lines;
};

struct http {
	struct ev_loop *loop;
	struct http_tls tls;
	CURLM *multi;
	struct ev_timer tick;  /* libcurl's own timer */
	struct alarm deadline; /* the next one of the calls */
	struct http_call *calls;
	struct http_socket *sockets;
	struct http_call *telling; /* whose hook runs */
	bool closed;               /* by that hook: to be freed as soon as it returns */
};

int http_init(struct err *e)
{
	CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);

	if (rc != CURLE_OK)
		return err_set(e, "cannot set up libcurl: %s", curl_easy_strerror(rc));
	return 0;
}

/* What has come of an answer */

static bool is_good_stream(const struct http_call *call)
{
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	return call->line != NULL && status == 200;
}

static size_t give_up(struct http_call *call, const char *fault)
{
	call->fault = fault;
	return 0;
}

/* libcurl's: no hook may run from here, as hooks cancel and begin calls. Not n: give up. */
static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
	struct http_call *call = ctx;
	const char *fault = http_lines_add(&call->lines, bytes, n, is_good_stream(call));

	(void)size; /* always 1 */
	if (http_lines_any(&call->lines))
		call->deadline = MSEC_NEVER;
	return fault == NULL ? n : give_up(call, fault);
}

static size_t on_header(char *bytes, size_t size, size_t n, void *ctx)
{
	struct http_call *call = ctx;

	(void)bytes;
	(void)size;
	call->header_len += n;
	return call->header_len <= HEADER_MAX ? n : give_up(call, "the header is too long");
}

/* The hooks */

/* The next line that is complete; false if there is none. */
static bool tell_line(struct http_call *call)
{
	size_t len;
	const char *text = http_lines_next(&call->lines, &len);

	if (text == NULL)
		return false;
	call->line(call->ctx, text, len);
	http_lines_trim(&call->lines);
	return true;
}

static void explain(const struct http_call *call, struct err *e)
{
	if (call->fault != NULL)
		err_set(e, "%s", call->fault);
	else if (call->result == CURLE_OPERATION_TIMEDOUT)
		err_set(e, "no answer within %lld ms", (long long)call->timeout);
	else if (call->result != CURLE_OK)
		err_set(
		    e, "%s", call->why[0] != '\0' ? call->why : curl_easy_strerror(call->result));
	else
		err_set(e, "the server has ended the answer");
}

static bool is_hung_up(const struct http_call *call)
{
	return call->result == CURLE_GOT_NOTHING || call->result == CURLE_SEND_ERROR ||
	       call->result == CURLE_RECV_ERROR;
}

/*
 * With TLS 1.3 a server refuses the client's certificate, or its lack, when the handshake is over
 * for the client. By chance the reason is still read, or the connection is found closed, maybe by
 * libcurl, which then has made another one (on_before_sending()).
 */
static bool is_closed_after_handshake(const struct http_call *call)
{
	return call->https && call->header_len == 0 &&
	       ((is_hung_up(call) && call->fresh) || call->result == CURLE_ABORTED_BY_CALLBACK);
}

static bool is_tls(const struct http_call *call)
{
	switch (call->result) {
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR: return true;
	default: return is_closed_after_handshake(call);
	}
}

static int64_t read_date(const struct http_call *call)
{
	struct curl_header *header;
	time_t date;

	if (curl_easy_header(call->easy, "Date", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return 0;
	date = curl_getdate(header->value, NULL);
	return date > 0 ? (int64_t)date : 0;
}

static void tell_end(struct http_call *call)
{
	struct http_answer answer = { .sent = call->sent, .body = "" };
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	explain(call, &answer.e);
	if (call->result == CURLE_OK)
		answer.status = (int)status;
	answer.date = read_date(call);
	answer.tls = is_tls(call);
	answer.hung_up = !answer.tls && is_hung_up(call);
	if (answer.status != 0)
		answer.body = http_lines_rest(&call->lines, &answer.len);
	call->dead = true;
	call->done(call->ctx, &answer);
}

static void call_free(struct http *h, struct http_call *call)
{
	struct http_call **at = &h->calls;

	if (call->easy != NULL) {
		curl_multi_remove_handle(h->multi, call->easy);
		curl_easy_cleanup(call->easy);
	}
	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	curl_slist_free_all(call->headers);
	http_lines_free(&call->lines);
	free(call);
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

static void http_free(struct http *h)
{
	while (h->calls != NULL)
		call_free(h, h->calls);
	curl_multi_cleanup(h->multi);
	while (h->sockets != NULL)
		socket_remove(h, h->sockets);
	ev_timer_stop(h->loop, &h->tick);
	alarm_close(&h->deadline);
	free(h);
}

static struct http_call *first_to_tell(const struct http *h)
{
	struct http_call *call;

	for (call = h->calls; call != NULL; call = call->next) {
		if (call->ended || http_lines_any(&call->lines))
			return call;
	}
	return NULL;
}

/* A hook may begin, cancel and close whatever it likes, so look anew after each. */
static void tell_all(struct http *h)
{
	struct http_call *call;

	while (!h->closed && (call = first_to_tell(h)) != NULL) {
		h->telling = call;
		if (!tell_line(call))
			tell_end(call);
		h->telling = NULL;
		if (call->dead)
			call_free(h, call);
	}
	if (h->closed)
		http_free(h);
}

/* The course of a call */

static void call_end(struct http_call *call, CURLcode result)
{
	curl_multi_remove_handle(call->http->multi, call->easy);
	call->result = result;
	call->ended = true;
	call->deadline = MSEC_NEVER;
	/* etcd writes its last words, an error, without a newline. */
	if (result == CURLE_OK && is_good_stream(call))
		http_lines_end(&call->lines);
}

static void collect_ended(struct http *h)
{
	struct CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct http_call *call = NULL;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		if (message->msg == CURLMSG_DONE && call != NULL)
			call_end(call, message->data.result);
	}
}

static void set_deadline(struct http *h)
{
	const struct http_call *call;
	msec next = MSEC_NEVER;

	for (call = h->calls; call != NULL; call = call->next)
		next = msec_min(next, call->deadline);
	alarm_set(&h->deadline, next);
}

static void on_deadline(void *ctx)
{
	struct http *h = ctx;
	struct http_call *call;
	msec now = clock_now();

	for (call = h->calls; call != NULL; call = call->next) {
		if (call->deadline <= now)
			call_end(call, CURLE_OPERATION_TIMEDOUT);
	}
	set_deadline(h);
	tell_all(h);
}

/* libcurl in the loop */

static void act(struct http *h, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(h->multi, fd, what, &running);
	collect_ended(h);
	tell_all(h);
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

/* libcurl's own socket() would not be close-on-exec. */
static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *addr)
{
	const struct http_call *call = ctx;
	unsigned int unanswered = UNANSWERED_MS;
	int fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);

	(void)purpose;
	if (fd < 0)
		return CURL_SOCKET_BAD;
	if (call->line != NULL)
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered, sizeof(unanswered));
	return fd;
}

/*
 * libcurl's, each time right before the request is sent. It sends a request again, on a new
 * connection, when a pooled one turns out to be closed - be it after the server has read the first.
 */
static int on_before_sending(
    void *ctx, char *remote, char *local, int remote_port, int local_port) /* NOLINT */
{
	struct http_call *call = ctx;

	(void)remote;
	(void)local;
	(void)remote_port;
	(void)local_port;
	if (call->sent && call->once) {
		call->fault = "the connection was lost";
		return CURL_PREREQFUNC_ABORT;
	}
	if (!call->sent) {
		long connects = 0;

		curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
		call->fresh = connects > 0;
	}
	call->sent = true;
	return CURL_PREREQFUNC_OK;
}

static void set_multi(struct http *h)
{
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, POOL_MAX);
}

struct http *http_open(struct ev_loop *loop, const struct http_tls *tls, struct err *e)
{
	struct http *h;

	if (http_init(e) < 0)
		return NULL;
	h = calloc(1, sizeof(*h));
	if (h != NULL)
		h->multi = curl_multi_init();
	if (h == NULL || h->multi == NULL) {
		free(h);
		err_set(e, "out of memory");
		return NULL;
	}
	if (alarm_open(&h->deadline, loop, on_deadline, h, e) < 0) {
		curl_multi_cleanup(h->multi);
		free(h);
		return NULL;
	}
	h->loop = loop;
	h->tls = *tls;
	ev_timer_init(&h->tick, on_tick, 0, 0);
	h->tick.data = h;
	set_multi(h);
	return h;
}

void http_close(struct http *h)
{
	if (h == NULL)
		return;
	h->closed = true;
	if (h->telling == NULL)
		http_free(h);
}

/* Setting up a call */

#define SET(option, value) (curl_easy_setopt(call->easy, (option), (value)) == CURLE_OK)

static bool set_limits(struct http_call *call)
{
	return SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_QUICK_EXIT, 1L) &&
	       SET(CURLOPT_PROTOCOLS_STR, "http,https") && SET(CURLOPT_FOLLOWLOCATION, 0L) &&
	       SET(CURLOPT_NOPROXY, "*") && SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) &&
	       SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       SET(CURLOPT_BUFFERSIZE, BUFFER) && SET(CURLOPT_ERRORBUFFER, call->why);
}

static bool set_hooks(struct http_call *call)
{
	return SET(CURLOPT_PRIVATE, call) && SET(CURLOPT_WRITEFUNCTION, on_body) &&
	       SET(CURLOPT_WRITEDATA, call) && SET(CURLOPT_HEADERFUNCTION, on_header) &&
	       SET(CURLOPT_HEADERDATA, call) && SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket) &&
	       SET(CURLOPT_OPENSOCKETDATA, call) &&
	       SET(CURLOPT_PREREQFUNCTION, on_before_sending) && SET(CURLOPT_PREREQDATA, call);
}

/* A CA of our own replaces those of the system; it does not come on top of them. */
static bool set_tls(struct http_call *call, const struct http_tls *tls)
{
	if (!SET(CURLOPT_SSL_VERIFYPEER, 1L) || !SET(CURLOPT_SSL_VERIFYHOST, 2L) ||
	    !SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2))
		return false;
	if (tls->ca_file != NULL &&
	    (!SET(CURLOPT_CAINFO, tls->ca_file) || !SET(CURLOPT_CAPATH, NULL)))
		return false;
	return tls->cert_file == NULL ||
	       (SET(CURLOPT_SSLCERT, tls->cert_file) && SET(CURLOPT_SSLKEY, tls->key_file));
}

static bool add_header(struct http_call *call, const char *header)
{
	struct curl_slist *longer = curl_slist_append(call->headers, header);

	if (longer != NULL)
		call->headers = longer;
	return longer != NULL;
}

static bool set_request(struct http_call *call, const struct http_request *request)
{
	const char *const *header;

	/* No "Expect: 100-continue": it costs a large request a round trip. */
	if (!add_header(call, "Content-Type: application/json") || !add_header(call, "Expect:"))
		return false;
	for (header = request->headers; header != NULL && *header != NULL; header++) {
		if (!add_header(call, *header))
			return false;
	}
	return SET(CURLOPT_URL, request->url) && SET(CURLOPT_HTTPHEADER, call->headers) &&
	       SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(request->body)) &&
	       SET(CURLOPT_POSTFIELDS, request->body);
}

static bool set_stream(struct http_call *call)
{
	return SET(CURLOPT_FRESH_CONNECT, 1L) && SET(CURLOPT_FORBID_REUSE, 1L) &&
	       SET(CURLOPT_TCP_KEEPALIVE, 1L) && SET(CURLOPT_TCP_KEEPIDLE, PROBE_IDLE_S) &&
	       SET(CURLOPT_TCP_KEEPINTVL, PROBE_INTERVAL_S);
}

static bool call_set(struct http_call *call, const struct http_request *request)
{
	return set_limits(call) && set_hooks(call) && set_tls(call, &call->http->tls) &&
	       set_request(call, request) && (call->line == NULL || set_stream(call));
}

static struct http_call *call_new(struct http *h, const struct http_request *request)
{
	struct http_call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return NULL;
	call->http = h;
	call->easy = curl_easy_init();
	call->timeout = request->timeout;
	call->deadline = msec_add(clock_now(), request->timeout);
	call->lines.max = request->max;
	call->once = request->once;
	call->https = strncmp(request->url, "https:", 6) == 0;
	call->next = h->calls;
	h->calls = call;
	return call;
}

static struct http_call *begin(struct http *h, const struct http_request *request,
    const struct http_call *hooks, struct err *e)
{
	struct http_call *call = call_new(h, request);

	if (call == NULL) {
		err_set(e, "out of memory");
		return NULL;
	}
	call->line = hooks->line;
	call->done = hooks->done;
	call->ctx = hooks->ctx;
	if (call->easy == NULL || !call_set(call, request) ||
	    curl_multi_add_handle(h->multi, call->easy) != CURLM_OK) {
		call_free(h, call);
		err_set(e, "cannot begin a request: out of memory");
		return NULL;
	}
	set_deadline(h);
	return call;
}

struct http_call *http_post(struct http *h, const struct http_request *request,
    void (*done)(void *ctx, const struct http_answer *answer), void *ctx, struct err *e)
{
	const struct http_call hooks = { .done = done, .ctx = ctx };

	return begin(h, request, &hooks, e);
}

struct http_call *http_stream(struct http *h, const struct http_request *request,
    void (*line)(void *ctx, const char *text, size_t len),
    void (*done)(void *ctx, const struct http_answer *answer), void *ctx, struct err *e)
{
	const struct http_call hooks = { .line = line, .done = done, .ctx = ctx };

	return begin(h, request, &hooks, e);
}

void http_cancel(struct http_call *call)
{
	if (call == call->http->telling)
		call->dead = true;
	else
		call_free(call->http, call);
}
