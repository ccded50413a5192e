#include "api/handlers.h"
#include "api/intake.h"
#include "api/page.h"
#include "api/sse.h"
#include "api/view.h"
#include "auth/scope.h"
#include "core/json.h"
#include "core/text.h"
#include "service/event.h"
#include "service/function.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DAY_MS ((int64_t)86400 * 1000)
#define MAX_TEXT 200
/* 9999-12-31T23:59:59.999Z: what comes later is no time to the database either. */
#define LAST_MS INT64_C(253402300799999)

bool events_take(struct call *c, struct err *e)
{
	int64_t stored = 0;
	json_t *doc;

	if (!intake_json_upto(c, (size_t)64 * 1024 * 1024, &doc, e))
		return false;
	if (!json_is_object(doc))
		return err_set(e, ERR_INVALID, NULL, "The body must be a JSON object");
	return event_take(c->service, c->arena, c->project.ref, doc, &stored, e) &&
	       response_json(c->resp, 201, json_pack("{s:I}", "stored", (json_int_t)stored), e);
}

/* Filters */

/* A time in the query, ISO 8601 in UTC; *out stays as it is where it is not given. */
static bool query_time(const struct call *c, const char *name, int64_t *out, struct err *e)
{
	const char *value = request_query(c->req, name);

	if (value == NULL || value[0] == '\0' || text_parse_iso8601(value, out))
		return true;
	(void)err_set(e, ERR_MALFORMED, NULL, "The query parameter %s is no time", name);
	return err_hint(e, "Write it in UTC, as in 2026-11-23T06:47:00Z.");
}

static bool query_word(const struct call *c, const char *name, const char *const *allowed, const char **out,
		       struct err *e)
{
	const char *value = request_query(c->req, name);

	if (value == NULL || value[0] == '\0')
		return true;
	for (; *allowed != NULL; allowed++)
		if (text_eq(*allowed, value)) {
			*out = value;
			return true;
		}
	return err_set(e, ERR_MALFORMED, NULL, "The query parameter %s has a value that it cannot have", name);
}

static bool read_filter(const struct call *c, struct event_filter *f, struct err *e)
{
	static const char *const levels[] = {"debug", "info", "warning", "error", NULL};
	static const char *const kinds[] = {"log",      "boot", "boot_failure", "exception",
					    "shutdown", "call", "dropped",      NULL};
	const char *version = request_query(c->req, "version");
	int64_t number = 0;

	f->text = request_query(c->req, "text");
	if (f->text != NULL && f->text[0] == '\0')
		f->text = NULL;
	if (f->text != NULL && strlen(f->text) > MAX_TEXT)
		return err_set(e, ERR_MALFORMED, NULL, "The query parameter text is longer than %d bytes", MAX_TEXT);
	if (version != NULL && version[0] != '\0' && !text_int64(version, 1, INT32_MAX, &number))
		return err_set(e, ERR_MALFORMED, NULL, "The query parameter version is not the number of a version");
	f->version = (int)number;
	return query_word(c, "level", levels, &f->level, e) && query_word(c, "kind", kinds, &f->kinds, e) &&
	       query_time(c, "from", &f->from, e) && query_time(c, "to", &f->to, e);
}

static json_t *view_event(struct arena *a, const struct function_event *v)
{
	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:o*, s:s*, s:o*, s:o*, s:o*}", "id", (json_int_t)v->id, "at",
			 view_time(a, v->at), "kind", v->kind, "level", v->level, "message", v->message, "version",
			 v->version > 0 ? json_integer(v->version) : NULL, "execution_id", v->execution_id, "status",
			 v->status > 0 ? json_integer(v->status) : NULL, "ms", v->ms >= 0 ? json_integer(v->ms) : NULL,
			 "count", v->count > 0 ? json_integer(v->count) : NULL);
}

/* Lists */

static bool send_list(struct call *c, struct event_filter *f, struct err *e)
{
	struct function_event *events;
	const char *next = NULL;
	struct page page;
	json_t *array;
	size_t count;

	if (!page_read(c, false, &page, e))
		return false;
	if (page.cursor != NULL) {
		const char *dash = strchr(page.cursor, '-');
		const char *at =
			dash != NULL ? arena_strndup(c->arena, page.cursor, (size_t)(dash - page.cursor)) : NULL;

		if (at == NULL || !text_int64(at, 1, LAST_MS, &f->at) || !text_int64(dash + 1, 1, INT64_MAX, &f->id))
			return err_set(e, ERR_MALFORMED, NULL,
				       "The query parameter cursor is none that this service gave out");
	}
	f->limit = page.limit + 1;
	if (!event_find(c->service, c->arena, c->project.ref, f, &events, &count, e))
		return false;
	array = json_array();
	for (size_t i = 0; i < count && i < (size_t)page.limit; i++) {
		next = arena_printf(c->arena, "%lld-%lld", (long long)events[i].at, (long long)events[i].id);
		if (json_array_append_new(array, view_event(c->arena, &events[i])) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	}
	return page_answer(c, &page, array, count > (size_t)page.limit ? next : NULL, e);
}

/* Following */

static bool send_stream(struct call *c, struct event_filter *f, struct err *e)
{
	const char *last = sse_last(c);
	struct function_event *events;
	struct bell_wait wait;
	struct page page;
	size_t count = 0;
	bool ok;

	if (!page_read(c, false, &page, e))
		return false;
	f->limit = page.limit;
	f->forward = last != NULL;
	if (f->forward && !text_int64(last, 0, INT64_MAX, &f->id))
		return err_set(e, ERR_MALFORMED, NULL, "Last-Event-ID is none that this service gave out");
	/* The query looks at the id where there is a cursor at all. */
	f->at = f->forward && f->id > 0 ? 1 : 0;
	sse_begin(c, &wait);
	do
		ok = event_find(c->service, c->arena, c->project.ref, f, &events, &count, e);
	while (ok && count == 0 && sse_wait(c, &wait));
	sse_answer(c, &wait);
	if (ok && count == 0)
		buf_printf(&c->resp->body, "id: %lld\n\n", (long long)f->id);
	for (size_t i = 0; ok && i < count; i++) {
		const struct function_event *v = &events[f->forward ? i : count - 1 - i];
		const char *id = arena_printf(c->arena, "%lld", (long long)v->id);

		ok = id != NULL ? sse_put(c, id, v->kind, view_event(c->arena, v), e) : err_no_memory(e);
	}
	return ok;
}

bool logs_get(struct call *c, struct err *e)
{
	struct event_filter filter = {.slug = c->slug};
	struct function f;

	if (!function_get(c->service, c->arena, c->project.ref, c->slug, &f, e) || !read_filter(c, &filter, e))
		return false;
	/* Counted for the project, without a slug: whose events they were is not known any more. */
	if (filter.kinds != NULL && text_eq(filter.kinds, "dropped"))
		filter.slug = "";
	return sse_wanted(c) ? send_stream(c, &filter, e) : send_list(c, &filter, e);
}

/* Numbers */

static json_t *milliseconds(int64_t value)
{
	return value >= 0 ? json_integer(value) : NULL;
}

static json_t *view_stats(const struct function_stats *s)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:{s:o*, s:o*, s:o*, s:o*}, s:{s:o*, s:o*}}",
			 "version", (json_int_t)s->key, "calls", (json_int_t)s->calls, "refused",
			 (json_int_t)s->refused, "errors", (json_int_t)s->errors, "exceptions",
			 (json_int_t)s->exceptions, "boots", (json_int_t)s->boots, "boot_failures",
			 (json_int_t)s->boot_failures, "logs", (json_int_t)s->logs, "call_ms", "p50",
			 milliseconds(s->p50_ms), "p95", milliseconds(s->p95_ms), "p99", milliseconds(s->p99_ms), "max",
			 milliseconds(s->max_ms), "boot_ms", "p50", milliseconds(s->boot_p50_ms), "p95",
			 milliseconds(s->boot_p95_ms));
}

bool stats_get(struct call *c, struct err *e)
{
	int64_t to = service_now() + 1;
	int64_t from;
	struct function_stats *stats;
	struct function f;
	json_t *array;
	size_t count;

	if (!query_time(c, "to", &to, e))
		return false;
	from = to - DAY_MS;
	if (!query_time(c, "from", &from, e) || !function_get(c->service, c->arena, c->project.ref, c->slug, &f, e) ||
	    !event_numbers(c->service, c->arena, c->project.ref, c->slug, from, to, &stats, &count, e))
		return false;
	array = json_array();
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(array, view_stats(&stats[i])) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	return response_json(c->resp, 200,
			     json_pack("{s:s, s:s, s:o}", "from", view_time(c->arena, from), "to",
				       view_time(c->arena, to), "versions", array),
			     e);
}

/* Analytics, as the Management API's clients ask for them */

/* The number after "limit" in a query's text; such clients write it last. */
static int64_t limit_in(const char *sql)
{
	const char *word = strcasestr(sql, "limit ");
	int64_t limit = 100;

	if (word != NULL)
		limit = strtoll(word + strlen("limit "), NULL, 10);
	return limit < 1 || limit > 1000 ? 100 : limit;
}

static json_t *view_row(struct arena *a, const struct function_event *v, const char *project_ref,
			const char *function_id)
{
	return json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s*, s:o*, s:o*}", "id",
			 arena_printf(a, "%lld", (long long)v->id), "timestamp", (json_int_t)v->at * 1000,
			 "event_message", v->message, "severity_text", v->level, "level", v->level, "event_type",
			 v->kind, "function_id", function_id, "deployment_id",
			 arena_printf(a, "%s_%s_%d", project_ref, function_id, v->version), "version",
			 arena_printf(a, "%d", v->version), "execution_id", v->execution_id, "status_code",
			 v->status > 0 ? json_integer(v->status) : NULL, "execution_time_ms", milliseconds(v->ms));
}

static const struct function *find_slug(const struct function_list *list, const char *slug)
{
	for (size_t i = 0; i < list->count; i++)
		if (text_eq(list->items[i].slug, slug))
			return &list->items[i];
	return NULL;
}

/*
 * The clients send SQL for a log store that is not here; what they ask for is told by the table that it names:
 * function_logs is what functions say, function_edge_logs the calls. Of other services nothing is known: no rows.
 */
bool analytics_logs(struct call *c, struct err *e)
{
	const char *sql = request_query(c->req, "sql");
	struct event_filter filter = {.to = service_now() + 1};
	struct function_event *events = NULL;
	struct function_list list = {0};
	json_t *rows = json_array();
	size_t count = 0;
	bool known = sql != NULL && strstr(sql, "function_") != NULL;
	bool ok = true;

	filter.from = filter.to - DAY_MS;
	filter.limit = known ? limit_in(sql) : 0;
	if (known && strstr(sql, "function_edge_logs") != NULL)
		filter.kinds = "call";
	ok = query_time(c, "iso_timestamp_start", &filter.from, e) && query_time(c, "iso_timestamp_end", &filter.to, e);
	if (ok && known)
		ok = function_all(c->service, c->arena, c->project.ref, &list, e) &&
		     event_find(c->service, c->arena, c->project.ref, &filter, &events, &count, e);
	for (size_t i = 0; ok && i < count; i++) {
		const struct function *f = find_slug(&list, events[i].slug);

		/* What is no function any more is told of too, but not to whoever may see some functions only. */
		if (c->who.slugs != NULL && (f == NULL || !principal_may_slug(&c->who, f->slug)))
			continue;
		ok = json_array_append_new(
			     rows, view_row(c->arena, &events[i], c->project.ref, f != NULL ? f->id : "")) == 0 ||
		     err_no_memory(e);
	}
	if (!ok) {
		json_decref(rows);
		return false;
	}
	return response_json(c->resp, 200, json_pack("{s:o}", "result", rows), e);
}

static json_t *view_interval(struct arena *a, const struct function_stats *s)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o*, s:o*}", "timestamp", view_time(a, s->key), "requests_count",
			 (json_int_t)s->calls, "success_count", (json_int_t)(s->calls - s->refused), "client_err_count",
			 (json_int_t)(s->refused - s->errors), "server_err_count", (json_int_t)s->errors,
			 "avg_execution_time", milliseconds(s->avg_ms), "max_execution_time", milliseconds(s->max_ms));
}

bool analytics_stats(struct call *c, struct err *e)
{
	static const struct {
		const char *name;
		int64_t span; /* seconds */
		int64_t step;
	} intervals[] = {{"15min", 900, 60}, {"1hr", 3600, 60}, {"3hr", 10800, 60}, {"1day", 86400, 3600}};
	const char *name = request_query(c->req, "interval");
	const char *id = request_query(c->req, "function_id");
	const struct function *f = NULL;
	int64_t now = service_now() + 1;
	struct function_stats *stats;
	struct function_list list;
	json_t *rows;
	size_t count;
	size_t n = 0;

	while (n < 4 && (name == NULL || !text_eq(name, intervals[n].name)))
		n++;
	if (n == 4)
		return err_set(e, ERR_MALFORMED, NULL, "The query parameter interval must be 15min, 1hr, 3hr or 1day");
	if (!function_all(c->service, c->arena, c->project.ref, &list, e))
		return false;
	for (size_t i = 0; id != NULL && i < list.count; i++)
		if (text_eq(list.items[i].id, id) && principal_may_slug(&c->who, list.items[i].slug))
			f = &list.items[i];
	if (f == NULL)
		return err_set(e, ERR_NOT_FOUND, "function_not_found", "Function not found");
	if (!event_intervals(c->service, c->arena, c->project.ref, f->slug, now - intervals[n].span * 1000, now,
			     intervals[n].step, &stats, &count, e))
		return false;
	rows = json_array();
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(rows, view_interval(c->arena, &stats[i])) != 0) {
			json_decref(rows);
			return err_no_memory(e);
		}
	return response_json(c->resp, 200, json_pack("{s:o}", "result", rows), e);
}
