/*
 * Form data. The first line is the Content-Type, the rest the body. It is parsed twice, whole and in pieces whose sizes
 * come from the body itself: both must give the same events and the same verdict.
 */
#include "core/buf.h"
#include "core/text.h"
#include "http/multipart.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_begin(void *ctx, const struct multipart_part *part, struct err *e)
{
	(void)e;
	if (part->name[0] == '\0' || !text_utf8_valid(part->name, strlen(part->name)))
		abort();
	if (part->filename != NULL && !text_utf8_valid(part->filename, strlen(part->filename)))
		abort();
	buf_printf(ctx, "<%s|%s|%s>", part->name, part->filename != NULL ? part->filename : "",
		   part->content_type != NULL ? part->content_type : "");
	return true;
}

static bool on_data(void *ctx, const void *data, size_t len, struct err *e)
{
	(void)e;
	buf_put(ctx, data, len);
	return true;
}

static bool on_end(void *ctx, struct err *e)
{
	(void)e;
	buf_puts(ctx, "</>");
	return true;
}

static bool parse(const char *type, const uint8_t *body, size_t len, bool in_pieces, struct buf *events, struct err *e)
{
	struct multipart_handler handler = {on_begin, on_data, on_end, events};
	struct arena *a = arena_new(0);
	struct multipart *m;
	bool ok = multipart_new(&m, a, type, 20, &handler, e);

	while (ok && len > 0) {
		size_t n = in_pieces ? (size_t)body[0] % 13 + 1 : len;

		if (n > len)
			n = len;
		ok = multipart_feed(m, body, n, e);
		body += n;
		len -= n;
	}
	ok = ok && multipart_finish(m, e);
	arena_free(a);
	return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT(1 << 22);
	struct buf pieces = BUF_INIT(1 << 22);
	struct err e1 = ERR_INIT;
	struct err e2 = ERR_INIT;
	const uint8_t *line = memchr(data, '\n', size);
	size_t type_len = line != NULL ? (size_t)(line - data) : size;
	size_t skip = line != NULL ? type_len + 1 : size;
	char *type = strndup((const char *)data, type_len);
	bool ok;

	if (type == NULL)
		return 0;
	ok = parse(type, data + skip, size - skip, false, &whole, &e1);
	if (ok != parse(type, data + skip, size - skip, true, &pieces, &e2) || e1.kind != e2.kind ||
	    strcmp(e1.message, e2.message) != 0)
		abort();
	if (ok && (whole.len != pieces.len || (whole.len > 0 && memcmp(whole.data, pieces.data, whole.len) != 0)))
		abort();
	buf_free(&whole);
	buf_free(&pieces);
	free(type);
	return 0;
}
