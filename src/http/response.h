/*
 * response - one HTTP answer, whoever carries it away.
 *
 * Handlers fill status, headers and body; or set `stream` and a content_length for bodies that are too large to hold.
 * The transport writes it once the handler has returned, so that a failing handler can still change its mind.
 */
#ifndef FA_HTTP_RESPONSE_H
#define FA_HTTP_RESPONSE_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESPONSE_MAX_HEADERS 32
#define RESPONSE_MAX_BODY ((size_t)256 * 1024 * 1024)

/* The body ends with the request (event streams): no Content-Length, and what is written leaves at once. */
#define RESPONSE_UNTIL_END ((int64_t)-1)

struct response_writer {
	/* False when the peer went away. */
	bool (*write)(void *ctx, const void *data, size_t len);
	/* Sends what was written so far on its way; NULL where writing does. */
	bool (*flush)(void *ctx);
	void *ctx;
};

struct response_header {
	const char *name;
	const char *value;
};

struct response {
	struct arena *arena;
	int status;
	struct response_header headers[RESPONSE_MAX_HEADERS];
	size_t header_count;
	struct buf body;
	const char *shared; /* a body that is somebody else's, in place of `body`; NULL for none */
	size_t shared_len;
	int64_t content_length; /* of a streamed body; RESPONSE_UNTIL_END where nobody knows it yet */
	/* Writes a streamed body; false cuts the answer short, which the peer sees by Content-Length. */
	bool (*stream)(void *ctx, const struct response_writer *w);
	void *stream_ctx;
};

void response_init(struct response *r, struct arena *a);
void response_free(struct response *r);

/* Sets a header, in place of one of that name. Strings must live as long as the arena. A value with a CR or LF is
 * dropped: no header can be split. So is what comes after RESPONSE_MAX_HEADERS. */
void response_header(struct response *r, const char *name, const char *value);

/* The value of a header that was set, or NULL. */
const char *response_get(const struct response *r, const char *name);

/* Replaces the body by bytes that live as long as the arena, without copying them. */
void response_shared(struct response *r, int status, const char *data, size_t len);

/* Replaces the body by a JSON document; takes over the reference to `doc`. A doc of NULL is ERR_NO_MEMORY, so that a
 * call of json_pack() can stand in its place. */
MUST_CHECK bool response_json(struct response *r, int status, json_t *doc, struct err *e);

/*
 * Replaces the answer by the error object of the API: {"message", "code", "request_id", "hint"?}. Of the headers only
 * Allow, Retry-After, Vary, WWW-Authenticate and those that begin with "X-" or "Access-Control-" stay. 401 and 503 get
 * WWW-Authenticate and Retry-After where they have none.
 */
void response_error(struct response *r, const struct err *e, const char *request_id);

/*
 * Sends status, headers and body, in CGI form (RFC 3875, 6.3: "Status: 200 OK"), small answers in one write. Adds
 * Content-Length (save for 204 and 304), and Cache-Control: no-store and X-Content-Type-Options: nosniff unless they
 * are set. False when the peer went away, or when a stream wrote less or more than its content_length.
 */
MUST_CHECK bool response_send(struct response *r, const struct response_writer *w, bool head_only);

const char *response_reason(int status);

#endif
