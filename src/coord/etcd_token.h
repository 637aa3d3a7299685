/*
 * etcd_token.h - etcd's tokens, shared by the workers of a machine through a file below run_dir.
 *
 * A password costs etcd 70 ms of a processor, by intent. A hundred workers that each ask by
 * themselves keep it busy for seconds, and ask again when no answer comes. So one asks at a time,
 * the others find what it was told: the token or, for a moment, that the password is wrong.
 *
 * Only a help: where the directory cannot be used, each asks for itself.
 */
#ifndef COORD_ETCD_TOKEN_H
#define COORD_ETCD_TOKEN_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"

struct token_shelf {
	const char *dir;  /* NULL: none */
	const char *user; /* of the tokens */
	int turn;         /* descriptor of the lock; -1: it is not our turn */
	msec waiting;     /* since when we wait for it; 0: we do not */
};

void token_shelf_init(struct token_shelf *s, const char *dir, const char *user);
/* Also ends the turn. */
void token_shelf_close(struct token_shelf *s);

/* Whether we may ask. False: another process does; come back soon. One that takes too long is not
 * waited for. */
bool token_take_turn(struct token_shelf *s, msec now);
void token_end_turn(struct token_shelf *s);

enum token_found { TOKEN_NONE, TOKEN_GOOD, TOKEN_REFUSED };
/*
 * What another process was told by this endpoint. TOKEN_GOOD: *token is a fresh copy, and another
 * one than `known` (which may be NULL). TOKEN_REFUSED: not long ago, for the reason in *why.
 */
enum token_found token_find(const struct token_shelf *s, const char *url, const char *known,
    msec now, char **token, struct err *why);
/* Only in our turn, else nothing is done. */
void token_put(const struct token_shelf *s, const char *url, const char *token);
void token_put_refusal(
    const struct token_shelf *s, const char *url, const struct err *why, msec now);

#endif
