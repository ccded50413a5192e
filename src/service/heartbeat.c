#include "service/heartbeat.h"

#include "core/clock.h"
#include "core/crypto.h"
#include "core/log.h"
#include "store/instance.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct heartbeat {
	struct pg_pool *pool;
	char id[CRYPTO_UUID_SIZE];
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t stop;
	bool stopping; /* guarded by lock */
};

static bool tell(struct heartbeat *h, bool alive, struct err *e)
{
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	bool ok = a != NULL || err_no_memory(e);

	ok = ok && pg_acquire(h->pool, &c, e) &&
	     (alive ? instance_renew(c, a, h->id, HEARTBEAT_LEASE_SECONDS, e) : instance_remove(c, a, h->id, e));
	pg_release(c);
	arena_free(a);
	return ok;
}

/* Waits for the next beat; false: it was told to stop. */
static bool wait_for_beat(struct heartbeat *h)
{
	const struct timespec until = clock_timespec(clock_ms() + (int64_t)HEARTBEAT_SECONDS * 1000);
	bool more;

	(void)pthread_mutex_lock(&h->lock);
	while (!h->stopping && pthread_cond_timedwait(&h->stop, &h->lock, &until) != ETIMEDOUT)
		;
	more = !h->stopping;
	(void)pthread_mutex_unlock(&h->lock);
	return more;
}

static void *beat(void *ctx)
{
	struct heartbeat *h = ctx;

	while (wait_for_beat(h)) {
		struct err e = ERR_INIT;

		if (!tell(h, true, &e))
			log_warn("the database could not be told that this process lives: %s", e.message);
	}
	return NULL;
}

static struct heartbeat *make(struct pg_pool *pool)
{
	struct heartbeat *h = calloc(1, sizeof *h);

	if (h == NULL)
		return NULL;
	h->pool = pool;
	crypto_uuid(h->id);
	(void)pthread_mutex_init(&h->lock, NULL);
	clock_cond_init(&h->stop);
	return h;
}

static void discard(struct heartbeat *h)
{
	(void)pthread_cond_destroy(&h->stop);
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}

bool heartbeat_start(struct heartbeat **out, struct pg_pool *pool, struct err *e)
{
	struct heartbeat *h = make(pool);
	int failed;

	if (h == NULL)
		return err_no_memory(e);
	if (!tell(h, true, e)) {
		discard(h);
		return false;
	}
	failed = pthread_create(&h->thread, NULL, beat, h);
	if (failed != 0) {
		discard(h);
		return err_errno(e, failed, "Starting the heartbeat");
	}
	*out = h;
	return true;
}

const char *heartbeat_id(const struct heartbeat *h)
{
	return h->id;
}

void heartbeat_stop(struct heartbeat *h)
{
	struct err e = ERR_INIT;

	if (h == NULL)
		return;
	(void)pthread_mutex_lock(&h->lock);
	h->stopping = true;
	(void)pthread_cond_signal(&h->stop);
	(void)pthread_mutex_unlock(&h->lock);
	(void)pthread_join(h->thread, NULL);
	/* Where this fails, the row runs out by itself. */
	if (!tell(h, false, &e))
		log_debug("the database could not be told that this process ends: %s", e.message);
	discard(h);
}
