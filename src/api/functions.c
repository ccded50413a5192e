#include "api/answers.h"
#include "api/body.h"
#include "api/etag.h"
#include "api/handlers.h"
#include "api/intake.h"
#include "api/sse.h"
#include "api/view.h"
#include "auth/scope.h"
#include "core/json.h"
#include "core/text.h"
#include "service/change.h"
#include "service/deploy.h"
#include "service/function.h"
#include "service/history.h"

#include <stdlib.h>
#include <string.h>

/* Both lists are by slug; a function that came or went between the two questions stands in one of them only. */
static const struct function_activity *activity_of(const struct activity_list *list, size_t *at, const char *slug)
{
	while (*at < list->count && strcmp(list->items[*at].slug, slug) < 0)
		(*at)++;
	return *at < list->count && text_eq(list->items[*at].slug, slug) ? &list->items[*at] : NULL;
}

static bool render_list(struct call *c, bool activity, struct err *e)
{
	struct activity_list activities = {0};
	struct function_list list;
	json_t *array;
	size_t at = 0;

	if (!function_all(c->service, c->arena, c->project.ref, &list, e) ||
	    (activity && !function_activities(c->service, c->arena, c->project.ref, &activities, e)))
		return false;
	array = json_array();
	for (size_t i = 0; i < list.count; i++) {
		const struct function_activity *more = activity_of(&activities, &at, list.items[i].slug);
		json_t *item;

		if (!principal_may_slug(&c->who, list.items[i].slug))
			continue;
		item = view_function(c->arena, &list.items[i]);
		if (more != NULL && json_object_set_new(item, "activity", view_activity(c->arena, more)) != 0) {
			json_decref(item);
			item = NULL;
		}
		if (json_array_append_new(array, item) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	}
	return response_json(c->resp, 200, array, e);
}

/* The fields stay as Cloud's clients know them; more is told to whoever asks for it. */
bool functions_list(struct call *c, struct err *e)
{
	const char *include = request_query(c->req, "include");
	bool activity = include != NULL && text_eq(include, "activity");

	if (include != NULL && include[0] != '\0' && !activity)
		return err_set(e, ERR_MALFORMED, NULL, "The query parameter include can only be activity");
	/* What happens to a function, an error say, does not move the revision by which answers are held. */
	if (!activity && answers_recall(c, "functions"))
		return true;
	if (!render_list(c, activity, e))
		return false;
	etag_set_rendered(c);
	if (!activity)
		answers_hold(c, "functions");
	(void)etag_unchanged(c);
	return true;
}

bool functions_get(struct call *c, struct err *e)
{
	const char *what = arena_printf(c->arena, "functions/%s", c->slug);
	struct function f;

	if (what == NULL)
		return err_no_memory(e);
	if (answers_recall(c, what))
		return true;
	if (!function_get(c->service, c->arena, c->project.ref, c->slug, &f, e) ||
	    !response_json(c->resp, 200, view_function(c->arena, &f), e))
		return false;
	etag_set(c, &f);
	answers_hold(c, what);
	(void)etag_unchanged(c);
	return true;
}

bool functions_body(struct call *c, struct err *e)
{
	/* What a bundle's body answers depends on the Accept header. */
	const char *what = arena_printf(c->arena, "functions/%s/body%s", c->slug,
					request_accepts(c->req, BODY_BUNDLE_TYPE) ? " or bundle" : "");
	struct function f;

	if (what == NULL)
		return err_no_memory(e);
	if (answers_recall(c, what))
		return true;
	if (!function_get(c->service, c->arena, c->project.ref, c->slug, &f, e) || !body_send(c, &f, e))
		return false;
	answers_hold(c, what);
	return true;
}

static const char *result_word(const struct deploy_result *result, bool bundle_only)
{
	return result->unchanged ? "unchanged" : bundle_only ? "bundled" : result->verified ? "verified" : "active";
}

/* What was deployed, and what that was: X-Deploy-Result tells the cases apart that the function object cannot. */
static bool answer_deploy(struct call *c, int status, const struct deploy_result *result, bool bundle_only,
			  struct err *e)
{
	response_header(c->resp, "X-Deploy-Result", result_word(result, bundle_only));
	if (!bundle_only)
		etag_set(c, &result->function);
	return response_json(c->resp, status, view_function(c->arena, &result->function), e);
}

/* RFC 7240: the deploy goes on, and its deployment tells how it ends. */
static bool answer_accepted(struct call *c, const struct deploy_result *result, struct err *e)
{
	/* Behind the gateway's prefix, wherever that is. */
	const char *where = arena_printf(c->arena, "%s/v1/projects/%s/deployments/%s", c->api->cfg->base_path,
					 c->project.ref, result->deployment_id);
	struct deployment d;

	if (where == NULL)
		return err_no_memory(e);
	if (!history_deployment(c->service, c->arena, c->project.ref, result->deployment_id, &d, e))
		return false;
	response_header(c->resp, "Preference-Applied", "respond-async");
	response_header(c->resp, "Location", where);
	return response_json(c->resp, 202, view_deployment(c->arena, &d), e);
}

static bool prefers_async(const struct call *c)
{
	const char *prefer = request_header(c->req, "Prefer");

	return prefer != NULL && strcasestr(prefer, "respond-async") != NULL;
}

static bool complete(struct call *c, struct deploy_request *req, struct err *e)
{
	req->project_ref = c->project.ref;
	req->slug = c->slug;
	req->progress = c->progress;
	req->progress_ctx = c->progress_ctx;
	return intake_message(c, &req->message, e) && etag_expectation(c, &req->expected, e);
}

static bool run(struct call *c, struct deploy_request *req, int status, struct err *e)
{
	struct deploy_result result;

	req->respond_async = !req->bundle_only && prefers_async(c);
	if (!complete(c, req, e) || !deploy_run(c->service, c->arena, &c->actor, req, &result, e))
		return false;
	return result.accepted ? answer_accepted(c, &result, e)
			       : answer_deploy(c, status, &result, req->bundle_only, e);
}

/* A deploy that tells on the way how far it is: server-sent events "progress", and at the end "done" or "failed". */
struct told {
	struct call call;
	struct deploy_request req;
	const struct response_writer *writer;
	bool gone; /* nobody listens any more; what was begun is ended all the same */
};

static void tell(struct told *t, const char *event, json_t *doc)
{
	char *text = doc != NULL ? json_text(doc, JSON_COMPACT) : NULL;
	const struct response_writer *w = t->writer;

	json_decref(doc);
	t->gone = t->gone || text == NULL || !w->write(w->ctx, "event: ", 7) ||
		  !w->write(w->ctx, event, strlen(event)) || !w->write(w->ctx, "\ndata: ", 7) ||
		  !w->write(w->ctx, text, strlen(text)) || !w->write(w->ctx, "\n\n", 2) ||
		  (w->flush != NULL && !w->flush(w->ctx));
	free(text);
}

static void tell_stage(void *ctx, const char *stage)
{
	tell(ctx, "progress", json_pack("{s:s}", "stage", stage));
}

static bool run_told(void *ctx, const struct response_writer *w)
{
	struct told *t = ctx;
	struct call *c = &t->call;
	struct deploy_result result;
	struct err e = ERR_INIT;

	t->writer = w;
	t->req.progress = tell_stage;
	t->req.progress_ctx = t;
	if (deploy_run(c->service, c->arena, &c->actor, &t->req, &result, &e))
		tell(t, "done",
		     json_pack("{s:s, s:o}", "result", result_word(&result, t->req.bundle_only), "function",
			       view_function(c->arena, &result.function)));
	else
		tell(t, "failed",
		     json_pack("{s:i, s:s, s:s, s:s, s:s*}", "status", err_http_status(e.kind), "message", e.message,
			       "code", e.code, "request_id", c->req->id, "hint", e.hint[0] != '\0' ? e.hint : NULL));
	return !t->gone;
}

static bool start_told(struct call *c, const struct deploy_request *req, struct err *e)
{
	struct told *t = arena_alloc(c->arena, sizeof *t);

	if (t == NULL)
		return err_no_memory(e);
	/* The call lives on the stack of its handler, which returns before the stream begins. */
	*t = (struct told){.call = *c, .req = *req};
	if (!complete(&t->call, &t->req, e))
		return false;
	c->resp->status = 200;
	response_header(c->resp, "Content-Type", SSE_TYPE);
	response_header(c->resp, "X-Accel-Buffering", "no");
	c->resp->content_length = RESPONSE_UNTIL_END;
	c->resp->stream = run_told;
	c->resp->stream_ctx = t;
	return true;
}

/* As many bytes of sources as one JSON answer holds. */
#define MAX_FILES_TEXT ((int64_t)16 * 1024 * 1024)

/* {name, size, content}; what is no UTF-8 text stands there without content. */
static bool add_file(json_t *array, const char *name, const char *text, size_t len, struct err *e)
{
	json_t *item = json_pack("{s:s, s:I, s:o*}", "name", name, "size", (json_int_t)len, "content",
				 json_stringn(text, len));

	return json_array_append_new(array, item) == 0 ? true : err_no_memory(e);
}

static bool add_sources(struct call *c, const struct function *f, json_t *array, struct err *e)
{
	struct source_module *modules;
	struct file_list files;
	size_t count;
	size_t entry;

	if (f->version.size > MAX_FILES_TEXT) {
		(void)err_set(e, ERR_TOO_LARGE, "too_large_for_json",
			      "The function's files are too large for one answer");
		return err_hint(e, "Download them: GET .../functions/%s/body", f->slug);
	}
	if (f->version.kind == KIND_ESZIP) {
		if (!function_bundle_sources(c->service, c->arena, f, &modules, &count, &entry, e))
			return false;
		for (size_t i = 0; i < count; i++)
			if (!add_file(array, modules[i].path, modules[i].data, modules[i].len, e))
				return false;
		return true;
	}
	if (!function_files(c->service, c->arena, f, &files, e))
		return false;
	for (size_t i = 0; i < files.count; i++) {
		char *text;

		if (!function_text(c->service, c->arena, &files.items[i], &text, e) ||
		    !add_file(array, files.items[i].path, text, (size_t)files.items[i].size, e))
			return false;
	}
	return true;
}

/* The active version's files as JSON, or with ?version=n those of another. */
bool functions_files(struct call *c, struct err *e)
{
	const char *wanted = request_query(c->req, "version");
	json_t *array = json_array();
	int64_t version = 0;
	struct function f;
	bool ok;

	if (wanted != NULL && !text_int64(wanted, 1, INT32_MAX, &version))
		ok = err_set(e, ERR_MALFORMED, NULL, "The query parameter version must be the number of a version");
	else if (version != 0)
		ok = history_version(c->service, c->arena, c->project.ref, c->slug, (int)version, &f, e);
	else
		ok = function_get(c->service, c->arena, c->project.ref, c->slug, &f, e);
	if (!ok || !add_sources(c, &f, array, e)) {
		json_decref(array);
		return false;
	}
	return response_json(c->resp, 200,
			     json_pack("{s:s, s:i, s:o}", "slug", f.slug, "version", f.version.number, "files", array),
			     e);
}

/* A deploy's form, looked at and thrown away. */
bool functions_validate(struct call *c, struct err *e)
{
	struct deploy_request req = {0};
	struct file_list files;

	if (!intake_multipart(c, &req, e))
		return false;
	req.project_ref = c->project.ref;
	req.slug = c->slug;
	return deploy_check(c->service, c->arena, &c->actor, &req, e) && upload_files(req.upload, &files, e) &&
	       response_json(c->resp, 200,
			     json_pack("{s:b, s:I, s:I}", "valid", 1, "files", (json_int_t)files.count, "bytes",
				       (json_int_t)upload_bytes(req.upload)),
			     e);
}

bool functions_deploy(struct call *c, struct err *e)
{
	struct deploy_request req = {0};
	const char *slug = request_query(c->req, "slug");

	if (slug == NULL || slug[0] == '\0')
		return err_set(e, ERR_MALFORMED, "no_slug", "The query parameter slug is missing");
	if (!api_bind_slug(c, slug, e) || !intake_bool(c, "bundleOnly", false, &req.bundle_only, e) ||
	    !intake_multipart(c, &req, e))
		return false;
	/* What is kept under a key is one answer. */
	return sse_wanted(c) && request_header(c->req, "Idempotency-Key") == NULL ? start_told(c, &req, e)
										  : run(c, &req, 201, e);
}

bool functions_create(struct call *c, struct err *e)
{
	struct deploy_request req = {.expect = EXPECT_NEW};
	const char *slug = NULL;

	if (!intake_single(c, &req, &slug, e))
		return false;
	if (slug == NULL || slug[0] == '\0')
		return err_set(e, ERR_INVALID, "no_slug", "slug is missing");
	if (req.upload == NULL)
		return err_set(e, ERR_INVALID, "no_body", "body is missing");
	return api_bind_slug(c, slug, e) && run(c, &req, 201, e);
}

/* Name and verify_jwt alone need no upload. */
static bool change_settings(struct call *c, const struct deploy_request *req, struct err *e)
{
	struct change_choice choice = {.slug = c->slug, .name = req->name, .verify_jwt = req->verify_jwt};
	struct function *changed;
	struct function f;
	bool new_verify;

	if (!function_get(c->service, c->arena, c->project.ref, c->slug, &f, e) ||
	    !etag_expectation(c, &choice.expected, e))
		return false;
	new_verify = req->verify_jwt != VERIFY_KEEP && (req->verify_jwt == VERIFY_ON) != f.version.verify_jwt;
	if (new_verify) {
		choice.version = f.version.number;
		if (!change_activate(c->service, c->arena, &c->actor, c->project.ref, &choice, 1, NULL, &changed, e))
			return false;
		f = changed[0];
	} else if (req->name != NULL && !text_eq(req->name, f.name) &&
		   !function_set_name(c->service, c->arena, &c->actor, &f, req->name, &choice.expected, e)) {
		return false;
	}
	etag_set(c, &f);
	return response_json(c->resp, 200, view_function(c->arena, &f), e);
}

bool functions_update(struct call *c, struct err *e)
{
	struct deploy_request req = {.expect = EXPECT_EXISTING};
	const char *slug = NULL;

	if (!intake_single(c, &req, &slug, e))
		return false;
	/* The CLI repeats the slug in the query; Cloud has no renaming of slugs, and neither have we. */
	if (slug != NULL && !text_eq(slug, c->slug))
		return err_set(e, ERR_INVALID, "slug_is_fixed", "A function's slug cannot be changed");
	return req.upload != NULL ? run(c, &req, 200, e) : change_settings(c, &req, e);
}

#define MAX_BULK 10000

static bool read_choice(struct call *c, const json_t *item, struct change_choice *out, struct err *e)
{
	int64_t version = 0;
	bool present = false;
	bool verify = false;

	if (!json_is_object(item))
		return err_set(e, ERR_INVALID, NULL, "Each item must be an object");
	if (!json_get_string(item, "slug", JSON_REQUIRED, &out->slug, e) || !api_bind_slug(c, out->slug, e) ||
	    !json_get_string(item, "id", JSON_OPTIONAL, &out->id, e) ||
	    !json_get_string(item, "name", JSON_OPTIONAL, &out->name, e) ||
	    !json_get_int(item, "version", JSON_REQUIRED, 1, INT32_MAX, &version, e) ||
	    !json_get_bool(item, "verify_jwt", JSON_OPTIONAL, &present, &verify, e))
		return false;
	out->version = (int)version;
	out->verify_jwt = !present ? VERIFY_KEEP : verify ? VERIFY_ON : VERIFY_OFF;
	return true;
}

bool functions_bulk_update(struct call *c, struct err *e)
{
	struct change_choice *choices;
	const char *message = NULL;
	struct function *functions;
	json_t *answer;
	json_t *list;
	json_t *doc;
	size_t count;

	if (!intake_json(c, &doc, e) || !intake_message(c, &message, e))
		return false;
	if (!json_is_array(doc))
		return err_set(e, ERR_INVALID, NULL, "The body must be an array of functions");
	count = json_array_size(doc);
	if (count > MAX_BULK)
		return err_set(e, ERR_TOO_LARGE, NULL, "More than %d functions in one call", MAX_BULK);
	choices = arena_array(c->arena, count, sizeof *choices);
	if (choices == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++) {
		if (!read_choice(c, json_array_get(doc, i), &choices[i], e))
			return false;
		for (size_t j = 0; j < i; j++)
			if (text_eq(choices[i].slug, choices[j].slug))
				return err_set(e, ERR_INVALID, "duplicate_slug",
					       "The function %s stands twice in the list", choices[i].slug);
	}
	if (!change_activate(c->service, c->arena, &c->actor, c->project.ref, choices, count, message, &functions, e))
		return false;
	list = json_array();
	answer = json_pack("{s:o}", "functions", list);
	for (size_t i = 0; answer != NULL && i < count; i++)
		if (json_array_append_new(list, view_function(c->arena, &functions[i])) != 0) {
			json_decref(answer);
			answer = NULL;
		}
	return response_json(c->resp, 200, answer, e);
}

bool functions_delete(struct call *c, struct err *e)
{
	struct change_request req = {.project_ref = c->project.ref, .slug = c->slug};

	return intake_message(c, &req.message, e) && etag_expectation(c, &req.expected, e) &&
	       change_remove(c->service, c->arena, &c->actor, &req, e);
}
