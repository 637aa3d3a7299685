/* The state file: read once at start, replaced by rename at every checkpoint. */
#include "lib/lib.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	char *path;
	char *temp; /* one name for ever, so that killed dumps do not pile up */
	char *dir;
	enum graceful_restored restored;
} state;

static atomic_bool dumping; /* temp is being written */
static int dump_fd = -1;    /* to it */

/* dirname() may write to its argument, and return a constant. */
static char *dir_of(const char *path)
{
	char *copy = strdup(path);
	char *dir = copy == NULL ? NULL : strdup(dirname(copy));

	free(copy);
	return dir;
}

int lib_state_setup(const char *path, enum graceful_restored restored)
{
	state.restored = restored;
	if (path == NULL || *path == '\0')
		return 0;
	state.path = strdup(path);
	state.dir = dir_of(path);
	if (asprintf(&state.temp, "%s.tmp", path) < 0)
		state.temp = NULL;
	if (state.path != NULL && state.dir != NULL && state.temp != NULL)
		return 0;
	lib_state_reset();
	errno = ENOMEM;
	return -1;
}

void lib_state_reset(void)
{
	free(state.path);
	free(state.temp);
	free(state.dir);
	memset(&state, 0, sizeof(state));
}

const char *graceful_state_path(void)
{
	return state.path;
}

static void close_keep_errno(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
}

static int check_regular(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (S_ISREG(st.st_mode))
		return 0;
	errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	return -1;
}

/*
 * The file itself says whether there is a state; graceful's word only tells a clean one from a
 * crash, and a lost one from none. A job that executes itself anew still has "none" in its
 * environment, but its own checkpoint on disk.
 */
int graceful_restore_fd(int *fd)
{
	*fd = -1;
	if (state.path == NULL)
		return GRACEFUL_NONE;
	/* O_NONBLOCK: a FIFO in the place of the state must not hang the start. */
	*fd = open(state.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return errno == ENOENT && state.restored == GRACEFUL_NONE ? GRACEFUL_NONE : -1;
	if (check_regular(*fd) < 0) {
		close_keep_errno(*fd);
		*fd = -1;
		return -1;
	}
	return state.restored == GRACEFUL_CLEAN ? GRACEFUL_CLEAN : GRACEFUL_CRASH;
}

/* Reads to the end of the file into a buffer that grows, and trusts no size told in advance. */
static int read_all(int fd, char **data, size_t *len)
{
	size_t room = 0, used = 0;
	char *buf = NULL, *more;
	ssize_t n;

	for (;;) {
		if (used + 1 >= room) {
			room = room == 0 ? 4096 : room * 2;
			more = realloc(buf, room);
			if (more == NULL)
				break;
			buf = more;
		}
		n = read(fd, buf + used, room - used - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		if (n == 0) {
			buf[used] = '\0';
			*data = buf;
			*len = used;
			return 0;
		}
		used += (size_t)n;
	}
	free(buf);
	return -1;
}

int graceful_restore(char **data, size_t *len)
{
	int fd, how;

	*data = NULL;
	*len = 0;
	how = graceful_restore_fd(&fd);
	if (how <= 0)
		return how;
	if (read_all(fd, data, len) < 0)
		how = -1;
	close_keep_errno(fd);
	return how;
}

/*
 * The stream's own way to the file. A child that is forked during a dump has a copy of what the
 * stream still holds, and writes it when it calls exit(), behind a state that may be committed by
 * then: nothing of a child's may get there.
 */
static ssize_t write_dump(void *unused, const char *buf, size_t len)
{
	size_t done = 0;
	ssize_t n;

	(void)unused;
	if (lib_in_child()) {
		errno = EPERM;
		return 0;
	}
	while (done < len) {
		n = write(dump_fd, buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return 0;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int seek_dump(void *unused, off64_t *offset, int whence)
{
	off64_t at;

	(void)unused;
	if (lib_in_child()) {
		errno = EPERM;
		return -1;
	}
	at = lseek64(dump_fd, *offset, whence);
	if (at < 0)
		return -1;
	*offset = at;
	return 0;
}

static int close_dump(void *unused)
{
	int fd = dump_fd;

	(void)unused;
	dump_fd = -1;
	return close(fd);
}

/* Removing what a killed dump left, and O_EXCL: nothing that stands there is written through. */
static FILE *open_temp(void)
{
	static const cookie_io_functions_t way = {
		.write = write_dump, .seek = seek_dump, .close = close_dump
	};
	FILE *stream;

	if (unlink(state.temp) < 0 && errno != ENOENT)
		return NULL;
	dump_fd = open(state.temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (dump_fd < 0)
		return NULL;
	stream = fopencookie(NULL, "w", way);
	if (stream == NULL) {
		close_keep_errno(dump_fd);
		unlink(state.temp);
	}
	return stream;
}

FILE *graceful_checkpoint_begin(void)
{
	FILE *stream;

	if (state.path == NULL) {
		errno = ENOTSUP;
		return NULL;
	}
	if (atomic_exchange(&dumping, true)) {
		errno = EBUSY;
		return NULL;
	}
	stream = open_temp();
	if (stream == NULL)
		atomic_store(&dumping, false);
	return stream;
}

void graceful_checkpoint_abort(FILE *stream)
{
	int saved = errno;

	fclose(stream);
	unlink(state.temp);
	errno = saved;
	atomic_store(&dumping, false);
}

static int sync_dir(void)
{
	int fd = open(state.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result;

	if (fd < 0)
		return -1;
	result = fsync(fd);
	/* EINVAL: a file system that has no such thing as syncing a directory. */
	if (result < 0 && errno == EINVAL)
		result = 0;
	close_keep_errno(fd);
	return result;
}

static int sync_stream(FILE *stream)
{
	if (ferror(stream)) {
		errno = EIO; /* the errno of the write that failed is long gone */
		return -1;
	}
	return fflush(stream) == 0 && fsync(dump_fd) == 0 ? 0 : -1;
}

int graceful_checkpoint_commit(FILE *stream)
{
	int result;

	if (sync_stream(stream) < 0) {
		graceful_checkpoint_abort(stream);
		return -1;
	}
	result = fclose(stream) == 0 && rename(state.temp, state.path) == 0 ? 0 : -1;
	if (result == 0) {
		result = sync_dir();
	} else {
		int saved = errno;

		unlink(state.temp);
		errno = saved;
	}
	atomic_store(&dumping, false);
	return result;
}

int graceful_checkpoint(const void *data, size_t len)
{
	FILE *stream = graceful_checkpoint_begin();

	if (stream == NULL)
		return -1;
	if (len > 0 && fwrite(data, 1, len, stream) != len) {
		graceful_checkpoint_abort(stream);
		return -1;
	}
	return graceful_checkpoint_commit(stream);
}
