/* handlers - what the rows of the route table call. Each fills c->resp, or returns false with the error set. */
#ifndef FA_API_HANDLERS_H
#define FA_API_HANDLERS_H

#include "api/api.h"

/* projects.c */
bool projects_list(struct call *c, struct err *e);
bool projects_get(struct call *c, struct err *e);
bool projects_api_keys(struct call *c, struct err *e);
bool projects_settings(struct call *c, struct err *e);
bool projects_set_settings(struct call *c, struct err *e);

/* functions.c */
bool functions_list(struct call *c, struct err *e);
bool functions_get(struct call *c, struct err *e);
bool functions_body(struct call *c, struct err *e);
bool functions_files(struct call *c, struct err *e);
bool functions_validate(struct call *c, struct err *e);
bool functions_deploy(struct call *c, struct err *e);
bool functions_create(struct call *c, struct err *e);
bool functions_update(struct call *c, struct err *e);
bool functions_bulk_update(struct call *c, struct err *e);
bool functions_delete(struct call *c, struct err *e);

/* mcp.c */
bool mcp_post(struct call *c, struct err *e);
bool mcp_metadata(struct call *c, struct err *e);

/* foreign.c */
bool functions_import(struct call *c, struct err *e);
bool drift_list_all(struct call *c, struct err *e);
bool drift_take(struct call *c, struct err *e);
bool drift_put_back(struct call *c, struct err *e);

/* history.c */
bool versions_list(struct call *c, struct err *e);
bool versions_get(struct call *c, struct err *e);
bool versions_body(struct call *c, struct err *e);
bool versions_diff(struct call *c, struct err *e);
bool functions_rollback(struct call *c, struct err *e);
bool functions_restore(struct call *c, struct err *e);
bool functions_promote(struct call *c, struct err *e);
bool traffic_get(struct call *c, struct err *e);
bool traffic_put(struct call *c, struct err *e);
bool deployments_of_project(struct call *c, struct err *e);
bool deployments_of_function(struct call *c, struct err *e);
bool deployments_get(struct call *c, struct err *e);
bool releases_list(struct call *c, struct err *e);
bool releases_get(struct call *c, struct err *e);
bool releases_rollback(struct call *c, struct err *e);

/* nodes.c */
bool nodes_list(struct call *c, struct err *e);
bool nodes_list_all(struct call *c, struct err *e);
bool nodes_drain(struct call *c, struct err *e);
bool nodes_resume(struct call *c, struct err *e);
bool nodes_check(struct call *c, struct err *e);
bool nodes_remove(struct call *c, struct err *e);

/* flat.c */
bool flat_list(struct call *c, struct err *e);
bool flat_get(struct call *c, struct err *e);
bool flat_deploy(struct call *c, struct err *e);
bool flat_delete(struct call *c, struct err *e);

/* doctor.c */
bool doctor_get(struct call *c, struct err *e);

/* audit.c */
bool audit_list_entries(struct call *c, struct err *e);
bool audit_verify_entries(struct call *c, struct err *e);

/* access.c */
bool access_tokens_list(struct call *c, struct err *e);
bool access_tokens_create(struct call *c, struct err *e);
bool access_tokens_rotate(struct call *c, struct err *e);
bool access_tokens_revoke(struct call *c, struct err *e);

/* secrets.c: of the project, or with {slug} of one function */
bool secrets_list(struct call *c, struct err *e);
bool secrets_set(struct call *c, struct err *e);
bool secrets_unset(struct call *c, struct err *e);
bool secrets_revisions(struct call *c, struct err *e);
bool secrets_rollback(struct call *c, struct err *e);
/* session.c */
bool session_get(struct call *c, struct err *e);

/* settings.c */
bool settings_get(struct call *c, struct err *e);
bool settings_patch(struct call *c, struct err *e);
bool defaults_get(struct call *c, struct err *e);
bool defaults_patch(struct call *c, struct err *e);

/* logs.c */
bool events_take(struct call *c, struct err *e);
bool logs_get(struct call *c, struct err *e);
bool stats_get(struct call *c, struct err *e);
bool analytics_logs(struct call *c, struct err *e);
bool analytics_stats(struct call *c, struct err *e);

/* templates.c */
bool templates_list(struct call *c, struct err *e);

/* ops.c */
bool ops_health(struct call *c, struct err *e);
bool ops_ready(struct call *c, struct err *e);
bool ops_metrics(struct call *c, struct err *e);
bool ops_openapi(struct call *c, struct err *e);

#endif
