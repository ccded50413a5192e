#include "auth/scope.h"

#include "core/text.h"

static const struct {
	enum scope scope;
	const char *name;
} scopes[] = {
	{SCOPE_FUNCTIONS_READ, "functions:read"}, {SCOPE_FUNCTIONS_WRITE, "functions:write"},
	{SCOPE_SECRETS_READ, "secrets:read"},     {SCOPE_SECRETS_WRITE, "secrets:write"},
	{SCOPE_AUDIT_READ, "audit:read"},         {SCOPE_TOKENS_ADMIN, "tokens:admin"},
	{SCOPE_PROJECTS_ADMIN, "projects:admin"}, {SCOPE_EVENTS_WRITE, "events:write"},
};

const char *scope_name(enum scope scope)
{
	for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++)
		if (scopes[i].scope == scope)
			return scopes[i].name;
	return NULL;
}

enum scope scope_parse(const char *name)
{
	for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++)
		if (text_eq(scopes[i].name, name))
			return scopes[i].scope;
	return SCOPE_NONE;
}

/*
 * On a mismatch, only the last '*' is tried again with one more character: the earlier ones took as little as they
 * could, so no other choice of theirs would help. The cost is bounded by the product of the lengths.
 */
bool scope_slug_matches(const char *pattern, const char *slug)
{
	const char *star = NULL;
	const char *retry = NULL;

	while (*slug != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			retry = slug;
		} else if (*pattern == *slug) {
			pattern++;
			slug++;
		} else if (star != NULL) {
			pattern = star + 1;
			slug = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

bool principal_has(const struct principal *p, unsigned wanted)
{
	return (p->scopes & wanted) == wanted;
}

const char *principal_identity(const struct principal *p, struct arena *a)
{
	if (p->id[0] != '\0')
		return p->id;
	return p->project != NULL ? arena_printf(a, "%s %s", p->project, p->name) : p->name;
}

bool principal_may_project(const struct principal *p, const char *project)
{
	return p->project == NULL || text_eq(p->project, project);
}

bool principal_may_slug(const struct principal *p, const char *slug)
{
	if (p->slugs == NULL)
		return true;
	for (const char *const *pattern = p->slugs; *pattern != NULL; pattern++)
		if (scope_slug_matches(*pattern, slug))
			return true;
	return false;
}
