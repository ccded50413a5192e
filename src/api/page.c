#include "api/page.h"

#include "core/text.h"

#include <string.h>

#define MAX_CURSOR 128

bool page_read(const struct call *c, bool numeric, struct page *out, struct err *e)
{
	const char *limit = request_query(c->req, "limit");
	int64_t number = PAGE_DEFAULT;

	*out = (struct page){.cursor = request_query(c->req, "cursor")};
	if (out->cursor != NULL && out->cursor[0] == '\0')
		out->cursor = NULL;
	if (limit != NULL && !text_int64(limit, 1, PAGE_MAX, &number))
		return err_set(e, ERR_MALFORMED, NULL, "The query parameter limit must be 1 to %d", PAGE_MAX);
	out->limit = (int)number;
	if (out->cursor == NULL)
		return true;
	if (strlen(out->cursor) > MAX_CURSOR || (numeric && !text_int64(out->cursor, 1, INT32_MAX, &out->number))) {
		(void)err_set(e, ERR_MALFORMED, NULL, "The query parameter cursor is none that this service gave out");
		return err_hint(e, "Take it from next_cursor of the page before, for the same list.");
	}
	return true;
}

/* The same request with another cursor, as a reference relative to it. */
static const char *next_link(struct call *c, const struct page *page, const char *cursor)
{
	const char *encoded = text_url_encode_path(c->arena, cursor);
	const char *link =
		encoded != NULL ? arena_printf(c->arena, "<?limit=%d&cursor=%s", page->limit, encoded) : NULL;

	for (size_t i = 0; i < c->req->query_count && link != NULL; i++) {
		const struct query_pair *q = &c->req->query[i];
		const char *name;
		const char *value;

		if (text_eq(q->name, "limit") || text_eq(q->name, "cursor") || text_eq(q->name, "apikey"))
			continue;
		name = text_url_encode_path(c->arena, q->name);
		value = text_url_encode_path(c->arena, q->value);
		link = name != NULL && value != NULL ? arena_printf(c->arena, "%s&%s=%s", link, name, value) : NULL;
	}
	return link != NULL ? arena_printf(c->arena, "%s>; rel=\"next\"", link) : NULL;
}

bool page_answer(struct call *c, const struct page *page, json_t *data, const char *next_cursor, struct err *e)
{
	const char *link = next_cursor != NULL ? next_link(c, page, next_cursor) : NULL;

	if (next_cursor != NULL && link == NULL) {
		json_decref(data);
		return err_no_memory(e);
	}
	if (link != NULL)
		response_header(c->resp, "Link", link);
	return response_json(c->resp, 200, json_pack("{s:o, s:s*}", "data", data, "next_cursor", next_cursor), e);
}
