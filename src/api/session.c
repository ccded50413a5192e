#include "api/handlers.h"
#include "api/view.h"
#include "auth/scope.h"

/* The patterns of the principal's functions; NULL where it may touch all, or memory is out. */
static json_t *slug_list(const struct principal *who)
{
	json_t *slugs = who->slugs != NULL ? json_array() : NULL;

	for (size_t i = 0; slugs != NULL && who->slugs[i] != NULL; i++)
		(void)json_array_append_new(slugs, json_string(who->slugs[i]));
	return slugs;
}

static json_t *route_list(void)
{
	json_t *routes = json_array();

	for (const struct route *r = api_routes; r->method != NULL; r++) {
		const char *scope = r->scope != SCOPE_NONE ? scope_name((enum scope)r->scope) : NULL;
		json_t *row = json_pack("{s:s, s:s, s:s*}", "method", r->method, "path", r->path, "scope", scope);

		if (json_array_append_new(routes, row) != 0) {
			json_decref(routes);
			return NULL;
		}
	}
	return routes;
}

/*
 * What a client needs before it shows anything: who it is, what it may do, and which calls this server has. The routes
 * come from the router's own table, so that a client can never be told of one that is not there.
 */
bool session_get(struct call *c, struct err *e)
{
	const struct principal *who = &c->who;
	json_t *scopes = view_scopes(who->scopes);
	json_t *routes = route_list();

	return response_json(
		c->resp, 200,
		json_pack("{s:b, s:s, s:o, s:s*, s:o*, s:s*, s:o}", "authenticated", true, "name", who->name, "scopes",
			  scopes, "project", who->project, "slugs", slug_list(who), "expires_at",
			  who->expires_at_ms != 0 ? view_time(c->arena, who->expires_at_ms) : NULL, "routes", routes),
		e);
}
