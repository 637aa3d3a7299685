/*
 * net/http.h against a server that behaves in every way it should not.
 */
#include "fake_test.h"

#include <fcntl.h>
#include <netdb.h>

#include "net/http.h"

#define SOON 60000 /* a time-out that is not to happen */
#define MAX 1000

static struct ev_loop *loop;
static struct http *http;
static struct fake server;
static struct err err;

static unsigned ends; /* calls of the hook */
static struct http_answer last;
static char last_body[4096];
static unsigned lines;
static char all_lines[4096];

static void note_end(void *ctx, const struct http_answer *answer)
{
	assert_true(strlen(answer->body) <= answer->len);
	last = *answer;
	assert_true(answer->len < sizeof(last_body));
	memcpy(last_body, answer->body, answer->len + 1);
	last.body = last_body;
	(*(unsigned *)ctx)++;
}

static void note_line(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	assert_int_equal(strlen(text), len);
	lines++;
	strcat(all_lines, text);
	strcat(all_lines, "|");
}

static void serve_nothing(struct fake *f, struct fake_conn *c)
{
	(void)f;
	(void)c;
}

static void serve_ok(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_answer(c, 200, "{\"ok\":1}");
}

static int set_up(void **state)
{
	const struct http_tls tls = { 0 };

	(void)state;
	ends = lines = 0;
	all_lines[0] = last_body[0] = '\0';
	memset(&last, 0, sizeof(last));
	loop = ev_loop_new(EVFLAG_AUTO);
	fake_start(&server, loop, serve_nothing);
	http = http_open(loop, &tls, &err);
	return http != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	http_close(http);
	fake_stop(&server);
	ev_loop_destroy(loop);
	return 0;
}

static struct http_request request_to(const char *url, msec timeout)
{
	return (
	    struct http_request){ .url = url, .body = "{\"q\":1}", .timeout = timeout, .max = MAX };
}

static struct http_call *post_request(const struct http_request *request)
{
	struct http_call *call = http_post(http, request, note_end, &ends, &err);

	assert_non_null(call);
	return call;
}

static struct http_call *post(msec timeout)
{
	struct http_request request = request_to(server.url, timeout);

	return post_request(&request);
}

static struct http_call *stream(msec timeout)
{
	struct http_request request = request_to(server.url, timeout);
	struct http_call *call = http_stream(http, &request, note_line, note_end, &ends, &err);

	assert_non_null(call);
	return call;
}

static void assert_failed(const char *why)
{
	assert_int_equal(last.status, 0);
	assert_int_equal(last.len, 0);
	if (strstr(last.e.text, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", last.e.text, why);
}

/* Requests */

static void check_request(struct fake *f, struct fake_conn *c)
{
	(void)f;
	assert_int_equal(strncmp(c->head, "POST /v3/x HTTP/1.1\r\n", 21), 0);
	assert_non_null(strstr(c->head, "Content-Type: application/json\r\n"));
	assert_non_null(strstr(c->head, "A-Header: of mine\r\n"));
	assert_string_equal(c->body, "{\"q\":1}");
	fake_answer(c, 201, "{\"ok\":1}");
}

static void serve_without_expectations(struct fake *f, struct fake_conn *c)
{
	assert_null(strstr(c->head, "Expect:"));
	assert_int_equal(strlen(c->body), 2 << 20);
	serve_ok(f, c);
}

static void test_a_request_and_its_answer(void **state)
{
	const char *const headers[] = { "A-Header: of mine", NULL };
	struct http_request request;
	char url[128];

	(void)state;
	server.serve = check_request;
	snprintf(url, sizeof(url), "%s/v3/x", server.url);
	request = request_to(url, SOON);
	request.headers = headers;
	post_request(&request);
	assert_int_equal(ends, 0);
	url[0] = 'x';
	run_until(loop, &ends, 1);
	assert_int_equal(last.status, 201);
	assert_true(last.sent);
	assert_string_equal(last.body, "{\"ok\":1}");
}

/* 100-continue would cost a round trip, and a second where the server does not know it. */
static void test_large_requests_go_at_once(void **state)
{
	struct http_request request = request_to(server.url, SOON);
	char *body = malloc((2 << 20) + 1);

	(void)state;
	assert_non_null(body);
	memset(body, 'x', 2 << 20);
	body[2 << 20] = '\0';
	request.body = body;
	server.serve = serve_without_expectations;
	post_request(&request);
	run_until(loop, &ends, 1);
	assert_int_equal(last.status, 200);
	free(body);
}

static void test_connections_are_used_again(void **state)
{
	(void)state;
	server.serve = serve_ok;
	for (unsigned i = 1; i <= 5; i++) {
		post(SOON);
		run_until(loop, &ends, i);
	}
	assert_int_equal(server.accepted, 1);
	assert_int_equal(server.requests, 5);
}

static void test_sockets_are_close_on_exec(void **state)
{
	struct sockaddr_in addr = { 0 };
	int found = 0;

	(void)state;
	server.serve = serve_ok;
	post(SOON);
	run_until(loop, &ends, 1);
	for (int fd = 3; fd < 256; fd++) {
		socklen_t len = sizeof(addr);

		if (getpeername(fd, (struct sockaddr *)&addr, &len) < 0 ||
		    addr.sin_family != AF_INET || addr.sin_port != htons((uint16_t)server.port))
			continue;
		found++;
		assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	}
	assert_int_equal(found, 1);
}

static void redirect(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_send(c, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
}

static void test_redirects_are_not_followed(void **state)
{
	(void)state;
	server.serve = redirect;
	post(SOON);
	run_until(loop, &ends, 1);
	assert_int_equal(last.status, 302);
	assert_int_equal(server.requests, 1);
}

static void test_proxies_of_the_environment_are_not_used(void **state)
{
	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	server.serve = serve_ok;
	post(SOON);
	run_until(loop, &ends, 1);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	assert_int_equal(last.status, 200);
}

static void test_only_http_is_spoken(void **state)
{
	struct http_request request = request_to("file:///etc/hostname", SOON);

	(void)state;
	post_request(&request);
	run_until(loop, &ends, 1);
	assert_failed("file");
	assert_false(last.sent);
}

/* Faults */

static void test_nobody_listens(void **state)
{
	(void)state;
	fake_stop(&server);
	post(SOON);
	run_until(loop, &ends, 1);
	assert_failed("connect");
	assert_false(last.sent);
}

static void test_no_answer(void **state)
{
	(void)state;
	post(2000); /* time enough to send it, on any machine */
	run_until(loop, &ends, 1);
	assert_failed("no answer within 2000 ms");
	assert_true(last.sent);
	assert_int_equal(server.requests, 1);
}

static void serve_half(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half\":");
}

static void test_half_an_answer_in_time_is_none(void **state)
{
	(void)state;
	server.serve = serve_half;
	post(50);
	run_until(loop, &ends, 1);
	assert_failed("no answer within");
}

static void cut_off(struct fake *f, struct fake_conn *c)
{
	serve_half(f, c);
	c->close_after = true;
}

static void test_a_cut_answer_is_none(void **state)
{
	(void)state;
	server.serve = cut_off;
	post(SOON);
	run_until(loop, &ends, 1);
	assert_failed("");
	assert_true(last.sent);
}

static void serve_garbage(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_send(c, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
	c->close_after = true;
}

static void test_another_protocol(void **state)
{
	(void)state;
	server.serve = serve_garbage;
	post(SOON);
	run_until(loop, &ends, 1);
	assert_failed("HTTP");
}

static size_t body_size;

static void serve_much(struct fake *f, struct fake_conn *c)
{
	char *body = malloc(body_size + 1);

	(void)f;
	assert_non_null(body);
	memset(body, 'x', body_size);
	body[body_size] = '\0';
	fake_answer(c, 200, body);
	free(body);
}

static void test_answers_are_bounded(void **state)
{
	(void)state;
	server.serve = serve_much;
	body_size = MAX;
	post(SOON);
	run_until(loop, &ends, 1);
	assert_int_equal(last.len, MAX);
	body_size = MAX + 1;
	post(SOON);
	run_until(loop, &ends, 2);
	assert_failed("too long");
	body_size = 4 << 20;
	post(SOON);
	run_until(loop, &ends, 3);
	assert_failed("too long");
}

static void serve_headers(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_send(c, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 70; i++) {
		char line[1025];

		memset(line, 'x', 1024);
		line[1] = ':';
		memcpy(line + 1022, "\r\n", 3);
		fake_send(c, line);
	}
}

static void test_headers_are_bounded(void **state)
{
	(void)state;
	server.serve = serve_headers;
	post(SOON);
	run_until(loop, &ends, 1);
	assert_failed("header is too long");
}

/* The connection was idle, and the server goes without a word when the next request comes. */
static void serve_once(struct fake *f, struct fake_conn *c)
{
	if (c->requests == 1)
		serve_ok(f, c);
	else
		fake_reset(c);
}

static void test_a_stale_connection_is_replaced(void **state)
{
	(void)state;
	server.serve = serve_once;
	post(SOON);
	run_until(loop, &ends, 1);
	post(SOON);
	run_until(loop, &ends, 2);
	assert_int_equal(last.status, 200);
	assert_int_equal(server.requests, 3);
}

static void test_but_not_for_what_must_not_arrive_twice(void **state)
{
	struct http_request request = request_to(server.url, SOON);

	(void)state;
	request.once = true;
	server.serve = serve_once;
	post_request(&request);
	run_until(loop, &ends, 1);
	assert_int_equal(last.status, 200);
	post_request(&request);
	run_until(loop, &ends, 2);
	assert_failed("connection was lost");
	assert_true(last.sent);
	assert_int_equal(server.requests, 2);
}

/* Nor may it seem that nothing was sent, because the second connection was refused. */
static void serve_and_die(struct fake *f, struct fake_conn *c)
{
	if (c->requests == 1)
		serve_ok(f, c);
	else
		fake_stop(f);
}

static void test_what_was_sent_first_counts(void **state)
{
	(void)state;
	server.serve = serve_and_die;
	post(SOON);
	run_until(loop, &ends, 1);
	post(SOON);
	run_until(loop, &ends, 2);
	assert_failed("");
	assert_true(last.sent);
}

/* A resolver that hangs, as it does when the name server is gone. */
static int resolver[2];
static unsigned resolver_called;

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int getaddrinfo(
    const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	char byte;

	(void)node;
	(void)service;
	(void)hints;
	*result = NULL;
	__atomic_store_n(&resolver_called, 1, __ATOMIC_SEQ_CST);
	while (read(resolver[0], &byte, 1) < 0 && errno == EINTR)
		;
	__atomic_store_n(&resolver_called, 2, __ATOMIC_SEQ_CST);
	return EAI_AGAIN;
}

static void test_a_hung_lookup_does_not_hang_the_loop(void **state)
{
	struct http_request request = request_to("http://etcd.invalid:1", 2000);

	(void)state;
	assert_int_equal(pipe2(resolver, O_CLOEXEC), 0);
	post_request(&request);
	run_until(loop, &ends, 1);
	assert_failed("no answer within 2000 ms");
	assert_false(last.sent);
	assert_int_equal(__atomic_load_n(&resolver_called, __ATOMIC_SEQ_CST), 1);
	/* The thread goes by itself; not before the process does, or its memory is missed. */
	close(resolver[1]);
	while (__atomic_load_n(&resolver_called, __ATOMIC_SEQ_CST) != 2)
		ev_run(loop, EVRUN_NOWAIT);
}

/* Streams */

static struct fake_conn *streaming;

static void serve_stream(struct fake *f, struct fake_conn *c)
{
	(void)f;
	streaming = c;
	fake_send(c, FAKE_STREAM);
	fake_chunk(c, "one\n");
}

static void test_lines_come_as_they_are_sent(void **state)
{
	(void)state;
	server.serve = serve_stream;
	stream(SOON);
	run_until(loop, &lines, 1);
	fake_chunk(streaming, "two\nthr");
	run_until(loop, &lines, 2);
	fake_chunk(streaming, "e");
	fake_chunk(streaming, "e\n\nfive\n");
	run_until(loop, &lines, 5);
	assert_string_equal(all_lines, "one|two|three||five|");
	assert_int_equal(ends, 0);
}

static void test_last_words_need_no_newline(void **state)
{
	(void)state;
	server.serve = serve_stream;
	stream(SOON);
	run_until(loop, &lines, 1);
	fake_chunk(streaming, "last words");
	fake_chunk(streaming, "");
	run_until(loop, &ends, 1);
	assert_string_equal(all_lines, "one|last words|");
	assert_int_equal(last.status, 200);
	assert_int_equal(last.len, 0);
}

static void test_a_cut_line_is_none(void **state)
{
	(void)state;
	server.serve = serve_stream;
	stream(SOON);
	run_until(loop, &lines, 1);
	fake_chunk(streaming, "two\nhal");
	streaming->close_after = true;
	run_until(loop, &ends, 1);
	assert_string_equal(all_lines, "one|two|");
	assert_failed("");
}

static void test_lines_are_bounded(void **state)
{
	char line[MAX + 3];

	(void)state;
	memset(line, 'x', sizeof(line));
	server.serve = serve_stream;
	stream(SOON);
	run_until(loop, &lines, 1);
	line[MAX] = '\n';
	line[MAX + 1] = '\0';
	fake_chunk(streaming, line);
	run_until(loop, &lines, 2);
	memset(line, 'x', MAX + 1);
	fake_chunk(streaming, line);
	run_until(loop, &ends, 1);
	assert_failed("too long");
	assert_int_equal(lines, 2);
}

static void test_so_are_lines_that_come_whole(void **state)
{
	char line[MAX + 3];

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line + MAX + 1, "\n", 2);
	server.serve = serve_stream;
	stream(SOON);
	run_until(loop, &lines, 1);
	fake_chunk(streaming, line);
	run_until(loop, &ends, 1);
	assert_failed("too long");
	assert_int_equal(lines, 1);
}

static void serve_slowly(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_send(c, FAKE_STREAM);
	fake_chunk(c, "{");
}

static void test_the_first_line_has_a_deadline(void **state)
{
	(void)state;
	server.serve = serve_slowly;
	stream(50);
	run_until(loop, &ends, 1);
	assert_failed("no answer within 50 ms");
	assert_int_equal(lines, 0);
}

/* A second call tells when the time of the first has passed. */
static void test_but_the_rest_has_none(void **state)
{
	(void)state;
	server.serve = serve_stream;
	stream(3000);
	run_until(loop, &lines, 1);
	server.serve = serve_nothing;
	post(3100);
	run_until(loop, &ends, 1);
	assert_failed("no answer within 3100 ms");
	fake_chunk(streaming, "two\n");
	run_until(loop, &lines, 2);
}

static void refuse_stream(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_answer(c, 500, "no\nstream\n");
}

static void test_a_refused_stream_has_no_lines(void **state)
{
	(void)state;
	server.serve = refuse_stream;
	stream(SOON);
	run_until(loop, &ends, 1);
	assert_int_equal(lines, 0);
	assert_int_equal(last.status, 500);
	assert_string_equal(last.body, "no\nstream\n");
}

static void serve_by_turns(struct fake *f, struct fake_conn *c)
{
	if (f->requests == 2) {
		serve_stream(f, c);
		return;
	}
	assert_int_equal(c->requests, f->requests == 1 ? 1 : 2);
	serve_ok(f, c);
}

static void test_a_stream_leaves_the_warm_connection(void **state)
{
	(void)state;
	server.serve = serve_by_turns;
	post(SOON);
	run_until(loop, &ends, 1);
	stream(SOON);
	run_until(loop, &lines, 1);
	post(SOON);
	run_until(loop, &ends, 2);
	assert_int_equal(last.status, 200);
	assert_int_equal(server.accepted, 2);
}

/* Hooks that do things */

static void test_cancelled_calls_say_nothing(void **state)
{
	struct http_call *call = post(SOON);

	(void)state;
	http_cancel(call);
	call = stream(SOON);
	run_until(loop, &server.requests, 1);
	http_cancel(call);
	run_until(loop, &server.gone, 1);
	assert_int_equal(ends, 0);
}

static struct http_call *victim;

static void cancel_at_line(void *ctx, const char *text, size_t len)
{
	note_line(ctx, text, len);
	http_cancel(victim);
}

static void serve_two_lines(struct fake *f, struct fake_conn *c)
{
	(void)f;
	fake_send(c, FAKE_STREAM);
	fake_chunk(c, "one\ntwo\n");
}

static void test_a_line_may_cancel(void **state)
{
	struct http_request request = request_to(server.url, SOON);

	(void)state;
	server.serve = serve_two_lines;
	victim = http_stream(http, &request, cancel_at_line, note_end, &ends, &err);
	assert_non_null(victim);
	run_until(loop, &server.gone, 1);
	assert_int_equal(lines, 1);
	assert_int_equal(ends, 0);
}

static void close_at_line(void *ctx, const char *text, size_t len)
{
	note_line(ctx, text, len);
	http_close(http);
	http = NULL;
}

static void test_a_line_may_close_all(void **state)
{
	struct http_request request = request_to(server.url, SOON);

	(void)state;
	server.serve = serve_two_lines;
	post(SOON);
	assert_non_null(http_stream(http, &request, close_at_line, note_end, &ends, &err));
	run_until(loop, &server.gone, 2);
	assert_int_equal(lines, 1);
	assert_int_equal(ends, 0);
}

static void post_at_end(void *ctx, const struct http_answer *answer)
{
	note_end(ctx, answer);
	if (ends < 100)
		assert_non_null(http_post(http,
		    &(struct http_request){
			.url = server.url, .body = "", .timeout = SOON, .max = MAX },
		    post_at_end, ctx, &err));
}

static void test_an_end_may_begin_the_next(void **state)
{
	struct http_request request = request_to(server.url, SOON);

	(void)state;
	server.serve = serve_ok;
	assert_non_null(http_post(http, &request, post_at_end, &ends, &err));
	run_until(loop, &ends, 100);
	assert_int_equal(server.accepted, 1);
}

static void close_at_end(void *ctx, const struct http_answer *answer)
{
	note_end(ctx, answer);
	http_close(http);
	http = NULL;
}

static void test_an_end_may_close_all(void **state)
{
	struct http_request request = request_to(server.url, 30);

	(void)state;
	post(SOON);
	assert_non_null(http_post(http, &request, close_at_end, &ends, &err));
	run_until(loop, &server.gone, 2);
	assert_int_equal(ends, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_request_and_its_answer),
		TEST(large_requests_go_at_once),
		TEST(connections_are_used_again),
		TEST(sockets_are_close_on_exec),
		TEST(redirects_are_not_followed),
		TEST(proxies_of_the_environment_are_not_used),
		TEST(only_http_is_spoken),
		TEST(nobody_listens),
		TEST(no_answer),
		TEST(half_an_answer_in_time_is_none),
		TEST(a_cut_answer_is_none),
		TEST(another_protocol),
		TEST(answers_are_bounded),
		TEST(headers_are_bounded),
		TEST(a_stale_connection_is_replaced),
		TEST(but_not_for_what_must_not_arrive_twice),
		TEST(what_was_sent_first_counts),
		TEST(a_hung_lookup_does_not_hang_the_loop),
		TEST(lines_come_as_they_are_sent),
		TEST(last_words_need_no_newline),
		TEST(a_cut_line_is_none),
		TEST(lines_are_bounded),
		TEST(so_are_lines_that_come_whole),
		TEST(the_first_line_has_a_deadline),
		TEST(but_the_rest_has_none),
		TEST(a_refused_stream_has_no_lines),
		TEST(a_stream_leaves_the_warm_connection),
		TEST(cancelled_calls_say_nothing),
		TEST(a_line_may_cancel),
		TEST(a_line_may_close_all),
		TEST(an_end_may_begin_the_next),
		TEST(an_end_may_close_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
