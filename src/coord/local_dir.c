#include "coord/local_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "coord/places.h"

#define SMALL_FILE_MAX (4096 + 6 * PATH_MAX) /* of epoch and holder, with a path in JSON */

static char *join(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) >= 0 ? path : NULL;
}

int local_dir_init(
    struct local_dir *d, const struct conf *conf, const struct job_conf *job, struct err *e)
{
	memset(d, 0, sizeof(*d));
	if (asprintf(&d->path, "%s%s/jobs/%s", conf->local_path, conf->ns, job->name) < 0) {
		d->path = NULL; /* asprintf leaves it undefined */
		return err_set(e, "cannot use coordinator.path: out of memory");
	}
	d->lock = join(d->path, "lock");
	d->epoch = join(d->path, "epoch");
	d->state = join(d->path, "state");
	d->holder = join(d->path, "holder");
	d->owner = join(d->path, "owner");
	if (d->lock != NULL && d->epoch != NULL && d->state != NULL && d->holder != NULL &&
	    d->owner != NULL)
		return 0;
	local_dir_clear(d);
	return err_set(e, "cannot use coordinator.path: out of memory");
}

void local_dir_clear(struct local_dir *d)
{
	free(d->path);
	free(d->lock);
	free(d->epoch);
	free(d->state);
	free(d->holder);
	free(d->owner);
	memset(d, 0, sizeof(*d));
}

/* Says what helps when the directory is not ours to write. Always returns -1. */
static int add_advice(struct err *e, const struct err *cause)
{
	if (cause->code == EACCES || cause->code == EPERM || cause->code == EROFS)
		err_set(e, "%s: run as root or set coordinator.path", cause->text);
	else
		err_set(e, "%s", cause->text);
	if (e != NULL)
		e->code = cause->code;
	return -1;
}

static int open_lock(const struct local_dir *d, int flags, struct err *e)
{
	int fd = open(d->lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);

	return fd >= 0 ? fd : err_sys(e, "cannot open %s", d->lock);
}

/* A copy that was made without care may be readable to all: who can read it can lock it. */
static int close_to_others(const struct local_dir *d, int fd, struct err *e)
{
	if (fs_own(fd, (uid_t)-1, (gid_t)-1, 0600, e) == 0)
		return fd;
	close(fd);
	return err_add(e, "%s", d->lock);
}

int local_dir_create(const struct local_dir *d, struct err *e)
{
	struct err cause;
	int fd;

	if (fs_mkdirs(d->path, 0700, &cause) != 0)
		return add_advice(e, &cause);
	fd = open_lock(d, O_CREAT, &cause);
	if (fd >= 0)
		fd = close_to_others(d, fd, &cause);
	return fd >= 0 ? fd : add_advice(e, &cause);
}

int local_dir_open_lock(const struct local_dir *d, struct err *e)
{
	return open_lock(d, 0, e);
}

int local_dir_is_lock(const struct local_dir *d, int fd, struct err *e)
{
	struct stat held;
	struct stat named;

	if (fstat(fd, &held) == 0 && stat(d->lock, &named) == 0)
		return held.st_dev == named.st_dev && held.st_ino == named.st_ino;
	if (errno == ENOENT || errno == ENOTDIR)
		return 0;
	return err_sys(e, "cannot examine %s", d->lock);
}

static int parse_epoch(const char *text, uint64_t *epoch)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	*epoch = strtoumax(text, &end, 10);
	return errno == 0 && strcmp(end, "\n") == 0 && *epoch <= PLACES_MAX ? 0 : -1;
}

static int read_epoch(const char *path, uint64_t *epoch, struct err *e)
{
	struct err cause;
	char *text;
	size_t len;
	int rc;

	*epoch = 0;
	if (fs_read(path, SMALL_FILE_MAX, &text, &len, &cause) != 0) {
		if (cause.code == ENOENT)
			return 0;
		err_set(e, "%s", cause.text);
		return -1;
	}
	rc = parse_epoch(text, epoch);
	free(text);
	if (rc == 0)
		return 0;
	return err_set(e,
	    "%s is damaged: write into it a number larger than every GRACEFUL_EPOCH that "
	    "this job has had",
	    path);
}

static int write_epoch(const char *path, uint64_t epoch, bool durable, struct err *e)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%ju\n", (uintmax_t)epoch);

	return fs_replace(path, text, (size_t)len, 0600, durable, e);
}

int local_dir_epoch(const struct local_dir *d, uint64_t *epoch, struct err *e)
{
	return read_epoch(d->epoch, epoch, e);
}

int local_dir_set_epoch(const struct local_dir *d, uint64_t epoch, struct err *e)
{
	/* The first one ever: the directories are new, too. */
	if (access(d->epoch, F_OK) != 0 && fs_sync_above(d->path, e) != 0)
		return -1;
	return write_epoch(d->epoch, epoch, true, e);
}

uint64_t local_dir_succeed(const struct local_dir *d, uint64_t epoch)
{
	uint64_t before;

	if (read_epoch(d->owner, &before, NULL) != 0)
		before = 0;
	/* An old note must not stay: it would name the owner before us to the one after us. */
	if (write_epoch(d->owner, epoch, false, NULL) != 0)
		unlink(d->owner);
	return before < epoch ? before : 0;
}

int local_dir_record(const struct local_dir *d, struct record *r, struct err *e)
{
	struct err cause;
	char *text;
	size_t len;
	int rc;

	memset(r, 0, sizeof(*r));
	if (fs_read(d->state, RECORD_TEXT_MAX, &text, &len, &cause) == 0) {
		rc = record_decode(text, len, r, &cause);
		free(text);
		if (rc == 0)
			return 1;
		cause.code = 0;
	} else if (cause.code == ENOENT) {
		return 0;
	}
	err_set(e,
	    "cannot use state record %s: %s: put a good copy back, or move it away to start "
	    "the job from nothing",
	    d->state, cause.text);
	if (e != NULL)
		e->code = cause.code;
	return -1;
}

/* 0: there is none. -1: it cannot be told. */
static int inode_of(const char *path, ino_t *inode)
{
	struct stat st;

	*inode = 0;
	if (stat(path, &st) == 0)
		*inode = st.st_ino;
	else if (errno != ENOENT)
		return -1;
	return 0;
}

enum local_write local_dir_set_record(
    const struct local_dir *d, const struct record *r, struct err *e)
{
	ino_t before, after;
	char *text;
	int rc;

	if (inode_of(d->state, &before) < 0) {
		err_sys(e, "cannot look at %s", d->state);
		return LOCAL_OLD;
	}
	text = record_encode(r, e);
	if (text == NULL)
		return LOCAL_OLD;
	rc = fs_replace(d->state, text, strlen(text), 0600, true, e);
	free(text);
	if (rc == 0)
		return LOCAL_LASTING;
	/* Another sync now would prove nothing: the kernel tells of a failed write but once. */
	return inode_of(d->state, &after) == 0 && after == before ? LOCAL_OLD : LOCAL_UNSURE;
}

int local_dir_set_holder(const struct local_dir *d, const struct local_note *note, struct err *e)
{
	char host[HOST_NAME_MAX + 1] = "";
	char boot[LEFTOVER_BOOT_MAX];
	json_t *json;
	char *text;
	int rc;

	gethostname(host, sizeof(host) - 1);
	leftover_boot(boot);
	json = json_pack("{s:s, s:s, s:i, s:I, s:I, s:s, s:s, s:i, s:I, s:I}", "instance",
	    note->instance, "host", host, "pid", (int)getpid(), "since", (json_int_t)clock_wall(),
	    "epoch", (json_int_t)note->epoch, "boot", boot, "state", note->state, "job",
	    (int)note->job, "born", (json_int_t)leftover_birth(note->job), "uid",
	    note->uid == LEFTOVER_ANYBODY ? (json_int_t)-1 : (json_int_t)note->uid);
	text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (text == NULL)
		return err_set(e, "cannot write %s: out of memory, or no UTF-8 in it", d->holder);
	rc = fs_replace(d->holder, text, strlen(text), 0600, false, e);
	free(text);
	return rc;
}

void local_dir_remove_holder(const struct local_dir *d)
{
	unlink(d->holder);
}

/* 0 with NULL: there is none, or it makes no sense. What was never a note of ours says nothing of
 * an owner. */
static int read_holder(const struct local_dir *d, json_t **json, struct err *e)
{
	struct err why;
	char *data;
	size_t len;

	*json = NULL;
	if (fs_read(d->holder, SMALL_FILE_MAX, &data, &len, &why) != 0)
		return fs_is_none(why.code) ? 0 : err_set(e, "%s", why.text);
	*json = json_loadb(data, len, 0, NULL);
	free(data);
	return 0;
}

static bool read_leftover(json_t *json, uint64_t epoch, struct leftover *l)
{
	char boot[LEFTOVER_BOOT_MAX];
	const char *their_boot;
	const char *state;
	json_int_t theirs;
	json_int_t born;
	json_int_t uid = -1; /* of a note without: anybody */
	int main;

	leftover_boot(boot);
	if (json_unpack(json, "{s:I, s:s, s:s, s:i, s:I, s?I}", "epoch", &theirs, "boot",
		&their_boot, "state", &state, "job", &main, "born", &born, "uid", &uid) != 0 ||
	    theirs <= 0 || (uint64_t)theirs >= epoch || strcmp(their_boot, boot) != 0 ||
	    strlen(state) >= sizeof(l->state) || main < 0 || born < 0)
		return false;
	*l = (struct leftover){
		.main = main,
		.born = (uint64_t)born,
		.epoch = (uint64_t)theirs,
		.uid = uid >= 0 ? (uid_t)uid : LEFTOVER_ANYBODY,
	};
	strcpy(l->state, state);
	return true;
}

int local_dir_leftover(const struct local_dir *d, uint64_t epoch, struct leftover *l, struct err *e)
{
	json_t *json;
	int any;

	if (read_holder(d, &json, e) != 0)
		return err_add(e,
		    "cannot tell whether an owner before left the job running: remove the note "
		    "if it did not");
	any = json != NULL && read_leftover(json, epoch, l);
	json_decref(json);
	return any;
}

bool local_dir_read_holder(const struct local_dir *d, uint64_t epoch, struct holder *h)
{
	const json_t *theirs;
	json_t *json;
	bool good;

	read_holder(d, &json, NULL);
	theirs = json_object_get(json, "epoch");
	good = json_is_integer(theirs) && json_integer_value(theirs) > 0 &&
	       (uint64_t)json_integer_value(theirs) == epoch && holder_read(json, h);
	json_decref(json);
	return good;
}

void local_dir_holder(const struct local_dir *d, uint64_t epoch, char text[LOCAL_HOLDER_MAX])
{
	struct holder h;

	if (local_dir_read_holder(d, epoch, &h))
		holder_text(&h, text);
	else
		snprintf(text, LOCAL_HOLDER_MAX, "another worker (epoch %ju)", (uintmax_t)epoch);
}
