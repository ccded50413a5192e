#include "service/repeat.h"

#include "core/crypto.h"
#include "core/log.h"
#include "store/idempotency.h"

#include <pthread.h>
#include <string.h>

#define MAX_KEY 255

struct repeat {
	struct service *service;
	struct arena *arena;
	const char *principal;
	const char *key;
	char claim[CRYPTO_UUID_SIZE]; /* "": there is none, or an answer is in its place */
	struct remembered known;
};

/* Claims that could not be given up when their time was, for repeat_tidy(). */
#define MAX_LEFT 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char left[MAX_LEFT][CRYPTO_UUID_SIZE];
static size_t left_count;

static void leave(const char *claim)
{
	bool room;

	(void)pthread_mutex_lock(&lock);
	room = left_count < MAX_LEFT;
	if (room)
		memcpy(left[left_count++], claim, CRYPTO_UUID_SIZE);
	(void)pthread_mutex_unlock(&lock);
	if (!room)
		log_warn("an Idempotency-Key stays in use until this process ends: too many could not be given up");
}

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
	struct pg_conn *c = NULL;
	bool taken = false;
	bool ok;

	if (r == NULL)
		return err_no_memory(e);
	*r = (struct repeat){.service = s, .arena = a, .principal = principal, .key = key};
	if (!check_key(key, e) || !pg_acquire(s->pool, &c, e))
		return false;
	crypto_uuid(r->claim);
	ok = idempotency_claim(c, a, principal, key, r->claim, service_instance(s), &taken, e);
	/* The database may have heard of it all the same. */
	if (!ok)
		leave(r->claim);
	if (!taken)
		r->claim[0] = '\0';
	ok = ok && (taken || idempotency_find(c, a, principal, key, &r->known, e));
	pg_release(c);
	if (!ok)
		return false;
	if (!taken && !r->known.found) {
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
	struct pg_conn *c = NULL;
	struct crypto_key key;
	const char *context;
	bool ok;

	if (!sealing(r, &key, &context, e))
		return false;
	ok = crypto_seal(&key, context, answer, len, &sealed, e) && pg_acquire(r->service->pool, &c, e) &&
	     idempotency_answer(c, r->arena, r->principal, r->key, r->claim, request, status, sealed.data, sealed.len,
				e);
	pg_release(c);
	if (ok)
		r->claim[0] = '\0';
	crypto_key_wipe(&key);
	buf_free(&sealed);
	return ok;
}

void repeat_end(struct repeat *r)
{
	const char *const claims[] = {r->claim};
	struct err failed = ERR_INIT;
	struct pg_conn *c = NULL;

	if (r->claim[0] == '\0')
		return;
	if (!pg_acquire(r->service->pool, &c, &failed) || !idempotency_give_up(c, r->arena, claims, 1, &failed))
		leave(r->claim);
	pg_release(c);
}

bool repeat_tidy(struct service *s, struct err *e)
{
	const char *claims[MAX_LEFT];
	struct arena *a = NULL;
	struct pg_conn *c = NULL;
	size_t count;
	bool ok;

	/* New ones come behind these, and they go in front: only this call takes any away. */
	(void)pthread_mutex_lock(&lock);
	count = left_count;
	(void)pthread_mutex_unlock(&lock);
	if (count == 0)
		return true;
	for (size_t i = 0; i < count; i++)
		claims[i] = left[i];
	a = arena_new(0);
	ok = (a != NULL || err_no_memory(e)) && pg_acquire(s->pool, &c, e) &&
	     idempotency_give_up(c, a, claims, count, e);
	pg_release(c);
	arena_free(a);
	(void)pthread_mutex_lock(&lock);
	if (ok) {
		left_count -= count;
		memmove(left, left + count, left_count * sizeof left[0]);
	}
	(void)pthread_mutex_unlock(&lock);
	return ok;
}
