#include "base/bulk.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG 256 /* bytes of a string from which on it is worth it */
#define LIFTED_MAX 8

/* Stands in the text for a string that was lifted out: a control character, and its number. */
#define MARK "\\u0001"

/* Eight bytes at a time: no byte below a space, and none of a character beyond ASCII. */
static bool is_ascii_text(const char *text, size_t len)
{
	const uint64_t spaces = 0x2020202020202020, tops = 0x8080808080808080;
	uint64_t word, odd = 0;
	size_t i;

	for (i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, text + i, sizeof(word));
		/* A byte that is too small borrows, and so spoils others, but then it counts. */
		odd |= (word | (word - spaces)) & tops;
	}
	for (; i < len; i++)
		odd |= (unsigned char)text[i] < ' ' || (unsigned char)text[i] >= 0x80;
	return odd == 0;
}

/* The same in JSON as it is. */
static bool is_plain(const char *text, size_t len)
{
	return memchr(text, '"', len) == NULL && memchr(text, '\\', len) == NULL &&
	       is_ascii_text(text, len);
}

/* ---- Loading ---- */

struct lifted {
	const char *text[LIFTED_MAX];
	size_t len[LIFTED_MAX];
	size_t n;
	char *rest; /* the text without them */
	size_t rest_len;
};

/* The quote that ends the string after `from`; NULL if there is none. */
static const char *string_end(const char *from, const char *end)
{
	const char *quote;

	while ((quote = memchr(from, '"', (size_t)(end - from))) != NULL) {
		const char *escape = memchr(from, '\\', (size_t)(quote - from));

		if (escape == NULL)
			return quote;
		from = escape + 2;
		if (from > end)
			return NULL;
	}
	return NULL;
}

static bool is_key(const char *after, const char *end)
{
	while (after < end && strchr(" \t\r\n", *after) != NULL && *after != '\0')
		after++;
	return after < end && *after == ':';
}

static void keep(struct lifted *l, const char *from, const char *to)
{
	memcpy(l->rest + l->rest_len, from, (size_t)(to - from));
	l->rest_len += (size_t)(to - from);
}

/* Whether anything was lifted; l->rest is never longer than the text. */
static bool lift(struct lifted *l, const char *text, const char *end)
{
	const char *from = text, *at = text, *begin, *close;

	while (l->n < LIFTED_MAX && (begin = memchr(at, '"', (size_t)(end - at))) != NULL) {
		begin++;
		close = string_end(begin, end);
		if (close == NULL)
			break; /* jansson says what is wrong */
		at = close + 1;
		if (close - begin < LONG || is_key(at, end) ||
		    !is_plain(begin, (size_t)(close - begin)))
			continue;
		keep(l, from, begin);
		l->rest_len += (size_t)sprintf(l->rest + l->rest_len, MARK "%zu", l->n);
		l->text[l->n] = begin;
		l->len[l->n++] = (size_t)(close - begin);
		from = close;
	}
	keep(l, from, end);
	return l->n > 0;
}

/* The string that json stands for; json itself if it stands for none; NULL when out of memory. */
static json_t *string_for(const struct lifted *l, json_t *json)
{
	const char *mark = json_string_value(json);
	size_t i;

	if (mark == NULL || mark[0] != '\1')
		return json;
	i = (size_t)(mark[1] - '0');
	return json_stringn_nocheck(l->text[i], l->len[i]);
}

static int put_back(const struct lifted *l, json_t *json);

static int put_back_members(const struct lifted *l, json_t *json) /* NOLINT(misc-no-recursion) */
{
	for (void *at = json_object_iter(json); at != NULL; at = json_object_iter_next(json, at)) {
		json_t *child = json_object_iter_value(at);
		json_t *string = string_for(l, child);
		int rc = string == child ? put_back(l, child)
					 : json_object_iter_set_new(json, at, string);

		if (rc != 0)
			return -1;
	}
	return 0;
}

static int put_back_elements(const struct lifted *l, json_t *json) /* NOLINT(misc-no-recursion) */
{
	for (size_t i = 0; i < json_array_size(json); i++) {
		json_t *child = json_array_get(json, i);
		json_t *string = string_for(l, child);
		int rc = string == child ? put_back(l, child) : json_array_set_new(json, i, string);

		if (rc != 0)
			return -1;
	}
	return 0;
}

/* No deeper than jansson allows a text to be. */
static int put_back(const struct lifted *l, json_t *json) /* NOLINT(misc-no-recursion) */
{
	if (json_is_object(json))
		return put_back_members(l, json);
	return json_is_array(json) ? put_back_elements(l, json) : 0;
}

static bool has_mark(const char *text, size_t len)
{
	const char *escape = memchr(text, '\\', len);

	return escape != NULL && memmem(escape, (size_t)(text + len - escape), MARK, strlen(MARK));
}

json_t *bulk_load(const char *text, size_t len, size_t flags, json_error_t *where)
{
	struct lifted l = { .n = 0 };
	json_t *json = NULL;

	if (len >= LONG && !has_mark(text, len))
		l.rest = malloc(len);
	if (l.rest != NULL && lift(&l, text, text + len))
		json = json_loadb(l.rest, l.rest_len, flags, where);
	free(l.rest);
	if (json != NULL && put_back(&l, json) == 0)
		return json;
	json_decref(json);
	/* Also for the words about a mistake, and where in the text it is. */
	return json_loadb(text, len, flags, where);
}

/* ---- Dumping ---- */

struct dump {
	char *text;
	size_t len, room;
};

static int put(struct dump *d, const char *text, size_t len)
{
	if (d->len + len + 1 > d->room) {
		size_t room = 2 * (d->len + len + 1);
		char *more = realloc(d->text, room);

		if (more == NULL)
			return -1;
		d->text = more;
		d->room = room;
	}
	memcpy(d->text + d->len, text, len);
	d->len += len;
	d->text[d->len] = '\0';
	return 0;
}

static int put_other(struct dump *d, const json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	int rc = text != NULL ? put(d, text, strlen(text)) : -1;

	free(text);
	return rc;
}

static int put_string(struct dump *d, const char *text, size_t len)
{
	json_t *json;
	int rc;

	if (is_plain(text, len)) {
		rc = put(d, "\"", 1) != 0 || put(d, text, len) != 0 || put(d, "\"", 1) != 0;
		return rc != 0 ? -1 : 0;
	}
	json = json_stringn(text, len);
	rc = json != NULL ? put_other(d, json) : -1;
	json_decref(json);
	return rc;
}

static int put_value(struct dump *d, json_t *json);

static int put_object(struct dump *d, json_t *json) /* NOLINT(misc-no-recursion) */
{
	const char *before = "{";
	const char *key;
	json_t *value;

	json_object_foreach (json, key, value) {
		if (put(d, before, 1) != 0 || put_string(d, key, strlen(key)) != 0 ||
		    put(d, ":", 1) != 0 || put_value(d, value) != 0)
			return -1;
		before = ",";
	}
	return put(d, before[0] == '{' ? "{}" : "}", before[0] == '{' ? 2 : 1);
}

static int put_array(struct dump *d, const json_t *json) /* NOLINT(misc-no-recursion) */
{
	const char *before = "[";
	json_t *value;
	size_t i;

	json_array_foreach (json, i, value) {
		if (put(d, before, 1) != 0 || put_value(d, value) != 0)
			return -1;
		before = ",";
	}
	return put(d, before[0] == '[' ? "[]" : "]", before[0] == '[' ? 2 : 1);
}

/* As deep as our own requests are. */
static int put_value(struct dump *d, json_t *json) /* NOLINT(misc-no-recursion) */
{
	if (json_is_object(json))
		return put_object(d, json);
	if (json_is_array(json))
		return put_array(d, json);
	if (json_is_string(json))
		return put_string(d, json_string_value(json), json_string_length(json));
	return put_other(d, json);
}

char *bulk_dump(json_t *json)
{
	struct dump d = { .text = NULL };

	if ((json_is_object(json) || json_is_array(json)) && put_value(&d, json) == 0)
		return d.text;
	free(d.text);
	return NULL;
}
