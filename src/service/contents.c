#include "service/contents.h"

#include "core/crypto.h"
#include "core/log.h"
#include "fs/cache.h"
#include "store/blob.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE ((size_t)64 * 1024)

struct contents {
	struct cache *cache;     /* under the lock */
	pthread_mutex_t lock;    /* versions are staged side by side */
	struct pg_pool *replica; /* NULL: none */
};

static bool open_replica(const struct config *cfg, struct pg_pool **out, struct err *e)
{
	struct config there = *cfg;

	if (cfg->replica_url == NULL)
		return true;
	there.database_url = cfg->replica_url;
	if (!pg_pool_new(out, &there, 1, e))
		return false;
	pg_pool_take_role(*out, cfg->db_role);
	return true;
}

bool contents_open(struct service *s, struct err *e)
{
	struct contents *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_init(&c->lock, NULL);
	if (!cache_open(&c->cache, s->folder, s->cfg->cache_bytes, e) || !open_replica(s->cfg, &c->replica, e)) {
		contents_close(c);
		return false;
	}
	s->contents = c;
	return true;
}

void contents_close(struct contents *c)
{
	if (c == NULL)
		return;
	cache_close(c->cache);
	pg_pool_free(c->replica);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

/* To the sink, and to the cache on the way. */
struct tee {
	bool (*sink)(void *ctx, const void *data, size_t len, struct err *e);
	void *ctx;
	struct cache_entry entry;
	struct sha256 *sum;
	bool fed; /* something has gone to the sink */
};

static bool to_both(void *ctx, const void *data, size_t len, struct err *e)
{
	struct tee *t = ctx;

	t->fed = true;
	sha256_update(t->sum, data, len);
	cache_write(&t->entry, data, len);
	return t->sink(t->ctx, data, len, e);
}

static bool from_cache(int fd, struct tee *t, struct err *e)
{
	char *piece = malloc(READ_SIZE);
	ssize_t n = 0;
	bool ok = piece != NULL || err_no_memory(e);

	while (ok && ((n = read(fd, piece, READ_SIZE)) > 0 || (n < 0 && errno == EINTR)))
		ok = n < 0 || t->sink(t->ctx, piece, (size_t)n, e);
	if (ok && n < 0)
		ok = err_errno(e, errno, "functions folder: the cache");
	free(piece);
	return ok;
}

/* A replica that is behind, or away, is no error: the database has it. */
static bool from_replica(const struct contents *contents, const struct file *file, struct tee *t)
{
	struct err e = ERR_INIT;
	struct pg_conn *c = NULL;
	bool ok = contents->replica != NULL && pg_acquire(contents->replica, &c, &e) &&
		  blob_load(c, file->sha256, file->size, to_both, t, &e);

	pg_release(c);
	if (!ok && contents->replica != NULL)
		log_debug("%s is read from the database, not from the replica: %s", file->path, e.message);
	return ok;
}

static bool fetch(const struct contents *contents, struct pg_conn *c, const struct file *file, struct tee *t,
		  struct err *e)
{
	uint8_t sum[SHA256_BYTES];
	bool ok = from_replica(contents, file, t);

	/* Half of it has gone to the sink: that cannot be taken back. */
	if (!ok && t->fed)
		return err_set(e, ERR_UNAVAILABLE, "replica_unavailable", "The replica broke off");
	ok = ok || blob_load(c, file->sha256, file->size, to_both, t, e);
	cache_end(contents->cache, &t->entry,
		  ok && sha256_final(t->sum, sum) && memcmp(sum, file->sha256, sizeof sum) == 0);
	return ok;
}

static bool load_here(struct contents *contents, struct pg_conn *c, const struct file *file, struct tee *t,
		      struct err *e)
{
	int fd = cache_find(contents->cache, file->sha256, file->size);
	bool ok;

	if (fd >= 0) {
		ok = from_cache(fd, t, e);
		(void)close(fd);
		return ok;
	}
	t->sum = sha256_new();
	if (t->sum == NULL)
		return err_no_memory(e);
	cache_begin(contents->cache, file->sha256, file->size, &t->entry);
	ok = fetch(contents, c, file, t, e);
	cache_end(contents->cache, &t->entry, false);
	sha256_free(t->sum);
	return ok;
}

bool contents_load(struct service *s, struct pg_conn *c, const struct file *file,
		   bool (*sink)(void *ctx, const void *data, size_t len, struct err *e), void *ctx, struct err *e)
{
	struct tee t = {.sink = sink, .ctx = ctx, .entry = {.fd = -1}};
	bool ok;

	if (s->contents == NULL)
		return blob_load(c, file->sha256, file->size, sink, ctx, e);
	(void)pthread_mutex_lock(&s->contents->lock);
	ok = load_here(s->contents, c, file, &t, e);
	(void)pthread_mutex_unlock(&s->contents->lock);
	return ok;
}
