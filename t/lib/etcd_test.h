/*
 * etcd_test.h - a real etcd for a test: one node or three, on free ports of the loopback, with data
 * directories of their own, and gone when the test is. Included once per executable.
 */
#ifndef T_LIB_ETCD_TEST_H
#define T_LIB_ETCD_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NODES_MAX 3
#define ETCD_PATIENCE_S 120 /* what takes longer is taken for something that never comes */

struct node {
	pid_t pid; /* 0: it does not run */
	int port, peer_port;
};

struct cluster {
	char dir[128];
	bool tls;
	int n;
	struct node nodes[NODES_MAX];
	char urls[NODES_MAX][64];
	char *endpoints[NODES_MAX + 1]; /* as in struct conf */
	char ca[192], cert[192], key[192];
	char ctl_options[512];
	char said[8192]; /* what the last etcdctl() wrote */
};

static inline bool etcd_is_installed(void)
{
	return system("command -v etcd >/dev/null && command -v etcdctl >/dev/null") == 0;
}

/* For temporary files. */
static inline const char *tmp_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	return tmp != NULL && *tmp == '/' ? tmp : "/tmp";
}

static inline bool port_can_be_had(int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	good = fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
	close(fd);
	return good;
}

/*
 * A port that nobody listens on, and that is this process's as long as it lives: a node that was
 * killed has to find its own free when it comes back. So it is none of those that the kernel gives
 * to whoever asks for any, and tests that run beside each other lock theirs (Graceful::Etcd does
 * the same).
 */
static inline int free_port(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	static unsigned int next;
	static int fd = -1;
	char path[128];

	if (fd < 0) {
		snprintf(path, sizeof(path), "%.60s/graceful-test-ports-%u", tmp_dir(),
		    (unsigned int)geteuid());
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		next = (unsigned int)getpid() * 97;
	}
	for (int i = 0; i < 22000; i++) {
		lock.l_start = 10000 + next++ % 22000;
		if (fcntl(fd, F_SETLK, &lock) == 0 && port_can_be_had((int)lock.l_start))
			return (int)lock.l_start;
	}
	fail_msg("no free port");
	return -1;
}

static inline int run_shell(const char *command)
{
	int status = system(command);

	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Runs etcdctl with these words; its output is in c->said. Returns its exit status. */
static inline int etcdctl(struct cluster *c, const char *words)
{
	char command[2048], urls[256] = "";
	FILE *pipe;
	size_t len;

	for (int i = 0; i < c->n; i++) {
		strcat(urls, i > 0 ? "," : "");
		strcat(urls, c->urls[i]);
	}
	snprintf(command, sizeof(command),
	    "ETCDCTL_API=3 timeout -k 1 60 etcdctl --endpoints %s --command-timeout 30s %s %s 2>&1",
	    urls, c->ctl_options, words);
	pipe = popen(command, "re");
	assert_non_null(pipe);
	len = fread(c->said, 1, sizeof(c->said) - 1, pipe);
	c->said[len] = '\0';
	return pclose(pipe);
}

static inline void node_exec(struct cluster *c, int i)
{
	char name[16], data[192], client[64], peer[64], peers[512] = "", log[192];
	const char *scheme = c->tls ? "https" : "http";
	int fd;

	snprintf(name, sizeof(name), "n%d", i);
	snprintf(data, sizeof(data), "%s/%s", c->dir, name);
	snprintf(client, sizeof(client), "%s://127.0.0.1:%d", scheme, c->nodes[i].port);
	snprintf(peer, sizeof(peer), "http://127.0.0.1:%d", c->nodes[i].peer_port);
	for (int k = 0; k < c->n; k++)
		snprintf(peers + strlen(peers), sizeof(peers) - strlen(peers),
		    "%sn%d=http://127.0.0.1:%d", k > 0 ? "," : "", k, c->nodes[k].peer_port);
	snprintf(log, sizeof(log), "%s/%s.log", c->dir, name);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	if (c->tls)
		execlp("etcd", "etcd", "--bcrypt-cost", "4", "--name", name, "--data-dir", data,
		    "--listen-client-urls", client, "--advertise-client-urls", client,
		    "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		    "--initial-cluster", peers, "--cert-file", c->cert, "--key-file", c->key,
		    "--trusted-ca-file", c->ca, "--client-cert-auth", (char *)NULL);
	/* Passwords are cheap: on a busy machine no token would come in time. */
	execlp("etcd", "etcd", "--bcrypt-cost", "4", "--name", name, "--data-dir", data,
	    "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls",
	    peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", peers, (char *)NULL);
}

/* Also starts one again that was killed. */
static inline void node_start(struct cluster *c, int i)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		node_exec(c, i);
		_exit(127);
	}
	c->nodes[i].pid = pid;
}

/* Whatever was done to it. */
static inline void node_revive(struct cluster *c, int i)
{
	if (c->nodes[i].pid > 0)
		kill(c->nodes[i].pid, SIGCONT);
	else
		node_start(c, i);
}

static inline void node_signal(struct cluster *c, int i, int signo)
{
	assert_true(c->nodes[i].pid > 0);
	kill(c->nodes[i].pid, signo);
	/* kill() returns before all of its threads have stopped. */
	if (signo == SIGSTOP)
		waitpid(c->nodes[i].pid, NULL, WUNTRACED);
}

static inline void node_kill(struct cluster *c, int i)
{
	if (c->nodes[i].pid <= 0)
		return;
	kill(c->nodes[i].pid, SIGKILL);
	waitpid(c->nodes[i].pid, NULL, 0);
	c->nodes[i].pid = 0;
}

static inline bool node_has_died(struct cluster *c, int i)
{
	if (c->nodes[i].pid > 0 && waitpid(c->nodes[i].pid, NULL, WNOHANG) == 0)
		return false;
	c->nodes[i].pid = 0;
	return true;
}

/* False when a node has ended instead, as it does when somebody else has its port. */
static inline bool cluster_becomes_healthy(struct cluster *c)
{
	time_t end = time(NULL) + ETCD_PATIENCE_S;

	while (etcdctl(c, "endpoint health") != 0) {
		for (int i = 0; i < c->n; i++) {
			if (node_has_died(c, i))
				return false;
		}
		if (time(NULL) > end)
			fail_msg("etcd is not healthy: %s", c->said);
	}
	return true;
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void cluster_stop(struct cluster *c)
{
	for (int i = 0; i < c->n; i++)
		node_kill(c, i);
	if (c->dir[0] != '\0')
		nftw(c->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	c->dir[0] = '\0';
	c->n = 0;
}

/*
 * A CA, and one certificate that serves etcd and its clients. It has no common name: with users on,
 * etcd's gateway refuses clients that have one.
 */
static inline void make_certificates(struct cluster *c)
{
	char command[1024];

	snprintf(c->ca, sizeof(c->ca), "%s/ca.pem", c->dir);
	snprintf(c->cert, sizeof(c->cert), "%s/cert.pem", c->dir);
	snprintf(c->key, sizeof(c->key), "%s/key.pem", c->dir);
	snprintf(command, sizeof(command),
	    "cd '%s' && new='openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
	    "-days 2' && "
	    "$new -keyout ca.key -out ca.pem -subj /O=graceful-test-ca 2>/dev/null && "
	    "$new -keyout key.pem -out cert.pem -subj /O=graceful-test -CA ca.pem -CAkey ca.key "
	    "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE "
	    "2>/dev/null",
	    c->dir);
	assert_int_equal(run_shell(command), 0);
	snprintf(c->ctl_options, sizeof(c->ctl_options),
	    "--cacert %s/ca.pem --cert %s/cert.pem "
	    "--key %s/key.pem",
	    c->dir, c->dir, c->dir);
}

static inline void cluster_prepare(struct cluster *c, int n, bool tls)
{
	memset(c, 0, sizeof(*c));
	snprintf(c->dir, sizeof(c->dir), "%.60s/graceful-etcd-XXXXXX", tmp_dir());
	assert_non_null(mkdtemp(c->dir));
	c->n = n;
	c->tls = tls;
	if (tls)
		make_certificates(c);
	for (int i = 0; i < n; i++) {
		c->nodes[i].port = free_port();
		c->nodes[i].peer_port = free_port();
		snprintf(c->urls[i], sizeof(c->urls[i]), "%s://127.0.0.1:%d",
		    tls ? "https" : "http", c->nodes[i].port);
		c->endpoints[i] = c->urls[i];
	}
}

/* Starts n nodes, and returns when they are healthy. */
static inline void cluster_start(struct cluster *c, int n, bool tls)
{
	for (int tries = 0; tries < 5; tries++) {
		cluster_prepare(c, n, tls);
		for (int i = 0; i < n; i++)
			node_start(c, i);
		if (cluster_becomes_healthy(c))
			return;
		cluster_stop(c);
	}
	fail_msg("etcd does not start");
}

/* The number of the node that leads. */
static inline int cluster_leader(struct cluster *c)
{
	time_t end = time(NULL) + ETCD_PATIENCE_S;

	while (time(NULL) <= end) {
		char *rest = c->said, *line;

		etcdctl(c, "endpoint status");
		while ((line = strsep(&rest, "\n")) != NULL) {
			/* endpoint, id, version, size, is leader, is learner, ... */
			for (int i = 0; i < c->n; i++) {
				if (strncmp(line, c->urls[i], strlen(c->urls[i])) == 0 &&
				    strstr(line, "B, true, ") != NULL)
					return i;
			}
		}
	}
	fail_msg("etcd has no leader");
	return -1;
}

#endif
