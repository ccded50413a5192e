#include "store/role.h"

static const struct pg_stmt select_status = {
	"role_status",
	"SELECT session_user::text, r.oid IS NOT NULL AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND"
	" pg_has_role(session_user, r.oid, " PG_MAY_TAKE "), concat_ws(', ',"
	" CASE WHEN r.rolsuper THEN 'it is a superuser' END,"
	" CASE WHEN r.rolcreaterole THEN 'it may make roles' END,"
	" CASE WHEN r.rolbypassrls THEN 'row security does not hold it' END,"
	" CASE WHEN NOT r.rolsuper AND pg_has_role(r.oid, n.nspowner, 'MEMBER') THEN 'it may act as the schema''s "
	"owner' "
	"END,"
	" CASE WHEN has_schema_privilege(r.oid, n.oid, 'CREATE') THEN 'it may make tables in functions_admin' END,"
	" CASE WHEN has_table_privilege(r.oid, 'functions_admin.audit_log', 'UPDATE, DELETE, TRUNCATE')"
	" THEN 'it may change the audit log' END)"
	" FROM pg_namespace n LEFT JOIN pg_roles r ON r.rolname = $1 WHERE n.nspname = 'functions_admin'",
};

bool role_status(struct pg_conn *c, struct arena *a, const char *role, struct role_status *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	*out = (struct role_status){.user = "", .extra = ""};
	pg_text(&p, role);
	if (!pg_query(c, a, &select_status, &p, &r, e))
		return false;
	if (pg_rows(r) == 1)
		*out = (struct role_status){
			.user = pg_get_text(r, 0, 0),
			.usable = pg_get_bool(r, 0, 1),
			.extra = pg_get_text(r, 0, 2),
		};
	return true;
}
