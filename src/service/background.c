#include "service/background.h"

#include <pthread.h>
#include <stdlib.h>

struct work {
	void (*job)(void *ctx);
	void *ctx;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;
static int running;

static void leave(void)
{
	(void)pthread_mutex_lock(&lock);
	running--;
	(void)pthread_cond_broadcast(&done);
	(void)pthread_mutex_unlock(&lock);
}

static bool enter(void)
{
	bool room;

	(void)pthread_mutex_lock(&lock);
	room = running < BACKGROUND_MAX;
	running += room;
	(void)pthread_mutex_unlock(&lock);
	return room;
}

static void *work(void *ctx)
{
	struct work *w = ctx;

	w->job(w->ctx);
	free(w);
	leave();
	return NULL;
}

bool background_start(void (*job)(void *ctx), void *ctx)
{
	struct work *w;
	pthread_t thread;

	if (!enter())
		return false;
	w = malloc(sizeof *w);
	if (w != NULL) {
		*w = (struct work){.job = job, .ctx = ctx};
		if (pthread_create(&thread, NULL, work, w) == 0) {
			(void)pthread_detach(thread);
			return true;
		}
	}
	free(w);
	leave();
	return false;
}

void background_wait(void)
{
	(void)pthread_mutex_lock(&lock);
	while (running > 0)
		(void)pthread_cond_wait(&done, &lock);
	(void)pthread_mutex_unlock(&lock);
}
