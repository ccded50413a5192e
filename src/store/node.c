#include "store/node.h"

#include "store/version.h"

#include <string.h>

#define WAKE "pg_notify('" NODE_WORK_CHANNEL "', $1)"

/*
 * The order to check is taken by the answer to the node's own word, so it is carried out once.
 *
 * Who counted the nodes may have passed over one whose lease was over, or nearly, and be about to say that a generation
 * is shown by all. Such a node lives again only if it shows what the project is at; the project's lock sees to it that
 * whoever makes a later generation active counts it.
 */
static const struct pg_stmt renew = {
	"node_renew",
	"WITH old AS (DELETE FROM functions_admin.nodes WHERE alive_until < clock_timestamp() - interval '7 days' AND "
	"id <> $1::uuid),"
	" asked AS (SELECT draining, check_asked, alive_until > clock_timestamp() + interval '1 second' AS alive"
	"  FROM functions_admin.nodes WHERE id = $1::uuid FOR UPDATE),"
	" wanted AS (SELECT generation, secrets_revision FROM functions_admin.projects"
	"  WHERE ref = $2 AND NOT EXISTS (SELECT FROM asked WHERE alive) FOR SHARE),"
	" lives AS (SELECT EXISTS (SELECT FROM asked WHERE alive) OR EXISTS (SELECT FROM wanted"
	"  WHERE generation <= $8::int8 AND secrets_revision <= $10::int8) AS yes),"
	" said AS (INSERT INTO functions_admin.nodes (id, project_ref, name, kind, program, alive_until, started_at,"
	"  generation, shown_at, verified, secrets_revision, failed_generation, error_code, error_message, error_at)"
	"  SELECT $1::uuid, $2, $3, $4, $5, clock_timestamp() + CASE WHEN yes THEN $6::int4 ELSE 0 END * interval '1 "
	"second',"
	"   to_timestamp($7::int8 / 1000.0), $8::int8, clock_timestamp(), $9::bool, $10::int8, nullif($11::int8, 0), "
	"$12, $13,"
	"   CASE WHEN $12::text IS NOT NULL THEN clock_timestamp() END FROM lives"
	"  ON CONFLICT (id) DO UPDATE SET project_ref = excluded.project_ref, name = excluded.name, kind = "
	"excluded.kind,"
	"   program = excluded.program, started_at = excluded.started_at,"
	"   alive_until = CASE WHEN (SELECT yes FROM lives) THEN excluded.alive_until ELSE nodes.alive_until END,"
	"   shown_at = CASE WHEN nodes.generation = excluded.generation THEN nodes.shown_at ELSE excluded.shown_at END,"
	"   generation = excluded.generation, verified = excluded.verified, secrets_revision = "
	"excluded.secrets_revision,"
	"   failed_generation = excluded.failed_generation, error_code = excluded.error_code,"
	"   error_message = excluded.error_message, error_at = excluded.error_at, check_asked = false)"
	" SELECT coalesce(bool_or(draining), false), coalesce(bool_or(check_asked), false), (SELECT yes FROM lives),"
	"  (SELECT pg_notify('" NODE_REPORT_CHANNEL
	"', ($1::uuid)::text) FROM lives WHERE yes AND NOT EXISTS (SELECT FROM asked WHERE "
	"alive))::text FROM asked",
};
/*
 * PostgreSQL wakes every session that listens, whatever for, so that a word from each node would cost the square of
 * their number. One that has failed is told of, and otherwise whoever finds all agents done. This is asked after the
 * node's own word is committed: the last to be so finds them all. A `serve` tells without being waited for here, since
 * the one that waits for the others may be behind them itself.
 */
#define OTHERS_BEHIND                                                                                                  \
	" FROM functions_admin.nodes n WHERE n.project_ref = $1 AND n.kind = 'agent' AND NOT n.draining"               \
	" AND n.alive_until > clock_timestamp() AND "
#define TELL(behind)                                                                                                   \
	"SELECT pg_notify('" NODE_REPORT_CHANNEL                                                                       \
	"', $2)::text WHERE $3::bool OR NOT EXISTS (SELECT" OTHERS_BEHIND behind ")"

static const struct pg_stmt tell_shown = {
	"node_tell_shown",
	TELL("(n.generation < $4::int8 OR n.secrets_revision < $5::int8)"
	     " AND coalesce(n.failed_generation, 0) < $4::int8"),
};
static const struct pg_stmt tell_staged = {
	"node_tell_staged",
	TELL("NOT EXISTS (SELECT FROM functions_admin.rollout_nodes rn"
	     " WHERE rn.rollout_id = $4::uuid AND rn.node_id = n.id)"),
};
static const struct pg_stmt leave = {
	"node_leave",
	"WITH stays AS (UPDATE functions_admin.nodes SET alive_until = clock_timestamp() WHERE id = $1::uuid AND NOT "
	"$2::bool),"
	" goes AS (DELETE FROM functions_admin.nodes WHERE id = $1::uuid AND $2::bool)"
	" SELECT pg_notify('" NODE_REPORT_CHANNEL "', ($1::uuid)::text)::text",
};
static const struct pg_stmt wake = {"node_wake", "SELECT " WAKE "::text"};

/* Of the changes that a node does not show yet, the oldest says how long it has been behind. */
#define NODE_COLUMNS                                                                                                   \
	"n.id::text, n.project_ref, n.name, n.kind, n.program, n.alive_until > clock_timestamp(), n.draining, "        \
	"n.verified,"                                                                                                  \
	" (extract(epoch FROM n.started_at) * 1000)::int8,"                                                            \
	" (extract(epoch FROM least(n.alive_until, clock_timestamp())) * 1000)::int8,"                                 \
	" n.generation, greatest(p.generation - n.generation, 0),"                                                     \
	" coalesce((SELECT (extract(epoch FROM clock_timestamp() - min(r.created_at)) * 1000)::int8"                   \
	"  FROM functions_admin.releases r WHERE r.project_ref = p.ref AND r.generation > n.generation), 0),"          \
	" (extract(epoch FROM n.shown_at) * 1000)::int8, n.secrets_revision, coalesce(n.failed_generation, 0),"        \
	" n.error_code, n.error_message, (extract(epoch FROM n.error_at) * 1000)::int8"

static const struct pg_stmt select_nodes = {
	"node_list",
	"SELECT " NODE_COLUMNS " FROM functions_admin.nodes n JOIN functions_admin.projects p ON p.ref = n.project_ref"
	" WHERE $1::text IS NULL OR n.project_ref = $1 ORDER BY n.name, n.id",
};
static const struct pg_stmt set_draining = {
	"node_set_draining",
	"UPDATE functions_admin.nodes SET draining = $3::bool WHERE project_ref = $1 AND id::text = $2"
	" RETURNING pg_notify('" NODE_REPORT_CHANNEL "', id::text)::text",
};
static const struct pg_stmt ask_check = {
	"node_ask_check",
	"UPDATE functions_admin.nodes SET check_asked = true WHERE project_ref = $1 AND id::text = $2 RETURNING " WAKE
	"::text",
};
static const struct pg_stmt remove_node = {
	"node_remove",
	"WITH found AS (SELECT id, alive_until > clock_timestamp() AS alive FROM functions_admin.nodes"
	"  WHERE project_ref = $1 AND id::text = $2 FOR UPDATE),"
	" gone AS (DELETE FROM functions_admin.nodes n USING found f WHERE n.id = f.id AND NOT f.alive)"
	" SELECT alive FROM found",
};

bool node_renew(struct pg_conn *c, struct arena *a, const struct node_report *report, bool news,
		struct node_orders *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_params tell = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, report->id);
	pg_text(&p, report->project_ref);
	pg_text(&p, report->name);
	pg_text(&p, report->kind);
	pg_text(&p, report->program);
	pg_int(&p, report->lease_seconds);
	pg_int(&p, report->started_at);
	pg_int(&p, report->generation);
	pg_bool(&p, report->verified);
	pg_int(&p, report->secrets_revision);
	pg_int(&p, report->failed_generation);
	pg_text(&p, report->failure != NULL ? report->failure->code : NULL);
	pg_text(&p, report->failure != NULL ? report->failure->message : NULL);
	if (!pg_query(c, a, &renew, &p, &r, e))
		return pg_is_foreign_key_violation(c) ? err_set(e, ERR_NOT_FOUND, "project_not_found",
								"There is no project %s", report->project_ref)
						      : false;
	*out = (struct node_orders){
		.draining = pg_get_bool(r, 0, 0),
		.check = pg_get_bool(r, 0, 1),
		.catch_up = !pg_get_bool(r, 0, 2),
	};
	pg_text(&tell, report->project_ref);
	pg_text(&tell, report->id);
	pg_bool(&tell, report->failure != NULL);
	pg_int(&tell, report->generation);
	pg_int(&tell, report->secrets_revision);
	return !news || pg_query(c, a, &tell_shown, &tell, NULL, e);
}

bool node_leave(struct pg_conn *c, struct arena *a, const char *id, bool forget, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, id);
	pg_bool(&p, forget);
	return pg_query(c, a, &leave, &p, NULL, e);
}

bool node_wake(struct pg_conn *c, struct arena *a, const char *project_ref, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	return pg_queue(c, a, &wake, &p, NULL, e);
}

bool node_list(struct pg_conn *c, struct arena *a, const char *project_ref, struct node_list *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	if (!pg_query(c, a, &select_nodes, &p, &r, e))
		return false;
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (int i = 0; i < pg_rows(r); i++) {
		out->items[i] = (struct node){
			.id = pg_get_text(r, i, 0),
			.project_ref = pg_get_text(r, i, 1),
			.name = pg_get_text(r, i, 2),
			.kind = pg_get_text(r, i, 3),
			.program = pg_get_text(r, i, 4),
			.alive = pg_get_bool(r, i, 5),
			.draining = pg_get_bool(r, i, 6),
			.verified = pg_get_bool(r, i, 7),
			.started_at = pg_get_int(r, i, 8),
			.seen_at = pg_get_int(r, i, 9),
			.generation = pg_get_int(r, i, 10),
			.behind = pg_get_int(r, i, 11),
			.behind_ms = pg_get_int(r, i, 12),
			.shown_at = pg_get_int(r, i, 13),
			.secrets_revision = pg_get_int(r, i, 14),
			.failed_generation = pg_get_int(r, i, 15),
			.error_code = pg_get_text(r, i, 16),
			.error_message = pg_get_text(r, i, 17),
			.error_at = pg_get_int(r, i, 18),
		};
	}
	return true;
}

static bool node_not_found(struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "node_not_found", "Node not found");
}

/* A statement about one node of a project; rows: whether it was there. */
static bool about_one(struct pg_conn *c, struct arena *a, const struct pg_stmt *stmt, struct pg_params *p,
		      struct pg_result **r, struct err *e)
{
	return pg_query(c, a, stmt, p, r, e) && (pg_rows(*r) > 0 || node_not_found(e));
}

bool node_set_draining(struct pg_conn *c, struct arena *a, const char *project_ref, const char *id, bool draining,
		       struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, id);
	pg_bool(&p, draining);
	return about_one(c, a, &set_draining, &p, &r, e);
}

bool node_ask_check(struct pg_conn *c, struct arena *a, const char *project_ref, const char *id, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, id);
	return about_one(c, a, &ask_check, &p, &r, e);
}

bool node_remove(struct pg_conn *c, struct arena *a, const char *project_ref, const char *id, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, id);
	if (!about_one(c, a, &remove_node, &p, &r, e))
		return false;
	if (!pg_get_bool(r, 0, 0))
		return true;
	(void)err_set(e, ERR_CONFLICT, "node_alive", "The node lives, and would be back with its next word");
	return err_hint(e, "Stop its agent first; or drain it, so that nobody waits for it.");
}

/* Rollouts */

/* A month of them is kept, for who looks at a deployment. */
static const struct pg_stmt open_rollout = {
	"rollout_open",
	"WITH old AS (DELETE FROM functions_admin.rollouts WHERE id IN (SELECT id FROM functions_admin.rollouts"
	"  WHERE created_at < now() - interval '30 days' ORDER BY created_at LIMIT 100)),"
	" new AS (INSERT INTO functions_admin.rollouts (id, project_ref, instance_id, function_ids, versions, boots)"
	"  VALUES ($2::uuid, $1, $3::uuid, $4::text[]::uuid[], $5::int8[]::int4[], $6::int8[]::int4[]::bool[])),"
	" waiting AS (UPDATE functions_admin.edge_function_deployments SET rollout_id = $2::uuid"
	"  WHERE id = ANY ($7::text[]::uuid[]))"
	" SELECT " WAKE "::text",
};
static const struct pg_stmt select_steps = {
	"rollout_open_steps",
	"SELECT o.id::text, u.boots, f.id::text, f.project_ref, f.slug, f.name, f.status, " VERSION_COLUMNS
	" FROM functions_admin.rollouts o CROSS JOIN LATERAL unnest(o.function_ids, o.versions, o.boots)"
	"  u (function_id, version, boots)"
	" JOIN functions_admin.edge_functions f ON f.id = u.function_id"
	" JOIN functions_admin.edge_function_versions v ON v.function_id = f.id AND v.version = u.version"
	" WHERE o.project_ref = $1 AND o.finished_at IS NULL AND o.instance_id IS DISTINCT FROM $2::uuid"
	" AND EXISTS (SELECT FROM functions_admin.instances i WHERE i.id = o.instance_id AND i.alive_until > "
	"clock_timestamp())"
	" ORDER BY o.created_at, o.id, f.slug, v.version",
};
static const struct pg_stmt insert_staged = {
	"rollout_staged",
	"INSERT INTO functions_admin.rollout_nodes (rollout_id, node_id, node_name, staged_at, error_code, "
	"error_message)"
	" SELECT o.id, $2::uuid, $3, CASE WHEN $4::text IS NULL THEN clock_timestamp() END, $4, $5"
	" FROM functions_admin.rollouts o WHERE o.id = $1::uuid"
	" ON CONFLICT (rollout_id, node_id) DO UPDATE SET staged_at = excluded.staged_at,"
	"  error_code = excluded.error_code, error_message = excluded.error_message",
};
static const struct pg_stmt finish_rollout = {
	"rollout_finish",
	"WITH over AS (UPDATE functions_admin.rollouts SET finished_at = clock_timestamp(), generation = "
	"nullif($2::int8, 0)"
	"  WHERE id = $1::uuid RETURNING project_ref)"
	" INSERT INTO functions_admin.rollout_nodes AS rn"
	"  (rollout_id, node_id, node_name, active_at, verified, error_code, error_message)"
	" SELECT $1::uuid, n.id, n.name, CASE WHEN n.generation >= $2::int8 THEN n.shown_at END,"
	"  n.verified AND n.generation >= $2::int8, "
	"  CASE WHEN n.failed_generation >= $2::int8 THEN n.error_code END,"
	"  CASE WHEN n.failed_generation >= $2::int8 THEN n.error_message END"
	" FROM functions_admin.nodes n JOIN over o ON o.project_ref = n.project_ref"
	" WHERE n.alive_until > clock_timestamp() AND $2::int8 > 0"
	" ON CONFLICT (rollout_id, node_id) DO UPDATE SET active_at = excluded.active_at, verified = excluded.verified,"
	"  error_code = coalesce(excluded.error_code, rn.error_code),"
	"  error_message = coalesce(excluded.error_message, rn.error_message)",
};

bool rollout_open(struct pg_conn *c, struct arena *a, const char *id, const struct rollout_plan *plan, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, plan->project_ref);
	pg_text(&p, id);
	pg_text(&p, plan->instance);
	pg_text_array(&p, plan->function_ids, plan->count);
	pg_int_array(&p, plan->versions, plan->count);
	pg_int_array(&p, plan->boots, plan->count);
	pg_text_array(&p, plan->deployment_ids, plan->deployment_count);
	return pg_query(c, a, &open_rollout, &p, NULL, e);
}

bool rollout_open_steps(struct pg_conn *c, struct arena *a, const char *project_ref, const char *self,
			struct rollout_steps *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, self);
	if (!pg_query(c, a, &select_steps, &p, &r, e))
		return false;
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (int i = 0; i < pg_rows(r); i++) {
		struct rollout_step *step = &out->items[i];

		*step = (struct rollout_step){
			.rollout_id = pg_get_text(r, i, 0),
			.boots = pg_get_bool(r, i, 1),
			.function = {.id = pg_get_text(r, i, 2),
				     .project_ref = pg_get_text(r, i, 3),
				     .slug = pg_get_text(r, i, 4),
				     .name = pg_get_text(r, i, 5),
				     .status = pg_get_text(r, i, 6)},
		};
		if (!version_read(r, i, 7, a, &step->function.version))
			return err_no_memory(e);
	}
	return true;
}

bool rollout_staged(struct pg_conn *c, struct arena *a, const struct rollout_said *said, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_params tell = PG_PARAMS(a);

	pg_text(&p, said->rollout_id);
	pg_text(&p, said->node_id);
	pg_text(&p, said->node_name);
	pg_text(&p, said->failure != NULL ? said->failure->code : NULL);
	pg_text(&p, said->failure != NULL ? said->failure->message : NULL);
	pg_text(&tell, said->project_ref);
	pg_text(&tell, said->node_id);
	pg_bool(&tell, said->failure != NULL);
	pg_text(&tell, said->rollout_id);
	return pg_query(c, a, &insert_staged, &p, NULL, e) && pg_query(c, a, &tell_staged, &tell, NULL, e);
}

bool rollout_finish(struct pg_conn *c, struct arena *a, const char *id, int64_t generation, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, id);
	pg_int(&p, generation);
	return pg_query(c, a, &finish_rollout, &p, NULL, e);
}

/* Counting */

#define CENSUS_HEAD                                                                                                    \
	"SELECT coalesce(p.settings->>'activation_policy', 'all'), count(n.id),"                                       \
	" count(n.id) FILTER (WHERE s.done AND NOT s.failed), count(n.id) FILTER (WHERE s.done AND n.verified),"       \
	" count(n.id) FILTER (WHERE s.failed),"                                                                        \
	" array_to_string((array_agg(n.name || ': ' || s.message ORDER BY n.name) FILTER (WHERE s.failed))[1:3], '; "  \
	"'),"                                                                                                          \
	" (array_agg(s.code ORDER BY n.name) FILTER (WHERE s.failed))[1],"                                             \
	" array_to_string((array_agg(n.name ORDER BY n.name) FILTER (WHERE NOT s.done AND NOT s.failed))[1:5], ', ')"  \
	" FROM functions_admin.projects p LEFT JOIN functions_admin.nodes n ON n.project_ref = p.ref"                  \
	"  AND n.alive_until > clock_timestamp() AND NOT n.draining AND n.id IS DISTINCT FROM $2::uuid"
#define CENSUS_TAIL " WHERE p.ref = $1 GROUP BY p.ref"

static const struct pg_stmt census_staged = {
	"node_census_staged",
	CENSUS_HEAD " LEFT JOIN functions_admin.rollout_nodes rn ON rn.rollout_id = $3::uuid AND rn.node_id = n.id"
		    " CROSS JOIN LATERAL (SELECT rn.staged_at IS NOT NULL AS done, rn.error_code IS NOT NULL AS failed,"
		    "  rn.error_code AS code, rn.error_message AS message) s" CENSUS_TAIL,
};
static const struct pg_stmt census_shown = {
	"node_census_shown",
	CENSUS_HEAD " CROSS JOIN LATERAL (SELECT n.generation >= $3::int8 AND n.secrets_revision >= $4::int8 AS done,"
		    "  coalesce(n.failed_generation >= $3::int8, false) AS failed, n.error_code AS code,"
		    "  n.error_message AS message) s" CENSUS_TAIL,
};

static bool read_census(struct pg_conn *c, struct arena *a, const struct pg_stmt *stmt, struct pg_params *p,
			struct node_census *out, struct err *e)
{
	struct pg_result *r;

	if (!pg_query(c, a, stmt, p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "project_not_found", "Project not found");
	*out = (struct node_census){
		.policy = pg_get_text(r, 0, 0),
		.live = pg_get_int(r, 0, 1),
		.done = pg_get_int(r, 0, 2),
		.verified = pg_get_int(r, 0, 3),
		.failed = pg_get_int(r, 0, 4),
		.failed_names = pg_get_text(r, 0, 5),
		.failed_code = pg_get_text(r, 0, 6),
		.waiting_names = pg_get_text(r, 0, 7),
	};
	return true;
}

bool node_census_staged(struct pg_conn *c, struct arena *a, const char *project_ref, const char *self,
			const char *rollout_id, struct node_census *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	pg_text(&p, self);
	pg_text(&p, rollout_id);
	return read_census(c, a, &census_staged, &p, out, e);
}

bool node_census_shown(struct pg_conn *c, struct arena *a, const char *project_ref, const char *self,
		       int64_t generation, int64_t secrets_revision, struct node_census *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	pg_text(&p, self);
	pg_int(&p, generation);
	pg_int(&p, secrets_revision);
	return read_census(c, a, &census_shown, &p, out, e);
}

static const struct pg_stmt select_rollout_nodes = {
	"rollout_nodes",
	"SELECT rn.rollout_id::text, rn.node_name, (extract(epoch FROM rn.staged_at) * 1000)::int8,"
	" (extract(epoch FROM rn.active_at) * 1000)::int8, rn.verified, rn.error_code, rn.error_message"
	" FROM functions_admin.edge_function_deployments d JOIN functions_admin.rollout_nodes rn ON rn.rollout_id = "
	"d.rollout_id"
	" WHERE d.id::text = $1 ORDER BY rn.node_name, rn.node_id",
};

bool rollout_nodes(struct pg_conn *c, struct arena *a, const char *deployment_id, struct rollout_node_list *out,
		   struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, deployment_id);
	if (!pg_query(c, a, &select_rollout_nodes, &p, &r, e))
		return false;
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (int i = 0; i < pg_rows(r); i++)
		out->items[i] = (struct rollout_node){
			.rollout_id = pg_get_text(r, i, 0),
			.name = pg_get_text(r, i, 1),
			.staged_at = pg_get_int(r, i, 2),
			.active_at = pg_get_int(r, i, 3),
			.verified = pg_get_bool(r, i, 4),
			.error_code = pg_get_text(r, i, 5),
			.error_message = pg_get_text(r, i, 6),
		};
	return true;
}
