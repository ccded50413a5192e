#include "auth/ratelimit.h"

#include "core/text.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS 64
#define SLOTS 512
#define PROBES 16
#define MINUTE ((int64_t)60 * 1000000)
#define SECOND ((int64_t)1000000)
#define GOOD_FOR (10 * MINUTE)

/* Beside the classes: credentials that were good. */
#define KIND_GOOD (LIMIT_FAILURES + 1)

struct slot {
	uint64_t key; /* 0: free */
	int64_t full_at;
};

struct shard {
	pthread_mutex_t lock;
	struct slot slots[SLOTS];
};

struct ratelimit {
	bool dry;
	int64_t per_minute[LIMIT_FAILURES + 1];
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	struct shard shards[SHARDS];
};

bool ratelimit_new(struct ratelimit **out, const struct config *cfg, struct err *e)
{
	struct ratelimit *r;

	*out = NULL;
	if (text_eq(cfg->rate_limit, "off"))
		return true;
	r = calloc(1, sizeof *r);
	if (r == NULL)
		return err_no_memory(e);
	r->dry = text_eq(cfg->rate_limit, "dry");
	r->per_minute[LIMIT_READ] = cfg->rate_read;
	r->per_minute[LIMIT_WRITE] = cfg->rate_write;
	r->per_minute[LIMIT_FAILURES] = cfg->rate_failures;
	/* A key of its own, so that nobody can choose names that share a slot. */
	crypto_shorthash_keygen(r->hash_key);
	for (int i = 0; i < SHARDS; i++)
		(void)pthread_mutex_init(&r->shards[i].lock, NULL);
	*out = r;
	return true;
}

void ratelimit_free(struct ratelimit *r)
{
	if (r == NULL)
		return;
	for (int i = 0; i < SHARDS; i++)
		(void)pthread_mutex_destroy(&r->shards[i].lock);
	free(r);
}

bool ratelimit_is_dry(const struct ratelimit *r)
{
	return r->dry;
}

static uint64_t hash_of(const struct ratelimit *r, int kind, const char *text)
{
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t hash;

	(void)crypto_shorthash(out, (const uint8_t *)text, strlen(text), r->hash_key);
	memcpy(&hash, out, sizeof hash);
	/* The kinds share the table; an odd factor keeps their keys apart. */
	hash += (uint64_t)(kind + 1) * UINT64_C(0x9E3779B97F4A7C15);
	return hash != 0 ? hash : 1;
}

/* The slot of this key, or one that it may have: free, or full again, or the nearest to that. Within the shard's lock.
 */
static struct slot *find_slot(struct shard *s, uint64_t key, int64_t now)
{
	struct slot *best = NULL;

	for (unsigned i = 0; i < PROBES; i++) {
		struct slot *slot = &s->slots[(key / SHARDS + i) % SLOTS];

		if (slot->key == key)
			return slot;
		if (best == NULL || slot->full_at < best->full_at)
			best = slot;
	}
	*best = (struct slot){.key = key, .full_at = now};
	return best;
}

static struct shard *shard_of(struct ratelimit *r, uint64_t key)
{
	return &r->shards[key % SHARDS];
}

static void bucket(struct ratelimit *r, enum limit_class class, const char *key, int64_t now, int64_t cost,
		   struct limit_state *out)
{
	int64_t limit = r->per_minute[class];
	int64_t interval = limit > 0 ? MINUTE / limit : 0;
	uint64_t hash = hash_of(r, (int)class, key);
	struct shard *s = shard_of(r, hash);
	struct slot *slot;
	int64_t full_at;

	*out = (struct limit_state){.allowed = true, .limit = limit};
	if (limit == 0)
		return;
	(void)pthread_mutex_lock(&s->lock);
	slot = find_slot(s, hash, now);
	full_at = slot->full_at > now ? slot->full_at : now;
	/* With this one, the bucket must not be more than a minute from full. */
	out->allowed = full_at + interval - now <= MINUTE;
	if (out->allowed && cost > 0)
		full_at += interval;
	slot->full_at = full_at;
	(void)pthread_mutex_unlock(&s->lock);
	/* At least 1: the configuration takes no limit beyond MINUTE. NOLINTNEXTLINE(clang-analyzer-core.DivideZero) */
	out->remaining = (MINUTE - (full_at - now)) / interval;
	out->reset = (full_at - now + SECOND - 1) / SECOND;
	if (!out->allowed)
		out->retry_after = (full_at + interval - now - MINUTE + SECOND - 1) / SECOND;
}

void ratelimit_take(struct ratelimit *r, enum limit_class class, const char *key, int64_t now, struct limit_state *out)
{
	bucket(r, class, key, now, 1, out);
}

void ratelimit_good(struct ratelimit *r, const char *credential, int64_t now)
{
	uint64_t hash = hash_of(r, KIND_GOOD, credential);
	struct shard *s = shard_of(r, hash);

	(void)pthread_mutex_lock(&s->lock);
	find_slot(s, hash, now)->full_at = now + GOOD_FOR;
	(void)pthread_mutex_unlock(&s->lock);
}

void ratelimit_bad(struct ratelimit *r, const char *address, int64_t now)
{
	struct limit_state ignored;

	bucket(r, LIMIT_FAILURES, address, now, 1, &ignored);
}

static bool was_good(struct ratelimit *r, const char *credential, int64_t now)
{
	uint64_t hash = hash_of(r, KIND_GOOD, credential);
	struct shard *s = shard_of(r, hash);
	bool good = false;

	(void)pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < PROBES && !good; i++) {
		const struct slot *slot = &s->slots[(hash / SHARDS + i) % SLOTS];

		good = slot->key == hash && slot->full_at > now;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return good;
}

void ratelimit_may_try(struct ratelimit *r, const char *address, const char *credential, int64_t now,
		       struct limit_state *out)
{
	bucket(r, LIMIT_FAILURES, address, now, 0, out);
	if (!out->allowed && credential != NULL && was_good(r, credential, now))
		out->allowed = true;
}
