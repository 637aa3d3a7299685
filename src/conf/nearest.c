#include "conf/nearest.h"

#include <stdbool.h>
#include <string.h>

#define WORD_MAX 32 /* longer words are no slips of the pen */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * Letters to insert, leave out, change or swap with their neighbour to turn a into b. Row i of the
 * table holds the distances of the first i letters of a to every beginning of b.
 */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t d[WORD_MAX + 1][WORD_MAX + 1];

	for (size_t i = 0; i <= a_len; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= b_len; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		for (size_t j = 1; j <= b_len; j++) {
			bool same = a[i - 1] == b[j - 1];

			d[i][j] = least(d[i - 1][j], d[i][j - 1]) + 1;
			d[i][j] = least(d[i][j], d[i - 1][j - 1] + (same ? 0 : 1));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[a_len][b_len];
}

void nearest_try(struct nearest *search, const char *known)
{
	size_t written_len = strlen(search->written);
	size_t known_len = strlen(known);
	size_t d;

	if (written_len > WORD_MAX || known_len > WORD_MAX)
		return;
	d = distance(search->written, written_len, known, known_len);
	/* One slip for every three letters; anything more is another word. */
	if (d > (known_len + 2) / 3 || (search->best != NULL && d >= search->distance))
		return;
	search->best = known;
	search->distance = d;
}
