/*
 * state_test.h - for the tests of the state layer: a directory of their own, files in it, and
 * system calls that fail, or let the job act, at a chosen moment. Included once per executable.
 */
#ifndef T_UNIT_STATE_TEST_H
#define T_UNIT_STATE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

static char scratch[PATH_MAX / 4];
static struct err err;

/* A fault: what the nth call from now on does; 0: nothing. */
static int fail_fsync;
static int fail_renameat;
static bool no_dir_sync;              /* a file system that knows no sync of a directory */
static void (*before_fsync)(int fd);  /* before every fsync() */
static void (*before_pread)(void);    /* before every pread() */
static void (*before_renameat)(void); /* before every renameat() */
static void (*before_openat)(void);   /* before the next openat() */

int fsync(int fd)
{
	struct stat st;

	if (before_fsync != NULL)
		before_fsync(fd);
	if (fail_fsync > 0 && --fail_fsync == 0) {
		errno = EIO;
		return -1;
	}
	if (no_dir_sync && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

int renameat(int olddir, const char *old, int newdir, const char *new)
{
	if (fail_renameat > 0 && --fail_renameat == 0) {
		errno = EROFS;
		return -1;
	}
	if (before_renameat != NULL)
		before_renameat();
	return (int)syscall(SYS_renameat2, olddir, old, newdir, new, 0);
}

int openat(int dirfd, const char *path, int flags, ...)
{
	void (*hook)(void) = before_openat;
	mode_t mode = 0;
	va_list ap;

	if ((flags & O_CREAT) != 0) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	before_openat = NULL;
	if (hook != NULL)
		hook();
	return (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

ssize_t pread(int fd, void *buf, size_t size, off_t offset)
{
	if (before_pread != NULL)
		before_pread();
	return syscall(SYS_pread64, fd, buf, size, offset);
}

/* The path of name in the scratch directory; good for the next eight calls. */
static inline const char *at(const char *name)
{
	static char ring[8][PATH_MAX];
	static unsigned int turn;
	char *path = ring[turn++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", scratch, name);
	return path;
}

static inline void write_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(close(fd), 0);
}

static inline void write_text(const char *path, const char *text)
{
	write_file(path, text, strlen(text));
}

static inline void assert_file(const char *path, const void *data, size_t len)
{
	unsigned char *found = malloc(len + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_non_null(found);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, found, len + 1), (ssize_t)len);
	assert_memory_equal(found, data, len);
	close(fd);
	free(found);
}

static inline void assert_text(const char *path, const char *text)
{
	assert_file(path, text, strlen(text));
}

/* The error says all of what a person needs: these words are in it, and it is one line. */
static inline void assert_says(const char *words)
{
	if (strstr(err.text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
	assert_null(strchr(err.text, '\n'));
}

static inline bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static inline struct stat stat_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st;
}

/* How many names in path begin with prefix. */
static inline int count(const char *path, const char *prefix)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
			n++;
	closedir(dir);
	return n;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A small file system at scratch/name, full after 64 KiB; where that is not allowed, skips. */
static inline void mount_small(const char *name)
{
	mkdir(at(name), 0755);
	if (mount("tmpfs", at(name), "tmpfs", 0, "size=64k") < 0)
		skip();
}

static inline void make_read_only(const char *name)
{
	assert_int_equal(mount("tmpfs", at(name), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=64k"), 0);
}

/* From now on no file of this process gets longer than max. */
static inline void limit_file_size(rlim_t max)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = max < limit.rlim_max ? max : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static inline int scratch_make(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(scratch, sizeof(scratch), "%s/graceful-state-XXXXXX",
	    tmp != NULL && *tmp == '/' ? tmp : "/tmp");
	memset(&err, 0, sizeof(err));
	fail_fsync = fail_renameat = 0;
	no_dir_sync = false;
	before_pread = before_renameat = before_openat = NULL;
	before_fsync = NULL;
	signal(SIGXFSZ, SIG_IGN);
	return mkdtemp(scratch) != NULL ? 0 : -1;
}

/* mounted: where a test may have mounted something, or NULL. */
static inline int scratch_remove(const char *mounted)
{
	limit_file_size(RLIM_INFINITY);
	before_pread = before_renameat = before_openat = NULL;
	before_fsync = NULL;
	if (mounted != NULL)
		umount2(at(mounted), MNT_DETACH);
	remove_tree(scratch);
	return is_there(scratch) ? -1 : 0;
}

/* For tests that mount nothing and have nothing else to set up. */
static inline int enter_scratch(void **state)
{
	(void)state;
	return scratch_make();
}

static inline int leave_scratch(void **state)
{
	(void)state;
	return scratch_remove(NULL);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, enter_scratch, leave_scratch)

#endif
