/*
 * record.h - the state record: what a coordinator keeps of a job's last committed state.
 *
 *   {"epoch","seq","size","sha256","clean","done","after","instance","time","stamps","url", "data"
 *    or "zdata"}
 *
 * A record names a state and proves it (size, SHA-256, of the bytes as the job left them); they are
 * in it ("data", base64; "zdata", compressed before: inlined.h) or in a blob in a store ("url").
 * Blob names are never used twice. Records come from outside - another machine, an operator's
 * editor - and are checked in full when decoded.
 */
#ifndef STATE_RECORD_H
#define STATE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "conf/conf.h"
#include "state/handover.h"

#define RECORD_SHA_LEN 64 /* lower-case hex */
#define RECORD_URL_MAX 1024
#define RECORD_TEXT_MAX (8u << 20) /* a larger text is refused unread */

/* A record, as one that came after it remembers it. */
struct record_trace {
	uint64_t epoch; /* 0: there was none, or it is not known */
	uint64_t seq;
	bool clean;
};

struct record {
	uint64_t epoch; /* of the owner that committed it */
	uint64_t seq;   /* rises with every commit of the job, over all owners */
	uint64_t size;  /* of the state, in bytes */
	char sha256[RECORD_SHA_LEN + 1];
	bool clean; /* dumped at a stop, not a periodic backup */
	bool done;  /* "done": the job finished ("on_exit": "done"); left out when false */
	bool empty; /* none of the three: the job has no state (size 0, sha256 of nothing) */
	struct record_trace after; /* the last one of the owner before: what this one began from */
	char instance[CONF_INSTANCE_MAX + 1];
	char time[CLOCK_STAMP_MAX];
	struct stamps stamps; /* of the hand-over that it ends, for people; none in others */
	char *url;            /* owned; NULL if inline or empty */
	unsigned char *data;  /* owned, size bytes, not NULL for 0 of them; NULL if in a store */
};

/* Frees what r owns and leaves it zeroed. A zeroed record is valid to clear. */
void record_clear(struct record *r);
int record_copy(struct record *dst, const struct record *src, struct err *e);

/* Compact JSON, NUL-terminated, freed by the caller; NULL when out of memory. */
char *record_encode(const struct record *r, struct err *e);
/*
 * Takes text apart and checks every field: types, ranges, hex, base64, length of data against size,
 * and that exactly one of url, data and zdata is there unless size is 0. Unknown fields are ignored
 * (a newer version may have written it), and so are "stamps" that make no sense. On failure *r is
 * cleared.
 */
int record_decode(const char *text, size_t len, struct record *r, struct err *e);

#endif
