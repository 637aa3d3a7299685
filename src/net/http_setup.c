#include "net/http_impl.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER_MAX (64 << 10) /* bytes of all header lines of an answer */
#define BUFFER 4096L          /* libcurl's, of each call: most answers are short */

/*
 * A silent stream is not watched by anything else: its connection asks every few seconds whether
 * the other machine is still there, and gives up when that does not answer. (A stopped process does
 * answer: its kernel does it.)
 */
#define PROBE_IDLE_S 15L
#define PROBE_INTERVAL_S 5L
#define UNANSWERED_MS 20000U

/* libcurl's questions and news about a call */

static size_t give_up(struct http_call *call, const char *fault)
{
	call->fault = fault;
	return 0;
}

/* libcurl's: no hook may run from here, as hooks cancel and begin calls. Not n: give up. */
static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
	struct http_call *call = ctx;
	const char *fault = http_lines_add(&call->lines, bytes, n, http_is_by_line(call));

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

/* What it is told */

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

bool http_setup(struct http_call *call, const struct http_request *request)
{
	return set_limits(call) && set_hooks(call) && set_tls(call, &call->http->tls) &&
	       set_request(call, request) && (call->line == NULL || set_stream(call));
}
