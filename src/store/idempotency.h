/* idempotency - rows of idempotency_keys: answers that were given, for requests that are repeated. Errors are those of
 * store/pg.h. */
#ifndef FA_STORE_IDEMPOTENCY_H
#define FA_STORE_IDEMPOTENCY_H

#include "store/pg.h"

struct remembered {
	bool found;
	uint8_t request[32]; /* SHA-256 of the request that was answered */
	int status;
	struct pg_bytes answer; /* sealed */
};

/*
 * Claims the key for the request that claim (a UUID) names, as long as that process is alive (store/instance.h); *taken
 * false: it has an answer, or another request's claim.
 */
MUST_CHECK bool idempotency_claim(struct pg_conn *c, struct arena *a, const char *principal, const char *key,
				  const char *claim, const char *instance, bool *taken, struct err *e);

/* Those that have no answer are as if they had never been. */
MUST_CHECK bool idempotency_give_up(struct pg_conn *c, struct arena *a, const char *const *claims, size_t count,
				    struct err *e);

/* Answers older than 24 hours count as forgotten. */
MUST_CHECK bool idempotency_find(struct pg_conn *c, struct arena *a, const char *principal, const char *key,
				 struct remembered *out, struct err *e);

/* Puts the answer in the claim's place. ERR_CONFLICT: the claim is no longer ours. */
MUST_CHECK bool idempotency_answer(struct pg_conn *c, struct arena *a, const char *principal, const char *key,
				   const char *claim, const uint8_t request[32], int status, const void *answer,
				   size_t len, struct err *e);

/* Removes the forgotten ones. */
MUST_CHECK bool idempotency_sweep(struct pg_conn *c, struct arena *a, struct err *e);

#endif
