#include "api/handlers.h"
#include "core/embedded.h"
#include "core/metrics.h"
#include "service/bell.h"
#include "service/drift.h"
#include "service/function.h"
#include "service/roster.h"

#include <stdatomic.h>

bool ops_health(struct call *c, struct err *e)
{
	return response_json(c->resp, 200, json_pack("{s:s}", "status", "ok"), e);
}

bool ops_ready(struct call *c, struct err *e)
{
	return function_ready(c->service, c->arena, e) &&
	       response_json(c->resp, 200, json_pack("{s:s}", "status", "ready"), e);
}

static void route_name(int route, const char **method, const char **path)
{
	*method = api_routes[route].method;
	*path = api_routes[route].path;
}

static void gauge(struct buf *out, const char *name, const char *help, int64_t value)
{
	buf_printf(out, "# HELP functions_admin_%s %s\n# TYPE functions_admin_%s gauge\nfunctions_admin_%s %lld\n",
		   name, help, name, name, (long long)value);
}

static void render_pool(struct buf *out, const struct pg_pool_stats *pool)
{
	buf_printf(out,
		   "# HELP functions_admin_db_connections Database connections of the pool.\n"
		   "# TYPE functions_admin_db_connections gauge\n"
		   "functions_admin_db_connections{state=\"busy\"} %d\n"
		   "functions_admin_db_connections{state=\"idle\"} %d\n",
		   pool->busy, pool->open - pool->busy);
	gauge(out, "db_connections_max", "Size of the pool.", pool->max);
}

/* What the database knows. While it is away the rest of the page is still wanted, and that it is away. */
static void render_inventory(struct buf *out, struct call *c)
{
	struct inventory n;
	struct err failed = ERR_INIT;
	int64_t shown;
	bool up = function_inventory(c->service, c->arena, &n, &shown, &failed);

	gauge(out, "generation_shown", "The generations that the functions folders show, all projects together.",
	      shown);
	gauge(out, "database_up", "1 where the database answered this very question.", up ? 1 : 0);
	if (!up)
		return;
	gauge(out, "generation", "The generations in the database of the projects that this process deploys to.",
	      n.generation);
	gauge(out, "functions", "Functions that serve.", n.functions);
	gauge(out, "blobs", "Files stored, each content once (the database's estimate).", n.blobs);
	gauge(out, "blob_bytes", "Disk that the stored files take in the database.", n.blob_bytes);
	buf_printf(out,
		   "# HELP functions_admin_deployments_open Deployments under way, by state.\n"
		   "# TYPE functions_admin_deployments_open gauge\n"
		   "functions_admin_deployments_open{state=\"pending\"} %lld\n"
		   "functions_admin_deployments_open{state=\"staged\"} %lld\n"
		   "functions_admin_deployments_open{state=\"booted\"} %lld\n",
		   (long long)n.open_pending, (long long)n.open_staged, (long long)n.open_booted);
}

static void count_nodes(struct buf *out, const struct node_list *list)
{
	int live = 0;
	int draining = 0;

	for (size_t i = 0; i < list->count; i++) {
		live += list->items[i].alive && !list->items[i].draining;
		draining += list->items[i].alive && list->items[i].draining;
	}
	buf_printf(out,
		   "# HELP functions_admin_nodes Hosts that show functions, by state.\n"
		   "# TYPE functions_admin_nodes gauge\n"
		   "functions_admin_nodes{state=\"live\"} %d\n"
		   "functions_admin_nodes{state=\"draining\"} %d\n"
		   "functions_admin_nodes{state=\"away\"} %d\n",
		   live, draining, (int)list->count - live - draining);
}

/* The id is the label: a name is anybody's text, and needs not be the only one. */
static void render_nodes(struct buf *out, struct call *c)
{
	struct err failed = ERR_INIT;
	struct node_list list;

	if (!roster_list(c->service, c->arena, NULL, &list, &failed))
		return;
	count_nodes(out, &list);
	buf_printf(out, "# HELP functions_admin_node_behind_generations Generations that a node does not show yet.\n"
			"# TYPE functions_admin_node_behind_generations gauge\n");
	for (size_t i = 0; i < list.count; i++)
		buf_printf(out, "functions_admin_node_behind_generations{node=\"%s\"} %lld\n", list.items[i].id,
			   (long long)list.items[i].behind);
	buf_printf(out,
		   "# HELP functions_admin_node_behind_seconds Age of the oldest change that a node does not show.\n"
		   "# TYPE functions_admin_node_behind_seconds gauge\n");
	for (size_t i = 0; i < list.count; i++)
		buf_printf(out, "functions_admin_node_behind_seconds{node=\"%s\"} %lld.%03lld\n", list.items[i].id,
			   (long long)(list.items[i].behind_ms / 1000), (long long)(list.items[i].behind_ms % 1000));
}

static void render_folder(struct buf *out, struct service *s)
{
	int64_t drifted = 0;

	if (s->folder == NULL)
		return;
	for (struct service *p = s; p != NULL; p = atomic_load(&p->further))
		drifted += (int64_t)drift_count(p);
	gauge(out, "functions_drifted", "Functions whose files on disk are not what was deployed, at the last look.",
	      drifted);
	gauge(out, "functions_disk_free_bytes", "Free space where the functions folder is.",
	      folder_free_bytes(s->folder));
}

bool ops_metrics(struct call *c, struct err *e)
{
	struct buf *out = &c->resp->body;
	struct pg_pool_stats pool = pg_pool_stats(c->service->pool);
	int routes = 0;

	while (api_routes[routes].method != NULL)
		routes++;
	metrics_render(out, routes, route_name);
	render_pool(out, &pool);
	gauge(out, "followers", "Requests that are held until there is something to tell.", bell_waiting());
	render_inventory(out, c);
	render_nodes(out, c);
	render_folder(out, c->service);
	if (out->failed)
		return err_no_memory(e);
	response_header(c->resp, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	return true;
}

bool ops_openapi(struct call *c, struct err *e)
{
	const struct embedded *doc = embedded_find("openapi.json");

	buf_put(&c->resp->body, doc->text, doc->len);
	if (c->resp->body.failed)
		return err_no_memory(e);
	response_header(c->resp, "Content-Type", "application/json");
	response_header(c->resp, "Cache-Control", "no-cache");
	return true;
}
