/* Watches, and how the end of one is noticed that has nothing to tell. */
#include "coord/etcd_client_impl.h"

#define HEARD_MAX 10000           /* without an answer for so long the endpoint is asked */
#define SILENCE_MAX (30 * 60000L) /* three missed signs of life: the stream leads nowhere */

/* When it is time to look after a watch that is open. */
static void set_wake(struct etcd_call *call)
{
	call->wake = msec_min(call->renew_at, call->client->heard + HEARD_MAX);
	client_rearm(call->client);
}

static void watch_end(struct etcd_call *call, const struct etcd_answer *answer)
{
	struct etcd_client *c = call->client;

	if (call->http != NULL)
		http_cancel(call->http);
	call->http = NULL;
	if (!call->acknowledged && call_renews_token(call, answer))
		return;
	if (etcd_is_passing(answer))
		client_endpoint_failed(c, call->at, &answer->e);
	call_finish(call, answer);
}

static void end_as_garbage(struct etcd_call *call, const char *what)
{
	struct etcd_answer answer = { .code = ETCD_GARBAGE, .unknown = true };

	err_set(&answer.e, "%s%s: %s", call->client->endpoints[call->at].url, call->path, what);
	watch_end(call, &answer);
}

static void on_created(struct etcd_call *call)
{
	if (call->acknowledged) {
		end_as_garbage(call, "acknowledged twice");
		return;
	}
	call->acknowledged = true;
	client_heard(call->client, call->at);
	set_wake(call);
	call->hooks.created(call->ctx);
}

static void on_events(struct etcd_call *call, json_t *result)
{
	if (!call->acknowledged)
		end_as_garbage(call, "events before the acknowledgement");
	else
		call->hooks.events(call->ctx, result);
	json_decref(result);
}

static void on_line(void *ctx, const char *text, size_t len)
{
	struct etcd_call *call = ctx;
	struct etcd_answer answer;
	enum etcd_line kind = etcd_reply_line(text, len, &answer);

	call->renew_at = clock_now() + client_jitter(SILENCE_MAX);
	switch (kind) {
	case ETCD_LINE_CREATED: on_created(call); break;
	case ETCD_LINE_EVENTS: on_events(call, answer.body); break;
	case ETCD_LINE_NOTHING: break;
	case ETCD_LINE_END:
		err_add(&answer.e, "%s%s", call->client->endpoints[call->at].url, call->path);
		watch_end(call, &answer);
		break;
	}
}

static void on_end(void *ctx, const struct http_answer *http)
{
	struct etcd_call *call = ctx;
	struct http_answer cut = *http;
	struct etcd_answer answer;

	call->http = NULL;
	if (http->status == 200)
		cut.status = 0; /* a watch has no end of its own */
	answer_read(call->client, call->at, call->path, &cut, &answer);
	watch_end(call, &answer);
}

struct http_call *watch_send(
    struct etcd_call *call, const struct http_request *request, struct err *e)
{
	return http_stream(call->client->http, request, on_line, on_end, call, e);
}

struct etcd_call *etcd_watch(struct etcd_client *c, json_t *body,
    const struct etcd_watch_hooks *hooks, void *ctx, struct err *e)
{
	struct etcd_call *call = call_new(c, "/v3/watch", body, e);

	if (call == NULL)
		return NULL;
	call->is_watch = true;
	call->with_token = true;
	call->repeatable = true;
	call->hooks = *hooks;
	call->done = hooks->done;
	call->ctx = ctx;
	call_begin(call);
	return call;
}

/* Any answer will do, and this one is cheap, needs no token and is false without a leader. */
#define PROBE_PATH "/v3/maintenance/status"

static void on_probed(void *ctx, const struct http_answer *http)
{
	struct etcd_client *c = ctx;
	struct etcd_answer answer;

	c->probe = NULL;
	answer_read(c, c->current, PROBE_PATH, http, &answer);
	if (etcd_is_passing(&answer))
		client_endpoint_failed(c, c->current, &answer.e);
	else
		client_heard(c, c->current);
	json_decref(answer.body);
}

static void probe(struct etcd_client *c)
{
	const struct etcd_attempt attempt = {
		.at = c->current,
		.path = PROBE_PATH,
		.body = "{}",
		.timeout = ETCD_ATTEMPT,
	};
	struct etcd_request request;

	if (c->probe != NULL)
		return;
	request_make(&request, c, &attempt);
	c->probe = http_post(c->http, &request.http, on_probed, c, NULL);
}

void watch_check(struct etcd_call *call)
{
	struct etcd_client *c = call->client;
	struct etcd_answer answer = { .code = ETCD_DEADLINE };
	msec now = clock_now();

	if (now >= call->renew_at) {
		err_set(&answer.e, "%s%s: silent for long", c->endpoints[call->at].url, call->path);
		call_finish(call, &answer);
		return;
	}
	if (now >= c->heard + HEARD_MAX) {
		probe(c);
		call->wake = now + HEARD_MAX;
		client_rearm(c);
		return;
	}
	set_wake(call);
}
