#include "api/api.h"
#include "auth/scope.h"
#include "cmd/cmd.h"
#include "core/text.h"

#include <stdio.h>

static const char help[] = "Usage: functions-admin routes [--json]\n"
			   "\n"
			   "Lists every route of the API with the scope that an access token needs for it.\n";

/* What a caller needs, in one word: a scope's name, or that no scope or no credential is asked for. */
static const char *needed(const struct route *r)
{
	if (r->flags & ROUTE_PUBLIC)
		return "public";
	return r->scope == SCOPE_NONE ? "any" : scope_name((enum scope)r->scope);
}

static bool print_json(struct err *e)
{
	json_t *array = json_array();

	for (const struct route *r = api_routes; r->method != NULL; r++)
		if (json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "method", r->method, "path", r->path,
							   "scope", needed(r))) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	return cmd_print_json(array, e);
}

int cmd_routes(int argc, char **argv)
{
	struct err e = ERR_INIT;
	bool json;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		return 0;
	}
	json = cmd_flag(&argc, argv, "--json");
	if (!cmd_no_more(argc, argv, &e) || (json && !print_json(&e)))
		return cmd_fail(&e);
	for (const struct route *r = api_routes; !json && r->method != NULL; r++)
		(void)printf("%-7s %-50s %s\n", r->method, r->path, needed(r));
	return 0;
}
