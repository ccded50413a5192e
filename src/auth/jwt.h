/*
 * jwt - verifies JSON Web Tokens (RFC 7519, RFC 7515, RFC 8725) with the project's secrets and public keys: public
 * keys by libjwt, HS256 by libsodium (jwt.c says why).
 *
 * The header chooses among OUR keys, never how a key is used: an HMAC secret verifies HS256 only, an EC P-256 key ES256
 * only, an RSA key (2048 bits or more) RS256 only; "none", embedded keys (jwk, jku, x5u, x5c) and crit are refused. A
 * verifier is immutable and may be shared by threads.
 *
 * A token that names a key (kid) is tried with the keys of that name and with those that have none, such as the
 * secrets; one that names none, with all keys for its algorithm.
 *
 * Limits: a token of 8 KiB, 16 secrets, a JWKS of 256 KiB with 64 keys.
 */
#ifndef FA_AUTH_JWT_H
#define FA_AUTH_JWT_H

#include "core/arena.h"
#include "core/error.h"

#include <stdint.h>

#define JWT_MAX_TOKEN 8192
#define JWT_LEEWAY_SECONDS 30

struct jwt_verifier;

/*
 * secrets: NULL-terminated HS256 secrets, newest first (may be empty); jwks: the JSON of a JWK Set (RFC 7517),
 * or its bare array of keys, or NULL.
 * Keys of a kind that we do not use are skipped; a document that is no JWK Set is ERR_CONFIG. "oct" keys in the set are
 * HS256 secrets.
 */
MUST_CHECK bool jwt_verifier_new(struct jwt_verifier **out, const char *const *secrets, const char *jwks,
				 struct err *e);
void jwt_verifier_free(struct jwt_verifier *v);

/* False where the token names a key (kid) that is none of ours: another set of keys may have it. */
bool jwt_knows_key(const struct jwt_verifier *v, struct arena *a, const char *token);

struct jwt_claims {
	const char *role;      /* "" where absent */
	const char *subject;   /* "" where absent */
	const char *issuer;    /* "" where absent, or no text */
	const char *client;    /* the OAuth client (client_id); "" where absent, or no text */
	const char **audience; /* NULL-terminated; empty where absent, or neither text nor a list */
	int64_t expires_at;    /* seconds, not beyond the year 9999; 0 where the token has no exp */
};

/*
 * Verifies the signature, exp and nbf against `now` (seconds) and reads the claims into the arena. ERR_UNAUTHORIZED
 * with a message that says which check failed (never a part of the token) and the code token_malformed,
 * token_signature, token_expired or token_not_yet_valid. exp and nbf count only once the signature is proved.
 */
MUST_CHECK bool jwt_verify(const struct jwt_verifier *v, struct arena *a, const char *token, int64_t now,
			   struct jwt_claims *out, struct err *e);

#endif
