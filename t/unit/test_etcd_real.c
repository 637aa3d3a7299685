/*
 * The requests and the client against real etcd servers, which the tests start themselves: what no
 * imitation can show, above all that the fence of a transaction holds.
 */
#include "../lib/etcd_test.h"

#include <ev.h>

#include "coord/etcd_client.h"
#include "coord/etcd_wire.h"

#define LOCK "/g/jobs/a/lock/"
#define STATE "/g/jobs/a/state"
#define OWNER "/g/jobs/a/owner"
#define PREFIX "/g/jobs/a/"

static struct cluster cluster;
static struct conf conf;
static struct ev_loop *loop;
static struct etcd_client *client;
static struct err err;

/* Answers */

static unsigned int answers;
static enum etcd_code code;
static bool unknown;
static json_t *body;

static void note_answer(void *ctx, const struct etcd_answer *answer)
{
	(void)ctx;
	answers++;
	code = answer->code;
	unknown = answer->unknown;
	err = answer->e;
	json_decref(body);
	body = json_incref(answer->body);
}

static void run_until(const unsigned int *what, unsigned int n)
{
	msec end = clock_now() + ETCD_PATIENCE_S * 1000;

	while (*what < n) {
		if (clock_now() > end)
			fail_msg("waited in vain: %u of %u", *what, n);
		ev_run(loop, EVRUN_ONCE);
	}
}

/* Asks and waits for the answer; takes over the request. */
static void ask_for(const char *path, json_t *request, msec time, bool repeatable)
{
	unsigned int n = answers + 1;

	assert_non_null(request);
	assert_non_null(etcd_call(
	    client, path, request, clock_now() + time, repeatable, note_answer, NULL, &err));
	json_decref(request);
	run_until(&answers, n);
}

static void ask(const char *path, json_t *request)
{
	ask_for(path, request, 30000, true);
	if (code != ETCD_OK)
		fail_msg("code %d: %s", (int)code, err.text);
}

static bool ask_txn(json_t *request)
{
	bool succeeded;

	ask("/v3/kv/txn", request);
	assert_int_equal(wire_read_succeeded(body, &succeeded, &err), 0);
	return succeeded;
}

static uint64_t grant(int64_t ttl)
{
	struct wire_lease lease;

	static uint64_t id = INT64_MAX - 1000;

	ask("/v3/lease/grant", wire_grant(++id, ttl));
	assert_int_equal(wire_read_grant(body, &lease, &err), 0);
	assert_true(lease.id == id);
	assert_int_equal(lease.ttl, ttl);
	return lease.id;
}

/* Range number index of the last answer. */
static struct wire_kv txn_kv(size_t index)
{
	struct wire_kv kv;

	assert_int_equal(wire_read_txn_kv(body, index, &kv, &err), 1);
	return kv;
}

/* The mod revision of a key, 0 if it is not there; its value must be this. */
static uint64_t check_key(const char *key, const char *value)
{
	struct wire_kv kv;
	uint64_t revision;
	int rc;

	ask("/v3/kv/range", wire_get(key));
	rc = wire_read_kv(body, 0, &kv, &err);
	assert_int_equal(rc, value != NULL ? 1 : 0);
	if (value == NULL)
		return 0;
	assert_string_equal(kv.value, value);
	revision = kv.mod_revision;
	wire_kv_clear(&kv);
	return revision;
}

static void open_client(void)
{
	loop = ev_loop_new(EVFLAG_AUTO);
	assert_non_null(loop);
	client = etcd_client_open(loop, &conf, &err);
	assert_non_null(client);
}

static void close_client(void)
{
	etcd_client_close(client);
	ev_loop_destroy(loop);
	json_decref(body);
	client = NULL;
	body = NULL;
}

static void use_certificates(void)
{
	conf.ca_file = cluster.tls ? cluster.ca : NULL;
	conf.cert_file = cluster.tls ? cluster.cert : NULL;
	conf.key_file = cluster.tls ? cluster.key : NULL;
}

/* Each kind of cluster is started once, for the tests in a row that want it. */
static int begin_with(int nodes, bool tls)
{
	if (cluster.n != nodes || cluster.tls != tls) {
		cluster_stop(&cluster);
		cluster_start(&cluster, nodes, tls);
	}
	answers = 0;
	memset(&conf, 0, sizeof(conf));
	conf.endpoints = cluster.endpoints;
	use_certificates();
	open_client();
	return 0;
}

static int begin_one(void **state)
{
	(void)state;
	return begin_with(1, false);
}

static int begin_three(void **state)
{
	(void)state;
	return begin_with(3, false);
}

static int begin_tls(void **state)
{
	(void)state;
	return begin_with(1, true);
}

static int stop_all(void **state)
{
	(void)state;
	cluster_stop(&cluster);
	return 0;
}

static void wake_all(void)
{
	for (int i = 0; i < cluster.n; i++)
		node_revive(&cluster, i);
}

static int end(void **state)
{
	(void)state;
	close_client();
	wake_all(); /* a test that failed may have left one stopped */
	assert_true(cluster_becomes_healthy(&cluster));
	return etcdctl(&cluster, "del --prefix /g/") == 0 ? 0 : -1;
}

/* Leases */

static void test_a_lease_lives_and_ends(void **state)
{
	uint64_t id = grant(15);
	struct wire_lease lease;

	(void)state;
	ask("/v3/lease/keepalive", wire_lease_id(id));
	assert_int_equal(wire_read_keepalive(body, &lease, &err), 0);
	assert_true(lease.id == id);
	assert_int_equal(lease.ttl, 15);
	ask("/v3/lease/revoke", wire_lease_id(id));
	ask("/v3/lease/keepalive", wire_lease_id(id));
	assert_int_equal(wire_read_keepalive(body, &lease, &err), 0);
	assert_int_equal(lease.ttl, 0);
	ask_for("/v3/lease/revoke", wire_lease_id(id), 30000, true);
	assert_int_equal(code, ETCD_NOT_FOUND);
	assert_false(unknown);
}

/* A grant may be asked for again: the second one is refused, and changes nothing. */
static void test_a_lease_is_granted_once(void **state)
{
	uint64_t id = grant(15);

	(void)state;
	ask_for("/v3/lease/grant", wire_grant(id, 60), 30000, true);
	assert_int_equal(code, ETCD_EXISTS);
	assert_false(unknown);
	assert_int_equal(etcdctl(&cluster, "lease list"), 0);
	assert_non_null(strstr(cluster.said, "7ffffffffffff"));
	ask("/v3/lease/revoke", wire_lease_id(id));
}

/* The lock */

struct place {
	char key[96];
	uint64_t lease, epoch;
};

static struct place queue_up(void)
{
	struct place p = { .lease = grant(60) };
	struct wire_kv kv;

	snprintf(p.key, sizeof(p.key), LOCK "%jx", (uintmax_t)p.lease);
	assert_true(ask_txn(wire_acquire(p.key, "me", p.lease, LOCK)));
	kv = txn_kv(0);
	assert_string_equal(kv.key, p.key);
	assert_string_equal(kv.value, "me");
	assert_true(kv.lease == p.lease);
	p.epoch = kv.create_revision;
	wire_kv_clear(&kv);
	return p;
}

static void assert_owner(const struct place *p)
{
	struct wire_kv kv = txn_kv(1);

	assert_string_equal(kv.key, p->key);
	assert_true(kv.create_revision == p->epoch);
	wire_kv_clear(&kv);
}

static void test_places_in_the_queue(void **state)
{
	struct place first = queue_up(), second, third;
	struct wire_kv kv;

	(void)state;
	assert_owner(&first);
	second = queue_up();
	assert_owner(&first);
	third = queue_up();
	assert_true(first.epoch < second.epoch && second.epoch < third.epoch);
	/* Again, as after an answer that was lost: it changes nothing and tells the same. */
	assert_false(ask_txn(wire_acquire(second.key, "other", second.lease, LOCK)));
	kv = txn_kv(0);
	assert_string_equal(kv.value, "me");
	assert_true(kv.create_revision == second.epoch);
	wire_kv_clear(&kv);
	assert_owner(&first);
}

/* The fence */

static void test_only_the_owner_commits(void **state)
{
	struct place p = queue_up();
	uint64_t revision;

	(void)state;
	assert_true(ask_txn(wire_commit(p.key, p.epoch, STATE, 0, "one", false, OWNER, NULL)));
	revision = check_key(STATE, "one");
	assert_false(
	    ask_txn(wire_commit(p.key, p.epoch + 1, STATE, revision, "two", false, OWNER, NULL)));
	assert_true(check_key(STATE, "one") == revision);
	/* A commit that was on its way for too long. */
	assert_false(ask_txn(wire_commit(p.key, p.epoch, STATE, 0, "zero", false, OWNER, NULL)));
	assert_true(check_key(STATE, "one") == revision);
	assert_true(ask_txn(wire_put_owned(p.key, p.epoch, "/g/extra", "x")));
	assert_false(ask_txn(wire_put_owned(p.key, p.epoch + 1, "/g/extra", "y")));
	check_key("/g/extra", "x");
}

static void test_commit_and_release_are_one(void **state)
{
	struct place p = queue_up();
	struct wire_kv kv;

	(void)state;
	assert_true(ask_txn(wire_put_owned(p.key, p.epoch, OWNER, "me")));
	check_key(OWNER, "me");
	assert_true(ask_txn(wire_commit(p.key, p.epoch, STATE, 0, "last", true, OWNER, NULL)));
	check_key(p.key, NULL);
	check_key(OWNER, NULL);
	check_key(STATE, "last");
	/* An announcement that a hung member carries out late. */
	assert_false(ask_txn(wire_put_owned(p.key, p.epoch, OWNER, "me")));
	check_key(OWNER, NULL);
	/* Now without the lock: not again. What there is then is read like this. */
	assert_false(ask_txn(wire_commit(p.key, p.epoch, STATE, 0, "late", true, OWNER, NULL)));
	assert_true(ask_txn(wire_get_all((const char *[]){ p.key, STATE }, 2)));
	assert_int_equal(wire_read_txn_kv(body, 0, &kv, &err), 0);
	kv = txn_kv(1);
	assert_string_equal(kv.value, "last");
	wire_kv_clear(&kv);
}

static void test_release_without_a_commit(void **state)
{
	struct place p = queue_up();

	(void)state;
	assert_true(ask_txn(wire_put_owned(p.key, p.epoch, OWNER, "me")));
	assert_false(ask_txn(wire_release(p.key, p.epoch + 1, OWNER, NULL)));
	check_key(OWNER, "me");
	assert_true(ask_txn(wire_release(p.key, p.epoch, OWNER, NULL)));
	check_key(p.key, NULL);
	check_key(OWNER, NULL);
}

/* Why the bodies are compared word for word elsewhere: etcd says nothing of a misspelt fence. */
static void test_a_misspelt_fence_is_none(void **state)
{
	struct place p = queue_up();
	json_t *request = wire_commit(p.key, p.epoch + 1, STATE, 0, "fenced", false, OWNER, NULL);

	(void)state;
	assert_false(ask_txn(json_incref(request)));
	json_object_set(request, "compares", json_object_get(request, "compare"));
	json_object_del(request, "compare");
	assert_true(ask_txn(request));
	check_key(STATE, "fenced");
}

static void test_keys_of_a_prefix(void **state)
{
	struct wire_kv kv;

	(void)state;
	queue_up();
	ask("/v3/kv/range", wire_get_prefix(PREFIX));
	assert_int_equal(wire_read_kv(body, 0, &kv, &err), 1);
	wire_kv_clear(&kv);
	assert_int_equal(wire_read_kv(body, 1, &kv, &err), 0);
}

static char *text_of(size_t len)
{
	char *text = malloc(len + 1);

	assert_non_null(text);
	memset(text, 'x', len);
	text[len] = '\0';
	return text;
}

/* Watches */

static unsigned int created, messages, ends;
static json_t *message;

static void note_created(void *ctx)
{
	(void)ctx;
	created++;
}

static void note_events(void *ctx, json_t *result)
{
	(void)ctx;
	messages++;
	json_decref(message);
	message = json_incref(result);
}

static void note_end(void *ctx, const struct etcd_answer *answer)
{
	(void)ctx;
	ends++;
	code = answer->code;
	err = answer->e;
}

static struct etcd_call *watch_from(uint64_t revision)
{
	const struct etcd_watch_hooks hooks = { note_created, note_events, note_end };
	json_t *request = wire_watch_prefix(PREFIX, revision);
	struct etcd_call *watch = etcd_watch(client, request, &hooks, NULL, &err);

	assert_non_null(watch);
	json_decref(request);
	return watch;
}

/* From now on. */
static struct etcd_call *watch(void)
{
	struct etcd_call *call;
	uint64_t revision;

	created = messages = ends = 0;
	ask("/v3/kv/range", wire_get(STATE));
	assert_int_equal(wire_read_revision(body, &revision, &err), 0);
	call = watch_from(revision + 1);
	run_until(&created, 1);
	return call;
}

static void forget_message(void)
{
	json_decref(message);
	message = NULL;
}

static void test_record_and_release_in_one_message(void **state)
{
	struct place p = queue_up();
	struct etcd_call *call = watch();
	struct wire_event ev;

	(void)state;
	assert_true(ask_txn(wire_commit(p.key, p.epoch, STATE, 0, "last", true, OWNER, NULL)));
	run_until(&messages, 1);
	assert_int_equal(wire_read_event(message, 0, &ev, &err), 1);
	assert_false(ev.deleted);
	assert_string_equal(ev.kv.key, STATE);
	assert_string_equal(ev.kv.value, "last");
	wire_kv_clear(&ev.kv);
	assert_int_equal(wire_read_event(message, 1, &ev, &err), 1);
	assert_true(ev.deleted);
	assert_string_equal(ev.kv.key, p.key);
	wire_kv_clear(&ev.kv);
	assert_int_equal(wire_read_event(message, 2, &ev, &err), 0);
	etcd_cancel(call);
	forget_message();
}

/* The largest record there is: a state of 1 MiB, in base64. */
static void test_large_records(void **state)
{
	struct place p = queue_up();
	struct etcd_call *call = watch();
	char *record = text_of(1400000), *larger = text_of(1600000);
	struct wire_event ev;

	(void)state;
	assert_true(ask_txn(wire_commit(p.key, p.epoch, STATE, 0, record, false, OWNER, NULL)));
	run_until(&messages, 1);
	assert_int_equal(wire_read_event(message, 0, &ev, &err), 1);
	assert_int_equal(ev.kv.value_len, 1400000);
	wire_kv_clear(&ev.kv);
	check_key(STATE, record);
	ask_for("/v3/kv/txn", wire_commit(p.key, p.epoch, STATE, 0, larger, false, OWNER, NULL),
	    30000, true);
	assert_int_equal(code, ETCD_INVALID);
	assert_false(unknown);
	etcd_cancel(call);
	forget_message();
	free(record);
	free(larger);
}

static void test_a_compacted_revision(void **state)
{
	struct place p = queue_up();
	char words[64];

	(void)state;
	created = ends = 0;
	assert_true(ask_txn(wire_commit(p.key, p.epoch, STATE, 0, "one", false, OWNER, NULL)));
	snprintf(words, sizeof(words), "compact %ju", (uintmax_t)check_key(STATE, "one"));
	assert_int_equal(etcdctl(&cluster, words), 0);
	watch_from(p.epoch);
	run_until(&ends, 1);
	assert_int_equal(code, ETCD_COMPACTED);
}

/* Servers that stop, die and come back */

static void test_a_stopped_server(void **state)
{
	struct etcd_call *call = watch();

	(void)state;
	(void)call;
	node_signal(&cluster, 0, SIGSTOP);
	ask_for("/v3/kv/range", wire_get(STATE), 10000, false);
	assert_int_equal(code, ETCD_UNAVAILABLE);
	assert_true(unknown);
	run_until(&ends, 1); /* the stream itself would be silent for ever */
	node_signal(&cluster, 0, SIGCONT);
	ask("/v3/kv/range", wire_get(STATE));
}

static void test_a_killed_server(void **state)
{
	(void)state;
	watch();
	node_kill(&cluster, 0);
	run_until(&ends, 1);
	ask_for("/v3/kv/range", wire_get(STATE), 500, true);
	assert_int_equal(code, ETCD_UNAVAILABLE);
	assert_false(unknown);
	node_start(&cluster, 0);
	ask_for("/v3/kv/range", wire_get(STATE), 30000, true);
	assert_int_equal(code, ETCD_OK);
}

/* Users */

static char user[] = "g";
static char password_file[160];

static void write_password(const char *password)
{
	FILE *f;

	snprintf(password_file, sizeof(password_file), "%s/password", cluster.dir);
	f = fopen(password_file, "we");
	assert_non_null(f);
	fprintf(f, "%s\n", password);
	assert_int_equal(fchmod(fileno(f), 0600), 0);
	assert_int_equal(fclose(f), 0);
}

static void ctl(const char *words)
{
	if (etcdctl(&cluster, words) != 0)
		fail_msg("etcdctl %s: %s", words, cluster.said);
}

static void switch_users_on(void)
{
	ctl("user add root:pw");
	ctl("user grant-role root root");
	ctl("user add g:secret");
	ctl("role add g");
	ctl("role grant-permission g readwrite /g/ /g0");
	ctl("user grant-role g g");
	ctl("auth enable");
	strcat(cluster.ctl_options, " --user root:pw");
	conf.user = user;
	conf.password_file = password_file;
	write_password("secret");
}

static int end_users(void **state)
{
	char *option = strstr(cluster.ctl_options, " --user");

	close_client();
	wake_all();
	assert_true(cluster_becomes_healthy(&cluster));
	conf.user = conf.password_file = NULL;
	ctl("auth disable");
	if (option != NULL)
		*option = '\0';
	ctl("user delete root");
	ctl("user delete g");
	ctl("role delete g");
	open_client();
	return end(state);
}

static void test_users(void **state)
{
	uint64_t lease;

	(void)state;
	ask("/v3/kv/range", wire_get(STATE));
	switch_users_on();
	ask_for("/v3/kv/range", wire_get(STATE), 30000, false);
	assert_int_equal(code, ETCD_OK); /* the client had not needed a token before */
	queue_up();
	watch();
	lease = grant(15);
	ask("/v3/lease/keepalive", wire_lease_id(lease));
	ask("/v3/lease/revoke", wire_lease_id(lease));
	ask_for("/v3/kv/range", wire_get("/h"), 30000, true);
	assert_int_equal(code, ETCD_DENIED);
	/* A restarted server does not know the tokens it gave. */
	node_kill(&cluster, 0);
	node_start(&cluster, 0);
	ask("/v3/kv/range", wire_get(STATE));
	/* Nor does one take those from before users were changed. */
	ctl("user add another:one");
	ask("/v3/kv/range", wire_get(STATE));
	ctl("user delete another");
	watch();
}

static void test_users_that_are_refused(void **state)
{
	(void)state;
	switch_users_on();
	write_password("wrong");
	ask_for("/v3/kv/range", wire_get(STATE), 30000, true);
	assert_int_equal(code, ETCD_BAD_USER);
	assert_non_null(strstr(err.text, "refuses user \"g\""));
	write_password("secret");
	ask("/v3/kv/range", wire_get(STATE));
	created = ends = 0;
	conf.user = NULL;
	close_client();
	open_client();
	watch_from(1);
	run_until(&ends, 1);
	assert_int_equal(code, ETCD_BAD_TOKEN);
	assert_int_equal(created, 0);
}

/* TLS */

static void assert_no_tls(const char *words)
{
	close_client();
	open_client();
	ask_for("/v3/kv/range", wire_get(STATE), 5000, true);
	assert_int_equal(code, ETCD_TLS);
	if (strstr(err.text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
	use_certificates();
}

static void test_tls(void **state)
{
	(void)state;
	queue_up();
	watch();
	conf.cert_file = conf.key_file = NULL;
	assert_no_tls("certificate");
	conf.ca_file = NULL;
	assert_no_tls("certificate");
	conf.ca_file = cluster.key;
	assert_no_tls(cluster.key);
	close_client();
	open_client();
	queue_up();
}

static void test_tls_and_users(void **state)
{
	(void)state;
	switch_users_on();
	queue_up();
}

/* Three nodes. The client asks node 0 first. */

static void test_a_leader_that_is_killed(void **state)
{
	uint64_t lease = grant(30);
	int leader = cluster_leader(&cluster);

	(void)state;
	watch();
	node_kill(&cluster, leader);
	ask("/v3/lease/keepalive", wire_lease_id(lease));
	queue_up();
}

static void test_a_leader_that_is_stopped(void **state)
{
	uint64_t lease = grant(30);
	int leader = cluster_leader(&cluster);

	(void)state;
	node_signal(&cluster, leader, SIGSTOP);
	ask("/v3/lease/keepalive", wire_lease_id(lease));
	queue_up();
}

static void test_a_member_without_quorum(void **state)
{
	(void)state;
	conf.endpoints = (char *[]){ cluster.urls[0], NULL };
	close_client();
	open_client();
	watch();
	node_signal(&cluster, 1, SIGSTOP);
	node_signal(&cluster, 2, SIGSTOP);
	run_until(&ends, 1);
	assert_int_equal(code, ETCD_UNAVAILABLE);
	ask_for("/v3/kv/range", wire_get(STATE), 3000, true);
	assert_true(code == ETCD_UNAVAILABLE || code == ETCD_DEADLINE);
	wake_all();
	ask("/v3/kv/range", wire_get(STATE));
	close_client();
	conf.endpoints = cluster.endpoints;
	open_client();
}

int main(void)
{
#define ONE(name) cmocka_unit_test_setup_teardown(test_##name, begin_one, end)
#define USERS(name) cmocka_unit_test_setup_teardown(test_##name, begin_one, end_users)
#define THREE(name) cmocka_unit_test_setup_teardown(test_##name, begin_three, end)
#define TLS(name) cmocka_unit_test_setup_teardown(test_##name, begin_tls, end)
#define TLS_USERS(name) cmocka_unit_test_setup_teardown(test_##name, begin_tls, end_users)
	const struct CMUnitTest tests[] = {
		ONE(a_lease_lives_and_ends),
		ONE(a_lease_is_granted_once),
		ONE(places_in_the_queue),
		ONE(only_the_owner_commits),
		ONE(commit_and_release_are_one),
		ONE(release_without_a_commit),
		ONE(a_misspelt_fence_is_none),
		ONE(keys_of_a_prefix),
		ONE(record_and_release_in_one_message),
		ONE(large_records),
		ONE(a_compacted_revision),
		ONE(a_stopped_server),
		ONE(a_killed_server),
		USERS(users),
		USERS(users_that_are_refused),
		THREE(a_leader_that_is_killed),
		THREE(a_leader_that_is_stopped),
		THREE(a_member_without_quorum),
		TLS(tls),
		TLS_USERS(tls_and_users),
	};

	if (!etcd_is_installed()) {
		puts("1..0 # SKIP etcd and etcdctl are not installed");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, stop_all);
}
