/*
 * cwd_test.h - a directory of its own for each test, which is the current one while it runs.
 * Included once per executable.
 */
#ifndef T_UNIT_CWD_TEST_H
#define T_UNIT_CWD_TEST_H

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char cwd_dir[PATH_MAX], cwd_home[PATH_MAX];

static inline int cwd_enter(void **unused)
{
	const char *tmp = getenv("TMPDIR");

	(void)unused;
	if (getcwd(cwd_home, sizeof(cwd_home)) == NULL)
		return -1;
	snprintf(cwd_dir, sizeof(cwd_dir), "%s/graceful-cwd-XXXXXX", tmp == NULL ? "/tmp" : tmp);
	return mkdtemp(cwd_dir) == NULL ? -1 : chdir(cwd_dir);
}

/* Of files and empty directories. */
static inline void cwd_clear(void)
{
	DIR *d = opendir(".");
	struct dirent *entry;

	assert_non_null(d);
	while ((entry = readdir(d)) != NULL)
		if (unlink(entry->d_name) < 0)
			(void)rmdir(entry->d_name);
	closedir(d);
}

static inline int cwd_leave(void **unused)
{
	(void)unused;
	cwd_clear();
	return chdir(cwd_home) < 0 ? -1 : rmdir(cwd_dir);
}

#endif
