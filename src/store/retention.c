#include "store/retention.h"

static const struct pg_stmt select_old = {
	"retention_old_versions",
	"SELECT v.function_id::text, f.slug, v.version::int4, v.size FROM functions_admin.edge_functions f"
	" CROSS JOIN LATERAL (SELECT * FROM functions_admin.edge_function_versions o WHERE o.function_id = f.id"
	"  ORDER BY o.version DESC OFFSET $2::int8) v"
	" WHERE f.project_ref = $1 AND f.deleted_at IS NULL AND v.created_at < now() - $3::int8 * interval '1 day'"
	" AND v.version IS DISTINCT FROM f.active_version"
	" AND v.version IS DISTINCT FROM (SELECT i.version_before FROM functions_admin.release_items i"
	"  WHERE i.function_id = f.id AND i.version_after = f.active_version AND i.version_before IS DISTINCT FROM "
	"i.version_after"
	"  ORDER BY i.release_id DESC LIMIT 1)"
	" AND NOT EXISTS (SELECT FROM functions_admin.function_traffic t WHERE t.function_id = f.id AND t.version = "
	"v.version)"
	/* What is being deployed, and what waits for its PUT. */
	" AND NOT EXISTS (SELECT FROM functions_admin.edge_function_deployments d WHERE d.function_id = f.id"
	"  AND d.version = v.version AND (d.status IN ('pending', 'staged', 'booted')"
	"   OR (d.status = 'bundled' AND d.created_at > now() - interval '1 hour')))"
	" LIMIT 500",
};
/* As an activation does: none of the versions that are about to go becomes active meanwhile. */
static const struct pg_stmt lock_project = {
	"retention_lock",
	"SELECT true FROM functions_admin.projects WHERE ref = $1 FOR UPDATE",
};
/* Their deployments go with them; a deployment of a version that is gone tells nothing that can be looked up. */
static const struct pg_stmt delete_versions = {
	"retention_delete_versions",
	"WITH old AS (SELECT u.id::uuid AS id, u.version::int4 AS version FROM unnest($1::text[], $2::int8[]) u (id, "
	"version)),"
	" d AS (DELETE FROM functions_admin.edge_function_deployments x USING old"
	"  WHERE x.function_id = old.id AND x.version = old.version)"
	" DELETE FROM functions_admin.edge_function_versions v USING old WHERE v.function_id = old.id AND v.version = "
	"old.version",
};
static const struct pg_stmt count_deleted = {
	"retention_count_deleted",
	"SELECT count(*) FROM functions_admin.edge_functions WHERE project_ref = $1"
	" AND deleted_at < now() - $2::int8 * interval '1 day'",
};
static const struct pg_stmt delete_deleted = {
	"retention_delete_deleted",
	"WITH gone AS (DELETE FROM functions_admin.edge_functions WHERE project_ref = $1"
	" AND deleted_at < now() - $2::int8 * interval '1 day' RETURNING 1) SELECT count(*) FROM gone",
};
#define ORPHANS                                                                                                        \
	" FROM functions_admin.blobs b WHERE b.created_at < now() - interval '1 hour'"                                 \
	" AND NOT EXISTS (SELECT FROM functions_admin.edge_function_files f WHERE f.sha256 = b.sha256)"
static const struct pg_stmt count_blobs = {
	"retention_count_blobs",
	"SELECT count(*), coalesce(sum(b.size), 0)::int8" ORPHANS,
};
static const struct pg_stmt delete_blobs = {
	"retention_delete_blobs",
	"WITH gone AS (DELETE FROM functions_admin.blobs WHERE sha256 IN (SELECT b.sha256" ORPHANS
	" LIMIT 200 FOR UPDATE SKIP LOCKED) RETURNING size) SELECT count(*), coalesce(sum(size), 0)::int8 FROM gone",
};
static const struct pg_stmt gone_releases = {
	"retention_gone_releases",
	"SELECT u.n - 1 FROM unnest($2::text[], $3::text[]) WITH ORDINALITY u (slug, name, n)"
	" WHERE u.name ~ '^[1-9][0-9]{0,8}-[0-9a-f]{12}$' AND NOT EXISTS (SELECT FROM functions_admin.edge_functions f"
	"  JOIN functions_admin.edge_function_versions v ON v.function_id = f.id"
	"  WHERE f.project_ref = $1 AND f.slug = u.slug AND f.deleted_at IS NULL"
	"  AND v.version = CASE WHEN u.name ~ '^[1-9][0-9]{0,8}-' THEN split_part(u.name, '-', 1)::int4 END"
	"  AND left(encode(v.digest, 'hex'), 12) = split_part(u.name, '-', 2))"
	" ORDER BY u.n",
};

bool retention_lock(struct pg_conn *c, struct arena *a, const char *project_ref, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	return pg_query(c, a, &lock_project, &p, NULL, e);
}

bool retention_old_versions(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t keep, int64_t days,
			    struct old_version **out, size_t *count, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_int(&p, keep);
	pg_int(&p, days);
	if (!pg_query(c, a, &select_old, &p, &r, e))
		return false;
	*count = (size_t)pg_rows(r);
	*out = arena_array(a, *count, sizeof **out);
	if (*out == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < *count; i++)
		(*out)[i] = (struct old_version){
			.function_id = pg_get_text(r, (int)i, 0),
			.slug = pg_get_text(r, (int)i, 1),
			.version = (int)pg_get_int(r, (int)i, 2),
			.size = pg_get_int(r, (int)i, 3),
		};
	return true;
}

bool retention_delete_versions(struct pg_conn *c, struct arena *a, const struct old_version *versions, size_t count,
			       struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	const char **ids = arena_array(a, count, sizeof *ids);
	int64_t *numbers = arena_array(a, count, sizeof *numbers);

	if (ids == NULL || numbers == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++) {
		ids[i] = versions[i].function_id;
		numbers[i] = versions[i].version;
	}
	pg_text_array(&p, ids, count);
	pg_int_array(&p, numbers, count);
	return pg_query(c, a, &delete_versions, &p, NULL, e);
}

bool retention_deleted_functions(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t days, bool dry,
				 int64_t *count, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_int(&p, days);
	if (!pg_query(c, a, dry ? &count_deleted : &delete_deleted, &p, &r, e))
		return false;
	*count = pg_get_int(r, 0, 0);
	return true;
}

bool retention_blobs(struct pg_conn *c, struct arena *a, bool dry, int64_t *count, int64_t *bytes, struct err *e)
{
	struct pg_result *r;

	if (!pg_query(c, a, dry ? &count_blobs : &delete_blobs, NULL, &r, e))
		return false;
	*count = pg_get_int(r, 0, 0);
	*bytes = pg_get_int(r, 0, 1);
	return true;
}

bool retention_gone_releases(struct pg_conn *c, struct arena *a, const char *project_ref, const char *const *slugs,
			     const char *const *releases, size_t count, size_t **out, size_t *gone, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text_array(&p, slugs, count);
	pg_text_array(&p, releases, count);
	if (!pg_query(c, a, &gone_releases, &p, &r, e))
		return false;
	*gone = (size_t)pg_rows(r);
	*out = arena_array(a, *gone, sizeof **out);
	if (*out == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < *gone; i++)
		(*out)[i] = (size_t)pg_get_int(r, (int)i, 0);
	return true;
}
