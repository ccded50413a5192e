/*
 * buf - a growable byte buffer that states its ceiling.
 *
 * Owns its memory until buf_free(). Writes past the ceiling, or without memory, set `failed` and are dropped, so a
 * series of writes is checked once, at its end. The content is always followed by a NUL that `len` does not count.
 */
#ifndef FA_CORE_BUF_H
#define FA_CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* NULL until the first write */
	size_t len;
	size_t cap;
	size_t max;
	bool failed;
};

#define BUF_INIT(ceiling)                                                                                              \
	{                                                                                                              \
		.max = (ceiling)                                                                                       \
	}

void buf_put(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Empties the buffer and forgets a failure; the memory is kept. */
void buf_clear(struct buf *b);

/* Overwrites the content before it is released, for secrets. */
void buf_wipe(struct buf *b);

void buf_free(struct buf *b);

#endif
