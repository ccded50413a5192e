#include "api/sse.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/text.h"

#include <stdlib.h>
#include <string.h>

/* How soon a follower asks again, in milliseconds. Where no place was left to wait in, seldom. */
#define RETRY 1000
#define RETRY_UNHELD 10000

bool sse_wanted(const struct call *c)
{
	const char *accept = request_header(c->req, "Accept");

	return accept != NULL && strcasestr(accept, SSE_TYPE) != NULL;
}

const char *sse_last(const struct call *c)
{
	const char *last = request_header(c->req, "Last-Event-ID");

	return last != NULL && last[0] != '\0' ? last : NULL;
}

void sse_begin(const struct call *c, struct bell_wait *w)
{
	int64_t quarter = c->api->cfg->workers / 4;

	*w = (struct bell_wait){0};
	if (sse_last(c) != NULL)
		bell_begin(w, quarter > 0 ? quarter : 1);
}

bool sse_wait(const struct call *c, struct bell_wait *w)
{
	return bell_wait(w) && !request_gone(c->req);
}

void sse_answer(struct call *c, struct bell_wait *w)
{
	buf_printf(&c->resp->body, "retry: %d\n", w->held || sse_last(c) == NULL ? RETRY : RETRY_UNHELD);
	bell_end(w);
	c->resp->status = 200;
	response_header(c->resp, "Content-Type", SSE_TYPE);
}

bool sse_put(struct call *c, const char *id, const char *event, json_t *doc, struct err *e)
{
	char *text = doc != NULL ? json_text(doc, JSON_COMPACT) : NULL;

	json_decref(doc);
	if (text == NULL)
		return err_no_memory(e);
	/* JSON escapes line ends, so that one line is the whole of it. */
	buf_printf(&c->resp->body, "id: %s\nevent: %s\ndata: ", id, event);
	buf_puts(&c->resp->body, text);
	buf_puts(&c->resp->body, "\n\n");
	free(text);
	return true;
}

static bool digest(const json_t *doc, char hex[2 * SHA256_BYTES + 1], struct err *e)
{
	char *text = doc != NULL ? json_text(doc, JSON_COMPACT) : NULL;
	uint8_t hash[SHA256_BYTES];
	bool ok = text != NULL && crypto_sha256(text, strlen(text), hash);

	free(text);
	if (!ok)
		return err_no_memory(e);
	text_hex(hash, 16, hex);
	return true;
}

bool sse_follow(struct call *c, const char *event, sse_look *look, void *ctx, struct err *e)
{
	const char *last = sse_last(c);
	char id[2 * SHA256_BYTES + 1] = "";
	struct bell_wait wait;
	json_t *doc = NULL;
	bool ok;

	sse_begin(c, &wait);
	do {
		json_t *seen = NULL;

		json_decref(doc);
		doc = NULL;
		ok = look(c, ctx, &doc, &seen, e) && digest(seen != NULL ? seen : doc, id, e);
		json_decref(seen);
	} while (ok && last != NULL && text_eq(last, id) && sse_wait(c, &wait));
	sse_answer(c, &wait);
	if (ok && (last == NULL || !text_eq(last, id)))
		return sse_put(c, id, event, doc, e);
	json_decref(doc);
	if (ok)
		buf_printf(&c->resp->body, "id: %s\n\n", id);
	return ok;
}
