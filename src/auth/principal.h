/*
 * principal - who calls, and what they may do: the result of authentication, read by everything that decides or
 * records.
 */
#ifndef FA_AUTH_PRINCIPAL_H
#define FA_AUTH_PRINCIPAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits of a scope set; auth/scope.h has the names of API.md. */
enum scope {
	SCOPE_NONE = 0,
	SCOPE_FUNCTIONS_READ = 1 << 0,
	SCOPE_FUNCTIONS_WRITE = 1 << 1,
	SCOPE_SECRETS_READ = 1 << 2,
	SCOPE_SECRETS_WRITE = 1 << 3,
	SCOPE_AUDIT_READ = 1 << 4,
	SCOPE_TOKENS_ADMIN = 1 << 5,
	SCOPE_PROJECTS_ADMIN = 1 << 6,
	SCOPE_ALL = (1 << 7) - 1,
	/* For the runtime alone: whoever has all scopes need not be able to forge what functions said. */
	SCOPE_EVENTS_WRITE = 1 << 7
};

enum principal_kind {
	PRINCIPAL_TOKEN,
	PRINCIPAL_SERVICE_ROLE,
	PRINCIPAL_SECRET_KEY,
	PRINCIPAL_USER,
	PRINCIPAL_COMMAND,
	PRINCIPAL_RUNTIME
};

struct principal {
	enum principal_kind kind;
	const char *name;    /* for people and the audit log: "token ci", "user 8c3a...", "service_role" */
	const char *id;      /* the token's uuid; "" for keys and users */
	unsigned scopes;     /* enum scope bits */
	const char *project; /* the only project that it may touch; NULL for all */
	const char *
		*slugs; /* the only functions that it may touch, as patterns ("ci-*"), NULL-terminated; NULL for all */
	const char **networks; /* the only networks that it may come from, NULL-terminated; NULL for all */
	int64_t expires_at_ms; /* 0: never */
};

#endif
