#include "service/repeat.h"

#include "core/crypto.h"
#include "core/log.h"
#include "store/idempotency.h"

#include <string.h>

#define MAX_KEY 255

struct repeat {
	struct service *service;
	struct arena *arena;
	struct pg_conn *conn; /* holds the lock */
	const char *principal;
	const char *key;
	struct remembered known;
};

static bool check_key(const char *key, struct err *e)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < len; i++)
		if (key[i] < 0x21 || key[i] > 0x7E)
			len = 0;
	return len > 0 && len <= MAX_KEY
		       ? true
		       : err_set(e, ERR_MALFORMED, NULL, "The Idempotency-Key must be 1 to %d visible ASCII characters",
				 MAX_KEY);
}

bool repeat_begin(struct repeat **out, struct service *s, struct arena *a, const char *principal, const char *key,
		  struct err *e)
{
	struct repeat *r = arena_alloc(a, sizeof *r);
	bool taken = false;

	if (r == NULL)
		return err_no_memory(e);
	*r = (struct repeat){.service = s, .arena = a, .principal = principal, .key = key};
	if (!check_key(key, e) || !pg_acquire(s->pool, &r->conn, e))
		return false;
	if (!idempotency_lock(r->conn, a, principal, key, &taken, e) ||
	    (taken && !idempotency_find(r->conn, a, principal, key, &r->known, e))) {
		repeat_end(r);
		return false;
	}
	if (!taken) {
		pg_release(r->conn);
		(void)err_set(e, ERR_CONFLICT, "request_in_progress",
			      "A request with this Idempotency-Key is being carried out");
		return err_hint(e, "Repeat it in a moment, to get that one's answer.");
	}
	*out = r;
	return true;
}

bool repeat_is_known(const struct repeat *r)
{
	return r->known.found;
}

/* Sealed to the key: an answer cannot be moved to another one. */
static bool sealing(const struct repeat *r, struct crypto_key *key, const char **context, struct err *e)
{
	struct crypto_key master;

	*context = arena_printf(r->arena, "idempotency:%s:%s", r->principal, r->key);
	if (*context == NULL)
		return err_no_memory(e);
	if (!crypto_master_key(r->service->cfg->master_key, &master, e))
		return false;
	crypto_subkey(&master, CRYPTO_IDEMPOTENCY, key);
	crypto_key_wipe(&master);
	return true;
}

bool repeat_answer(struct repeat *r, const uint8_t request[32], int *status, struct buf *answer, struct err *e)
{
	struct crypto_key key;
	const char *context;
	bool ok;

	if (memcmp(request, r->known.request, sizeof r->known.request) != 0) {
		(void)err_set(e, ERR_INVALID, "idempotency_key_reused",
			      "This Idempotency-Key was used for another request");
		return err_hint(e, "Use a new key for each request; only a repetition carries the same.");
	}
	*status = r->known.status;
	if (!sealing(r, &key, &context, e))
		return false;
	ok = crypto_open(&key, context, r->known.answer.data, r->known.answer.len, answer, e);
	crypto_key_wipe(&key);
	return ok;
}

bool repeat_keep(struct repeat *r, const uint8_t request[32], int status, const void *answer, size_t len, struct err *e)
{
	struct buf sealed = BUF_INIT(len + CRYPTO_SEAL_OVERHEAD);
	struct crypto_key key;
	const char *context;
	bool ok;

	if (!sealing(r, &key, &context, e))
		return false;
	ok = crypto_seal(&key, context, answer, len, &sealed, e) &&
	     idempotency_insert(r->conn, r->arena, r->principal, r->key, request, status, sealed.data, sealed.len, e);
	crypto_key_wipe(&key);
	buf_free(&sealed);
	return ok;
}

void repeat_end(struct repeat *r)
{
	struct err failed = ERR_INIT;

	if (r == NULL)
		return;
	/* A connection that is gone has given up its locks. */
	if (!idempotency_unlock(r->conn, r->arena, r->principal, r->key, &failed))
		log_warn("the lock of an Idempotency-Key could not be given up: %s", failed.message);
	pg_release(r->conn);
}
