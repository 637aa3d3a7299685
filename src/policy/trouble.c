#include "policy/trouble.h"

#include <assert.h>

/* The first reminder comes soon: it has the number of all who met the trouble with the first. */
#define REMIND_MIN 10000
#define REMIND_MAX 3600000
#define REMIND_FACTOR 6

bool trouble_enter(struct trouble *t, msec now)
{
	t->n++;
	if (t->n > 1) {
		if (t->n > t->most)
			t->most = t->n;
		return false;
	}
	t->most = 1;
	t->since = now;
	t->told = now >= t->remind_at;
	if (t->told) {
		t->pause = REMIND_MIN;
		t->remind_at = msec_add(now, REMIND_MIN);
	}
	return t->told;
}

bool trouble_leave(struct trouble *t)
{
	assert(t->n > 0);
	return --t->n == 0 && t->told;
}

bool trouble_is_due(struct trouble *t, msec now)
{
	if (t->n == 0 || now < t->remind_at)
		return false;
	t->pause = msec_min(t->pause * REMIND_FACTOR, REMIND_MAX);
	t->remind_at = msec_add(now, t->pause);
	t->told = true;
	return true;
}

msec trouble_deadline(const struct trouble *t)
{
	return t->n > 0 ? t->remind_at : MSEC_NEVER;
}
