#include "job/lines.h"

#include <string.h>

/* Adds a piece without a newline. */
static void add(struct lines *l, const char *data, size_t len, lines_emit *emit, void *ctx)
{
	while (len > 0) {
		size_t n = LINES_MAX - l->len;

		if (n == 0) {
			lines_flush(l, emit, ctx);
			continue;
		}
		if (n > len)
			n = len;
		memcpy(l->text + l->len, data, n);
		l->len += n;
		data += n;
		len -= n;
	}
}

void lines_feed(struct lines *l, const char *data, size_t len, lines_emit *emit, void *ctx)
{
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end == NULL ? len : (size_t)(end - data);

		add(l, data, n, emit, ctx);
		if (end == NULL)
			return;
		emit(ctx, l->text, l->len);
		l->len = 0;
		data += n + 1;
		len -= n + 1;
	}
}

void lines_flush(struct lines *l, lines_emit *emit, void *ctx)
{
	if (l->len == 0)
		return;
	emit(ctx, l->text, l->len);
	l->len = 0;
}
