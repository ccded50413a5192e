#include "store/function.h"

#include "store/version.h"

#define COLUMNS                                                                                                        \
	"f.id::text, f.project_ref, f.slug, f.name, f.status, f.sticky::text, coalesce(f.active_version, 0)::int4,"    \
	" f.latest_version::int4, (extract(epoch FROM f.created_at) * 1000)::int8,"                                    \
	" (extract(epoch FROM f.updated_at) * 1000)::int8"
#define COLUMN_COUNT 10
#define JOIN_VERSION                                                                                                   \
	" FROM functions_admin.edge_functions f JOIN functions_admin.edge_function_versions v ON v.function_id = f.id"
#define OF_PROJECT " WHERE f.project_ref = $1 AND f.deleted_at IS NULL"

/* OFFSET 0 has the server look each active version up in its index. Joined freely it reads all versions there are,
 * which takes four times as long where functions have a hundred each (bench/README.md). */
static const struct pg_stmt select_active = {
	"function_list_active",
	"SELECT " COLUMNS ", " VERSION_COLUMNS " FROM functions_admin.edge_functions f CROSS JOIN LATERAL"
	" (SELECT * FROM functions_admin.edge_function_versions v WHERE v.function_id = f.id AND v.version = "
	"f.active_version OFFSET 0) v" OF_PROJECT " ORDER BY f.slug COLLATE \"C\"",
};
/* Every function of which a release after $2 tells, as it is now; those that serve no more have no version. */
static const struct pg_stmt select_changed = {
	"function_list_changed",
	"SELECT " COLUMNS ", " VERSION_COLUMNS " FROM functions_admin.edge_functions f LEFT JOIN LATERAL"
	" (SELECT * FROM functions_admin.edge_function_versions v WHERE v.function_id = f.id AND v.version = "
	"f.active_version OFFSET 0) v ON true"
	" WHERE f.id IN (SELECT i.function_id FROM functions_admin.release_items i JOIN functions_admin.releases r"
	"  ON r.id = i.release_id WHERE r.project_ref = $1 AND r.number > $2::int8) ORDER BY f.slug COLLATE \"C\"",
};
static const struct pg_stmt select_one_active = {
	"function_find_active",
	"SELECT " COLUMNS ", " VERSION_COLUMNS JOIN_VERSION " AND v.version = f.active_version" OF_PROJECT
	" AND f.slug = $2",
};
/* The version that a rollback goes to: the given one, or with 0 that which the present one took the place of, as the
 * newest release that made the present one active tells; and, where $4 asks for it, whether the runtime has ever booted
 * it, for which all deployments of the function are read. What is found gets its deployment. */
static const struct pg_stmt start_rollback = {
	"function_start_rollback",
	"WITH found AS (SELECT " COLUMNS ", " VERSION_COLUMNS ", $4::bool AND EXISTS (SELECT FROM "
	"functions_admin.edge_function_deployments d"
	" WHERE d.function_id = f.id AND d.version = v.version AND d.boot_check IS NOT NULL),"
	" f.id AS of_function, v.version AS of_version"
	" FROM functions_admin.edge_functions f CROSS JOIN LATERAL (SELECT * FROM "
	"functions_admin.edge_function_versions v WHERE v.function_id = f.id"
	" AND v.version = CASE WHEN $3::int4 > 0 THEN $3::int4 ELSE (SELECT i.version_before FROM "
	"functions_admin.release_items i WHERE i.function_id = f.id AND i.version_after = f.active_version"
	" AND i.version_before IS DISTINCT FROM i.version_after ORDER BY i.release_id DESC LIMIT 1) END OFFSET 0) "
	"v" OF_PROJECT " AND f.slug = $2 AND f.active_version IS NOT NULL), started AS (INSERT INTO "
	"functions_admin.edge_function_deployments (id, function_id, version, status, created_by, request_id, "
	"instance_id)"
	" SELECT $5::uuid, of_function, of_version, 'pending', $6, $7, $8::uuid FROM found)"
	" SELECT * FROM found",
};
static const struct pg_stmt select_version = {
	"function_find_version",
	"SELECT " COLUMNS ", " VERSION_COLUMNS JOIN_VERSION " AND v.version = $3::int4" OF_PROJECT " AND f.slug = $2",
};
static const struct pg_stmt select_present = {
	"function_find_present",
	"SELECT " COLUMNS " FROM functions_admin.edge_functions f" OF_PROJECT " AND f.slug = $2",
};
static const struct pg_stmt select_deleted = {
	"function_find_deleted",
	"SELECT " COLUMNS " FROM functions_admin.edge_functions f WHERE f.project_ref = $1 AND f.slug = $2"
	" AND f.deleted_at IS NOT NULL ORDER BY EXISTS (SELECT FROM functions_admin.release_items i WHERE "
	"i.function_id = f.id"
	" AND i.version_after IS NOT NULL) DESC, f.deleted_at DESC LIMIT 1",
};
static const struct pg_stmt select_by_id = {
	"function_find_id",
	"SELECT " COLUMNS " FROM functions_admin.edge_functions f WHERE f.project_ref = $1 AND f.id = $2::uuid",
};
static const struct pg_stmt next_version = {
	"function_next_version",
	"INSERT INTO functions_admin.edge_functions AS f (id, project_ref, slug, name, latest_version)"
	" VALUES ($1::uuid, $2, $3, $4, 1)"
	" ON CONFLICT (project_ref, slug) WHERE deleted_at IS NULL DO UPDATE SET latest_version = f.latest_version + 1"
	" RETURNING " COLUMNS,
};
/* The project's row is locked first, as an activation does, so that the two come one after the other. */
static const struct pg_stmt update_name = {
	"function_rename",
	"WITH p AS (UPDATE functions_admin.projects SET revision = revision + 1 WHERE ref = $1 RETURNING 1)"
	" UPDATE functions_admin.edge_functions f SET name = $3, updated_at = clock_timestamp() FROM p WHERE f.id = "
	"$2::uuid"
	" AND ($4::int8 = 0 OR (coalesce(f.active_version, 0) = $5::int4"
	"  AND (extract(epoch FROM f.updated_at) * 1000)::int8 = $4::int8)) RETURNING (extract(epoch FROM "
	"f.updated_at) * 1000)::int8",
};
/* Each of the inner questions is one look into an index, for each function. */
static const struct pg_stmt select_activity = {
	"function_activity",
	"SELECT f.slug, d.created_by, (SELECT jsonb_agg(jsonb_build_object('version', t.version, 'percent', t.percent)"
	" ORDER BY t.percent DESC, t.version DESC) FROM functions_admin.function_traffic t WHERE t.function_id = "
	"f.id)::text,"
	" coalesce((extract(epoch FROM x.at) * 1000)::int8, 0), x.source, x.message"
	" FROM functions_admin.edge_functions f"
	" LEFT JOIN LATERAL (SELECT created_by FROM functions_admin.edge_function_deployments WHERE function_id = f.id"
	"  AND status IN ('active', 'verified') ORDER BY created_at DESC LIMIT 1) d ON true"
	" LEFT JOIN LATERAL (SELECT * FROM ("
	"  (SELECT created_at AS at, 'deployment' AS source, left(error_message, 300) AS message"
	"   FROM functions_admin.edge_function_deployments WHERE function_id = f.id AND status IN ('failed', "
	"'rolled_back')"
	"   AND created_at > now() - interval '1 day' ORDER BY created_at DESC LIMIT 1) UNION ALL"
	"  (SELECT at, kind, left(message, 300) FROM functions_admin.function_events WHERE project_ref = f.project_ref"
	"   AND slug = f.slug AND level = 'error' AND kind <> 'call' AND at > now() - interval '1 day'"
	"   ORDER BY at DESC LIMIT 1)) both_kinds ORDER BY at DESC LIMIT 1) x ON true" OF_PROJECT
	" AND f.active_version IS NOT NULL ORDER BY f.slug COLLATE \"C\"",
};
static const struct pg_stmt select_shares = {
	"function_shares",
	"SELECT version::int4, percent::int4 FROM functions_admin.function_traffic WHERE function_id = $1::uuid"
	" ORDER BY percent DESC, version DESC",
};
/* From the few that have a split: joined freely the server reads all functions, for what is mostly no row at all. */
static const struct pg_stmt select_all_shares = {
	"function_all_shares",
	"SELECT t.function_id::text, t.percent::int4, " VERSION_COLUMNS " FROM functions_admin.function_traffic t"
	" CROSS JOIN LATERAL (SELECT FROM functions_admin.edge_functions f" OF_PROJECT
	" AND f.id = t.function_id OFFSET 0) f CROSS JOIN LATERAL (SELECT * FROM "
	"functions_admin.edge_function_versions v"
	" WHERE v.function_id = t.function_id AND v.version = t.version OFFSET 0) v"
	" ORDER BY t.function_id, t.percent DESC, t.version DESC",
};

static void read_function(const struct pg_result *r, int row, struct function *f)
{
	*f = (struct function){
		.id = pg_get_text(r, row, 0),
		.project_ref = pg_get_text(r, row, 1),
		.slug = pg_get_text(r, row, 2),
		.name = pg_get_text(r, row, 3),
		.status = pg_get_text(r, row, 4),
		.sticky = pg_get_text(r, row, 5),
		.active_version = (int)pg_get_int(r, row, 6),
		.latest_version = (int)pg_get_int(r, row, 7),
		.created_at = pg_get_int(r, row, 8),
		.updated_at = pg_get_int(r, row, 9),
	};
}

static bool read_with_version(const struct pg_result *r, int row, struct arena *a, struct function *f)
{
	read_function(r, row, f);
	return version_read(r, row, COLUMN_COUNT, a, &f->version);
}

bool function_ask_active(struct pg_conn *c, struct arena *a, const char *project_ref, struct pg_result **out,
			 struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	return pg_queue(c, a, &select_active, &p, out, e);
}

bool function_ask_changed(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t release_number,
			  struct pg_result **out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	pg_int(&p, release_number);
	return pg_queue(c, a, &select_changed, &p, out, e);
}

bool function_read_list(const struct pg_result *r, struct arena *a, struct function_list *out, struct err *e)
{
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < out->count; i++) {
		if (pg_is_null(r, (int)i, COLUMN_COUNT))
			read_function(r, (int)i, &out->items[i]);
		else if (!read_with_version(r, (int)i, a, &out->items[i]))
			return err_no_memory(e);
	}
	return true;
}

bool function_list_active(struct pg_conn *c, struct arena *a, const char *project_ref, struct function_list *out,
			  struct err *e)
{
	struct pg_result *r;

	return function_ask_active(c, a, project_ref, &r, e) && pg_flush(c, e) && function_read_list(r, a, out, e);
}

static bool not_found(struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "function_not_found", "Function not found");
}

bool function_read_version(const struct pg_result *r, struct arena *a, struct function *out, struct err *e)
{
	if (pg_rows(r) == 0)
		return not_found(e);
	return read_with_version(r, 0, a, out) ? true : err_no_memory(e);
}

static bool find(struct pg_conn *c, struct arena *a, const struct pg_stmt *stmt, const struct pg_params *p,
		 bool with_version, struct function *out, struct err *e)
{
	struct pg_result *r;

	if (!pg_query(c, a, stmt, p, &r, e))
		return false;
	if (with_version)
		return function_read_version(r, a, out, e);
	if (pg_rows(r) == 0)
		return not_found(e);
	read_function(r, 0, out);
	return true;
}

bool function_find_active(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
			  struct function *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	pg_text(&p, slug);
	return find(c, a, &select_one_active, &p, true, out, e);
}

bool function_find_present(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
			   struct function *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	pg_text(&p, slug);
	return find(c, a, &select_present, &p, false, out, e);
}

bool function_ask_version(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug, int version,
			  struct pg_result **out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	pg_text(&p, slug);
	pg_int(&p, version);
	return pg_queue(c, a, &select_version, &p, out, e);
}

bool function_ask_rollback(struct pg_conn *c, struct arena *a, const struct rollback_start *start,
			   struct pg_result **out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, start->project_ref);
	pg_text(&p, start->slug);
	pg_int(&p, start->version);
	pg_bool(&p, start->asks_booted);
	pg_text(&p, start->deployment_id);
	pg_text(&p, start->who->name);
	pg_text(&p, start->who->request_id);
	pg_text(&p, start->instance);
	return pg_plan_by_index(c, a, e) && pg_queue(c, a, &start_rollback, &p, out, e);
}

bool function_read_rollback(struct pg_conn *c, struct arena *a, const struct rollback_start *start,
			    const struct pg_result *r, struct function *out, bool *booted, struct err *e)
{
	if (pg_rows(r) > 0) {
		*booted = pg_get_bool(r, 0, COLUMN_COUNT + VERSION_COLUMN_COUNT);
		return read_with_version(r, 0, a, out) ? true : err_no_memory(e);
	}
	/* Which of the two is missing? */
	if (!function_find_active(c, a, start->project_ref, start->slug, out, e))
		return false;
	if (start->version > 0)
		return version_not_found(start->version, e);
	(void)err_set(e, ERR_CONFLICT, "nothing_before", "No version was active before the present one");
	return err_hint(e, "Name the version to go to: GET .../versions lists them.");
}

bool function_find_deleted(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
			   struct function *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	pg_text(&p, slug);
	return find(c, a, &select_deleted, &p, false, out, e);
}

bool function_find_id(struct pg_conn *c, struct arena *a, const char *project_ref, const char *id, struct function *out,
		      struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	pg_text(&p, id);
	return find(c, a, &select_by_id, &p, false, out, e);
}

bool function_next_version(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
			   const char *name, const char *new_id, struct function *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, new_id);
	pg_text(&p, project_ref);
	pg_text(&p, slug);
	pg_text(&p, name);
	return find(c, a, &next_version, &p, false, out, e);
}

bool function_rename(struct pg_conn *c, struct arena *a, const char *project_ref, const char *function_id,
		     const char *name, const struct expectation *expected, int64_t *updated_at, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, function_id);
	pg_text(&p, name);
	pg_int(&p, expected->set ? expected->updated_at : 0);
	pg_int(&p, expected->active_version);
	if (!pg_query(c, a, &update_name, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_PRECONDITION, NULL, "The function was changed since you read it");
	*updated_at = pg_get_int(r, 0, 0);
	return true;
}

bool function_shares(struct pg_conn *c, struct arena *a, const char *function_id, struct shares *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, function_id);
	if (!pg_query(c, a, &select_shares, &p, &r, e))
		return false;
	out->count = pg_rows(r) > MAX_SHARES ? MAX_SHARES : (size_t)pg_rows(r);
	for (size_t i = 0; i < out->count; i++)
		out->items[i] = (struct share){(int)pg_get_int(r, (int)i, 0), (int)pg_get_int(r, (int)i, 1)};
	return true;
}

bool function_ask_shares(struct pg_conn *c, struct arena *a, const char *project_ref, struct pg_result **out,
			 struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	return pg_queue(c, a, &select_all_shares, &p, out, e);
}

bool function_each_share(const struct pg_result *r, struct arena *a,
			 bool (*fn)(void *ctx, const char *function_id, int percent, const struct version *v),
			 void *ctx, struct err *e)
{
	for (int i = 0; i < pg_rows(r); i++) {
		struct version v;

		if (!version_read(r, i, 2, a, &v) || !fn(ctx, pg_get_text(r, i, 0), (int)pg_get_int(r, i, 1), &v))
			return err_no_memory(e);
	}
	return true;
}

bool function_list_activity(struct pg_conn *c, struct arena *a, const char *project_ref, struct activity_list *out,
			    struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	if (!pg_query(c, a, &select_activity, &p, &r, e))
		return false;
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < out->count; i++)
		out->items[i] = (struct function_activity){
			.slug = pg_get_text(r, (int)i, 0),
			.updated_by = pg_get_text(r, (int)i, 1),
			.traffic = pg_get_text(r, (int)i, 2),
			.error_at = pg_get_int(r, (int)i, 3),
			.error_source = pg_get_text(r, (int)i, 4),
			.error_message = pg_get_text(r, (int)i, 5),
		};
	return true;
}
