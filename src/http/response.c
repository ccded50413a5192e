#include "http/response.h"

#include "core/text.h"

#include <string.h>
#include <strings.h>

/* Bodies up to this size leave together with their head, in one write. */
#define ONE_WRITE ((size_t)64 * 1024)
#define MAX_HEAD ((size_t)64 * 1024)

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{206, "Partial Content"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{409, "Conflict"},
	{410, "Gone"},
	{411, "Length Required"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{415, "Unsupported Media Type"},
	{422, "Unprocessable Content"},
	{428, "Precondition Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{507, "Insufficient Storage"},
};

const char *response_reason(int status)
{
	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

void response_init(struct response *r, struct arena *a)
{
	*r = (struct response){.arena = a, .status = 200, .body = BUF_INIT(RESPONSE_MAX_BODY)};
}

void response_free(struct response *r)
{
	buf_free(&r->body);
}

static struct response_header *find(struct response *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (strcasecmp(r->headers[i].name, name) == 0)
			return &r->headers[i];
	return NULL;
}

void response_header(struct response *r, const char *name, const char *value)
{
	struct response_header *h = find(r, name);

	if (strpbrk(value, "\r\n") != NULL || strpbrk(name, "\r\n: ") != NULL)
		return;
	if (h == NULL) {
		if (r->header_count == RESPONSE_MAX_HEADERS)
			return;
		h = &r->headers[r->header_count++];
	}
	*h = (struct response_header){.name = name, .value = value};
}

const char *response_get(const struct response *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (strcasecmp(r->headers[i].name, name) == 0)
			return r->headers[i].value;
	return NULL;
}

static void set_default(struct response *r, const char *name, const char *value)
{
	if (find(r, name) == NULL)
		response_header(r, name, value);
}

static int append(const char *data, size_t len, void *body)
{
	struct buf *b = body;

	buf_put(b, data, len);
	return b->failed ? -1 : 0;
}

/* Forgets the body, held or streamed. */
static void clear_body(struct response *r)
{
	buf_clear(&r->body);
	r->stream = NULL;
	r->content_length = 0;
	r->shared = NULL;
}

void response_shared(struct response *r, int status, const char *data, size_t len)
{
	clear_body(r);
	r->status = status;
	r->shared = data;
	r->shared_len = len;
}

bool response_json(struct response *r, int status, json_t *doc, struct err *e)
{
	bool written;

	/* A caller builds the document with json_pack(), whose NULL means that memory is out. */
	clear_body(r);
	if (doc == NULL)
		return err_no_memory(e);
	written = json_dump_callback(doc, append, &r->body, JSON_COMPACT) == 0;
	json_decref(doc);
	if (!written) {
		clear_body(r);
		return err_no_memory(e);
	}
	r->status = status;
	response_header(r, "Content-Type", "application/json");
	return true;
}

/*
 * An error keeps only the headers that speak of the request or of the service; ETag, Content-Disposition and the like
 * described the body that is not sent.
 */
static bool outlives_body(const char *name)
{
	return strncasecmp(name, "X-", 2) == 0 || strncasecmp(name, "Access-Control-", 15) == 0 ||
	       strcasecmp(name, "Vary") == 0 || strcasecmp(name, "Allow") == 0 ||
	       strcasecmp(name, "Retry-After") == 0 || strcasecmp(name, "WWW-Authenticate") == 0;
}

void response_error(struct response *r, const struct err *e, const char *request_id)
{
	struct err failed;
	size_t kept = 0;
	json_t *doc;

	for (size_t i = 0; i < r->header_count; i++)
		if (outlives_body(r->headers[i].name))
			r->headers[kept++] = r->headers[i];
	r->header_count = kept;
	/* "o*" leaves the member out where there is nothing to say. */
	doc = json_pack("{s:s, s:s, s:s, s:o*}", "message", e->message, "code", e->code, "request_id", request_id,
			"hint", e->hint[0] != '\0' ? json_string(e->hint) : NULL);
	if (!response_json(r, err_http_status(e->kind), doc, &failed)) {
		/* Without memory for the document, the code alone still says what happened. */
		r->status = err_http_status(e->kind);
		response_header(r, "Content-Type", "application/json");
		buf_printf(&r->body, "{\"message\":\"%s\",\"code\":\"%s\",\"request_id\":\"%s\"}", e->code, e->code,
			   request_id);
	}
	if (r->status == 401)
		set_default(r, "WWW-Authenticate", "Bearer"); /* RFC 9110, 15.5.2 */
	if (r->status == 503)
		set_default(r, "Retry-After", "1");
}

/* A writer that holds a stream to the length that the head has promised. */
struct counted {
	const struct response_writer *inner;
	int64_t left;
};

static bool write_counted(void *ctx, const void *data, size_t len)
{
	struct counted *c = ctx;

	if ((uint64_t)c->left < len)
		return false;
	c->left -= (int64_t)len;
	return c->inner->write(c->inner->ctx, data, len);
}

static bool send_stream(struct response *r, const struct response_writer *w)
{
	struct counted c = {.inner = w, .left = r->content_length};
	struct response_writer counting = {.write = write_counted, .ctx = &c};

	if (r->content_length == RESPONSE_UNTIL_END)
		return r->stream(r->stream_ctx, w);
	return r->stream(r->stream_ctx, &counting) && c.left == 0;
}

/* Where there is no memory for the answer, which may have told of something that was done. */
static bool send_no_answer(const struct response *r, const struct response_writer *w, bool head_only)
{
	const char *known = response_get(r, "X-Request-Id");
	const char *id = known != NULL ? known : "-";
	static const char head[] =
		"Status: 503 Service Unavailable\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
		"X-Content-Type-Options: nosniff\r\nRetry-After: 1\r\nX-Request-Id: ";
	const char *const parts[] = {
		head,
		id,
		"\r\n\r\n",
		"{\"message\":\"The server has no memory for the answer\",\"code\":\"out_of_memory\",\"request_id\":\"",
		id,
		"\"}",
	};
	bool ok = true;

	for (size_t i = 0; ok && i < (head_only ? 3 : sizeof parts / sizeof parts[0]); i++)
		ok = w->write(w->ctx, parts[i], strlen(parts[i]));
	return ok;
}

bool response_send(struct response *r, const struct response_writer *w, bool head_only)
{
	struct buf head = BUF_INIT(MAX_HEAD + ONE_WRITE);
	/* RFC 9110, 8.6 and 15.4.5: neither has a body, and 204 must not have the header either. */
	bool bodyless = r->status == 204 || r->status == 304;
	bool with_body = !bodyless && !head_only;
	const char *body = r->shared != NULL ? r->shared : r->body.data;
	size_t body_len = r->shared != NULL ? r->shared_len : r->body.len;
	bool together;
	bool sent = false;

	buf_printf(&head, "Status: %d %s\r\n", r->status, response_reason(r->status));
	for (size_t i = 0; i < r->header_count; i++)
		buf_printf(&head, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
	if (find(r, "Cache-Control") == NULL)
		buf_puts(&head, "Cache-Control: no-store\r\n");
	if (find(r, "X-Content-Type-Options") == NULL)
		buf_puts(&head, "X-Content-Type-Options: nosniff\r\n");
	if (!bodyless && (r->stream == NULL || r->content_length != RESPONSE_UNTIL_END))
		buf_printf(&head, "Content-Length: %lld\r\n",
			   r->stream != NULL ? (long long)r->content_length : (long long)body_len);
	buf_puts(&head, "\r\n");
	together = with_body && r->stream == NULL && body_len <= ONE_WRITE;
	if (together)
		buf_put(&head, body, body_len);
	if (r->body.failed || head.failed)
		sent = send_no_answer(r, w, head_only);
	else if (!with_body || together)
		sent = w->write(w->ctx, head.data, head.len);
	else if (r->stream == NULL)
		sent = w->write(w->ctx, head.data, head.len) && w->write(w->ctx, body, body_len);
	else if (r->content_length >= RESPONSE_UNTIL_END)
		sent = w->write(w->ctx, head.data, head.len) && send_stream(r, w);
	buf_free(&head);
	return sent;
}
