#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "state/statefile.h"
#include "state/transfer.h"

#define NAME_LEN (sizeof(REJECTED_PREFIX) - 1 + 16)
#define DEPTH_MAX 32
#define FOUND_MAX 1024 /* what is more is for the next time */

/* A directory of the job, who may move things about in it at any moment. */
struct place {
	int fd;
	uid_t owner;
	dev_t dev;
};

static int remove_tree(const struct place *p, const char *name, int depth, struct err *e);

static int remove_entry(const struct place *p, const char *name, int depth, struct err *e)
{
	if (unlinkat(p->fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return err_sys(e, "cannot remove %s", name);
	return remove_tree(p, name, depth, e);
}

static int empty(const struct place *p, int depth, struct err *e)
{
	int fd = openat(p->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	int rc = 0;

	if (dir == NULL) {
		rc = err_sys(e, "cannot list a directory");
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = remove_entry(p, entry->d_name, depth, e);
	}
	closedir(dir);
	return rc;
}

/* Follows no link, and goes into no directory that is not the job's own: nothing is removed that
 * the job could not have removed itself. */
static int remove_tree(const struct place *p, const char *name, int depth, struct err *e)
{
	struct place in = { .owner = p->owner, .dev = p->dev };
	struct stat st;
	int rc;

	if (depth == 0)
		return err_set(e, "cannot remove %s: it is too deep", name);
	in.fd = openat(p->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in.fd < 0)
		return err_sys(e, "cannot open %s", name);
	if (fstat(in.fd, &st) != 0)
		rc = err_sys(e, "cannot examine %s", name);
	else if (st.st_uid != p->owner || st.st_dev != p->dev)
		rc = err_set(e, "cannot remove %s: it is not the job's", name);
	else
		rc = empty(&in, depth - 1, e);
	close(in.fd);
	if (rc == 0 && unlinkat(p->fd, name, AT_REMOVEDIR) != 0)
		rc = err_sys(e, "cannot remove %s", name);
	return rc;
}

struct rejected {
	char name[NAME_LEN + 1];
	struct timespec since;
};

struct found {
	const struct place *place;
	struct rejected *all;
	size_t n;
};

static bool is_rejected(const char *name)
{
	const char *digits = name + sizeof(REJECTED_PREFIX) - 1;

	return strncmp(name, REJECTED_PREFIX, sizeof(REJECTED_PREFIX) - 1) == 0 &&
	       strspn(digits, "0123456789abcdef") == 16 && digits[16] == '\0';
}

/* For fs_sweep(): just notes them. */
static bool note(const char *name, void *ctx)
{
	struct found *f = ctx;
	struct stat st;

	if (f->n == FOUND_MAX || !is_rejected(name) ||
	    fstatat(f->place->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	memcpy(f->all[f->n].name, name, NAME_LEN + 1);
	f->all[f->n++].since = st.st_ctim; /* when it was moved aside, at the earliest */
	return false;
}

static int newest_first(const void *a, const void *b)
{
	const struct timespec *x = &((const struct rejected *)a)->since;
	const struct timespec *y = &((const struct rejected *)b)->since;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? 1 : -1;
	return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

static int tidy(const struct place *p, struct err *e)
{
	struct found f = { .place = p, .all = calloc(FOUND_MAX, sizeof(*f.all)) };
	int rc;

	if (f.all == NULL)
		return err_set(e, "out of memory");
	rc = fs_sweep(p->fd, note, &f, e);
	qsort(f.all, f.n, sizeof(*f.all), newest_first);
	for (size_t i = REJECTED_KEPT; rc == 0 && i < f.n; i++)
		rc = remove_entry(p, f.all[i].name, DEPTH_MAX, e);
	free(f.all);
	return rc;
}

int transfer_tidy(const char *dir, uid_t owner, struct err *e)
{
	struct place p = { .fd = statefile_open_dir(dir, e), .owner = owner };
	struct stat st;
	int rc;

	if (p.fd < 0)
		return -1;
	rc = fstat(p.fd, &st) != 0 ? err_sys(e, "cannot examine %s", dir) : 0;
	p.dev = st.st_dev;
	if (rc == 0 && tidy(&p, e) != 0)
		rc = err_add(e, "%s", dir);
	close(p.fd);
	return rc;
}
