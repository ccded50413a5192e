#include "api/once.h"

#include "auth/scope.h"
#include "core/crash.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/text.h"
#include "http/multipart.h"
#include "service/repeat.h"

#include <string.h>

#define READ_SIZE ((size_t)64 * 1024)

/* Answers over this are not kept; POSTs answer with one object. */
#define MAX_ANSWER ((size_t)4 * 1024 * 1024)

/*
 * What makes two requests the same: method, path, query, and the body. Of form data it is the parts that count, since
 * clients make a new boundary for each try.
 */
struct fingerprint {
	struct sha256 *sum;
	struct multipart *form; /* NULL: the bytes count */
	bool failed;
};

static void piece(struct fingerprint *f, const char *s)
{
	sha256_update(f->sum, s != NULL ? s : "\1", (s != NULL ? strlen(s) : 1) + 1);
}

static bool see_begin(void *ctx, const struct multipart_part *part, struct err *e)
{
	struct fingerprint *f = ctx;

	(void)e;
	piece(f, part->name);
	piece(f, part->filename);
	return true;
}

static bool see_data(void *ctx, const void *data, size_t len, struct err *e)
{
	struct fingerprint *f = ctx;

	(void)e;
	sha256_update(f->sum, data, len);
	return true;
}

static bool see_end(void *ctx, struct err *e)
{
	(void)e;
	piece(ctx, NULL);
	return true;
}

static void see(void *ctx, const void *data, size_t len)
{
	struct fingerprint *f = ctx;
	struct err ignored = ERR_INIT;

	if (f->form == NULL)
		sha256_update(f->sum, data, len);
	else if (!f->failed && !multipart_feed(f->form, data, len, &ignored))
		/* The handler refuses such a form as well, and a refusal of it is not kept. */
		f->failed = true;
}

static void free_sum(void *sum)
{
	sha256_free(sum);
}

static bool start_fingerprint(struct call *c, struct fingerprint *f, struct err *e)
{
	const struct multipart_handler handler = {
		.part_begin = see_begin, .part_data = see_data, .part_end = see_end, .ctx = f};
	struct err ignored = ERR_INIT;

	*f = (struct fingerprint){.sum = sha256_new()};
	if (f->sum == NULL || !arena_defer(c->arena, free_sum, f->sum))
		return err_no_memory(e);
	piece(f, c->req->method);
	piece(f, c->req->path);
	for (size_t i = 0; i < c->req->query_count; i++) {
		piece(f, c->req->query[i].name);
		piece(f, c->req->query[i].value);
	}
	if (request_is_type(c->req->content_type, "multipart/form-data") &&
	    !multipart_new(&f->form, c->arena, c->req->content_type, (size_t)c->api->cfg->max_files + 1, &handler,
			   &ignored))
		f->form = NULL;
	c->req->observer = (struct request_observer){.see = see, .ctx = f};
	return true;
}

/* Reads what the handler left of the body, so that the fingerprint covers all of it. */
static bool finish_fingerprint(struct call *c, struct fingerprint *f, uint8_t out[32], struct err *e)
{
	char *rest = arena_alloc(c->arena, READ_SIZE);
	size_t n;

	if (rest == NULL)
		return err_no_memory(e);
	do {
		if (!request_read(c->req, rest, READ_SIZE, &n, e))
			return false;
	} while (n > 0);
	if (f->failed)
		return err_set(e, ERR_MALFORMED, NULL, "The form data cannot be read");
	return sha256_final(f->sum, out) ? true : err_no_memory(e);
}

/* Kept as header lines, an empty line, and the body. */
static bool give_again(struct call *c, struct repeat *repeat, const uint8_t request[32], struct err *e)
{
	struct buf kept = BUF_INIT(MAX_ANSWER);
	char *line;
	char *text;
	bool ok = repeat_answer(repeat, request, &c->resp->status, &kept, e);

	text = ok ? arena_strndup(c->arena, kept.data != NULL ? kept.data : "", kept.len) : NULL;
	if (ok && text == NULL)
		ok = err_no_memory(e);
	for (line = text; ok && line != NULL && line[0] != '\n' && line[0] != '\0';) {
		char *end = strchr(line, '\n');
		char *colon = strchr(line, ':');

		*end = '\0';
		*colon = '\0';
		response_header(c->resp, line, colon + 1);
		line = end + 1;
	}
	if (ok) {
		response_header(c->resp, "Idempotent-Replayed", "true");
		buf_put(&c->resp->body, line + 1, kept.len - (size_t)(line + 1 - text));
	}
	buf_wipe(&kept);
	buf_free(&kept);
	return ok;
}

static void keep(struct call *c, struct repeat *repeat, struct fingerprint *f)
{
	struct buf answer = BUF_INIT(MAX_ANSWER);
	struct err failed = ERR_INIT;
	uint8_t request[32];

	for (size_t i = 0; i < c->resp->header_count; i++)
		buf_printf(&answer, "%s:%s\n", c->resp->headers[i].name, c->resp->headers[i].value);
	buf_puts(&answer, "\n");
	buf_put(&answer, c->resp->body.data, c->resp->body.len);
	if (answer.failed || !finish_fingerprint(c, f, request, &failed) ||
	    !repeat_keep(repeat, request, c->resp->status, answer.data, answer.len, &failed))
		log_warn("the answer to a request with an Idempotency-Key is not kept: %s", failed.message);
	buf_wipe(&answer);
	buf_free(&answer);
}

bool once_handle(struct call *c, const struct route *r, struct err *e)
{
	const char *key = request_header(c->req, "Idempotency-Key");
	const char *caller;
	struct fingerprint f;
	struct repeat *repeat;
	uint8_t request[32];
	bool ok;

	if (key == NULL || !text_eq(r->method, "POST") || r->flags & ROUTE_PUBLIC)
		return r->handler(c, e);
	caller = principal_identity(&c->who, c->arena);
	if (caller == NULL)
		return err_no_memory(e);
	if (!start_fingerprint(c, &f, e) || !repeat_begin(&repeat, c->service, c->arena, caller, key, e))
		return false;
	if (repeat_is_known(repeat)) {
		ok = finish_fingerprint(c, &f, request, e) && give_again(c, repeat, request, e);
	} else {
		FA_CRASH_POINT("repeat.begun");
		/* Only what was carried out is kept: after a failure the same key may try again. */
		ok = r->handler(c, e);
		FA_CRASH_POINT("repeat.handled");
		if (ok)
			keep(c, repeat, &f);
		FA_CRASH_POINT("repeat.kept");
	}
	repeat_end(repeat);
	return ok;
}
