/* What hands have put into the functions folder: importing it, and changes to what is deployed. */
#include "api/etag.h"
#include "api/handlers.h"
#include "api/intake.h"
#include "api/view.h"
#include "auth/scope.h"
#include "core/json.h"
#include "core/names.h"
#include "core/text.h"
#include "service/adopt.h"
#include "service/deploy.h"
#include "service/drift.h"

static bool may_touch(void *ctx, const char *slug)
{
	return principal_may_slug(ctx, slug);
}

/* Importing */

static json_t *view_left_out(const struct adopt_item *item)
{
	json_t *array = json_array();

	for (size_t i = 0; i < item->left_out_count; i++)
		if (json_array_append_new(array, json_pack("{s:s, s:s}", "path", item->left_out[i].path, "reason",
							   item->left_out[i].reason)) != 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

static json_t *view_adopted(const struct adopt_item *item)
{
	static const char *const outcomes[] = {"planned", "imported", "skipped", "refused"};
	bool taken = item->outcome == ADOPT_PLANNED || item->outcome == ADOPT_IMPORTED;
	json_t *o = json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s*}", "name", item->name, "outcome",
			      outcomes[item->outcome], "reason", item->reason, "hint", item->hint, "entrypoint_path",
			      item->entrypoint, "import_map_path", item->import_map, "kept_at", item->kept_at);

	if (o != NULL && taken)
		(void)json_object_update_new(o, json_pack("{s:I, s:I, s:b}", "files", (json_int_t)item->file_count,
							  "bytes", (json_int_t)item->bytes, "verify_jwt",
							  item->verify_jwt));
	if (o != NULL && item->version != 0)
		(void)json_object_set_new(o, "version", json_integer(item->version));
	if (o != NULL && item->left_out_count > 0 && json_object_set_new(o, "left_out", view_left_out(item)) != 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

bool functions_import(struct call *c, struct err *e)
{
	struct adopt_request req = {
		.project_ref = c->project.ref, .verify_jwt = true, .may_touch = may_touch, .ctx = &c->who};
	struct adopt_report report;
	bool present = false;
	json_t *array;
	json_t *doc;

	if (!intake_object(c, &doc, e) || !json_get_bool(doc, "dry_run", JSON_OPTIONAL, &present, &req.dry_run, e) ||
	    !json_get_bool(doc, "verify_jwt", JSON_OPTIONAL, &present, &req.verify_jwt, e) ||
	    !json_get_string(doc, "name", JSON_OPTIONAL, &req.only, e) ||
	    !json_get_string(doc, "message", JSON_OPTIONAL, &req.message, e) || !intake_message(c, &req.message, e))
		return false;
	if (req.only != NULL && (!names_check_slug(req.only, e) || !api_bind_slug(c, req.only, e)))
		return false;
	if (!adopt_run(c->service, c->arena, &c->actor, &req, &report, e))
		return false;
	array = json_array();
	for (size_t i = 0; i < report.count; i++)
		if (json_array_append_new(array, view_adopted(&report.items[i])) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	return response_json(c->resp, 200,
			     json_pack("{s:b, s:I, s:I, s:o}", "dry_run", req.dry_run, "imported",
				       (json_int_t)report.imported, "refused", (json_int_t)report.refused, "items",
				       array),
			     e);
}

/* Drift */

static json_t *view_drift(const struct drift_item *item)
{
	json_t *files = json_array();

	for (size_t i = 0; i < item->files.count; i++)
		if (json_array_append_new(files, view_difference(&item->files.items[i])) != 0) {
			json_decref(files);
			return NULL;
		}
	return json_pack("{s:s, s:i, s:b, s:o}", "slug", item->slug, "version", item->version, "stub_changed",
			 item->stub, "files", files);
}

bool drift_list_all(struct call *c, struct err *e)
{
	const char *slug = request_query(c->req, "slug");
	struct drift_list list;
	json_t *array;

	if (slug != NULL && !api_bind_slug(c, slug, e))
		return false;
	if (!drift_find(c->service, c->arena, slug, true, &list, e))
		return false;
	array = json_array();
	for (size_t i = 0; i < list.count; i++)
		if (!list.items[i].missing && principal_may_slug(&c->who, list.items[i].slug) &&
		    json_array_append_new(array, view_drift(&list.items[i])) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	return response_json(c->resp, 200, json_pack("{s:o}", "drift", array), e);
}

bool drift_take(struct call *c, struct err *e)
{
	struct deploy_result result;
	const char *message = NULL;
	json_t *doc;

	if (!intake_object(c, &doc, e) || !json_get_string(doc, "message", JSON_OPTIONAL, &message, e) ||
	    !intake_message(c, &message, e) ||
	    !drift_accept(c->service, c->arena, &c->actor, c->slug, message, &result, e))
		return false;
	etag_set(c, &result.function);
	return response_json(c->resp, 200, view_function(c->arena, &result.function), e);
}

bool drift_put_back(struct call *c, struct err *e)
{
	int version;

	return drift_revert(c->service, c->arena, &c->actor, c->slug, &version, e) &&
	       response_json(c->resp, 200, json_pack("{s:s, s:i}", "slug", c->slug, "version", version), e);
}
