#include "coord/etcd_burial.h"

#include <stdlib.h>

#include "coord/etcd_ask.h"
#include "coord/etcd_wire.h"

struct burial {
	struct burial *next;
	struct burials *all;
	struct ask ask;
};

void burials_init(struct burials *b, struct ev_loop *loop, struct etcd_client *client)
{
	*b = (struct burials){ .loop = loop, .client = client };
}

static void drop(struct burial *one)
{
	ask_cancel(&one->ask);
	free(one);
}

static void on_buried(void *ctx, const struct etcd_answer *answer)
{
	struct burial *one = ctx;
	struct burial **at = &one->all->first;

	(void)answer;
	while (*at != one)
		at = &(*at)->next;
	*at = one->next;
	drop(one);
}

void burials_add(struct burials *b, uint64_t lease, msec until)
{
	struct burial *one = calloc(1, sizeof(*one));

	if (one == NULL)
		return;
	one->all = b;
	one->next = b->first;
	b->first = one;
	ask_init(&one->ask, b->loop, b->client);
	ask_start(&one->ask, "/v3/lease/revoke", wire_lease_id(lease), until, on_buried, one);
}

bool burials_are_under_way(const struct burials *b)
{
	return b->first != NULL;
}

void burials_hurry(struct burials *b, msec until)
{
	for (struct burial *one = b->first; one != NULL; one = one->next)
		ask_hurry(&one->ask, until);
}

void burials_close(struct burials *b)
{
	struct burial *one;

	while ((one = b->first) != NULL) {
		b->first = one->next;
		drop(one);
	}
}
