#include "policy/backoff.h"

#include <assert.h>
#include <string.h>

void backoff_init(
    struct backoff *b, msec min, msec max, msec window, int max_failures, uint64_t seed)
{
	assert(max_failures >= 1 && max_failures <= BACKOFF_FAILURES_MAX);
	memset(b, 0, sizeof(*b));
	b->min = min;
	b->max = max;
	b->window = window;
	b->max_failures = max_failures;
	b->delay = min;
	b->random = seed | 1;
}

msec backoff_jitter(struct backoff *b, msec delay)
{
	msec quarter = delay / 4;

	if (quarter == 0)
		return delay;
	return delay - quarter + msec_roll(&b->random, 2 * quarter + 1);
}

msec backoff_ended(struct backoff *b, msec now)
{
	msec delay;

	if (b->last != 0 && now - b->last >= b->window)
		b->delay = b->min;
	b->last = now;
	delay = b->delay;
	b->delay = delay > b->max / 2 ? b->max : delay * 2;
	return backoff_jitter(b, delay);
}

msec backoff_failed(struct backoff *b, msec now)
{
	b->failures[b->head] = now;
	b->head = (b->head + 1) % b->max_failures;
	if (b->n < b->max_failures)
		b->n++;
	/* In a full ring the head is the oldest: max_failures ends ago, counting this one. */
	if (b->n == b->max_failures && now - b->failures[b->head] <= b->window)
		return BACKOFF_GIVE_UP;
	return backoff_ended(b, now);
}
