#include "coord/etcd_client.h"

#include <assert.h>
#include <bsd/stdlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/etcd_client_impl.h"

#define PAUSE_MIN 100
#define PAUSE_MAX 2000
/* etcd ends a request a little before we do, so that its connection stays. */
#define SERVER_EARLIER 100

enum coord_trouble etcd_trouble(enum etcd_code code)
{
	switch (code) {
	case ETCD_OK: return COORD_FINE;
	case ETCD_DEADLINE:
	case ETCD_UNAVAILABLE: return COORD_UNREACHABLE;
	case ETCD_TLS: return COORD_TLS;
	case ETCD_BAD_TOKEN:
	case ETCD_BAD_USER: return COORD_USER;
	case ETCD_DENIED: return COORD_DENIED;
	case ETCD_INVALID:
	case ETCD_NOT_FOUND:
	case ETCD_EXISTS:
	case ETCD_EXHAUSTED:
	case ETCD_PRECONDITION:
	case ETCD_COMPACTED:
	case ETCD_GARBAGE: break;
	}
	return COORD_STRANGE;
}

/* Requests and answers */

void request_make(
    struct etcd_request *r, const struct etcd_client *c, const struct etcd_attempt *attempt)
{
	const struct endpoint *endpoint = &c->endpoints[attempt->at];
	size_t n = 0;

	snprintf(r->url, sizeof(r->url), "%s%s", endpoint->url, attempt->path);
	/* Without it a member that lost its leader keeps a watch for ever and a call for 7 s. */
	r->headers[n++] = "Grpc-Metadata-hasleader: true";
	if (!attempt->endless && attempt->timeout > SERVER_EARLIER) {
		snprintf(r->timeout, sizeof(r->timeout), "Grpc-Timeout: %lldm",
		    (long long)(attempt->timeout - SERVER_EARLIER));
		r->headers[n++] = r->timeout;
	}
	if (attempt->with_token && endpoint->token != NULL) {
		snprintf(r->token, sizeof(r->token), "Authorization: %s", endpoint->token);
		r->headers[n++] = r->token;
	}
	r->headers[n] = NULL;
	r->http = (struct http_request){
		.url = r->url,
		.body = attempt->body,
		.headers = r->headers,
		.timeout = attempt->timeout,
		.max = ETCD_ANSWER_MAX,
		.once = attempt->once,
	};
}

static bool is_https(const char *url)
{
	return strncmp(url, "https:", 6) == 0;
}

static void append(struct err *e, const char *text)
{
	size_t len = strlen(e->text);

	snprintf(e->text + len, sizeof(e->text) - len, "%s", text);
}

static const char *advice_without_answer(enum http_failure failure, const char *url)
{
	switch (failure) {
	case HTTP_NO_HOST: return "; is the name in coordinator.endpoints right, and known here?";
	case HTTP_NO_CONNECTION: return "; does etcd run there, and listen at that address?";
	case HTTP_LATE: return "; is it suspended, overloaded, or behind a firewall?";
	case HTTP_HUNG_UP: return is_https(url) ? "" : "; " ETCD_ADVISE_HTTPS;
	case HTTP_TLS:
		return "; check coordinator.ca_file, cert_file and key_file, and that "
		       "the server speaks TLS";
	case HTTP_FAILED: break;
	}
	return "";
}

/* What a person can do, where the words of libcurl and etcd do not tell. */
static void advise(const struct etcd_client *c, size_t at, const struct http_answer *http,
    struct etcd_answer *answer)
{
	if (http->status == 0)
		append(&answer->e, advice_without_answer(http->failure, c->endpoints[at].url));
	else if (answer->code == ETCD_DENIED)
		append(&answer->e, "; grant the user readwrite on the namespace");
	else if (answer->code == ETCD_BAD_TOKEN && c->conf->user == NULL)
		append(&answer->e, "; set coordinator.user and password_file");
}

void answer_read(const struct etcd_client *c, size_t at, const char *path,
    const struct http_answer *http, struct etcd_answer *answer)
{
	if (http->status != 0)
		etcd_reply_read(http->status, http->body, http->len, answer);
	else
		*answer = (struct etcd_answer){
			.code = http->failure == HTTP_TLS ? ETCD_TLS : ETCD_UNAVAILABLE,
			.unknown = http->sent,
			.e = http->e,
		};
	answer->date = http->date;
	advise(c, at, http, answer);
	if (answer->code != ETCD_OK)
		err_add(&answer->e, "%s%s", c->endpoints[at].url, path);
}

bool etcd_is_passing(const struct etcd_answer *answer)
{
	return answer->unknown || answer->code == ETCD_UNAVAILABLE ||
	       answer->code == ETCD_DEADLINE || answer->code == ETCD_TLS;
}

/* The client */

void client_rearm(struct etcd_client *c)
{
	const struct etcd_call *call;
	msec next = MSEC_NEVER;

	for (call = c->calls; call != NULL; call = call->next)
		next = msec_min(next, call->wake);
	alarm_set(&c->alarm, next);
}

void client_heard(struct etcd_client *c, size_t at)
{
	if (at == c->current)
		c->heard = clock_now();
}

void client_endpoint_failed(struct etcd_client *c, size_t at, const struct err *why)
{
	struct etcd_call *call;

	if (c->current == at) {
		c->current = (at + 1) % c->n_endpoints;
		if (c->probe != NULL)
			http_cancel(c->probe);
		c->probe = NULL;
	}
	for (call = c->calls; call != NULL; call = call->next) {
		if (!call->is_watch || call->state != CALL_SENT || call->at != at)
			continue;
		if (call->http != NULL)
			http_cancel(call->http);
		call->http = NULL;
		call_set(call, CALL_OVER, ETCD_UNAVAILABLE, why);
	}
}

msec client_jitter(msec time)
{
	return time - (msec)arc4random_uniform((uint32_t)(time / 4 + 1));
}

static void call_free(struct etcd_client *c, struct etcd_call *call)
{
	struct etcd_call **at = &c->calls;

	if (call->http != NULL)
		http_cancel(call->http);
	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	free(call->body);
	free(call);
}

void call_finish(struct etcd_call *call, const struct etcd_answer *answer)
{
	void (*done)(void *ctx, const struct etcd_answer *answer) = call->done;
	struct etcd_answer told = *answer;
	void *ctx = call->ctx;

	if (told.code != ETCD_OK)
		told.unknown |= call->maybe_done;
	call_free(call->client, call);
	done(ctx, &told);
	json_decref(told.body);
}

void call_set(
    struct etcd_call *call, enum call_state state, enum etcd_code code, const struct err *why)
{
	call->state = state;
	call->answer.code = code;
	call->answer.e = *why;
	call->wake = 0;
	client_rearm(call->client);
}

/* One attempt */

msec client_attempt_time(unsigned int tried)
{
	return (msec)ETCD_ATTEMPT << (tried < ETCD_DOUBLINGS ? tried : ETCD_DOUBLINGS);
}

static msec attempt_time(const struct etcd_call *call)
{
	unsigned int rounds = call->tried / (unsigned int)call->client->n_endpoints;
	msec left = call->until == MSEC_NEVER ? MSEC_NEVER : call->until - clock_now();
	msec time = client_attempt_time(rounds);

	time = msec_min(time, left);
	return time > 0 ? time : 1;
}

static msec pause_after(unsigned int rounds)
{
	msec pause = PAUSE_MIN;

	for (unsigned int i = 1; i < rounds && pause < PAUSE_MAX; i++)
		pause *= 2;
	return client_jitter(msec_min(pause, PAUSE_MAX));
}

/* Begins the next attempt, at once or after a pause, if there is time for one. */
static void call_repeat(struct etcd_call *call)
{
	msec now = clock_now(), pause = 0;

	call->tried++;
	if (call->tried % call->client->n_endpoints == 0)
		pause = pause_after(call->tried / (unsigned int)call->client->n_endpoints);
	if (msec_add(now, pause) >= call->until) {
		call_finish(call, &call->answer);
		return;
	}
	if (pause == 0) {
		call_begin(call);
	} else {
		call->state = CALL_PAUSED;
		call->wake = now + pause;
		client_rearm(call->client);
	}
	if (call->missed != NULL)
		call->missed(call->ctx, &call->answer);
}

bool call_renews_token(struct etcd_call *call, const struct etcd_answer *answer)
{
	if (answer->code != ETCD_BAD_TOKEN || call->client->conf->user == NULL ||
	    call->token_renewed)
		return false;
	call->token_renewed = true;
	call->with_token = true;
	auth_forget(call->client, call->at, call->token_no);
	call_begin(call);
	return true;
}

static void on_answer(void *ctx, const struct http_answer *http)
{
	struct etcd_call *call = ctx;
	struct etcd_answer answer;

	call->http = NULL;
	answer_read(call->client, call->at, call->path, http, &answer);
	call->maybe_done |= answer.unknown;
	if (!etcd_is_passing(&answer)) {
		client_heard(call->client, call->at);
		if (!call_renews_token(call, &answer))
			call_finish(call, &answer);
		return;
	}
	client_endpoint_failed(call->client, call->at, &answer.e);
	/* What the deadline has cut short says less than the attempt before it. */
	if (call->tried > 0 && http->status == 0 && clock_now() >= call->until) {
		answer.code = call->answer.code;
		answer.e = call->answer.e;
	}
	call->answer = answer;
	if (answer.unknown && !call->repeatable)
		call_finish(call, &answer);
	else
		call_repeat(call);
}

static void call_send(struct etcd_call *call)
{
	struct etcd_client *c = call->client;
	const struct etcd_attempt attempt = {
		.at = call->at,
		.path = call->path,
		.body = call->body,
		.timeout = attempt_time(call),
		.with_token = call->with_token,
		.endless = call->is_watch,
		.once = !call->repeatable,
	};
	struct etcd_request request;
	struct err e;

	request_make(&request, c, &attempt);
	call->token_no = c->endpoints[call->at].token_no;
	call->state = CALL_SENT;
	call->wake = MSEC_NEVER;
	call->http = call->is_watch ? watch_send(call, &request.http, &e)
				    : http_post(c->http, &request.http, on_answer, call, &e);
	if (call->http == NULL)
		call_set(call, CALL_OVER, ETCD_UNAVAILABLE, &e);
}

void call_begin(struct etcd_call *call)
{
	struct etcd_client *c = call->client;

	call->at = c->current;
	if (!call->with_token || auth_is_ready(c, call->at)) {
		call_send(call);
		return;
	}
	call->state = CALL_WANTS_TOKEN;
	call->wake = call->until;
	client_rearm(c);
	auth_begin(c, call->at);
}

/* What is due */

static void wait_for_token(struct etcd_call *call)
{
	if (clock_now() < call->until) {
		call_begin(call);
		return;
	}
	call->answer.code = ETCD_DEADLINE;
	err_set(&call->answer.e, "%s has given no token in time",
	    call->client->endpoints[call->at].url);
	call_finish(call, &call->answer);
}

static void step(struct etcd_call *call)
{
	switch (call->state) {
	case CALL_WANTS_TOKEN: wait_for_token(call); break;
	case CALL_SENT: watch_check(call); break;
	case CALL_PAUSED: call_begin(call); break;
	case CALL_FAILED:
		if (call->is_watch)
			call_finish(call, &call->answer);
		else
			call_repeat(call);
		break;
	case CALL_OVER: call_finish(call, &call->answer); break;
	}
}

static void on_alarm(void *ctx)
{
	struct etcd_client *c = ctx;
	struct etcd_call *call;
	msec now = clock_now();

	for (call = c->calls; call != NULL; call = call->next) {
		if (call->wake <= now)
			break;
	}
	if (call != NULL)
		call->wake = MSEC_NEVER;
	client_rearm(c);
	if (call != NULL)
		step(call);
}

/* For the callers */

struct etcd_client *etcd_client_open(struct ev_loop *loop, const struct conf *conf, struct err *e)
{
	const struct http_tls tls = { conf->ca_file, conf->cert_file, conf->key_file };
	struct etcd_client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		err_set(e, "out of memory");
		return NULL;
	}
	c->conf = conf;
	while (conf->endpoints[c->n_endpoints] != NULL)
		c->n_endpoints++;
	assert(c->n_endpoints > 0);
	c->endpoints = calloc(c->n_endpoints, sizeof(*c->endpoints));
	if (c->endpoints == NULL) {
		err_set(e, "out of memory");
		goto fail;
	}
	for (size_t i = 0; i < c->n_endpoints; i++)
		c->endpoints[i].url = conf->endpoints[i];
	auth_open(c);
	c->http = http_open(loop, &tls, e);
	if (c->http == NULL || alarm_open(&c->alarm, loop, on_alarm, c, e) < 0)
		goto fail;
	return c;
fail:
	http_close(c->http);
	free(c->endpoints);
	free(c);
	return NULL;
}

void etcd_client_close(struct etcd_client *c)
{
	if (c == NULL)
		return;
	while (c->calls != NULL)
		call_free(c, c->calls);
	http_close(c->http);
	alarm_close(&c->alarm);
	auth_close(c);
	free(c->endpoints);
	free(c);
}

struct etcd_call *call_new(
    struct etcd_client *c, const char *path, const json_t *body, struct err *e)
{
	struct etcd_call *call = calloc(1, sizeof(*call));

	if (call != NULL)
		call->body = json_dumps(body, JSON_COMPACT);
	if (call == NULL || call->body == NULL) {
		free(call);
		err_set(e, "out of memory");
		return NULL;
	}
	call->client = c;
	call->path = path;
	call->until = call->wake = MSEC_NEVER;
	call->next = c->calls;
	c->calls = call;
	return call;
}

/*
 * Those about a lease alone need none, so that users and tokens never stand in the way of one that
 * is held. A new one is asked for with a token all the same: without, a wrong password would show
 * only when there is a lease already.
 */
static bool needs_token(const char *path)
{
	return strcmp(path, "/v3/lease/keepalive") != 0;
}

struct etcd_call *etcd_call(struct etcd_client *c, const char *path, json_t *body, msec until,
    bool repeatable, void (*done)(void *ctx, const struct etcd_answer *answer), void *ctx,
    struct err *e)
{
	struct etcd_call *call = call_new(c, path, body, e);

	if (call == NULL)
		return NULL;
	call->until = until;
	call->repeatable = repeatable;
	call->with_token = needs_token(path);
	call->done = done;
	call->ctx = ctx;
	call_begin(call);
	return call;
}

void etcd_call_missed(
    struct etcd_call *call, void (*missed)(void *ctx, const struct etcd_answer *answer))
{
	call->missed = missed;
}

size_t etcd_client_endpoints(const struct etcd_client *c)
{
	return c->n_endpoints;
}

void etcd_cancel(struct etcd_call *call)
{
	call_free(call->client, call);
}
