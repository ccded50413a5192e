#include "store/deployment.h"

#include <string.h>

static const struct pg_stmt insert_deployment = {
	"deployment_insert",
	"INSERT INTO functions_admin.edge_function_deployments (id, function_id, version, status, created_by, "
	"request_id)"
	" VALUES ($1::uuid, $2::uuid, $3::int4, $4, $5, $6)",
};
static const struct pg_stmt fail_deployment = {
	"deployment_fail",
	"UPDATE functions_admin.edge_function_deployments SET status = 'failed', error_code = $2, error_message = $3,"
	" finished_at = clock_timestamp() WHERE id = $1::uuid AND finished_at IS NULL",
};
static const struct pg_stmt verify_deployments = {
	"deployment_verified",
	"UPDATE functions_admin.edge_function_deployments SET status = 'verified', verified_at = clock_timestamp()"
	" WHERE id = ANY ($1::text[]::uuid[]) AND status = 'active'",
};
static const struct pg_stmt fail_abandoned = {
	"deployment_fail_abandoned",
	"WITH gone AS (UPDATE functions_admin.edge_function_deployments SET status = 'failed', error_code = "
	"'abandoned',"
	" error_message = 'The service stopped before this deployment was finished', finished_at = clock_timestamp()"
	" WHERE finished_at IS NULL AND status IN ('pending', 'staged', 'booted')"
	" AND function_id IN (SELECT id FROM functions_admin.edge_functions WHERE project_ref = $2)"
	" AND created_at <= now() - $1::int8 * interval '1 millisecond' RETURNING 1)"
	" SELECT count(*) FROM gone",
};
static const struct pg_stmt lock_project = {
	"activate_lock",
	"UPDATE functions_admin.projects SET generation = generation + 1, revision = revision + 1,"
	" release_number = release_number + 1 WHERE ref = $1 RETURNING generation, release_number",
};
/* The project's row is locked, so nobody else moves an active version between this and the update. */
static const struct pg_stmt select_before = {
	"activate_before",
	"SELECT u.n::int8, coalesce(f.active_version, 0)::int4"
	" FROM unnest($1::text[]) WITH ORDINALITY u (id, n) JOIN functions_admin.edge_functions f ON f.id = u.id::uuid"
	" WHERE f.project_ref = $2 AND (f.deleted_at IS NULL OR $3::bool) ORDER BY u.n",
};
static const struct pg_stmt update_functions = {
	"activate_functions",
	"UPDATE functions_admin.edge_functions f SET active_version = nullif(u.version, 0), updated_at = now(),"
	" name = coalesce(nullif(u.name, ''), f.name),"
	" status = CASE WHEN u.version = 0 THEN 'REMOVED' ELSE 'ACTIVE' END,"
	" deleted_at = CASE WHEN u.version = 0 THEN now() END"
	" FROM unnest($1::text[], $2::int8[], $3::text[]) u (id, version, name) WHERE f.id = u.id::uuid",
};
static const struct pg_stmt insert_release = {
	"activate_release",
	"INSERT INTO functions_admin.releases (project_ref, number, generation, source, message, created_by, "
	"request_id)"
	" VALUES ($1, $2::int8, $3::int8, $4, $5, $6, $7) RETURNING id",
};
static const struct pg_stmt insert_items = {
	"activate_items",
	"INSERT INTO functions_admin.release_items (release_id, function_id, version_before, version_after)"
	" SELECT $1::int8, u.id::uuid, nullif(u.before, 0), nullif(u.after, 0)"
	" FROM unnest($2::text[], $3::int8[], $4::int8[]) u (id, before, after)",
};
static const struct pg_stmt update_deployments = {
	"activate_deployments",
	"UPDATE functions_admin.edge_function_deployments d SET status = 'active', release_id = $1::int8,"
	" staged_at = to_timestamp(nullif(u.staged, 0) / 1000.0), booted_at = to_timestamp(nullif(u.booted, 0) / "
	"1000.0),"
	" boot_check = nullif(u.check_made, ''), boot_ms = CASE WHEN u.check_made <> '' THEN u.ms::int4 END,"
	" active_at = clock_timestamp(), finished_at = clock_timestamp()"
	" FROM unnest($2::text[], $3::int8[], $4::int8[], $5::text[], $6::int8[]) u (id, staged, booted, check_made, "
	"ms)"
	" WHERE d.id = u.id::uuid",
};

bool deployment_insert(struct pg_conn *c, struct arena *a, const char *id, const char *function_id, int version,
		       const char *status, const struct actor *who, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, id);
	pg_text(&p, function_id);
	pg_int(&p, version);
	pg_text(&p, status);
	pg_text(&p, who->name);
	pg_text(&p, who->request_id);
	return pg_query(c, a, &insert_deployment, &p, NULL, e);
}

bool deployment_fail(struct pg_conn *c, struct arena *a, const char *id, const struct err *why, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, id);
	pg_text(&p, why->code);
	pg_text(&p, why->message);
	return pg_query(c, a, &fail_deployment, &p, NULL, e);
}

bool deployment_verified(struct pg_conn *c, struct arena *a, const char *const *ids, size_t count, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text_array(&p, ids, count);
	return pg_query(c, a, &verify_deployments, &p, NULL, e);
}

bool deployment_fail_abandoned(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t older_than_ms,
			       int64_t *count, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_int(&p, older_than_ms);
	pg_text(&p, project_ref);
	if (!pg_query(c, a, &fail_abandoned, &p, &r, e))
		return false;
	*count = pg_get_int(r, 0, 0);
	return true;
}

/* The items' members as the columns that the statements below take. */
struct columns {
	const char **ids;
	const char **names;
	int64_t *before;
	int64_t *after;
};

static bool make_columns(struct arena *a, const struct activation *items, size_t count, struct columns *col)
{
	col->ids = arena_array(a, count, sizeof *col->ids);
	col->names = arena_array(a, count, sizeof *col->names);
	col->before = arena_array(a, count, sizeof *col->before);
	col->after = arena_array(a, count, sizeof *col->after);
	if (col->ids == NULL || col->names == NULL || col->before == NULL || col->after == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		col->ids[i] = items[i].function_id;
		col->names[i] = items[i].name != NULL ? items[i].name : "";
		col->after[i] = items[i].version_after;
	}
	return true;
}

static bool read_before(struct pg_conn *c, struct arena *a, struct activation_set *set, struct columns *col,
			struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text_array(&p, col->ids, set->count);
	pg_text(&p, set->project_ref);
	pg_bool(&p, set->restore);
	if (!pg_query(c, a, &select_before, &p, &r, e))
		return false;
	if ((size_t)pg_rows(r) != set->count)
		return err_set(e, ERR_NOT_FOUND, "function_not_found", "Function not found");
	for (size_t i = 0; i < set->count; i++) {
		set->items[i].version_before = (int)pg_get_int(r, (int)i, 1);
		col->before[i] = set->items[i].version_before;
	}
	return true;
}

static bool write_release(struct pg_conn *c, struct arena *a, struct activation_set *set, const struct columns *col,
			  const struct actor *who, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_params items = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, set->project_ref);
	pg_int(&p, set->release_number);
	pg_int(&p, set->generation);
	pg_text(&p, set->source);
	pg_text(&p, set->message);
	pg_text(&p, who->name);
	pg_text(&p, who->request_id);
	if (!pg_query(c, a, &insert_release, &p, &r, e))
		return false;
	set->release_id = pg_get_int(r, 0, 0);
	pg_int(&items, set->release_id);
	pg_text_array(&items, col->ids, set->count);
	pg_int_array(&items, col->before, set->count);
	pg_int_array(&items, col->after, set->count);
	return pg_query(c, a, &insert_items, &items, NULL, e);
}

static bool finish_deployments(struct pg_conn *c, struct arena *a, const struct activation_set *set, struct err *e)
{
	const char **ids = arena_array(a, set->count, sizeof *ids);
	const char **checks = arena_array(a, set->count, sizeof *checks);
	int64_t *staged = arena_array(a, set->count, sizeof *staged);
	int64_t *booted = arena_array(a, set->count, sizeof *booted);
	int64_t *ms = arena_array(a, set->count, sizeof *ms);
	struct pg_params p = PG_PARAMS(a);
	size_t n = 0;

	if (ids == NULL || checks == NULL || staged == NULL || booted == NULL || ms == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < set->count; i++) {
		const struct activation *item = &set->items[i];

		if (item->deployment_id == NULL)
			continue;
		ids[n] = item->deployment_id;
		checks[n] = item->boot_check != NULL ? item->boot_check : "";
		staged[n] = item->staged_at;
		booted[n] = item->booted_at;
		ms[n] = item->boot_ms;
		n++;
	}
	if (n == 0)
		return true;
	pg_int(&p, set->release_id);
	pg_text_array(&p, ids, n);
	pg_int_array(&p, staged, n);
	pg_int_array(&p, booted, n);
	pg_text_array(&p, checks, n);
	pg_int_array(&p, ms, n);
	return pg_query(c, a, &update_deployments, &p, NULL, e);
}

bool deployment_activate(struct pg_conn *c, struct arena *a, struct activation_set *set, const struct actor *who,
			 struct err *e)
{
	struct pg_params lock = PG_PARAMS(a);
	struct pg_params update = PG_PARAMS(a);
	struct pg_result *r;
	struct columns col;

	if (!make_columns(a, set->items, set->count, &col))
		return err_no_memory(e);
	pg_text(&lock, set->project_ref);
	if (!pg_query(c, a, &lock_project, &lock, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "project_not_found", "Project not found");
	set->generation = pg_get_int(r, 0, 0);
	set->release_number = pg_get_int(r, 0, 1);
	if (!read_before(c, a, set, &col, e))
		return false;
	pg_text_array(&update, col.ids, set->count);
	pg_int_array(&update, col.after, set->count);
	pg_text_array(&update, col.names, set->count);
	return pg_query(c, a, &update_functions, &update, NULL, e) && write_release(c, a, set, &col, who, e) &&
	       finish_deployments(c, a, set, e);
}
