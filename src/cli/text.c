#include "cli/text.h"

#include <assert.h>
#include <langinfo.h>
#include <locale.h>
#include <stdbool.h>
#include <string.h>
#include <wchar.h>

#include "base/plain.h"

/* One character of a text: its bytes, its columns, and whether it may be shown as it is. */
struct glyph {
	size_t bytes;
	size_t columns;
	bool fit;
};

#define UTF8_MAX 4 /* bytes of the longest character */
#define MORE_MAX 3 /* bytes of the ellipsis */

static bool utf8;

void text_setup(void)
{
	setlocale(LC_CTYPE, "");
	utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* A character outside ASCII on a terminal that may not know it: one '?' for all its bytes. */
static struct glyph glyph_foreign(const char *text)
{
	struct glyph g = { .bytes = 1, .columns = 1, .fit = false };

	while (((unsigned char)text[g.bytes] & 0xc0) == 0x80)
		g.bytes++;
	return g;
}

static struct glyph glyph_at(const char *text)
{
	unsigned char first = (unsigned char)*text;
	mbstate_t state = { 0 };
	wchar_t c;
	size_t n;
	int width;

	if (first < 0x80)
		return (struct glyph){ 1, 1, first >= 0x20 && first != 0x7f };
	if (!utf8)
		return glyph_foreign(text);
	n = mbrtowc(&c, text, strnlen(text, UTF8_MAX), &state);
	if (n == (size_t)-1 || n == (size_t)-2)
		return (struct glyph){ 1, 1, false };
	width = wcwidth(c);
	if (width < 0 || !plain_is((uint32_t)c))
		return (struct glyph){ n, 1, false };
	return (struct glyph){ n, (size_t)width, true };
}

size_t text_width(const char *text)
{
	size_t columns = 0;

	while (*text != '\0') {
		struct glyph g = glyph_at(text);

		columns += g.columns;
		text += g.bytes;
	}
	return columns;
}

/* Copies what fits into `columns` and `room` bytes; returns where it stopped reading. */
static const char *copy_fit(char *buf, size_t room, const char *text, size_t columns, size_t *used)
{
	*used = 0;
	while (*text != '\0') {
		struct glyph g = glyph_at(text);
		size_t bytes = g.fit ? g.bytes : 1;

		if (*used + g.columns > columns || bytes > room)
			break;
		if (g.fit)
			memcpy(buf, text, bytes);
		else
			*buf = '?';
		buf += bytes;
		room -= bytes;
		*used += g.columns;
		text += g.bytes;
	}
	*buf = '\0';
	return text;
}

size_t text_fit(char *buf, size_t size, const char *text, size_t columns)
{
	size_t used;

	assert(size >= 8);
	if (*copy_fit(buf, size - 1, text, columns, &used) == '\0' || columns == 0)
		return used;
	copy_fit(buf, size - 1 - MORE_MAX, text, columns - 1, &used);
	strcat(buf, utf8 ? "\xe2\x80\xa6" : "~");
	return used + 1;
}
