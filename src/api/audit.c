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

/* Checking */

#define MAX_FINDINGS 100

struct verification {
	json_t *findings;
	json_t *head;
	int64_t entries;
	bool complete; /* false: memory is out */
};

static void on_chain(void *ctx, const char *chain, int64_t rows, const struct audit_mark *head)
{
	struct verification *v = ctx;
	char hex[2 * CRYPTO_HASH_BYTES + 1];

	(void)chain;
	text_hex(head->hash, sizeof head->hash, hex);
	v->entries = rows;
	v->head = json_pack("{s:I, s:s}", "id", (json_int_t)head->seq, "hash", hex);
}

static void on_finding(void *ctx, const char *what)
{
	struct verification *v = ctx;

	if (json_array_size(v->findings) < MAX_FINDINGS && json_array_append_new(v->findings, json_string(what)) != 0)
		v->complete = false;
}

bool audit_verify_entries(struct call *c, struct err *e)
{
	struct verification v = {.complete = true};
	const struct audit_report report = {.chain = on_chain, .finding = on_finding, .ctx = &v};
	int64_t findings = 0;
	int64_t from = 0;
	bool ok;

	/* A finding names what happened to any function. */
	if (c->who.slugs != NULL)
		return err_set(e, ERR_FORBIDDEN, "slug_not_allowed",
			       "This access token is for some functions only, not for the whole project");
	v.findings = json_array();
	ok = audit_verify_newest(c->service, c->project.ref, &report, &from, &findings, e) &&
	     (v.complete || err_no_memory(e)) &&
	     response_json(c->resp, 200,
			   json_pack("{s:b, s:I, s:I, s:O, s:I, s:O}", "ok", findings == 0, "from", (json_int_t)from,
				     "entries", (json_int_t)v.entries, "head", v.head, "found", (json_int_t)findings,
				     "findings", v.findings),
			   e);
	json_decref(v.findings);
	json_decref(v.head);
	return ok;
}
