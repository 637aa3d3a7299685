/*
 * probe.h - whether this machine can fulfil a configuration, found out without changing anything.
 */
#ifndef CLI_PROBE_H
#define CLI_PROBE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "conf/conf.h"
#include "job/spawn.h"

/* What stands in a job's way: 0 or the errno of each step, as its user would meet it. */
struct probe_job {
	int limit; /* raising the hard limit `refused` */
	const struct conf_limit *refused;
	int nice;        /* raising its priority */
	int user;        /* becoming the user */
	int cwd;         /* entering the working directory */
	int run_dir;     /* passing through run_dir to its socket */
	int work_dir;    /* passing through work_dir to its own directory */
	int command;     /* executing the command */
	int interpreter; /* executing what the command, a script, names in its first line */
	char interpreter_path[SPAWN_INTERPRETER_MAX];
	bool strange; /* the command is nothing that the kernel runs without being told how */
};

/* Tries all of it in a child process that becomes the job's user. -1: there is no such child. */
int probe_job(
    const struct conf *conf, const struct job_conf *job, struct probe_job *result, struct err *e);

/* Whether a file can be made at path: its directory has to be there. */
int probe_file(const char *path, struct err *e);
/* Whether there is room for all users on the file system that path is on, or will be. -1: none on
 * that disk. */
int probe_room(const char *path, dev_t *disk, struct err *e);
/* No directory is in the way of a file at path. */
int probe_name(const char *path, struct err *e);
/* Whether path is a directory that we can write, or can be made. */
int probe_dir(const char *path, struct err *e);

#endif
