#include "core/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Most requests fit in one block; larger pieces get a block of their own. */
#define BLOCK_SIZE ((size_t)16 * 1024)
#define DEFAULT_MAX ((size_t)256 * 1024 * 1024)

struct block {
	struct block *next;
	size_t size;
	size_t used;
	alignas(max_align_t) unsigned char data[];
};

struct cleanup {
	struct cleanup *next;
	void (*fn)(void *);
	void *ptr;
};

struct arena {
	struct block *blocks; /* the first is the one being filled */
	struct cleanup *cleanups;
	size_t total;
	size_t max;
};

struct arena *arena_new(size_t max_bytes)
{
	struct arena *a = calloc(1, sizeof *a);

	if (a != NULL)
		a->max = max_bytes != 0 ? max_bytes : DEFAULT_MAX;
	return a;
}

static struct block *block_new(struct arena *a, size_t size)
{
	struct block *b;

	if (size > a->max - a->total)
		return NULL;
	b = malloc(sizeof *b + size);
	if (b == NULL)
		return NULL;
	a->total += size;
	b->size = size;
	b->used = 0;
	return b;
}

/* Blocks are filled in such steps, and their sizes are such. */
static size_t round_up(size_t size)
{
	const size_t align = alignof(max_align_t);

	return (size + align - 1) / align * align;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct block *b = a->blocks;
	void *p;

	if (size > a->max)
		return NULL;
	size = round_up(size);
	if (b == NULL || b->size - b->used < size) {
		bool large = size > BLOCK_SIZE / 4;

		b = block_new(a, large ? size : BLOCK_SIZE);
		if (b == NULL)
			return NULL;
		/* A large piece goes behind the block being filled, whose free space stays in use. */
		if (large && a->blocks != NULL) {
			b->next = a->blocks->next;
			a->blocks->next = b;
		} else {
			b->next = a->blocks;
			a->blocks = b;
		}
	}
	p = b->data + b->used;
	b->used += size;
	return memset(p, 0, size);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	return arena_alloc(a, count * size);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	if (copy != NULL)
		memcpy(copy, s, len);
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	struct block *b = a->blocks;
	size_t room = b != NULL ? b->size - b->used : 0;
	char *out = room > 0 ? (char *)b->data + b->used : NULL;
	va_list args;
	va_list again;
	int n;

	va_start(args, fmt);
	va_copy(again, args);
	/* Into what is free, where it mostly fits. */
	n = vsnprintf(out, room, fmt, args);
	if (n >= 0 && (size_t)n < room) {
		b->used += round_up((size_t)n + 1);
	} else {
		out = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
		if (out != NULL)
			(void)vsnprintf(out, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	va_end(args);
	return out;
}

bool arena_defer(struct arena *a, void (*fn)(void *), void *ptr)
{
	struct cleanup *c = arena_alloc(a, sizeof *c);

	if (c == NULL) {
		fn(ptr);
		return false;
	}
	c->fn = fn;
	c->ptr = ptr;
	c->next = a->cleanups;
	a->cleanups = c;
	return true;
}

void arena_reset(struct arena *a)
{
	struct block *keep = NULL;

	while (a->cleanups != NULL) {
		struct cleanup *c = a->cleanups;

		a->cleanups = c->next;
		c->fn(c->ptr);
	}
	while (a->blocks != NULL) {
		struct block *b = a->blocks;

		a->blocks = b->next;
		if (keep == NULL && b->size == BLOCK_SIZE)
			keep = b;
		else
			free(b);
	}
	a->total = 0;
	if (keep != NULL) {
		keep->next = NULL;
		keep->used = 0;
		a->blocks = keep;
		a->total = keep->size;
	}
}

void arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	arena_reset(a);
	free(a->blocks);
	free(a);
}
