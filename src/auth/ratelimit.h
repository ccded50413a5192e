/*
 * ratelimit - how many requests a caller and an address may make, and how many bad credentials an address may send.
 *
 * Token buckets, each as one number (the time at which it will be full: the generic cell rate algorithm), in a table of
 * fixed size whose parts have locks of their own. A bucket holds one minute's worth. Where the table is full, the
 * bucket that is nearest to full is forgotten, which forgives and never refuses. Limits hold for one process; several
 * instances behind one gateway each grant them.
 *
 * An address that sent too many bad credentials is heard at the rate of its bucket, and otherwise only with credentials
 * that were good lately: so neither the database nor good callers behind the same address suffer.
 */
#ifndef FA_AUTH_RATELIMIT_H
#define FA_AUTH_RATELIMIT_H

#include "core/config.h"
#include "core/error.h"

#include <stdint.h>

enum limit_class { LIMIT_READ, LIMIT_WRITE, LIMIT_FAILURES };

/* As the headers X-RateLimit-Limit, -Remaining, -Reset and Retry-After tell it; times in seconds. */
struct limit_state {
	bool allowed;
	int64_t limit; /* requests a minute; 0: there is no limit */
	int64_t remaining;
	int64_t reset;
	int64_t retry_after; /* where it is not allowed */
};

struct ratelimit;

/* By the options rate_limit, rate_read, rate_write, rate_failures. *out is NULL where rate_limit is off. */
MUST_CHECK bool ratelimit_new(struct ratelimit **out, const struct config *cfg, struct err *e);
void ratelimit_free(struct ratelimit *r);

/* Only logged, not refused (rate_limit = dry). */
bool ratelimit_is_dry(const struct ratelimit *r);

/* Takes one from the bucket of this class and key, at `now` (microseconds of a clock that only goes forward). */
void ratelimit_take(struct ratelimit *r, enum limit_class class, const char *key, int64_t now, struct limit_state *out);

/* A credential was good: its address is heard with it for some minutes, whatever else comes from there. */
void ratelimit_good(struct ratelimit *r, const char *credential, int64_t now);

/* A bad one. */
void ratelimit_bad(struct ratelimit *r, const char *address, int64_t now);

/* May this credential be looked at? */
void ratelimit_may_try(struct ratelimit *r, const char *address, const char *credential, int64_t now,
		       struct limit_state *out);

#endif
