#include "policy/fleet_impl.h"

/* How many there are */

void fleet_drain(struct fleet *f, bool on)
{
	f->draining = on;
}

static size_t wanted_jobs(const struct fleet *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += f->seats[i]->wish != SEAT_LEAVES;
	return n;
}

void fleet_set_places(struct fleet *f, size_t places)
{
	f->places = places;
	f->unlimited = places == FLEET_ALL;
}

void fleet_fewer(struct fleet *f)
{
	size_t jobs = wanted_jobs(f);

	if (f->places > jobs)
		f->places = jobs;
	if (f->places > 0)
		f->places--;
}

void fleet_more(struct fleet *f)
{
	if (f->places != FLEET_ALL)
		f->places++;
	/* So that a job which is added later finds a place as it did before. */
	if (f->unlimited && f->places >= wanted_jobs(f))
		f->places = FLEET_ALL;
}

/* Sharing them out */

/* It holds or queues for a lock, or what it held has not been given back. */
static bool is_busy(const struct seat *s)
{
	switch (s->state) {
	case SEAT_WORKING:
	case SEAT_ORPHANED:
	case SEAT_STRANDED:
	case SEAT_RESCUED: return true;
	case SEAT_VACANT:
	case SEAT_DUE:
	case SEAT_PARKED:
	case SEAT_FINISHED: break;
	}
	return s->anchored;
}

size_t fleet_busy(const struct fleet *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += is_busy(f->seats[i]);
	return n;
}

bool fleet_is_recalled(const struct seat *s)
{
	return s->yields || s->wish != SEAT_STAYS;
}

/* Its place is not about to become free by itself. */
static bool is_settled(const struct seat *s)
{
	return s->state == SEAT_WORKING && !fleet_is_recalled(s) && s->told == STOP_NOT &&
	       !s->reaped;
}

/* Who queues gives way before who owns, and the newer before the older. */
static bool gives_way(const struct seat *a, const struct seat *b)
{
	if (a->holds != b->holds)
		return !a->holds;
	return a->forked_at > b->forked_at;
}

static struct seat *next_to_yield(const struct fleet *f)
{
	struct seat *best = NULL;

	for (size_t i = 0; i < f->n; i++) {
		struct seat *s = f->seats[i];

		if (is_settled(s) && (best == NULL || gives_way(s, best)))
			best = s;
	}
	return best;
}

/* At most `count` workers that queued for their turn in vain yield; when the next one is to. */
static msec rotate(const struct fleet *f, size_t count, msec now)
{
	msec at = MSEC_NEVER;

	for (size_t i = 0; i < f->n && count > 0; i++) {
		struct seat *s = f->seats[i];

		if (!is_settled(s) || s->holds)
			continue;
		if (now >= s->forked_at + s->turn) {
			s->yields = true;
			s->turn = msec_min(2 * s->turn, FLEET_TURN_MAX);
			count--;
		} else {
			at = msec_min(at, s->forked_at + s->turn);
		}
	}
	return count > 0 ? at : MSEC_NEVER;
}

void fleet_share_out(struct fleet *f, msec now)
{
	size_t most = f->draining ? 0 : f->places;
	size_t busy = 0, settled = 0, parked = 0, served;
	struct seat *s;

	f->free = FLEET_ALL;
	f->rotate_at = MSEC_NEVER;
	if (most == FLEET_ALL || f->level != STOP_NOT)
		return;
	for (size_t i = 0; i < f->n; i++) {
		busy += is_busy(f->seats[i]);
		settled += is_settled(f->seats[i]);
		parked += f->seats[i]->state == SEAT_PARKED;
	}
	f->free = most > busy ? most - busy : 0;
	for (; settled > most && (s = next_to_yield(f)) != NULL; settled--)
		s->yields = true;
	/* By a place that is free, or becomes so. */
	served = most > settled ? most - settled : 0;
	if (parked > served && most > 0)
		f->rotate_at = rotate(f, parked - served, now);
}

bool fleet_may_start(const struct fleet *f, const struct seat *s)
{
	size_t before = 0;

	if (f->free == FLEET_ALL || f->free == 0)
		return f->free != 0;
	for (size_t i = 0; i < f->n; i++)
		before += f->seats[i]->state == SEAT_PARKED && f->seats[i]->ticket < s->ticket;
	return before < f->free;
}
