/*
 * proc.h - what the kernel tells of a process in /proc, to everybody: nothing here lies in the
 * process's own memory, so nothing can be forged, and no reader be made to hang.
 *
 * Each answer is of one moment. When it is read the process may have ended, and its number may be
 * another's: who must be sure holds a pidfd, and then asks (again).
 */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct proc_stat {
	char state; /* as in ps(1); T, t: stopped; Z, X: ended */
	pid_t parent, session;
	/*
	 * A process whose first thread alone has ended is a zombie, too, and has more than one
	 * thread. All of it has ended: 1, or 0 at the very end.
	 */
	long threads;
	/* In ticks since the machine started: tells it from all others of its number. */
	uint64_t born;
	bool forked_only; /* it has called no exec, up to its end */
};

struct proc_status {
	uid_t uid[4]; /* real, effective, saved, of the file system */
	gid_t gid[4]; /* the same */
	/* Of signals, lowest bit first. Blocked: by the first thread. */
	uint64_t blocked, ignored, caught;
};

/*
 * -1: it cannot be told, *to is zeroed and errno says why. ENOENT, ESRCH: there is no such process
 * (any more); EACCES, EPERM: not for us; EPROTO: the kernel says something else than we expect; any
 * other, as EMFILE, says nothing about the process.
 */
int proc_stat(pid_t pid, struct proc_stat *to);
int proc_status(pid_t pid, struct proc_status *to);

/* Another file of it, to be read: what is in the process's own memory, as `environ`, is its say. */
FILE *proc_open(pid_t pid, const char *name);

#endif
