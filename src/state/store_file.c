#include "state/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/trust.h"
#include "conf/conf.h"
#include "state/place.h"
#include "state/store_impl.h"
#include "state/stream.h"

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define TEMP_PREFIX ".tmp-"
#define NAMES_TRIED 1000 /* far more than an owner leaves behind */
#define BLOB_NAME_MAX 41 /* two 64-bit numbers and the "-" between them */
/* What a blob's place adds to the URL of the store: "/<job>/<name>". */
#define URL_ROOM (1 + JOB_NAME_MAX + 1 + BLOB_NAME_MAX)

struct store_file {
	struct store base;
	char *dir;        /* absolute, no slash at its end */
	atomic_bool made; /* dir will be found after a power cut */
	struct store_place place;
};

/* A blob's place under the store's directory. */
struct blob {
	char job[JOB_NAME_MAX + 1];
	char name[BLOB_NAME_MAX + 1];
};

static struct store_file *of_base(struct store *s)
{
	return (struct store_file *)s;
}

/* "<digits>-<digits>" and nothing else, so never a temporary file, "." or "..". */
static bool is_blob_name(const char *name)
{
	size_t epoch = strspn(name, "0123456789");
	size_t seq = name[epoch] == '-' ? strspn(name + epoch + 1, "0123456789") : 0;

	return epoch > 0 && seq > 0 && name[epoch + 1 + seq] == '\0' &&
	       strlen(name) <= BLOB_NAME_MAX;
}

/*
 * The place that url names. A record may come from anywhere: only the very form that put() makes is
 * taken, so that no record makes this process, root perhaps, touch another file.
 */
static int blob_locate(const struct store_file *s, const char *url, struct blob *b, struct err *e)
{
	size_t scheme = strlen(STORE_FILE_SCHEME);
	size_t dir = strlen(s->dir);
	const char *job;
	const char *name;

	if (strncmp(url, STORE_FILE_SCHEME, scheme) != 0 ||
	    strncmp(url + scheme, s->dir, dir) != 0 || url[scheme + dir] != '/')
		return err_set(e,
		    "%s is not in this store, " STORE_FILE_SCHEME "%s: every machine "
		    "must have the same \"state\": {\"url\": ...}",
		    url, s->dir);
	job = url + scheme + dir + 1;
	name = strchr(job, '/');
	if (name == NULL || name - job > JOB_NAME_MAX)
		return err_set(e, "%s does not name a state", url);
	memcpy(b->job, job, (size_t)(name - job));
	b->job[name - job] = '\0';
	name++;
	if (!conf_job_name_ok(b->job) || !is_blob_name(name))
		return err_set(e, "%s does not name a state", url);
	memcpy(b->name, name, strlen(name) + 1);
	return 0;
}

/* It may be mounted yet, so whoever can wait shall try again. */
static int is_away(struct err *e)
{
	if (e != NULL)
		e->code = ESTALE;
	return -1;
}

/* Once: each of these syncs may cost a turn of the disk. Also of directories that were there, as
 * their maker may not have lived to do it. */
static int make_dirs(struct store_file *s, struct err *e)
{
	if (fs_mkdirs(s->dir, 0700, e) != 0)
		return -1;
	if (!s->made && fs_sync_above(s->dir, e) != 0)
		return -1;
	s->made = true;
	return 0;
}

static int settle(struct store_file *s, struct err *e)
{
	struct err why;
	int rc = place_settle(s->place.work_dir, s->place.dir, e);

	if (rc < 0)
		return is_away(e);
	if (make_dirs(s, &why) == 0)
		return rc;
	err_set(e, "%s", why.text);
	return is_away(e);
}

/* A server may show what is ours as another user's, so that is no reason to refuse it. */
static int file_prepare(struct store *base, struct err *e)
{
	struct store_file *s = of_base(base);
	int rc = settle(s, e);

	return rc == 0 && trust_dir(s->place.dir, e) != 0 ? 1 : rc;
}

/* Before what is there is read or removed. */
static int check_place(const struct store_file *s, struct err *e)
{
	return place_check(s->place.work_dir, s->place.dir, e) == 0 ? 0 : is_away(e);
}

/*
 * The store's directory is opened anew each time: one that is kept open could be moved away, or
 * mounted over, and states would go where nobody looks for them.
 */
static int open_top(const struct store_file *s, struct err *e)
{
	int top = open(s->dir, DIR_FLAGS);

	return top >= 0 ? top : err_sys(e, "cannot open the state store %s", s->dir);
}

static int open_job_dir(const struct store_file *s, const char *job, struct err *e)
{
	int top = open_top(s, e);
	int dir;

	if (top < 0)
		return -1;
	dir = openat(top, job, DIR_FLAGS | O_NOFOLLOW);
	if (dir < 0)
		err_sys(e, "cannot open %s/%s", s->dir, job);
	close(top);
	return dir;
}

static int make_job_dir(const struct store_file *s, const char *job, struct err *e)
{
	int top = open_top(s, e);
	int rc;

	if (top < 0)
		return -1;
	if (mkdirat(top, job, 0700) < 0 && errno != EEXIST)
		rc = err_sys(e, "cannot make %s/%s", s->dir, job);
	else /* when it was there, too: its maker may not have lived to sync */
		rc = fs_sync_dir(top, s->dir, e);
	close(top);
	return rc;
}

/* The name of the blob with it. */
static void show_number(struct blob_number n, char name[BLOB_NAME_MAX + 1])
{
	snprintf(name, BLOB_NAME_MAX + 1, "%" PRIu64 "-%" PRIu64, n.epoch, n.seq);
}

static bool is_before(struct blob_number a, struct blob_number b)
{
	return a.epoch != b.epoch ? a.epoch < b.epoch : a.seq < b.seq;
}

/* Of the file's name, which is a blob's or that of its temporary file; epoch 0: it is neither. */
static struct blob_number number_of(const char *name, bool *is_temp)
{
	struct blob_number n = { 0 };

	*is_temp = strncmp(name, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0;
	if (*is_temp)
		name += strlen(TEMP_PREFIX);
	if (is_blob_name(name)) {
		n.epoch = strtoull(name, NULL, 10);
		n.seq = strtoull(strchr(name, '-') + 1, NULL, 10);
	}
	return n;
}

/*
 * What a worker that was killed in the middle of a put left behind. Only names up to our own: a
 * larger epoch belongs to a newer owner, who may be at work; and with a larger number under ours
 * the worker itself is, when we are a put that hung and that it has abandoned. An older owner that
 * is still writing will fail to rename, which is right: it could not commit any more.
 */
static bool is_stale_temp(const char *name, void *ctx)
{
	const struct blob_number *ours = ctx;
	bool is_temp;
	struct blob_number n = number_of(name, &is_temp);

	return is_temp && n.epoch > 0 && !is_before(*ours, n);
}

/* Copies and syncs into the temporary file. */
static int fill_temp(int dir, const char *temp, const struct stream_end *from, uint64_t size,
    char *sha256, struct err *e)
{
	struct stream_end to = { -1, temp };
	int rc;

	to.fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to.fd < 0)
		return err_sys(e, "cannot make %s", temp);
	rc = stream_copy(from, &to, size, sha256, e);
	if (rc == 0 && fsync(to.fd) < 0)
		rc = err_sys(e, "cannot sync %s", temp);
	close(to.fd);
	return rc;
}

/*
 * Makes the name of a blob that nobody has, by an empty file, which no record names; everybody who
 * makes one does so exclusively. Not by a link or a rename that replaces nothing: not every file
 * system that states are kept on can do these.
 */
static int claim_name(int dir, struct blob_number n, char name[BLOB_NAME_MAX + 1], struct err *e)
{
	int fd;

	for (int i = 0; i < NAMES_TRIED; i++, n.seq++) {
		show_number(n, name);
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0) {
			close(fd);
			return 0;
		}
		if (errno != EEXIST)
			break;
	}
	return err_sys(e, "cannot make %s", name);
}

/* In the end name is the blob's. */
static int write_blob(int dir, struct blob_number ours, const struct stream_end *from,
    uint64_t size, char name[BLOB_NAME_MAX + 1], char *sha256, struct err *e)
{
	char temp[sizeof(TEMP_PREFIX) + BLOB_NAME_MAX];
	int rc;

	show_number(ours, name);
	snprintf(temp, sizeof(temp), TEMP_PREFIX "%s", name);
	rc = fill_temp(dir, temp, from, size, sha256, e);
	if (rc == 0 && FAULT("in_upload")) {
		errno = EIO;
		rc = err_sys(e, "cannot write %s", temp);
	}
	if (rc == 0)
		rc = claim_name(dir, ours, name, e);
	if (rc < 0) {
		unlinkat(dir, temp, 0);
		return -1;
	}
	if (renameat(dir, temp, dir, name) < 0)
		rc = err_sys(e, "cannot rename %s to %s", temp, name);
	else
		rc = fs_sync_dir(dir, "of the job", e);
	if (rc < 0) {
		unlinkat(dir, temp, 0);
		unlinkat(dir, name, 0);
	}
	return rc;
}

static int file_put(struct store *base, const char *job, uint64_t epoch, uint64_t seq, int fd,
    uint64_t size, char **url, char sha256[RECORD_SHA_LEN + 1], struct err *e)
{
	struct store_file *s = of_base(base);
	struct stream_end from = { fd, "the state file" };
	struct blob_number ours = { epoch, seq };
	char name[BLOB_NAME_MAX + 1];
	int dir, rc;

	if (!conf_job_name_ok(job))
		return err_set(e, "\"%s\" is no job name", job);
	if (settle(s, e) < 0)
		return -1;
	if (make_job_dir(s, job, e) < 0)
		return -1;
	dir = open_job_dir(s, job, e);
	if (dir < 0)
		return -1;
	fs_sweep(dir, is_stale_temp, &ours, NULL);
	rc = write_blob(dir, ours, &from, size, name, sha256, e);
	if (rc < 0)
		err_add(e, "%s/%s", s->dir, job);
	else if (asprintf(url, STORE_FILE_SCHEME "%s/%s/%s", s->dir, job, name) < 0) {
		unlinkat(dir, name, 0);
		rc = err_set(e, "out of memory");
	}
	close(dir);
	return rc;
}

/* The descriptor of the blob, or -1 with the advice that an operator needs at that point. */
static int open_blob(
    const struct store_file *s, const struct blob *b, const char *url, struct err *e)
{
	int dir = open_job_dir(s, b->job, e);
	int fd;

	if (dir >= 0) {
		fd = openat(dir, b->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 && errno == ELOOP)
			err_set(e, "%s is a link: " STORE_DAMAGE_ADVICE, url);
		else if (fd < 0)
			err_sys(e, "cannot open %s", url);
		close(dir);
		if (fd >= 0)
			return fd;
	}
	if (e != NULL && e->code == ENOENT)
		err_set(e,
		    "%s is not there: bring it back, mount what it is on, or delete the "
		    "job's state record so that it starts from nothing",
		    url);
	return -1;
}

/* Of the bytes, not of the way to them, which may be mended by itself. */
static int read_blob(
    int from_fd, const char *url, uint64_t size, const char *sha256, int fd, struct err *e)
{
	struct stream_end from = { from_fd, url };
	struct stream_end to = { fd, "the copy" };
	char found[RECORD_SHA_LEN + 1];
	struct err why;
	struct stat st;

	if (fstat(from_fd, &st) != 0)
		return err_sys(e, "cannot examine %s", url);
	if (!S_ISREG(st.st_mode))
		return err_set(e, "%s is no regular file: " STORE_DAMAGE_ADVICE, url);
	if (stream_copy(&from, &to, size, found, &why) != 0) {
		if (why.code == 0)
			return err_set(e, "%s: " STORE_DAMAGE_ADVICE, why.text);
		if (e != NULL)
			*e = why;
		return -1;
	}
	if (strcmp(found, sha256) != 0)
		return err_set(e,
		    "%s is damaged: its SHA-256 is %s, the record says %s: " STORE_DAMAGE_ADVICE,
		    url, found, sha256);
	return 0;
}

static int file_get(
    struct store *base, const char *url, uint64_t size, const char *sha256, int fd, struct err *e)
{
	struct blob b;
	int from, rc;

	if (blob_locate(of_base(base), url, &b, e) < 0 || check_place(of_base(base), e) < 0)
		return -1;
	from = open_blob(of_base(base), &b, url, e);
	if (from < 0)
		return -1;
	rc = read_blob(from, url, size, sha256, fd, e);
	close(from);
	return rc;
}

static int file_remove(struct store *base, const char *url, struct err *e)
{
	struct store_file *s = of_base(base);
	struct err why;
	struct blob b;
	int rc = 0;
	int dir;

	if (blob_locate(s, url, &b, e) < 0 || check_place(s, e) < 0)
		return -1;
	dir = open_job_dir(s, b.job, &why);
	if (dir < 0 && why.code == ENOENT)
		return 0;
	if (dir < 0)
		return err_set(e, "%s", why.text);
	if (unlinkat(dir, b.name, 0) < 0 && errno != ENOENT)
		rc = err_sys(e, "cannot remove %s", url);
	close(dir);
	return rc;
}

struct garbage {
	struct blob_number before;
	const char *keep; /* NULL: none */
};

static bool is_garbage(const char *name, void *ctx)
{
	const struct garbage *g = ctx;
	bool is_temp;
	struct blob_number n = number_of(name, &is_temp);

	return n.epoch > 0 && is_before(n, g->before) &&
	       (g->keep == NULL || strcmp(name, g->keep) != 0);
}

static int file_sweep(
    struct store *base, const char *job, struct blob_number before, const char *keep, struct err *e)
{
	struct store_file *s = of_base(base);
	struct garbage g = { .before = before };
	struct blob kept;
	struct err why;
	int dir, rc;

	if (!conf_job_name_ok(job))
		return err_set(e, "\"%s\" is no job name", job);
	/* What is not in this store protects nothing here; then nothing is certain. */
	if (keep != NULL && blob_locate(s, keep, &kept, e) < 0)
		return -1;
	if (keep != NULL && strcmp(kept.job, job) == 0)
		g.keep = kept.name;
	if (check_place(s, e) < 0)
		return -1;
	dir = open_job_dir(s, job, &why);
	if (dir < 0 && why.code == ENOENT)
		return 0;
	if (dir < 0)
		return err_set(e, "%s", why.text);
	rc = fs_sweep(dir, is_garbage, &g, e);
	close(dir);
	return rc == 0 ? 0 : err_add(e, "%s/%s", s->dir, job);
}

static void file_close(struct store *base)
{
	free(of_base(base)->dir);
	free(of_base(base));
}

static const struct store_ops file_ops = {
	.close = file_close,
	.prepare = file_prepare,
	.put = file_put,
	.get = file_get,
	.remove = file_remove,
	.sweep = file_sweep,
};

/* The directory that url names, without slashes at its end; NULL if it does not. */
static char *dir_of_url(const char *url, struct err *e)
{
	const char *path = url + strlen(STORE_FILE_SCHEME);
	size_t len = strlen(path);
	char *dir;

	while (len > 0 && path[len - 1] == '/')
		len--;
	if (path[0] != '/' || len == 0) {
		err_set(e, "\"%s\" names no directory: write file:///DIRECTORY, with three slashes",
		    url);
		return NULL;
	}
	if (len + strlen(STORE_FILE_SCHEME) + URL_ROOM > RECORD_URL_MAX) {
		err_set(e, "the path is too long for a state record: \"%s\"", url);
		return NULL;
	}
	dir = strndup(path, len);
	if (dir == NULL)
		err_set(e, "out of memory");
	return dir;
}

struct store *store_file_open(const char *url, const struct store_place *place, struct err *e)
{
	struct store_file *s;
	char *dir = dir_of_url(url, e);

	if (dir == NULL)
		return NULL;
	s = malloc(sizeof(*s));
	if (s == NULL) {
		err_set(e, "out of memory");
		free(dir);
		return NULL;
	}
	s->base.ops = &file_ops;
	s->dir = dir;
	atomic_init(&s->made, false);
	s->place = *place;
	return &s->base;
}
