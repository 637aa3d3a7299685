#include "base/base64.h"

#include <stdint.h>

/* 6 bits, or more for what is not in the alphabet. */
static unsigned value_of(unsigned char c)
{
	static const unsigned char upper = 'Z' - 'A', digit = '9' - '0';
	unsigned bad = 64;

	if ((unsigned char)(c - 'A') <= upper)
		return c - 'A';
	if ((unsigned char)(c - 'a') <= upper)
		return c - 'a' + 26U;
	if ((unsigned char)(c - '0') <= digit)
		return c - '0' + 52U;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : bad;
}

/* 24 bits, or more. */
static uint32_t group_of(const unsigned char *c)
{
	unsigned a = value_of(c[0]), b = value_of(c[1]), d = value_of(c[2]), e = value_of(c[3]);

	return ((a | b | d | e) & 64) != 0 ? UINT32_MAX : a << 18 | b << 12 | d << 6 | e;
}

/* The last group, which may be padded. Returns the number of bytes, or -1. */
static int decode_last(const unsigned char *c, unsigned char *data)
{
	unsigned char filled[4] = { c[0], c[1], c[2], c[3] };
	int n = c[3] != '=' ? 3 : c[2] != '=' ? 2 : 1;
	uint32_t group;

	if (n < 3)
		filled[3] = 'A';
	if (n < 2)
		filled[2] = 'A';
	group = group_of(filled);
	if (group == UINT32_MAX || (n < 3 && (group & 0xff) != 0) ||
	    (n < 2 && (group & 0xffff) != 0))
		return -1;
	for (int i = 0; i < n; i++)
		data[i] = (unsigned char)(group >> (16 - 8 * i));
	return n;
}

ssize_t base64_decode(const char *text, size_t len, unsigned char *data)
{
	const unsigned char *c = (const unsigned char *)text;
	unsigned char *at = data;
	int n;

	if (len % 4 != 0)
		return -1;
	if (len == 0)
		return 0;
	for (const unsigned char *last = c + len - 4; c < last; c += 4) {
		uint32_t group = group_of(c);

		if (group == UINT32_MAX)
			return -1;
		*at++ = (unsigned char)(group >> 16);
		*at++ = (unsigned char)(group >> 8);
		*at++ = (unsigned char)group;
	}
	n = decode_last(c, at);
	return n < 0 ? -1 : (at - data) + n;
}
