#include "service/audit.h"
#include "api/handlers.h"
#include "api/page.h"
#include "api/view.h"
#include "auth/scope.h"
#include "core/text.h"

#include <string.h>

static bool read_time(struct call *c, const char *name, int64_t *out, struct err *e)
{
	const char *text = request_query(c->req, name);

	if (text == NULL || text_parse_iso8601(text, out))
		return true;
	(void)err_set(e, ERR_MALFORMED, NULL, "The query parameter %s is not a time in ISO 8601", name);
	return err_hint(e, "Write it as in 2026-11-23T00:00:00Z.");
}

/* Whoever is bound to functions sees what happened to these. */
static bool may_see(const struct principal *who, const struct audit_row *row)
{
	return who->slugs == NULL || (text_starts(row->action, "function.") && principal_may_slug(who, row->target));
}

bool audit_list_entries(struct call *c, struct err *e)
{
	struct audit_filter f = {
		.chain = c->project.ref,
		.actor = request_query(c->req, "actor"),
		.action = request_query(c->req, "action"),
		.target = request_query(c->req, "target"),
		.outcome = request_query(c->req, "outcome"),
		.request_id = request_query(c->req, "request_id"),
	};
	struct audit_rows rows;
	const char *next = NULL;
	struct page page;
	json_t *array;
	size_t shown = 0;

	if (!page_read(c, true, &page, e) || !read_time(c, "since", &f.since, e) ||
	    !read_time(c, "until", &f.until, e) ||
	    !audit_page(c->service, c->arena, &f, page.number, page.limit + 1, &rows, e))
		return false;
	array = json_array();
	for (; shown < rows.count && shown < (size_t)page.limit; shown++)
		if (may_see(&c->who, &rows.items[shown]) &&
		    json_array_append_new(array, view_audit(c->arena, &rows.items[shown])) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	if (shown < rows.count) {
		next = arena_printf(c->arena, "%lld", (long long)rows.items[shown - 1].seq);
		if (next == NULL) {
			json_decref(array);
			return err_no_memory(e);
		}
	}
	return page_answer(c, &page, array, next, e);
}
