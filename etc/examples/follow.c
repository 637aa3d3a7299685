#include "follow.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lines.h"

#define NONE (-1)

struct follow {
	char path[PATH_MAX - 16]; /* leaves room for a generation */
	int watch;                /* inotify */
	int fd;                   /* the file being read, -1: none yet */
	int next;                 /* its successor, -1: not seen yet */
	struct place next_head;   /* what stood at its start when it was surely the successor */
	bool next_skips;          /* what stood between it and fd may be lost */
	int hole;                 /* at the last look fd had this name, and the next was missing */
	uint64_t gaps;
	dev_t dev; /* of fd */
	ino_t ino;
	/* While no line of fd was returned: the place in the file read before it, and its head. */
	struct place before, head;
	struct lines lines;
};

/* FNV-1a, 64 bits: no adversary here, and nothing to link. */
static uint64_t hash_of(const char *data, size_t len)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)data[i]) * 1099511628211u;
	return hash;
}

/* Generation 0 is FILE itself. */
static const char *name_of(const struct follow *f, int generation, char buf[PATH_MAX])
{
	if (generation == 0)
		snprintf(buf, PATH_MAX, "%s", f->path);
	else
		snprintf(buf, PATH_MAX, "%s.%d", f->path, generation);
	return buf;
}

/* The place after so many bytes from the start of a file, all of them in buf. */
static struct place start_of(const struct stat *st, const char *buf, size_t len)
{
	return (struct place){ true, st->st_dev, st->st_ino, len, len, hash_of(buf, len) };
}

static void shut(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

/* -1 with ENOENT: there is none. O_NONBLOCK: a FIFO must not hang us; it is refused. */
static int open_generation(const struct follow *f, int generation, struct stat *st)
{
	char name[PATH_MAX];
	int fd = open(name_of(f, generation, name), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -1;
	if (fstat(fd, st) == 0 && S_ISREG(st->st_mode))
		return fd;
	shut(&fd);
	errno = EINVAL;
	return -1;
}

/* Whether the file holds what was read up to p. */
static bool tail_matches(int fd, const struct place *p)
{
	char buf[LINES_TAIL];
	ssize_t n;

	if (p->tail > sizeof(buf) || p->tail > p->offset)
		return false;
	n = pread(fd, buf, p->tail, (off_t)(p->offset - p->tail));
	return n >= 0 && (uint64_t)n == p->tail && hash_of(buf, p->tail) == p->hash;
}

/*
 * Whether a file is the one of p: the same one, or, by content alone, a copy of it. The latter also
 * finds a file whose device number is another after a boot.
 */
static bool is_place(int fd, const struct stat *st, const struct place *p, bool same_file)
{
	if (same_file && (st->st_dev != p->dev || st->st_ino != p->ino))
		return false;
	if (!same_file && p->tail == 0)
		return false;
	return (uint64_t)st->st_size >= p->offset && tail_matches(fd, p);
}

/* Starts reading fd, which becomes ours, at offset. */
static int take_up(struct follow *f, int fd, const struct stat *st, uint64_t offset)
{
	shut(&f->next);
	shut(&f->fd);
	f->fd = fd;
	f->hole = 0;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->head = start_of(st, "", 0);
	return lines_start(&f->lines, fd, offset);
}

/*
 * Looks p up from FILE to older generations: a file that is renamed meanwhile moves the same way,
 * so it is not missed. Each is taken up before it is looked at: what lines_start() read is then
 * from before the look, too. 1: found, reading goes on there; 0: not found; -1: error.
 */
static int find_place(struct follow *f, const struct place *p, bool same_file)
{
	struct stat st;
	int fd;

	for (int i = 0; i <= FOLLOW_GENERATIONS; i++) {
		fd = open_generation(f, i, &st);
		/* Only what is surely not there is passed over: a gap counts lines anew. */
		if (fd < 0 && errno != ENOENT && errno != EINVAL)
			return -1;
		if (fd < 0)
			continue;
		if (take_up(f, fd, &st, p->offset) < 0)
			return -1;
		if (is_place(fd, &st, p, same_file))
			return 1;
	}
	return 0;
}

/* FILE from its start, if it is there. 1: yes; 0: no; -1: error. */
static int start_anew(struct follow *f)
{
	struct stat st;
	int fd = open_generation(f, 0, &st);

	if (fd >= 0)
		return take_up(f, fd, &st, 0) < 0 ? -1 : 1;
	shut(&f->next);
	shut(&f->fd);
	return errno == ENOENT ? 0 : -1;
}

static int resume(struct follow *f, const struct place *p)
{
	int found = find_place(f, p, true);

	if (found == 0)
		found = find_place(f, p, false);
	if (found != 0)
		return found;
	f->gaps++;
	shut(&f->fd);
	memset(&f->before, 0, sizeof(f->before));
	return start_anew(f);
}

/* -1, and the place stays where it was, whatever was looked at meanwhile. */
static int give_up(struct follow *f, const struct place *here)
{
	f->before = *here;
	shut(&f->next);
	shut(&f->fd);
	return -1;
}

/*
 * A line that has to be read from the file. That may be truncated at any time, and grow past the
 * place; so what was read counts only if what stands before it is still there afterwards: looked at
 * before the read, it could be gone before it is read on. If it is not, reading goes on at the new
 * place. Where no line was read of the file yet, its head tells; the place is then still in the
 * file before it, which leads on to what came after.
 */
static int read_line(struct follow *f, const char **text, size_t *len)
{
	struct place here;
	struct stat st;
	bool unread;
	int got;

	do {
		follow_place(f, &here);
		unread = f->lines.offset == 0;
		got = lines_next(&f->lines, text, len);
		if (got < 0 || fstat(f->fd, &st) < 0)
			return give_up(f, &here);
		if (is_place(f->fd, &st, unread ? &f->head : &here, true))
			return got;
		if (resume(f, &here) < 0)
			return give_up(f, &here);
	} while (f->fd >= 0);
	return 0;
}

/* Which generation the file being read is now, NONE if it was removed or moved elsewhere. */
static int generation(const struct follow *f)
{
	char name[PATH_MAX];
	struct stat st;

	for (int i = 0; i <= FOLLOW_GENERATIONS; i++)
		if (stat(name_of(f, i, name), &st) == 0 && st.st_dev == f->dev &&
		    st.st_ino == f->ino)
			return i;
	return NONE;
}

/*
 * The place after the head of a file. *whole: its first line is there, or as much of it as a tail
 * has, so that no other file has the same head.
 */
static int read_head(int fd, struct place *head, bool *whole)
{
	char buf[LINES_TAIL];
	ssize_t n = pread(fd, buf, sizeof(buf), 0);
	struct stat st;

	if (n < 0 || fstat(fd, &st) < 0)
		return -1;
	*head = start_of(&st, buf, (size_t)n);
	*whole = n == sizeof(buf) || memchr(buf, '\n', (size_t)n) != NULL;
	return 0;
}

/* Where the file system does not say, it may have been. */
static bool made_after(int fd, int other)
{
	struct statx a, b;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &a) < 0 ||
	    statx(other, "", AT_EMPTY_PATH, STATX_BTIME, &b) < 0 ||
	    (a.stx_mask & b.stx_mask & STATX_BTIME) == 0)
		return true;
	if (a.stx_btime.tv_sec != b.stx_btime.tv_sec)
		return a.stx_btime.tv_sec > b.stx_btime.tv_sec;
	return a.stx_btime.tv_nsec >= b.stx_btime.tv_nsec;
}

/*
 * Ours was removed: opens a rotated file if that surely came after it. Neither what is older nor a
 * copy of ours may come again. -1 with ENOENT: it did not.
 */
static int open_if_after(const struct follow *f, int generation)
{
	struct stat st;
	struct place here;
	int fd = open_generation(f, generation, &st);

	follow_place(f, &here);
	if (fd >= 0 && !made_after(f->fd, fd) && !is_place(fd, &st, &here, false))
		return fd;
	if (fd >= 0 || errno == EINVAL)
		errno = ENOENT;
	shut(&fd);
	return -1;
}

/*
 * Opens the oldest file that is younger than ours. From FILE to older ones, as in find_place(): one
 * that is renamed meanwhile is not missed. -1 with ENOENT: there is none.
 */
static int open_younger(const struct follow *f, int mine, int *found)
{
	int fd, best = -1, why = ENOENT, end = mine == NONE ? FOLLOW_GENERATIONS + 1 : mine;
	struct stat st;

	for (int i = 0; i < end; i++) {
		fd = mine == NONE && i > 0 ? open_if_after(f, i) : open_generation(f, i, &st);
		if (fd < 0 && errno == ENOENT)
			continue;
		why = errno;
		shut(&best);
		best = fd;
		*found = i;
	}
	errno = why;
	return best;
}

/*
 * Whether the file after ours is missing. In the midst of a rotation it is, too, for a moment; so
 * that is believed only at a second look. *wait: this was the first.
 */
static bool see_hole(struct follow *f, int mine, int found, bool *wait)
{
	bool hole = mine > 0 && found < mine - 1;

	*wait = hole && f->hole != mine;
	f->hole = hole ? mine : 0;
	return hole;
}

/*
 * Opens the next younger file when the one being read was rotated away. It is the successor only if
 * ours still has the same name afterwards: rotation renames the oldest first. If not, more events
 * are due, and we come back. 1: f->next is open; 0: not yet; -1: error.
 */
static int open_next(struct follow *f)
{
	int mine = generation(f), found = 0;
	bool whole, hole, wait;
	int fd;

	if (mine == 0)
		return 0;
	fd = open_younger(f, mine, &found);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (read_head(fd, &f->next_head, &whole) < 0) {
		shut(&fd);
		return -1;
	}
	hole = see_hole(f, mine, found, &wait);
	/* A younger FILE without a line may mean that its writer still writes to ours. */
	if ((found == 0 && !whole) || wait || generation(f) != mine) {
		shut(&fd);
		return 0;
	}
	f->next = fd;
	f->next_skips = hole || (mine == NONE && found > 0);
	return 1;
}

/*
 * Whether fd is what ours is being copied from, and not truncated yet: ours may not be complete
 * then, and what was read of it must not come twice.
 */
static bool is_original(const struct follow *f, int fd, const struct stat *st)
{
	struct place here;

	follow_place(f, &here);
	return f->lines.offset > 0 && is_place(fd, st, &here, false) && made_after(f->fd, fd);
}

/* Reads on there, unless it is truncated meanwhile: then the copy is complete. */
static int move_to_original(struct follow *f, int fd, const struct stat *st)
{
	struct place here;
	int found;

	follow_place(f, &here);
	found = take_up(f, fd, st, here.offset);
	if (found == 0)
		found = is_place(fd, st, &here, false) ? 1 : resume(f, &here);
	return found < 0 ? give_up(f, &here) : found;
}

static int switch_to_next(struct follow *f)
{
	struct stat st;
	int fd = f->next;

	f->next = -1;
	if (fstat(fd, &st) < 0) {
		shut(&fd);
		return -1;
	}
	if (is_original(f, fd, &st))
		return move_to_original(f, fd, &st);
	follow_place(f, &f->before);
	if (take_up(f, fd, &st, 0) < 0)
		return -1;
	f->head = f->next_head;
	f->gaps += f->next_skips;
	return 1;
}

/* After an error, or before there was a file. */
static int find_again(struct follow *f, const struct place *p)
{
	int rc = p->known ? resume(f, p) : start_anew(f);

	return rc < 0 ? give_up(f, p) : rc;
}

/* At the end of the file being read. 1: there may be more to read; 0: not now; -1: error. */
static int advance(struct follow *f)
{
	struct place before = f->before;

	if (f->fd < 0)
		return find_again(f, &before);
	/* The successor was opened before we got here again: ours has been read to its very end. */
	if (f->next >= 0)
		return switch_to_next(f);
	return open_next(f);
}

int follow_next(struct follow *f, const char **text, size_t *len)
{
	int more = 1;

	while (more > 0) {
		if (f->fd >= 0) {
			int got = lines_take(&f->lines, text, len);

			if (got == 0)
				got = read_line(f, text, len);
			if (got != 0)
				return got;
		}
		more = advance(f);
	}
	return more;
}

void follow_place(const struct follow *f, struct place *p)
{
	const char *tail;

	if (f->fd < 0 || (f->lines.offset == 0 && f->before.known)) {
		*p = f->before;
		return;
	}
	p->known = true;
	p->dev = f->dev;
	p->ino = f->ino;
	p->offset = f->lines.offset;
	p->tail = lines_tail(&f->lines, &tail);
	p->hash = hash_of(tail, p->tail);
}

/* Watches the directory: for FILE to be made, renamed and written to, under any of its names. */
static int open_watch(const char *path)
{
	char *copy = strdup(path);
	int fd = copy == NULL ? -1 : inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd >= 0 && inotify_add_watch(
			   fd, dirname(copy), IN_ONLYDIR | IN_CREATE | IN_MOVED_TO | IN_MODIFY) < 0)
		shut(&fd);
	free(copy);
	return fd;
}

struct follow *follow_open(const char *path, const struct place *from)
{
	struct follow *f = calloc(1, sizeof(*f));
	int n;

	if (f == NULL)
		return NULL;
	f->watch = f->fd = f->next = -1;
	f->before = *from;
	n = snprintf(f->path, sizeof(f->path), "%s", path);
	if ((size_t)n >= sizeof(f->path)) {
		errno = ENAMETOOLONG;
		goto fail;
	}
	/* Before the first look at the files: what happens after that look wakes us. */
	f->watch = open_watch(path);
	if (f->watch < 0 && errno != EMFILE && errno != ENOSPC)
		goto fail;
	if (from->known && resume(f, from) < 0)
		goto fail;
	return f;
fail:
	follow_close(f);
	return NULL;
}

void follow_close(struct follow *f)
{
	if (f == NULL)
		return;
	shut(&f->next);
	shut(&f->fd);
	shut(&f->watch);
	free(f);
}

uint64_t follow_gaps(const struct follow *f)
{
	return f->gaps;
}

int follow_fd(const struct follow *f)
{
	return f->watch;
}

/* Which file changed and how does not matter: follow_next() looks for itself. */
void follow_drain(struct follow *f)
{
	char buf[4096];

	while (f->watch >= 0 && read(f->watch, buf, sizeof(buf)) > 0)
		continue;
}
