#include "coord/etcd_token.h"

#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.h"

#define FILE_MAX 65536
#define WAIT_MAX 5000     /* for another one's turn, which may be of a process that hangs */
#define REFUSED_FOR 2000L /* so long a refusal counts for the others, too */

static bool file_path(const struct token_shelf *s, const char *name, char path[PATH_MAX])
{
	return s->dir != NULL && snprintf(path, PATH_MAX, "%s/%s", s->dir, name) < PATH_MAX;
}

void token_shelf_init(struct token_shelf *s, const char *dir, const char *user)
{
	*s = (struct token_shelf){ .dir = dir, .user = user, .turn = -1 };
}

void token_end_turn(struct token_shelf *s)
{
	s->waiting = 0;
	if (s->turn < 0)
		return;
	/* Unlocked by hand: a job that is being started may have the descriptor until its exec. */
	flock(s->turn, LOCK_UN);
	close(s->turn);
	s->turn = -1;
}

void token_shelf_close(struct token_shelf *s)
{
	token_end_turn(s);
}

bool token_take_turn(struct token_shelf *s, msec now)
{
	char path[PATH_MAX];
	int fd;

	if (!file_path(s, "etcd-token.lock", path))
		return true;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return true;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		s->turn = fd;
		s->waiting = 0;
		return true;
	}
	close(fd);
	if (s->waiting == 0)
		s->waiting = now;
	return now - s->waiting >= WAIT_MAX;
}

/* All entries, by endpoint and user. NULL if there are none. */
static json_t *load(const struct token_shelf *s)
{
	char path[PATH_MAX];
	json_t *all;
	char *text;
	size_t len;

	if (!file_path(s, "etcd-token", path) || fs_read(path, FILE_MAX, &text, &len, NULL) != 0)
		return NULL;
	all = json_loadb(text, len, 0, NULL);
	free(text);
	if (json_is_object(all))
		return all;
	json_decref(all);
	return NULL;
}

static bool entry_name(const struct token_shelf *s, const char *url, char name[1024])
{
	return snprintf(name, 1024, "%s %s", url, s->user) < 1024;
}

enum token_found token_find(const struct token_shelf *s, const char *url, const char *known,
    msec now, char **token, struct err *why)
{
	json_t *all = load(s);
	enum token_found found = TOKEN_NONE;
	const char *text, *refusal;
	const json_t *entry;
	char name[1024];
	json_int_t at;

	entry = all != NULL && entry_name(s, url, name) ? json_object_get(all, name) : NULL;
	text = json_string_value(json_object_get(entry, "token"));
	refusal = json_string_value(json_object_get(entry, "refused"));
	at = json_integer_value(json_object_get(entry, "at"));
	if (text != NULL && (known == NULL || strcmp(text, known) != 0)) {
		*token = strdup(text);
		found = *token != NULL ? TOKEN_GOOD : TOKEN_NONE;
	} else if (refusal != NULL && at <= now && now - at < REFUSED_FOR) {
		err_set(why, "%s", refusal);
		found = TOKEN_REFUSED;
	}
	json_decref(all);
	return found;
}

/* Takes the entry over. That it could not be kept harms nobody. */
static void put(const struct token_shelf *s, const char *url, json_t *entry)
{
	json_t *all = s->turn >= 0 ? load(s) : NULL;
	char path[PATH_MAX], name[1024];
	char *text = NULL;

	if (all == NULL)
		all = json_object();
	if (s->turn >= 0 && entry_name(s, url, name) && file_path(s, "etcd-token", path) &&
	    json_object_set(all, name, entry) == 0)
		text = json_dumps(all, JSON_COMPACT);
	if (text != NULL)
		fs_replace(path, text, strlen(text), 0600, false, NULL);
	free(text);
	json_decref(entry);
	json_decref(all);
}

void token_put(const struct token_shelf *s, const char *url, const char *token)
{
	put(s, url, json_pack("{s:s}", "token", token));
}

void token_put_refusal(
    const struct token_shelf *s, const char *url, const struct err *why, msec now)
{
	put(s, url, json_pack("{s:s, s:I}", "refused", why->text, "at", (json_int_t)now));
}
