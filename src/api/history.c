#include "service/history.h"
#include "api/body.h"
#include "api/etag.h"
#include "api/handlers.h"
#include "api/intake.h"
#include "api/page.h"
#include "api/sse.h"
#include "api/view.h"
#include "auth/scope.h"
#include "core/json.h"
#include "core/text.h"
#include "service/change.h"
#include "service/function.h"
#include "service/roster.h"

#include <stdlib.h>
#include <string.h>

/* Appends and takes over `item`; false and `array` dropped where memory is out. */
static bool append(json_t *array, json_t *item, struct err *e)
{
	if (json_array_append_new(array, item) == 0)
		return true;
	json_decref(array);
	return err_no_memory(e);
}

/* Versions */

bool versions_list(struct call *c, struct err *e)
{
	struct version_list list;
	const char *next = NULL;
	struct function f;
	struct page page;
	json_t *array;

	if (!page_read(c, true, &page, e) || !history_versions(c->service, c->arena, c->project.ref, c->slug,
							       (int)page.number, page.limit + 1, &f, &list, e))
		return false;
	array = json_array();
	for (size_t i = 0; i < list.count && i < (size_t)page.limit; i++) {
		next = arena_printf(c->arena, "%d", list.items[i].number);
		if (!append(array, view_version(c->arena, &list.items[i], f.active_version), e))
			return false;
	}
	return page_answer(c, &page, array, list.count > (size_t)page.limit ? next : NULL, e);
}

/* The function with the version that the path names. */
static bool find_version(struct call *c, struct function *f, struct err *e)
{
	return history_version(c->service, c->arena, c->project.ref, c->slug, (int)c->number, f, e);
}

bool versions_get(struct call *c, struct err *e)
{
	struct file_list files;
	struct function f;
	json_t *version;

	if (!find_version(c, &f, e) || !function_files(c->service, c->arena, &f, &files, e))
		return false;
	version = view_version(c->arena, &f.version, f.active_version);
	if (version != NULL && json_object_set_new(version, "files", view_files(&files)) != 0) {
		json_decref(version);
		version = NULL;
	}
	return response_json(c->resp, 200, version, e);
}

bool versions_body(struct call *c, struct err *e)
{
	struct function f;

	return find_version(c, &f, e) && body_send(c, &f, e);
}

static bool query_version(struct call *c, const char *name, int64_t *out, struct err *e)
{
	const char *value = request_query(c->req, name);

	if (value == NULL || !text_int64(value, 1, INT32_MAX, out))
		return err_set(e, ERR_MALFORMED, NULL, "The query parameter %s must be the number of a version", name);
	return true;
}

bool versions_diff(struct call *c, struct err *e)
{
	struct difference_list list;
	struct function from;
	struct function to;
	int64_t numbers[2];
	json_t *array;

	if (!function_get(c->service, c->arena, c->project.ref, c->slug, &from, e) ||
	    !query_version(c, "from", &numbers[0], e) || !query_version(c, "to", &numbers[1], e) ||
	    !history_version(c->service, c->arena, c->project.ref, c->slug, (int)numbers[0], &from, e) ||
	    !history_version(c->service, c->arena, c->project.ref, c->slug, (int)numbers[1], &to, e) ||
	    !history_diff(c->service, c->arena, &from, &to, &list, e))
		return false;
	array = json_array();
	for (size_t i = 0; i < list.count; i++)
		if (!append(array, view_difference(&list.items[i]), e))
			return false;
	return response_json(c->resp, 200,
			     json_pack("{s:I, s:I, s:o, s:o}", "from", (json_int_t)numbers[0], "to",
				       (json_int_t)numbers[1], "settings",
				       view_changed_settings(&from.version, &to.version), "files", array),
			     e);
}

/* Changes */

static bool read_change(struct call *c, const json_t *doc, struct change_request *req, struct err *e)
{
	*req = (struct change_request){.project_ref = c->project.ref, .slug = c->slug};
	return json_get_string(doc, "message", JSON_OPTIONAL, &req->message, e) &&
	       intake_message(c, &req->message, e) && etag_expectation(c, &req->expected, e);
}

static bool answer_changed(struct call *c, const struct function *f, struct err *e)
{
	etag_set(c, f);
	return response_json(c->resp, 200, view_function(c->arena, f), e);
}

typedef bool change_to_version(struct service *s, struct arena *a, const struct actor *who,
			       const struct change_request *req, int version, struct function *out, struct err *e);

static bool to_version(struct call *c, change_to_version *change, struct err *e)
{
	struct change_request req;
	struct function f;
	int64_t version = 0;
	json_t *doc;

	return intake_object(c, &doc, e) && read_change(c, doc, &req, e) &&
	       json_get_int(doc, "version", JSON_OPTIONAL, 1, INT32_MAX, &version, e) &&
	       change(c->service, c->arena, &c->actor, &req, (int)version, &f, e) && answer_changed(c, &f, e);
}

bool functions_rollback(struct call *c, struct err *e)
{
	return to_version(c, change_roll_back, e);
}

bool functions_restore(struct call *c, struct err *e)
{
	return to_version(c, change_restore, e);
}

bool functions_promote(struct call *c, struct err *e)
{
	struct change_request req;
	struct function f;
	struct project to;
	const char *ref = NULL;
	int64_t version = 0;
	json_t *doc;

	if (!intake_object(c, &doc, e) || !read_change(c, doc, &req, e) ||
	    !json_get_string(doc, "to", JSON_REQUIRED, &ref, e) ||
	    !json_get_int(doc, "version", JSON_OPTIONAL, 1, INT32_MAX, &version, e) ||
	    !function_project(c->service, c->arena, ref, &to, e))
		return false;
	if (!principal_may_project(&c->who, to.ref))
		return err_set(e, ERR_NOT_FOUND, "project_not_found", "Project not found");
	return change_promote(service_of(c->service, to.ref), c->arena, &c->actor, &req, (int)version, to.ref, &f, e) &&
	       answer_changed(c, &f, e);
}

/* Traffic */

static bool answer_traffic(struct call *c, const struct function *f, struct err *e)
{
	struct shares shares;
	json_t *array;

	if (!history_traffic(c->service, c->arena, f, &shares, e))
		return false;
	array = json_array();
	for (size_t i = 0; i < shares.count; i++)
		if (!append(array,
			    json_pack("{s:i, s:i}", "version", shares.items[i].version, "percent",
				      shares.items[i].percent),
			    e))
			return false;
	etag_set(c, f);
	return response_json(c->resp, 200,
			     json_pack("{s:o, s:o*}", "traffic", array, "sticky",
				       f->sticky != NULL ? json_loads(f->sticky, 0, NULL) : NULL),
			     e);
}

bool traffic_get(struct call *c, struct err *e)
{
	struct function f;

	return function_get(c->service, c->arena, c->project.ref, c->slug, &f, e) && answer_traffic(c, &f, e);
}

static bool read_shares(const json_t *list, struct shares *out, struct err *e)
{
	*out = (struct shares){0};
	if (!json_is_array(list))
		return err_set(e, ERR_INVALID, "invalid_traffic",
			       "The split must be an array of objects with version and percent");
	if (json_array_size(list) > MAX_SHARES)
		return err_set(e, ERR_INVALID, "invalid_traffic", "Calls are split over 1 to %d versions", MAX_SHARES);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		int64_t version = 0;
		int64_t percent = 0;

		if (!json_is_object(item))
			return err_set(e, ERR_INVALID, "invalid_traffic",
				       "Each share must be an object with version and percent");
		if (!json_get_int(item, "version", JSON_REQUIRED, 1, INT32_MAX, &version, e) ||
		    !json_get_int(item, "percent", JSON_REQUIRED, 0, 100, &percent, e))
			return false;
		out->items[out->count++] = (struct share){(int)version, (int)percent};
	}
	return true;
}

/* {"by": "header" | "cookie" | "address", "name": "..."}, the name for the first two, a token of RFC 9110, 5.6.2. */
static bool read_sticky(struct call *c, const json_t *doc, const char **out, struct err *e)
{
	static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";
	const json_t *sticky = json_object_get(doc, "sticky");
	const char *name = NULL;
	const char *by = NULL;

	if (sticky == NULL || json_is_null(sticky))
		return true;
	if (!json_is_object(sticky))
		return err_set(e, ERR_INVALID, "invalid_sticky", "sticky must be an object with by and name");
	if (!json_get_string(sticky, "by", JSON_REQUIRED, &by, e) ||
	    !json_get_string(sticky, "name", JSON_OPTIONAL, &name, e))
		return false;
	if (!text_eq(by, "header") && !text_eq(by, "cookie") && !text_eq(by, "address"))
		return err_set(e, ERR_INVALID, "invalid_sticky", "sticky.by must be header, cookie or address");
	if (!text_eq(by, "address") &&
	    (name == NULL || name[0] == '\0' || strlen(name) > 64 || name[strspn(name, token)] != '\0'))
		return err_set(e, ERR_INVALID, "invalid_sticky", "sticky.name must be the name of a %s", by);
	*out = text_eq(by, "address") ? "{\"by\": \"address\"}"
				      : arena_printf(c->arena, "{\"by\": \"%s\", \"name\": \"%s\"}", by, name);
	return *out != NULL ? true : err_no_memory(e);
}

bool traffic_put(struct call *c, struct err *e)
{
	struct change_request req = {.project_ref = c->project.ref, .slug = c->slug};
	const char *sticky = NULL;
	struct shares shares;
	struct function f;
	json_t *doc;

	/* The bare array of API.md, or {"traffic": [...], "sticky": {...}, "message": "..."}. */
	if (!intake_json(c, &doc, e))
		return false;
	if (json_is_object(doc) && (!read_change(c, doc, &req, e) || !read_sticky(c, doc, &sticky, e)))
		return false;
	if (json_is_array(doc) && (!intake_message(c, &req.message, e) || !etag_expectation(c, &req.expected, e)))
		return false;
	if (!read_shares(json_is_object(doc) ? json_object_get(doc, "traffic") : doc, &shares, e) ||
	    !change_traffic(c->service, c->arena, &c->actor, &req, &shares, sticky, &f, e))
		return false;
	if (sticky != NULL)
		f.sticky = sticky;
	return answer_traffic(c, &f, e);
}

/* Deployments */

static json_t *view_deployments(struct call *c, const struct deployment_list *list, const struct page *page)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count && i < (size_t)page->limit; i++)
		if (principal_may_slug(&c->who, list->items[i].slug) &&
		    json_array_append_new(array, view_deployment(c->arena, &list->items[i])) != 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

struct newest {
	const char *slug;
	struct page page;
};

static bool look_newest(struct call *c, void *ctx, json_t **doc, json_t **seen, struct err *e)
{
	const struct newest *n = ctx;
	struct deployment_list list;

	(void)seen;
	if (!history_deployments(c->service, c->arena, c->project.ref, n->slug, NULL, n->page.limit, &list, e))
		return false;
	*doc = json_pack("{s:o}", "data", view_deployments(c, &list, &n->page));
	return *doc != NULL || err_no_memory(e);
}

static bool list_deployments(struct call *c, const char *slug, struct err *e)
{
	struct deployment_list list;
	const char *next = NULL;
	struct page page;
	json_t *array;

	if (sse_wanted(c)) {
		struct newest newest = {.slug = slug};

		return page_read(c, false, &newest.page, e) && sse_follow(c, "deployments", look_newest, &newest, e);
	}
	if (!page_read(c, false, &page, e) ||
	    !history_deployments(c->service, c->arena, c->project.ref, slug, page.cursor, page.limit + 1, &list, e))
		return false;
	array = view_deployments(c, &list, &page);
	if (array == NULL)
		return err_no_memory(e);
	if (list.count > (size_t)page.limit)
		next = list.items[page.limit - 1].id;
	return page_answer(c, &page, array, next, e);
}

bool deployments_of_project(struct call *c, struct err *e)
{
	return list_deployments(c, NULL, e);
}

bool deployments_of_function(struct call *c, struct err *e)
{
	struct deployment_list any;
	struct function f;

	/* One whose every deployment failed has never served, and is just what somebody looks for here. */
	if (!history_deployments(c->service, c->arena, c->project.ref, c->slug, NULL, 1, &any, e) ||
	    (any.count == 0 && !function_get(c->service, c->arena, c->project.ref, c->slug, &f, e)))
		return false;
	return list_deployments(c, c->slug, e);
}

bool deployments_get(struct call *c, struct err *e)
{
	struct rollout_node_list nodes;
	struct deployment d;
	json_t *json;

	if (!history_deployment(c->service, c->arena, c->project.ref, c->id, &d, e))
		return false;
	if (!principal_may_slug(&c->who, d.slug))
		return err_set(e, ERR_NOT_FOUND, "deployment_not_found", "Deployment not found");
	if (!roster_of_deployment(c->service, c->arena, c->id, &nodes, e))
		return false;
	json = view_deployment(c->arena, &d);
	if (nodes.count > 0 && json_object_set_new(json, "nodes", view_rollout_nodes(c->arena, &nodes)) != 0) {
		json_decref(json);
		return err_no_memory(e);
	}
	return response_json(c->resp, 200, json, e);
}

/* Releases */

static bool may_see_release(const struct principal *who, const struct release *r)
{
	for (size_t i = 0; i < r->item_count; i++)
		if (!principal_may_slug(who, r->items[i].slug))
			return false;
	return true;
}

bool releases_list(struct call *c, struct err *e)
{
	struct release_list list;
	const char *next = NULL;
	struct page page;
	json_t *array;
	size_t shown = 0;

	if (!page_read(c, true, &page, e) ||
	    !history_releases(c->service, c->arena, c->project.ref, page.number, page.limit + 1, &list, e))
		return false;
	array = json_array();
	for (; shown < list.count && shown < (size_t)page.limit; shown++) {
		next = arena_printf(c->arena, "%lld", (long long)list.items[shown].number);
		if (may_see_release(&c->who, &list.items[shown]) &&
		    !append(array, view_release(c->arena, &list.items[shown]), e))
			return false;
	}
	return page_answer(c, &page, array, shown < list.count ? next : NULL, e);
}

bool releases_get(struct call *c, struct err *e)
{
	struct release r;

	if (!history_release(c->service, c->arena, c->project.ref, c->number, &r, e))
		return false;
	if (!may_see_release(&c->who, &r))
		return err_set(e, ERR_NOT_FOUND, "release_not_found", "Release not found");
	return response_json(c->resp, 200, view_release(c->arena, &r), e);
}

static bool may_touch(void *ctx, const char *slug)
{
	return principal_may_slug(ctx, slug);
}

bool releases_rollback(struct call *c, struct err *e)
{
	const char *message = NULL;
	struct release r;
	int64_t made = 0;
	json_t *doc;

	return intake_object(c, &doc, e) && json_get_string(doc, "message", JSON_OPTIONAL, &message, e) &&
	       intake_message(c, &message, e) &&
	       change_undo_release(c->service, c->arena, &c->actor, c->project.ref, c->number, message, may_touch,
				   &c->who, &made, e) &&
	       history_release(c->service, c->arena, c->project.ref, made, &r, e) &&
	       response_json(c->resp, 200, view_release(c->arena, &r), e);
}
