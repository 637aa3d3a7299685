/*
 * Tokens. etcd gives one for a name and a password, for 70 ms of its time; it holds for a while
 * (300 s without use, unless etcd was told to make signed ones) and at that member alone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/trust.h"
#include "coord/etcd_client_impl.h"

#define PATH "/v3/auth/authenticate"
#define PASSWORD_MAX 4096
#define TURN_POLL 50 /* another process of this machine is asking; how often to look */

bool auth_is_ready(const struct etcd_client *c, size_t at)
{
	const struct endpoint *endpoint = &c->endpoints[at];

	return c->conf->user == NULL || endpoint->token != NULL || endpoint->has_no_auth;
}

static void set_token(struct endpoint *endpoint, char *token, bool has_no_auth)
{
	free(endpoint->token);
	endpoint->token = token;
	endpoint->token_no++;
	endpoint->has_no_auth = has_no_auth;
}

void auth_forget(struct etcd_client *c, size_t at, unsigned int token_no)
{
	/* Another call may have been faster, and then there is a new one already. */
	struct endpoint *endpoint = &c->endpoints[at];

	if (endpoint->token_no != token_no)
		return;
	free(endpoint->refused);
	endpoint->refused = endpoint->token;
	endpoint->token = NULL;
	set_token(endpoint, NULL, false);
}

void auth_open(struct etcd_client *c)
{
	token_shelf_init(&c->shelf, c->conf->run_dir, c->conf->user);
}

void auth_close(struct etcd_client *c)
{
	token_shelf_close(&c->shelf);
	for (size_t i = 0; i < c->n_endpoints; i++) {
		free(c->endpoints[i].token);
		free(c->endpoints[i].refused);
	}
	free(c->auth_body);
}

/* It becomes a header, so nothing may be in it that ends one. */
static bool is_token(const char *text)
{
	if (text == NULL || *text == '\0' || strlen(text) > ETCD_TOKEN_MAX)
		return false;
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text == '\x7f')
			return false;
	}
	return true;
}

/* Tells the calls that want a token how it went. */
static void wake_calls(
    struct etcd_client *c, enum call_state state, enum etcd_code code, const struct err *why)
{
	struct etcd_call *call;

	for (call = c->calls; call != NULL; call = call->next) {
		if (call->state == CALL_WANTS_TOKEN)
			call_set(call, state, code, why);
	}
}

static void take_token(struct etcd_client *c, size_t at, struct etcd_answer *answer)
{
	const json_t *token = json_object_get(answer->body, "token");
	const char *text = json_string_value(token);
	/* No NUL in it either: that would cut it. */
	bool good = is_token(text) && strlen(text) == json_string_length(token);
	char *copy = good ? strdup(text) : NULL;

	if (copy == NULL) {
		answer->code = ETCD_GARBAGE;
		err_set(&answer->e, "%s" PATH ": an answer without a token", c->endpoints[at].url);
		return;
	}
	set_token(&c->endpoints[at], copy, false);
	token_put(&c->shelf, c->endpoints[at].url, copy);
}

/* What a person has to put right. */
static void explain_refusal(const struct etcd_client *c, struct etcd_answer *answer)
{
	if (answer->code != ETCD_INVALID)
		return;
	answer->code = ETCD_BAD_USER;
	err_add(&answer->e,
	    "etcd refuses user \"%.100s\": check coordinator.user and password_file",
	    c->conf->user);
}

static void on_answer(void *ctx, const struct http_answer *http)
{
	struct etcd_client *c = ctx;
	struct etcd_answer answer;
	size_t at = c->auth_at;

	c->auth = NULL;
	free(c->auth_body);
	c->auth_body = NULL;
	answer_read(c, at, PATH, http, &answer);
	c->auth_tried = http->status != 0 ? 0 : c->auth_tried + 1;
	if (answer.code == ETCD_OK)
		take_token(c, at, &answer);
	json_decref(answer.body);
	/* Users that are configured before etcd is told to ask for them do no harm. */
	if (answer.code == ETCD_PRECONDITION) {
		set_token(&c->endpoints[at], NULL, true);
		answer.code = ETCD_OK;
	}
	if (answer.code == ETCD_OK) {
		wake_calls(c, CALL_WANTS_TOKEN, ETCD_OK, &answer.e);
	} else if (etcd_is_passing(&answer) || answer.code == ETCD_GARBAGE) {
		client_endpoint_failed(c, at, &answer.e);
		wake_calls(c, CALL_FAILED, answer.code, &answer.e);
	} else {
		explain_refusal(c, &answer);
		if (answer.code == ETCD_BAD_USER)
			token_put_refusal(&c->shelf, c->endpoints[at].url, &answer.e, clock_now());
		wake_calls(c, CALL_OVER, answer.code, &answer.e);
	}
	token_end_turn(&c->shelf);
}

/* {"name","password"}; read anew each time, so that a changed password needs no reload. */
static char *make_body(const struct conf *conf, struct err *e)
{
	char *password, *text = NULL;
	json_t *body;
	size_t len;

	if (trust_read_secret(conf->password_file, PASSWORD_MAX, &password, &len, e) < 0)
		return NULL;
	password[strcspn(password, "\r\n")] = '\0';
	body = json_pack("{s:s, s:s}", "name", conf->user, "password", password);
	if (body != NULL)
		text = json_dumps(body, JSON_COMPACT);
	if (text == NULL)
		err_set(e, "%s: cannot be used: it is not UTF-8, or memory ran out",
		    conf->password_file);
	json_decref(body);
	free(password);
	return text;
}

/* Whether another process of this machine has asked already; then the calls know. */
static bool use_shelf(struct etcd_client *c, size_t at)
{
	struct endpoint *endpoint = &c->endpoints[at];
	char *token = NULL;
	struct err why;

	switch (
	    token_find(&c->shelf, endpoint->url, endpoint->refused, clock_now(), &token, &why)) {
	case TOKEN_NONE: return false;
	case TOKEN_GOOD:
		if (!is_token(token)) {
			free(token);
			return false;
		}
		set_token(endpoint, token, false);
		wake_calls(c, CALL_WANTS_TOKEN, ETCD_OK, &(struct err){ 0 });
		return true;
	case TOKEN_REFUSED: wake_calls(c, CALL_OVER, ETCD_BAD_USER, &why); return true;
	}
	return false;
}

/* The calls come back by themselves. */
static void wait_for_turn(struct etcd_client *c)
{
	msec soon = clock_now() + client_jitter(TURN_POLL);

	for (struct etcd_call *call = c->calls; call != NULL; call = call->next) {
		if (call->state == CALL_WANTS_TOKEN)
			call->wake = msec_min(call->wake, soon);
	}
	client_rearm(c);
}

/* Until the last doubling has had its chance. */
msec etcd_token_time(const struct conf *conf)
{
	msec time = 0;

	for (unsigned int i = 0; conf->user != NULL && i <= ETCD_DOUBLINGS; i++)
		time += client_attempt_time(i);
	return time;
}

static void ask(struct etcd_client *c, size_t at)
{
	struct etcd_request request = { .url = "" };
	struct err e;

	c->auth_body = make_body(c->conf, &e);
	if (c->auth_body != NULL) {
		const struct etcd_attempt attempt = {
			.at = at,
			.path = PATH,
			.body = c->auth_body,
			/* Passwords cost etcd so much that a crowd has to queue for them. */
			.timeout = client_attempt_time(c->auth_tried),
		};

		request_make(&request, c, &attempt);
		c->auth_at = at;
		c->auth = http_post(c->http, &request.http, on_answer, c, &e);
	}
	if (c->auth != NULL)
		return;
	token_end_turn(&c->shelf);
	free(c->auth_body);
	c->auth_body = NULL;
	wake_calls(c, CALL_OVER, ETCD_BAD_USER, &e);
}

void auth_begin(struct etcd_client *c, size_t at)
{
	if (c->auth != NULL || use_shelf(c, at))
		return;
	if (!token_take_turn(&c->shelf, clock_now())) {
		wait_for_turn(c);
		return;
	}
	/* Whose turn it was before may have left something meanwhile. */
	if (use_shelf(c, at))
		token_end_turn(&c->shelf);
	else
		ask(c, at);
}
