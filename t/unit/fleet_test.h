/*
 * fleet_test.h - what the tests of the fleet share: the names of what it asks for, for traces.
 */
#ifndef T_UNIT_FLEET_TEST_H
#define T_UNIT_FLEET_TEST_H

#include "policy/fleet.h"

static inline const char *verb_name(enum fleet_verb verb)
{
	static const char *const names[] = {
		[FLEET_FORK] = "FORK",
		[FLEET_FORK_RESCUE] = "FORK_RESCUE",
		[FLEET_TELL_STOP] = "TELL_STOP",
		[FLEET_TELL_HURRY] = "TELL_HURRY",
		[FLEET_TELL_KILL] = "TELL_KILL",
		[FLEET_TELL_CLEARED] = "TELL_CLEARED",
		[FLEET_KILL_WORKER] = "KILL_WORKER",
		[FLEET_STUCK] = "STUCK",
		[FLEET_FORSAKE] = "FORSAKE",
		[FLEET_ORPHANS_STOP] = "ORPHANS_STOP",
		[FLEET_ORPHANS_TERM] = "ORPHANS_TERM",
		[FLEET_ORPHANS_KILL] = "ORPHANS_KILL",
		[FLEET_DROP_ANCHOR] = "DROP_ANCHOR",
		[FLEET_RENEW] = "RENEW",
		[FLEET_FREE] = "FREE",
		[FLEET_EXIT] = "EXIT",
	};

	return names[verb];
}

#endif
