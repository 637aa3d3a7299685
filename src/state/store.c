#include "state/store.h"

#include <stddef.h>
#include <string.h>

#include "state/store_file.h"
#include "state/store_impl.h"

static const struct {
	const char *scheme;
	struct store *(*open)(const char *url, const struct store_place *place, struct err *e);
} kinds[] = {
	{ STORE_FILE_SCHEME, store_file_open },
};

struct store *store_open(const char *url, const struct store_place *place, struct err *e)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(url, kinds[i].scheme, strlen(kinds[i].scheme)) == 0)
			return kinds[i].open(url, place, e);
	err_set(e, "cannot keep states in \"%s\": only file:///DIRECTORY is known", url);
	return NULL;
}

void store_close(struct store *s)
{
	if (s != NULL)
		s->ops->close(s);
}

int store_prepare(struct store *s, struct err *e)
{
	return s->ops->prepare(s, e);
}

int store_put(struct store *s, const char *job, uint64_t epoch, uint64_t seq, int fd, uint64_t size,
    char **url, char sha256[65], struct err *e)
{
	return s->ops->put(s, job, epoch, seq, fd, size, url, sha256, e);
}

int store_get(
    struct store *s, const char *url, uint64_t size, const char *sha256, int fd, struct err *e)
{
	return s->ops->get(s, url, size, sha256, fd, e);
}

int store_delete(struct store *s, const char *url, struct err *e)
{
	return s->ops->remove(s, url, e);
}

int store_sweep(
    struct store *s, const char *job, struct blob_number before, const char *keep, struct err *e)
{
	return s->ops->sweep(s, job, before, keep, e);
}
