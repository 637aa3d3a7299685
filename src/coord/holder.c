#include "coord/holder.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
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

static bool show(json_t *json, char text[HOLDER_TEXT_MAX])
{
	const char *instance;
	const char *host;
	char since[CLOCK_STAMP_MAX];
	json_int_t seconds;
	time_t wall;
	struct tm tm;
	int pid;

	if (json_unpack(json, "{s:s, s:s, s:i, s:I}", "instance", &instance, "host", &host, "pid",
		&pid, "since", &seconds) != 0)
		return false;
	wall = (time_t)seconds;
	if (!is_printable(instance) || !is_printable(host) || gmtime_r(&wall, &tm) == NULL ||
	    strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return false;
	snprintf(text, HOLDER_TEXT_MAX, "%.*s on %.*s (pid %d) since %s", CONF_INSTANCE_MAX,
	    instance, HOST_NAME_MAX, host, pid, since);
	return true;
}

bool holder_show(const char *value, size_t len, char text[HOLDER_TEXT_MAX])
{
	json_t *json = json_loadb(value, len, 0, NULL);
	bool shown = json != NULL && show(json, text);

	json_decref(json);
	return shown;
}
