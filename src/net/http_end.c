#include "net/http_impl.h"

#include <errno.h>

static const char *words_of_libcurl(const struct http_call *call)
{
	return call->why[0] != '\0' ? call->why : curl_easy_strerror(call->result);
}

/* Why it could not connect is not in libcurl's words, and after how many ms is of no use. */
static void explain_connection(const struct http_call *call, struct err *e)
{
	const char *end = strstr(call->why, " after ");
	long number = 0;

	curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &number);
	if (number == 0 || end == NULL) {
		err_set(e, "%s", words_of_libcurl(call));
		return;
	}
	errno = (int)number;
	err_sys(e, "%.*s", (int)(end - call->why), call->why);
}

static void explain(const struct http_call *call, struct err *e)
{
	if (call->fault != NULL)
		err_set(e, "%s", call->fault);
	else if (call->result == CURLE_OPERATION_TIMEDOUT)
		err_set(e, "no answer within %lld ms", (long long)call->timeout);
	else if (call->result == CURLE_COULDNT_CONNECT)
		explain_connection(call, e);
	else if (call->result != CURLE_OK)
		err_set(e, "%s", words_of_libcurl(call));
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
 * libcurl, which then has made another one (http_setup.c, on_before_sending()).
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

static enum http_failure failure_of(const struct http_call *call)
{
	if (is_tls(call))
		return HTTP_TLS;
	if (is_hung_up(call))
		return HTTP_HUNG_UP;
	switch (call->result) {
	case CURLE_COULDNT_RESOLVE_HOST: return HTTP_NO_HOST;
	case CURLE_COULDNT_CONNECT: return HTTP_NO_CONNECTION;
	case CURLE_OPERATION_TIMEDOUT: return HTTP_LATE;
	default: return HTTP_FAILED;
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

void http_tell_end(struct http_call *call)
{
	struct http_answer answer = { .sent = call->sent, .body = "" };
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	explain(call, &answer.e);
	if (call->result == CURLE_OK)
		answer.status = (int)status;
	answer.date = read_date(call);
	answer.failure = failure_of(call);
	if (answer.status != 0)
		answer.body = http_lines_rest(&call->lines, &answer.len);
	call->dead = true;
	call->done(call->ctx, &answer);
}
