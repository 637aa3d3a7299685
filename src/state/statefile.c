#include "state/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* path without slashes at its end: behind one of these O_NOFOLLOW would follow a link after all. */
static int trim(const char *path, char buf[PATH_MAX], struct err *e)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return err_sys(e, "cannot open %s", path);
	}
	memcpy(buf, path, len);
	buf[len] = '\0';
	return 0;
}

int statefile_open_dir(const char *dir, struct err *e)
{
	char path[PATH_MAX];
	int fd;

	if (trim(dir, path, e) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOTDIR || errno == ELOOP)
		return err_set(e,
		    "%s is a link or a file: move it away, "
		    "the job's directory is made in its place",
		    path);
	return err_sys(e, "cannot open %s", path);
}

#define WHOLE_SECONDS_MS 2000 /* on file systems that keep whole seconds */

static bool is_younger(const struct timespec *t, const struct timespec *now)
{
	int64_t tick = t->tv_nsec == 0 ? WHOLE_SECONDS_MS : STATE_YOUNG_MS;

	/* It may be any time. */
	if (t->tv_sec > now->tv_sec || t->tv_sec < now->tv_sec - 10)
		return t->tv_sec > now->tv_sec;
	return (int64_t)(now->tv_sec - t->tv_sec) * 1000 + (now->tv_nsec - t->tv_nsec) / 1000000 <
	       tick;
}

/* By ctime alone where the job has set mtime to one that is to come: it would be young for good.
 * Also true when the clock was set back since. */
static bool is_young(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return is_younger(&st->st_mtim, &now) && is_younger(&st->st_ctim, &now);
}

void statefile_id(const struct stat *st, struct state_id *id)
{
	*id = (struct state_id){
		.young = is_young(st),
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
}

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFLNK: return "a symbolic link";
	case S_IFDIR: return "a directory";
	case S_IFIFO: return "a FIFO";
	case S_IFSOCK: return "a socket";
	default: return "a device";
	}
}

/*
 * A file of another user, or one with a second name, may be one that the job cannot read itself: it
 * could have linked it here to have a root worker read it out. The same goes for root's files,
 * which may have lost their other name since; so only those pass that everybody may read.
 */
static int check(const struct stat *st, const char *dir, uid_t owner, struct err *e)
{
	if (owner == (uid_t)-1)
		owner = geteuid();
	if (!S_ISREG(st->st_mode))
		return err_set(e,
		    "%s/" STATE_FILE " is %s: the job must put a regular file there, "
		    "by rename",
		    dir, kind_of(st->st_mode));
	if (st->st_nlink > 1)
		return err_set(e, "%s/" STATE_FILE " has %ju names (hard links), it must have one",
		    dir, (uintmax_t)st->st_nlink);
	if (st->st_uid == owner || (st->st_uid == 0 && (st->st_mode & S_IROTH) != 0))
		return 0;
	return err_set(e, "%s/" STATE_FILE " belongs to uid %ju: chown it to the job's, %ju", dir,
	    (uintmax_t)st->st_uid, (uintmax_t)owner);
}

int statefile_peek(int dirfd, const char *dir, uid_t owner, struct state_id *id, struct err *e)
{
	struct stat st;

	if (fstatat(dirfd, STATE_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "cannot examine %s/" STATE_FILE, dir);
	if (check(&st, dir, owner, e) < 0)
		return -1;
	statefile_id(&st, id);
	return 1;
}

int statefile_open(
    int dirfd, const char *dir, uid_t owner, int *fd, struct state_id *id, struct err *e)
{
	struct stat st;
	/* First without opening it: to open a device does things, and a link has no good errno. */
	int rc = statefile_peek(dirfd, dir, owner, id, e);

	if (rc <= 0)
		return rc;
	/* It may be another one by now, so: follow nothing, wait for nothing, and check again. */
	*fd = openat(dirfd, STATE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (*fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "cannot open %s/" STATE_FILE, dir);
	rc = fstat(*fd, &st) < 0 ? err_sys(e, "cannot examine %s/" STATE_FILE, dir)
				 : check(&st, dir, owner, e);
	if (rc < 0) {
		close(*fd);
		return -1;
	}
	statefile_id(&st, id);
	return 1;
}

/* ctime does not count: it moves when a rename takes the name away from the file. */
bool statefile_changed(int fd, const struct state_id *id)
{
	struct stat st;

	return fstat(fd, &st) < 0 || st.st_size != id->size ||
	       st.st_mtim.tv_sec != id->mtime.tv_sec || st.st_mtim.tv_nsec != id->mtime.tv_nsec;
}
