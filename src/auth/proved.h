/*
 * proved - service_role tokens whose signature was verified already, so that the next request with one need not do so.
 *
 * Holds hashes, never tokens, and only of tokens that were good; a token that has expired since is not found. The keys
 * that verify tokens do not change while the process runs. Bounded: 256 tokens, a new one replaces an older one.
 */
#ifndef FA_AUTH_PROVED_H
#define FA_AUTH_PROVED_H

#include "core/error.h"

#include <stdint.h>

struct proved;

MUST_CHECK bool proved_new(struct proved **out, struct err *e);
void proved_free(struct proved *p);

/* True where the token was added and is not expired at `now` (seconds); *expires_at as it was then. */
bool proved_find(struct proved *p, const char *token, int64_t now, int64_t *expires_at);

/* expires_at: seconds; 0 for a token that does not expire. */
void proved_add(struct proved *p, const char *token, int64_t expires_at);

#endif
