#include "api/handlers.h"
#include "api/intake.h"
#include "api/view.h"
#include "auth/scope.h"
#include "core/text.h"
#include "service/audit.h"
#include "service/function.h"
#include "service/project.h"

#include <string.h>

/* 'database' as clients show it; nobody connects to it through this API. */
static void fill_details(struct call *c, struct view_project_details *d)
{
	const struct config *cfg = c->api->cfg;

	*d = (struct view_project_details){
		.organization = cfg->organization,
		.region = cfg->region,
		.database_host = cfg->postgres_host != NULL ? cfg->postgres_host : "localhost",
		.server_version = function_server_version(c->service),
	};
}

bool projects_list(struct call *c, struct err *e)
{
	struct view_project_details details;
	struct project *projects;
	json_t *array;
	size_t count;

	if (!function_projects(c->service, c->arena, c->who.project, &projects, &count, e))
		return false;
	fill_details(c, &details);
	array = json_array();
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(array, view_project(c->arena, &projects[i], &details)) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	return response_json(c->resp, 200, array, e);
}

bool projects_get(struct call *c, struct err *e)
{
	struct view_project_details details;

	fill_details(c, &details);
	return response_json(c->resp, 200, view_project(c->arena, &c->project, &details), e);
}

/* The first 8 characters show which key it is; the rest stays hidden. */
static const char *masked(struct arena *a, const char *key)
{
	return strlen(key) > 16 ? arena_printf(a, "%.8s...", key) : "...";
}

static bool add_key(struct call *c, json_t *array, const char *name, const char *type, const char *key, bool reveal)
{
	const char *id = arena_printf(c->arena, "%s-%s", type, name);

	if (key == NULL || key[0] == '\0')
		return true;
	return json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:s}", "id", id, "name", name, "type", type,
						      "api_key", reveal ? key : masked(c->arena, key))) == 0;
}

/* The keys open everything from everywhere: whoever is bound to functions or networks must not get them. */
static bool may_reveal(const struct principal *who)
{
	return principal_has(who, SCOPE_PROJECTS_ADMIN) && who->slugs == NULL && who->networks == NULL;
}

bool projects_api_keys(struct call *c, struct err *e)
{
	const struct config *cfg = c->service->cfg;
	const char *asked = request_query(c->req, "reveal");
	/* A caller who may not see the keys still gets the list: `supabase link` needs it. */
	bool reveal = asked != NULL && text_eq(asked, "true") && may_reveal(&c->who);
	const struct audit_entry entry = {
		.project_ref = c->project.ref, .action = "keys.reveal", .target = "api-keys", .outcome = "done"};
	json_t *array;

	/* Recorded before they are shown, or they are not shown. */
	if (reveal && !audit_record(c->service, c->arena, &c->actor, &entry, e))
		return false;
	array = json_array();

	/* Of a project that another process deploys to, the keys are not known here. */
	if (cfg->project_ref != NULL && text_eq(c->project.ref, cfg->project_ref) &&
	    (!add_key(c, array, "anon", "legacy", cfg->anon_key, reveal) ||
	     !add_key(c, array, "service_role", "legacy", cfg->service_role_key, reveal) ||
	     !add_key(c, array, "default", "publishable", cfg->publishable_key, reveal) ||
	     !add_key(c, array, "default", "secret", cfg->secret_key, reveal))) {
		json_decref(array);
		return err_no_memory(e);
	}
	return response_json(c->resp, 200, array, e);
}

bool projects_settings(struct call *c, struct err *e)
{
	return response_json(c->resp, 200, json_loads(c->project.settings, 0, NULL), e);
}

/* A merge patch (RFC 7396): what is null goes, what is not named stays. */
bool projects_set_settings(struct call *c, struct err *e)
{
	json_t *settings;
	json_t *patch;

	if (!intake_json(c, &patch, e))
		return false;
	if (!json_is_object(patch))
		return err_set(e, ERR_INVALID, NULL, "The body must be a JSON object");
	return project_set_settings(c->service, c->arena, &c->actor, c->project.ref, patch, &settings, e) &&
	       response_json(c->resp, 200, settings, e);
}
