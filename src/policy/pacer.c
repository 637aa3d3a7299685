#include "policy/pacer.h"

#include <string.h>

#define RETRY_MIN 1000
#define RETRY_MAX 30000
/* A job that begins has a processor to itself, or etcd has, on a machine with few. */
#define STALE_PAUSE 5

void pacer_init(struct pacer *p, msec interval, bool signals)
{
	memset(p, 0, sizeof(*p));
	p->interval = interval;
	p->signals = signals;
}

void pacer_start(struct pacer *p, msec now)
{
	bool saving = p->saving;

	pacer_init(p, p->interval, p->signals);
	p->saving = saving;
	p->on = true;
	p->next = msec_add(now, p->interval);
}

void pacer_stop(struct pacer *p)
{
	p->on = false;
}

/* The one place that begins a backup. */
static unsigned save(struct pacer *p, msec now)
{
	if (!p->on || p->saving || !p->changed || now < p->retry)
		return PACER_NOTHING;
	p->saving = true;
	p->changed = false;
	p->asked = false;
	p->next = msec_add(now, p->interval);
	return PACER_SAVE;
}

unsigned pacer_changed(struct pacer *p, msec now)
{
	p->changed = true;
	p->asked |= p->told;
	p->told = false;
	return p->asked ? save(p, now) : PACER_NOTHING;
}

unsigned pacer_stale(struct pacer *p, msec now)
{
	p->changed = true;
	p->asked = true;
	p->retry = msec_add(now, STALE_PAUSE);
	return PACER_NOTHING;
}

/* A job that writes on request may have nothing new on disk yet, and a file that waits is older: it
 * is saved, and the answer to the signal after it. */
static unsigned due(struct pacer *p, msec now)
{
	p->asked = true;
	if (!p->signals)
		return save(p, now);
	p->told = true;
	return PACER_SIGNAL | save(p, now);
}

unsigned pacer_ask(struct pacer *p, msec now)
{
	if (!p->on)
		return PACER_NOTHING;
	p->retry = now; /* who asks wants to know now, not after the pause */
	return due(p, now);
}

unsigned pacer_saved(struct pacer *p, bool ok, msec now)
{
	p->saving = false;
	if (ok) {
		p->delay = 0;
		return p->asked ? save(p, now) : PACER_NOTHING;
	}
	p->delay = p->delay == 0 ? RETRY_MIN : p->delay * 2;
	if (p->delay > RETRY_MAX)
		p->delay = RETRY_MAX;
	p->retry = msec_add(now, p->delay);
	p->changed = true;
	p->asked = true; /* tried again after the pause, not after a whole interval */
	return PACER_NOTHING;
}

unsigned pacer_tick(struct pacer *p, msec now)
{
	if (!p->on)
		return PACER_NOTHING;
	if (now >= p->next) {
		p->next = msec_add(now, p->interval);
		return due(p, now);
	}
	return p->asked ? save(p, now) : PACER_NOTHING;
}

msec pacer_deadline(const struct pacer *p)
{
	if (!p->on)
		return MSEC_NEVER;
	if (p->asked && p->changed && !p->saving)
		return msec_min(p->next, p->retry);
	return p->next;
}
