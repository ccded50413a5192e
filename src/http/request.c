#include "http/request.h"

#include "core/buf.h"
#include "core/net.h"
#include "core/text.h"

#include <ctype.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>

#define MAX_QUERY_PAIRS 64
#define MAX_HEADER_NAME 64
#define READ_SIZE ((size_t)16 * 1024)

static const char *param(const struct request *r, const char *name)
{
	return r->source.param(r->source.ctx, name);
}

/* nginx passes variables without a value as empty strings. */
static const char *param_or_empty(const struct request *r, const char *name)
{
	const char *value = param(r, name);

	return value != NULL ? value : "";
}

/* What goes into logs and into a response header unchanged: letters, digits and a few marks, at most 63 of them. */
static bool well_formed_id(const char *s)
{
	size_t len = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return len > 0 && s[len] == '\0' && len < sizeof((struct request *)NULL)->id;
}

static void set_id(struct request *r)
{
	const char *given = param_or_empty(r, "HTTP_X_REQUEST_ID");
	uint8_t random[16];

	if (well_formed_id(given)) {
		memcpy(r->id, given, strlen(given) + 1);
		return;
	}
	randombytes_buf(random, sizeof random);
	text_hex(random, sizeof random, r->id);
}

/* "/.well-known/NAME", which stands before the whole path of what it tells about (RFC 8615, RFC 9728); 0 where none
 * does. */
static size_t well_known_len(const char *uri, size_t len)
{
	size_t prefix = strlen("/.well-known/");

	if (len < prefix || memcmp(uri, "/.well-known/", prefix) != 0)
		return 0;
	return prefix + strcspn(uri + prefix, "/?");
}

/*
 * The path stays encoded: the router decodes one segment at a time, so that an encoded slash is never taken for a
 * separator. That is why it is taken from REQUEST_URI; nginx gives it decoded in SCRIPT_NAME and DOCUMENT_URI.
 */
static bool set_path(struct request *r, const char *uri, const char *base_path, struct err *e)
{
	size_t len = strcspn(uri, "?");
	size_t base = base_path != NULL ? strlen(base_path) : 0;
	size_t before = well_known_len(uri, len);
	const char *rest = uri + before;
	char *path;

	if (uri[0] != '/')
		return err_set(e, ERR_MALFORMED, NULL, "The request's path does not start with a slash");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)uri[i] <= 0x20 || (unsigned char)uri[i] >= 0x7F)
			return err_set(e, ERR_MALFORMED, NULL,
				       "The request's path has a byte that must be percent-encoded");
	/* "/functions-admin/" in the configuration means the same as "/functions-admin". */
	while (base > 0 && base_path[base - 1] == '/')
		base--;
	len -= before;
	if (base > 0 && len >= base && memcmp(rest, base_path, base) == 0 &&
	    ((before == 0 && len == base) || rest[base] == '/')) {
		rest += base;
		len -= base;
	}
	path = before + len > 0 ? arena_printf(r->arena, "%.*s%.*s", (int)before, uri, (int)len, rest)
				: arena_strdup(r->arena, "/");
	if (path == NULL)
		return err_no_memory(e);
	r->path = path;
	return true;
}

static bool add_pair(struct request *r, const char *s, size_t len, struct err *e)
{
	const char *equals = memchr(s, '=', len);
	size_t name_len = equals != NULL ? (size_t)(equals - s) : len;
	struct query_pair *pair = &r->query[r->query_count];

	if (r->query_count == MAX_QUERY_PAIRS)
		return err_set(e, ERR_MALFORMED, NULL, "The query has more than %d parameters", MAX_QUERY_PAIRS);
	pair->name = text_url_decode(r->arena, s, name_len, true);
	pair->value = equals != NULL ? text_url_decode(r->arena, equals + 1, len - name_len - 1, true) : "";
	if (pair->name == NULL || pair->value == NULL)
		return err_set(e, ERR_MALFORMED, NULL,
			       "The query has a bad percent-escape, or one that is not UTF-8 text");
	/* Two values for one name would mean different things to different readers (nginx, Kong, us). */
	if (request_query(r, pair->name) != NULL)
		return err_set(e, ERR_MALFORMED, NULL, "The query parameter \"%s\" is given twice", pair->name);
	r->query_count++;
	return true;
}

static bool set_query(struct request *r, const char *query, struct err *e)
{
	if (query[0] == '\0')
		return true;
	r->query = arena_array(r->arena, MAX_QUERY_PAIRS + 1, sizeof *r->query);
	if (r->query == NULL)
		return err_no_memory(e);
	while (*query != '\0') {
		size_t len = strcspn(query, "&");

		if (len > 0 && !add_pair(r, query, len, e))
			return false;
		query += len + (query[len] == '&');
	}
	return true;
}

bool request_init(struct request *r, struct arena *a, const struct request_source *source, const char *base_path,
		  struct err *e)
{
	const char *uri;
	const char *length;
	const char *query;

	*r = (struct request){.arena = a, .source = *source, .content_length = -1, .path = "/"};
	set_id(r);
	r->address = param_or_empty(r, "REMOTE_ADDR");
	r->content_type = param_or_empty(r, "CONTENT_TYPE");
	r->method = param_or_empty(r, "REQUEST_METHOD");
	if (r->method[0] == '\0')
		return err_set(e, ERR_MALFORMED, NULL, "The request has no method");
	uri = param_or_empty(r, "REQUEST_URI");
	if (!set_path(r, uri, base_path, e))
		return false;
	/* A gateway's rewrite shows in QUERY_STRING; without it, the address has what there is. */
	query = param(r, "QUERY_STRING");
	if (query == NULL)
		query = strchr(uri, '?') != NULL ? strchr(uri, '?') + 1 : "";
	if (!set_query(r, query, e))
		return false;
	length = param_or_empty(r, "CONTENT_LENGTH");
	if (length[0] != '\0' && !text_int64(length, 0, INT64_MAX, &r->content_length))
		return err_set(e, ERR_MALFORMED, NULL, "Content-Length is not a number");
	return true;
}

/* ---- The client's address behind proxies ---- */

void request_trust_proxies(struct request *r, const char *networks)
{
	const char *header = request_header(r, "X-Forwarded-For");
	struct net address;
	char *hops;

	if (networks == NULL || header == NULL || !net_address(r->address, &address))
		return;
	hops = arena_strdup(r->arena, header);
	/* Each proxy adds its peer at the end. What stands before the first one that is not ours, anybody may have made
	 * up. */
	while (hops != NULL && net_list_contains(networks, &address)) {
		char *comma = strrchr(hops, ',');
		char *hop = comma != NULL ? comma + 1 : hops;

		hop += strspn(hop, " \t");
		hop[strcspn(hop, " \t")] = '\0';
		if (!net_address(hop, &address))
			return;
		r->address = hop;
		if (comma == NULL)
			return;
		*comma = '\0';
	}
}

const char *request_header(const struct request *r, const char *name)
{
	char variable[sizeof "HTTP_" + MAX_HEADER_NAME] = "HTTP_";
	size_t n = sizeof "HTTP_" - 1;

	if (strlen(name) > MAX_HEADER_NAME)
		return NULL;
	/* RFC 3875, 4.1.2 and 4.1.3: these two have variables of their own. */
	if (strcasecmp(name, "Content-Type") == 0)
		return r->content_type[0] != '\0' ? r->content_type : NULL;
	if (strcasecmp(name, "Content-Length") == 0)
		return param(r, "CONTENT_LENGTH");
	for (; *name != '\0'; name++)
		variable[n++] = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
	variable[n] = '\0';
	return param(r, variable);
}

const char *request_query(const struct request *r, const char *name)
{
	for (size_t i = 0; i < r->query_count; i++)
		if (text_eq(r->query[i].name, name))
			return r->query[i].value;
	return NULL;
}

bool request_read(struct request *r, void *out, size_t len, size_t *n, struct err *e)
{
	ssize_t got;

	*n = 0;
	/* What follows the stated length, if anything, is not this request's body. */
	if (r->content_length >= 0 && (uint64_t)(r->content_length - r->body_read) < len)
		len = (size_t)(r->content_length - r->body_read);
	if (len == 0)
		return true;
	got = r->source.read(r->source.ctx, out, len);
	if (got < 0 || (got == 0 && r->content_length > r->body_read))
		return err_set(e, ERR_MALFORMED, "truncated_body",
			       "The request's body ended after %lld bytes, before it was complete",
			       (long long)r->body_read);
	r->body_read += got;
	if (r->observer.see != NULL && got > 0)
		r->observer.see(r->observer.ctx, out, (size_t)got);
	*n = (size_t)got;
	return true;
}

bool request_gone(const struct request *r)
{
	return r->source.gone != NULL && r->source.gone(r->source.ctx);
}

static void free_body(void *body)
{
	buf_free(body);
}

static bool body_too_large(size_t max, struct err *e)
{
	return err_set(e, ERR_TOO_LARGE, NULL, "The request's body is larger than %zu bytes", max);
}

bool request_body(struct request *r, size_t max, char **out, size_t *len, struct err *e)
{
	struct buf *body = arena_alloc(r->arena, sizeof *body);
	char piece[READ_SIZE];
	size_t n;

	if (body == NULL)
		return err_no_memory(e);
	if (r->content_length > 0 && (uint64_t)r->content_length > max)
		return body_too_large(max, e);
	*body = (struct buf)BUF_INIT(max);
	if (!arena_defer(r->arena, free_body, body))
		return err_no_memory(e);
	buf_puts(body, "");
	do {
		if (!request_read(r, piece, sizeof piece, &n, e))
			return false;
		if (n > max - body->len)
			return body_too_large(max, e);
		buf_put(body, piece, n);
		if (body->failed)
			return err_no_memory(e);
	} while (n > 0);
	*out = body->data;
	*len = body->len;
	return true;
}

bool request_is_type(const char *content_type, const char *type)
{
	size_t len = strcspn(content_type, ";");

	while (len > 0 && (content_type[len - 1] == ' ' || content_type[len - 1] == '\t'))
		len--;
	return len == strlen(type) && strncasecmp(content_type, type, len) == 0;
}

/* How exactly a media range (its first len bytes) means the type: 3 by name, 2 by group, 1 as anything, 0 not at all.
 */
static int range_fits(const char *range, size_t len, const char *type)
{
	size_t group = strcspn(type, "/") + 1;

	if (len == strlen(type) && strncasecmp(range, type, len) == 0)
		return 3;
	if (len == group + 1 && strncasecmp(range, type, group) == 0 && range[group] == '*')
		return 2;
	return len == 3 && memcmp(range, "*/*", 3) == 0 ? 1 : 0;
}

/* q=0 in the parameters of a range, which end at the next comma. */
static bool is_refusal(const char *params)
{
	size_t len = strcspn(params, ",");
	const char *q = memmem(params, len, "q=0", 3);

	/* "q=0", "q=0.000": nothing but zeros up to the end. */
	return q != NULL && strspn(q + 3, ".0 \t") >= len - (size_t)(q + 3 - params);
}

bool request_accepts(const struct request *r, const char *type)
{
	const char *at = request_header(r, "Accept");
	bool accepted = false;
	int best = 0;

	if (at == NULL || at[strspn(at, " \t,")] == '\0')
		return true;
	while (*at != '\0') {
		size_t len;
		int fit;

		at += strspn(at, " \t,");
		len = strcspn(at, ";, \t");
		fit = range_fits(at, len, type);
		if (fit > best) {
			best = fit;
			accepted = !is_refusal(at + len);
		}
		at += strcspn(at, ",");
	}
	return accepted;
}
