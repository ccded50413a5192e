/*
 * auth - credential to principal: access tokens, service_role JWTs, the project's secret key (API.md, "Who may call").
 *
 * Nothing that a gateway adds is taken as proof. Immutable once made, shared by all threads.
 */
#ifndef FA_AUTH_AUTH_H
#define FA_AUTH_AUTH_H

#include "auth/principal.h"
#include "core/config.h"
#include "core/crypto.h"
#include "core/error.h"
#include "store/pg.h"

struct auth;
struct oauth;

/* ERR_CONFIG where a key is not what it should be. pool may be NULL where no caller will be checked. */
MUST_CHECK bool auth_new(struct auth **out, const struct config *cfg, struct pg_pool *pool, struct err *e);
void auth_free(struct auth *auth);

/* The key under which access tokens are hashed. */
const struct crypto_key *auth_token_key(const struct auth *auth);

/* How users of Supabase Auth come in; NULL where they do not. */
const struct oauth *auth_oauth(const struct auth *auth);

/* Whether the credential is an access token. These are of no one project's keys: every auth knows the same ones. */
bool auth_is_token(const char *authorization, const char *apikey);

/*
 * authorization: the header's value or NULL; apikey: that of header or query, or NULL. The first that is there decides.
 * address: the client's, for tokens that are bound to networks. users: whether a user whom the options list may come.
 * ERR_UNAUTHORIZED: none, or one that proves nothing; ERR_FORBIDDEN: a good one that is not enough (anon,
 * authenticated, publishable, a token from a network that is not its own); ERR_UNAVAILABLE: the database is needed and
 * away.
 */
MUST_CHECK bool auth_check(const struct auth *auth, struct arena *a, const char *authorization, const char *apikey,
			   const char *address, bool users, struct principal *out, struct err *e);

#endif
