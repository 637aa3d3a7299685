#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define READ_CHUNK 16384

static int make_one(const char *path, mode_t mode, struct err *e)
{
	struct stat st;

	if (mkdir(path, mode) == 0) {
		/* The umask may have taken bits that were asked for. */
		if (chmod(path, mode) != 0)
			return err_sys(e, "cannot set the mode of %s", path);
		return 0;
	}
	if (errno != EEXIST)
		return err_sys(e, "cannot create directory %s", path);
	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		errno = ENOTDIR;
	}
	/* It may be a directory whose disk or server does not answer now. */
	if (!fs_is_none(errno))
		return err_sys(e, "cannot use %s", path);
	return err_sys(e, "what is at %s is no directory, move it away", path);
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int fs_mkdirs(const char *path, mode_t mode, struct err *e)
{
	char part[PATH_MAX];
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len >= sizeof(part)) {
		errno = ENAMETOOLONG;
		return err_sys(e, "cannot create directory %s", path);
	}
	for (size_t i = 1; i <= len; i++) {
		if (i < len && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (!is_dir(part) && make_one(part, i == len ? mode : 0755, e) != 0)
			return -1;
	}
	return make_one(path, mode, e);
}

/* Opens a regular file and nothing else; O_NONBLOCK so that a FIFO without a writer does not hang
 * us. */
static int open_regular(const char *path, int flags, struct stat *st, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);

	if (fd < 0)
		return err_sys(e, "cannot open %s", path);
	if (fstat(fd, st) != 0) {
		err_sys(e, "cannot examine %s", path);
	} else if (S_ISDIR(st->st_mode)) {
		errno = EISDIR;
		err_sys(e, "cannot read %s", path);
	} else if (!S_ISREG(st->st_mode)) {
		err_set(e, "cannot read %s: it is not a regular file", path);
	} else {
		return fd;
	}
	close(fd);
	return -1;
}

int fs_open_regular(const char *path, struct stat *st, struct err *e)
{
	return open_regular(path, 0, st, e);
}

/*
 * Reads until the end, or until more than max bytes prove that it is too large. Not by what stat()
 * says of the size: a file may grow meanwhile, and those of /proc all say 0.
 */
static int read_up_to(int fd, const char *path, size_t max, char **data, size_t *len, struct err *e)
{
	ssize_t n;

	*data = NULL;
	*len = 0;
	do {
		char *bigger = realloc(*data, *len + READ_CHUNK + 1);

		if (bigger == NULL)
			return err_set(e, "cannot read %s: out of memory", path);
		*data = bigger;
		do {
			n = read(fd, *data + *len, READ_CHUNK);
		} while (n < 0 && errno == EINTR);
		if (n < 0)
			return err_sys(e, "cannot read %s", path);
		*len += (size_t)n;
		if (*len > max)
			return err_set(e, "cannot use %s: it is larger than %zu bytes", path, max);
	} while (n > 0);
	(*data)[*len] = '\0';
	return 0;
}

int fs_read_fd(int fd, const char *path, size_t max, char **data, size_t *len, struct err *e)
{
	char *buf;
	int rc = read_up_to(fd, path, max, &buf, len, e);

	if (rc == 0)
		*data = buf;
	else
		free(buf);
	return rc;
}

static int read_regular(
    const char *path, int flags, size_t max, char **data, size_t *len, struct err *e)
{
	struct stat st;
	int fd = open_regular(path, flags, &st, e);
	int rc;

	if (fd < 0)
		return -1;
	rc = fs_read_fd(fd, path, max, data, len, e);
	close(fd);
	return rc;
}

int fs_read(const char *path, size_t max, char **data, size_t *len, struct err *e)
{
	return read_regular(path, 0, max, data, len, e);
}

bool fs_is_none(int code)
{
	/* 0: it was seen, and is none. */
	return code == 0 || code == ENOENT || code == ENOTDIR || code == EISDIR || code == ELOOP;
}

int fs_read_no_link(const char *path, size_t max, char **data, size_t *len, struct err *e)
{
	return read_regular(path, O_NOFOLLOW, max, data, len, e);
}

int fs_write_all(int fd, const void *data, size_t len, struct err *e)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "cannot write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Opened anew, as the place in a directory is shared by all who have it from one open(). */
static DIR *list(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (dir == NULL && fd >= 0)
		close(fd);
	return dir;
}

int fs_sweep(int dirfd, bool (*go)(const char *name, void *ctx), void *ctx, struct err *e)
{
	DIR *dir = list(dirfd);
	const struct dirent *entry;
	int rc = 0;

	if (dir == NULL)
		return err_sys(e, "cannot list a directory");
	while ((entry = readdir(dir)) != NULL) {
		if (go(entry->d_name, ctx) && unlinkat(dirfd, entry->d_name, 0) != 0 &&
		    errno != ENOENT)
			rc = err_sys(e, "cannot remove %s", entry->d_name);
	}
	closedir(dir);
	return rc;
}

int fs_sync_dir(int fd, const char *path, struct err *e)
{
	/* EINVAL: the file system has no such thing as syncing a directory. */
	if (fsync(fd) == 0 || errno == EINVAL)
		return 0;
	return err_sys(e, "cannot sync directory %s", path);
}

int fs_sync_dir_of(const char *path, struct err *e)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, rc;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "cannot open directory %s", dir);
	rc = fs_sync_dir(fd, dir, e);
	close(fd);
	return rc;
}

int fs_sync_above(const char *path, struct err *e)
{
	char part[PATH_MAX];
	struct err cause;
	char *slash;

	snprintf(part, sizeof(part), "%s", path);
	while ((slash = strrchr(part, '/')) != NULL) {
		/* One that we may not read, or that cannot be written to, is none that we made. */
		if (fs_sync_dir_of(part, &cause) != 0 && cause.code != EACCES &&
		    cause.code != EROFS)
			return err_set(e, "%s", cause.text);
		*slash = '\0';
	}
	return 0;
}

static int write_temp(
    const char *temp, const void *data, size_t len, mode_t mode, bool durable, struct err *e)
{
	int fd, rc;

	/* What a crash left there, or somebody put there: a link, a FIFO that would hang us. */
	unlink(temp);
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return err_sys(e, "cannot create %s", temp);
	rc = fs_write_all(fd, data, len, e);
	if (rc != 0)
		err_add(e, "%s", temp);
	else if (fchmod(fd, mode) != 0)
		rc = err_sys(e, "cannot set the mode of %s", temp);
	else if (durable && fsync(fd) != 0)
		rc = err_sys(e, "cannot sync %s", temp);
	if (close(fd) != 0 && rc == 0)
		rc = err_sys(e, "cannot write %s", temp);
	return rc;
}

int fs_replace(
    const char *path, const void *data, size_t len, mode_t mode, bool durable, struct err *e)
{
	char temp[PATH_MAX];

	if ((size_t)snprintf(temp, sizeof(temp), "%s.tmp", path) >= sizeof(temp)) {
		errno = ENAMETOOLONG;
		return err_sys(e, "cannot write %s", path);
	}
	if (write_temp(temp, data, len, mode, durable, e) != 0)
		goto fail;
	if (rename(temp, path) != 0) {
		err_sys(e, "cannot replace %s", path);
		goto fail;
	}
	return durable ? fs_sync_dir_of(path, e) : 0;
fail:
	unlink(temp);
	return -1;
}

int fs_own(int fd, uid_t uid, gid_t gid, mode_t mode, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_sys(e, "cannot examine it");
	if (uid == (uid_t)-1)
		uid = st.st_uid;
	if (gid == (gid_t)-1)
		gid = st.st_gid;
	if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) != 0)
		return err_sys(e, "cannot give it to the job's user");
	if ((st.st_mode & ALLPERMS) != mode && fchmod(fd, mode) != 0)
		return err_sys(e, "cannot set its mode");
	return 0;
}

static const char *network_name(uint32_t magic)
{
	switch (magic) {
	case NFS_SUPER_MAGIC: return "NFS";
	case SMB_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC: return "SMB";
	case CEPH_SUPER_MAGIC: return "Ceph";
	case AFS_SUPER_MAGIC:
	case AFS_FS_MAGIC: return "AFS";
	case V9FS_MAGIC: return "9P";
	default: return NULL;
	}
}

int fs_keeps_locks(const char *path, struct err *e)
{
	struct statfs st;
	const char *name = statfs(path, &st) == 0 ? network_name((uint32_t)st.f_type) : NULL;

	if (name == NULL)
		return 0;
	return err_set(e,
	    "%s is on a network file system (%s), which may lose a lock that is held: two masters "
	    "could then run the same job; choose a directory on a disk of this machine",
	    path, name);
}

/* The smallest of keep that is not below fd, or -1. */
static int next_kept(int fd, const int *keep, size_t n)
{
	int next = -1;

	for (size_t i = 0; i < n; i++) {
		if (keep[i] >= fd && (next < 0 || keep[i] < next))
			next = keep[i];
	}
	return next;
}

/* A kernel before 5.9 has no such call, and a sandbox may not know it. */
static void close_between(int from, int end)
{
	if (close_range((unsigned)from, (unsigned)end - 1, 0) == 0)
		return;
	for (int fd = from; fd < end; fd++)
		close(fd);
}

void fs_close_others(const int *keep, size_t n)
{
	int from = 3;
	int kept;

	/* Gap by gap: a master of many jobs hands a worker descriptors with high numbers. */
	while ((kept = next_kept(from, keep, n)) >= 0) {
		if (kept > from)
			close_between(from, kept);
		from = kept + 1;
	}
	closefrom(from);
}
