#include "coord/holder.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "conf/conf.h"

char *holder_encode(const char *instance, struct err *e)
{
	char host[HOST_NAME_MAX + 1] = "";
	json_t *json;
	char *text;

	gethostname(host, sizeof(host) - 1);
	json = json_pack("{s:s, s:s, s:i, s:I}", "instance", instance, "host", host, "pid",
	    (int)getpid(), "since", (json_int_t)clock_wall());
	text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (text == NULL)
		err_set(e, "cannot queue for the lock: out of memory, or the host's name is no "
			   "UTF-8");
	return text;
}

/* It goes into log lines. */
static bool is_printable(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text > '~')
			return false;
	}
	return true;
}

static bool take_text(const json_t *json, const char *key, char *text, size_t room)
{
	const char *value = json_string_value(json_object_get(json, key));

	if (value == NULL || !is_printable(value))
		return false;
	snprintf(text, room, "%s", value);
	return true;
}

bool holder_read(const json_t *json, struct holder *h)
{
	const json_t *pid = json_object_get(json, "pid"), *since = json_object_get(json, "since");
	time_t wall = (time_t)json_integer_value(since);
	struct tm tm;

	memset(h, 0, sizeof(*h));
	if (!take_text(json, "instance", h->instance, sizeof(h->instance)) ||
	    !take_text(json, "host", h->host, sizeof(h->host)) || !json_is_integer(pid) ||
	    !json_is_integer(since) || json_integer_value(pid) < INT_MIN ||
	    json_integer_value(pid) > INT_MAX || gmtime_r(&wall, &tm) == NULL || tm.tm_year > 8099)
		return false;
	h->pid = (int)json_integer_value(pid);
	h->since = json_integer_value(since);
	return true;
}

bool holder_decode(const char *value, size_t len, struct holder *h)
{
	json_t *json = json_loadb(value, len, 0, NULL);
	bool good = json != NULL && holder_read(json, h);

	json_decref(json);
	return good;
}

void holder_text(const struct holder *h, char text[HOLDER_TEXT_MAX])
{
	time_t wall = (time_t)h->since;
	char since[CLOCK_STAMP_MAX];
	struct tm tm;

	gmtime_r(&wall, &tm); /* holder_read() has seen to that it can be done */
	strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", &tm);
	snprintf(text, HOLDER_TEXT_MAX, "%s on %s (pid %d) since %s", h->instance, h->host, h->pid,
	    since);
}

bool holder_show(const char *value, size_t len, char text[HOLDER_TEXT_MAX])
{
	struct holder h;

	if (!holder_decode(value, len, &h))
		return false;
	holder_text(&h, text);
	return true;
}
