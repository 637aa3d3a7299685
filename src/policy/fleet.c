#include "policy/fleet_impl.h"

#include <string.h>

#include "base/exits.h"

void fleet_init(struct fleet *f, struct seat **seats, size_t n, size_t places)
{
	memset(f, 0, sizeof(*f));
	fleet_reseat(f, seats, n);
	fleet_set_places(f, places);
	f->rotate_at = MSEC_NEVER;
}

void fleet_reseat(struct fleet *f, struct seat **seats, size_t n)
{
	f->seats = seats;
	f->n = n;
	f->cursor = 0;
}

void fleet_remove(struct fleet *f, struct seat *s)
{
	size_t at = 0;

	while (f->seats[at] != s)
		at++;
	f->n--;
	memmove(f->seats + at, f->seats + at + 1, (f->n - at) * sizeof(struct seat *));
	if (f->cursor > at)
		f->cursor--;
}

void fleet_stop(struct fleet *f, enum stop_level level, msec now)
{
	if (level <= f->level)
		return;
	f->level = level;
	for (size_t i = 0; i < f->n; i++) {
		struct seat *s = f->seats[i];

		if (s->state != SEAT_ORPHANED || f->level == STOP_GRACEFUL)
			continue;
		s->term_at = msec_min(s->term_at, now);
		s->kill_at = msec_min(s->kill_at,
		    f->level == STOP_KILL ? now : msec_add(now, s->limits.hurry_timeout));
	}
}

void fleet_interrupt(struct fleet *f, msec now)
{
	if (f->interrupts < STOP_KILL)
		f->interrupts++;
	fleet_stop(f, f->interrupts, now);
}

int fleet_exit_status(const struct fleet *f)
{
	if (f->left > 0)
		return EXIT_LOCKED;
	return f->unclean > 0 ? EXIT_UNCLEAN : EXIT_OK;
}

const char *seat_state_name(enum seat_state s)
{
	static const char *const names[] = {
#define X(name) [SEAT_##name] = #name,
		SEAT_STATES(X)
#undef X
	};

	return names[s];
}
