#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "state/statefile.h"
#include "state/store.h"
#include "state/stream.h"
#include "state/transfer.h"

#define TEMP_PREFIX ".restore-"
#define NAME_ROOM REJECTED_MAX /* a prefix and 16 digits */
#define NAME_ATTEMPTS 3        /* a free name is found at once, but for a job that plays tricks */

/* Where a state is restored to, and whose it is to be. */
struct target {
	int dirfd;
	const char *dir;
	uid_t uid;
	gid_t gid;
};

/* A name that the job cannot have guessed and planted something at. */
static int random_name(const char *prefix, char name[NAME_ROOM], struct err *e)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return err_sys(e, "cannot get a random number");
	snprintf(name, NAME_ROOM, "%s%016" PRIx64, prefix, number);
	return 0;
}

/* A copy that a killed worker left. A job that takes such a name for its own file loses it. */
static bool is_temp(const char *name, void *ctx)
{
	(void)ctx;
	return strncmp(name, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0;
}

static int move_aside(int dirfd, const char *dir, char name[NAME_ROOM], struct err *e)
{
	if (random_name(REJECTED_PREFIX, name, e) < 0)
		return -1;
	if (renameat(dirfd, STATE_FILE, dirfd, name) < 0 && errno != ENOENT)
		return err_sys(e, "cannot move %s/" STATE_FILE " aside", dir);
	return 0;
}

static int clear_the_way(const struct target *t, struct err *e)
{
	char name[NAME_ROOM];

	return move_aside(t->dirfd, t->dir, name, e);
}

int transfer_reject(const char *dir, char name[REJECTED_MAX], struct err *e)
{
	int dirfd = statefile_open_dir(dir, e);
	int rc;

	if (dirfd < 0)
		return -1;
	rc = move_aside(dirfd, dir, name, e);
	close(dirfd);
	return rc;
}

/* rename() replaces whatever the job left there, a link or a FIFO too, but for a directory. */
static int rename_over(const struct target *t, const char *temp, struct err *e)
{
	for (int i = 0; i < NAME_ATTEMPTS; i++) {
		if (renameat(t->dirfd, temp, t->dirfd, STATE_FILE) == 0)
			return 0;
		if (errno != EISDIR)
			return err_sys(e, "cannot rename %s/%s to " STATE_FILE, t->dir, temp);
		if (clear_the_way(t, e) < 0)
			return -1;
	}
	return err_set(e, "%s/" STATE_FILE " keeps becoming a directory", t->dir);
}

static int remove_state(const struct target *t, struct err *e)
{
	if (unlinkat(t->dirfd, STATE_FILE, 0) < 0 && errno != ENOENT) {
		if (errno != EISDIR)
			return err_sys(e, "cannot remove %s/" STATE_FILE, t->dir);
		if (clear_the_way(t, e) < 0)
			return -1;
	}
	return 0;
}

static int make_temp(const struct target *t, char name[NAME_ROOM], struct err *e)
{
	int fd;

	if (random_name(TEMP_PREFIX, name, e) < 0)
		return -1;
	fd = openat(t->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "cannot make %s/%s", t->dir, name);
	return fd;
}

static int fill_inline(int fd, const struct record *r, struct err *e)
{
	char found[RECORD_SHA_LEN + 1];

	stream_sha256(r->data, (size_t)r->size, found);
	if (strcmp(found, r->sha256) != 0)
		return err_set(e,
		    "\"data\" in the record is damaged: its SHA-256 is %s, "
		    "the record says %s: " STORE_DAMAGE_ADVICE,
		    found, r->sha256);
	if (fs_write_all(fd, r->data, (size_t)r->size, e) < 0)
		return err_add(e, "cannot write the copy");
	return 0;
}

static int fill(int fd, struct store *store, const struct record *r, struct err *e)
{
	if (r->data != NULL)
		return fill_inline(fd, r, e);
	if (store == NULL)
		return err_set(e,
		    "it is in %s, and no store is configured here: "
		    "set \"state\": {\"url\": ...} as on the other machines",
		    r->url);
	return store_get(store, r->url, r->size, r->sha256, fd, e);
}

/*
 * Where a file system (NFS, FUSE) writes late, it tells of errors at a close, of any descriptor of
 * the file. Ours stays open, to be confirmed.
 */
static int flush(const struct target *t, int fd, const char *temp, struct err *e)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0 || close(copy) != 0)
		return err_sys(e, "cannot write %s/%s", t->dir, temp);
	return 0;
}

/*
 * What is restored is in a record already, and must not be taken for young (struct state_id): it
 * would be uploaded once more as soon as the job runs. Where this fails it is.
 */
static void make_old(int fd)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

	clock_gettime(CLOCK_REALTIME, &times[1]);
	times[1].tv_sec -= 60;
	futimens(fd, times);
}

/* The bytes are all there: now it may become the job's, and be seen. */
static int publish(const struct target *t, int fd, const char *temp, struct err *e)
{
	make_old(fd);
	if (fs_own(fd, t->uid, t->gid, 0600, e) < 0)
		return err_add(e, "%s/%s", t->dir, temp);
	return rename_over(t, temp, e);
}

/*
 * A process of the job's user that is still about could have swapped the temporary name: what was
 * renamed would then be its file, not ours. Nobody else's file is touched by that, but the job must
 * not start from it. The id is taken here since the rename has moved ctime.
 */
static int confirm(const struct target *t, int fd, struct state_id *id, struct err *e)
{
	struct stat ours, there;

	if (fstat(fd, &ours) < 0 || fstatat(t->dirfd, STATE_FILE, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "cannot examine %s/" STATE_FILE, t->dir);
	if (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
		return err_set(e, "another process replaced %s/" STATE_FILE " meanwhile", t->dir);
	statefile_id(&ours, id);
	return 0;
}

static int place_state(const struct target *t, struct store *store, const struct record *r,
    struct state_id *id, struct err *e)
{
	char temp[NAME_ROOM];
	int fd = make_temp(t, temp, e);
	int rc;

	if (fd < 0)
		return -1;
	rc = fill(fd, store, r, e);
	if (rc == 0)
		rc = flush(t, fd, temp, e);
	if (rc == 0)
		rc = publish(t, fd, temp, e);
	if (rc < 0)
		unlinkat(t->dirfd, temp, 0);
	else
		rc = confirm(t, fd, id, e);
	close(fd);
	return rc;
}

int transfer_restore(const char *dir, uid_t uid, gid_t gid, struct store *store,
    const struct record *r, struct state_id *id, struct err *e)
{
	struct target t = { statefile_open_dir(dir, e), dir, uid, gid };
	struct state_id placed = { 0 };
	int rc;

	if (t.dirfd < 0)
		return -1;
	fs_sweep(t.dirfd, is_temp, NULL, NULL);
	if (r == NULL || r->empty) {
		rc = remove_state(&t, e);
	} else {
		rc = place_state(&t, store, r, &placed, e);
		if (rc < 0)
			err_add(e, "cannot restore the state of epoch %ju to %s/" STATE_FILE,
			    (uintmax_t)r->epoch, dir);
	}
	close(t.dirfd);
	if (rc == 0 && id != NULL)
		*id = placed;
	return rc;
}
