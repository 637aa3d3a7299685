#include "coord/local_waiters.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

#define NOTE_MAX 4096
#define PREFIX "waiting-"

/* Fresh; NULL when out of memory. */
static char *path_of(const struct local_dir *d, uint64_t place)
{
	char *path;

	return asprintf(&path, "%s/" PREFIX "%" PRIu64, d->path, place) >= 0 ? path : NULL;
}

void waiters_note(const struct local_dir *d, uint64_t place, const char *instance)
{
	char *path = path_of(d, place);
	char *text = holder_encode(instance, NULL);

	if (path != NULL && text != NULL)
		fs_replace(path, text, strlen(text), 0600, false, NULL);
	free(path);
	free(text);
}

void waiters_forget(const struct local_dir *d, uint64_t place)
{
	char *path = path_of(d, place);

	if (path != NULL)
		unlink(path);
	free(path);
}

/* 0: it is no note. */
static uint64_t place_of(const char *name)
{
	const char *digits = name + strlen(PREFIX);
	size_t len;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	len = strlen(digits);
	if (len == 0 || len > 19 || strspn(digits, "0123456789") != len)
		return 0;
	return strtoull(digits, NULL, 10);
}

void waiters_forget_to(const struct local_dir *d, uint64_t place)
{
	DIR *dir = opendir(d->path);
	const struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		uint64_t theirs = place_of(entry->d_name);

		if (theirs > 0 && theirs <= place)
			waiters_forget(d, theirs);
	}
	closedir(dir);
}

bool waiters_read(const struct local_dir *d, uint64_t place, struct holder *h)
{
	char *path = path_of(d, place);
	char *text = NULL;
	bool good;
	size_t len;

	good = path != NULL && fs_read(path, NOTE_MAX, &text, &len, NULL) == 0 &&
	       holder_decode(text, len, h);
	free(text);
	free(path);
	return good;
}
