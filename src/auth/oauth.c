#include "auth/oauth.h"

#include "auth/scope.h"
#include "core/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WELL_KNOWN "/.well-known/oauth-protected-resource"

/* "functions:read, functions:write" */
static bool read_scopes(const char *list, unsigned *out, struct err *e)
{
	while (*list != '\0') {
		size_t len = strcspn(list, ", ");
		char name[32];
		enum scope scope;

		(void)snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name), list);
		scope = scope_parse(name);
		/* That one is the runtime's alone. */
		if (scope == SCOPE_NONE || scope == SCOPE_EVENTS_WRITE) {
			(void)err_set(e, ERR_CONFIG, NULL, "Option oauth_scopes: there is no scope \"%.*s\" for users",
				      (int)(len < 60 ? len : 60), list);
			return err_hint(e, "Write it as in functions:read, functions:write.");
		}
		*out |= scope;
		list += len + strspn(list + len, ", ");
	}
	return true;
}

/* The URL of the endpoint, and that of its metadata: the well-known name stands between host and path (RFC 9728, 3.1).
 */
static bool make_urls(struct oauth *o, const struct config *cfg)
{
	const char *url = cfg->public_url;
	const char *base = cfg->base_path != NULL ? cfg->base_path : "";
	size_t host = (size_t)(strstr(url, "://") - url) + 3;

	host += strcspn(url + host, "/");
	if (asprintf(&o->resource, "%s%s/mcp", url, base) < 0)
		o->resource = NULL;
	if (asprintf(&o->metadata, "%.*s" WELL_KNOWN "%s%s/mcp", (int)host, url, url + host, base) < 0)
		o->metadata = NULL;
	return o->resource != NULL && o->metadata != NULL;
}

bool oauth_new(struct oauth **out, const struct config *cfg, struct err *e)
{
	struct oauth *o;

	*out = NULL;
	/* Without a project nothing is served. */
	if (cfg->oauth_issuer == NULL || cfg->project_ref == NULL)
		return true;
	if (cfg->public_url == NULL) {
		(void)err_set(e, ERR_CONFIG, NULL, "Option oauth_issuer is set, and public_url is not");
		return err_hint(e, "Tokens are for the MCP endpoint's own address, which begins with public_url.");
	}
	o = calloc(1, sizeof *o);
	if (o == NULL || !make_urls(o, cfg) || (o->issuer = strdup(cfg->oauth_issuer)) == NULL ||
	    (o->audience = strdup(cfg->oauth_audience != NULL ? cfg->oauth_audience : o->resource)) == NULL ||
	    (o->users = strdup(cfg->oauth_users != NULL ? cfg->oauth_users : "")) == NULL ||
	    (o->project = strdup(cfg->project_ref)) == NULL) {
		oauth_free(o);
		return err_no_memory(e);
	}
	if (!read_scopes(cfg->oauth_scopes != NULL ? cfg->oauth_scopes : "", &o->scopes, e)) {
		oauth_free(o);
		return false;
	}
	*out = o;
	return true;
}

void oauth_free(struct oauth *o)
{
	if (o == NULL)
		return;
	free(o->issuer);
	free(o->resource);
	free(o->metadata);
	free(o->audience);
	free(o->users);
	free(o->project);
	free(o);
}

static bool is_for(const struct jwt_claims *claims, const char *audience)
{
	for (const char *const *each = claims->audience; *each != NULL; each++)
		if (text_eq(*each, audience))
			return true;
	return false;
}

static bool is_listed(const char *list, const char *subject)
{
	size_t wanted = strlen(subject);

	while (*list != '\0') {
		size_t len = strcspn(list, ", ");

		if (len == wanted && memcmp(list, subject, len) == 0)
			return true;
		list += len + strspn(list + len, ", ");
	}
	return false;
}

bool oauth_check(const struct oauth *o, struct arena *a, const struct jwt_claims *claims, struct principal *out,
		 struct err *e)
{
	if (!text_eq(claims->issuer, o->issuer))
		return err_set(e, ERR_UNAUTHORIZED, "token_issuer", "The token is not of the configured issuer");
	if (!is_for(claims, o->audience)) {
		(void)err_set(e, ERR_UNAUTHORIZED, "token_audience", "The token is not for this endpoint");
		return err_hint(e, "Its aud must have the endpoint's URL, or what the option oauth_audience says.");
	}
	/* The session of a user in an app of the project: nobody has consented to its use here. */
	if (claims->client[0] == '\0')
		return err_set(e, ERR_UNAUTHORIZED, "token_client", "The token was not given to an OAuth client");
	if (claims->expires_at == 0)
		return err_set(e, ERR_UNAUTHORIZED, "token_endless", "The token has no end");
	if (claims->subject[0] == '\0' || !is_listed(o->users, claims->subject)) {
		(void)err_set(e, ERR_FORBIDDEN, "user_not_listed", "This user may not manage functions");
		return err_hint(e, "The option oauth_users lists who may.");
	}
	*out = (struct principal){
		.kind = PRINCIPAL_USER,
		.name = arena_printf(a, "user %s", claims->subject),
		.id = "",
		.scopes = o->scopes,
		.project = o->project,
		.expires_at_ms = claims->expires_at * 1000,
	};
	return out->name != NULL ? true : err_no_memory(e);
}
