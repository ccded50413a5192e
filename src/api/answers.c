#include "api/answers.h"

#include "api/etag.h"
#include "core/text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 1024
#define MAX_ONE ((size_t)1024 * 1024)
#define MAX_ALL ((size_t)8 * 1024 * 1024)

struct held {
	_Atomic int users;
	int64_t revision;
	size_t len;
	char *key;  /* project and what */
	char *type; /* Content-Type */
	char *etag; /* NULL for none */
	char *body;
	char data[];
};

struct answers {
	pthread_mutex_t lock;
	size_t bytes;
	struct held *slots[SLOTS]; /* by the key's hash; a newcomer takes the place */
};

bool answers_new(struct answers **out, struct err *e)
{
	struct answers *h = calloc(1, sizeof *h);

	if (h == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_init(&h->lock, NULL);
	*out = h;
	return true;
}

static void let_go(void *ptr)
{
	struct held *one = ptr;

	if (one != NULL && atomic_fetch_sub(&one->users, 1) == 1)
		free(one);
}

static void empty_slot(struct answers *h, size_t i)
{
	if (h->slots[i] == NULL)
		return;
	h->bytes -= h->slots[i]->len;
	let_go(h->slots[i]);
	h->slots[i] = NULL;
}

void answers_free(struct answers *h)
{
	if (h == NULL)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		empty_slot(h, i);
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}

static char *key_of(const struct call *c, const char *what)
{
	return c->who.slugs == NULL
		       ? arena_printf(c->arena, "%lld/%s/%s", (long long)c->project.epoch, c->project.ref, what)
		       : NULL;
}

/* FNV-1a */
static size_t slot_of(const char *key)
{
	uint32_t hash = 2166136261U;

	for (; *key != '\0'; key++)
		hash = (hash ^ (unsigned char)*key) * 16777619U;
	return hash % SLOTS;
}

static struct held *find(struct answers *h, const char *key, int64_t revision)
{
	struct held *one;

	(void)pthread_mutex_lock(&h->lock);
	one = h->slots[slot_of(key)];
	if (one != NULL && one->revision == revision && text_eq(one->key, key))
		atomic_fetch_add(&one->users, 1);
	else
		one = NULL;
	(void)pthread_mutex_unlock(&h->lock);
	return one;
}

bool answers_recall(struct call *c, const char *what)
{
	char *key = key_of(c, what);
	struct held *one = key != NULL ? find(c->api->answers, key, c->project.revision) : NULL;

	if (one == NULL || !arena_defer(c->arena, let_go, one))
		return false;
	if (one->etag != NULL)
		response_header(c->resp, "ETag", one->etag);
	if (etag_unchanged(c))
		return true;
	response_header(c->resp, "Content-Type", one->type);
	response_shared(c->resp, 200, one->body, one->len);
	return true;
}

/* Copies a string to *at, which moves behind it. */
static char *put(char **at, const char *text)
{
	size_t size = strlen(text) + 1;
	char *start = *at;

	memcpy(start, text, size);
	*at += size;
	return start;
}

static struct held *held_new(const struct response *r, const char *key, int64_t revision)
{
	const char *type = response_get(r, "Content-Type");
	const char *etag = response_get(r, "ETag");
	struct held *one = malloc(sizeof *one + r->body.len + strlen(key) + 1 + (type != NULL ? strlen(type) : 0) + 1 +
				  (etag != NULL ? strlen(etag) + 1 : 0));
	char *at;

	if (one == NULL)
		return NULL;
	at = one->data;
	*one = (struct held){.users = 1, .revision = revision, .len = r->body.len};
	one->body = at;
	memcpy(at, r->body.data, r->body.len);
	at += r->body.len;
	one->key = put(&at, key);
	one->type = put(&at, type != NULL ? type : "");
	one->etag = etag != NULL ? put(&at, etag) : NULL;
	return one;
}

void answers_hold(struct call *c, const char *what)
{
	struct answers *h = c->api->answers;
	const struct response *r = c->resp;
	char *key = key_of(c, what);
	struct held *one;
	size_t slot;

	if (key == NULL || r->status != 200 || r->stream != NULL || r->body.failed || r->body.len == 0 ||
	    r->body.len > MAX_ONE || (one = held_new(r, key, c->project.revision)) == NULL)
		return;
	slot = slot_of(key);
	(void)pthread_mutex_lock(&h->lock);
	empty_slot(h, slot);
	for (size_t i = 0; h->bytes + one->len > MAX_ALL && i < SLOTS; i++)
		empty_slot(h, i);
	h->slots[slot] = one;
	h->bytes += one->len;
	(void)pthread_mutex_unlock(&h->lock);
}
