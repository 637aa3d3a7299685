/*
 * coord/etcd_client.c, etcd_watch.c and etcd_auth.c against two servers that fail in all the ways
 * that a real etcd shows only by chance.
 */
#include "fake_test.h"
#include "time_test.h"

#include <sys/stat.h>

#include "coord/etcd_client.h"
#include "coord/etcd_token.h"

#define OK_BODY "{\"header\":{\"revision\":\"5\"}}"
#define CREATED "{\"result\":{\"created\":true}}\n"
#define EVENTS "{\"result\":{\"events\":[{\"kv\":{\"key\":\"L3M=\"}}]}}\n"
#define HUNG 1200   /* one attempt; then the server counts as hung */
#define FAR 3600000 /* until then there is time enough */

static struct ev_loop *loop;
static struct fake a, b; /* the endpoints, in this order */
static char *endpoints[3];
static struct conf conf;
static struct etcd_client *client;
static char password_file[256];
static json_t *question;
static struct err err;

static unsigned ends, created, messages;
static struct etcd_answer last;

static void note_end(void *ctx, const struct etcd_answer *answer)
{
	(void)ctx;
	last = *answer;
	assert_true((answer->body != NULL) == (answer->code == ETCD_OK));
	assert_true(answer->code != ETCD_OK || !answer->unknown);
	assert_true(answer->code == ETCD_OK || answer->e.text[0] != '\0');
	ends++;
}

static void note_created(void *ctx)
{
	(void)ctx;
	created++;
}

static void note_events(void *ctx, json_t *result)
{
	(void)ctx;
	assert_int_equal(json_array_size(json_object_get(result, "events")), 1);
	messages++;
}

static void serve_ok(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_answer(c, 200, OK_BODY);
}

static void serve_nothing(struct fake *f, struct fake_conn *c)
{
	(void)f;
	(void)c;
}

static void open_client(void)
{
	client = etcd_client_open(loop, &conf, &err);
	assert_non_null(client);
}

static int set_up(void **state)
{
	(void)state;
	ends = created = messages = 0;
	memset(&last, 0, sizeof(last));
	loop = ev_loop_new(EVFLAG_AUTO);
	fake_start(&a, loop, serve_ok);
	fake_start(&b, loop, serve_ok);
	memset(&conf, 0, sizeof(conf));
	endpoints[0] = a.url;
	endpoints[1] = b.url;
	conf.endpoints = endpoints;
	question = json_pack("{s:s}", "key", "L3M=");
	open_client();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	etcd_client_close(client);
	client = NULL;
	json_decref(question);
	fake_stop(&a);
	fake_stop(&b);
	ev_loop_destroy(loop);
	unlink(password_file);
	return 0;
}

static struct etcd_call *ask(const char *path, msec time, bool repeatable)
{
	struct etcd_call *call =
	    etcd_call(client, path, question, clock_now() + time, repeatable, note_end, NULL, &err);

	assert_non_null(call);
	return call;
}

static void ask_and_wait(bool repeatable)
{
	unsigned before = ends;

	ask("/v3/kv/range", FAR, repeatable);
	assert_int_equal(ends, before);
	run_until(loop, &ends, before + 1);
}

static void assert_ended(enum etcd_code code, bool unknown, const char *words)
{
	if (last.code != code || last.unknown != unknown || strstr(last.e.text, words) == NULL)
		fail_msg(
		    "ended with code %d, unknown %d: %s", last.code, last.unknown, last.e.text);
}

/* Calls */

static void check_request(struct fake *f, struct fake_conn *c)
{
	assert_int_equal(strncmp(c->head, "POST /v3/kv/range HTTP/1.1\r\n", 28), 0);
	assert_non_null(strstr(c->head, "Grpc-Metadata-hasleader: true\r\n"));
	assert_non_null(strstr(c->head, "Grpc-Timeout: 1100m\r\n"));
	assert_null(strstr(c->head, "Authorization"));
	assert_string_equal(c->body, "{\"key\":\"L3M=\"}");
	serve_ok(f, c);
}

static void test_a_call(void **state)
{
	(void)state;
	a.serve = check_request;
	ask_and_wait(false);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(b.accepted, 0);
}

static void serve_denied(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_answer(c, 403, "{\"code\":7,\"message\":\"permission denied\"}");
}

static void test_what_etcd_says_is_the_answer(void **state)
{
	(void)state;
	a.serve = serve_denied;
	ask_and_wait(true);
	assert_ended(ETCD_DENIED, false, "/v3/kv/range: permission denied");
	assert_int_equal(a.requests, 1);
	assert_int_equal(b.accepted, 0);
}

static void test_the_endpoint_that_worked_is_kept(void **state)
{
	(void)state;
	fake_stop(&a);
	ask_and_wait(false); /* was not sent, so it may go to the next in any case */
	assert_ended(ETCD_OK, false, "");
	fake_listen(&a);
	ask_and_wait(false);
	ask_and_wait(false);
	assert_int_equal(a.accepted, 0);
	assert_int_equal(b.requests, 3);
	assert_int_equal(b.accepted, 1);
}

static void serve_no_leader(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_answer(c, 503, "{\"error\":\"no leader\",\"message\":\"no leader\",\"code\":14}");
}

static void serve_garbage(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_answer(c, 200, "<html>It works!</html>");
}

static void serve_reset(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_reset(c);
}

static void serve_half(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"header\":");
	c->close_after = true;
}

static const struct {
	void (*serve)(struct fake *f, struct fake_conn *c);
	enum etcd_code code;
	const char *words;
} faults[] = {
	{ serve_no_leader, ETCD_UNAVAILABLE, "no leader" },
	{ serve_garbage, ETCD_GARBAGE, "It works!" },
	{ serve_reset, ETCD_UNAVAILABLE, "" },
	{ serve_half, ETCD_UNAVAILABLE, "" },
};
#define N_FAULTS (sizeof(faults) / sizeof(faults[0]))

static void test_a_repeatable_call_goes_on(void **state)
{
	for (size_t i = 0; i < N_FAULTS; i++) {
		tear_down(state);
		set_up(state);
		a.serve = faults[i].serve;
		ask_and_wait(true);
		assert_ended(ETCD_OK, false, "");
		assert_int_equal(a.requests, 1);
		assert_int_equal(b.requests, 1);
	}
}

static void test_any_other_call_ends_as_unknown(void **state)
{
	for (size_t i = 0; i < N_FAULTS; i++) {
		tear_down(state);
		set_up(state);
		a.serve = faults[i].serve;
		ask_and_wait(false);
		assert_ended(faults[i].code, true, faults[i].words);
		assert_int_equal(a.requests, 1);
		assert_int_equal(b.requests, 0);
		ask_and_wait(false);
		assert_ended(ETCD_OK, false, "");
		assert_int_equal(b.requests, 1);
	}
}

static void serve_one_only(struct fake *f, struct fake_conn *c)
{
	if (c->requests == 1)
		serve_ok(f, c);
	else
		fake_reset(c);
}

/* HTTP would send the request again, since the connection was an old one. */
static void test_such_a_call_is_sent_once(void **state)
{
	(void)state;
	a.serve = serve_one_only;
	ask_and_wait(false);
	assert_ended(ETCD_OK, false, "");
	ask_and_wait(false);
	assert_ended(ETCD_UNAVAILABLE, true, "lost");
	assert_int_equal(a.requests, 2);
}

static void test_a_hung_server(void **state)
{
	(void)state;
	a.serve = serve_nothing;
	ask("/v3/kv/range", FAR, true);
	run_until(loop, &a.requests, 1);
	skip_time(HUNG);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(b.requests, 1);
}

static void test_what_was_once_unknown_stays_so(void **state)
{
	(void)state;
	a.serve = serve_reset;
	b.serve = serve_denied;
	ask_and_wait(true);
	assert_ended(ETCD_DENIED, true, "denied");
}

static void test_nobody_answers_in_time(void **state)
{
	(void)state;
	fake_stop(&a);
	fake_stop(&b);
	ask("/v3/kv/range", 2000, true);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_UNAVAILABLE, false, "connect");
}

static void test_nobody_answers_for_long(void **state)
{
	(void)state;
	fake_stop(&a);
	fake_stop(&b);
	ask("/v3/kv/range", FAR, true);
	for (int i = 0; i < 50; i++) {
		ev_run(loop, EVRUN_ONCE);
		skip_time(2000); /* no pause is longer */
	}
	assert_int_equal(ends, 0);
	fake_listen(&b);
	while (ends == 0) {
		ev_run(loop, EVRUN_ONCE);
		skip_time(1);
	}
	assert_ended(ETCD_OK, false, "");
}

static void serve_patiently(struct fake *f, struct fake_conn *c)
{
	if (f->requests == 2 && f == &a) {
		assert_non_null(strstr(c->head, "Grpc-Timeout: 2300m\r\n"));
		serve_ok(f, c);
	}
}

static void test_patience_grows_with_each_round(void **state)
{
	(void)state;
	a.serve = b.serve = serve_patiently;
	ask("/v3/kv/range", FAR, true);
	run_until(loop, &a.requests, 1);
	skip_time(HUNG);
	run_until(loop, &b.requests, 1);
	skip_time(HUNG);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(a.requests, 2);
}

static void test_the_deadline_cuts_an_attempt(void **state)
{
	(void)state;
	a.serve = b.serve = serve_nothing;
	ask("/v3/kv/range", 1000, true);
	run_until(loop, &a.requests, 1);
	skip_time(1000);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_UNAVAILABLE, true, "no answer within");
	assert_null(strstr(last.e.text, "1200"));
	assert_int_equal(b.requests, 0);
}

static void test_cancelled_calls_say_nothing(void **state)
{
	(void)state;
	a.serve = serve_nothing;
	etcd_cancel(ask("/v3/kv/range", FAR, true));
	etcd_cancel(ask("/v3/kv/range", FAR, true));
	b.serve = serve_nothing;
	ask("/v3/kv/range", FAR, true);
	run_until(loop, &a.requests, 1);
	assert_int_equal(ends, 0);
}

static void close_at_end(void *ctx, const struct etcd_answer *answer)
{
	note_end(ctx, answer);
	etcd_client_close(client);
	client = NULL;
}

static void test_the_client_may_be_closed_by_an_answer(void **state)
{
	(void)state;
	ask("/v3/kv/range", FAR, true);
	assert_non_null(etcd_call(
	    client, "/v3/kv/range", question, clock_now() + FAR, true, close_at_end, NULL, &err));
	ask("/v3/kv/range", FAR, true);
	while (client != NULL)
		ev_run(loop, EVRUN_ONCE);
	run_until(loop, &a.gone, 3);
	assert_true(ends <= 2);
}

/* Watches */

static struct fake_conn *stream;

static void serve_watch(struct fake *f, struct fake_conn *c)
{
	if (strncmp(c->head, "POST /v3/watch ", 15) != 0) {
		serve_ok(f, c);
		return;
	}
	assert_non_null(strstr(c->head, "Grpc-Metadata-hasleader: true\r\n"));
	assert_null(strstr(c->head, "Grpc-Timeout")); /* it would end the watch */
	stream = c;
	fake_send(c, FAKE_STREAM);
	fake_chunk(c, CREATED);
}

static struct etcd_call *watch_with(void (*on_events)(void *ctx, json_t *result))
{
	const struct etcd_watch_hooks hooks = { note_created, on_events, note_end };
	struct etcd_call *call = etcd_watch(client, question, &hooks, NULL, &err);

	assert_non_null(call);
	return call;
}

static struct etcd_call *watch_at_a(void)
{
	struct etcd_call *call;

	a.serve = serve_watch;
	call = watch_with(note_events);
	run_until(loop, &created, 1);
	return call;
}

static void test_a_watch(void **state)
{
	struct etcd_call *watch = watch_at_a();

	(void)state;
	fake_chunk(stream, EVENTS EVENTS);
	run_until(loop, &messages, 2);
	fake_chunk(stream, "{\"result\":{}}\n" EVENTS);
	run_until(loop, &messages, 3);
	etcd_cancel(watch);
	run_until(loop, &a.gone, 1);
	assert_int_equal(ends, 0);
}

static void test_ends_of_a_watch(void **state)
{
	static const struct {
		const char *text; /* NULL: the connection is lost */
		enum etcd_code code;
		const char *words;
		bool moves; /* to the next endpoint */
	} cases[] = {
		{ NULL, ETCD_UNAVAILABLE, "/v3/watch: ", true },
		{ "", ETCD_UNAVAILABLE, "has ended the answer", true },
		{ "{\"error\":{\"grpc_code\":14,\"message\":\"no leader\"}}\n", ETCD_UNAVAILABLE,
		    "no leader", true },
		{ "{\"result\":{\"canceled\":true,\"compact_revision\":\"7\"}}\n", ETCD_COMPACTED,
		    "compacted", false },
		{ "garbage\n", ETCD_GARBAGE, "not JSON", true },
		{ CREATED, ETCD_GARBAGE, "acknowledged twice", true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tear_down(state);
		set_up(state);
		watch_at_a();
		if (cases[i].text != NULL)
			fake_chunk(stream, cases[i].text);
		else
			fake_reset(stream);
		run_until(loop, &ends, 1);
		assert_ended(cases[i].code, last.unknown, cases[i].words);
		ask_and_wait(false);
		assert_int_equal(b.requests, cases[i].moves ? 1 : 0);
	}
}

static void serve_events_first(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_send(c, FAKE_STREAM);
	fake_chunk(c, EVENTS);
}

static void test_events_without_acknowledgement(void **state)
{
	(void)state;
	a.serve = serve_events_first;
	watch_with(note_events);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_GARBAGE, true, "before the acknowledgement");
	assert_int_equal(messages, 0);
}

static void test_a_watch_that_is_not_acknowledged(void **state)
{
	(void)state;
	a.serve = serve_nothing;
	watch_with(note_events);
	run_until(loop, &a.requests, 1);
	skip_time(HUNG);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_UNAVAILABLE, true, "no answer within");
	assert_int_equal(created, 0);
}

static void serve_refused_watch(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_answer(c, 500, "{\"error\":\"invalid character\",\"message\":\"invalid\",\"code\":3}");
}

static void test_a_watch_that_is_refused(void **state)
{
	(void)state;
	a.serve = serve_refused_watch;
	watch_with(note_events);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_INVALID, false, "invalid");
}

/* A stopped server: the stream just stays silent, and only other calls show it. */
static void test_a_call_without_an_answer_ends_the_watch(void **state)
{
	(void)state;
	watch_at_a();
	a.serve = serve_nothing;
	ask("/v3/lease/keepalive", FAR, true);
	run_until(loop, &a.requests, 2);
	skip_time(HUNG);
	run_until(loop, &ends, 2);
	assert_int_equal(b.requests, 1);
	run_until(loop, &a.gone, 2);
}

static void test_answers_keep_a_watch(void **state)
{
	(void)state;
	watch_at_a();
	for (unsigned i = 1; i <= 10; i++) {
		skip_time(5000);
		ask_and_wait(true);
		ev_run(loop, EVRUN_NOWAIT);
	}
	assert_int_equal(a.requests, 1 + 10);
	assert_int_equal(a.gone, 0);
	assert_int_equal(b.accepted, 0);
}

/* What the servers have written is in our socket at once, so this is all that can happen now. */
static void settle(void)
{
	for (int i = 0; i < 10; i++)
		ev_run(loop, EVRUN_NOWAIT);
}

static void check_probe(struct fake *f, struct fake_conn *c)
{
	assert_int_equal(strncmp(c->head, "POST /v3/maintenance/status ", 28), 0);
	serve_ok(f, c);
}

static void test_without_answers_a_question_is_asked(void **state)
{
	(void)state;
	watch_at_a();
	a.serve = check_probe;
	for (unsigned i = 1; i <= 5; i++) {
		skip_time(10000);
		run_until(loop, &a.requests, 1 + i);
		settle();
	}
	fake_chunk(stream, EVENTS);
	run_until(loop, &messages, 1);
	assert_int_equal(ends, 0);
	a.serve = serve_nothing;
	skip_time(10000);
	run_until(loop, &a.requests, 7);
	skip_time(HUNG);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_UNAVAILABLE, false, "/v3/maintenance/status: no answer");
}

/* The question was put to an endpoint that has failed meanwhile, and says nothing of the next. */
static void test_a_late_question_hurts_nobody(void **state)
{
	(void)state;
	watch_at_a();
	a.serve = serve_nothing;
	skip_time(10000);
	run_until(loop, &a.requests, 2);
	a.serve = serve_reset;
	ask("/v3/kv/range", FAR, true);
	run_until(loop, &ends, 2); /* of the watch and of the call */
	skip_time(HUNG);
	settle();
	ask_and_wait(true);
	assert_int_equal(b.requests, 2);
	assert_int_equal(a.requests, 3);
}

static void skip_half_an_hour(void)
{
	a.serve = check_probe;
	for (int i = 0; i < 3; i++) {
		skip_time(600000);
		settle();
	}
}

static void test_signs_of_life_keep_a_stream(void **state)
{
	(void)state;
	watch_at_a();
	a.serve = check_probe;
	for (int i = 0; i < 10; i++) {
		skip_time(600000);
		fake_chunk(stream, "{\"result\":{\"header\":{}}}\n" EVENTS);
		run_until(loop, &messages, (unsigned)i + 1);
		settle();
	}
	assert_int_equal(ends, 0);
	skip_half_an_hour();
	run_until(loop, &ends, 1);
	assert_ended(ETCD_DEADLINE, false, "silent");
	run_until(loop, &a.gone, 1);
}

static void close_at_event(void *ctx, json_t *result)
{
	note_events(ctx, result);
	etcd_client_close(client);
	client = NULL;
}

static void test_an_event_may_close_the_client(void **state)
{
	(void)state;
	a.serve = serve_watch;
	watch_with(close_at_event);
	run_until(loop, &created, 1);
	fake_chunk(stream, EVENTS EVENTS);
	run_until(loop, &a.gone, 1);
	assert_int_equal(messages, 1);
	assert_int_equal(ends, 0);
}

/* Users */

static char user[] = "me";
static char token[64]; /* the one that is good now */
static unsigned authenticated;

static void serve_users(struct fake *f, struct fake_conn *c)
{
	char header[96], body[96];

	if (strncmp(c->head, "POST /v3/auth/authenticate ", 27) == 0) {
		assert_string_equal(c->body, "{\"name\":\"me\",\"password\":\"se cret\"}");
		assert_null(strstr(c->head, "Authorization"));
		snprintf(token, sizeof(token), "tok.%u", ++authenticated);
		snprintf(body, sizeof(body), "{\"header\":{},\"token\":\"%s\"}", token);
		fake_answer(c, 200, body);
		return;
	}
	snprintf(header, sizeof(header), "Authorization: %s\r\n", token);
	if (token[0] != '\0' && strstr(c->head, header) != NULL)
		serve_watch(f, c);
	else if (strstr(c->head, "Authorization: ") != NULL)
		fake_answer(c, 401, "{\"code\":16,\"message\":\"invalid auth token\"}");
	else
		fake_answer(c, 400, "{\"code\":3,\"message\":\"etcdserver: user name is empty\"}");
}

static void write_password(const char *text)
{
	FILE *f = fopen(password_file, "we");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int set_up_users(void **state)
{
	const char *tmp = getenv("TMPDIR");

	if (set_up(state) != 0)
		return -1;
	snprintf(password_file, sizeof(password_file), "%s/graceful-password-XXXXXX",
	    tmp != NULL && *tmp == '/' ? tmp : "/tmp");
	close(mkstemp(password_file));
	write_password("se cret\nsecond line\n");
	conf.user = user;
	conf.password_file = password_file;
	a.serve = serve_users;
	b.serve = serve_users;
	token[0] = '\0';
	authenticated = 0;
	return 0;
}

static void test_a_token_is_got_once(void **state)
{
	(void)state;
	ask("/v3/kv/range", FAR, false);
	ask("/v3/kv/txn", FAR, false);
	run_until(loop, &ends, 2);
	ask_and_wait(false);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(authenticated, 1);
	assert_int_equal(a.requests, 4);
}

static void test_an_expired_token_is_replaced(void **state)
{
	(void)state;
	ask_and_wait(false);
	strcpy(token, "another");
	ask("/v3/kv/range", FAR, false);
	ask("/v3/kv/txn", FAR, false);
	run_until(loop, &ends, 3);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(authenticated, 2);
}

static void serve_no_token_good(struct fake *f, struct fake_conn *c)
{
	if (strncmp(c->head, "POST /v3/auth/authenticate ", 27) == 0)
		serve_users(f, c);
	else
		fake_answer(c, 401, "{\"code\":16,\"message\":\"invalid auth token\"}");
}

static struct fake_conn *held;

static void hold_txns(struct fake *f, struct fake_conn *c)
{
	if (strncmp(c->head, "POST /v3/kv/txn ", 16) == 0 && held == NULL)
		held = c;
	else
		serve_users(f, c);
}

/* The second call learns late that the token has expired which the first has replaced. */
static void test_a_new_token_is_not_thrown_away(void **state)
{
	(void)state;
	held = NULL;
	a.serve = hold_txns;
	ask_and_wait(false);
	strcpy(token, "another");
	ask("/v3/kv/txn", FAR, false);
	run_until(loop, &a.requests, 3);
	ask_and_wait(false);
	fake_answer(held, 401, "{\"code\":16,\"message\":\"invalid auth token\"}");
	run_until(loop, &ends, 3);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(authenticated, 2);
}

static void test_but_once_only(void **state)
{
	(void)state;
	a.serve = serve_no_token_good;
	ask_and_wait(true);
	assert_ended(ETCD_BAD_TOKEN, false, "invalid auth token");
	assert_int_equal(authenticated, 2);
	assert_int_equal(a.requests, 4);
}

static void test_each_endpoint_has_its_token(void **state)
{
	(void)state;
	ask_and_wait(false);
	fake_stop(&a);
	ask_and_wait(true);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(authenticated, 2);
	assert_int_equal(b.requests, 2);
}

static void serve_without_users(struct fake *f, struct fake_conn *c)
{
	if (strncmp(c->head, "POST /v3/auth/authenticate ", 27) == 0)
		fake_answer(c, 412, "{\"code\":9,\"message\":\"authentication is not enabled\"}");
	else
		serve_ok(f, c);
}

static void test_users_may_be_switched_on_later(void **state)
{
	(void)state;
	a.serve = serve_without_users;
	ask_and_wait(false);
	ask_and_wait(false);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(a.requests, 3);
	a.serve = serve_users;
	ask_and_wait(false);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(authenticated, 1);
	assert_int_equal(a.requests, 6);
}

static void serve_wrong_password(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_answer(c, 400, "{\"code\":3,\"message\":\"authentication failed\"}");
}

static void test_a_wrong_password(void **state)
{
	(void)state;
	a.serve = serve_wrong_password;
	ask("/v3/kv/txn", FAR, true);
	watch_with(note_events);
	run_until(loop, &ends, 2);
	assert_ended(ETCD_BAD_USER, false, "refuses user \"me\"");
	assert_non_null(strstr(last.e.text, "authentication failed"));
	assert_int_equal(a.requests, 1);
}

static void test_a_missing_password_file(void **state)
{
	(void)state;
	unlink(password_file);
	ask_and_wait(true);
	assert_ended(ETCD_BAD_USER, false, password_file);
	write_password("se cret");
	assert_int_equal(chmod(password_file, 0640), 0);
	ask_and_wait(true);
	assert_ended(ETCD_BAD_USER, false, "is open to others than its owner (mode 0640)");
	assert_int_equal(chmod(password_file, 0600), 0);
	ask_and_wait(true);
	assert_ended(ETCD_OK, false, "");
}

static void serve_bad_token(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_answer(c, 200, "{\"token\":\"x\\r\\nEvil: header\"}");
}

static void test_a_token_must_be_one(void **state)
{
	(void)state;
	a.serve = serve_bad_token;
	ask_and_wait(true);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(b.requests, 2);
}

static void serve_leases_only(struct fake *f, struct fake_conn *c)
{
	assert_null(strstr(c->head, "Authorization"));
	if (strncmp(c->head, "POST /v3/lease/keepalive ", 25) == 0)
		serve_ok(f, c);
}

static void test_leases_do_not_wait_for_a_token(void **state)
{
	(void)state;
	a.serve = serve_leases_only;
	ask("/v3/kv/range", FAR, true);
	run_until(loop, &a.requests, 1); /* authenticate, which hangs */
	ask("/v3/lease/keepalive", FAR, true);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(a.requests, 2);
	assert_int_equal(b.requests, 0);
	skip_time(HUNG);
	run_until(loop, &ends, 2);
	assert_ended(ETCD_OK, false, "");
}

/* ---- The tokens of several processes of one machine ---- */

static char run_dir[192];

static int set_up_shelf(void **state)
{
	const char *tmp = getenv("TMPDIR");

	if (set_up_users(state) != 0)
		return -1;
	snprintf(run_dir, sizeof(run_dir), "%s/graceful-shelf-XXXXXX",
	    tmp != NULL && *tmp == '/' ? tmp : "/tmp");
	assert_non_null(mkdtemp(run_dir));
	conf.run_dir = run_dir;
	etcd_client_close(client);
	client = etcd_client_open(loop, &conf, &err);
	assert_non_null(client);
	return 0;
}

static int tear_down_shelf(void **state)
{
	char path[224];

	snprintf(path, sizeof(path), "%s/etcd-token", run_dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/etcd-token.lock", run_dir);
	unlink(path);
	rmdir(run_dir);
	return tear_down(state);
}

/* The next process: it knows nothing but what lies in run_dir. */
static struct etcd_client *swap_client(struct etcd_client *next)
{
	struct etcd_client *before = client;

	client = next != NULL ? next : etcd_client_open(loop, &conf, &err);
	assert_non_null(client);
	return before;
}

static void test_a_token_is_shared(void **state)
{
	struct etcd_client *first;

	(void)state;
	ask_and_wait(false);
	assert_int_equal(authenticated, 1);
	first = swap_client(NULL);
	ask_and_wait(false);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(authenticated, 1);
	/* It has expired: who notices first gets a new one, the other one finds that. */
	strcpy(token, "another");
	ask_and_wait(false);
	assert_int_equal(authenticated, 2);
	first = swap_client(first);
	ask_and_wait(false);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(authenticated, 2);
	etcd_client_close(first);
}

static void test_one_asks_at_a_time(void **state)
{
	struct token_shelf other;

	(void)state;
	token_shelf_init(&other, run_dir, user);
	assert_true(token_take_turn(&other, 1));
	ask("/v3/kv/range", FAR, false);
	for (int i = 0; i < 3; i++)
		ev_run(loop, EVRUN_ONCE);
	assert_int_equal(authenticated, 0);
	snprintf(token, sizeof(token), "theirs");
	token_put(&other, a.url, token);
	token_end_turn(&other);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(authenticated, 0);
}

static void test_but_not_for_ever(void **state)
{
	struct token_shelf other;

	(void)state;
	token_shelf_init(&other, run_dir, user);
	assert_true(token_take_turn(&other, 1));
	ask("/v3/kv/range", FAR, false);
	skip_time(5000);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_OK, false, "");
	assert_int_equal(authenticated, 1);
	token_shelf_close(&other);
}

static void test_a_refusal_is_shared_for_a_moment(void **state)
{
	struct etcd_client *first;

	(void)state;
	a.serve = serve_wrong_password;
	b.serve = serve_wrong_password;
	ask_and_wait(false);
	assert_ended(ETCD_BAD_USER, false, "refuses user");
	assert_int_equal(a.requests, 1);
	first = swap_client(NULL);
	ask_and_wait(false);
	assert_ended(ETCD_BAD_USER, false, "refuses user");
	assert_int_equal(a.requests, 1);
	skip_time(3000);
	a.serve = serve_users;
	ask_and_wait(false);
	assert_ended(ETCD_OK, false, "");
	etcd_client_close(first);
}

static void test_a_shelf_may_hold_anything(void **state)
{
	static const char *const texts[] = { "", "x", "[]", "{\"u\":1}" };
	char path[224];

	(void)state;
	snprintf(path, sizeof(path), "%s/etcd-token", run_dir);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		FILE *f = fopen(path, "we");

		assert_non_null(f);
		fputs(texts[i], f);
		assert_int_equal(fclose(f), 0);
		etcd_client_close(swap_client(NULL));
		ask_and_wait(false);
		assert_ended(ETCD_OK, false, "");
		assert_int_equal(authenticated, i + 1);
	}
}

static void test_a_hung_authentication_and_a_deadline(void **state)
{
	(void)state;
	a.serve = b.serve = serve_nothing;
	ask("/v3/kv/range", 1000, true);
	run_until(loop, &a.requests, 1);
	skip_time(1000);
	run_until(loop, &ends, 1);
	assert_ended(ETCD_DEADLINE, false, "no token in time");
}

static void serve_canceled_watch(struct fake *f, struct fake_conn *c)
{
	if (f->requests != 2) {
		serve_users(f, c);
		return;
	}
	fake_send(c, FAKE_STREAM);
	fake_chunk(c,
	    "{\"result\":{\"created\":true,\"canceled\":true,\"cancel_reason\":\"rpc error: "
	    "code = Unauthenticated desc = etcdserver: invalid auth token\"}}\n");
}

static void test_a_watch_renews_its_token(void **state)
{
	(void)state;
	a.serve = serve_canceled_watch;
	watch_with(note_events);
	run_until(loop, &created, 1);
	assert_int_equal(ends, 0);
	assert_int_equal(authenticated, 2);
	fake_chunk(stream, EVENTS);
	run_until(loop, &messages, 1);
}

/* It may have missed something by then, so the caller has to know. */
static void test_but_not_once_it_is_open(void **state)
{
	(void)state;
	watch_with(note_events);
	run_until(loop, &created, 1);
	fake_chunk(stream, "{\"result\":{\"canceled\":true,\"cancel_reason\":\"code = "
			   "Unauthenticated\"}}\n");
	run_until(loop, &ends, 1);
	assert_ended(ETCD_BAD_TOKEN, false, "Unauthenticated");
	assert_int_equal(created, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
#define USER(name) cmocka_unit_test_setup_teardown(test_##name, set_up_users, tear_down)
#define SHELF(name) cmocka_unit_test_setup_teardown(test_##name, set_up_shelf, tear_down_shelf)
	const struct CMUnitTest tests[] = {
		TEST(a_call),
		TEST(what_etcd_says_is_the_answer),
		TEST(the_endpoint_that_worked_is_kept),
		TEST(a_repeatable_call_goes_on),
		TEST(any_other_call_ends_as_unknown),
		TEST(such_a_call_is_sent_once),
		TEST(a_hung_server),
		TEST(what_was_once_unknown_stays_so),
		TEST(nobody_answers_in_time),
		TEST(nobody_answers_for_long),
		TEST(patience_grows_with_each_round),
		TEST(the_deadline_cuts_an_attempt),
		TEST(cancelled_calls_say_nothing),
		TEST(the_client_may_be_closed_by_an_answer),
		TEST(a_watch),
		TEST(ends_of_a_watch),
		TEST(events_without_acknowledgement),
		TEST(a_watch_that_is_not_acknowledged),
		TEST(a_watch_that_is_refused),
		TEST(a_call_without_an_answer_ends_the_watch),
		TEST(answers_keep_a_watch),
		TEST(without_answers_a_question_is_asked),
		TEST(a_late_question_hurts_nobody),
		TEST(signs_of_life_keep_a_stream),
		TEST(an_event_may_close_the_client),
		USER(a_token_is_got_once),
		USER(an_expired_token_is_replaced),
		USER(a_new_token_is_not_thrown_away),
		USER(but_once_only),
		USER(each_endpoint_has_its_token),
		USER(users_may_be_switched_on_later),
		USER(a_wrong_password),
		USER(a_missing_password_file),
		USER(a_token_must_be_one),
		USER(leases_do_not_wait_for_a_token),
		USER(a_hung_authentication_and_a_deadline),
		USER(a_watch_renews_its_token),
		USER(but_not_once_it_is_open),
		SHELF(a_token_is_shared),
		SHELF(one_asks_at_a_time),
		SHELF(but_not_for_ever),
		SHELF(a_refusal_is_shared_for_a_moment),
		SHELF(a_shelf_may_hold_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
