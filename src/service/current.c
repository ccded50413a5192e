#include "service/current.h"

#include "core/clock.h"
#include "core/text.h"
#include "store/project.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* What one read found; it lives as long as somebody works with it, and does not change. */
struct answer {
	_Atomic int users;
	int64_t begun; /* when the read began, in nanoseconds of the monotonic clock */
	struct arena *arena;
	struct project project;
	struct err err;
	bool ok;
};

/* The reads of one project, one after the other, numbered from 1. */
struct round {
	struct round *next;
	struct answer *last; /* of read `done` */
	bool running;
	uint64_t begun;
	uint64_t done;
	int users;
	/* Who waits for a read waits by its number's parity, so that the end of one wakes those who get its answer, and
	 * of those who want the next one only whoever is to make it. */
	pthread_cond_t finished[2];
	int waiting[2];
	char ref[];
};

struct current {
	struct pg_pool *pool;
	pthread_mutex_t lock;
	struct round *rounds;
};

bool current_new(struct current **out, struct pg_pool *pool, struct err *e)
{
	struct current *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_no_memory(e);
	c->pool = pool;
	(void)pthread_mutex_init(&c->lock, NULL);
	*out = c;
	return true;
}

static void let_go(void *ptr)
{
	struct answer *a = ptr;

	if (a == NULL || atomic_fetch_sub(&a->users, 1) != 1)
		return;
	arena_free(a->arena);
	free(a);
}

static void drop(struct current *c, struct round *r)
{
	struct round **link = &c->rounds;

	while (*link != r)
		link = &(*link)->next;
	*link = r->next;
	let_go(r->last);
	(void)pthread_cond_destroy(&r->finished[0]);
	(void)pthread_cond_destroy(&r->finished[1]);
	free(r);
}

void current_free(struct current *c)
{
	if (c == NULL)
		return;
	while (c->rounds != NULL)
		drop(c, c->rounds);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct round *join(struct current *c, const char *ref)
{
	struct round *r = c->rounds;

	while (r != NULL && !text_eq(r->ref, ref))
		r = r->next;
	if (r == NULL) {
		r = calloc(1, sizeof *r + strlen(ref) + 1);
		if (r == NULL)
			return NULL;
		memcpy(r->ref, ref, strlen(ref));
		(void)pthread_cond_init(&r->finished[0], NULL);
		(void)pthread_cond_init(&r->finished[1], NULL);
		r->next = c->rounds;
		c->rounds = r;
	}
	r->users++;
	return r;
}

/* What clients ask for is unbounded, what there is is not: only the rounds of projects that exist stay. */
static void leave(struct current *c, struct round *r)
{
	if (--r->users == 0 && (r->last == NULL || !r->last->ok))
		drop(c, r);
}

static struct answer *read_row(struct current *c, const char *ref)
{
	struct answer *a = calloc(1, sizeof *a);
	struct pg_conn *conn = NULL;

	if (a == NULL)
		return NULL;
	a->users = 1;
	a->begun = clock_ns();
	a->arena = arena_new(0);
	a->ok = a->arena != NULL
			? pg_acquire(c->pool, &conn, &a->err) && project_find(conn, a->arena, ref, &a->project, &a->err)
			: err_no_memory(&a->err);
	pg_release(conn);
	return a;
}

/* Makes the next read; the lock is given up meanwhile. */
static void lead(struct current *c, struct round *r)
{
	struct answer *a;

	r->running = true;
	r->begun++;
	(void)pthread_mutex_unlock(&c->lock);
	a = read_row(c, r->ref);
	(void)pthread_mutex_lock(&c->lock);
	let_go(r->last);
	r->last = a;
	r->running = false;
	r->done = r->begun;
	if (r->waiting[r->done & 1] > 0)
		(void)pthread_cond_broadcast(&r->finished[r->done & 1]);
	if (r->waiting[(r->done + 1) & 1] > 0)
		(void)pthread_cond_signal(&r->finished[(r->done + 1) & 1]);
}

/* Until a read is done that began after this call. */
static void wait_for_read(struct current *c, struct round *r)
{
	uint64_t mine = r->begun + 1;

	while (r->done < mine) {
		if (!r->running) {
			lead(c, r);
			continue;
		}
		r->waiting[mine & 1]++;
		(void)pthread_cond_wait(&r->finished[mine & 1], &c->lock);
		r->waiting[mine & 1]--;
	}
}

bool current_project(struct current *c, struct arena *a, const char *ref, int64_t arrived, struct project *out,
		     struct err *e)
{
	struct answer *answer = NULL;
	struct round *r;

	(void)pthread_mutex_lock(&c->lock);
	r = join(c, ref);
	if (r != NULL) {
		if (r->last == NULL || !r->last->ok || r->last->begun <= arrived)
			wait_for_read(c, r);
		answer = r->last;
		if (answer != NULL)
			atomic_fetch_add(&answer->users, 1);
		leave(c, r);
	}
	(void)pthread_mutex_unlock(&c->lock);
	/* Counted among its users, so leave() has not freed it. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	if (answer == NULL || !arena_defer(a, let_go, answer))
		return err_no_memory(e);
	if (!answer->ok) {
		*e = answer->err;
		return false;
	}
	*out = answer->project;
	return true;
}
