#include "base/pidlock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"

/* The kernel shows its list in pieces, between which it may change; one lock may be missed. */
#define LOOKS 3

#define OPEN_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)

int pidlock_take(const char *path, pid_t *other, struct err *e)
{
	struct flock mine = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDWR | O_CREAT | OPEN_FLAGS, 0600);

	*other = 0;
	if (fd < 0)
		return err_sys(e, "cannot open %s", path);
	/* It may come from a copy that somebody made without care. */
	if (fs_own(fd, (uid_t)-1, (gid_t)-1, 0600, e) != 0) {
		err_add(e, "%s", path);
	} else if (fcntl(fd, F_SETLK, &mine) == 0) {
		return fd;
	} else {
		err_sys(e, "cannot lock %s", path);
		if (fcntl(fd, F_GETLK, &mine) == 0 && mine.l_type != F_UNLCK)
			*other = mine.l_pid;
	}
	close(fd);
	return -1;
}

static enum pidlock ask_file(int fd, const char *path, pid_t *pid, struct err *e)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_GETLK, &l) != 0) {
		err_sys(e, "cannot ask for the lock of %s", path);
		return PIDLOCK_FAILED;
	}
	if (l.l_type == F_UNLCK) {
		err_set(e, "%s is not locked", path);
		return PIDLOCK_FREE;
	}
	if (*pid == 0 && l.l_pid <= 0) {
		err_set(e, "%s is locked by a process of another PID namespace", path);
		return PIDLOCK_FAILED;
	}
	if (*pid == 0)
		*pid = l.l_pid;
	return l.l_pid == *pid ? PIDLOCK_HELD : PIDLOCK_OTHER;
}

/* By the inode alone, as some file systems show another device there than to stat(). pid 0 stands
 * for everybody. */
static bool is_listed(FILE *locks, ino_t inode, pid_t pid)
{
	char line[256];
	uintmax_t theirs;
	int holder;

	while (fgets(line, sizeof(line), locks) != NULL) {
		if (sscanf(line, "%*d: POSIX %*s WRITE %d %*[^:]:%*[^:]:%ju", &holder, &theirs) ==
			2 &&
		    (pid == 0 || holder == pid) && theirs == (uintmax_t)inode)
			return true;
	}
	return false;
}

static enum pidlock ask_kernel(const char *path, pid_t pid, struct err *e)
{
	bool found = false;
	struct stat st;

	if (stat(path, &st) != 0) {
		err_sys(e, "cannot examine %s", path);
		return PIDLOCK_FAILED;
	}
	for (int i = 0; i < LOOKS && !found; i++) {
		FILE *locks = fopen("/proc/locks", "re");

		if (locks == NULL) {
			err_sys(e, "may not open %s, and cannot open /proc/locks", path);
			return PIDLOCK_FAILED;
		}
		found = is_listed(locks, st.st_ino, pid);
		fclose(locks);
	}
	if (!found)
		err_set(e, "%s is not locked", path);
	if (!found || pid != 0)
		return found ? PIDLOCK_HELD : PIDLOCK_FREE;
	/* It may be the lock of a file that has this number in another file system. */
	err_set(e, "may not ask who locks %s: be root or the user that the master runs as", path);
	return PIDLOCK_FAILED;
}

enum pidlock pidlock_ask(const char *path, pid_t *pid, struct err *e)
{
	int fd = open(path, O_RDONLY | OPEN_FLAGS);
	enum pidlock found;

	if (fd < 0 && errno == EACCES)
		return ask_kernel(path, *pid, e);
	if (fd < 0 && errno == ENOENT) {
		err_set(e, "%s does not exist", path);
		return PIDLOCK_FREE;
	}
	if (fd < 0) {
		err_sys(e, "cannot read %s", path);
		return PIDLOCK_FAILED;
	}
	found = ask_file(fd, path, pid, e);
	close(fd);
	return found;
}
