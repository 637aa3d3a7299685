#include <stdarg.h>
#include <stdio.h>

#include "coord/check_impl.h"
#include "coord/coord_impl.h"

void coord_check(const struct conf *conf, msec patience, const struct check_hooks *hooks, void *ctx)
{
	const struct check c = { .conf = conf, .patience = patience, .hooks = hooks, .ctx = ctx };

	if (conf->coord == CONF_COORD_ETCD)
		coord_etcd_ops.check(&c);
	else
		coord_local_ops.check(&c);
}

void check_found(
    const struct check *c, enum check_result result, const char *what, const char *fmt, ...)
{
	char text[2 * ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->hooks->found(c->ctx, result, what, text);
}
