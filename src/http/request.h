/*
 * request - one HTTP request as the layers above see it, whoever delivers it (FastCGI, or a test).
 *
 * All strings live as long as the request's arena. The body is read once, in order, through request_read().
 */
#ifndef FA_HTTP_REQUEST_H
#define FA_HTTP_REQUEST_H

#include "core/arena.h"
#include "core/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct request;

/* Where a request comes from: the FastCGI connection, or a test. */
struct request_source {
	/* The value of a CGI variable (RFC 3875), such as HTTP_ACCEPT; NULL where it is not set. */
	const char *(*param)(void *ctx, const char *name);
	/* Up to len bytes of the body; 0 at its end, -1 when the peer went away. */
	ssize_t (*read)(void *ctx, void *out, size_t len);
	/* Whether the peer has gone, or sends no more; does not wait. NULL: nobody knows. */
	bool (*gone)(void *ctx);
	void *ctx;
};

struct query_pair {
	const char *name;
	const char *value;
};

/* Sees the body's bytes as they are read. */
struct request_observer {
	void (*see)(void *ctx, const void *data, size_t len);
	void *ctx;
};

struct request {
	struct arena *arena;
	struct request_source source;
	const char *method;
	const char *path; /* raw, as sent, without query and without the configured base path; starts with '/' */
	const char *content_type;         /* "" where absent */
	int64_t content_length;           /* -1 where absent */
	int64_t body_read;                /* bytes handed out so far */
	struct request_observer observer; /* see NULL: nobody watches */
	char id[64];                      /* X-Request-Id: the gateway's if it is well-formed, else a new one */
	const char *address;              /* REMOTE_ADDR, or what a trusted proxy says (request_trust_proxies) */
	int64_t arrived;                  /* clock_ns() when it had reached us */
	struct query_pair *query;         /* decoded */
	size_t query_count;
};

/*
 * Fills *r from the source. Refused (ERR_MALFORMED): no method, a path without leading '/', bad escapes in the query, a
 * query name given twice, more than 64 pairs, a Content-Length that is not a number. The id is set in any case, so that
 * a refusal can be answered with it.
 *
 * Read from the CGI variables REQUEST_METHOD, REQUEST_URI (the path), QUERY_STRING (where it is not set, the query of
 * REQUEST_URI), CONTENT_TYPE, CONTENT_LENGTH, REMOTE_ADDR and HTTP_X_REQUEST_ID.
 */
MUST_CHECK bool request_init(struct request *r, struct arena *a, const struct request_source *source,
			     const char *base_path, struct err *e);

/*
 * Sets the address from X-Forwarded-For, as far as it can be believed: where the peer's address lies in `networks`
 * ("127.0.0.1, 10.0.0.0/8, ::1"), the header is read from its end, and the first address outside of them is the
 * client's. To be called after request_init(); without networks, or memory, the address stays as it is.
 */
void request_trust_proxies(struct request *r, const char *networks);

/* The value of header `name` ("If-Match"), or NULL. */
const char *request_header(const struct request *r, const char *name);

/* The value of a query parameter, or NULL. */
const char *request_query(const struct request *r, const char *name);

/*
 * Whether the client takes an answer of this media type (RFC 9110, 12.5.1): it says nothing about it, or names it, its
 * group ("text/" followed by a star) or everything, and not with q=0. Of several ranges the most exact one counts.
 */
bool request_accepts(const struct request *r, const char *type);

/*
 * The next bytes of the body; 0 at its end. ERR_MALFORMED when the body ends before Content-Length (RFC 9112, 8), so a
 * truncated upload is never taken for a whole one.
 */
MUST_CHECK bool request_read(struct request *r, void *out, size_t len, size_t *n, struct err *e);

/* Whether nobody may be waiting for the answer any more. True only where the peer has closed the connection, or its
 * half. */
bool request_gone(const struct request *r);

/* The whole body, at most max bytes (ERR_TOO_LARGE beyond), NUL-terminated in the arena. */
MUST_CHECK bool request_body(struct request *r, size_t max, char **out, size_t *len, struct err *e);

/* True when the media type (without parameters, RFC 9110, 8.3.1) of content_type is `type`; case-insensitive. */
bool request_is_type(const char *content_type, const char *type);

#endif
