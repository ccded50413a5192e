#include "store/release.h"

#define COLUMNS                                                                                                        \
	"r.id, r.number, r.generation, r.source, r.message, r.created_by, r.request_id,"                               \
	" (extract(epoch FROM r.created_at) * 1000)::int8"

static const struct pg_stmt select_list = {
	"release_list",
	"SELECT " COLUMNS
	" FROM functions_admin.releases r WHERE r.project_ref = $1 AND ($2::int8 = 0 OR r.number < $2::int8)"
	" ORDER BY r.number DESC LIMIT $3::int4",
};
static const struct pg_stmt select_one = {
	"release_find",
	"SELECT " COLUMNS " FROM functions_admin.releases r WHERE r.project_ref = $1 AND r.number = $2::int8",
};
static const struct pg_stmt select_items = {
	"release_items",
	"SELECT i.release_id, i.function_id::text, f.slug, coalesce(i.version_before, 0)::int4, "
	"coalesce(i.version_after, 0)::int4,"
	" i.traffic_before::text, i.traffic_after::text"
	" FROM functions_admin.release_items i JOIN functions_admin.edge_functions f ON f.id = i.function_id"
	" WHERE i.release_id = ANY ($1::int8[]) ORDER BY i.release_id DESC, f.slug",
};

static void read_release(const struct pg_result *r, int row, struct release *out)
{
	*out = (struct release){
		.id = pg_get_int(r, row, 0),
		.number = pg_get_int(r, row, 1),
		.generation = pg_get_int(r, row, 2),
		.source = pg_get_text(r, row, 3),
		.message = pg_get_text(r, row, 4),
		.created_by = pg_get_text(r, row, 5),
		.request_id = pg_get_text(r, row, 6),
		.created_at = pg_get_int(r, row, 7),
	};
}

/* All items in one query, in the order of the releases; each release gets its run of them. */
static bool add_items(struct pg_conn *c, struct arena *a, struct release *releases, size_t count, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	int64_t *ids = arena_array(a, count, sizeof *ids);
	struct release_item *items;
	struct pg_result *r;
	size_t next = 0;

	if (ids == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++)
		ids[i] = releases[i].id;
	pg_int_array(&p, ids, count);
	if (!pg_query(c, a, &select_items, &p, &r, e))
		return false;
	items = arena_array(a, (size_t)pg_rows(r), sizeof *items);
	if (items == NULL)
		return err_no_memory(e);
	for (int row = 0; row < pg_rows(r); row++) {
		while (next < count && releases[next].id != pg_get_int(r, row, 0))
			next++;
		if (next == count)
			break;
		if (releases[next].item_count++ == 0)
			releases[next].items = &items[row];
		items[row] = (struct release_item){
			.function_id = pg_get_text(r, row, 1),
			.slug = pg_get_text(r, row, 2),
			.version_before = (int)pg_get_int(r, row, 3),
			.version_after = (int)pg_get_int(r, row, 4),
			.traffic_before = pg_get_text(r, row, 5),
			.traffic_after = pg_get_text(r, row, 6),
		};
	}
	return true;
}

bool release_list(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t before, int limit,
		  struct release_list *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_int(&p, before);
	pg_int(&p, limit);
	if (!pg_query(c, a, &select_list, &p, &r, e))
		return false;
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < out->count; i++)
		read_release(r, (int)i, &out->items[i]);
	return out->count == 0 || add_items(c, a, out->items, out->count, e);
}

bool release_find(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t number, struct release *out,
		  struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_int(&p, number);
	if (!pg_query(c, a, &select_one, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "release_not_found", "Release not found");
	read_release(r, 0, out);
	return add_items(c, a, out, 1, e);
}
