/*
 * What a job may send to NOTIFY_SOCKET: whatever it is, what comes out is text that terminals, JSON
 * and the rest of the program may rely on.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "job/notify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
	if (!good)
		abort();
}

/* Valid UTF-8 in the eyes of another judge, and nothing that a terminal obeys. */
static void check_text(const char *text)
{
	size_t len = strnlen(text, NOTIFY_STATUS_MAX + 1);
	json_t *judge;

	require(len <= NOTIFY_STATUS_MAX);
	judge = json_stringn(text, len);
	require(judge != NULL);
	json_decref(judge);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i], next = (unsigned char)text[i + 1];

		require(c >= 0x20 && c != 0x7f);
		require(c != 0xc2 || next >= 0xa0);
	}
}

/* A status that came through once comes through unchanged. */
static void check_again(const struct notify *n)
{
	char line[NOTIFY_STATUS_MAX + 8] = "STATUS=";
	struct notify again;

	strcat(line, n->status);
	notify_parse(line, strlen(line), &again);
	require(again.has_status && strcmp(again.status, n->status) == 0);
	require(!again.ready && !again.stopping && !again.watchdog && again.extend == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct notify n;

	memset(&n, 0xa5, sizeof(n));
	notify_parse((const char *)data, size, &n);
	check_text(n.status);
	require(n.has_status || n.status[0] == '\0');
	require(n.extend >= 0 && msec_add(clock_now(), n.extend) > 0);
	check_again(&n);
	return 0;
}
