#include "service/event.h"

#include "core/json.h"
#include "core/log.h"
#include "core/text.h"
#include "service/bell.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS ((int64_t)86400 * 1000)

static const char *const kinds[] = {"log", "boot", "boot_failure", "exception", "shutdown", "call", NULL};
static const char *const levels[] = {"debug", "info", "warning", "error", NULL};

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list != NULL; list++)
		if (text_eq(*list, word))
			return true;
	return false;
}

/* A checked copy of one event. Clocks differ: what lies outside of the days that are open is moved to their edge. */
static json_t *read_event(const json_t *item, int64_t earliest, int64_t latest, struct err *e)
{
	const char *slug = NULL;
	const char *kind = NULL;
	const char *level = "info";
	const char *execution = NULL;
	const json_t *message = json_object_get(item, "message");
	int64_t at = 0;
	int64_t version = 0;
	int64_t status = -1;
	int64_t ms = -1;
	json_t *copy;

	if (!json_is_object(item)) {
		(void)err_set(e, ERR_INVALID, NULL, "Each event must be an object");
		return NULL;
	}
	if (!json_get_string(item, "slug", JSON_REQUIRED, &slug, e) ||
	    !json_get_string(item, "kind", JSON_REQUIRED, &kind, e) ||
	    !json_get_string(item, "level", JSON_OPTIONAL, &level, e) ||
	    !json_get_string(item, "execution_id", JSON_OPTIONAL, &execution, e) ||
	    !json_get_int(item, "at", JSON_REQUIRED, 0, INT64_MAX / 2, &at, e) ||
	    !json_get_int(item, "version", JSON_REQUIRED, 0, INT32_MAX, &version, e) ||
	    !json_get_int(item, "status", JSON_OPTIONAL, 0, 999, &status, e) ||
	    !json_get_int(item, "ms", JSON_OPTIONAL, 0, INT32_MAX, &ms, e))
		return NULL;
	if (!is_one_of(kind, kinds) || !is_one_of(level, levels) || strlen(slug) > 128) {
		(void)err_set(e, ERR_INVALID, NULL, "An event has a kind, a level or a slug that is none");
		return NULL;
	}
	at = at < earliest ? earliest : at > latest ? latest : at;
	copy = json_pack("{s:I, s:s, s:I, s:s, s:s, s:s*}", "at", (json_int_t)at, "slug", slug, "version",
			 (json_int_t)version, "kind", kind, "level", level, "execution_id", execution);
	if (copy == NULL ||
	    (json_is_string(message) ? json_object_set(copy, "message", (json_t *)message)
				     : json_object_set_new(copy, "message", json_string(""))) != 0 ||
	    (status >= 0 && json_object_set_new(copy, "status", json_integer(status)) != 0) ||
	    (ms >= 0 && json_object_set_new(copy, "ms", json_integer(ms)) != 0)) {
		json_decref(copy);
		(void)err_no_memory(e);
		return NULL;
	}
	return copy;
}

static bool add_dropped(json_t *array, int64_t dropped, int64_t now, struct err *e)
{
	if (dropped == 0)
		return true;
	return json_array_append_new(array,
				     json_pack("{s:I, s:s, s:i, s:s, s:s, s:o, s:I}", "at", (json_int_t)now, "slug", "",
					       "version", 0, "kind", "dropped", "level", "warning", "message",
					       json_sprintf("%lld events were dropped before they could be stored",
							    (long long)dropped),
					       "count", (json_int_t)dropped)) == 0
		       ? true
		       : err_no_memory(e);
}

static bool read_events(const json_t *list, int64_t dropped, char **out, struct err *e)
{
	int64_t now = service_now();
	int64_t today = now / DAY_MS;
	json_t *array = json_array();
	bool ok = true;
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		/* Yesterday, today and tomorrow are open. */
		json_t *copy = read_event(item, (today - 1) * DAY_MS, (today + 2) * DAY_MS - 1, e);

		ok = copy != NULL && (json_array_append_new(array, copy) == 0 || err_no_memory(e));
		if (!ok)
			break;
	}
	ok = ok && add_dropped(array, dropped, now, e);
	*out = ok ? json_text(array, JSON_COMPACT) : NULL;
	json_decref(array);
	return ok && (*out != NULL || err_no_memory(e));
}

static bool is_uuid(const char *s)
{
	return strlen(s) == 36 && strspn(s, "0123456789abcdef-") == 36;
}

bool event_take(struct service *s, struct arena *a, const char *project_ref, const json_t *body, int64_t *stored,
		struct err *e)
{
	const json_t *list = json_object_get(body, "events");
	const char *source = NULL;
	struct pg_conn *c = NULL;
	int64_t today = service_now() / DAY_MS;
	int64_t dropped = 0;
	int64_t batch = 0;
	bool fresh = false;
	char *events = NULL;
	bool ok;

	*stored = 0;
	if (!json_get_string(body, "source", JSON_REQUIRED, &source, e) ||
	    !json_get_int(body, "batch", JSON_REQUIRED, 1, INT64_MAX, &batch, e) ||
	    !json_get_int(body, "dropped", JSON_OPTIONAL, 0, INT64_MAX, &dropped, e))
		return false;
	if (!is_uuid(source))
		return err_set(e, ERR_INVALID, NULL, "source must be a UUID in lower case");
	if (!json_is_array(list) || json_array_size(list) > EVENT_MAX_BATCH)
		return err_set(e, ERR_INVALID, NULL, "events must be an array of at most %d", EVENT_MAX_BATCH);
	if (!read_events(list, dropped, &events, e))
		return false;
	ok = pg_acquire(s->pool, &c, e) && pg_begin_lazy(c, e) && event_partitions(c, a, today - 1, today + 1, e) &&
	     event_batch(c, a, source, batch, &fresh, e) && (!fresh || event_insert(c, a, project_ref, events, e)) &&
	     pg_commit(c, e);
	pg_release(c);
	free(events);
	if (ok && fresh) {
		bell_ring();
		*stored = (int64_t)json_array_size(list);
	}
	return ok;
}

bool event_find(struct service *s, struct arena *a, const char *project_ref, const struct event_filter *f,
		struct function_event **out, size_t *count, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && event_list(c, a, project_ref, f, out, count, e);

	pg_release(c);
	return ok;
}

bool event_numbers(struct service *s, struct arena *a, const char *project_ref, const char *slug, int64_t from,
		   int64_t to, struct function_stats **out, size_t *count, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && event_stats(c, a, project_ref, slug, from, to, out, count, e);

	pg_release(c);
	return ok;
}

bool event_intervals(struct service *s, struct arena *a, const char *project_ref, const char *slug, int64_t from,
		     int64_t to, int64_t step, struct function_stats **out, size_t *count, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && event_series(c, a, project_ref, slug, from, to, step, out, count, e);

	pg_release(c);
	return ok;
}

bool event_tidy(struct service *s, struct err *e)
{
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	int64_t today = service_now() / DAY_MS;
	int64_t old = 0;
	int64_t lost = 0;
	bool ok = (a != NULL || err_no_memory(e)) && pg_acquire(s->pool, &c, e) &&
		  event_partitions(c, a, today - 1, today + 1, e) &&
		  event_prune(c, a, today - s->cfg->log_retention_days, s->cfg->log_max_bytes, &old, &lost, e);

	if (old > 0)
		log_info("logs of functions: about %lld old events were removed", (long long)old);
	if (lost > 0)
		log_warn("logs of functions: %lld events were dropped, the oldest first, to keep within log_max_bytes",
			 (long long)lost);
	pg_release(c);
	arena_free(a);
	return ok;
}
