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

	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:b, s:b, s:s, s:s*, s:s*}", "id", f->id, "slug", f->slug,
			 "name", f->name, "status", f->status, "version", v->number, "created_at",
			 (json_int_t)f->created_at, "updated_at", (json_int_t)f->updated_at, "verify_jwt",
			 v->verify_jwt, "import_map", v->import_map != NULL, "entrypoint_path",
			 path_url(a, f, v->entrypoint), "import_map_path", path_url(a, f, v->import_map), "ezbr_sha256",
			 v->ezbr_sha256);
}

json_t *view_activity(struct arena *a, const struct function_activity *f)
{
	json_t *error = f->error_at == 0 ? NULL
					 : json_pack("{s:s, s:s, s:s*}", "at", view_time(a, f->error_at), "source",
						     f->error_source, "message", f->error_message);

	return json_pack("{s:s*, s:o*, s:o*}", "updated_by", f->updated_by, "traffic",
			 f->traffic != NULL ? json_loads(f->traffic, 0, NULL) : NULL, "last_error", error);
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

static json_t *time_or_null(struct arena *a, int64_t ms)
{
	return ms != 0 ? json_string(view_time(a, ms)) : NULL;
}

static json_t *strings(const char *const *list)
{
	json_t *array = json_array();

	for (; list != NULL && *list != NULL; list++)
		if (json_array_append_new(array, json_string(*list)) != 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

json_t *view_version(struct arena *a, const struct version *v, int active_version)
{
	char digest[65];

	text_hex(v->digest, sizeof v->digest, digest);
	return json_pack(
		"{s:i, s:b, s:s, s:s, s:s, s:s*, s:o, s:b, s:o, s:s, s:I, s:i, s:s*, s:s*, s:s, s:o*, s:s*, s:s, s:s}",
		"version", v->number, "active", v->number == active_version, "kind",
		v->kind == KIND_ESZIP ? "eszip" : "source", "name", v->name, "entrypoint_path", v->entrypoint,
		"import_map_path", v->import_map, "static_patterns", strings(v->static_patterns), "verify_jwt",
		v->verify_jwt, "settings", json_loads(v->settings, 0, NULL), "digest", digest, "size",
		(json_int_t)v->size, "file_count", v->file_count, "ezbr_sha256", v->ezbr_sha256, "message", v->message,
		"source", v->source, "source_version", v->source_version != 0 ? json_integer(v->source_version) : NULL,
		"source_project", v->source_project, "created_by", v->created_by, "created_at",
		view_time(a, v->created_at));
}

json_t *view_files(const struct file_list *files)
{
	json_t *array = json_array();

	for (size_t i = 0; i < files->count; i++) {
		char sum[65];

		text_hex(files->items[i].sha256, sizeof files->items[i].sha256, sum);
		if (json_array_append_new(array, json_pack("{s:s, s:I, s:s}", "path", files->items[i].path, "size",
							   (json_int_t)files->items[i].size, "sha256", sum)) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

json_t *view_difference(const struct difference *d)
{
	static const char *const kinds[] = {"added", "removed", "modified"};

	return json_pack("{s:s, s:s, s:b, s:b, s:s*}", "path", d->path, "change", kinds[d->kind], "binary", d->binary,
			 "too_large", d->too_large, "diff", d->diff);
}

static bool add_change(json_t *o, const char *name, json_t *from, json_t *to)
{
	bool same = from != NULL && to != NULL && json_equal(from, to);
	json_t *pair =
		same ? NULL : json_pack("[o, o]", from != NULL ? from : json_null(), to != NULL ? to : json_null());

	if (same) {
		json_decref(from);
		json_decref(to);
		return true;
	}
	return json_object_set_new(o, name, pair) == 0;
}

json_t *view_changed_settings(const struct version *from, const struct version *to)
{
	json_t *o = json_object();

	if (!add_change(o, "entrypoint_path", json_string(from->entrypoint), json_string(to->entrypoint)) ||
	    !add_change(o, "import_map_path", from->import_map != NULL ? json_string(from->import_map) : json_null(),
			to->import_map != NULL ? json_string(to->import_map) : json_null()) ||
	    !add_change(o, "verify_jwt", json_boolean(from->verify_jwt), json_boolean(to->verify_jwt)) ||
	    !add_change(o, "static_patterns", strings(from->static_patterns), strings(to->static_patterns)) ||
	    !add_change(o, "settings", json_loads(from->settings, 0, NULL), json_loads(to->settings, 0, NULL))) {
		json_decref(o);
		return NULL;
	}
	return o;
}

json_t *view_deployment(struct arena *a, const struct deployment *d)
{
	json_t *error = d->error_message == NULL
				? NULL
				: json_pack("{s:s*, s:s}", "code", d->error_code, "message", d->error_message);

	return json_pack(
		"{s:s, s:s, s:s, s:i, s:o*, s:s, s:s*, s:o*, s:s*, s:o*, s:s, s:s, s:s, s:o*, s:o*, s:o*, s:o*, s:o*}",
		"id", d->id, "function_id", d->function_id, "slug", d->slug, "version", d->version, "release",
		d->release_number != 0 ? json_integer(d->release_number) : NULL, "status", d->status, "error_message",
		d->error_message, "error", error, "boot_check", d->boot_check, "boot_ms",
		d->boot_check != NULL ? json_integer(d->boot_ms) : NULL, "created_by", d->created_by, "request_id",
		d->request_id, "created_at", view_time(a, d->created_at), "staged_at", time_or_null(a, d->staged_at),
		"booted_at", time_or_null(a, d->booted_at), "active_at", time_or_null(a, d->active_at), "verified_at",
		time_or_null(a, d->verified_at), "finished_at", time_or_null(a, d->finished_at));
}

json_t *view_rollout_nodes(struct arena *a, const struct rollout_node_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++) {
		const struct rollout_node *n = &list->items[i];
		json_t *error = n->error_code == NULL
					? NULL
					: json_pack("{s:s, s:s*}", "code", n->error_code, "message", n->error_message);

		if (json_array_append_new(array, json_pack("{s:s, s:o*, s:o*, s:b, s:o*}", "name", n->name, "staged_at",
							   time_or_null(a, n->staged_at), "active_at",
							   time_or_null(a, n->active_at), "verified", n->verified,
							   "error", error)) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

json_t *view_node(struct arena *a, const struct node *n)
{
	json_t *error =
		n->error_code == NULL
			? NULL
			: json_pack("{s:s, s:s*, s:I, s:o*}", "code", n->error_code, "message", n->error_message,
				    "generation", (json_int_t)n->failed_generation, "at", time_or_null(a, n->error_at));

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:I, s:b, s:I, s:I, s:I, s:s, s:s, s:s, s:o*}", "id",
			 n->id, "project", n->project_ref, "name", n->name, "kind", n->kind, "program", n->program,
			 "alive", n->alive, "draining", n->draining, "generation", (json_int_t)n->generation,
			 "verified", n->verified, "behind", (json_int_t)n->behind, "behind_ms",
			 (json_int_t)n->behind_ms, "secrets_revision", (json_int_t)n->secrets_revision, "shown_at",
			 view_time(a, n->shown_at), "started_at", view_time(a, n->started_at), "seen_at",
			 view_time(a, n->seen_at), "error", error);
}

static json_t *version_or_null(int version)
{
	return version != 0 ? json_integer(version) : json_null();
}

json_t *view_release(struct arena *a, const struct release *r)
{
	json_t *items = json_array();

	for (size_t i = 0; i < r->item_count; i++) {
		const struct release_item *item = &r->items[i];

		if (json_array_append_new(
			    items,
			    json_pack("{s:s, s:s, s:o, s:o, s:o*, s:o*}", "slug", item->slug, "function_id",
				      item->function_id, "version_before", version_or_null(item->version_before),
				      "version_after", version_or_null(item->version_after), "traffic_before",
				      item->traffic_before != NULL ? json_loads(item->traffic_before, 0, NULL) : NULL,
				      "traffic_after",
				      item->traffic_after != NULL ? json_loads(item->traffic_after, 0, NULL) : NULL)) !=
		    0) {
			json_decref(items);
			return NULL;
		}
	}
	return json_pack("{s:I, s:I, s:s, s:s*, s:s, s:s, s:s, s:o}", "id", (json_int_t)r->number, "generation",
			 (json_int_t)r->generation, "source", r->source, "message", r->message, "created_by",
			 r->created_by, "request_id", r->request_id, "created_at", view_time(a, r->created_at),
			 "functions", items);
}

json_t *view_scopes(unsigned scopes)
{
	json_t *names = json_array();

	for (unsigned bit = 1; scope_name((enum scope)bit) != NULL; bit <<= 1)
		if (scopes & bit && json_array_append_new(names, json_string(scope_name((enum scope)bit))) != 0) {
			json_decref(names);
			return NULL;
		}
	return names;
}

json_t *view_token(struct arena *a, const struct access_token *t)
{
	return json_pack("{s:s, s:s, s:o, s:s*, s:o*, s:o*, s:s, s:s, s:s*, s:s*, s:s*}", "id", t->id, "name", t->name,
			 "scopes", view_scopes(t->scopes), "project", t->project_ref, "slugs",
			 t->slugs != NULL ? strings(t->slugs) : NULL, "networks",
			 t->networks != NULL ? strings(t->networks) : NULL, "created_by", t->created_by, "created_at",
			 view_time(a, t->created_at), "expires_at",
			 t->expires_at != 0 ? view_time(a, t->expires_at) : NULL, "revoked_at",
			 t->revoked_at != 0 ? view_time(a, t->revoked_at) : NULL, "last_used_at",
			 t->last_used_at != 0 ? view_time(a, t->last_used_at) : NULL);
}

json_t *view_audit(struct arena *a, const struct audit_row *row)
{
	return json_pack("{s:I, s:s, s:s, s:s*, s:s, s:s, s:s, s:s, s:s, s:s*, s:s*}", "id", (json_int_t)row->seq, "at",
			 view_time(a, row->at), "actor", row->actor, "token_id", row->token_id, "address", row->address,
			 "request_id", row->request_id, "action", row->action, "target", row->target, "outcome",
			 row->outcome, "before", row->before, "after", row->after);
}
