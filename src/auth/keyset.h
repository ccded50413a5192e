/*
 * keyset - a JWK Set that lives at a URL, such as the auth service's: fetched, kept, fetched again.
 *
 * The last good set is kept whatever happens to the URL. It is fetched again when it is ten minutes old, and when a
 * token names a key that it does not have, but never more often than twice a minute, so that made-up key names cost
 * nothing. Shared by all threads; one of them fetches while the others go on with what is there.
 *
 * Limits: those of auth/jwt.h; a fetch takes 3 seconds at most and follows no redirect.
 */
#ifndef FA_AUTH_KEYSET_H
#define FA_AUTH_KEYSET_H

#include "auth/jwt.h"

struct keyset;

/* Nothing is fetched yet. */
MUST_CHECK bool keyset_new(struct keyset **out, const char *url, struct err *e);
void keyset_free(struct keyset *k);

/* As jwt_verify(), with the keys of the set. */
MUST_CHECK bool keyset_verify(struct keyset *k, struct arena *a, const char *token, int64_t now, struct jwt_claims *out,
			      struct err *e);

#endif
