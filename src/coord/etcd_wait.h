/*
 * etcd_wait.h - questions to etcd for those who have nothing else to do until the answer is there:
 * commands, not workers.
 */
#ifndef COORD_ETCD_WAIT_H
#define COORD_ETCD_WAIT_H

#include "coord/etcd_ask.h"
#include "coord/etcd_client.h"

struct etcd_waiter {
	struct conf conf; /* without run_dir: nothing is left there */
	struct ev_loop *loop;
	struct etcd_client *client;
	struct ask ask;
	bool answered;
	enum etcd_code code;
	bool unknown;
	json_t *body; /* of the last answer, until the next question */
	int64_t date; /* wall clock of the server that answered, 0: it does not say */
	struct err e;
};

/* conf must outlive it. */
int etcd_waiter_open(struct etcd_waiter *w, const struct conf *conf, struct err *e);
void etcd_waiter_close(struct etcd_waiter *w);

/*
 * Asks, again and again for `patience` where that is safe (etcd_ask.h), and waits for the answer;
 * takes over the request. ETCD_OK, and w->body; or why not, in w->e too.
 */
enum etcd_code etcd_wait(struct etcd_waiter *w, const char *path, json_t *request, msec patience);

#endif
