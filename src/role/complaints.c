#include "role/complaints.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "conf/units.h"

/* Of one job alone, or of all that have this reason; NULL: none. */
static struct trouble *find(struct complaints *c, struct post *p, enum coord_trouble why)
{
	switch (why) {
	case COORD_FINE: return NULL;
	case COORD_UNUSABLE: return &p->own_trouble;
	case COORD_UNREACHABLE:
	case COORD_TLS:
	case COORD_USER:
	case COORD_DENIED:
	case COORD_STRANGE: break;
	}
	return &c->shared[why];
}

static void tell(const struct post *p)
{
	log_error("%s: cannot get the lock: %s", p->job->name, p->report.trouble);
}

static void tell_end(const struct trouble *t, const struct post *p, msec now)
{
	char lasted[UNITS_MAX];

	units_show_duration((now - t->since) / 1000 * 1000, lasted);
	if (t->most > 1)
		log_info("locks can be had again, after %s jobs=%zu", lasted, t->most);
	else
		log_info("%s: the lock can be had again, after %s", p->job->name, lasted);
}

/* Its reason is another one than before. */
static void change(
    struct complaints *c, struct post *p, enum coord_trouble why, bool gone, msec now)
{
	struct trouble *before = find(c, p, p->trouble), *after = find(c, p, why);

	if (before != NULL && trouble_leave(before) && after == NULL && !gone)
		tell_end(before, p, now);
	if (after != NULL && trouble_enter(after, now))
		tell(p);
	p->trouble = why;
}

void complaints_note(struct complaints *c, struct post *p, bool gone, msec now)
{
	enum coord_trouble why = gone ? COORD_FINE : p->report.trouble_kind;

	if (why != p->trouble)
		change(c, p, why, gone, now);
}

static void remind(const struct trouble *t, const struct post *p)
{
	if (t->n > 1)
		log_error("%zu jobs cannot get their locks: %s", t->n, p->report.trouble);
	else
		tell(p);
}

/* Whoever is in it has the newest words for it. */
static void remind_shared(struct complaints *c, const struct fleet *f, enum coord_trouble why)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct post *p = post_of(f->seats[i]);

		if (p->trouble == why) {
			remind(&c->shared[why], p);
			return;
		}
	}
}

void complaints_tick(struct complaints *c, const struct fleet *f, msec now)
{
	for (int why = 0; why < COORD_TROUBLES; why++) {
		if (trouble_is_due(&c->shared[why], now))
			remind_shared(c, f, (enum coord_trouble)why);
	}
	for (size_t i = 0; i < f->n; i++) {
		struct post *p = post_of(f->seats[i]);

		if (trouble_is_due(&p->own_trouble, now))
			remind(&p->own_trouble, p);
	}
}

msec complaints_deadline(const struct complaints *c, const struct fleet *f)
{
	msec at = MSEC_NEVER;

	for (int why = 0; why < COORD_TROUBLES; why++)
		at = msec_min(at, trouble_deadline(&c->shared[why]));
	for (size_t i = 0; i < f->n; i++)
		at = msec_min(at, trouble_deadline(&post_of(f->seats[i])->own_trouble));
	return at;
}
