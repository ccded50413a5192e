/*
 * oauth - users of Supabase Auth who come to the MCP endpoint with an access token of its OAuth server (RFC 6749, and
 * RFC 9728 for how clients find it).
 *
 * A signature alone lets nobody in: the token must be of the configured issuer and for the configured audience, have an
 * end and an OAuth client, and its subject must stand in oauth_users. What the user may then do is oauth_scopes, in the
 * default project. No other claim gives a right: role, email and metadata are in the hands of others.
 */
#ifndef FA_AUTH_OAUTH_H
#define FA_AUTH_OAUTH_H

#include "auth/jwt.h"
#include "auth/principal.h"
#include "core/config.h"

struct oauth {
	char *issuer;   /* the authorization server */
	char *resource; /* what clients ask a token for: the MCP endpoint's URL */
	char *metadata; /* the URL of the document that says both */
	char *audience; /* what a token's aud must have */
	char *users;    /* subjects, separated by commas */
	char *project;
	unsigned scopes;
};

/* *out is NULL where oauth_issuer is not set. ERR_CONFIG without public_url, and for a scope that is none. */
MUST_CHECK bool oauth_new(struct oauth **out, const struct config *cfg, struct err *e);
void oauth_free(struct oauth *o);

/*
 * The claims of a token whose signature and times are good. ERR_UNAUTHORIZED for a token that is not meant for this
 * endpoint (token_issuer, token_audience, token_client, token_endless); ERR_FORBIDDEN user_not_listed.
 */
MUST_CHECK bool oauth_check(const struct oauth *o, struct arena *a, const struct jwt_claims *claims,
			    struct principal *out, struct err *e);

#endif
