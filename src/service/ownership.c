#include "service/ownership.h"

#include "core/crypto.h"
#include "store/installation.h"

#include <string.h>

enum step { CHECK, CLAIM, TAKE };

static bool compare(const struct pg_bytes *found, const uint8_t ours[CRYPTO_HASH_BYTES], struct err *e)
{
	if (found->data == NULL || (found->len == CRYPTO_HASH_BYTES && memcmp(found->data, ours, found->len) == 0))
		return true;
	(void)err_set(e, ERR_CONFLICT, "another_installation",
		      "This database belongs to an installation with another master_key");
	return err_hint(e,
			"Is the address of the database (DATABASE_URL, postgres_host) another one's? Where the key was "
			"replaced for good, and what it protected is lost: functions-admin migrate "
			"--replace-master-key");
}

static bool run(struct service *s, struct arena *a, const uint8_t ours[CRYPTO_HASH_BYTES], enum step step,
		struct err *e)
{
	struct pg_conn *c = NULL;
	struct pg_bytes found;
	bool ok = pg_acquire(s->pool, &c, e);

	if (ok && step == TAKE)
		ok = installation_replace(c, a, ours, CRYPTO_HASH_BYTES, e);
	else if (ok)
		ok = installation_find(c, a, &found, e) && compare(&found, ours, e);
	/* Of two that come at once one is the first, and the other reads what that one has left. */
	if (ok && step == CLAIM && found.data == NULL)
		ok = installation_keep(c, a, ours, CRYPTO_HASH_BYTES, e) && installation_find(c, a, &found, e) &&
		     compare(&found, ours, e);
	pg_release(c);
	return ok;
}

static bool with_key(struct service *s, enum step step, struct err *e)
{
	uint8_t ours[CRYPTO_HASH_BYTES];
	struct crypto_key master;
	struct arena *a;
	bool ok;

	if (s->cfg->master_key == NULL || s->cfg->master_key[0] == '\0')
		return step != TAKE || err_set(e, ERR_CONFIG, NULL, "master_key is not set");
	if (!crypto_master_key(s->cfg->master_key, &master, e))
		return false;
	crypto_fingerprint(&master, ours);
	crypto_key_wipe(&master);
	a = arena_new(0);
	ok = a != NULL ? run(s, a, ours, step, e) : err_no_memory(e);
	arena_free(a);
	return ok;
}

bool ownership_check(struct service *s, struct err *e)
{
	return with_key(s, CHECK, e);
}

bool ownership_claim(struct service *s, struct err *e)
{
	return with_key(s, CLAIM, e);
}

bool ownership_take(struct service *s, struct err *e)
{
	return with_key(s, TAKE, e);
}
