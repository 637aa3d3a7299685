/* What a job tells its worker, by the sd_notify protocol. */
#include "lib/lib.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/sdnotify.h"

/* A receiver that does not read may hold the job up, but not stop it. */
#define PATIENCE_MS 1000

static struct {
	bool wanted;
	struct sdnotify to;
} peer;

void lib_notify_setup(const char *name)
{
	peer.wanted = name != NULL && *name != '\0';
	/* What it cannot send to each message will say. */
	(void)sdnotify_address(peer.wanted ? name : "", &peer.to);
}

static int notify(const char *text)
{
	return peer.wanted ? sdnotify_send(&peer.to, text, PATIENCE_MS) : 0;
}

int graceful_ready(void)
{
	return notify("READY=1");
}

int graceful_stopping(void)
{
	return notify("STOPPING=1");
}

int graceful_watchdog(void)
{
	return notify("WATCHDOG=1");
}

int graceful_extend_timeout(uint64_t msec)
{
	char text[64];

	if (msec > UINT64_MAX / 1000)
		msec = UINT64_MAX / 1000;
	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%" PRIu64, msec * 1000);
	return notify(text);
}

/* The cut may have gone through a character (UTF-8): takes the last one away, whole or not. */
static void trim_cut(char *text, size_t len)
{
	size_t i = len;

	while (i > 0 && ((unsigned char)text[i - 1] & 0xc0) == 0x80)
		i--;
	if (i > 0 && (unsigned char)text[i - 1] >= 0xc0)
		text[i - 1] = '\0';
}

int graceful_status(const char *fmt, ...)
{
	char text[GRACEFUL_STATUS_MAX + sizeof("STATUS=")] = "STATUS=";
	char *value = text + strlen(text);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(value, GRACEFUL_STATUS_MAX + 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -1;
	if (n > GRACEFUL_STATUS_MAX)
		trim_cut(value, GRACEFUL_STATUS_MAX);
	/* A newline would end the line, and the rest be taken for the next assignment. */
	for (char *p = value; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	return notify(text);
}
