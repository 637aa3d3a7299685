/*
 * child_test.h - for tests that need a process of their own, because they change signals, standard
 * error or the user, or count every child.
 */
#ifndef T_UNIT_CHILD_TEST_H
#define T_UNIT_CHILD_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* In the child: cmocka's own asserts would jump back into the test of the parent. */
#define CHECK(what)                                                                 \
	do {                                                                        \
		if (!(what)) {                                                      \
			printf("# %s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
			fflush(stdout);                                             \
			_exit(1);                                                   \
		}                                                                   \
	} while (0)

static inline int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	return status;
}

static inline pid_t start_child(void (*body)(void))
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		body();
		_exit(0);
	}
	return pid;
}

/* Runs body in a child; the test fails when a CHECK() did, or when a signal ended the child. */
static inline void in_child(void (*body)(void))
{
	assert_int_equal(wait_for(start_child(body)), 0);
}

/* A user whom resource limits and permissions hold; whoever runs the tests, if not root. */
static inline void become_nobody(void)
{
	if (geteuid() != 0)
		return;
	CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
	CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
}

/* Open descriptors of this process; -1 if they cannot be listed. */
static inline int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = -3; /* ".", ".." and dir itself */

	if (dir == NULL)
		return -1;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

#endif
