#include "api/body.h"

#include "core/crypto.h"
#include "core/json.h"
#include "core/log.h"
#include "core/text.h"
#include "service/function.h"

#include <stdlib.h>
#include <string.h>

/* A body up to this size is put together before it is sent, so that it can be held (api/answers.h). */
#define IN_MEMORY ((int64_t)512 * 1024)

/* One part: its head (with the end of the part before it), then a file's content, or bytes, or nothing. */
struct part {
	const char *head;
	const struct file *file;
	const void *data;
	size_t len; /* of data */
};

struct body {
	struct service *service;
	struct part *parts;
	size_t count;
};

static bool to_writer(void *ctx, const void *data, size_t len, struct err *e)
{
	const struct response_writer *w = ctx;

	return w->write(w->ctx, data, len) ? true : err_set(e, ERR_INTERNAL, "client_gone", "The client went away");
}

static bool write_parts(const struct body *b, struct response_writer *w, struct err *e)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct part *p = &b->parts[i];

		if (!to_writer(w, p->head, strlen(p->head), e) || (p->len > 0 && !to_writer(w, p->data, p->len, e)) ||
		    (p->file != NULL && !function_read(b->service, p->file, to_writer, w, e)))
			return false;
	}
	return true;
}

static bool stream_body(void *ctx, const struct response_writer *w)
{
	struct response_writer out = *w;
	struct err e = ERR_INIT;

	if (write_parts(ctx, &out, &e))
		return true;
	log_warn("a download ended early: %s", e.message);
	return false;
}

static bool to_buffer(void *ctx, const void *data, size_t len)
{
	struct buf *b = ctx;

	buf_put(b, data, len);
	return !b->failed;
}

static bool send_parts(struct call *c, struct part *parts, size_t count, struct err *e)
{
	struct body *b = arena_alloc(c->arena, sizeof *b);

	if (b == NULL)
		return err_no_memory(e);
	*b = (struct body){.service = c->service, .parts = parts, .count = count};
	c->resp->status = 200;
	c->resp->content_length = 0;
	for (size_t i = 0; i < count; i++)
		c->resp->content_length += (int64_t)(strlen(parts[i].head) + parts[i].len) +
					   (parts[i].file != NULL ? parts[i].file->size : 0);
	if (c->resp->content_length <= IN_MEMORY) {
		struct response_writer w = {.write = to_buffer, .ctx = &c->resp->body};

		return write_parts(b, &w, e);
	}
	c->resp->stream = stream_body;
	c->resp->stream_ctx = b;
	return true;
}

/*
 * The parameter filename. Within quotes '"' is %22, as browsers write and read it (WHATWG); paths have no control
 * characters. The CLI and the MCP server would take that %22 for the name's own, but they read filename* (RFC 8187)
 * first, so such a name is given in both forms; others are spared a parameter that RFC 7578 forbids in forms.
 */
static const char *filename_parameter(struct arena *a, const char *path)
{
	const char *extended = strchr(path, '"') != NULL ? text_url_encode_path(a, path) : NULL;
	char *out = arena_alloc(a, 3 * strlen(path) + 1);
	size_t n = 0;

	if (out == NULL || (extended == NULL && strchr(path, '"') != NULL))
		return NULL;
	for (; *path != '\0'; path++) {
		if (*path == '"') {
			memcpy(out + n, "%22", 3);
			n += 3;
		} else {
			out[n++] = *path;
		}
	}
	return extended == NULL ? arena_printf(a, "filename=\"source/%s\"", out)
				: arena_printf(a, "filename=\"source/%s\"; filename*=UTF-8''source/%s", out, extended);
}

static char *metadata_text(struct arena *a, const struct function *f, const char *entrypoint, size_t count)
{
	const struct version *v = &f->version;
	json_t *doc = json_pack(
		"{s:s, s:s, s:I, s:I, s:I}", "deno2_entrypoint_path", arena_printf(a, "source/%s", entrypoint),
		"deployment_id", arena_printf(a, "%s_%s_%d", f->project_ref, f->id, v->number), "original_size",
		(json_int_t)v->size, "compressed_size", (json_int_t)v->size, "module_count", (json_int_t)count);
	char *text = doc != NULL ? json_text(doc, JSON_COMPACT) : NULL;
	char *copy = text != NULL ? arena_strdup(a, text) : NULL;

	free(text);
	json_decref(doc);
	return copy;
}

/* Sends parts[1..count], which have their contents, with these paths; parts[0] and parts[count + 1] are for the rest.
 */
#define BOUNDARY "functions-admin-"
#define BOUNDARY_BYTES 16

static bool send_form(struct call *c, const struct function *f, const char *entrypoint, struct part *parts,
		      const char *const *paths, size_t count, struct err *e)
{
	struct arena *a = c->arena;
	char boundary[sizeof BOUNDARY + (size_t)2 * BOUNDARY_BYTES] = BOUNDARY;
	const char *metadata = metadata_text(a, f, entrypoint, count);
	char *type;

	/* 128 random bits: no file has it by chance, and nobody can put it into one beforehand. */
	crypto_random_hex(boundary + strlen(boundary), BOUNDARY_BYTES);
	type = arena_printf(a, "multipart/form-data; boundary=%s", boundary);
	if (metadata == NULL || type == NULL)
		return err_no_memory(e);
	parts[0].head = arena_printf(a,
				     "--%s\r\nContent-Disposition: form-data; name=\"metadata\"\r\n"
				     "Content-Type: application/json\r\n\r\n%s",
				     boundary, metadata);
	for (size_t i = 0; i < count; i++) {
		const char *filename = filename_parameter(a, paths[i]);

		parts[i + 1].head = filename == NULL
					    ? NULL
					    : arena_printf(a,
							   "\r\n--%s\r\nContent-Disposition: form-data; name=\"file\"; "
							   "%s\r\nContent-Type: application/octet-stream\r\n\r\n",
							   boundary, filename);
	}
	parts[count + 1].head = arena_printf(a, "\r\n--%s--\r\n", boundary);
	for (size_t i = 0; i < count + 2; i++)
		if (parts[i].head == NULL)
			return err_no_memory(e);
	response_header(c->resp, "Content-Type", type);
	return send_parts(c, parts, count + 2, e);
}

static bool send_source(struct call *c, const struct function *f, struct err *e)
{
	struct file_list files;
	struct part *parts;
	const char **paths;

	if (!function_files(c->service, c->arena, f, &files, e))
		return false;
	parts = arena_array(c->arena, files.count + 2, sizeof *parts);
	paths = arena_array(c->arena, files.count, sizeof *paths);
	if (parts == NULL || paths == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < files.count; i++) {
		parts[i + 1].file = &files.items[i];
		paths[i] = files.items[i].path;
	}
	return send_form(c, f, f->version.entrypoint, parts, paths, files.count, e);
}

/* The sources inside a bundle, in the form of a source deploy. */
static bool send_bundle_sources(struct call *c, const struct function *f, struct err *e)
{
	struct source_module *sources;
	struct part *parts;
	const char **paths;
	size_t count;
	size_t entry;

	if (!function_bundle_sources(c->service, c->arena, f, &sources, &count, &entry, e))
		return false;
	parts = arena_array(c->arena, count + 2, sizeof *parts);
	paths = arena_array(c->arena, count, sizeof *paths);
	if (parts == NULL || paths == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++) {
		parts[i + 1].data = sources[i].data;
		parts[i + 1].len = sources[i].len;
		paths[i] = sources[i].path;
	}
	return send_form(c, f, paths[entry], parts, paths, count, e);
}

static bool send_bundle(struct call *c, const struct function *f, struct err *e)
{
	struct part *part = arena_alloc(c->arena, sizeof *part);
	struct file_list files;

	if (part == NULL)
		return err_no_memory(e);
	if (!function_files(c->service, c->arena, f, &files, e))
		return false;
	if (files.count != 1)
		return err_set(e, ERR_INTERNAL, NULL, "A bundle has one file, this one has %zu", files.count);
	*part = (struct part){.head = "", .file = &files.items[0]};
	response_header(c->resp, "Content-Type", BODY_BUNDLE_TYPE);
	return send_parts(c, part, 1, e);
}

bool body_send(struct call *c, const struct function *f, struct err *e)
{
	if (f->version.kind == KIND_SOURCE)
		return send_source(c, f, e);
	return request_accepts(c->req, BODY_BUNDLE_TYPE) ? send_bundle(c, f, e) : send_bundle_sources(c, f, e);
}
