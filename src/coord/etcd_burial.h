/*
 * etcd_burial.h - leases that nobody of this process needs any more, given back in the background,
 * each for as long as that may be of use: what is left in the queue blocks whoever is behind it.
 */
#ifndef COORD_ETCD_BURIAL_H
#define COORD_ETCD_BURIAL_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "coord/etcd_client.h"

struct burial;

struct burials {
	struct ev_loop *loop;
	struct etcd_client *client;
	struct burial *first;
};

void burials_init(struct burials *b, struct ev_loop *loop, struct etcd_client *client);
/* Given up at `until`, or when etcd refuses, or memory is out: then the lease runs out by itself.
 */
void burials_add(struct burials *b, uint64_t lease, msec until);
bool burials_are_under_way(const struct burials *b);
void burials_hurry(struct burials *b, msec until);
/* What is not done by now is left. */
void burials_close(struct burials *b);

#endif
