#include "coord/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define DOOR 0

_Static_assert(sizeof(off_t) == sizeof(int64_t), "a place is an offset: build with large files");

static struct flock range(short type, uint64_t from, uint64_t len)
{
	/* l_pid must be 0 for OFD locks. */
	return (struct flock){
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)from,
		.l_len = (off_t)len,
	};
}

static int set_lock(int fd, int cmd, short type, uint64_t from, uint64_t len)
{
	struct flock fl = range(type, from, len);
	int rc;

	do {
		rc = fcntl(fd, cmd, &fl);
	} while (rc != 0 && errno == EINTR);
	return rc;
}

int places_enter(int probe, struct err *e)
{
	if (set_lock(probe, F_OFD_SETLKW, F_WRLCK, DOOR, 1) != 0)
		return err_sys(e, "cannot lock the queue");
	return 0;
}

int places_exit(int probe, struct err *e)
{
	if (set_lock(probe, F_OFD_SETLK, F_UNLCK, DOOR, 1) != 0)
		return err_sys(e, "cannot unlock the queue");
	return 0;
}

int places_take(int anchor, uint64_t place, struct err *e)
{
	if (set_lock(anchor, F_OFD_SETLK, F_WRLCK, place, 1) != 0)
		return err_sys(e, "cannot take place %ju in the queue", (uintmax_t)place);
	return 0;
}

int places_leave(int anchor, struct err *e)
{
	/* A length of 0 reaches to the end of all files. */
	if (set_lock(anchor, F_OFD_SETLK, F_UNLCK, DOOR + 1, 0) != 0)
		return err_sys(e, "cannot leave the queue");
	return 0;
}

int places_find(int probe, uint64_t from, uint64_t to, uint64_t *place, struct err *e)
{
	/*
	 * The question is for a read lock: those that wait hold read locks on places that are gone,
	 * and these do not count.
	 */
	struct flock fl;

	if (from > to)
		return 0;
	fl = range(F_RDLCK, from, to - from + 1);
	if (fcntl(probe, F_OFD_GETLK, &fl) != 0)
		return err_sys(e, "cannot examine the queue");
	if (fl.l_type == F_UNLCK)
		return 0;
	/* Neighbours that one anchor holds are reported as one range, which may begin before us. */
	*place = (uint64_t)fl.l_start > from ? (uint64_t)fl.l_start : from;
	return 1;
}

int places_nearest(int probe, uint64_t place, uint64_t *ahead, struct err *e)
{
	uint64_t found = 0;
	int any = 0;
	int rc;

	while ((rc = places_find(probe, found + 1, place - 1, &found, e)) == 1)
		any = 1;
	*ahead = found;
	return rc < 0 ? -1 : any;
}

int places_first(int probe, uint64_t place, uint64_t *head, struct err *e)
{
	uint64_t found = place;
	int any = 0;
	int rc;

	while ((rc = places_find(probe, 1, found - 1, &found, e)) == 1)
		any = 1;
	*head = found;
	return rc < 0 ? -1 : any;
}

int places_wait(int probe, uint64_t place, struct err *e)
{
	if (set_lock(probe, F_OFD_SETLKW, F_RDLCK, place, 1) != 0)
		return err_sys(e, "cannot wait in the queue");
	return 0;
}
