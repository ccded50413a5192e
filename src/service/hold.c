#include "service/hold.h"

#include "core/text.h"
#include "service/apply.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 256

struct held {
	struct held *next;
	int holders;
	bool tidy;
	char slug[];
};

struct holds {
	pthread_mutex_t lock;
	struct held *buckets[BUCKETS];
};

bool holds_new(struct holds **out, struct err *e)
{
	*out = calloc(1, sizeof **out);
	if (*out == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_init(&(*out)->lock, NULL);
	return true;
}

void holds_free(struct holds *h)
{
	if (h == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (h->buckets[i] != NULL) {
			struct held *next = h->buckets[i]->next;

			free(h->buckets[i]);
			h->buckets[i] = next;
		}
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}

/* FNV-1a, folded into the number of buckets. */
static struct held **find(struct holds *h, const char *slug)
{
	uint32_t hash = 2166136261U;
	struct held **at;

	for (const char *c = slug; *c != '\0'; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619U;
	at = &h->buckets[(hash ^ hash >> 16) % BUCKETS];
	while (*at != NULL && !text_eq((*at)->slug, slug))
		at = &(*at)->next;
	return at;
}

bool hold_take(struct service *s, const char *slug, struct err *e)
{
	size_t size = strlen(slug) + 1;
	struct held **at;
	bool ok;

	(void)pthread_mutex_lock(&s->holds->lock);
	at = find(s->holds, slug);
	if (*at == NULL && (*at = calloc(1, sizeof **at + size)) != NULL)
		memcpy((*at)->slug, slug, size);
	ok = *at != NULL;
	if (ok)
		(*at)->holders++;
	(void)pthread_mutex_unlock(&s->holds->lock);
	return ok || err_no_memory(e);
}

const char **hold_list(struct service *s, struct arena *a, size_t *count)
{
	const char **slugs = NULL;
	size_t n = 0;
	bool ok;

	(void)pthread_mutex_lock(&s->holds->lock);
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct held *h = s->holds->buckets[i]; h != NULL; h = h->next)
			n++;
	slugs = arena_array(a, n + 1, sizeof *slugs);
	ok = slugs != NULL;
	n = 0;
	for (size_t i = 0; ok && i < BUCKETS; i++)
		for (const struct held *h = s->holds->buckets[i]; ok && h != NULL; h = h->next)
			ok = (slugs[n++] = arena_strdup(a, h->slug)) != NULL;
	(void)pthread_mutex_unlock(&s->holds->lock);
	*count = n;
	return ok ? slugs : NULL;
}

void hold_drop(struct service *s, const char *slug, bool tidy)
{
	struct folder_removal *removal = NULL;
	struct held **at;
	struct held *mine;

	(void)pthread_mutex_lock(&s->holds->lock);
	at = find(s->holds, slug);
	mine = *at;
	/* Found, since the caller holds it. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	mine->tidy = mine->tidy || tidy;
	if (--mine->holders == 0) {
		/* With the lock: nobody begins to use what is being removed. */
		if (mine->tidy)
			removal = apply_tidy(s, mine->slug);
		*at = mine->next;
		free(mine);
	}
	(void)pthread_mutex_unlock(&s->holds->lock);
	apply_end_removal(removal);
}
