#include "store/deployment.h"

#include "store/audit.h"
#include "store/node.h"

#include <string.h>

static const struct pg_stmt insert_deployment = {
	"deployment_insert",
	"INSERT INTO functions_admin.edge_function_deployments"
	" (id, function_id, version, status, created_by, request_id, instance_id)"
	" VALUES ($1::uuid, $2::uuid, $3::int4, $4, $5, $6, $7::uuid)",
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
static const struct pg_stmt roll_back_deployments = {
	"deployment_rolled_back",
	"UPDATE functions_admin.edge_function_deployments SET status = 'rolled_back', error_code = $2, error_message = "
	"$3,"
	" finished_at = clock_timestamp() WHERE id = ANY ($1::text[]::uuid[]) AND status IN ('active', 'verified')",
};
static const struct pg_stmt fail_abandoned = {
	"deployment_fail_abandoned",
	"WITH gone AS (UPDATE functions_admin.edge_function_deployments d SET status = 'failed', error_code = "
	"'abandoned',"
	" error_message = CASE WHEN d.instance_id::text = $2 THEN 'How this deployment ended could not be recorded'"
	"  ELSE 'The service stopped before this deployment was finished' END, finished_at = clock_timestamp()"
	" WHERE finished_at IS NULL AND status IN ('pending', 'staged', 'booted')"
	" AND function_id IN (SELECT id FROM functions_admin.edge_functions WHERE project_ref = $1)"
	" AND CASE WHEN d.instance_id IS NULL THEN d.created_at < now() - interval '1 hour'"
	"  WHEN d.instance_id::text = $2 THEN d.created_at < now() - interval '1 minute' AND NOT EXISTS"
	"   (SELECT FROM functions_admin.edge_functions f WHERE f.id = d.function_id AND f.slug = ANY ($4::text[]))"
	"  ELSE d.instance_id::text = $3 OR NOT EXISTS"
	"   (SELECT FROM functions_admin.instances i WHERE i.id = d.instance_id AND i.alive_until > now()) END"
	" RETURNING 1)"
	" SELECT count(*) FROM gone",
};
static const struct pg_stmt lock_project = {
	"activate_lock",
	"UPDATE functions_admin.projects SET generation = generation + 1, revision = revision + 1,"
	" release_number = release_number + 1 WHERE ref = $1 RETURNING generation, release_number,"
	" (extract(epoch FROM clock_timestamp()) * 1000)::int8, settings::text, secrets_revision",
};
/* The project's row is locked, so nobody else moves an active version between this and the update, and no node comes
 * (back) to life that is not seen here. The functions are locked before the head of the audit chain, as by who stores a
 * bundle. (EXISTS would be free to read all versions instead of the one.) */
static const struct pg_stmt select_before = {
	"activate_before",
	"SELECT u.n::int8, coalesce(f.active_version, 0)::int4, (extract(epoch FROM f.updated_at) * 1000)::int8,"
	" (SELECT jsonb_agg(jsonb_build_object('version', t.version, 'percent', t.percent))::text"
	"  FROM functions_admin.function_traffic t WHERE t.function_id = f.id),"
	" u.version = 0 OR coalesce((SELECT true FROM functions_admin.edge_function_versions v"
	"  WHERE v.function_id = f.id AND v.version = u.version), false),"
	" NOT EXISTS (SELECT FROM functions_admin.nodes n WHERE n.project_ref = $2 AND n.id IS DISTINCT FROM $5::uuid"
	"  AND n.alive_until > clock_timestamp())"
	" FROM unnest($1::text[], $4::int8[]) WITH ORDINALITY u (id, version, n) CROSS JOIN LATERAL"
	" (SELECT * FROM functions_admin.edge_functions f WHERE f.id = u.id::uuid AND f.project_ref = $2"
	"  AND (f.deleted_at IS NULL OR $3::bool) OFFSET 0 FOR NO KEY UPDATE) f ORDER BY u.n",
};
/* The deployments as well. One that has ended already stays as it is: another process took this one for dead. */
static const struct pg_stmt lock_deployments = {
	"activate_lock_deployments",
	"SELECT 1 FROM functions_admin.edge_function_deployments WHERE id = ANY ($1::text[]::uuid[])"
	" AND status IN ('pending', 'staged', 'booted') FOR UPDATE",
};
/* A split ends with every activation that does not make one of its own. */
static const struct pg_stmt update_functions = {
	"activate_functions",
	"WITH gone AS (DELETE FROM functions_admin.function_traffic WHERE function_id = ANY ($1::text[]::uuid[]))"
	" UPDATE functions_admin.edge_functions f SET active_version = nullif(u.version, 0), updated_at = "
	"to_timestamp($5::int8 / 1000.0),"
	" name = coalesce(nullif(u.name, ''), f.name), sticky = coalesce(nullif(u.sticky, '')::jsonb, f.sticky),"
	" status = CASE WHEN u.version = 0 THEN 'REMOVED' ELSE 'ACTIVE' END,"
	" deleted_at = CASE WHEN u.version = 0 THEN to_timestamp($5::int8 / 1000.0) END"
	" FROM unnest($1::text[], $2::int8[], $3::text[], $4::text[]) u (id, version, name, sticky) WHERE f.id = "
	"u.id::uuid",
};
static const struct pg_stmt insert_traffic = {
	"activate_traffic",
	"INSERT INTO functions_admin.function_traffic (function_id, version, percent)"
	" SELECT u.id::uuid, t.version, t.percent FROM unnest($1::text[], $2::text[]) u (id, traffic),"
	" jsonb_to_recordset(nullif(u.traffic, '')::jsonb) t (version integer, percent integer)",
};
static const struct pg_stmt insert_release = {
	"activate_release",
	"INSERT INTO functions_admin.releases (project_ref, number, generation, source, message, created_by, "
	"request_id)"
	" VALUES ($1, $2::int8, $3::int8, $4, $5, $6, $7)",
};
#define THIS_RELEASE "(SELECT r.id FROM functions_admin.releases r WHERE r.project_ref = $1 AND r.number = $2::int8)"
static const struct pg_stmt insert_items = {
	"activate_items",
	"INSERT INTO functions_admin.release_items"
	" (release_id, function_id, version_before, version_after, traffic_before, traffic_after)"
	" SELECT " THIS_RELEASE ", u.id::uuid, nullif(u.before, 0), nullif(u.after, 0),"
	" nullif(u.traffic_before, '')::jsonb, nullif(u.traffic_after, '')::jsonb"
	" FROM unnest($3::text[], $4::int8[], $5::int8[], $6::text[], $7::text[])"
	" u (id, before, after, traffic_before, traffic_after)",
};
static const struct pg_stmt update_deployments = {
	"activate_deployments",
	"UPDATE functions_admin.edge_function_deployments d SET status = 'active', release_id = " THIS_RELEASE ","
	" staged_at = to_timestamp(nullif(u.staged, 0) / 1000.0), booted_at = to_timestamp(nullif(u.booted, 0) / "
	"1000.0),"
	" boot_check = nullif(u.check_made, ''), boot_ms = CASE WHEN u.check_made <> '' THEN u.ms::int4 END,"
	" active_at = clock_timestamp(), finished_at = clock_timestamp()"
	" FROM unnest($3::text[], $4::int8[], $5::int8[], $6::text[], $7::int8[]) u (id, staged, booted, check_made, "
	"ms) WHERE d.id = u.id::uuid",
};

bool deployment_insert(struct pg_conn *c, struct arena *a, const char *id, const char *function_id, int version,
		       const char *status, const char *instance, const struct actor *who, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, id);
	pg_text(&p, function_id);
	pg_int(&p, version);
	pg_text(&p, status);
	pg_text(&p, who->name);
	pg_text(&p, who->request_id);
	pg_text(&p, instance);
	return pg_queue(c, a, &insert_deployment, &p, NULL, e);
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

bool deployment_rolled_back(struct pg_conn *c, struct arena *a, const char *const *ids, size_t count,
			    const struct err *why, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text_array(&p, ids, count);
	pg_text(&p, why->code);
	pg_text(&p, why->message);
	return pg_query(c, a, &roll_back_deployments, &p, NULL, e);
}

bool deployment_fail_abandoned(struct pg_conn *c, struct arena *a, const char *project_ref, const char *self,
			       const char *dead, const char *const *busy, size_t busy_count, int64_t *count,
			       struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, self);
	pg_text(&p, dead);
	pg_text_array(&p, busy, busy_count);
	if (!pg_query(c, a, &fail_abandoned, &p, &r, e))
		return false;
	*count = pg_get_int(r, 0, 0);
	return true;
}

/* The items' members as the columns that the statements below take; "" stands for none. */
struct columns {
	const char **ids;
	const char **names;
	const char **sticky;
	const char **traffic_before;
	const char **traffic_after;
	int64_t *before;
	int64_t *after;
	bool has_traffic;
};

static const char *or_empty(const char *s)
{
	return s != NULL ? s : "";
}

static bool make_columns(struct arena *a, const struct activation *items, size_t count, struct columns *col)
{
	*col = (struct columns){
		.ids = arena_array(a, count, sizeof *col->ids),
		.names = arena_array(a, count, sizeof *col->names),
		.sticky = arena_array(a, count, sizeof *col->sticky),
		.traffic_before = arena_array(a, count, sizeof *col->traffic_before),
		.traffic_after = arena_array(a, count, sizeof *col->traffic_after),
		.before = arena_array(a, count, sizeof *col->before),
		.after = arena_array(a, count, sizeof *col->after),
	};
	if (col->ids == NULL || col->names == NULL || col->sticky == NULL || col->traffic_before == NULL ||
	    col->traffic_after == NULL || col->before == NULL || col->after == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		col->ids[i] = items[i].function_id;
		col->names[i] = or_empty(items[i].name);
		col->sticky[i] = or_empty(items[i].sticky);
		col->traffic_after[i] = or_empty(items[i].traffic_after);
		col->after[i] = items[i].version_after;
		col->has_traffic = col->has_traffic || items[i].traffic_after != NULL;
	}
	return true;
}

static bool version_gone(const struct activation *item, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "version_not_found",
		       "Function %s no longer has every version that was asked for", item->slug);
}

/* Who deploys has found the function, or made it: somebody has deleted it since. */
static bool functions_gone(const struct activation_set *set, struct err *e)
{
	bool deploys = false;

	for (size_t i = 0; i < set->count; i++)
		deploys = deploys || set->items[i].deployment_id != NULL;
	if (!deploys)
		return err_set(e, ERR_NOT_FOUND, "function_not_found", "Function not found");
	(void)err_set(e, ERR_CONFLICT, "function_deleted", "The function was deleted while this deployment ran");
	return err_hint(e, "Deploy again, if it shall be there after all.");
}

/* What stands in the way, or comes before: the answers to the questions of ask_before(). */
struct before {
	struct pg_result *lock;
	struct pg_result *functions;
	struct pg_result *deployments;
	struct pg_result *head;
	size_t deployment_count;
};

/* Locks everything that the activation changes, and reads what is replaced. */
static bool ask_before(struct pg_conn *c, struct arena *a, const struct activation_set *set, const struct columns *col,
		       struct before *out, struct err *e)
{
	const char **ids = arena_array(a, set->count, sizeof *ids);
	struct pg_params lock = PG_PARAMS(a);
	struct pg_params functions = PG_PARAMS(a);
	struct pg_params deployments = PG_PARAMS(a);

	*out = (struct before){0};
	if (ids == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < set->count; i++)
		if (set->items[i].deployment_id != NULL)
			ids[out->deployment_count++] = set->items[i].deployment_id;
	pg_text(&lock, set->project_ref);
	pg_text_array(&functions, col->ids, set->count);
	pg_text(&functions, set->project_ref);
	pg_bool(&functions, set->restore);
	pg_int_array(&functions, col->after, set->count);
	pg_text(&functions, set->node);
	pg_text_array(&deployments, ids, out->deployment_count);
	return pg_plan_by_index(c, a, e) && pg_queue(c, a, &lock_project, &lock, &out->lock, e) &&
	       pg_queue(c, a, &select_before, &functions, &out->functions, e) &&
	       (out->deployment_count == 0 || pg_queue(c, a, &lock_deployments, &deployments, &out->deployments, e)) &&
	       (set->restore || audit_ask_head(c, a, set->project_ref, &out->head, e)) && pg_flush(c, e);
}

/* Notes what is replaced, and holds the caller to what it has seen. */
static bool check_before(const struct before *b, struct activation_set *set, struct columns *col, struct err *e)
{
	if (pg_rows(b->lock) == 0)
		return err_set(e, ERR_NOT_FOUND, "project_not_found", "Project not found");
	set->generation = pg_get_int(b->lock, 0, 0);
	set->release_number = pg_get_int(b->lock, 0, 1);
	set->at = pg_get_int(b->lock, 0, 2);
	set->settings = pg_get_text(b->lock, 0, 3);
	set->secrets_revision = pg_get_int(b->lock, 0, 4);
	if ((size_t)pg_rows(b->functions) != set->count)
		return functions_gone(set, e);
	set->alone = set->count > 0 && pg_get_bool(b->functions, 0, 5);
	for (size_t i = 0; i < set->count; i++) {
		struct activation *item = &set->items[i];

		item->version_before = (int)pg_get_int(b->functions, (int)i, 1);
		col->before[i] = item->version_before;
		item->traffic_before = pg_get_text(b->functions, (int)i, 3);
		col->traffic_before[i] = or_empty(item->traffic_before);
		/* Retention has removed it since the caller chose it. */
		if (!pg_get_bool(b->functions, (int)i, 4))
			return version_gone(item, e);
		if (item->expected.set && (item->expected.active_version != item->version_before ||
					   item->expected.updated_at != pg_get_int(b->functions, (int)i, 2)))
			return err_set(e, ERR_PRECONDITION, NULL, "The function %s was changed since you read it",
				       item->slug);
	}
	if (b->deployment_count == 0 || (size_t)pg_rows(b->deployments) == b->deployment_count)
		return true;
	(void)err_set(e, ERR_CONFLICT, "abandoned",
		      "The deployment was ended meanwhile, since this process seemed to be gone");
	return err_hint(e, "Deploy again. If it comes back, see in the log whether the database was out of reach.");
}

static bool write_functions(struct pg_conn *c, struct arena *a, const struct activation_set *set,
			    const struct columns *col, struct err *e)
{
	struct pg_params update = PG_PARAMS(a);
	struct pg_params traffic = PG_PARAMS(a);

	pg_text_array(&update, col->ids, set->count);
	pg_int_array(&update, col->after, set->count);
	pg_text_array(&update, col->names, set->count);
	pg_text_array(&update, col->sticky, set->count);
	pg_int(&update, set->at);
	if (!pg_queue(c, a, &update_functions, &update, NULL, e))
		return false;
	if (!col->has_traffic)
		return true;
	pg_text_array(&traffic, col->ids, set->count);
	pg_text_array(&traffic, col->traffic_after, set->count);
	return pg_queue(c, a, &insert_traffic, &traffic, NULL, e);
}

static bool write_release(struct pg_conn *c, struct arena *a, const struct activation_set *set,
			  const struct columns *col, const struct actor *who, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_params items = PG_PARAMS(a);

	pg_text(&p, set->project_ref);
	pg_int(&p, set->release_number);
	pg_int(&p, set->generation);
	pg_text(&p, set->source);
	pg_text(&p, set->message);
	pg_text(&p, who->name);
	pg_text(&p, who->request_id);
	pg_text(&items, set->project_ref);
	pg_int(&items, set->release_number);
	pg_text_array(&items, col->ids, set->count);
	pg_int_array(&items, col->before, set->count);
	pg_int_array(&items, col->after, set->count);
	pg_text_array(&items, col->traffic_before, set->count);
	pg_text_array(&items, col->traffic_after, set->count);
	return pg_queue(c, a, &insert_release, &p, NULL, e) && pg_queue(c, a, &insert_items, &items, NULL, e);
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
	pg_text(&p, set->project_ref);
	pg_int(&p, set->release_number);
	pg_text_array(&p, ids, n);
	pg_int_array(&p, staged, n);
	pg_int_array(&p, booted, n);
	pg_text_array(&p, checks, n);
	pg_int_array(&p, ms, n);
	return pg_queue(c, a, &update_deployments, &p, NULL, e);
}

bool deployment_activate(struct pg_conn *c, struct arena *a, struct activation_set *set, const struct actor *who,
			 const struct pg_result **audit_head, struct err *e)
{
	struct before before;
	struct columns col;

	if (!make_columns(a, set->items, set->count, &col))
		return err_no_memory(e);
	if (!ask_before(c, a, set, &col, &before, e) || !check_before(&before, set, &col, e))
		return false;
	if (!write_functions(c, a, set, &col, e) || !write_release(c, a, set, &col, who, e) ||
	    !finish_deployments(c, a, set, e) || (!set->alone && !node_wake(c, a, set->project_ref, e)))
		return false;
	/* Who brings a slug back may have to wait for who makes it anew at this moment, and must not hold the head
	 * then. */
	if (set->restore && (!audit_ask_head(c, a, set->project_ref, &before.head, e) || !pg_flush(c, e)))
		return false;
	*audit_head = before.head;
	return true;
}

void deployment_explain(const struct pg_conn *c, const struct activation_set *set, struct err *e)
{
	if (pg_failed(c) == &update_functions && pg_is_unique_violation(c)) {
		(void)err_set(e, ERR_CONFLICT, "slug_taken",
			      "A function of this slug exists again, so the deleted one cannot come back");
		(void)err_hint(e, "Delete the present one first, or deploy the old version's files to it.");
	} else if (pg_failed(c) == &insert_traffic && pg_is_foreign_key_violation(c)) {
		(void)version_gone(&set->items[0], e);
	}
}

/* Reading */

#define DEPLOYMENT_COLUMNS                                                                                             \
	"d.id::text, d.function_id::text, f.slug, d.version::int4, coalesce(r.number, 0)::int8, d.status, "            \
	"d.error_code,"                                                                                                \
	" d.error_message, d.boot_check, coalesce(d.boot_ms, 0)::int4, d.created_by, d.request_id,"                    \
	" (extract(epoch FROM d.created_at) * 1000)::int8, (extract(epoch FROM d.staged_at) * 1000)::int8,"            \
	" (extract(epoch FROM d.booted_at) * 1000)::int8, (extract(epoch FROM d.active_at) * 1000)::int8,"             \
	" (extract(epoch FROM d.verified_at) * 1000)::int8, (extract(epoch FROM d.finished_at) * 1000)::int8"
#define DEPLOYMENT_FROM                                                                                                \
	" FROM functions_admin.edge_function_deployments d JOIN functions_admin.edge_functions f ON f.id = "           \
	"d.function_id"                                                                                                \
	" LEFT JOIN functions_admin.releases r ON r.id = d.release_id WHERE f.project_ref = $1"

static const struct pg_stmt select_deployments = {
	"deployment_list",
	"SELECT " DEPLOYMENT_COLUMNS DEPLOYMENT_FROM " AND ($2::text IS NULL OR f.slug = $2)"
	" AND ($3::text IS NULL OR (d.created_at, d.id) <"
	"  (SELECT p.created_at, p.id FROM functions_admin.edge_function_deployments p WHERE p.id::text = $3))"
	" ORDER BY d.created_at DESC, d.id DESC LIMIT $4::int4",
};
static const struct pg_stmt select_deployment = {
	"deployment_find",
	"SELECT " DEPLOYMENT_COLUMNS DEPLOYMENT_FROM " AND d.id::text = $2",
};

static void read_deployment(const struct pg_result *r, int row, struct deployment *d)
{
	*d = (struct deployment){
		.id = pg_get_text(r, row, 0),
		.function_id = pg_get_text(r, row, 1),
		.slug = pg_get_text(r, row, 2),
		.version = (int)pg_get_int(r, row, 3),
		.release_number = pg_get_int(r, row, 4),
		.status = pg_get_text(r, row, 5),
		.error_code = pg_get_text(r, row, 6),
		.error_message = pg_get_text(r, row, 7),
		.boot_check = pg_get_text(r, row, 8),
		.boot_ms = (int)pg_get_int(r, row, 9),
		.created_by = pg_get_text(r, row, 10),
		.request_id = pg_get_text(r, row, 11),
		.created_at = pg_get_int(r, row, 12),
		.staged_at = pg_get_int(r, row, 13),
		.booted_at = pg_get_int(r, row, 14),
		.active_at = pg_get_int(r, row, 15),
		.verified_at = pg_get_int(r, row, 16),
		.finished_at = pg_get_int(r, row, 17),
	};
}

bool deployment_list(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug, const char *after,
		     int limit, struct deployment_list *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, slug);
	pg_text(&p, after);
	pg_int(&p, limit);
	if (!pg_query(c, a, &select_deployments, &p, &r, e))
		return false;
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < out->count; i++)
		read_deployment(r, (int)i, &out->items[i]);
	return true;
}

bool deployment_find(struct pg_conn *c, struct arena *a, const char *project_ref, const char *id,
		     struct deployment *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, id);
	if (!pg_query(c, a, &select_deployment, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "deployment_not_found", "Deployment not found");
	read_deployment(r, 0, out);
	return true;
}
