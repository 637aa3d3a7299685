/* What can be said of the etcd coordinator without asking etcd. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/trust.h"
#include "conf/conf_check.h"

/* Reports what path cannot be: what the master could not read later, in the middle of something. */
static void check_file(struct reader *rd, const struct node *n, const char *path,
    int (*open_file)(const char *path, struct err *e))
{
	struct stat st;
	struct err e;
	int fd = -1;

	if (path == NULL)
		return;
	if (stat(path, &st) < 0)
		report_error(rd->report, n, "%.200s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		report_error(rd->report, n, "%.200s is not a regular file", path);
	else if ((fd = open_file(path, &e)) < 0)
		report_error(rd->report, n, "%s", e.text);
	if (fd >= 0)
		close(fd);
}

static int open_plain(const char *path, struct err *e)
{
	struct stat st;

	return fs_open_regular(path, &st, e);
}

static bool has_https(const struct conf *conf)
{
	for (char **url = conf->endpoints; url != NULL && *url != NULL; url++) {
		if (strncmp(*url, "https:", 6) == 0)
			return true;
	}
	return false;
}

/* Reports the one of two keys that is there without the other. */
static void check_pair(struct reader *rd, const struct node *etcd, const char *a, const char *b)
{
	const struct node *first = node_get(etcd, a), *second = node_get(etcd, b);

	if ((first == NULL) != (second == NULL))
		report_error(rd->report, first != NULL ? first : second, "needs \"%s\", too",
		    first != NULL ? b : a);
}

static void check_tls(struct reader *rd, const struct node *etcd, const struct conf *conf)
{
	static const char *const keys[] = { "ca_file", "cert_file", "key_file" };

	check_pair(rd, etcd, "cert_file", "key_file");
	check_file(rd, node_get(etcd, "ca_file"), conf->ca_file, open_plain);
	check_file(rd, node_get(etcd, "cert_file"), conf->cert_file, open_plain);
	check_file(rd, node_get(etcd, "key_file"), conf->key_file, trust_open_secret);
	/* Whoever sets one of them believes that the connection is encrypted. */
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct node *n = node_get(etcd, keys[i]);

		if (n != NULL && conf->endpoints != NULL && !has_https(conf))
			report_error(rd->report, n, "has no use: no endpoint begins with https://");
	}
}

static void check_password(struct reader *rd, const struct node *etcd, const struct conf *conf)
{
	check_pair(rd, etcd, "user", "password_file");
	check_file(rd, node_get(etcd, "password_file"), conf->password_file, trust_open_secret);
}

void check_etcd(struct reader *rd, const struct node *n, const struct conf *conf)
{
	if (node_get(n, "endpoints") == NULL)
		report_error(
		    rd->report, n, "\"endpoints\" is missing; name at least one etcd server");
	/* etcd grants leases in seconds; a cut one would end before we think it does. */
	if (conf->ttl % 1000 != 0)
		report_error(rd->report, node_get(n, "ttl"), "must be whole seconds");
	check_tls(rd, n, conf);
	check_password(rd, n, conf);
}
