#include "state/place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fs.h"

#define MARK_LEN 32
#define MEMORY "places.json"
#define MEMORY_MAX (1u << 20)

/* Nothing to read there counts as nothing remembered: the file belongs to us, or this is only a
 * user's look. */
static int read_memory(const char *memory, json_t **all, struct err *e)
{
	struct err why;
	char *text;
	size_t len;

	if (fs_read(memory, MEMORY_MAX, &text, &len, &why) != 0) {
		*all = json_object();
		return why.code == ENOENT || why.code == EACCES || why.code == ENOTDIR
			   ? 0
			   : err_set(e, "%s", why.text);
	}
	*all = json_loadb(text, len, 0, NULL);
	free(text);
	if (json_is_object(*all))
		return 0;
	return err_set(e, "%s is damaged: remove it, after a look whether %s", memory,
	    "the directories that the configuration names are mounted");
}

static int mark_path(const char *dir, char path[PATH_MAX], struct err *e)
{
	return snprintf(path, PATH_MAX, "%s/" PLACE_MARK, dir) < PATH_MAX
		   ? 0
		   : err_set(e, "%s: the path is too long", dir);
}

/* -1 with e->code ENOENT: there is none, or no directory. */
static int read_mark(const char *dir, char mark[MARK_LEN + 1], struct err *e)
{
	char path[PATH_MAX];
	char *text;
	size_t len;
	bool good;

	if (mark_path(dir, path, e) != 0 ||
	    fs_read_no_link(path, MARK_LEN + 1, &text, &len, e) != 0)
		return -1;
	good = len == MARK_LEN + 1 && strspn(text, "0123456789abcdef") == MARK_LEN;
	if (good) {
		memcpy(mark, text, MARK_LEN);
		mark[MARK_LEN] = '\0';
	}
	free(text);
	return good ? 0 : err_set(e, "%s is damaged: remove it", path);
}

/* The first that come may do so at the same time: one mark stays. */
static int put_mark(const char *dir, struct err *e)
{
	char path[PATH_MAX], temp[PATH_MAX + 32], text[MARK_LEN + 2];
	uint64_t name[2];
	int rc = 0;

	if (mark_path(dir, path, e) != 0)
		return -1;
	if (getrandom(name, sizeof(name), 0) != (ssize_t)sizeof(name))
		return err_sys(e, "cannot get random numbers");
	snprintf(text, sizeof(text), "%016" PRIx64 "%016" PRIx64 "\n", name[0], name[1]);
	/* Not by our pid: two threads may be at it, and two machines have the same. */
	snprintf(temp, sizeof(temp), "%s-%016" PRIx64, path, name[0]);
	if (fs_replace(temp, text, MARK_LEN + 1, 0600, true, e) != 0)
		return -1;
	/* Not every file system has links; one that has neither is not protected. */
	if (link(temp, path) != 0 && errno != EEXIST &&
	    renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE) != 0 && errno != EEXIST)
		rc = err_sys(e, "cannot make %s", path);
	unlink(temp);
	return rc == 0 ? fs_sync_dir_of(path, e) : -1;
}

static int write_memory(const char *memory, json_t *all, struct err *e)
{
	char *text = json_dumps(all, JSON_INDENT(1) | JSON_SORT_KEYS);
	int rc;

	if (text == NULL)
		return err_set(e, "cannot write %s: out of memory", memory);
	rc = fs_replace(memory, text, strlen(text), 0600, true, e);
	free(text);
	return rc;
}

/* Workers do it at the same time, hence the lock; nothing in it touches the directory, which may
 * hang. */
static int remember(const char *memory, const char *dir, const char *mark, struct err *e)
{
	char lock[PATH_MAX + 8];
	json_t *all = NULL;
	int fd, rc;

	snprintf(lock, sizeof(lock), "%s.lock", memory);
	fd = open(lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "cannot open %s", lock);
	if (flock(fd, LOCK_EX) != 0)
		rc = err_sys(e, "cannot lock %s", lock);
	else if ((rc = read_memory(memory, &all, e)) == 0)
		rc = json_object_set_new(all, dir, json_string(mark)) == 0
			 ? write_memory(memory, all, e)
			 : err_set(e, "cannot remember %s: out of memory, or no UTF-8", dir);
	json_decref(all);
	close(fd);
	return rc;
}

/* dir against what is remembered of it. */
static int compare(const char *memory, const char *dir, const char *known, struct err *e)
{
	char mark[MARK_LEN + 1];
	struct err why;
	int rc = read_mark(dir, mark, &why);

	if (rc == 0 && strcmp(mark, known) == 0)
		return 0;
	if (rc != 0 && why.code != ENOENT)
		return err_set(e, "%s", why.text);
	return err_set(e,
	    "%s is not the directory that was used before, its " PLACE_MARK " is %s: mount what it "
	    "is on, or bring it back; to begin anew with what is there, remove %s",
	    dir, rc == 0 ? "another one" : "missing", memory);
}

static int settle(const char *memory, const json_t *all, const char *dir, struct err *e)
{
	const char *known = json_string_value(json_object_get(all, dir));
	char mark[MARK_LEN + 1];
	struct err why;

	if (known != NULL)
		return compare(memory, dir, known, e);
	if (fs_mkdirs(dir, 0700, e) != 0)
		return 1;
	if (read_mark(dir, mark, &why) != 0 &&
	    (why.code != ENOENT || put_mark(dir, &why) != 0 || read_mark(dir, mark, &why) != 0)) {
		err_set(e, "%s", why.text);
		return 1;
	}
	return remember(memory, dir, mark, e) == 0 ? 0 : 1;
}

static int memory_path(const char *work_dir, char path[PATH_MAX], struct err *e)
{
	return snprintf(path, PATH_MAX, "%s/" MEMORY, work_dir) < PATH_MAX
		   ? 0
		   : err_set(e, "%s: the path is too long", work_dir);
}

int place_settle(const char *work_dir, const char *dir, struct err *e)
{
	char memory[PATH_MAX];
	json_t *all;
	int rc;

	if (memory_path(work_dir, memory, e) != 0)
		return -1;
	rc = read_memory(memory, &all, e);
	if (rc == 0)
		rc = settle(memory, all, dir, e);
	json_decref(all);
	return rc;
}

int place_check(const char *work_dir, const char *dir, struct err *e)
{
	char memory[PATH_MAX];
	const char *known;
	json_t *all;
	int rc;

	if (memory_path(work_dir, memory, e) != 0)
		return -1;
	rc = read_memory(memory, &all, e);
	known = json_string_value(json_object_get(all, dir));
	if (rc == 0 && known != NULL)
		rc = compare(memory, dir, known, e);
	json_decref(all);
	return rc;
}
