/*
 * exits.h - the exit statuses of every command. `graceful run` and `graceful stop` use all of them.
 */
#ifndef BASE_EXITS_H
#define BASE_EXITS_H

enum cli_exit {
	EXIT_OK = 0,       /* done; for run and stop: every state dumped, every lock released */
	EXIT_CANNOT = 1,   /* cannot run, no master, not allowed, output lost */
	EXIT_UNCLEAN = 3,  /* a state was not dumped cleanly; the last good one, if any, was kept */
	EXIT_LOCKED = 4,   /* a lock could not be released and was left to its TTL */
	EXIT_BAD_USE = 64, /* wrong command line */
	EXIT_BAD_CONF = 78 /* wrong configuration, or one that this machine cannot fulfil */
};

#endif
