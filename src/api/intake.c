#include "api/intake.h"

#include "core/json.h"
#include "core/names.h"
#include "core/text.h"
#include "http/multipart.h"
#include "service/template.h"

#include <string.h>

#define MAX_METADATA ((size_t)256 * 1024)
#define MAX_PATTERNS 256
#define MAX_MESSAGE 1024
#define READ_SIZE ((size_t)64 * 1024)
#define ESZIP_TYPE "application/vnd.denoland.eszip"

bool intake_bool(const struct call *c, const char *name, bool fallback, bool *out, struct err *e)
{
	const char *value = request_query(c->req, name);

	*out = value == NULL || value[0] == '\0' ? fallback : text_eq(value, "true");
	if (value != NULL && value[0] != '\0' && !text_eq(value, "true") && !text_eq(value, "false"))
		return err_set(e, ERR_MALFORMED, NULL, "The query parameter %s must be true or false", name);
	return true;
}

bool intake_message(const struct call *c, const char **message, struct err *e)
{
	if (*message == NULL)
		*message = request_header(c->req, "X-Deploy-Message");
	if (*message == NULL)
		return true;
	if (strlen(*message) > MAX_MESSAGE || names_has_control(*message) ||
	    !text_utf8_valid(*message, strlen(*message)))
		return err_set(e, ERR_INVALID, "invalid_message",
			       "The deploy message must be at most %d bytes of text in one line", MAX_MESSAGE);
	return true;
}

static bool wrong_type(const struct call *c, const char *wanted, struct err *e)
{
	(void)err_set(e, ERR_MEDIA_TYPE, NULL, "The content type \"%.80s\" is not accepted here", c->req->content_type);
	return err_hint(e, "Send %s.", wanted);
}

bool intake_json(struct call *c, json_t **out, struct err *e)
{
	return intake_json_upto(c, (size_t)c->api->cfg->max_json_bytes, out, e);
}

bool intake_json_upto(struct call *c, size_t max, json_t **out, struct err *e)
{
	size_t len;
	char *text;

	if (!request_is_type(c->req->content_type, "application/json") &&
	    !request_is_type(c->req->content_type, "application/merge-patch+json"))
		return wrong_type(c, "application/json", e);
	if (!request_body(c->req, max, &text, &len, e))
		return false;
	*out = json_parse(c->arena, "The body", text, len, max, e);
	return *out != NULL;
}

bool intake_object(struct call *c, json_t **doc, struct err *e)
{
	if (c->req->content_length <= 0 && c->req->content_type[0] == '\0') {
		*doc = json_parse(c->arena, "The body", "{}", 2, 2, e);
		return *doc != NULL;
	}
	if (!intake_json(c, doc, e))
		return false;
	return json_is_object(*doc) ? true : err_set(e, ERR_INVALID, NULL, "The body must be a JSON object");
}

/* "./index.ts" and "index.ts" are one file to every client. */
static const char *clean_path(const char *path)
{
	return path != NULL && text_starts(path, "./") ? path + 2 : path;
}

/* Multipart */

struct form {
	struct call *call;
	struct deploy_request *req;
	struct buf metadata;
	bool in_metadata;
	bool has_metadata;
};

static bool begin_part(void *ctx, const struct multipart_part *part, struct err *e)
{
	struct form *f = ctx;

	f->in_metadata = text_eq(part->name, "metadata");
	if (f->in_metadata) {
		if (f->has_metadata)
			return err_set(e, ERR_MALFORMED, "duplicate_metadata",
				       "The part metadata stands twice in the upload");
		f->has_metadata = true;
		return true;
	}
	if (!text_eq(part->name, "file")) {
		(void)err_set(e, ERR_MALFORMED, "unknown_part",
			      "The upload has a part that is neither \"file\" nor \"metadata\"");
		return err_hint(e, "Send each file as a part named file, with its path as the filename.");
	}
	if (part->filename == NULL)
		return err_set(e, ERR_MALFORMED, "no_filename", "A file part has no filename");
	return upload_begin(f->req->upload, clean_path(part->filename), e);
}

static bool take_part(void *ctx, const void *data, size_t len, struct err *e)
{
	struct form *f = ctx;

	if (!f->in_metadata)
		return upload_write(f->req->upload, data, len, e);
	if (len > f->metadata.max - f->metadata.len)
		return err_set(e, ERR_TOO_LARGE, "metadata_too_large", "The part metadata is larger than %zu bytes",
			       MAX_METADATA);
	buf_put(&f->metadata, data, len);
	if (f->metadata.failed)
		return err_no_memory(e);
	return true;
}

static bool end_part(void *ctx, struct err *e)
{
	struct form *f = ctx;

	return f->in_metadata || upload_end(f->req->upload, e);
}

/*
 * The form's own text (boundaries, part heads, metadata) comes on top of the files. Refusing early spares reading what
 * cannot be accepted; the exact limit is the upload's.
 */
static bool check_length(const struct call *c, struct err *e)
{
	const struct config *cfg = c->api->cfg;
	int64_t most = cfg->max_upload_bytes + (int64_t)MAX_METADATA + cfg->max_files * (cfg->max_path_bytes + 512);

	if (c->req->content_length <= most)
		return true;
	(void)err_set(e, ERR_TOO_LARGE, "upload_too_large", "The upload is larger than %lld bytes",
		      (long long)cfg->max_upload_bytes);
	return err_hint(e, "The option max_upload_bytes sets the limit.");
}

static bool feed(struct call *c, struct multipart *m, struct err *e)
{
	char *piece = arena_alloc(c->arena, READ_SIZE);
	size_t n;

	if (piece == NULL)
		return err_no_memory(e);
	for (;;) {
		if (!request_read(c->req, piece, READ_SIZE, &n, e))
			return false;
		if (n == 0)
			return multipart_finish(m, e);
		if (!multipart_feed(m, piece, n, e))
			return false;
	}
}

static enum verify_choice verify_of(bool present, bool value)
{
	return !present ? VERIFY_KEEP : value ? VERIFY_ON : VERIFY_OFF;
}

static bool read_metadata(struct form *f, struct err *e)
{
	struct deploy_request *req = f->req;
	bool present = false;
	bool verify = false;
	json_t *doc;

	if (!f->has_metadata)
		return err_set(e, ERR_MALFORMED, "no_metadata", "The upload has no part named metadata");
	doc = json_parse(f->call->arena, "The part metadata", f->metadata.data != NULL ? f->metadata.data : "",
			 f->metadata.len, MAX_METADATA, e);
	if (doc == NULL)
		return false;
	if (!json_is_object(doc))
		return err_set(e, ERR_INVALID, NULL, "The part metadata must be a JSON object");
	if (!json_get_string(doc, "entrypoint_path", JSON_REQUIRED, &req->entrypoint, e) ||
	    !json_get_string(doc, "import_map_path", JSON_OPTIONAL, &req->import_map, e) ||
	    !json_get_string(doc, "name", JSON_OPTIONAL, &req->name, e) ||
	    !json_get_string(doc, "message", JSON_OPTIONAL, &req->message, e) ||
	    !json_get_strings(f->call->arena, doc, "static_patterns", MAX_PATTERNS, &req->static_patterns, e) ||
	    !json_get_bool(doc, "verify_jwt", JSON_OPTIONAL, &present, &verify, e))
		return false;
	req->entrypoint = clean_path(req->entrypoint);
	req->import_map = clean_path(req->import_map);
	req->verify_jwt = verify_of(present, verify);
	return true;
}

bool intake_multipart(struct call *c, struct deploy_request *req, struct err *e)
{
	struct form f = {.call = c, .req = req, .metadata = BUF_INIT(MAX_METADATA)};
	const struct multipart_handler handler = {
		.part_begin = begin_part, .part_data = take_part, .part_end = end_part, .ctx = &f};
	struct multipart *m;
	bool ok;

	if (!request_is_type(c->req->content_type, "multipart/form-data"))
		return wrong_type(c, "multipart/form-data", e);
	ok = check_length(c, e) &&
	     multipart_new(&m, c->arena, c->req->content_type, (size_t)c->api->cfg->max_files + 1, &handler, e) &&
	     upload_new(&req->upload, c->service, c->arena, KIND_SOURCE, e) && feed(c, m, e) && read_metadata(&f, e);
	buf_free(&f.metadata);
	return ok;
}

/* One body */

/* The function of a JSON body is one file; this is its name. */
#define SINGLE_FILE "index.ts"

/* A starter function in place of the body. */
static bool take_template(struct call *c, const json_t *doc, struct deploy_request *req, const char **body,
			  struct err *e)
{
	struct template template;
	const char *id = NULL;

	if (!json_get_string(doc, "template", JSON_OPTIONAL, &id, e))
		return false;
	if (id == NULL)
		return true;
	if (*body != NULL)
		return err_set(e, ERR_INVALID, NULL, "Send a body or a template, not both");
	if (!template_find(c->arena, id, &template, e))
		return false;
	*body = template.source;
	req->source = "template";
	if (req->verify_jwt == VERIFY_KEEP)
		req->verify_jwt = verify_of(true, template.verify_jwt);
	return true;
}

static bool single_json(struct call *c, struct deploy_request *req, const char **slug, struct err *e)
{
	const char *body = NULL;
	bool present = false;
	bool verify = false;
	json_t *doc;

	if (!intake_json(c, &doc, e))
		return false;
	if (!json_is_object(doc))
		return err_set(e, ERR_INVALID, NULL, "The body must be a JSON object");
	/* Source text may hold any character, so it is not read as a name would be. */
	if (json_object_get(doc, "body") != NULL && (body = json_string_value(json_object_get(doc, "body"))) == NULL)
		return err_set(e, ERR_INVALID, NULL, "body must be a string");
	if (!json_get_string(doc, "slug", JSON_OPTIONAL, slug, e) ||
	    !json_get_string(doc, "name", JSON_OPTIONAL, &req->name, e) ||
	    !json_get_string(doc, "message", JSON_OPTIONAL, &req->message, e) ||
	    !json_get_bool(doc, "verify_jwt", JSON_OPTIONAL, &present, &verify, e))
		return false;
	req->verify_jwt = verify_of(present, verify);
	/* Only for a function to be: nobody means to replace one by a starter. */
	if (req->expect == EXPECT_NEW && !take_template(c, doc, req, &body, e))
		return false;
	if (body == NULL)
		return true;
	req->entrypoint = SINGLE_FILE;
	return upload_new(&req->upload, c->service, c->arena, KIND_SOURCE, e) &&
	       upload_put(req->upload, SINGLE_FILE, body, strlen(body), e);
}

static bool read_bundle(struct call *c, struct upload *u, struct err *e)
{
	char *piece = arena_alloc(c->arena, READ_SIZE);
	size_t n = 0;

	if (piece == NULL)
		return err_no_memory(e);
	if (!upload_begin(u, ESZIP_FILE, e))
		return false;
	do {
		if (!request_read(c->req, piece, READ_SIZE, &n, e) || !upload_write(u, piece, n, e))
			return false;
	} while (n > 0);
	return upload_end(u, e);
}

static bool single_eszip(struct call *c, struct deploy_request *req, const char **slug, struct err *e)
{
	bool verify = false;
	bool map = false;

	*slug = request_query(c->req, "slug");
	req->name = request_query(c->req, "name");
	req->entrypoint = request_query(c->req, "entrypoint_path");
	req->import_map = request_query(c->req, "import_map_path");
	req->ezbr_sha256 = request_query(c->req, "ezbr_sha256");
	if (!intake_bool(c, "verify_jwt", false, &verify, e) || !intake_bool(c, "import_map", false, &map, e))
		return false;
	req->verify_jwt = verify_of(request_query(c->req, "verify_jwt") != NULL, verify);
	if (req->name != NULL && req->name[0] == '\0')
		req->name = NULL;
	if (req->entrypoint == NULL || req->entrypoint[0] == '\0') {
		(void)err_set(e, ERR_INVALID, "no_entrypoint", "The query parameter entrypoint_path is missing");
		return err_hint(e, "A bundle needs the specifier of its entry point, such as file:///index.ts.");
	}
	return check_length(c, e) && upload_new(&req->upload, c->service, c->arena, KIND_ESZIP, e) &&
	       read_bundle(c, req->upload, e);
}

bool intake_single(struct call *c, struct deploy_request *req, const char **slug, struct err *e)
{
	if (request_is_type(c->req->content_type, ESZIP_TYPE))
		return single_eszip(c, req, slug, e);
	if (request_is_type(c->req->content_type, "application/json"))
		return single_json(c, req, slug, e);
	return wrong_type(c, "application/json or " ESZIP_TYPE, e);
}
