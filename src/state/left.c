#include "state/left.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

#define LEFT_MAX (1024 + 6 * LEFT_REALM_MAX)

static json_t *encode(const struct left *left, const char *boot)
{
	const struct state_id *id = &left->id;

	return json_pack("{s:I, s:I, s:s, s:b, s:s, s:I, s:I, s:I, s:[I, I], s:[I, I]}", "epoch",
	    (json_int_t)left->epoch, "taken", (json_int_t)left->taken, "realm", left->realm,
	    "clean", (int)left->clean, "boot", boot, "dev", (json_int_t)id->dev, "ino",
	    (json_int_t)id->ino, "size", (json_int_t)id->size, "mtime",
	    (json_int_t)id->mtime.tv_sec, (json_int_t)id->mtime.tv_nsec, "ctime",
	    (json_int_t)id->ctime.tv_sec, (json_int_t)id->ctime.tv_nsec);
}

int left_write(const char *path, const struct left *left, const char *boot, struct err *e)
{
	json_t *json = encode(left, boot);
	char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
	int rc;

	json_decref(json);
	if (text == NULL)
		return err_set(e, "cannot write %s: out of memory", path);
	rc = fs_replace(path, text, strlen(text), 0600, false, e);
	free(text);
	return rc;
}

static bool decode(json_t *json, const char *boot, struct left *left)
{
	json_int_t epoch, taken = 0, dev, ino, size, mtime[2], ctime[2];
	const char *realm, *theirs;
	int clean;

	if (json_unpack(json, "{s:I, s?I, s:s, s:b, s:s, s:I, s:I, s:I, s:[I, I], s:[I, I]}",
		"epoch", &epoch, "taken", &taken, "realm", &realm, "clean", &clean, "boot", &theirs,
		"dev", &dev, "ino", &ino, "size", &size, "mtime", &mtime[0], &mtime[1], "ctime",
		&ctime[0], &ctime[1]) != 0)
		return false;
	if (strlen(realm) > LEFT_REALM_MAX)
		return false;
	*left = (struct left){ .epoch = (uint64_t)epoch, .taken = (uint64_t)taken, .clean = clean };
	strcpy(left->realm, realm);
	left->id = (struct state_id){
		.dev = (dev_t)dev,
		.ino = (ino_t)ino,
		.size = size,
		.mtime = { mtime[0], mtime[1] },
		.ctime = { ctime[0], ctime[1] },
	};
	if (strcmp(theirs, boot) != 0)
		left->epoch = left->taken = 0;
	return epoch > 0;
}

int left_read(const char *path, const char *boot, struct left *left, struct err *e)
{
	json_t *json;
	char *data;
	size_t len;
	bool ok;

	if (fs_read(path, LEFT_MAX, &data, &len, e) != 0)
		return fs_is_none(e->code) ? 0 : -1;
	json = json_loadb(data, len, 0, NULL);
	free(data);
	ok = json != NULL && decode(json, boot, left);
	json_decref(json);
	return ok;
}

void left_remove(const char *path)
{
	unlink(path);
}
