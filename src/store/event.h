/* event - rows of function_events: what functions say and do, by day. Errors are those of store/pg.h. */
#ifndef FA_STORE_EVENT_H
#define FA_STORE_EVENT_H

#include "core/model.h"
#include "store/pg.h"

/* The partitions for `from` to `to` (days since the epoch). */
MUST_CHECK bool event_partitions(struct pg_conn *c, struct arena *a, int64_t from, int64_t to, struct err *e);

/* False in *fresh where this batch, or a later one, of the source is stored already. */
MUST_CHECK bool event_batch(struct pg_conn *c, struct arena *a, const char *source, int64_t batch, bool *fresh,
			    struct err *e);

/*
 * events: a JSON array of {at, slug, version, kind, level, message, execution_id?, status?, ms?, count?}; at in
 * milliseconds, within the partitions that are there.
 */
MUST_CHECK bool event_insert(struct pg_conn *c, struct arena *a, const char *project_ref, const char *events,
			     struct err *e);

/* Which events, newest first; from what comes before (before_at, before_id), or oldest first after (after_at, ...). */
struct event_filter {
	const char *slug;  /* NULL: all functions */
	const char *kinds; /* "log,exception"; NULL: all but calls */
	const char *level; /* NULL: all */
	int version;       /* 0: all */
	const char *text;  /* NULL: all; else what the message contains, in any case */
	int64_t from;      /* ms; 0: no bound */
	int64_t to;
	int64_t at; /* the cursor: this event's time and id; 0: none */
	int64_t id;
	bool forward; /* what comes after the cursor, oldest first */
	int64_t limit;
};

MUST_CHECK bool event_list(struct pg_conn *c, struct arena *a, const char *project_ref, const struct event_filter *f,
			   struct function_event **out, size_t *count, struct err *e);

/* One row a version, newest version first. */
MUST_CHECK bool event_stats(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug, int64_t from,
			    int64_t to, struct function_stats **out, size_t *count, struct err *e);

/* Calls by interval of `step` seconds, oldest first, within [from, to). */
MUST_CHECK bool event_series(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
			     int64_t from, int64_t to, int64_t step, struct function_stats **out, size_t *count,
			     struct err *e);

/* Removes the days before `oldest_day`: *old is about how many events those had. While the others together are larger
 * than max_bytes, the oldest go, and last the older half of the present day; *lost is how many events those were, which
 * rows of the kind "dropped" tell as well. */
MUST_CHECK bool event_prune(struct pg_conn *c, struct arena *a, int64_t oldest_day, int64_t max_bytes, int64_t *old,
			    int64_t *lost, struct err *e);

#endif
