/*
 * The etcd coordinator against a real etcd, and the real `etcdctl lock`.
 *
 * A puppet is a worker's coordinator with an event loop of its own, all in this process. One that
 * sleeps is not given its loop: the same as a worker that was stopped, or a machine that was
 * suspended. The test waits for what is told, never for time; short leases are only used where
 * their end is what is waited for.
 *
 * Between a puppet and etcd there may be a relay, which can swallow an answer or cut connections.
 */
#include "../lib/etcd_test.h"

#include <arpa/inet.h>
#include <ev.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "coord/coord.h"
#include "coord/etcd_impl.h"
#include "coord_test.h"
#include "net/http.h"

#define PATIENCE_MS 120000 /* until a test that hangs fails; no test depends on it */
/* For longer than that: such a lease is gone only because somebody gave it back. */
#define LASTING 300000
#define NS "/graceful-test"
#define NO_RECORD UINT64_MAX
#define PUPPETS 3

static struct cluster cluster;
static char namespace[] = NS;
static char relay_url[64];
static char *relayed[] = { relay_url, NULL };
#define direct (cluster.endpoints)
static struct job_conf job; /* a new name for every test */

/* ---- Programs ---- */

/* What etcdctl prints, valid until the next call. */
static const char *ctl(const char *words, ...) __attribute__((format(printf, 1, 2)));

static const char *ctl(const char *words, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, words);
	vsnprintf(line, sizeof(line), words, ap);
	va_end(ap);
	if (etcdctl(&cluster, line) != 0)
		fail_msg("etcdctl %s: %s", line, cluster.said);
	return cluster.said;
}

static void nap(void)
{
	poll(NULL, 0, 2);
}

static int connect_to(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_port = htons((uint16_t)port);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* ---- The relay ---- */

struct relay {
	int listener;
	_Atomic(int) swallow; /* so many answers to transactions are not passed on */
	_Atomic(int) cuts;    /* how often all connections were cut */
};

static struct relay relay;

struct link {
	int client, server;
};

static bool is_txn(const char *data, ssize_t n)
{
	return memmem(data, (size_t)n, "POST /v3/kv/txn", 15) != NULL;
}

static void pass_on(struct link *l)
{
	struct pollfd p[2] = { { l->client, POLLIN, 0 }, { l->server, POLLIN, 0 } };
	static _Thread_local char buf[65536];
	int cuts = relay.cuts;
	bool txn = false;
	ssize_t n;

	while (relay.cuts == cuts) {
		if (poll(p, 2, 5) <= 0)
			continue;
		if (p[0].revents != 0) {
			n = read(l->client, buf, sizeof(buf));
			if (n <= 0 || write(l->server, buf, (size_t)n) != n)
				return;
			txn |= is_txn(buf, n);
		}
		if (p[1].revents != 0) {
			n = read(l->server, buf, sizeof(buf));
			if (txn && relay.swallow > 0) {
				relay.swallow--;
				return;
			}
			if (n <= 0 || write(l->client, buf, (size_t)n) != n)
				return;
			txn = false;
		}
	}
}

static void *relay_link(void *arg)
{
	struct link *l = arg;

	pass_on(l);
	close(l->client);
	close(l->server);
	free(l);
	return NULL;
}

static void *relay_run(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept4(relay.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct link *l = malloc(sizeof(*l));
		pthread_t thread;

		if (l == NULL)
			abort();
		*l = (struct link){ fd, connect_to(cluster.nodes[0].port) };
		if (pthread_create(&thread, NULL, relay_link, l) != 0)
			abort();
		pthread_detach(thread);
	}
	return NULL;
}

static void start_relay(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int port = free_port();
	pthread_t thread;

	a.sin_port = htons((uint16_t)port);
	relay.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(relay.listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(relay.listener, 64), 0);
	snprintf(relay_url, sizeof(relay_url), "http://127.0.0.1:%d", port);
	assert_int_equal(pthread_create(&thread, NULL, relay_run, NULL), 0);
	pthread_detach(thread);
}

/* ---- Puppets ---- */

struct puppet {
	struct ev_loop *loop;
	struct coord *coord;
	struct conf conf;
	bool asleep;
	bool close_in_hook; /* in the next one */
	bool closed;

	bool at_once; /* granted and announced in one */
	int granted, freed, announced, kept, wavering, waiting, failed, lost, committed, released;
	uint64_t epoch, seq;
	enum coord_result result;
	msec until, told;
	char text[ERR_TEXT_MAX];
};

static struct puppet puppets[PUPPETS];

static void close_if_asked(struct puppet *p)
{
	if (!p->close_in_hook)
		return;
	coord_close(p->coord);
	p->closed = true;
}

static void on_granted(void *ctx, uint64_t epoch, const struct record *record)
{
	struct puppet *p = ctx;

	p->granted++;
	p->at_once = coord_is_announced(p->coord);
	p->epoch = epoch;
	p->seq = record != NULL ? record->seq : NO_RECORD;
	close_if_asked(p);
}

static void on_freed(void *ctx, const struct record *record)
{
	struct puppet *p = ctx;

	p->freed++;
	p->seq = record != NULL ? record->seq : NO_RECORD;
	close_if_asked(p);
}

static void on_announced(void *ctx)
{
	struct puppet *p = ctx;

	p->announced++;
	close_if_asked(p);
}

static void on_kept(void *ctx)
{
	struct puppet *p = ctx;

	p->kept++;
	close_if_asked(p);
}

static void on_wavering(void *ctx, enum coord_trouble trouble, const struct err *e)
{
	struct puppet *p = ctx;

	assert_int_equal(trouble, COORD_UNREACHABLE);
	assert_true(e->text[0] != '\0');
	assert_true(coord_safe_until(p->coord) > clock_now());
	p->wavering++;
	close_if_asked(p);
}

static void on_waiting(void *ctx, const char *holder)
{
	struct puppet *p = ctx;

	p->waiting++;
	snprintf(p->text, sizeof(p->text), "%s", holder);
	close_if_asked(p);
}

static void on_failed(void *ctx, enum coord_trouble why, const struct err *e)
{
	struct puppet *p = ctx;

	assert_int_not_equal(why, COORD_FINE);
	p->failed++;
	snprintf(p->text, sizeof(p->text), "%s", e->text);
	close_if_asked(p);
}

static void on_lost(void *ctx, msec until, const struct err *e)
{
	struct puppet *p = ctx;

	p->lost++;
	p->until = until;
	p->told = clock_now();
	snprintf(p->text, sizeof(p->text), "%s", e->text);
	close_if_asked(p);
}

static void on_result(struct puppet *p, int *count, enum coord_result result, const struct err *e)
{
	assert_true((e == NULL) == (result == COORD_OK));
	++*count;
	p->result = result;
	if (e != NULL)
		snprintf(p->text, sizeof(p->text), "%s", e->text);
	close_if_asked(p);
}

static void on_committed(void *ctx, enum coord_result result, const struct err *e)
{
	struct puppet *p = ctx;

	on_result(p, &p->committed, result, e);
}

static void on_released(void *ctx, enum coord_result result, const struct err *e)
{
	struct puppet *p = ctx;

	on_result(p, &p->released, result, e);
}

static const struct coord_hooks hooks = {
	.granted = on_granted,
	.freed = on_freed,
	.announced = on_announced,
	.kept = on_kept,
	.wavering = on_wavering,
	.waiting = on_waiting,
	.failed = on_failed,
	.lost = on_lost,
	.committed = on_committed,
	.released = on_released,
};

static struct puppet *wake(int i, msec ttl, char **endpoints)
{
	struct puppet *p = &puppets[i];
	struct err e;

	memset(p, 0, sizeof(*p));
	p->conf = (struct conf){ .ns = namespace, .coord = CONF_COORD_ETCD, .ttl = ttl };
	p->conf.endpoints = endpoints;
	snprintf(p->conf.instance, sizeof(p->conf.instance), "puppet-%d", i);
	p->loop = ev_loop_new(0);
	p->coord = coord_open(p->loop, &p->conf, &job, -1, &hooks, p, &e);
	assert_non_null(p->coord);
	return p;
}

static void dismiss(struct puppet *p)
{
	if (p->coord == NULL)
		return;
	if (!p->closed)
		coord_close(p->coord);
	ev_loop_destroy(p->loop);
	p->coord = NULL;
}

static void go_on(void)
{
	for (int i = 0; i < PUPPETS; i++) {
		if (puppets[i].coord != NULL && !puppets[i].asleep && !puppets[i].closed)
			ev_run(puppets[i].loop, EVRUN_NOWAIT);
	}
}

#define WAIT_FOR(cond)                                                                   \
	do {                                                                             \
		msec until_ = clock_now() + PATIENCE_MS;                                 \
		while (!(cond)) {                                                        \
			if (clock_now() > until_)                                        \
				fail_msg("waited in vain for: %s (%s)", #cond, words()); \
			go_on();                                                         \
			nap();                                                           \
		}                                                                        \
	} while (0)

/* What was told last, for a failure. */
static const char *words(void)
{
	static char text[PUPPETS * (ERR_TEXT_MAX + 8)];
	size_t len = 0;

	for (int i = 0; i < PUPPETS; i++)
		len += (size_t)snprintf(
		    text + len, sizeof(text) - len, " %d: %s;", i, puppets[i].text);
	return text;
}

/* Time for news to come that should not: several round trips of somebody else. */
static void let_pass(void)
{
	for (int i = 0; i < 3; i++) {
		ctl("get " NS "/nothing");
		for (int j = 0; j < 10; j++)
			go_on();
	}
}

static struct puppet *owner(int i, msec ttl, char **endpoints)
{
	struct puppet *p = wake(i, ttl, endpoints);

	coord_acquire(p->coord);
	WAIT_FOR(p->granted == 1 && coord_is_announced(p->coord));
	assert_int_equal(p->announced, p->at_once ? 0 : 1);
	return p;
}

static struct puppet *waiter(int i, msec ttl, char **endpoints)
{
	struct puppet *p = wake(i, ttl, endpoints);

	coord_acquire(p->coord);
	WAIT_FOR(p->waiting == 1);
	assert_int_equal(p->granted, 0);
	/* There is nothing that must have ended when the lease does. */
	assert_true(coord_safe_until(p->coord) == MSEC_NEVER);
	assert_true(coord_mute_by(p->coord) == MSEC_NEVER);
	return p;
}

static void begin_commit_after(
    struct record_trace after, struct puppet *p, uint64_t seq, bool release)
{
	struct record r;

	make_record(&r, p->epoch, seq, p->conf.instance);
	r.after = after;
	r.clean = release;
	coord_commit(p->coord, &r, release);
	record_clear(&r);
}

static void begin_commit(struct puppet *p, uint64_t seq, bool release)
{
	begin_commit_after((struct record_trace){ 0 }, p, seq, release);
}

static void commit(struct puppet *p, uint64_t seq, bool release)
{
	int before = p->committed;

	WAIT_FOR(coord_is_announced(p->coord));
	begin_commit(p, seq, release);
	WAIT_FOR(p->committed == before + 1);
	assert_int_equal(p->result, COORD_OK);
}

static void commit_unclean_and_release(struct puppet *p, uint64_t seq)
{
	struct record r;

	make_record(&r, p->epoch, seq, p->conf.instance);
	r.clean = false;
	coord_commit(p->coord, &r, true);
	record_clear(&r);
	WAIT_FOR(p->committed == 1);
	assert_int_equal(p->result, COORD_OK);
}

static void release_with(struct puppet *p, bool left_nothing)
{
	coord_release(p->coord, left_nothing);
	WAIT_FOR(p->released == 1);
	assert_int_equal(p->result, COORD_OK);
}

/* It dies without a word, and a rescue worker takes its lock over. */
static struct puppet *rescued(struct puppet *p, int machine)
{
	uint64_t lease = coord_lease(p->coord);
	uint64_t epoch = p->epoch;

	dismiss(p);
	p = wake(machine, 15000, direct);
	coord_adopt(p->coord, lease, epoch);
	WAIT_FOR(p->granted == 1);
	return p;
}

static void release(struct puppet *p)
{
	release_with(p, false);
}

/* ---- What etcd holds ---- */

static const char *key_of(const char *what)
{
	static char key[256];

	snprintf(key, sizeof(key), NS "/jobs/%s/%s", job.name, what);
	return key;
}

static const char *own_key(const struct puppet *p)
{
	char name[64];

	snprintf(name, sizeof(name), "lock/%jx", (uintmax_t)coord_lease(p->coord));
	return key_of(name);
}

/* The seq of the record, NO_RECORD if there is none. */
static uint64_t committed_seq(uint64_t *epoch)
{
	const char *text = ctl("get --print-value-only %s", key_of("state"));
	size_t len = strcspn(text, "\n");
	struct record r;
	uint64_t seq;

	if (len == 0)
		return NO_RECORD;
	assert_int_equal(record_decode(text, len, &r, NULL), 0);
	if (epoch != NULL)
		*epoch = r.epoch;
	seq = r.seq;
	record_clear(&r);
	return seq;
}

static bool no_lock_is_left(void)
{
	return *ctl("get --prefix --keys-only %s", key_of("lock/")) == '\0';
}

static int places(void)
{
	const char *text = ctl("get --prefix --keys-only %s", key_of("lock/"));
	int n = 0;

	for (; (text = strstr(text, "/lock/")) != NULL; text++)
		n++;
	return n;
}

static int leases(void)
{
	int n = -1;

	assert_int_equal(sscanf(ctl("lease list"), "found %d", &n), 1);
	return n;
}

static void farewell(struct puppet *p)
{
	if (!p->closed)
		coord_farewell(p->coord);
	dismiss(p);
}

/* ---- Tests ---- */

static void first_and_second(void **state)
{
	struct puppet *a = owner(0, LASTING, direct);
	uint64_t first = a->epoch;
	char mine[256];

	(void)state;
	assert_true(a->epoch > 0);
	assert_true(a->seq == NO_RECORD);
	assert_true(coord_predecessor(a->coord) == 0);
	assert_int_equal(a->waiting, 0);
	assert_true(coord_safe_until(a->coord) > clock_now());
	snprintf(mine, sizeof(mine), "%s", own_key(a));
	assert_non_null(strstr(ctl("get %s", mine), "\"instance\":\"puppet-0\""));
	commit(a, 1, false);
	commit(a, 2, false);
	assert_true(committed_seq(NULL) == 2);
	commit(a, 3, true);
	farewell(a);
	assert_true(no_lock_is_left());
	WAIT_FOR(leases() == 0);

	a = owner(0, LASTING, direct);
	assert_true(a->epoch > first);
	assert_true(a->seq == 3);
	assert_true(coord_predecessor(a->coord) == 0);
	release(a);
	farewell(a);
	assert_true(no_lock_is_left());
	WAIT_FOR(leases() == 0);
}

/* How many reads etcd has answered, by its own count. */
static int reads(void)
{
	static const char ask[] = "GET /metrics HTTP/1.0\r\n\r\n";
	static char text[1 << 20];
	int fd = connect_to(cluster.nodes[0].port);
	const char *line;
	size_t len = 0;
	ssize_t n;

	assert_int_equal(write(fd, ask, strlen(ask)), (ssize_t)strlen(ask));
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	text[len] = '\0';
	line = strstr(text, "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Range\"");
	assert_non_null(line);
	return atoi(strchr(line, '}') + 1);
}

/* The next owner gets the final record with the message that makes it the owner. */
static void taken_over_without_a_read(void **state)
{
	struct puppet *a = owner(0, 60000, direct);
	struct puppet *b = waiter(1, 60000, direct);
	int before;

	(void)state;
	commit(a, 1, false);
	before = reads();
	commit(a, 2, true);
	WAIT_FOR(b->granted == 1);
	assert_true(b->seq == 2);
	assert_true(b->at_once);
	assert_int_equal(reads(), before);
	release(b);
}

static void handed_over_in_order(void **state)
{
	struct puppet *a = owner(0, LASTING, direct);
	struct puppet *b = waiter(1, LASTING, direct);
	struct puppet *c = waiter(2, LASTING, direct);

	(void)state;
	assert_non_null(strstr(b->text, "puppet-0 on "));
	commit(a, 7, true);
	WAIT_FOR(b->granted == 1);
	assert_true(b->seq == 7);
	assert_true(b->epoch > a->epoch);
	WAIT_FOR(c->waiting == 2);
	assert_non_null(strstr(c->text, "puppet-1 on "));
	assert_int_equal(c->granted, 0);
	commit(b, 8, false);
	release(b);
	WAIT_FOR(c->granted == 1);
	assert_true(c->seq == 8);
	release(c);
	farewell(a);
	farewell(b);
	farewell(c);
	assert_true(no_lock_is_left());
	WAIT_FOR(leases() == 0);
}

static void one_leaves_from_the_middle(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 15000, direct);
	struct puppet *c = waiter(2, 15000, direct);

	(void)state;
	release(b);
	let_pass();
	assert_int_equal(c->granted, 0);
	commit(a, 1, true);
	WAIT_FOR(c->granted == 1);
	assert_true(c->seq == 1);
	release(c);
}

/* While there is no lease yet, and right after it. */
static void leaves_at_any_moment(void **state)
{
	(void)state;
	for (int rounds = 0; rounds < 12; rounds++) {
		struct puppet *a = wake(0, LASTING, direct);

		coord_acquire(a->coord);
		for (int i = 0; i < rounds; i++) {
			ev_run(a->loop, EVRUN_NOWAIT);
			nap();
		}
		release(a);
		farewell(a);
	}
	assert_true(no_lock_is_left());
	WAIT_FOR(leases() == 0);
}

/* Of three nodes the leader dies, or hangs, while a commit is under way. */
static void a_leader_fails(void **state)
{
	static const int how[] = { SIGKILL, SIGSTOP };
	static struct cluster three;
	uint64_t seq = 0;

	(void)state;
	cluster_start(&three, 3, false);
	for (int i = 0; i < 2; i++) {
		struct puppet *a = owner(0, 15000, three.endpoints);
		struct puppet *b = waiter(1, 15000, three.endpoints);
		int leader = cluster_leader(&three);

		commit(a, ++seq, false);
		begin_commit(a, ++seq, false);
		node_signal(&three, leader, how[i]);
		WAIT_FOR(a->committed == 2);
		assert_int_equal(a->result, COORD_OK);
		commit(a, ++seq, true);
		WAIT_FOR(b->granted == 1);
		assert_true(b->seq == seq);
		assert_int_equal(a->lost + b->lost + b->failed, 0);
		release(b);
		farewell(a);
		farewell(b);
		if (how[i] == SIGKILL) {
			node_kill(&three, leader);
			node_start(&three, leader);
		} else {
			node_signal(&three, leader, SIGCONT);
		}
		assert_true(cluster_becomes_healthy(&three));
	}
	cluster_stop(&three);
}

struct etcdctl_lock {
	pid_t pid;
	int out;
};

static struct etcdctl_lock etcdctl_lock(void)
{
	struct etcdctl_lock l;
	char name[256];
	int out[2];

	snprintf(name, sizeof(name), "%s", key_of("lock"));
	assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
	l.pid = fork();
	assert_true(l.pid >= 0);
	if (l.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], STDOUT_FILENO);
		execlp("etcdctl", "etcdctl", "--endpoints", cluster.urls[0], "lock", name,
		    (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	l.out = out[0];
	return l;
}

/* It prints its key. */
static bool says_held(const struct etcdctl_lock *l)
{
	char c;

	return read(l->out, &c, 1) == 1;
}

static void end_etcdctl_lock(struct etcdctl_lock *l)
{
	kill(l->pid, SIGINT);
	assert_int_equal(waitpid(l->pid, NULL, 0), l->pid);
	close(l->out);
}

static void etcdctl_holds(void **state)
{
	struct etcdctl_lock l = etcdctl_lock();
	struct puppet *a, *b;

	(void)state;
	WAIT_FOR(says_held(&l));
	a = waiter(0, 15000, direct);
	assert_non_null(strstr(a->text, "which is no worker's"));
	b = waiter(1, 15000, direct);
	end_etcdctl_lock(&l);
	WAIT_FOR(a->granted == 1);
	release(a);
	WAIT_FOR(b->granted == 1);
	release(b);
}

/* Between two of ours: neither overtakes the other. */
static void etcdctl_waits(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct etcdctl_lock l = etcdctl_lock();
	struct puppet *b;

	(void)state;
	WAIT_FOR(places() == 2);
	b = waiter(1, 15000, direct);
	assert_false(says_held(&l));
	commit(a, 1, true);
	WAIT_FOR(says_held(&l));
	let_pass();
	assert_int_equal(b->granted, 0);
	end_etcdctl_lock(&l);
	WAIT_FOR(b->granted == 1);
	assert_true(b->seq == 1);
	release(b);
}

/* Nothing of an owner that slept beyond its lease becomes visible. */
static void slept_too_long(void **state)
{
	struct puppet *a = owner(0, 6000, direct);
	struct puppet *b;
	uint64_t epoch = 0;

	(void)state;
	commit(a, 1, false);
	a->asleep = true;
	b = waiter(1, LASTING, direct);
	WAIT_FOR(b->granted == 1);
	assert_true(b->seq == 1);
	commit(b, 2, false);
	begin_commit(a, 9, false);
	a->asleep = false;
	WAIT_FOR(a->committed == 2 && (a->lost == 1 || a->result == COORD_LOST));
	if (a->lost == 1)
		assert_true(a->until < a->told); /* at once */
	assert_int_not_equal(a->result, COORD_OK);
	assert_true(committed_seq(&epoch) == 2);
	assert_true(epoch == b->epoch);
	begin_commit(a, 10, false);
	WAIT_FOR(a->committed == 3);
	assert_int_equal(a->result, COORD_FAILED);
	commit(b, 3, true);
	farewell(a);
	farewell(b);
	WAIT_FOR(leases() == 0);
}

/* The same with a lock that ends before its time, so that nothing but the fence can stop it. */
static void fenced(void **state)
{
	struct puppet *a = owner(0, 60000, direct);
	struct puppet *b;
	char lease[32];

	(void)state;
	snprintf(lease, sizeof(lease), "%jx", (uintmax_t)coord_lease(a->coord));
	commit(a, 1, false);
	a->asleep = true;
	ctl("lease revoke %s", lease);
	b = owner(1, 15000, direct);
	begin_commit_after((struct record_trace){ a->epoch, 1, false }, b, 2, false);
	WAIT_FOR(b->committed == 1);
	begin_commit(a, 9, true);
	a->asleep = false;
	WAIT_FOR(a->committed == 2);
	assert_int_equal(a->result, COORD_LOST);
	assert_true(committed_seq(NULL) == 2);
	commit(b, 3, true);
}

/* The news that it is first is still in its socket when its lease has ended. */
static void slept_too_long_in_the_queue(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 6000, direct);
	struct puppet *c = waiter(2, 15000, direct);

	(void)state;
	b->asleep = true;
	commit(a, 1, true);
	WAIT_FOR(c->granted == 1);
	b->asleep = false;
	WAIT_FOR(b->failed == 1);
	assert_int_equal(b->granted, 0);
	release(c);
}

/* The lease is fine. What has arrived is read before anything is started. */
static void own_key_is_deleted_before_the_news_is_read(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 60000, direct);

	(void)state;
	b->asleep = true;
	commit(a, 1, true);
	ctl("del %s", own_key(b));
	let_pass();
	b->asleep = false;
	WAIT_FOR(b->failed == 1);
	assert_int_equal(b->granted, 0);
}

static void own_key_is_deleted(void **state)
{
	struct puppet *a = owner(0, LASTING, direct);
	struct puppet *b = waiter(1, LASTING, direct);
	struct puppet *c = waiter(2, LASTING, direct);

	(void)state;
	ctl("del %s", own_key(b));
	WAIT_FOR(b->failed == 1);
	assert_non_null(strstr(b->text, "somebody deleted it"));
	ctl("del %s", own_key(a));
	WAIT_FOR(a->lost == 1);
	assert_true(a->until < a->told);
	WAIT_FOR(c->granted == 1);
	coord_acquire(b->coord);
	WAIT_FOR(b->waiting == 2);
	release(c);
	WAIT_FOR(b->granted == 1);
	release(b);
	farewell(a);
	farewell(b);
	farewell(c);
	WAIT_FOR(leases() == 0);
}

static void lease_is_revoked(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 15000, direct);
	char lease[2][32];

	(void)state;
	for (int i = 0; i < 2; i++)
		snprintf(
		    lease[i], sizeof(lease[i]), "%jx", (uintmax_t)coord_lease(puppets[i].coord));
	ctl("lease revoke %s", lease[1]);
	WAIT_FOR(b->failed == 1);
	ctl("lease revoke %s", lease[0]);
	WAIT_FOR(a->lost == 1);
	assert_true(a->until < a->told);
}

/* With what the worker reported, another process takes over the lock of one that died. */
static void adopted(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 15000, direct);
	uint64_t lease = coord_lease(a->coord);
	uint64_t epoch = a->epoch;

	(void)state;
	commit(a, 1, false);
	a = rescued(a, 0);
	assert_true(a->epoch == epoch);
	assert_true(a->seq == 1);
	commit(a, 2, true);
	WAIT_FOR(b->granted == 1);
	assert_true(b->seq == 2);
	farewell(a);
	/* The lease is gone, and the key with it. */
	a = wake(0, 15000, direct);
	coord_adopt(a->coord, lease, epoch);
	WAIT_FOR(a->freed == 1);
	assert_true(a->seq == 2);
	dismiss(a);
	/* A lease that lives does not make it the owner: the epoch must be its key's. */
	a = wake(0, 15000, direct);
	coord_adopt(a->coord, coord_lease(b->coord), epoch);
	WAIT_FOR(a->failed == 1);
	assert_non_null(strstr(a->text, "does not hold epoch"));
	farewell(a);
	commit(b, 3, true);
	assert_int_equal(b->lost, 0);
}

/* The dead worker released its lock, and had no time to give its lease back. */
static void freed_before_the_adoption(void **state)
{
	struct puppet *a = owner(0, LASTING, direct);
	struct puppet *b = waiter(1, LASTING, direct);
	uint64_t lease = coord_lease(a->coord);
	uint64_t epoch = a->epoch;

	(void)state;
	ctl("del %s", own_key(a));
	WAIT_FOR(a->lost == 1 && b->granted == 1);
	commit(b, 1, false);
	dismiss(a);
	a = wake(0, LASTING, direct);
	coord_adopt(a->coord, lease, epoch);
	WAIT_FOR(a->freed == 1);
	assert_true(a->seq == 1);
	farewell(a);
	WAIT_FOR(leases() == 1);
	commit(b, 2, true);
	assert_int_equal(b->lost, 0);
}

/* etcd did it, and the answer was lost: read back, not assumed. */
static void answer_is_lost(void **state)
{
	struct puppet *a = owner(0, 15000, relayed);
	struct puppet *b = waiter(1, 15000, direct);

	(void)state;
	relay.swallow = 1;
	commit(a, 1, false);
	assert_int_equal(relay.swallow, 0);
	assert_true(committed_seq(NULL) == 1);
	relay.swallow = 2;
	commit(a, 2, false);
	assert_int_equal(relay.swallow, 0);
	commit(a, 3, false);
	relay.swallow = 1;
	commit(a, 4, true);
	assert_int_equal(relay.swallow, 0);
	WAIT_FOR(b->granted == 1);
	assert_true(b->seq == 4);
	release(b);
}

/* At once: etcdctl takes its time on a busy machine, and a release is not tried for ever. */
static void revoke_now(uint64_t lease)
{
	char request[256], body[64], answer[1024];
	int fd = connect_to(cluster.nodes[0].port);
	ssize_t n;

	snprintf(body, sizeof(body), "{\"ID\":\"%ju\"}", (uintmax_t)lease);
	snprintf(request, sizeof(request),
	    "POST /v3/lease/revoke HTTP/1.0\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
	assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	n = read(fd, answer, sizeof(answer) - 1);
	assert_true(n > 0);
	answer[n] = '\0';
	assert_non_null(strstr(answer, " 200 "));
	close(fd);
}

/* And before it is asked for again, the lease that the lock hung on is gone. */
static void answer_is_lost_and_the_lease_with_it(void **state)
{
	struct puppet *a = owner(0, 15000, relayed);

	(void)state;
	relay.swallow = INT32_MAX;
	begin_commit(a, 1, true);
	WAIT_FOR(relay.swallow < INT32_MAX); /* carried out */
	revoke_now(coord_lease(a->coord));
	WAIT_FOR(coord_safe_until(a->coord) == 0); /* a keepalive has told */
	relay.swallow = 0;
	WAIT_FOR(a->committed == 1);
	assert_int_equal(a->result, COORD_OK);
	assert_int_equal(a->lost, 0);
	farewell(a);
	/* A release alone. */
	a = owner(0, 3000, relayed);
	relay.swallow = INT32_MAX;
	coord_release(a->coord, false);
	WAIT_FOR(relay.swallow < INT32_MAX);
	revoke_now(coord_lease(a->coord));
	WAIT_FOR(coord_safe_until(a->coord) == 0 || a->released == 1);
	relay.swallow = 0;
	WAIT_FOR(a->released == 1);
	/* A busy etcd may outlast the patience of a release. */
	if (a->result != COORD_FAILED) {
		assert_int_equal(a->result, COORD_OK);
		assert_int_equal(a->lost, 0);
	}
}

/* And before it is asked for again, the next owner has begun from it, and committed. */
static void answer_is_lost_until_the_next_owner_commits(void **state)
{
	struct puppet *a = owner(0, 15000, relayed);
	struct puppet *b = waiter(1, 15000, direct);

	(void)state;
	relay.swallow = INT32_MAX;
	begin_commit(a, 1, true);
	WAIT_FOR(b->granted == 1 && coord_is_announced(b->coord));
	begin_commit_after((struct record_trace){ a->epoch, 1, true }, b, 2, false);
	WAIT_FOR(b->committed == 1);
	relay.swallow = 0;
	WAIT_FOR(a->committed == 1);
	assert_int_equal(a->result, COORD_OK);
	assert_int_equal(a->lost, 0);
	commit(b, 3, true);
}

static void joins_when_the_answer_is_lost(void **state)
{
	struct puppet *a = wake(0, 15000, relayed);

	(void)state;
	relay.swallow = 1;
	coord_acquire(a->coord);
	WAIT_FOR(a->granted == 1);
	assert_int_equal(relay.swallow, 0);
	assert_int_equal(places(), 1);
	release(a);
}

/* The record is ours to write, whoever else did. */
static void somebody_edits_the_record(void **state)
{
	struct puppet *a = owner(0, 15000, direct);

	(void)state;
	commit(a, 1, false);
	ctl("put %s scribble", key_of("state"));
	commit(a, 2, false);
	assert_true(committed_seq(NULL) == 2);
	ctl("del %s", key_of("state"));
	commit(a, 3, true);
	assert_true(committed_seq(NULL) == 3);
}

static void record_is_damaged(void **state)
{
	struct puppet *a;

	(void)state;
	ctl("put %s scribble", key_of("state"));
	a = wake(0, 15000, direct);
	coord_acquire(a->coord);
	WAIT_FOR(a->failed == 1);
	assert_non_null(strstr(a->text, "/state is damaged"));
	farewell(a);
	assert_true(no_lock_is_left());
}

/* The keys were copied from an etcd that had come further: no fencing token may be smaller. */
static void record_is_of_a_later_epoch(void **state)
{
	struct puppet *a;
	struct record r;
	struct err e;
	char *text;

	(void)state;
	make_record(&r, 999999, 7, "elsewhere");
	text = record_encode(&r, &e);
	assert_non_null(text);
	ctl("put %s '%s'", key_of("state"), text);
	a = wake(0, 15000, direct);
	coord_acquire(a->coord);
	WAIT_FOR(a->failed == 1);
	assert_int_equal(a->granted, 0);
	assert_non_null(strstr(a->text, "/state is of epoch 999999"));
	farewell(a);
	assert_true(no_lock_is_left());
	free(text);
	r.epoch = 1;
	text = record_encode(&r, &e);
	assert_non_null(text);
	ctl("put %s '%s'", key_of("state"), text);
	a = owner(0, 15000, direct);
	assert_true(a->seq == 7);
	commit(a, 8, true);
	free(text);
	record_clear(&r);
}

/* A waiter whose watch is cut while it sleeps, with a history that is compacted meanwhile. */
static void watch_is_cut_and_compacted(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 15000, relayed);

	(void)state;
	b->asleep = true;
	relay.cuts++;
	for (uint64_t seq = 1; seq < 5; seq++)
		commit(a, seq, false);
	ctl("compact %ju", (uintmax_t)a->epoch + 4);
	commit(a, 5, true);
	b->asleep = false;
	WAIT_FOR(b->granted == 1);
	assert_true(b->seq == 5);
	relay.cuts++; /* the owner's watch, too */
	ctl("del %s", own_key(b));
	WAIT_FOR(b->lost == 1);
}

static void renewed_and_told(void **state)
{
	struct puppet *a = owner(0, 6000, direct);
	msec until = coord_safe_until(a->coord);

	(void)state;
	WAIT_FOR(a->kept >= 2);
	assert_true(coord_safe_until(a->coord) > until);
	assert_int_equal(a->lost, 0);
	release(a);
}

/* What the owner key says: 0 if it is not there. */
static uint64_t owner_key(void)
{
	return strtoull(ctl("get --print-value-only %s", key_of("owner")), NULL, 10);
}

static void one_that_left_in_order_is_not_waited_for(void **state)
{
	struct puppet *a = owner(0, 15000, direct);

	(void)state;
	assert_true(a->at_once); /* the first one ever */
	WAIT_FOR(owner_key() == a->epoch);
	commit(a, 1, true);
	assert_true(owner_key() == 0);
	farewell(a);
	for (int i = 0; i < 2; i++) {
		a = owner(0, 15000, direct);
		assert_true(a->at_once && coord_predecessor(a->coord) == 0);
		release(a);
		assert_true(owner_key() == 0);
		farewell(a);
	}
}

/* How often it was put since it was last made. */
static unsigned long owner_key_puts(void)
{
	const char *version = strstr(ctl("get -w json %s", key_of("owner")), "\"version\":");

	return version != NULL ? strtoul(version + strlen("\"version\":"), NULL, 10) : 0;
}

/*
 * Returns who takes the lock over from one that lost it, and whose epoch that was. That one does
 * not leave in order, as the key goes with the lease. The new one's announcement has not been sent.
 */
static struct puppet *successor_of_a_loser(uint64_t *epoch)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 15000, direct);

	*epoch = a->epoch;
	WAIT_FOR(owner_key() == *epoch);
	ctl("lease revoke %jx", (uintmax_t)coord_lease(a->coord));
	WAIT_FOR(b->granted == 1);
	return b;
}

static void see_loser_off(void)
{
	struct puppet *a = &puppets[0];

	WAIT_FOR(a->lost == 1);
	farewell(a);
}

/* Also one that committed nothing. The job of the next one must not run before everybody knows. */
static void one_that_lost_its_lock_is_known(void **state)
{
	uint64_t first;
	msec begun = clock_now();
	struct puppet *b = successor_of_a_loser(&first);
	msec since = clock_now();
	struct puppet *a;
	bool quick;

	(void)state;
	assert_true(!b->at_once && coord_predecessor(b->coord) == first);
	WAIT_FOR(b->announced == 1);
	quick = clock_now() - begun < 1200; /* else an attempt may have been repeated */
	assert_true(owner_key() == b->epoch);
	see_loser_off();
	/* Twice in all, once by each: also when what could be put off is made up for. */
	WAIT_FOR(clock_now() > since + 2 * ETCD_ASIDE);
	let_pass();
	if (quick)
		assert_int_equal(owner_key_puts(), 2);
	release(b);
	/* Not the first one's state: another has owned the job since. And that one may have taken
	 * it over. */
	a = owner(0, 15000, direct);
	assert_true(!a->at_once && coord_predecessor(a->coord) == b->epoch);
	release(a);
}

/* Its job ran, and no record says that its last state is in there; nor does it last until the
 * announcement. */
static void one_that_may_have_left_a_state_is_known(void **state)
{
	struct puppet *a, *b;
	struct err e;

	(void)state;
	for (int i = 0; i < 4; i++) {
		a = owner(0, 15000, direct);
		assert_int_equal(coord_started(a->coord, getpid(), &e), 0);
		if (i < 2)
			WAIT_FOR(owner_key() == a->epoch);
		if (i % 2 == 0)
			commit_unclean_and_release(a, 1);
		else
			release(a);
		assert_true(owner_key() == a->epoch);
		farewell(a);
		/* Its job cannot be started here. */
		b = owner(1, 15000, direct);
		assert_true(!b->at_once && coord_predecessor(b->coord) == a->epoch);
		release(b);
		assert_true(owner_key() == b->epoch);
		farewell(b);
		a = owner(0, 15000, direct);
		assert_true(!a->at_once && coord_predecessor(a->coord) == b->epoch);
		assert_int_equal(coord_started(a->coord, getpid(), &e), 0);
		commit(a, 2, true);
		assert_true(owner_key() == 0);
		farewell(a);
	}
}

/* Without a record, or behind one that left in disorder: its job ran, and left no file. */
static void one_that_left_nothing_is_not_waited_for(void **state)
{
	struct puppet *a;
	struct err e;

	(void)state;
	for (int i = 0; i < 2; i++) {
		a = owner(0, 15000, direct);
		assert_int_equal(coord_started(a->coord, getpid(), &e), 0);
		release_with(a, true);
		assert_true(owner_key() == 0);
		farewell(a);
		a = owner(0, 15000, direct);
		assert_true(a->at_once && coord_predecessor(a->coord) == 0);
		assert_int_equal(coord_started(a->coord, getpid(), &e), 0);
		WAIT_FOR(owner_key() == a->epoch);
		release(a);
		farewell(a);
	}
}

/* Nothing ran in between. */
static void one_that_left_before_it_was_announced(void **state)
{
	uint64_t first;
	struct puppet *b = successor_of_a_loser(&first);
	struct puppet *a;

	(void)state;
	assert_false(coord_is_announced(b->coord));
	release_with(b, true); /* of its own: the first one's state counts as yet */
	assert_int_equal(b->announced, 0);
	see_loser_off();
	a = owner(0, 15000, direct);
	assert_true(coord_predecessor(a->coord) == first);
	release(a);
}

/* A commit does not wait for it. */
static void answer_to_the_announcement_is_lost(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 15000, relayed);

	(void)state;
	relay.swallow = 2;
	commit(a, 1, true);
	WAIT_FOR(b->granted == 1);
	assert_true(b->at_once);
	commit(b, 2, false);
	WAIT_FOR(relay.swallow == 0);
	WAIT_FOR(owner_key() == b->epoch);
	commit(b, 3, true);
	assert_true(owner_key() == 0);
	assert_int_equal(b->announced + b->lost, 0);
}

/* Its job did not run, so its rescue leaves the number of the one before it. */
static void rescued_before_it_was_announced(void **state)
{
	uint64_t first, epoch, lease;
	struct puppet *b = successor_of_a_loser(&first);
	struct puppet *a;

	(void)state;
	assert_false(b->at_once);
	epoch = b->epoch;
	lease = coord_lease(b->coord);
	dismiss(b);
	see_loser_off();
	b = wake(1, 15000, direct);
	coord_adopt(b->coord, lease, epoch);
	WAIT_FOR(b->granted == 1);
	release(b);
	assert_true(owner_key() == first);
	a = owner(0, 15000, direct);
	assert_true(coord_predecessor(a->coord) == first);
	/* When it was announced, its job may have run. */
	epoch = a->epoch;
	a = rescued(a, 0);
	release(a);
	assert_true(owner_key() == epoch);
	farewell(a);
	a = owner(0, 15000, direct);
	release_with(a, true);
	farewell(a);
	/* And when it had not to wait for that. */
	a = owner(0, 15000, direct);
	assert_true(a->at_once);
	epoch = a->epoch;
	a = rescued(a, 0);
	release(a);
	assert_true(owner_key() == epoch);
}

/* Not even its own state is gone on from, as nobody knows that it owned the job. */
static void one_that_died_before_it_was_announced(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 15000, direct);

	(void)state;
	commit(a, 1, true);
	WAIT_FOR(b->granted == 1);
	assert_true(b->at_once);
	b->asleep = true;
	ctl("lease revoke %jx", (uintmax_t)coord_lease(b->coord));
	dismiss(b);
	b = owner(1, 15000, direct);
	assert_true(b->at_once && coord_predecessor(b->coord) == 0);
	release(b);
}

/* A hook may close the coord, whatever is under way: the sanitizers look on. */
static void closed_in_a_hook(void **state)
{
	struct puppet *a, *b;

	(void)state;
	for (int i = 0; i < 6; i++) {
		a = owner(0, 15000, direct);
		b = i == 5 ? wake(1, 15000, direct) : waiter(1, 15000, direct);
		a->close_in_hook = i < 4;
		b->close_in_hook = i >= 4;
		if (i == 0)
			begin_commit(a, 1, false);
		else if (i == 1)
			begin_commit(a, 1, true);
		else if (i == 2)
			coord_release(a->coord, false);
		else if (i == 3)
			ctl("del %s", own_key(a));
		else if (i == 4)
			ctl("del %s", own_key(b));
		else
			coord_acquire(b->coord);
		WAIT_FOR(a->closed || b->closed);
		farewell(a);
		farewell(b);
		snprintf(job.name, sizeof(job.name), "closed%d", i);
	}
}

/* A worker died in the queue: its place is cleared by the next one of its master. */
static void buried(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 60000, direct);
	uint64_t lease = coord_lease(b->coord);

	(void)state;
	dismiss(b);
	b = wake(1, 15000, direct);
	coord_bury(b->coord, lease);
	coord_acquire(b->coord);
	WAIT_FOR(b->waiting == 1);
	WAIT_FOR(places() == 2);
	commit(a, 1, true);
	WAIT_FOR(b->granted == 1);
	release(b);
}

static void etcd_restarts(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 15000, direct);

	(void)state;
	commit(a, 1, false);
	node_kill(&cluster, 0);
	begin_commit(a, 2, false);
	node_start(&cluster, 0);
	WAIT_FOR(a->committed == 2);
	assert_int_equal(a->result, COORD_OK);
	commit(a, 3, true);
	WAIT_FOR(b->granted == 1);
	assert_true(b->seq == 3);
	assert_int_equal(a->lost + b->lost + b->failed, 0);
	release(b);
}

/* It is told in time for the job to stop, and runs again when etcd does. */
static void etcd_hangs(void **state)
{
	struct puppet *a = owner(0, 8000, direct);
	uint64_t seq;
	int before;

	(void)state;
	commit(a, 1, false);
	before = a->wavering;
	node_signal(&cluster, 0, SIGSTOP);
	begin_commit(a, 2, false);
	WAIT_FOR(a->lost == 1);
	assert_true(
	    a->wavering - before <= 1); /* a busy machine may have left no time to tell it */
	assert_int_equal(a->committed, 1);
	assert_int_equal(a->until, coord_safe_until(a->coord));
	node_signal(&cluster, 0, SIGCONT);
	/* It came in time, or too late: etcd says so. */
	WAIT_FOR(a->committed == 2);
	assert_int_not_equal(a->result, COORD_FAILED);
	seq = a->result == COORD_OK ? 2 : 1;
	farewell(a);
	a = wake(0, 15000, direct);
	do {
		int failed = a->failed;

		coord_acquire(a->coord);
		WAIT_FOR(a->granted == 1 || a->failed > failed);
	} while (a->granted == 0);
	assert_true(a->seq == seq);
	release(a);
}

/* For less than that: nothing is lost, and it is told once that it was close. */
static void etcd_hangs_for_a_moment(void **state)
{
	struct puppet *a = owner(0, 20000, direct);
	int kept;

	(void)state;
	node_signal(&cluster, 0, SIGSTOP);
	WAIT_FOR(a->wavering == 1);
	node_signal(&cluster, 0, SIGCONT);
	kept = a->kept;
	WAIT_FOR(a->kept > kept);
	assert_int_equal(a->wavering, 1);
	assert_int_equal(a->lost, 0);
	commit(a, 1, false);
	release(a);
}

/* Who only waits need not wait for etcd to go: its place ends with its lease. */
static void etcd_hangs_when_one_leaves(void **state)
{
	struct puppet *a = owner(0, 15000, direct);
	struct puppet *b = waiter(1, 3000, direct);

	(void)state;
	node_signal(&cluster, 0, SIGSTOP);
	coord_release(b->coord, false);
	WAIT_FOR(b->lost == 1);
	assert_int_equal(b->released, 1);
	assert_int_equal(b->result, COORD_FAILED);
	farewell(b);
	node_signal(&cluster, 0, SIGCONT);
	release(a);
}

static void nobody_there(void **state)
{
	static char nowhere[] = "http://127.0.0.1:1";
	static char *endpoints[] = { nowhere, NULL };
	struct puppet *a = wake(0, 15000, endpoints);

	(void)state;
	coord_acquire(a->coord);
	WAIT_FOR(a->failed == 1);
	assert_non_null(strstr(a->text, nowhere));
	release(a);
	farewell(a);
}

/* ---- */

static int setup(void **state)
{
	static int n;

	(void)state;
	snprintf(job.name, sizeof(job.name), "job%d", ++n);
	relay.swallow = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < PUPPETS; i++) {
		if (puppets[i].coord != NULL)
			farewell(&puppets[i]);
	}
	return 0;
}

static int start_all(void **state)
{
	struct err e;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (http_init(&e) != 0)
		return -1;
	cluster_start(&cluster, 1, false);
	start_relay();
	return 0;
}

static int stop_all(void **state)
{
	(void)state;
	cluster_stop(&cluster);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_and_second),
		TEST(taken_over_without_a_read),
		TEST(handed_over_in_order),
		TEST(one_leaves_from_the_middle),
		TEST(leaves_at_any_moment),
		TEST(slept_too_long),
		TEST(slept_too_long_in_the_queue),
		TEST(fenced),
		TEST(own_key_is_deleted_before_the_news_is_read),
		TEST(own_key_is_deleted),
		TEST(lease_is_revoked),
		TEST(adopted),
		TEST(freed_before_the_adoption),
		TEST(answer_is_lost),
		TEST(answer_is_lost_and_the_lease_with_it),
		TEST(answer_is_lost_until_the_next_owner_commits),
		TEST(joins_when_the_answer_is_lost),
		TEST(somebody_edits_the_record),
		TEST(record_is_damaged),
		TEST(record_is_of_a_later_epoch),
		TEST(watch_is_cut_and_compacted),
		TEST(renewed_and_told),
		TEST(one_that_left_in_order_is_not_waited_for),
		TEST(one_that_lost_its_lock_is_known),
		TEST(one_that_may_have_left_a_state_is_known),
		TEST(one_that_left_nothing_is_not_waited_for),
		TEST(one_that_left_before_it_was_announced),
		TEST(answer_to_the_announcement_is_lost),
		TEST(one_that_died_before_it_was_announced),
		TEST(rescued_before_it_was_announced),
		TEST(buried),
		TEST(closed_in_a_hook),
		TEST(etcd_restarts),
		TEST(etcd_hangs),
		TEST(etcd_hangs_for_a_moment),
		TEST(etcd_hangs_when_one_leaves),
		TEST(a_leader_fails),
		TEST(nobody_there),
		/* Last: etcdctl leaves leases behind, which others would count. */
		TEST(etcdctl_holds),
		TEST(etcdctl_waits),
	};

	if (!etcd_is_installed()) {
		puts("1..0 # SKIP etcd and etcdctl are not installed");
		return 0;
	}
	return cmocka_run_group_tests(tests, start_all, stop_all);
}
