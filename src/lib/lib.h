/*
 * lib.h - what the files of libgraceful share. The contract with jobs is graceful.h.
 *
 * The set-up calls are made by graceful_init() alone, before any thread can use the library; what
 * they store is read-only afterwards.
 */
#ifndef LIB_LIB_H
#define LIB_LIB_H

#include "graceful.h"

#pragma GCC visibility push(hidden)

/* restored: what graceful said about the state, GRACEFUL_NONE if nothing. -1: out of memory. */
int lib_state_setup(const char *path, enum graceful_restored restored);
void lib_state_reset(void);

/* name: the value of NOTIFY_SOCKET, NULL if it is not set. */
void lib_notify_setup(const char *name);

/* In a process that the job forked, to which neither its signals nor its state belong. Safe in
 * signal handlers. */
bool lib_in_child(void);

/* Opens the descriptor and takes over SIGINT and SIGTERM. */
int lib_signals_setup(void);

#pragma GCC visibility pop

#endif
