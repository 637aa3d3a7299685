#include "role/history.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"

#define FILE_NAME "history"
#define OLD_NAME "history.old"
#define MODE 0644

json_t *history_encode(const struct history_line *line)
{
	json_t *o = handover_encode(&line->handover);
	int rc = 0;

	if (o == NULL)
		return NULL;
	rc |= json_object_set_new(o, "way", json_string(line->took ? "took" : "gave"));
	rc |= json_object_set_new(o, "job", json_string(line->job));
	rc |= json_object_set_new(o, "instance", json_string(line->instance));
	if (rc == 0)
		return o;
	json_decref(o);
	return NULL;
}

/* Both are names of one alphabet; anything else is not ours, and could do things to a terminal. */
static bool take_name(const json_t *o, const char *key, char *buf, size_t room)
{
	const char *text = json_string_value(json_object_get(o, key));

	if (text == NULL || strlen(text) >= room || !conf_job_name_ok(text))
		return false;
	strcpy(buf, text);
	return true;
}

static bool take_way(const json_t *o, bool *took)
{
	const char *way = json_string_value(json_object_get(o, "way"));

	*took = way != NULL && strcmp(way, "took") == 0;
	return *took || (way != NULL && strcmp(way, "gave") == 0);
}

bool history_decode(const char *text, size_t len, struct history_line *line)
{
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	bool ok;

	memset(line, 0, sizeof(*line));
	ok = json_is_object(o) && take_way(o, &line->took) &&
	     take_name(o, "job", line->job, sizeof(line->job)) &&
	     take_name(o, "instance", line->instance, sizeof(line->instance)) &&
	     handover_decode(o, &line->handover) &&
	     (line->handover.peer[0] == '\0' || conf_job_name_ok(line->handover.peer));
	json_decref(o);
	return ok;
}

/* Open at its end, and *size its size. */
static int open_log(const char *path, off_t *size, struct err *e)
{
	int fd = open(path,
	    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, MODE);
	struct stat st;

	if (fd < 0)
		return err_sys(e, "cannot open %s", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, "cannot use %s: it is not a regular file", path);
	}
	/* It is for all to read, whatever the umask, unless somebody closes it later. */
	if (st.st_size == 0 && fs_own(fd, (uid_t)-1, (gid_t)-1, MODE, e) != 0) {
		close(fd);
		return err_add(e, "cannot open %s to all", path);
	}
	*size = st.st_size;
	return fd;
}

/* A full disk may take a part of the line: then none of it stays, or the next one would be spoilt,
 * too. */
static int append(int fd, const char *path, off_t size, const char *text, size_t len, struct err *e)
{
	ssize_t n = write(fd, text, len);

	if (n == (ssize_t)len)
		return 0;
	if (n >= 0)
		errno = ENOSPC;
	err_sys(e, "cannot write %s", path);
	if (n > 0 && ftruncate(fd, size) != 0)
		return err_sys(e, "cannot take back half a line of %s", path);
	return -1;
}

static int add_text(const char *work_dir, const char *text, size_t len, struct err *e)
{
	char path[PATH_MAX], old[PATH_MAX];
	off_t size = 0;
	int fd, rc;

	snprintf(path, sizeof(path), "%s/" FILE_NAME, work_dir);
	snprintf(old, sizeof(old), "%s/" OLD_NAME, work_dir);
	fd = open_log(path, &size, e);
	if (fd >= 0 && (uint64_t)size + len > HISTORY_MAX) {
		close(fd);
		if (rename(path, old) != 0)
			return err_sys(e, "cannot rename %s to %s", path, old);
		fd = open_log(path, &size, e);
	}
	if (fd < 0)
		return -1;
	rc = append(fd, path, size, text, len, e);
	close(fd);
	return rc;
}

/* Begins with a newline, too: a crash may have left half a line without one. Readers skip empty
 * lines. */
int history_add(const char *work_dir, const struct history_line *line, struct err *e)
{
	json_t *o = history_encode(line);
	char *json = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
	char *text = NULL;
	int len, rc;

	json_decref(o);
	len = json != NULL ? asprintf(&text, "\n%s\n", json) : -1;
	free(json);
	if (len < 0)
		return err_set(e, "cannot note a hand-over: out of memory");
	rc = add_text(work_dir, text, (size_t)len, e);
	free(text);
	return rc;
}

static void read_lines(const char *text, size_t len,
    void (*each)(const struct history_line *line, void *ctx), void *ctx, size_t *bad)
{
	struct history_line line;

	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end == NULL ? len : (size_t)(end - text);

		if (n > 0 && n <= HISTORY_LINE_MAX && history_decode(text, n, &line))
			each(&line, ctx);
		else if (n > 0)
			++*bad;
		n += end != NULL;
		text += n;
		len -= n;
	}
}

int history_read(const char *work_dir, void (*each)(const struct history_line *line, void *ctx),
    void *ctx, size_t *bad, struct err *e)
{
	static const char *const files[] = { OLD_NAME, FILE_NAME };
	char path[PATH_MAX];
	struct err cause;
	char *text;
	size_t len;

	*bad = 0;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", work_dir, files[i]);
		if (fs_read(path, 2 * HISTORY_MAX, &text, &len, &cause) != 0) {
			if (cause.code == ENOENT)
				continue;
			*e = cause;
			return -1;
		}
		read_lines(text, len, each, ctx, bad);
		free(text);
	}
	return 0;
}
