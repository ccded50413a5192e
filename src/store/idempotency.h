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
 * Takes the lock of this key on this connection, for all instances; *taken false: a request with it is under way. A
 * killed process gives it up.
 */
MUST_CHECK bool idempotency_lock(struct pg_conn *c, struct arena *a, const char *principal, const char *key,
				 bool *taken, struct err *e);
MUST_CHECK bool idempotency_unlock(struct pg_conn *c, struct arena *a, const char *principal, const char *key,
				   struct err *e);

/* Answers older than 24 hours count as forgotten. */
MUST_CHECK bool idempotency_find(struct pg_conn *c, struct arena *a, const char *principal, const char *key,
				 struct remembered *out, struct err *e);
MUST_CHECK bool idempotency_insert(struct pg_conn *c, struct arena *a, const char *principal, const char *key,
				   const uint8_t request[32], int status, const void *answer, size_t len,
				   struct err *e);

/* Removes the forgotten ones. */
MUST_CHECK bool idempotency_sweep(struct pg_conn *c, struct arena *a, struct err *e);

#endif
