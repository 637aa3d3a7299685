/*
 * check_impl.h - what the checks of both coordinators share. Only they and check.c include this.
 */
#ifndef COORD_CHECK_IMPL_H
#define COORD_CHECK_IMPL_H

#include "coord/check.h"

struct check {
	const struct conf *conf;
	msec patience; /* for one answer */
	const struct check_hooks *hooks;
	void *ctx;
};

void check_found(const struct check *c, enum check_result result, const char *what, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));

void etcd_check(const struct check *c);
void local_check(const struct check *c);

#endif
