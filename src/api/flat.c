#include "api/handlers.h"
#include "api/intake.h"
#include "api/view.h"
#include "auth/scope.h"
#include "core/json.h"
#include "core/text.h"
#include "service/change.h"
#include "service/deploy.h"
#include "service/function.h"

#include <stdlib.h>
#include <string.h>

/* One answer holds the sources of every function: bounded, so that no list fills the memory. */
#define MAX_SOURCES ((int64_t)64 * 1024 * 1024)

/* [{name, content}]. Binary files cannot stand in JSON: they are listed without content. NULL with the error set. */
static json_t *files_of(struct call *c, const struct function *f, int64_t *budget, struct err *e)
{
	json_t *array = json_array();
	struct file_list files;

	if (f->version.kind == KIND_ESZIP)
		return array;
	if (!function_files(c->service, c->arena, f, &files, e))
		goto fail;
	for (size_t i = 0; i < files.count; i++) {
		const struct file *file = &files.items[i];
		json_t *content = NULL;
		char *text;

		*budget -= file->size;
		if (*budget < 0) {
			(void)err_set(e, ERR_TOO_LARGE, "too_many_sources",
				      "The sources of all functions are too large for one answer");
			(void)err_hint(e, "Ask for one function at a time, or use the Management API.");
			goto fail;
		}
		if (!function_text(c->service, c->arena, file, &text, e))
			goto fail;
		/* jansson refuses what is not UTF-8. */
		content = json_stringn(text, (size_t)file->size);
		if (json_array_append_new(array, json_pack("{s:s, s:o*}", "name", file->path, "content", content)) !=
		    0) {
			(void)err_no_memory(e);
			goto fail;
		}
	}
	return array;
fail:
	json_decref(array);
	return NULL;
}

static int newest_first(const void *x, const void *y)
{
	const struct function *a = x;
	const struct function *b = y;

	return (a->created_at < b->created_at) - (a->created_at > b->created_at);
}

bool flat_list(struct call *c, struct err *e)
{
	json_t *array = json_array();
	int64_t budget = MAX_SOURCES;
	struct function_list list;

	if (!function_all(c->service, c->arena, c->project.ref, &list, e))
		goto fail;
	if (list.count > 0)
		qsort(list.items, list.count, sizeof list.items[0], newest_first);
	for (size_t i = 0; i < list.count; i++) {
		json_t *files;

		if (!principal_may_slug(&c->who, list.items[i].slug))
			continue;
		files = files_of(c, &list.items[i], &budget, e);
		if (files == NULL)
			goto fail;
		if (json_array_append_new(array, view_flat_function(c->arena, &list.items[i], files)) != 0) {
			(void)err_no_memory(e);
			goto fail;
		}
	}
	return response_json(c->resp, 200, array, e);
fail:
	json_decref(array);
	return false;
}

bool flat_get(struct call *c, struct err *e)
{
	int64_t budget = MAX_SOURCES;
	struct function f;
	json_t *files;

	if (!function_get(c->service, c->arena, c->project.ref, c->slug, &f, e))
		return false;
	files = files_of(c, &f, &budget, e);
	return files != NULL && response_json(c->resp, 200, view_flat_function(c->arena, &f, files), e);
}

static bool take_file(struct deploy_request *req, const json_t *item, struct err *e)
{
	const json_t *content = json_object_get(item, "content");
	const char *name = NULL;

	if (!json_is_object(item))
		return err_set(e, ERR_INVALID, NULL, "Each of files must be an object with name and content");
	if (!json_get_string(item, "name", JSON_REQUIRED, &name, e))
		return false;
	if (!json_is_string(content))
		return err_set(e, ERR_INVALID, NULL, "The content of a file must be a string");
	return upload_put(req->upload, name, json_string_value(content), json_string_length(content), e);
}

bool flat_deploy(struct call *c, struct err *e)
{
	struct deploy_request req = {.entrypoint = "index.ts", .project_ref = c->project.ref};
	struct deploy_result result;
	const char *name = NULL;
	bool present = false;
	bool verify = true;
	json_t *files;
	json_t *doc;

	if (!intake_json(c, &doc, e))
		return false;
	if (!json_is_object(doc))
		return err_set(e, ERR_INVALID, NULL, "The body must be a JSON object");
	if (!json_get_string(doc, "name", JSON_REQUIRED, &name, e) || !api_bind_slug(c, name, e) ||
	    !json_get_string(doc, "entrypoint_path", JSON_OPTIONAL, &req.entrypoint, e) ||
	    !json_get_string(doc, "import_map_path", JSON_OPTIONAL, &req.import_map, e) ||
	    !json_get_bool(doc, "verify_jwt", JSON_OPTIONAL, &present, &verify, e))
		return false;
	files = json_object_get(doc, "files");
	if (!json_is_array(files))
		return err_set(e, ERR_INVALID, "no_files", "files must be an array of objects with name and content");
	if (!upload_new(&req.upload, c->service, c->arena, KIND_SOURCE, e))
		return false;
	for (size_t i = 0; i < json_array_size(files); i++)
		if (!take_file(&req, json_array_get(files, i), e))
			return false;
	req.slug = c->slug;
	/* This API's own default: what is not said is on, also for a function that had it off. */
	req.verify_jwt = verify ? VERIFY_ON : VERIFY_OFF;
	return intake_message(c, &req.message, e) && deploy_run(c->service, c->arena, &c->actor, &req, &result, e) &&
	       response_json(c->resp, 200, view_flat_function(c->arena, &result.function, NULL), e);
}

bool flat_delete(struct call *c, struct err *e)
{
	const struct change_request req = {.project_ref = c->project.ref, .slug = c->slug};

	return change_remove(c->service, c->arena, &c->actor, &req, e) &&
	       response_json(c->resp, 200, json_pack("{s:s}", "message", "Function deleted successfully"), e);
}
