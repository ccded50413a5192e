#include "store/audit.h"

static const struct pg_stmt insert_entry = {
	"audit_insert",
	"INSERT INTO functions_admin.audit_log (project_ref, actor, token_id, address, request_id, action, target, "
	"outcome, before, after)"
	" VALUES ($1, $2, nullif($3::text, '')::uuid, $4, $5, $6, $7, $8, $9, $10)",
};

bool audit_write(struct pg_conn *c, struct arena *a, const struct actor *who, const struct audit_entry *entry,
		 struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, entry->project_ref);
	pg_text(&p, who->name);
	pg_text(&p, who->token_id);
	pg_text(&p, who->address);
	pg_text(&p, who->request_id);
	pg_text(&p, entry->action);
	pg_text(&p, entry->target);
	pg_text(&p, entry->outcome);
	pg_text(&p, entry->before);
	pg_text(&p, entry->after);
	return pg_query(c, a, &insert_entry, &p, NULL, e);
}
