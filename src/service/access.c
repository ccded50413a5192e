#include "service/access.h"

#include "core/crash.h"
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
	FA_CRASH_POINT("token.made");
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

/* The token, locked, if it is still one and the caller may change it. */
static bool lock_token(struct pg_conn *c, struct arena *a, const char *id, access_check *may, void *ctx,
		       struct access_token *t, struct err *e)
{
	if (!token_lock(c, a, id, t, e))
		return false;
	if (t->revoked_at != 0)
		return err_set(e, ERR_NOT_FOUND, "token_not_found", "Access token not found");
	return may == NULL || may(ctx, t, e);
}

bool access_rotate(struct service *s, struct arena *a, const struct actor *who, const char *id, access_check *may,
		   void *ctx, const uint8_t hash[32], struct access_token *out, struct err *e)
{
	struct audit_entry entry = {.action = "token.rotate", .outcome = "done"};
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && pg_begin(c, e) && lock_token(c, a, id, may, ctx, out, e) &&
		  token_rotate(c, a, id, hash, e);

	if (ok) {
		entry.project_ref = out->project_ref;
		entry.target = out->name;
		out->last_used_at = 0;
		ok = audit_write(c, a, who, &entry, e) && pg_commit(c, e);
		FA_CRASH_POINT("token.rotated");
	}
	pg_release(c);
	return ok;
}

bool access_revoke(struct service *s, struct arena *a, const struct actor *who, const char *id, access_check *may,
		   void *ctx, struct err *e)
{
	struct audit_entry entry = {.action = "token.revoke", .outcome = "done"};
	struct access_token t;
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && pg_begin(c, e) && lock_token(c, a, id, may, ctx, &t, e) &&
		  token_revoke(c, a, id, e);

	if (ok) {
		entry.project_ref = t.project_ref;
		entry.target = t.name;
		ok = audit_write(c, a, who, &entry, e) && pg_commit(c, e);
		FA_CRASH_POINT("token.revoked");
	}
	pg_release(c);
	return ok;
}
