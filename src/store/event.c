#include "store/event.h"

#include "core/text.h"

#define COLUMNS                                                                                                        \
	"id, (extract(epoch FROM at) * 1000)::int8, slug, version, kind, level, message, execution_id,"                \
	" coalesce(status, 0), coalesce(ms, -1), coalesce(count, 0)"
#define MS(n) "to_timestamp($" n "::int8 / 1000.0)"
#define WHERE                                                                                                          \
	" FROM functions_admin.function_events WHERE project_ref = $1 AND ($2::text IS NULL OR slug = $2)"             \
	" AND kind = ANY (coalesce(string_to_array($3, ','),"                                                          \
	" ARRAY['log', 'boot', 'boot_failure', 'exception', 'shutdown', 'dropped']))"                                  \
	" AND ($4::text IS NULL OR level = $4) AND ($5::int4 = 0 OR version = $5)"                                     \
	" AND ($6::text IS NULL OR position(lower($6) IN lower(message)) > 0)"                                         \
	" AND ($7::int8 = 0 OR at >= " MS("7") ") AND ($8::int8 = 0 OR at < " MS("8") ")"

static const struct pg_stmt make_partitions = {
	"event_partitions",
	"SELECT functions_admin.event_partition(DATE '1970-01-01' + d::int4) FROM generate_series($1::int8, $2::int8) "
	"d",
};
/* One batch after the other: whoever follows the log by id must not see a later one first. */
static const struct pg_stmt lock_order = {
	"event_lock",
	"SELECT pg_advisory_xact_lock(28728020124199796)",
};
static const struct pg_stmt upsert_batch = {
	"event_batch",
	"INSERT INTO functions_admin.event_sources AS s (source, batch) VALUES ($1::uuid, $2::int8)"
	" ON CONFLICT (source) DO UPDATE SET batch = excluded.batch, at = clock_timestamp()"
	" WHERE s.batch < excluded.batch RETURNING 1",
};
static const struct pg_stmt insert_events = {
	"event_insert",
	"INSERT INTO functions_admin.function_events (at, project_ref, slug, version, kind, level, message, "
	"execution_id,"
	" status, ms, count) SELECT to_timestamp(x.at / 1000.0), $1, x.slug, x.version, x.kind, x.level,"
	" left(x.message, 10000), x.execution_id, x.status, x.ms, x.count FROM jsonb_to_recordset($2::jsonb)"
	" AS x (at int8, slug text, version int4, kind text, level text, message text, execution_id text, status int4,"
	" ms int4, count int8)",
};
static const struct pg_stmt select_back = {
	"event_list",
	"SELECT " COLUMNS WHERE
	" AND ($9::int8 = 0 OR (at, id) < (" MS("9") ", $10::int8))"
						     " ORDER BY at DESC, id DESC LIMIT $11::int8",
};
static const struct pg_stmt select_forward = {
	"event_follow",
	"SELECT " COLUMNS WHERE " AND ($9::int8 = 0 OR id > $10::int8) ORDER BY id LIMIT $11::int8",
};
#define STATS                                                                                                          \
	" count(*) FILTER (WHERE kind = 'call'), count(*) FILTER (WHERE kind = 'call' AND status >= 400),"             \
	" count(*) FILTER (WHERE kind = 'call' AND status >= 500), count(*) FILTER (WHERE kind = 'exception'),"        \
	" count(*) FILTER (WHERE kind = 'boot'), count(*) FILTER (WHERE kind = 'boot_failure'),"                       \
	" count(*) FILTER (WHERE kind = 'log'),"                                                                       \
	" coalesce((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE kind = 'call'))::int8, -1),"         \
	" coalesce((percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) FILTER (WHERE kind = 'call'))::int8, -1),"        \
	" coalesce((percentile_cont(0.99) WITHIN GROUP (ORDER BY ms) FILTER (WHERE kind = 'call'))::int8, -1),"        \
	" coalesce(max(ms) FILTER (WHERE kind = 'call'), -1)::int8,"                                                   \
	" coalesce((avg(ms) FILTER (WHERE kind = 'call'))::int8, -1),"                                                 \
	" coalesce((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE kind = 'boot'))::int8, -1),"         \
	" coalesce((percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) FILTER (WHERE kind = 'boot'))::int8, -1)"         \
	" FROM functions_admin.function_events WHERE project_ref = $1 AND slug = $2 AND at >= " MS(                    \
		"3") " AND at < " MS("4")

static const struct pg_stmt select_stats = {
	"event_stats",
	"SELECT version::int8," STATS " GROUP BY version ORDER BY version DESC",
};
static const struct pg_stmt select_series = {
	"event_series",
	"SELECT (floor(extract(epoch FROM at) / $5::int8) * $5::int8 * 1000)::int8 AS bucket," STATS
	" GROUP BY bucket ORDER BY bucket",
};
/* A partition's name ends in its day, so names in order are days in order. */
static const struct pg_stmt select_partitions = {
	"event_partition_list",
	"SELECT c.relname::text, greatest(c.reltuples, 0)::int8, pg_total_relation_size(c.oid),"
	" (to_date(right(c.relname, 8), 'YYYYMMDD') - DATE '1970-01-01')::int8 FROM pg_inherits i"
	" JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'functions_admin.function_events'::regclass"
	" ORDER BY c.relname",
};
static const struct pg_stmt drop_day = {
	"event_drop",
	"SELECT functions_admin.event_drop(DATE '1970-01-01' + $1::int4)",
};
static const struct pg_stmt shed_day = {
	"event_shed",
	"SELECT functions_admin.event_shed(DATE '1970-01-01' + $1::int4, $2::bool)",
};
static const struct pg_stmt forget_sources = {
	"event_sources_forget",
	"DELETE FROM functions_admin.event_sources WHERE at < now() - interval '7 days'",
};

bool event_partitions(struct pg_conn *c, struct arena *a, int64_t from, int64_t to, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_int(&p, from);
	pg_int(&p, to);
	return pg_query(c, a, &make_partitions, &p, NULL, e);
}

bool event_batch(struct pg_conn *c, struct arena *a, const char *source, int64_t batch, bool *fresh, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, source);
	pg_int(&p, batch);
	if (!pg_query(c, a, &lock_order, NULL, NULL, e) || !pg_query(c, a, &upsert_batch, &p, &r, e))
		return false;
	*fresh = pg_rows(r) == 1;
	return true;
}

bool event_insert(struct pg_conn *c, struct arena *a, const char *project_ref, const char *events, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	pg_text(&p, events);
	return pg_query(c, a, &insert_events, &p, NULL, e);
}

bool event_list(struct pg_conn *c, struct arena *a, const char *project_ref, const struct event_filter *f,
		struct function_event **out, size_t *count, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, f->slug);
	pg_text(&p, f->kinds);
	pg_text(&p, f->level);
	pg_int(&p, f->version);
	pg_text(&p, f->text);
	pg_int(&p, f->from);
	pg_int(&p, f->to);
	pg_int(&p, f->at);
	pg_int(&p, f->id);
	pg_int(&p, f->limit);
	if (!pg_query(c, a, f->forward ? &select_forward : &select_back, &p, &r, e))
		return false;
	*count = (size_t)pg_rows(r);
	*out = arena_array(a, *count, sizeof **out);
	if (*out == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < *count; i++) {
		(*out)[i] = (struct function_event){
			.id = pg_get_int(r, (int)i, 0),
			.at = pg_get_int(r, (int)i, 1),
			.slug = pg_get_text(r, (int)i, 2),
			.version = (int)pg_get_int(r, (int)i, 3),
			.kind = pg_get_text(r, (int)i, 4),
			.level = pg_get_text(r, (int)i, 5),
			.message = pg_get_text(r, (int)i, 6),
			.execution_id = pg_get_text(r, (int)i, 7),
			.status = (int)pg_get_int(r, (int)i, 8),
			.ms = (int)pg_get_int(r, (int)i, 9),
			.count = pg_get_int(r, (int)i, 10),
		};
	}
	return true;
}

static bool read_stats(const struct pg_result *r, struct arena *a, struct function_stats **out, size_t *count,
		       struct err *e)
{
	*count = (size_t)pg_rows(r);
	*out = arena_array(a, *count, sizeof **out);
	if (*out == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < *count; i++) {
		(*out)[i] = (struct function_stats){
			.key = pg_get_int(r, (int)i, 0),
			.calls = pg_get_int(r, (int)i, 1),
			.refused = pg_get_int(r, (int)i, 2),
			.errors = pg_get_int(r, (int)i, 3),
			.exceptions = pg_get_int(r, (int)i, 4),
			.boots = pg_get_int(r, (int)i, 5),
			.boot_failures = pg_get_int(r, (int)i, 6),
			.logs = pg_get_int(r, (int)i, 7),
			.p50_ms = pg_get_int(r, (int)i, 8),
			.p95_ms = pg_get_int(r, (int)i, 9),
			.p99_ms = pg_get_int(r, (int)i, 10),
			.max_ms = pg_get_int(r, (int)i, 11),
			.avg_ms = pg_get_int(r, (int)i, 12),
			.boot_p50_ms = pg_get_int(r, (int)i, 13),
			.boot_p95_ms = pg_get_int(r, (int)i, 14),
		};
	}
	return true;
}

bool event_stats(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug, int64_t from,
		 int64_t to, struct function_stats **out, size_t *count, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, slug);
	pg_int(&p, from);
	pg_int(&p, to);
	return pg_query(c, a, &select_stats, &p, &r, e) && read_stats(r, a, out, count, e);
}

bool event_series(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug, int64_t from,
		  int64_t to, int64_t step, struct function_stats **out, size_t *count, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, slug);
	pg_int(&p, from);
	pg_int(&p, to);
	pg_int(&p, step);
	return pg_query(c, a, &select_series, &p, &r, e) && read_stats(r, a, out, count, e);
}

static bool drop_partition(struct pg_conn *c, struct arena *a, int64_t day, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_int(&p, day);
	return pg_query(c, a, &drop_day, &p, NULL, e);
}

/* A day goes, or with `whole` false its older half, and rows of the kind "dropped" tell how many events that were. */
static bool shed(struct pg_conn *c, struct arena *a, int64_t day, bool whole, int64_t *lost, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_int(&p, day);
	pg_bool(&p, whole);
	if (!pg_query(c, a, &shed_day, &p, &r, e))
		return false;
	*lost += pg_get_int(r, 0, 0);
	return true;
}

bool event_prune(struct pg_conn *c, struct arena *a, int64_t oldest_day, int64_t max_bytes, int64_t *old, int64_t *lost,
		 struct err *e)
{
	struct pg_result *r;
	int64_t bytes = 0;
	int last;

	*old = *lost = 0;
	if (!pg_query(c, a, &forget_sources, NULL, NULL, e) || !pg_query(c, a, &select_partitions, NULL, &r, e))
		return false;
	/* Today's and tomorrow's are the last two. */
	last = pg_rows(r) - 2;
	for (int i = 0; i < pg_rows(r); i++)
		bytes += pg_get_int(r, i, 2);
	for (int i = 0; i < last; i++) {
		bool aged = pg_get_int(r, i, 3) < oldest_day;

		if (!aged && bytes <= max_bytes)
			return true;
		if (!(aged ? drop_partition(c, a, pg_get_int(r, i, 3), e)
			   : shed(c, a, pg_get_int(r, i, 3), true, lost, e)))
			return false;
		bytes -= pg_get_int(r, i, 2);
		*old += aged ? pg_get_int(r, i, 1) : 0;
	}
	if (last < 0 || bytes <= max_bytes || shed(c, a, pg_get_int(r, last, 3), false, lost, e))
		return true;
	/* The half that stays is written anew. Where the time for that does not suffice, all of the day goes. */
	*e = (struct err)ERR_INIT;
	return shed(c, a, pg_get_int(r, last, 3), true, lost, e);
}
