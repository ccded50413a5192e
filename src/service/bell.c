#include "service/bell.h"

#include "core/clock.h"

#include <pthread.h>

#define LOOK_MS 1000

static struct {
	pthread_mutex_t lock;
	pthread_cond_t rung;
	uint64_t count;
	int64_t waiting;
	bool closed;
} bell = {.lock = PTHREAD_MUTEX_INITIALIZER, .rung = PTHREAD_COND_INITIALIZER};

static void ring(bool closed)
{
	(void)pthread_mutex_lock(&bell.lock);
	bell.count++;
	bell.closed = bell.closed || closed;
	(void)pthread_cond_broadcast(&bell.rung);
	(void)pthread_mutex_unlock(&bell.lock);
}

void bell_ring(void)
{
	ring(false);
}

void bell_close(void)
{
	ring(true);
}

void bell_begin(struct bell_wait *w, int64_t most)
{
	(void)pthread_mutex_lock(&bell.lock);
	*w = (struct bell_wait){
		.held = !bell.closed && bell.waiting < most, .heard = bell.count, .until = clock_ms() + BELL_HOLD_MS};
	bell.waiting += w->held;
	(void)pthread_mutex_unlock(&bell.lock);
}

bool bell_wait(struct bell_wait *w)
{
	int64_t next = clock_ms() + LOOK_MS;
	struct timespec at;
	bool again;

	if (!w->held)
		return false;
	next = next < w->until ? next : w->until;
	at = clock_timespec(next);
	(void)pthread_mutex_lock(&bell.lock);
	while (bell.count == w->heard && pthread_cond_clockwait(&bell.rung, &bell.lock, CLOCK_MONOTONIC, &at) == 0) {
	}
	w->heard = bell.count;
	again = !bell.closed && clock_ms() < w->until;
	(void)pthread_mutex_unlock(&bell.lock);
	return again;
}

void bell_end(struct bell_wait *w)
{
	(void)pthread_mutex_lock(&bell.lock);
	bell.waiting -= w->held;
	(void)pthread_mutex_unlock(&bell.lock);
	w->held = false;
}

int64_t bell_waiting(void)
{
	int64_t n;

	(void)pthread_mutex_lock(&bell.lock);
	n = bell.waiting;
	(void)pthread_mutex_unlock(&bell.lock);
	return n;
}
