#include "state/transfer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "state/statefile.h"
#include "state/stream.h"

#define READ_ATTEMPTS 3

enum take { TAKE_FAILED = -1, TAKE_NONE = 0, TAKE_DONE = 1, TAKE_CHANGED = 2 };

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool state_id_equal(const struct state_id *a, const struct state_id *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       same_time(&a->mtime, &b->mtime) && same_time(&a->ctime, &b->ctime);
}

bool state_id_proves(const struct state_id *known, const struct state_id *seen)
{
	return !known->young && state_id_equal(known, seen);
}

static int make_parents(const char *dir, struct err *e)
{
	const char *name = strrchr(dir, '/');
	char *parent;
	int rc;

	if (name == NULL || name == dir)
		return 0;
	parent = strndup(dir, (size_t)(name - dir));
	if (parent == NULL)
		return err_set(e, "cannot make %s: out of memory", dir);
	rc = fs_mkdirs(parent, 0711, e);
	free(parent);
	return rc;
}

/* A job that took all rights from its directory, which we may own without being root, is helped. */
static int open_whatever_mode(const char *dir, struct err *e)
{
	struct err why;
	int fd = statefile_open_dir(dir, &why);

	if (fd < 0 && why.code == EACCES)
		fchmodat(AT_FDCWD, dir, 0700, AT_SYMLINK_NOFOLLOW);
	return fd >= 0 ? fd : statefile_open_dir(dir, e);
}

int transfer_prepare(const char *dir, uid_t uid, gid_t gid, struct err *e)
{
	int fd, rc;

	if (make_parents(dir, e) < 0)
		return -1;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make %s", dir);
	fd = open_whatever_mode(dir, e);
	if (fd < 0)
		return -1;
	rc = fs_own(fd, uid, gid, 0700, e);
	if (rc < 0)
		err_add(e, "%s", dir);
	close(fd);
	return rc;
}

int transfer_peek(const char *dir, uid_t owner, struct state_id *id, struct err *e)
{
	int dirfd = statefile_open_dir(dir, e);
	int rc;

	if (dirfd < 0)
		return -1;
	rc = statefile_peek(dirfd, dir, owner, id, e);
	close(dirfd);
	return rc;
}

static int take_inline(const struct stream_end *from, size_t size, struct record *r, struct err *e)
{
	r->data = malloc(size > 0 ? size : 1);
	if (r->data == NULL)
		return err_sys(e, "cannot read %s", from->name);
	return stream_read(from, r->data, size, r->sha256, e);
}

/* The bytes of the open file into r, or into the store. */
static int take_bytes(const struct backup *b, int fd, struct record *r, struct err *e)
{
	struct stream_end from = { fd, STATE_FILE };

	if (r->size > b->max_size)
		return err_set(e, "the state is too large: %ju bytes, and \"state_max\" allows %ju",
		    (uintmax_t)r->size, (uintmax_t)b->max_size);
	if (r->size <= b->inline_max)
		return take_inline(&from, (size_t)r->size, r, e);
	if (b->store == NULL)
		return err_set(e,
		    "a state of %ju bytes does not fit into a record (%ju at most): "
		    "set \"state\": {\"url\": \"file:///...\"}",
		    (uintmax_t)r->size, (uintmax_t)b->inline_max);
	return store_put(b->store, b->job, r->epoch, r->seq, fd, r->size, &r->url, r->sha256, e);
}

/* Undoes take_bytes(). The blob is a new one, and nobody has heard of it to commit it. */
static void give_back(const struct backup *b, struct record *r)
{
	if (r->url != NULL)
		store_delete(b->store, r->url, NULL);
	free(r->url);
	free(r->data);
}

/* One try. A file that is being written to may fail in any way: that it changed decides. */
static enum take take_once(
    const struct backup *b, int dirfd, struct record *r, struct state_id *id, struct err *e)
{
	struct record out = *r;
	bool changed;
	int fd;
	int rc = statefile_open(dirfd, b->dir, b->owner, &fd, id, e);

	if (rc <= 0)
		return rc < 0 ? TAKE_FAILED : TAKE_NONE;
	out.size = (uint64_t)id->size;
	out.empty = false;
	clock_stamp(out.time);
	rc = take_bytes(b, fd, &out, e);
	changed = statefile_changed(fd, id);
	close(fd);
	if (rc == 0 && !changed) {
		*r = out;
		return TAKE_DONE;
	}
	give_back(b, &out);
	return changed ? TAKE_CHANGED : TAKE_FAILED;
}

int transfer_backup(const struct backup *b, struct record *r, struct state_id *id, struct err *e)
{
	enum take result = TAKE_CHANGED;
	int dirfd;

	assert(r->url == NULL && r->data == NULL);
	dirfd = statefile_open_dir(b->dir, e);
	if (dirfd < 0)
		return -1;
	for (int i = 0; i < READ_ATTEMPTS && result == TAKE_CHANGED; i++)
		result = take_once(b, dirfd, r, id, e);
	close(dirfd);
	if (result == TAKE_CHANGED)
		return err_set(e,
		    "%s/" STATE_FILE " changed while it was read, %d times: the job must write "
		    "another file and rename it to \"" STATE_FILE "\"",
		    b->dir, READ_ATTEMPTS);
	return (int)result;
}
