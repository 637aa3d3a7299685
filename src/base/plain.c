#include "base/plain.h"

#include <string.h>

bool plain_is(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	return c != 0x00ad && c != 0x061c && (c < 0x200b || c > 0x200f) &&
	       (c < 0x2028 || c > 0x202e) && (c < 0x2060 || c > 0x206f) && c != 0xfeff &&
	       (c < 0xfff9 || c > 0xfffb) && (c < 0xe0000 || c > 0xe0fff);
}

/* The length of the UTF-8 sequence that begins at p, 0 if none does. */
static size_t utf8_length(const unsigned char *p, size_t len)
{
	size_t n = p[0] < 0x80                   ? 1
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		   : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						 : 0;

	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
		return 0;
	return n;
}

static uint32_t utf8_value(const unsigned char *p, size_t n)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = p[0] & first[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

size_t plain_next(const char *p, size_t len, bool *plain)
{
	const unsigned char *bytes = (const unsigned char *)p;
	size_t n = utf8_length(bytes, len);

	*plain = n > 0 && plain_is(utf8_value(bytes, n));
	return n > 0 ? n : 1;
}

void plain_make(char *text)
{
	size_t len = strlen(text);
	char *out = text;

	while (len > 0) {
		bool plain;
		size_t n = plain_next(text, len, &plain);

		if (plain)
			memmove(out, text, n);
		else
			*out = '?';
		out += plain ? n : 1;
		text += n;
		len -= n;
	}
	*out = '\0';
}
