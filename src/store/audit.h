/* audit - the append-only log of who did what. Written in the transaction of the change that it records. */
#ifndef FA_STORE_AUDIT_H
#define FA_STORE_AUDIT_H

#include "core/model.h"
#include "store/pg.h"

struct audit_entry {
	const char *project_ref; /* NULL where none is concerned */
	const char *action;      /* "function.deploy" */
	const char *target;      /* a slug, a token's name */
	const char *outcome;     /* done, failed, refused */
	const char *before;      /* a version or digest, never content; NULL for none */
	const char *after;
};

MUST_CHECK bool audit_write(struct pg_conn *c, struct arena *a, const struct actor *who,
			    const struct audit_entry *entry, struct err *e);

#endif
