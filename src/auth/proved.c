#include "auth/proved.h"

#include "auth/jwt.h"
#include "core/crypto.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 256

struct proved {
	pthread_mutex_t lock;
	struct crypto_key key; /* of the hashes; random, so that nobody chooses tokens that share a slot */
	struct slot {
		uint8_t hash[CRYPTO_HASH_BYTES];
		int64_t expires_at;
		bool used;
	} slots[SLOTS];
};

bool proved_new(struct proved **out, struct err *e)
{
	struct proved *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_init(&p->lock, NULL);
	crypto_random(p->key.bytes, sizeof p->key.bytes);
	*out = p;
	return true;
}

void proved_free(struct proved *p)
{
	if (p == NULL)
		return;
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

bool proved_find(struct proved *p, const char *token, int64_t now, int64_t *expires_at)
{
	uint8_t hash[CRYPTO_HASH_BYTES];
	const struct slot *s;
	bool found;

	crypto_keyed_hash(&p->key, token, strlen(token), hash);
	s = &p->slots[hash[0]];
	(void)pthread_mutex_lock(&p->lock);
	found = s->used && memcmp(s->hash, hash, sizeof hash) == 0 &&
		(s->expires_at == 0 || now - JWT_LEEWAY_SECONDS < s->expires_at);
	*expires_at = s->expires_at;
	(void)pthread_mutex_unlock(&p->lock);
	return found;
}

void proved_add(struct proved *p, const char *token, int64_t expires_at)
{
	uint8_t hash[CRYPTO_HASH_BYTES];
	struct slot *s;

	crypto_keyed_hash(&p->key, token, strlen(token), hash);
	s = &p->slots[hash[0]];
	(void)pthread_mutex_lock(&p->lock);
	memcpy(s->hash, hash, sizeof hash);
	s->expires_at = expires_at;
	s->used = true;
	(void)pthread_mutex_unlock(&p->lock);
}
