#include "auth/auth.h"

#include "auth/apikey.h"
#include "auth/jwt.h"
#include "auth/keyset.h"
#include "auth/oauth.h"
#include "auth/proved.h"
#include "auth/token.h"
#include "core/net.h"
#include "core/text.h"
#include "store/token.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

struct auth {
	struct pg_pool *pool;
	struct jwt_verifier *verifier;
	struct keyset *keyset; /* NULL where no URL is configured */
	struct proved *proved;
	struct oauth *oauth; /* NULL where no issuer is configured */
	struct crypto_key token_key;
	char *secret_key;  /* NULL where none is configured */
	char *project_ref; /* that the events token is for; NULL for none */
	char events_token[CRYPTO_EVENTS_TOKEN_SIZE];
};

#define MAX_SECRETS 16

/* The current secret, then the earlier ones: "a, b". */
static bool new_verifier(struct jwt_verifier **out, const struct config *cfg, struct err *e)
{
	const char *jwks = cfg->jwks != NULL && cfg->jwks[0] != '\0' ? cfg->jwks : NULL;
	const char *secrets[MAX_SECRETS + 2] = {NULL};
	char *previous = strdup(cfg->jwt_previous_secrets != NULL ? cfg->jwt_previous_secrets : "");
	size_t n = 0;
	bool ok;

	if (previous == NULL)
		return err_no_memory(e);
	if (cfg->jwt_secret != NULL && cfg->jwt_secret[0] != '\0')
		secrets[n++] = cfg->jwt_secret;
	for (char *p = previous; *p != '\0' && n <= MAX_SECRETS;) {
		size_t len = strcspn(p, ", ");
		size_t gap = strspn(p + len, ", ");

		secrets[n++] = p;
		p[len] = '\0';
		p += len + gap;
	}
	ok = jwt_verifier_new(out, secrets, jwks, e);
	sodium_memzero(previous, cfg->jwt_previous_secrets != NULL ? strlen(cfg->jwt_previous_secrets) : 0);
	free(previous);
	return ok;
}

bool auth_new(struct auth **out, const struct config *cfg, struct pg_pool *pool, struct err *e)
{
	struct auth *auth = calloc(1, sizeof *auth);
	struct crypto_key master;

	if (auth == NULL)
		return err_no_memory(e);
	auth->pool = pool;
	if (!crypto_master_key(cfg->master_key != NULL ? cfg->master_key : "", &master, e) ||
	    !proved_new(&auth->proved, e) || !new_verifier(&auth->verifier, cfg, e) ||
	    !oauth_new(&auth->oauth, cfg, e) ||
	    (cfg->jwks_url != NULL && !keyset_new(&auth->keyset, cfg->jwks_url, e))) {
		auth_free(auth);
		return false;
	}
	crypto_subkey(&master, CRYPTO_ACCESS_TOKENS, &auth->token_key);
	if (cfg->project_ref != NULL) {
		crypto_events_token(&master, cfg->project_ref, auth->events_token);
		auth->project_ref = strdup(cfg->project_ref);
	}
	crypto_key_wipe(&master);
	if (cfg->secret_key != NULL && cfg->secret_key[0] != '\0' &&
	    (auth->secret_key = strdup(cfg->secret_key)) == NULL) {
		auth_free(auth);
		return err_no_memory(e);
	}
	*out = auth;
	return true;
}

void auth_free(struct auth *auth)
{
	if (auth == NULL)
		return;
	jwt_verifier_free(auth->verifier);
	keyset_free(auth->keyset);
	proved_free(auth->proved);
	oauth_free(auth->oauth);
	crypto_key_wipe(&auth->token_key);
	free(auth->project_ref);
	free(auth->secret_key);
	free(auth);
}

const struct crypto_key *auth_token_key(const struct auth *auth)
{
	return &auth->token_key;
}

const struct oauth *auth_oauth(const struct auth *auth)
{
	return auth->oauth;
}

static bool refuse(struct err *e, const char *message)
{
	(void)err_set(e, ERR_UNAUTHORIZED, NULL, "%s", message);
	return err_hint(e, "Send an access token or the service_role key as \"Authorization: Bearer ...\".");
}

/* A token that was stolen is of no use elsewhere. An address that cannot be read lies in no network. */
static bool check_network(const struct access_token *t, const char *address, struct err *e)
{
	struct net client;

	if (t->networks == NULL || (net_address(address, &client) && net_any_contains(t->networks, &client)))
		return true;
	(void)err_set(e, ERR_FORBIDDEN, "network_not_allowed", "This access token may not be used from this address");
	return err_hint(e, "It is bound to networks. Behind a proxy, the option trusted_proxies must name the proxy.");
}

static bool check_token(const struct auth *auth, struct arena *a, const char *credential, const char *address,
			struct principal *out, struct err *e)
{
	uint8_t hash[TOKEN_HASH_BYTES];
	struct access_token t;
	struct pg_conn *c = NULL;
	bool ok;

	token_hash(&auth->token_key, credential, hash);
	ok = pg_acquire(auth->pool, &c, e) && token_find(c, a, hash, &t, e);
	pg_release(c);
	if (!ok)
		return e->kind == ERR_NOT_FOUND ? refuse(e, "The access token is unknown, revoked or expired") : false;
	if (!check_network(&t, address, e))
		return false;
	*out = (struct principal){
		.kind = PRINCIPAL_TOKEN,
		.name = arena_printf(a, "token %s", t.name),
		.id = t.id,
		.scopes = t.scopes,
		.project = t.project_ref,
		.slugs = t.slugs,
		.networks = t.networks,
		.expires_at_ms = t.expires_at,
	};
	return out->name != NULL ? true : err_no_memory(e);
}

static bool check_jwt(const struct auth *auth, struct arena *a, const char *credential, bool users,
		      struct principal *out, struct err *e)
{
	struct jwt_claims claims = {.role = "service_role"};
	int64_t now = time(NULL);
	bool known = proved_find(auth->proved, credential, now, &claims.expires_at);
	bool remember = false;

	if (!known && jwt_verify(auth->verifier, a, credential, now, &claims, e)) {
		remember = true;
	} else if (!known) {
		/* What the keys of the URL prove is not remembered, since these keys may go. */
		if (auth->keyset == NULL || !text_eq(e->code, "token_signature") ||
		    !keyset_verify(auth->keyset, a, credential, now, &claims, e))
			return false;
		*e = (struct err)ERR_INIT;
	}
	if (!text_eq(claims.role, "service_role") && users && auth->oauth != NULL)
		return oauth_check(auth->oauth, a, &claims, out, e);
	if (!text_eq(claims.role, "service_role")) {
		(void)err_set(e, ERR_FORBIDDEN, "insufficient_role", "This key's role may not manage functions");
		return err_hint(e, "The service_role key or an access token is needed.");
	}
	if (remember)
		proved_add(auth->proved, credential, claims.expires_at);
	*out = (struct principal){
		.kind = PRINCIPAL_SERVICE_ROLE,
		.name = "service_role",
		.id = "",
		.scopes = SCOPE_ALL,
		.expires_at_ms = claims.expires_at * 1000,
	};
	return true;
}

/* The credential of "Bearer X" (RFC 6750, 2.1), or NULL for another scheme. */
static const char *bearer(const char *authorization)
{
	if (strncasecmp(authorization, "Bearer ", 7) != 0)
		return NULL;
	return authorization + 7 + strspn(authorization + 7, " ");
}

bool auth_is_token(const char *authorization, const char *apikey)
{
	const char *credential = authorization != NULL && authorization[0] != '\0' ? bearer(authorization) : apikey;

	return credential != NULL && apikey_classify(credential) == APIKEY_ACCESS_TOKEN;
}

bool auth_check(const struct auth *auth, struct arena *a, const char *authorization, const char *apikey,
		const char *address, bool users, struct principal *out, struct err *e)
{
	const char *credential = apikey;
	bool as_bearer = false;

	if (authorization != NULL && authorization[0] != '\0') {
		as_bearer = true;
		credential = bearer(authorization);
		if (credential == NULL)
			return refuse(e, "The Authorization header is not \"Bearer ...\"");
	}
	if (credential == NULL || credential[0] == '\0')
		return refuse(e, "No credential was sent");
	switch (apikey_classify(credential)) {
	case APIKEY_ACCESS_TOKEN:
		return check_token(auth, a, credential, address, out, e);
	case APIKEY_JWT:
		/* Never from a query or another header (RFC 6750, 2.3). */
		return check_jwt(auth, a, credential, users && as_bearer, out, e);
	case APIKEY_SECRET:
		if (auth->secret_key == NULL || !text_secret_eq(auth->secret_key, credential))
			return refuse(e, "The secret key is not this project's");
		*out = (struct principal){
			.kind = PRINCIPAL_SECRET_KEY, .name = "secret key", .id = "", .scopes = SCOPE_ALL};
		return true;
	case APIKEY_PUBLISHABLE:
		(void)err_set(e, ERR_FORBIDDEN, "insufficient_role", "A publishable key may not manage functions");
		return err_hint(e, "The secret key, the service_role key or an access token is needed.");
	case APIKEY_OTHER:
		if (auth->project_ref == NULL || !text_secret_eq(auth->events_token, credential))
			break;
		*out = (struct principal){.kind = PRINCIPAL_RUNTIME,
					  .name = "runtime",
					  .id = "",
					  .scopes = SCOPE_EVENTS_WRITE,
					  .project = auth->project_ref};
		return true;
	}
	return refuse(e, "The credential is none that this service knows");
}
