#include "api/handlers.h"
#include "core/embedded.h"
#include "core/metrics.h"
#include "service/function.h"

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

bool ops_metrics(struct call *c, struct err *e)
{
	struct pg_pool_stats pool = pg_pool_stats(c->service->pool);
	int routes = 0;

	while (api_routes[routes].method != NULL)
		routes++;
	metrics_render(&c->resp->body, routes, route_name);
	buf_printf(&c->resp->body,
		   "# HELP functions_admin_db_connections Database connections of the pool.\n"
		   "# TYPE functions_admin_db_connections gauge\n"
		   "functions_admin_db_connections{state=\"busy\"} %d\n"
		   "functions_admin_db_connections{state=\"idle\"} %d\n"
		   "# HELP functions_admin_db_connections_max Size of the pool.\n"
		   "# TYPE functions_admin_db_connections_max gauge\n"
		   "functions_admin_db_connections_max %d\n",
		   pool.busy, pool.open - pool.busy, pool.max);
	if (c->resp->body.failed)
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
