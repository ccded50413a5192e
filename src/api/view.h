/* view - domain records as the JSON of API.md. What is unset is left out: the CLI rejects null. NULL when memory is
 * out. */
#ifndef FA_API_VIEW_H
#define FA_API_VIEW_H

#include "core/arena.h"
#include "core/model.h"
#include "service/audit.h"
#include "service/history.h"
#include "service/roster.h"

#include <jansson.h>

/* The Management API's function object. */
json_t *view_function(struct arena *a, const struct function *f);

/* The flat API's; files: an array that is taken over, or NULL for none. */
json_t *view_activity(struct arena *a, const struct function_activity *f);
json_t *view_flat_function(struct arena *a, const struct function *f, json_t *files);

/* {organization, region, database_host, server_version} come from the configuration and the connection. */
struct view_project_details {
	const char *organization;
	const char *region;
	const char *database_host;
	int server_version; /* 150020; 0 where unknown */
};
json_t *view_project(struct arena *a, const struct project *p, const struct view_project_details *details);

/* The versions API's object; times ISO 8601. */
json_t *view_version(struct arena *a, const struct version *v, int active_version);
json_t *view_files(const struct file_list *files);
json_t *view_difference(const struct difference *d);
/* {"verify_jwt": [from, to], ...}: what else is not the same. */
json_t *view_changed_settings(const struct version *from, const struct version *to);
json_t *view_deployment(struct arena *a, const struct deployment *d);
json_t *view_rollout_nodes(struct arena *a, const struct rollout_node_list *list);
json_t *view_node(struct arena *a, const struct node *n);
json_t *view_release(struct arena *a, const struct release *r);

json_t *view_token(struct arena *a, const struct access_token *t);

json_t *view_audit(struct arena *a, const struct audit_row *row);

/* The names of the scopes of a set. */
json_t *view_scopes(unsigned scopes);

/* ISO 8601 in UTC; NULL when memory is out. */
const char *view_time(struct arena *a, int64_t ms);

#endif
