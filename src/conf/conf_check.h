/*
 * conf_check.h - what single values do not tell: combinations that cannot work.
 */
#ifndef CONF_CONF_CHECK_H
#define CONF_CONF_CHECK_H

#include "conf/conf_read.h"

/*
 * Defaults give way to what is written: an unset limit follows the one it is tied to, so that
 * "stop_timeout": "2s" alone is no contradiction.
 */
void check_fit_defaults(const struct node *n, const struct node *defaults, struct job_conf *job);

/* All of the file at root, whose values are in conf; fields that were refused are passed over. */
void check_all(struct reader *rd, const struct node *root, const struct conf *conf);

/* The coordinator section of it alone. */
void check_coordinator(struct reader *rd, const struct node *root, const struct conf *conf);

/* The coordinator section n of type "etcd", conf_etcd.c. */
void check_etcd(struct reader *rd, const struct node *n, const struct conf *conf);

#endif
