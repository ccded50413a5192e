#include "service/current.h"

#include "core/text.h"
#include "store/project.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct answer {
	struct arena *arena;
	struct project project;
	struct err err;
	bool ok;
};

/* The reads of one project, one after the other. */
struct round {
	struct round *next;
	struct answer answers[2]; /* one is being read while the other is being copied */
	int last;                 /* the one that was read last */
	bool running;
	uint64_t begun;
	uint64_t done;
	int users;
	char ref[];
};

struct current {
	struct pg_pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t finished;
	struct round *rounds;
};

bool current_new(struct current **out, struct pg_pool *pool, struct err *e)
{
	struct current *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_no_memory(e);
	c->pool = pool;
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->finished, NULL);
	*out = c;
	return true;
}

static void drop(struct current *c, struct round *r)
{
	struct round **link = &c->rounds;

	while (*link != r)
		link = &(*link)->next;
	*link = r->next;
	arena_free(r->answers[0].arena);
	arena_free(r->answers[1].arena);
	free(r);
}

void current_free(struct current *c)
{
	if (c == NULL)
		return;
	while (c->rounds != NULL)
		drop(c, c->rounds);
	(void)pthread_cond_destroy(&c->finished);
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
		r->next = c->rounds;
		c->rounds = r;
	}
	r->users++;
	return r;
}

/* What clients ask for is unbounded, what there is is not: only the rounds of projects that exist stay. */
static void leave(struct current *c, struct round *r)
{
	if (--r->users == 0 && !r->answers[r->last].ok)
		drop(c, r);
}

/* Without the lock: whoever has set `running` is alone here, and `a` is not the answer that others copy. */
static void read_row(struct current *c, const char *ref, struct answer *a)
{
	struct pg_conn *conn = NULL;

	a->err = (struct err)ERR_INIT;
	if (a->arena == NULL)
		a->arena = arena_new(0);
	else
		arena_reset(a->arena);
	a->ok = a->arena != NULL
			? pg_acquire(c->pool, &conn, &a->err) && project_find(conn, a->arena, ref, &a->project, &a->err)
			: err_no_memory(&a->err);
	pg_release(conn);
}

/* Until a read is done that began after this call. */
static void wait_for_read(struct current *c, struct round *r)
{
	uint64_t mine = r->begun + 1;

	while (r->done < mine) {
		if (r->running) {
			(void)pthread_cond_wait(&c->finished, &c->lock);
			continue;
		}
		r->running = true;
		r->begun++;
		(void)pthread_mutex_unlock(&c->lock);
		read_row(c, r->ref, &r->answers[!r->last]);
		(void)pthread_mutex_lock(&c->lock);
		r->last = !r->last;
		r->running = false;
		r->done = r->begun;
		(void)pthread_cond_broadcast(&c->finished);
	}
}

static bool copy(struct arena *a, const struct project *from, struct project *to)
{
	*to = *from;
	to->ref = arena_strdup(a, from->ref);
	to->id = arena_strdup(a, from->id);
	to->name = arena_strdup(a, from->name);
	to->settings = from->settings != NULL ? arena_strdup(a, from->settings) : NULL;
	/* Where a project deploys to, and its keys, are for service_refresh(), which reads the row itself. */
	to->functions_dir = NULL;
	to->runtime_url = NULL;
	to->keys = NULL;
	to->keys_len = 0;
	return to->ref != NULL && to->id != NULL && to->name != NULL &&
	       (from->settings == NULL || to->settings != NULL);
}

bool current_project(struct current *c, struct arena *a, const char *ref, struct project *out, struct err *e)
{
	struct round *r;
	bool ok = false;

	(void)pthread_mutex_lock(&c->lock);
	r = join(c, ref);
	if (r != NULL) {
		wait_for_read(c, r);
		ok = r->answers[r->last].ok;
		if (!ok)
			*e = r->answers[r->last].err;
		else if (!copy(a, &r->answers[r->last].project, out))
			ok = err_no_memory(e);
		leave(c, r);
	} else {
		(void)err_no_memory(e);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return ok;
}
