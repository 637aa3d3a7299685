/*
 * What goes over the wire to etcd and what comes back: request bodies word for word, since etcd
 * ignores a misspelt `compare` silently, and answers as etcd 3.4 and 3.5 gave them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/etcd_reply.h"
#include "coord/etcd_wire.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEADER "'header':{'cluster_id':'7','member_id':'8','revision':'9','raft_term':'2'}"

static struct err err;

/* ' stands for " in the texts here. */
static json_t *json(const char *text)
{
	char *copy = strdup(text);
	json_error_t where;
	json_t *value;

	assert_non_null(copy);
	for (char *p = copy; *p != '\0'; p++) {
		if (*p == '\'')
			*p = '"';
	}
	value = json_loads(copy, JSON_REJECT_DUPLICATES, &where);
	if (value == NULL)
		fail_msg("%s at %d of %s", where.text, where.position, copy);
	free(copy);
	return value;
}

static void assert_says(const char *words)
{
	if (strstr(err.text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

/* Requests. "L2cv" is "/g/", "L2cw" "/g0", "L2svMQ==" "/k/1", "L3M=" "/s", "dg==" "v". */

static void assert_request(json_t *request, const char *text)
{
	json_t *expected = json(text);
	char *found = json_dumps(request, JSON_COMPACT);

	assert_non_null(request);
	if (!json_equal(request, expected))
		fail_msg("made %s", found);
	free(found);
	json_decref(expected);
	json_decref(request);
}

static void test_lease_requests(void **state)
{
	(void)state;
	assert_request(wire_grant(77, 15), "{'ID':'77','TTL':'15'}");
	assert_request(wire_lease_id(9223372036854775807U), "{'ID':'9223372036854775807'}");
}

#define KEY_K "'key':'L2svMQ=='"
#define PREFIX_G "'key':'L2cv','range_end':'L2cw'"
#define FIRST_G                                                                                    \
	"{'request_range':{" PREFIX_G ",'sort_order':'ASCEND','sort_target':'CREATE','limit':'1'}" \
	"}"
#define IF_K(revision) \
	"{" KEY_K ",'target':'CREATE','result':'EQUAL','create_revision':'" revision "'}"
#define IF_S(revision) \
	"{'key':'L3M=','target':'MOD','result':'EQUAL','mod_revision':'" revision "'}"
#define GET_K "{'request_range':{" KEY_K "}}"
#define GET_S "{'request_range':{'key':'L3M='}}"

static void test_acquire_request(void **state)
{
	(void)state;
	assert_request(wire_acquire("/k/1", "v", 77, "/g/"),
	    "{'compare':[" IF_K("0") "],"
				     "'success':[{'request_put':{" KEY_K
				     ",'value':'dg==','lease':'77'}}," GET_K "," FIRST_G "],"
				     "'failure':[" GET_K "," FIRST_G "]}");
}

static void test_commit_requests(void **state)
{
	(void)state;
	assert_request(wire_commit("/k/1", 9, "/s", 4, "v", false, "/o", NULL),
	    "{'compare':[" IF_K("9") "," IF_S(
		"4") "],"
		     "'success':[{'request_put':{'key':'L3M=','value':'dg=='}}]}");
	assert_request(wire_commit("/k/1", 9, "/s", 0, "", true, "/o", NULL),
	    "{'compare':[" IF_K("9") "," IF_S(
		"0") "],"
		     "'success':[{'request_put':{'key':'L3M=','value':''}},"
		     "{'request_delete_range':{" KEY_K "}},"
		     "{'request_delete_range':{'key':'L28='}}]}");
	assert_request(wire_commit("/k/1", 9, "/s", 0, "", true, NULL, NULL),
	    "{'compare':[" IF_K("9") "," IF_S(
		"0") "],"
		     "'success':[{'request_put':{'key':'L3M=','value':''}},"
		     "{'request_delete_range':{" KEY_K "}}]}");
}

static void test_release_requests(void **state)
{
	(void)state;
	assert_request(wire_release("/k/1", 9, NULL, NULL),
	    "{'compare':[" IF_K("9") "],'success':[{'request_delete_range':{" KEY_K "}}]}");
	assert_request(wire_release("/k/1", 9, "/o", NULL),
	    "{'compare':[" IF_K("9") "],'success':[{'request_delete_range':{" KEY_K "}},"
				     "{'request_delete_range':{'key':'L28='}}]}");
	assert_request(wire_release("/k/1", 9, "/o", "9"),
	    "{'compare':[" IF_K("9") "],'success':[{'request_delete_range':{" KEY_K "}},"
				     "{'request_put':{'key':'L28=','value':'OQ=='}}]}");
}

static void test_owner_requests(void **state)
{
	(void)state;
	assert_request(wire_put_owned("/k/1", 9, "/s", "v"),
	    "{'compare':[" IF_K("9") "],'success':[{'request_put':{'key':'L3M=','value':'dg=='}}]"
				     "}");
}

/* The compare of these can never hold, or they would do it. */
static void test_access_requests(void **state)
{
	static const char *const prefixes[] = { "/g/", "/g/" };

#define NEVER                                                          \
	"'compare':[{'key':'L2cv','target':'CREATE','result':'EQUAL'," \
	"'create_revision':'9223372036854775807'}]"
	(void)state;
	assert_request(wire_try_access(prefixes, 2, false),
	    "{" NEVER ",'success':[{'request_range':{" PREFIX_G "}},{'request_range':{" PREFIX_G
	    "}}]}");
	assert_request(wire_try_access(prefixes, 1, true),
	    "{" NEVER ",'success':[{'request_delete_range':{" PREFIX_G "}}]}");
}

static void test_read_requests(void **state)
{
	(void)state;
	assert_request(wire_get("/k/1"), "{" KEY_K "}");
	assert_request(wire_get_prefix("/g/"), "{" PREFIX_G "}");
	assert_request(wire_get_all((const char *const[]){ "/k/1", "/s" }, 2),
	    "{'success':[" GET_K "," GET_S "]}");
	assert_request(
	    wire_list("/g/", NULL, 500), "{" PREFIX_G ",'keys_only':true,'limit':'500'}");
	/* From the key right after it: with a NUL at its end. */
	assert_request(wire_list("/g/", "/g/a", 500),
	    "{'key':'L2cvYQA=','range_end':'L2cw','keys_only':true,'limit':'500'}");
	assert_request(wire_watch_prefix("/g/", 10),
	    "{'create_request':{" PREFIX_G ",'start_revision':'10','progress_notify':true}}");
}

/* Memory runs out at the nth allocation, for every n. */

static int allocations_left;

static void *failing_malloc(size_t size)
{
	return allocations_left-- > 0 ? malloc(size) : NULL;
}

static json_t *make_request(size_t which)
{
	switch (which) {
	case 0: return wire_grant(77, 15);
	case 1: return wire_lease_id(1);
	case 2: return wire_acquire("/k/1", "v", 77, "/g/");
	case 3: return wire_commit("/k/1", 9, "/s", 3, "v", true, "/o", NULL);
	case 4: return wire_put_owned("/k/1", 9, "/s", "v");
	case 5: return wire_get_prefix("/g/");
	case 6: return wire_get_all((const char *const[]){ "/a", "/b" }, 2);
	case 7: return wire_list("/g/", "/g/a", 5);
	case 8: return wire_try_access((const char *const[]){ "/g/" }, 1, true);
	case 9: return wire_watch_prefix("/g/", 10);
	default: return NULL;
	}
}

static void test_failed_allocations_are_survived(void **state)
{
	(void)state;
	json_object_seed(1); /* not at a moment when it cannot */
	for (size_t which = 0; which < 10; which++) {
		json_t *request = NULL;

		for (int n = 0; request == NULL; n++) {
			allocations_left = n;
			json_set_alloc_funcs(failing_malloc, free);
			request = make_request(which);
			json_set_alloc_funcs(malloc, free);
			assert_true(n < 1000);
		}
		json_decref(request);
	}
}

/* Answers */

static void test_leases(void **state)
{
	json_t *body = json("{" HEADER ",'ID':'1418812029187493638','TTL':'15'}");
	struct wire_lease lease;

	(void)state;
	assert_int_equal(wire_read_grant(body, &lease, &err), 0);
	assert_true(lease.id == 1418812029187493638U);
	assert_int_equal(lease.ttl, 15);
	json_decref(body);

	body = json("{'result':{" HEADER ",'ID':'77','TTL':'5'}}");
	assert_int_equal(wire_read_keepalive(body, &lease, &err), 0);
	assert_true(lease.id == 77 && lease.ttl == 5);
	json_decref(body);

	body = json("{'result':{" HEADER ",'ID':'77'}}");
	assert_int_equal(wire_read_keepalive(body, &lease, &err), 0);
	assert_int_equal(lease.ttl, 0);
	json_decref(body);
}

static void test_bad_leases(void **state)
{
	static const char *const bad[] = { "{}", "{'ID':'0','TTL':'5'}", "{'TTL':'5'}",
		"{'ID':'1'}", "{'ID':1,'TTL':'5'}", "{'ID':'1','TTL':5}", "{'ID':'-1','TTL':'5'}",
		"{'ID':'1','TTL':'-5'}", "{'ID':'1','TTL':'5s'}", "{'ID':'','TTL':'5'}",
		"{'ID':' 1','TTL':'5'}", "{'ID':'9223372036854775808','TTL':'5'}",
		"{'ID':'99999999999999999999','TTL':'5'}", "{'ID':['1'],'TTL':'5'}",
		"{'ID':'1','TTL':null}" };
	struct wire_lease lease;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		json_t *body = json(bad[i]);
		json_t *result = json_pack("{s:O}", "result", body);

		assert_int_equal(wire_read_grant(body, &lease, &err), -1);
		assert_int_equal(wire_read_keepalive(body, &lease, &err), -1);
		if (strcmp(bad[i], "{'ID':'1'}") != 0)
			assert_int_equal(wire_read_keepalive(result, &lease, &err), -1);
		json_decref(result);
		json_decref(body);
	}
}

static void test_revision_and_succeeded(void **state)
{
	json_t *yes = json("{" HEADER ",'succeeded':true}"), *no = json("{" HEADER "}");
	static const char *const bad[] = { "{}", "{'header':[],'succeeded':true}",
		"{'header':{'revision':7},'succeeded':'true'}",
		"{'header':{'revision':'x'},'succeeded':1}" };
	uint64_t revision;
	bool succeeded;

	(void)state;
	assert_int_equal(wire_read_revision(yes, &revision, &err), 0);
	assert_true(revision == 9);
	assert_int_equal(wire_read_succeeded(yes, &succeeded, &err), 0);
	assert_true(succeeded);
	assert_int_equal(wire_read_succeeded(no, &succeeded, &err), 0);
	assert_false(succeeded);
	json_decref(yes);
	json_decref(no);
	for (size_t i = 0; i < COUNT(bad); i++) {
		json_t *body = json(bad[i]);

		assert_int_equal(wire_read_revision(body, &revision, &err), -1);
		assert_int_equal(wire_read_succeeded(body, &succeeded, &err), -1);
		json_decref(body);
	}
	no = json("{'header':{}}");
	assert_int_equal(wire_read_revision(no, &revision, &err), -1);
	json_decref(no);
}

static void test_keys_of_a_range(void **state)
{
	json_t *body = json("{" HEADER ",'kvs':[{'key':'L3M=','create_revision':'3',"
			    "'mod_revision':'8','version':'2','value':'AGEA','lease':'77'},"
			    "{'key':'L3M='}],'count':'2'}");
	struct wire_kv kv;

	(void)state;
	assert_int_equal(wire_read_kv(body, 0, &kv, &err), 1);
	assert_string_equal(kv.key, "/s");
	assert_true(kv.create_revision == 3 && kv.mod_revision == 8 && kv.lease == 77);
	assert_int_equal(kv.value_len, 3);
	assert_memory_equal(kv.value, "\0a\0", 4);
	wire_kv_clear(&kv);
	assert_int_equal(wire_read_kv(body, 1, &kv, &err), 1);
	assert_true(kv.create_revision == 0 && kv.lease == 0 && kv.value_len == 0);
	assert_string_equal(kv.value, "");
	wire_kv_clear(&kv);
	assert_null(kv.key);
	assert_int_equal(wire_read_kv(body, 2, &kv, &err), 0);
	json_decref(body);
	body = json("{" HEADER "}");
	assert_int_equal(wire_read_kv(body, 0, &kv, &err), 0);
	json_decref(body);
}

static void test_bad_keys(void **state)
{
	static const char *const bad[] = { "'kvs':{}", "'kvs':'x'", "'kvs':[7]", "'kvs':[{}]",
		"'kvs':[{'key':''}]", "'kvs':[{'key':7}]", "'kvs':[{'key':'!!!!'}]",
		"'kvs':[{'key':'L3M'}]", "'kvs':[{'key':'AGEA'}]",
		"'kvs':[{'key':'L3M=','value':7}]", "'kvs':[{'key':'L3M=','value':'='}]",
		"'kvs':[{'key':'L3M=','lease':7}]", "'kvs':[{'key':'L3M=','create_revision':'x'}]",
		"'kvs':[{'key':'L3M=','mod_revision':{}}]" };
	struct wire_kv kv, cleared = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		char text[256];
		json_t *body;

		snprintf(text, sizeof(text), "{" HEADER ",%s}", bad[i]);
		body = json(text);
		assert_int_equal(wire_read_kv(body, 0, &kv, &err), -1);
		assert_memory_equal(&kv, &cleared, sizeof(kv));
		json_decref(body);
	}
	err.text[0] = '\0';
	assert_int_equal(wire_read_kv(NULL, 0, &kv, &err), -1);
	assert_says("header");
}

#define RANGE_K "{'response_range':{'header':{'revision':'2'},'kvs':[{'key':'L2svMQ=='}]}}"
#define RANGE_S "{'response_range':{'header':{'revision':'2'},'kvs':[{'key':'L3M='}]}}"
#define RANGE_NONE "{'response_range':{'header':{'revision':'2'}}}"

static void test_ranges_of_a_transaction(void **state)
{
	json_t *body = json("{" HEADER ",'responses':[{'response_put':{'header':{}}}," RANGE_K
			    ",{'response_delete_range':{}}," RANGE_NONE "," RANGE_S "]}");
	struct wire_kv kv;

	(void)state;
	assert_int_equal(wire_read_txn_kv(body, 0, &kv, &err), 1);
	assert_string_equal(kv.key, "/k/1");
	wire_kv_clear(&kv);
	assert_int_equal(wire_read_txn_kv(body, 1, &kv, &err), 0);
	assert_int_equal(wire_read_txn_kv(body, 2, &kv, &err), 1);
	assert_string_equal(kv.key, "/s");
	wire_kv_clear(&kv);
	assert_int_equal(wire_read_txn_kv(body, 3, &kv, &err), -1);
	assert_says("lacks");
	json_decref(body);
}

static void test_bad_transactions(void **state)
{
	static const char *const bad[] = { "{}", "{'responses':{}}", "{'responses':[]}",
		"{'responses':[7]}", "{'responses':[{'response_range':7}]}",
		"{'responses':[{'response_range':{'kvs':7}}]}" };
	struct wire_kv kv;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		json_t *body = json(bad[i]);

		assert_int_equal(wire_read_txn_kv(body, 0, &kv, &err), -1);
		json_decref(body);
	}
}

static void test_events(void **state)
{
	json_t *result = json(
	    "{" HEADER ",'events':[{'kv':{'key':'L3M=','create_revision':'3','mod_revision':'8',"
	    "'version':'2','value':'dg=='}},{'type':'DELETE','kv':{'key':'L2svMQ==',"
	    "'mod_revision':'8'}}]}");
	struct wire_event ev;

	(void)state;
	assert_int_equal(wire_read_event(result, 0, &ev, &err), 1);
	assert_false(ev.deleted);
	assert_string_equal(ev.kv.value, "v");
	wire_kv_clear(&ev.kv);
	assert_int_equal(wire_read_event(result, 1, &ev, &err), 1);
	assert_true(ev.deleted);
	assert_string_equal(ev.kv.key, "/k/1");
	assert_null(ev.kv.value);
	assert_true(ev.kv.mod_revision == 8);
	wire_kv_clear(&ev.kv);
	assert_int_equal(wire_read_event(result, 2, &ev, &err), 0);
	json_decref(result);
}

static void test_bad_events(void **state)
{
	static const char *const bad[] = { "{'events':{}}", "{'events':[7]}", "{'events':[{}]}",
		"{'events':[{'type':'MOVE','kv':{'key':'L3M='}}]}",
		"{'events':[{'type':1,'kv':{'key':'L3M='}}]}", "{'events':[{'kv':[]}]}" };
	struct wire_event ev;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		json_t *result = json(bad[i]);

		assert_int_equal(wire_read_event(result, 0, &ev, &err), -1);
		assert_null(ev.kv.key);
		json_decref(result);
	}
}

/* What an answer means */

static void read_reply(int status, const char *text, struct etcd_answer *answer)
{
	char copy[1024];

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *p = copy; *p != '\0'; p++) {
		if (*p == '\'')
			*p = '"';
	}
	etcd_reply_read(status, copy, strlen(copy), answer);
}

static void test_good_replies(void **state)
{
	static const char *const good[] = { "{" HEADER "}", " {'a':1}\n", "{}" };
	struct etcd_answer answer;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		read_reply(200, good[i], &answer);
		assert_int_equal(answer.code, ETCD_OK);
		assert_true(json_is_object(answer.body));
		assert_false(answer.unknown);
		json_decref(answer.body);
	}
}

static void test_errors_of_all_shapes(void **state)
{
	static const struct {
		int status;
		const char *text;
		int code;
		bool unknown;
		const char *message;
	} cases[] = {
		{ 404,
		    "{'error':'etcdserver: requested lease not found','message':'etcdserver: "
		    "requested lease not found','code':5}",
		    ETCD_NOT_FOUND, false, "requested lease not found" },
		{ 404, "{'code':5,'message':'etcdserver: requested lease not found'}",
		    ETCD_NOT_FOUND, false, "requested lease not found" },
		{ 200,
		    "{'error':{'grpc_code':14,'http_code':503,'message':'etcdserver: no leader',"
		    "'http_status':'Service Unavailable'}}",
		    ETCD_UNAVAILABLE, true, "no leader" },
		{ 503, "{'error':{'code':14,'message':'etcdserver: no leader'}}", ETCD_UNAVAILABLE,
		    true, "no leader" },
		{ 200, "{'code':7,'message':'etcdserver: permission denied'}", ETCD_DENIED, false,
		    "permission denied" },
		{ 504, "{'error':'context deadline exceeded','code':4}", ETCD_DEADLINE, true,
		    "context deadline exceeded" },
		{ 401, "{'error':'etcdserver: invalid auth token','code':16}", ETCD_BAD_TOKEN,
		    false, "invalid auth token" },
		{ 400, "{'error':'etcdserver: user name is empty','code':3}", ETCD_BAD_TOKEN, false,
		    "user name is empty" },
		{ 400, "{'code':3,'message':'etcdserver: revision of auth store is old'}",
		    ETCD_BAD_TOKEN, false, "auth store is old" },
		{ 400, "{'code':3,'message':'etcdserver: request is too large'}", ETCD_INVALID,
		    false, "too large" },
		{ 429, "{'code':8,'message':'etcdserver: too many requests'}", ETCD_EXHAUSTED,
		    false, "too many" },
		{ 412, "{'code':9,'message':'etcdserver: authentication is not enabled'}",
		    ETCD_PRECONDITION, false, "not enabled" },
		{ 500, "{'code':13,'message':'internal'}", 13, true, "internal" },
		{ 500, "{'code':2,'message':'unknown'}", 2, true, "unknown" },
		{ 200, "{'code':0,'message':'x'}", ETCD_GARBAGE, true, "x" },
		{ 500, "{'code':-3,'message':'x'}", ETCD_GARBAGE, true, "x" },
		{ 500, "{'code':4294967299,'message':'x'}", ETCD_GARBAGE, true, "x" },
		{ 500, "{'code':17}", ETCD_GARBAGE, true, "no reason" },
		{ 500, "{'code':'5','message':7}", ETCD_GARBAGE, true, "no reason" },
		{ 500, "{'error':'','code':8}", ETCD_EXHAUSTED, false, "no reason" },
		{ 500, "{'error':7}", ETCD_GARBAGE, true, "no reason" },
		{ 200, "{'error':null}", ETCD_GARBAGE, true, "no reason" },
		{ 500, "{" HEADER "}", ETCD_GARBAGE, true, "HTTP status 500" },
		{ 404, "Not Found\n", ETCD_GARBAGE, true, "HTTP status 404" },
		{ 400, "CommonName of client sending a request against gateway will be ignored",
		    ETCD_GARBAGE, true, "CommonName" },
		{ 302, "", ETCD_GARBAGE, true, "HTTP status 302 without a word" },
		{ 200, "", ETCD_GARBAGE, true, "HTTP status 200" },
		{ 200, "[]", ETCD_GARBAGE, true, "HTTP status 200" },
		{ 200, "{'header':", ETCD_GARBAGE, true, "HTTP status 200" },
		{ 200, "{}{}", ETCD_GARBAGE, true, "HTTP status 200" },
		{ 200, "\1\2\n\xff", ETCD_GARBAGE, true, "HTTP status 200" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct etcd_answer answer;

		read_reply(cases[i].status, cases[i].text, &answer);
		if ((int)answer.code != cases[i].code || answer.unknown != cases[i].unknown)
			fail_msg("%s: code %d, unknown %d", cases[i].text, (int)answer.code,
			    answer.unknown);
		assert_null(answer.body);
		err = answer.e;
		assert_says(cases[i].message);
		assert_null(strchr(err.text, '\n'));
	}
}

static enum etcd_line read_line(const char *text, struct etcd_answer *answer)
{
	char copy[1024];

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *p = copy; *p != '\0'; p++) {
		if (*p == '\'')
			*p = '"';
	}
	return etcd_reply_line(copy, strlen(copy), answer);
}

static void test_lines_of_a_watch(void **state)
{
	struct etcd_answer answer;

	(void)state;
	assert_int_equal(
	    read_line("{'result':{" HEADER ",'created':true}}", &answer), ETCD_LINE_CREATED);
	assert_null(answer.body);
	assert_int_equal(
	    read_line("{'result':{" HEADER ",'events':[{'kv':{'key':'L3M='}}]}}", &answer),
	    ETCD_LINE_EVENTS);
	assert_int_equal(json_array_size(json_object_get(answer.body, "events")), 1);
	json_decref(answer.body);
	assert_int_equal(read_line("{'result':{" HEADER "}}", &answer), ETCD_LINE_NOTHING);
	assert_int_equal(
	    read_line("{'result':{" HEADER ",'events':[]}}", &answer), ETCD_LINE_NOTHING);
	assert_int_equal(read_line("", &answer), ETCD_LINE_NOTHING);
	assert_int_equal(read_line(" \t\r", &answer), ETCD_LINE_NOTHING);
}

static void test_ends_of_a_watch(void **state)
{
#define REFUSED(why) "{'result':{'created':true,'canceled':true,'cancel_reason':'" why "'}}"
	static const struct {
		const char *text;
		enum etcd_code code;
		const char *message;
	} cases[] = {
		{ "{'result':{'canceled':true,'compact_revision':'7'}}", ETCD_COMPACTED,
		    "compacted" },
		{ REFUSED(
		      "rpc error: code = PermissionDenied desc = etcdserver: permission denied"),
		    ETCD_DENIED, "permission denied" },
		{ REFUSED(
		      "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"),
		    ETCD_BAD_TOKEN, "invalid auth token" },
		{ REFUSED(
		      "rpc error: code = InvalidArgument desc = etcdserver: user name is empty"),
		    ETCD_BAD_TOKEN, "user name is empty" },
		{ REFUSED("rpc error: code = InvalidArgument desc = x"), ETCD_INVALID, "desc = x" },
		{ REFUSED("etcdserver: no leader"), ETCD_UNAVAILABLE, "no leader" },
		{ "{'result':{'canceled':true}}", ETCD_UNAVAILABLE, "no reason" },
		{ "{'error':{'grpc_code':14,'http_code':503,'message':'no leader'}}",
		    ETCD_UNAVAILABLE, "no leader" },
		{ "{'error':{'code':14,'message':'no leader'}}", ETCD_UNAVAILABLE, "no leader" },
		{ "{'result':7}", ETCD_GARBAGE, "neither a result" },
		{ "{}", ETCD_GARBAGE, "neither a result" },
		{ "[1]", ETCD_GARBAGE, "not JSON" },
		{ "<html>", ETCD_GARBAGE, "not JSON" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct etcd_answer answer;

		assert_int_equal(read_line(cases[i].text, &answer), ETCD_LINE_END);
		assert_int_equal(answer.code, cases[i].code);
		assert_null(answer.body);
		err = answer.e;
		assert_says(cases[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease_requests),
		cmocka_unit_test(test_acquire_request),
		cmocka_unit_test(test_commit_requests),
		cmocka_unit_test(test_release_requests),
		cmocka_unit_test(test_owner_requests),
		cmocka_unit_test(test_access_requests),
		cmocka_unit_test(test_read_requests),
		cmocka_unit_test(test_failed_allocations_are_survived),
		cmocka_unit_test(test_leases),
		cmocka_unit_test(test_bad_leases),
		cmocka_unit_test(test_revision_and_succeeded),
		cmocka_unit_test(test_keys_of_a_range),
		cmocka_unit_test(test_bad_keys),
		cmocka_unit_test(test_ranges_of_a_transaction),
		cmocka_unit_test(test_bad_transactions),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_bad_events),
		cmocka_unit_test(test_good_replies),
		cmocka_unit_test(test_errors_of_all_shapes),
		cmocka_unit_test(test_lines_of_a_watch),
		cmocka_unit_test(test_ends_of_a_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
