/*
 * scope - names of scopes, and slug patterns.
 */
#ifndef FA_AUTH_SCOPE_H
#define FA_AUTH_SCOPE_H

#include "auth/principal.h"
#include "core/arena.h"
#include "core/error.h"

/* "functions:read" and so on; NULL for a bit that is none. */
const char *scope_name(enum scope scope);

/* SCOPE_NONE for a word that is no scope. */
enum scope scope_parse(const char *name);

/* True when pattern ("ci-*", "hello"; '*' stands for any run of characters) matches the whole slug. */
bool scope_slug_matches(const char *pattern, const char *slug);

bool principal_has(const struct principal *p, unsigned scopes);

/* What tells this caller from every other one: keys of two projects have the same names. NULL when memory is out. */
const char *principal_identity(const struct principal *p, struct arena *a);

/* False where the principal is bound to other projects or functions. */
bool principal_may_project(const struct principal *p, const char *project);
bool principal_may_slug(const struct principal *p, const char *slug);

#endif
