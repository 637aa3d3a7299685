#include "base/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

#define OVERFLOW_ID 65534 /* how a user namespace shows the user or group that is not in it */

/* In a user namespace what belongs to the machine's root may look like nobody's. */
static bool is_confined(void)
{
	unsigned first = 1, outside = 1, count = 0;
	FILE *f = fopen("/proc/self/uid_map", "re");
	int n = f != NULL ? fscanf(f, "%u %u %u", &first, &outside, &count) : 0;

	if (f != NULL)
		fclose(f);
	return n == 3 && (first != 0 || outside != 0 || count != UINT_MAX);
}

static bool is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid() || (uid == OVERFLOW_ID && is_confined());
}

/* Where each user has a group of his own and a umask of 002 it may write all that is his. One that
 * is given to a container for its volumes is a supplementary group of what runs there. */
static bool is_trusted_group(gid_t gid)
{
	return gid == 0 || group_member(gid) || (gid == OVERFLOW_ID && is_confined());
}

static int check_owner(const char *path, const struct stat *st, struct err *e)
{
	if (is_trusted(st->st_uid))
		return 0;
	return err_set(e,
	    "%s belongs to uid %ju, who could replace what is in it: it has to belong to %s; "
	    "choose another place, or run this as that user if graceful runs as it",
	    path, (uintmax_t)st->st_uid, geteuid() == 0 ? "root" : "root or to you");
}

/* One step of the way. last: the place itself. */
static int check_step(const char *path, const struct stat *st, bool last, struct err *e)
{
	bool any_group = last || !is_trusted_group(st->st_gid);
	mode_t others = any_group ? S_IWGRP | S_IWOTH : S_IWOTH;

	if (check_owner(path, st, e) != 0)
		return -1;
	if (S_ISLNK(st->st_mode) || (st->st_mode & others) == 0)
		return 0;
	if (!last && (st->st_mode & S_ISVTX) != 0)
		return 0;
	/* Sticky is what all are meant to share, as /tmp: the machine needs it so. */
	return err_set(e,
	    "%s can be written by others than its owner (mode %04o), who could replace what is in "
	    "it: %schoose another place",
	    path, (unsigned)st->st_mode & 07777,
	    (st->st_mode & S_ISVTX) != 0 ? "" : "chmod go-w it, or ");
}

/* Every name on the way. 1: there is a link among them. */
static int walk(const char *path, struct err *e)
{
	size_t len = strlen(path);
	char part[PATH_MAX];
	bool link = false;
	struct stat st;

	for (size_t i = 1; i <= len; i++) {
		if (i < len && path[i] != '/' && i > 1)
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)i, path);
		if (lstat(part, &st) != 0)
			return errno == ENOENT ? link : err_sys(e, "cannot examine %s", part);
		link |= S_ISLNK(st.st_mode);
		if (check_step(part, &st, i == len, e) != 0)
			return -1;
	}
	return link;
}

int trust_dir(const char *path, struct err *e)
{
	char *real;
	int rc = strlen(path) < PATH_MAX ? walk(path, e) : err_set(e, "%s is too long", path);

	if (rc <= 0)
		return rc;
	real = realpath(path, NULL);
	if (real == NULL)
		return errno == ENOENT ? 0 : err_sys(e, "cannot examine %s", path);
	rc = walk(real, e);
	free(real);
	return rc < 0 ? -1 : 0;
}

void trust_advise(struct err *e)
{
	if (geteuid() == 0 || (e->code != EACCES && e->code != EPERM))
		return;
	err_add(
	    e, "name a directory that uid %u may write, or run it as root", (unsigned)geteuid());
}

int trust_dir_of(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	int len = slash == path ? 1 : (int)(slash - path);

	if (snprintf(dir, sizeof(dir), "%.*s", len, path) >= (int)sizeof(dir))
		return err_set(e, "%s is too long", path);
	return trust_dir(dir, e);
}

/*
 * Who reads the advice may be the user that graceful runs as, or an operator who is not; to him to
 * chown the file would be to take it away from the master.
 */
static int refuse_owner(const char *path, const struct stat *st, struct err *e)
{
	return err_set(e,
	    "%s belongs to uid %ju, and this runs as uid %ju: if graceful runs as uid %ju, run "
	    "this "
	    "as that user, too; if it runs as uid %ju, chown it to that",
	    path, (uintmax_t)st->st_uid, (uintmax_t)geteuid(), (uintmax_t)st->st_uid,
	    (uintmax_t)geteuid());
}

static int check_secret(const char *path, const struct stat *st, struct err *e)
{
	if (!is_trusted(st->st_uid))
		return refuse_owner(path, st, e);
	if ((st->st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return err_set(e, "%s is open to others than its owner (mode %04o): chmod 600",
		    path, (unsigned)st->st_mode & 07777);
	return 0;
}

int trust_open_secret(const char *path, struct err *e)
{
	struct stat st;
	int fd = fs_open_regular(path, &st, e);

	if (fd < 0 && e->code == EACCES && stat(path, &st) == 0 && st.st_uid != geteuid())
		return refuse_owner(path, &st, e);
	if (fd >= 0 && check_secret(path, &st, e) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int trust_read_secret(const char *path, size_t max, char **data, size_t *len, struct err *e)
{
	int fd = trust_open_secret(path, e);
	int rc;

	if (fd < 0)
		return -1;
	rc = fs_read_fd(fd, path, max, data, len, e);
	close(fd);
	return rc;
}
