#include "net/http_impl.h"

#include <stdlib.h>
#include <string.h>

static void call_remove(struct http *h, struct http_call *call)
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

static void http_free(struct http *h)
{
	while (h->calls != NULL)
		call_remove(h, h->calls);
	curl_multi_cleanup(h->multi);
	http_loop_close(h);
	alarm_close(&h->deadline);
	free(h);
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
void http_tell(struct http *h)
{
	struct http_call *call;

	while (!h->closed && (call = first_to_tell(h)) != NULL) {
		h->telling = call;
		if (!tell_line(call))
			http_tell_end(call);
		h->telling = NULL;
		if (call->dead)
			call_remove(h, call);
	}
	if (h->closed)
		http_free(h);
}

/* The end of a call, and its deadline */

bool http_is_by_line(const struct http_call *call)
{
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	return call->line != NULL && status == 200;
}

void http_note_end(struct http_call *call, CURLcode result)
{
	curl_multi_remove_handle(call->http->multi, call->easy);
	call->result = result;
	call->ended = true;
	call->deadline = MSEC_NEVER;
	/* etcd writes its last words, an error, without a newline. */
	if (result == CURLE_OK && http_is_by_line(call))
		http_lines_end(&call->lines);
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
			http_note_end(call, CURLE_OPERATION_TIMEDOUT);
	}
	set_deadline(h);
	http_tell(h);
}

/* What others see */

int http_init(struct err *e)
{
	CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);

	if (rc != CURLE_OK)
		return err_set(e, "cannot set up libcurl: %s", curl_easy_strerror(rc));
	return 0;
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
	http_loop_open(h);
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

static struct http_call *call_add(struct http *h, const struct http_request *request)
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
	struct http_call *call = call_add(h, request);

	if (call == NULL) {
		err_set(e, "out of memory");
		return NULL;
	}
	call->line = hooks->line;
	call->done = hooks->done;
	call->ctx = hooks->ctx;
	if (call->easy == NULL || !http_setup(call, request) ||
	    curl_multi_add_handle(h->multi, call->easy) != CURLM_OK) {
		call_remove(h, call);
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
		call_remove(call->http, call);
}
