/*
 * follow.h - the lines of a log file, each once, through its rotations and through restarts.
 *
 * A log FILE is rotated in one of two ways, and both also while nobody follows it:
 *  - renamed to FILE.1 (FILE.1 to FILE.2, and so on), and FILE made anew. The old file is read to
 * its end first. A writer that changes over later writes to the old one for a while; so that is
 * left only when the new one has content, and then read to its end once more.
 *  - copied to FILE.1 and truncated. The copy is read to its end, then FILE from its start.
 * Either may come between any two looks at the files, and several at once.
 * A place in these files is kept by device, inode, offset and a hash of the bytes before it. So no
 * two lines of a file that is truncated may be the same; in logs their times see to that. And
 * before the first line was read there is no place: a FILE that is rotated away then is not looked
 * for.
 *
 * What cannot be found again - compressed, removed, moved elsewhere - counts as a gap: some lines
 * may be missing (or, in a file that was edited, returned again), and following goes on with FILE
 * from its start.
 * A file that is removed while it is open here is read to its end, and then
 *  - the oldest of FILE.1 to FILE.9 that was made after it, with a gap: there may have been others.
 *    Where the file system does not keep when a file was made, or files made in another order were
 *    rotated (by copy, then by rename), those are not known, and lost without a gap;
 *  - or, with none of these, FILE, without a gap.
 * If only files between it and the next one are missing, that one is next, with a gap. Within a
 * rotation it looks the same for a moment: so only the second call of follow_next() in a row that
 * sees it goes on, and if both came within that moment, the gap is one without a lost line.
 */
#ifndef FOLLOW_H
#define FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FOLLOW_GENERATIONS 9 /* FILE.1 to FILE.9 are looked at */

struct place {
	bool known; /* false: no file seen yet, the rest is 0 */
	uint64_t dev;
	uint64_t ino;
	uint64_t offset; /* after the last line that was returned */
	uint64_t tail;   /* length of the tail, see lines.h, and its hash */
	uint64_t hash;
};

struct follow;

/* path need not exist yet, its directory must. NULL and errno: that, or out of memory. */
struct follow *follow_open(const char *path, const struct place *from);
void follow_close(struct follow *f);

/*
 * 1: the next complete line (at most LINES_HEAD bytes of it), valid until the next call. 0: none
 * now, wait on follow_fd(). -1 and errno: a file that cannot be read; the place stays, and the next
 * call tries again.
 */
int follow_next(struct follow *f, const char **text, size_t *len);

/* After the line that was returned last. */
void follow_place(const struct follow *f, struct place *p);

/* How many gaps there were since follow_open(). */
uint64_t follow_gaps(const struct follow *f);

/*
 * Readable when anything happened to the files; follow_drain() empties it. -1 where the kernel has
 * no more inotify instances for this user (128 by default): look again every now and then.
 */
int follow_fd(const struct follow *f);
void follow_drain(struct follow *f);

#endif
