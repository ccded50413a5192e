#include "api/handlers.h"
#include "api/sse.h"
#include "api/view.h"
#include "service/function.h"
#include "service/roster.h"

/* Without paging: of hosts there are never more than fit into one answer. NULL with the error set. */
static json_t *list_of(struct call *c, const char *project_ref, struct err *e)
{
	json_t *array = json_array();
	struct node_list list;

	if (!roster_list(c->service, c->arena, project_ref, &list, e)) {
		json_decref(array);
		return NULL;
	}
	for (size_t i = 0; i < list.count; i++)
		if (json_array_append_new(array, view_node(c->arena, &list.items[i])) != 0) {
			json_decref(array);
			(void)err_no_memory(e);
			return NULL;
		}
	return array;
}

/* NULL with the error set. */
static json_t *of_project(struct call *c, const struct project *project, struct err *e)
{
	json_t *array = list_of(c, project->ref, e);
	json_t *doc = array == NULL
			      ? NULL
			      : json_pack("{s:I, s:o}", "generation", (json_int_t)project->generation, "data", array);

	if (array != NULL && doc == NULL)
		(void)err_no_memory(e);
	return doc;
}

/* Each word of a node moves these times, fifty nodes several times in a second; the rest is what a reader sees change.
 */
static bool look_nodes(struct call *c, void *ctx, json_t **doc, json_t **seen, struct err *e)
{
	struct project now;
	json_t *node;
	size_t i;

	(void)ctx;
	if (!function_project(c->service, c->arena, c->project.ref, &now, e))
		return false;
	*doc = of_project(c, &now, e);
	*seen = *doc != NULL ? json_deep_copy(*doc) : NULL;
	if (*doc != NULL && *seen == NULL)
		return err_no_memory(e);
	json_array_foreach (json_object_get(*seen, "data"), i, node) {
		(void)json_object_del(node, "seen_at");
		(void)json_object_del(node, "behind_ms");
		(void)json_object_del(json_object_get(node, "error"), "at");
	}
	return *doc != NULL;
}

bool nodes_list(struct call *c, struct err *e)
{
	json_t *doc;

	if (sse_wanted(c))
		return sse_follow(c, "nodes", look_nodes, NULL, e);
	doc = of_project(c, &c->project, e);
	return doc != NULL && response_json(c->resp, 200, doc, e);
}

/* Of every project that the caller may see. */
bool nodes_list_all(struct call *c, struct err *e)
{
	json_t *array = list_of(c, c->who.project, e);

	return array != NULL && response_json(c->resp, 200, json_pack("{s:o}", "data", array), e);
}

static bool order(struct call *c, enum roster_order what, struct err *e)
{
	return roster_order(c->service, c->arena, &c->actor, c->project.ref, c->id, what, e) &&
	       response_json(c->resp, 200, json_pack("{s:s, s:s}", "id", c->id, "order", roster_order_name(what)), e);
}

bool nodes_drain(struct call *c, struct err *e)
{
	return order(c, ROSTER_DRAIN, e);
}

bool nodes_resume(struct call *c, struct err *e)
{
	return order(c, ROSTER_RESUME, e);
}

bool nodes_check(struct call *c, struct err *e)
{
	return order(c, ROSTER_CHECK, e);
}

bool nodes_remove(struct call *c, struct err *e)
{
	return order(c, ROSTER_REMOVE, e);
}
