#include "service/access.h"

#include "core/crypto.h"
#include "store/audit.h"

bool access_create(struct service *s, struct arena *a, const struct actor *who, struct access_token *t,
		   const uint8_t hash[32], struct err *e)
{
	const struct audit_entry entry = {
		.project_ref = t->project_ref,
		.action = "token.create",
		.target = t->name,
		.outcome = "done",
	};
	char *id = arena_alloc(a, CRYPTO_UUID_SIZE);
	struct pg_conn *c = NULL;
	bool ok;

	if (id == NULL)
		return err_no_memory(e);
	crypto_uuid(id);
	t->id = id;
	t->created_by = who->name;
	t->created_at = service_now();
	ok = pg_acquire(s->pool, &c, e) && pg_begin(c, e) && token_insert(c, a, t, hash, e) &&
	     audit_write(c, a, who, &entry, e) && pg_commit(c, e);
	if (!ok && c != NULL && pg_is_foreign_key_violation(c))
		(void)err_set(e, ERR_NOT_FOUND, "project_not_found", "Project not found");
	pg_release(c);
	return ok;
}

bool access_list(struct service *s, struct arena *a, struct access_token **out, size_t *count, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && token_list(c, a, out, count, e);

	pg_release(c);
	return ok;
}

bool access_revoke(struct service *s, struct arena *a, const struct actor *who, const char *id, struct err *e)
{
	struct audit_entry entry = {.action = "token.revoke", .outcome = "done"};
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && pg_begin(c, e) && token_revoke(c, a, id, &entry.target, e) &&
		  audit_write(c, a, who, &entry, e) && pg_commit(c, e);

	pg_release(c);
	return ok;
}
