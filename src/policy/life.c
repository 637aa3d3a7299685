#include "policy/life.h"

#include <string.h>

#include "policy/life_impl.h"

void life_init(struct life *l, const struct life_conf *conf, struct backoff *b)
{
	memset(l, 0, sizeof(*l));
	l->conf = conf;
	l->backoff = b;
	l->state = LIFE_STARTING;
	l->give_up_at = MSEC_NEVER;
	life_disarm(l);
}

void life_init_rescue(struct life *l, const struct life_conf *conf, struct backoff *b,
    const struct life_rescue *rescue)
{
	life_init(l, conf, b);
	l->rescue = true;
	l->ran = rescue->placed;
	l->clean = rescue->clean;
	l->cleared = rescue->cleared;
	l->exited = true; /* or it will have, when it is cleared */
}

bool life_is_placed(const struct life *l)
{
	return l->placed || l->ran;
}

bool life_is_settled(const struct life *l)
{
	return !l->ran && !(l->awaited & LIFE_SPAWN);
}

/* What is not in a row is ignored: it came too late to matter. */
static life_transition *const *const rows[] = {
	[LIFE_STARTING] = life_starting,
	[LIFE_STANDBY] = life_standby,
	[LIFE_RESTORING] = life_restoring,
	[LIFE_RUNNING] = life_running,
	[LIFE_CLEARING] = life_clearing,
	[LIFE_SAVING] = life_saving,
	[LIFE_BACKOFF] = life_backoff,
	[LIFE_DUMPING] = life_dumping,
	[LIFE_RELEASING] = life_releasing,
	[LIFE_DOUBTING] = life_doubting,
};

/* Which actions an event may be the answer to. */
static const unsigned answers[LIFE_EVENTS_N] = {
	[LIFE_EV_GRANTED] = LIFE_ACQUIRE,
	[LIFE_EV_REFUSED] = LIFE_ACQUIRE,
	[LIFE_EV_FREED] = LIFE_ACQUIRE,
	[LIFE_EV_RESTORED] = LIFE_RESTORE,
	[LIFE_EV_RESTORE_FAILED] = LIFE_RESTORE,
	[LIFE_EV_SPAWNED] = LIFE_SPAWN,
	[LIFE_EV_SPAWN_FAILED] = LIFE_SPAWN,
	[LIFE_EV_SAVED] = LIFE_SAVES,
	[LIFE_EV_SAVE_FAILED] = LIFE_SAVES,
	[LIFE_EV_RELEASED] = LIFE_RELEASE,
	[LIFE_EV_RELEASE_FAILED] = LIFE_RELEASE,
};

#define ANSWERED (LIFE_ACQUIRE | LIFE_RESTORE | LIFE_SPAWN | LIFE_SAVES | LIFE_RELEASE)

/* That holds in every state; what else follows from it now is the state's. */
static void note_wish(struct life *l, enum life_event ev, msec now)
{
	if (ev == LIFE_EV_STOP)
		life_note_stop(l, now);
	else if (ev == LIFE_EV_HURRY)
		life_note_hurry(l, now);
	else if (ev == LIFE_EV_KILL)
		life_note_kill(l, now);
}

unsigned life_event(struct life *l, enum life_event ev, msec arg, msec now)
{
	life_transition *t;
	unsigned actions;

	if (l->state == LIFE_GONE)
		return 0;
	/* A repeated one must not push a deadline out. */
	if (ev == LIFE_EV_HURRY && (l->hurried || l->killed))
		return 0;
	note_wish(l, ev, now);
	t = rows[l->state][ev];
	/* An answer that nobody waits for must not pass for one to another question. */
	if (t == NULL || (answers[ev] != 0 && !(answers[ev] & l->awaited)))
		return 0;
	l->awaited &= ~answers[ev];
	actions = t(l, arg, now);
	l->awaited |= actions & ANSWERED;
	return actions;
}

msec life_stop_tail(const struct life_conf *conf)
{
	return msec_add(conf->hurry_timeout, LIFE_TRY_MIN + 3 * LIFE_ANSWER_MIN);
}

msec life_deadline(const struct life *l)
{
	msec end = msec_min(l->abandon_at, l->leave_at);

	/* A restart that falls due during the save waits for its end. */
	if (l->state == LIFE_SAVING)
		return end;
	end = msec_min(end, msec_min(l->term_at, l->kill_at));
	return msec_min(end, msec_min(l->watchdog_at, l->retry_at));
}

const char *life_state_shown(enum life_state s)
{
	static const char *const shown[] = {
#define X(name, text) [LIFE_##name] = (text),
		LIFE_STATES(X)
#undef X
	};

	return shown[s];
}

const char *life_state_name(enum life_state s)
{
	static const char *const names[] = {
#define X(name, text) [LIFE_##name] = #name,
		LIFE_STATES(X)
#undef X
	};

	return names[s];
}

const char *life_event_name(enum life_event ev)
{
	static const char *const names[] = {
#define X(name) [LIFE_EV_##name] = #name,
		LIFE_EVENTS(X)
#undef X
	};

	return names[ev];
}
