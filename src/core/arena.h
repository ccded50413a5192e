/*
 * arena - memory with one lifetime, for a request or a command.
 *
 * Owns every block that it hands out and every cleanup registered with it; all are released together, cleanups first
 * and in reverse order, then memory. An arena belongs to one thread. Allocation returns NULL when memory is out or the
 * arena's ceiling is reached; callers report err_no_memory().
 */
#ifndef FA_CORE_ARENA_H
#define FA_CORE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct arena;

/* max_bytes: the ceiling over all blocks; 0 means 256 MiB. NULL when memory is out. */
struct arena *arena_new(size_t max_bytes);

/* Zeroed memory, aligned for any type. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((malloc));

/* count * size with an overflow check. */
void *arena_array(struct arena *a, size_t count, size_t size) __attribute__((malloc));

char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Calls fn(ptr) when the arena is reset or freed. False when memory is out: fn was called at once, so that nothing
 * leaks. */
bool arena_defer(struct arena *a, void (*fn)(void *), void *ptr) __attribute__((warn_unused_result));

/* Runs the cleanups and makes the arena empty, keeping one block for the next use. */
void arena_reset(struct arena *a);

void arena_free(struct arena *a);

#endif
