/* The route table's own rules. tests/security/matrix.test.mjs walks the same table with every kind of credential. */
#include "api/api.h"
#include "auth/scope.h"
#include "core/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Any good credential will do here: what they answer is cut to what the caller may see. */
static const char *const scopeless[] = {
	"POST /mcp",
	"GET /v1/session",
	"GET /v1/projects",
	"GET /v1/projects/{ref}",
	"GET /v1/projects/{ref}/api-keys",
	"GET /v1/templates",
	NULL,
};

/* No credential at all; nothing here knows a project. */
static const char *const public[] = {
	"GET /healthz",
	"GET /readyz",
	"GET /metrics",
	"GET /v1/openapi.json",
	"GET /.well-known/oauth-protected-resource",
	"GET /.well-known/oauth-protected-resource/mcp",
	NULL,
};

static bool is_listed(const char *const *list, const struct route *r)
{
	char name[160];

	(void)snprintf(name, sizeof name, "%s %s", r->method, r->path);
	for (; *list != NULL; list++)
		if (text_eq(*list, name))
			return true;
	return false;
}

static void every_route_names_its_scope(void **state)
{
	(void)state;
	for (const struct route *r = api_routes; r->method != NULL; r++) {
		bool is_public = r->flags & ROUTE_PUBLIC;

		if (is_public != is_listed(public, r))
			fail_msg("%s %s: public routes are listed in this test", r->method, r->path);
		if (is_public)
			assert_int_equal(r->scope, SCOPE_NONE);
		else if ((r->scope == SCOPE_NONE) != is_listed(scopeless, r))
			fail_msg("%s %s: a route names a scope, or is listed in this test as one that needs none",
				 r->method, r->path);
		if (r->scope != SCOPE_NONE && scope_name((enum scope)r->scope) == NULL)
			fail_msg("%s %s: a route names one scope", r->method, r->path);
	}
}

static void reading_scopes_do_not_write(void **state)
{
	(void)state;
	for (const struct route *r = api_routes; r->method != NULL; r++) {
		const char *scope = r->scope != SCOPE_NONE ? scope_name((enum scope)r->scope) : "";

		/* What looks at an upload and keeps nothing of it changes nothing. */
		if (!text_eq(r->method, "GET") && text_ends(scope, ":read") && !text_ends(r->path, "/validate"))
			fail_msg("%s %s: %s is not enough for a change", r->method, r->path, scope);
	}
}

static void no_route_stands_twice(void **state)
{
	(void)state;
	for (const struct route *r = api_routes; r->method != NULL; r++) {
		assert_non_null(r->handler);
		for (const struct route *s = api_routes; s < r; s++)
			if (text_eq(r->method, s->method) && text_eq(r->path, s->path))
				fail_msg("%s %s stands twice", r->method, r->path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_names_its_scope),
		cmocka_unit_test(reading_scopes_do_not_write),
		cmocka_unit_test(no_route_stands_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
