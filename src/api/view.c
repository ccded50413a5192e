#include "api/view.h"

#include "auth/scope.h"
#include "core/text.h"

const char *view_time(struct arena *a, int64_t ms)
{
	char *text = arena_alloc(a, 25);

	if (text != NULL)
		text_iso8601(ms, text);
	return text;
}

/*
 * Cloud's form, which the MCP server takes apart: it strips "file:///tmp/user_fn_{ref}_{id}_{version}/". An eszip's
 * specifier is an URL already.
 */
static const char *path_url(struct arena *a, const struct function *f, const char *path)
{
	const char *encoded;

	if (path == NULL || f->version.kind == KIND_ESZIP)
		return path;
	encoded = text_url_encode_path(a, path);
	return encoded == NULL ? NULL
			       : arena_printf(a, "file:///tmp/user_fn_%s_%s_%d/source/%s", f->project_ref, f->id,
					      f->version.number, encoded);
}

json_t *view_function(struct arena *a, const struct function *f)
{
	const struct version *v = &f->version;

	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:b, s:b, s:s*, s:s*, s:s*}", "id", f->id, "slug",
			 f->slug, "name", f->name, "status", f->status, "version", v->number, "created_at",
			 (json_int_t)f->created_at, "updated_at", (json_int_t)f->updated_at, "verify_jwt",
			 v->verify_jwt, "import_map", v->import_map != NULL, "entrypoint_path",
			 path_url(a, f, v->entrypoint), "import_map_path", path_url(a, f, v->import_map), "ezbr_sha256",
			 v->ezbr_sha256);
}

json_t *view_flat_function(struct arena *a, const struct function *f, json_t *files)
{
	const struct version *v = &f->version;

	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:b, s:b, s:s, s:s*, s:o*}", "id", f->id, "slug", f->slug,
			 "name", f->name, "status", f->status, "version", v->number, "created_at",
			 view_time(a, f->created_at), "updated_at", view_time(a, f->updated_at), "verify_jwt",
			 v->verify_jwt, "import_map", v->import_map != NULL, "entrypoint_path", v->entrypoint,
			 "import_map_path", v->import_map, "files", files);
}

json_t *view_project(struct arena *a, const struct project *p, const struct view_project_details *details)
{
	int major = details->server_version / 10000;
	const char *version = arena_printf(a, "%d.%d", major, details->server_version % 10000);
	const char *engine = arena_printf(a, "%d", major);

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s}}", "id", p->ref, "ref",
			 p->ref, "name", p->name, "organization_id", details->organization, "organization_slug",
			 details->organization, "region", details->region, "created_at", view_time(a, p->created_at),
			 "status", "ACTIVE_HEALTHY", "database", "host", details->database_host, "version", version,
			 "postgres_engine", engine, "release_channel", "ga");
}

static json_t *scope_names(unsigned scopes)
{
	json_t *names = json_array();

	for (unsigned bit = 1; bit <= SCOPE_ALL; bit <<= 1)
		if (scopes & bit && json_array_append_new(names, json_string(scope_name((enum scope)bit))) != 0) {
			json_decref(names);
			return NULL;
		}
	return names;
}

json_t *view_token(struct arena *a, const struct access_token *t)
{
	json_t *slugs = t->slugs != NULL ? json_array() : NULL;

	for (size_t i = 0; t->slugs != NULL && t->slugs[i] != NULL; i++)
		if (json_array_append_new(slugs, json_string(t->slugs[i])) != 0) {
			json_decref(slugs);
			return NULL;
		}
	return json_pack("{s:s, s:s, s:o, s:s*, s:o*, s:s, s:s, s:s*, s:s*, s:s*}", "id", t->id, "name", t->name,
			 "scopes", scope_names(t->scopes), "project", t->project_ref, "slugs", slugs, "created_by",
			 t->created_by, "created_at", view_time(a, t->created_at), "expires_at",
			 t->expires_at != 0 ? view_time(a, t->expires_at) : NULL, "revoked_at",
			 t->revoked_at != 0 ? view_time(a, t->revoked_at) : NULL, "last_used_at",
			 t->last_used_at != 0 ? view_time(a, t->last_used_at) : NULL);
}
