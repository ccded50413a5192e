#include "api/etag.h"

#include "core/crypto.h"
#include "core/text.h"

#include <string.h>

void etag_set(struct call *c, const struct function *f)
{
	const char *tag = arena_printf(c->arena, "\"%d.%lld\"", f->active_version, (long long)f->updated_at);

	if (tag != NULL)
		response_header(c->resp, "ETag", tag);
}

void etag_set_rendered(struct call *c)
{
	char hex[2 * SHA256_BYTES + 1];
	uint8_t hash[SHA256_BYTES];
	const char *tag;

	if (!crypto_sha256(c->resp->body.data, c->resp->body.len, hash))
		return;
	text_hex(hash, 16, hex);
	tag = arena_printf(c->arena, "\"%s\"", hex);
	if (tag != NULL)
		response_header(c->resp, "ETag", tag);
}

/* Weak comparison (RFC 9110, 8.8.3.2): a gateway that compresses makes W/"x" of "x". */
static bool names_tag(const char *list, const char *tag)
{
	size_t len = strlen(tag);

	while (*list != '\0') {
		list += strspn(list, " \t,");
		if (*list == '*')
			return true;
		if (strncmp(list, "W/", 2) == 0)
			list += 2;
		if (strncmp(list, tag, len) == 0 && strchr(" \t,", list[len]) != NULL)
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

bool etag_unchanged(struct call *c)
{
	const char *wanted = request_header(c->req, "If-None-Match");
	const char *tag = response_get(c->resp, "ETag");

	if (wanted == NULL || tag == NULL || !names_tag(wanted, tag))
		return false;
	c->resp->status = 304;
	return true;
}

bool etag_expectation(const struct call *c, struct expectation *out, struct err *e)
{
	const char *header = request_header(c->req, "If-Match");
	char text[64];
	char *dot;
	int64_t version;

	*out = (struct expectation){0};
	if (header == NULL || header[0] == '\0' || text_eq(header, "*"))
		return true;
	if (strncmp(header, "W/", 2) == 0)
		header += 2;
	if (header[0] != '"' || strlen(header) >= sizeof text || strlen(header) < 3)
		goto unknown;
	memcpy(text, header + 1, strlen(header));
	if (text[strlen(text) - 1] != '"')
		goto unknown;
	text[strlen(text) - 1] = '\0';
	dot = strchr(text, '.');
	if (dot == NULL)
		goto unknown;
	*dot = '\0';
	if (!text_int64(text, 0, INT32_MAX, &version) || !text_int64(dot + 1, 0, INT64_MAX, &out->updated_at))
		goto unknown;
	out->active_version = (int)version;
	out->set = true;
	return true;
unknown:
	(void)err_set(e, ERR_PRECONDITION, NULL, "If-Match names an ETag that this function never had");
	return err_hint(e, "Send the ETag of a GET of the function, as it was.");
}
