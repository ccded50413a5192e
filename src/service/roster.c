#include "service/roster.h"

#include "store/audit.h"

bool roster_list(struct service *s, struct arena *a, const char *project_ref, struct node_list *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && node_list(c, a, project_ref, out, e);

	pg_release(c);
	return ok;
}

bool roster_of_deployment(struct service *s, struct arena *a, const char *deployment_id, struct rollout_node_list *out,
			  struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && rollout_nodes(c, a, deployment_id, out, e);

	pg_release(c);
	return ok;
}

const char *roster_order_name(enum roster_order order)
{
	static const char *const names[] = {
		[ROSTER_DRAIN] = "drain",
		[ROSTER_RESUME] = "resume",
		[ROSTER_CHECK] = "check",
		[ROSTER_REMOVE] = "remove",
	};

	return names[order];
}

static bool carry_out(struct pg_conn *c, struct arena *a, const char *project_ref, const char *id,
		      enum roster_order order, struct err *e)
{
	switch (order) {
	case ROSTER_DRAIN:
	case ROSTER_RESUME:
		return node_set_draining(c, a, project_ref, id, order == ROSTER_DRAIN, e);
	case ROSTER_CHECK:
		return node_ask_check(c, a, project_ref, id, e);
	case ROSTER_REMOVE:
	default:
		return node_remove(c, a, project_ref, id, e);
	}
}

bool roster_order(struct service *s, struct arena *a, const struct actor *who, const char *project_ref, const char *id,
		  enum roster_order order, struct err *e)
{
	const struct audit_entry entry = {
		.project_ref = project_ref,
		.action = arena_printf(a, "node.%s", roster_order_name(order)),
		.target = id,
		.outcome = "done",
	};
	struct pg_conn *c = NULL;
	bool ok = (entry.action != NULL || err_no_memory(e)) && pg_acquire(s->pool, &c, e) && pg_begin(c, e) &&
		  carry_out(c, a, project_ref, id, order, e) && audit_write(c, a, who, &entry, e) && pg_commit(c, e);

	pg_release(c);
	return ok;
}
