/*
 * blob - file contents, stored once by SHA-256, in chunks of at most BLOB_CHUNK bytes.
 *
 * Memory: one batch of about BLOB_CHUNK bytes at a time, whatever the file's size.
 */
#ifndef FA_STORE_BLOB_H
#define FA_STORE_BLOB_H

#include "core/model.h"
#include "store/pg.h"

#define BLOB_CHUNK ((size_t)512 * 1024)

/* Gives up to len bytes at `offset` of file number `index`; false with the error set. */
typedef bool blob_read_fn(void *ctx, size_t index, int64_t offset, void *out, size_t len, struct err *e);

/*
 * Stores the contents of the files whose digests are not there yet, within the caller's transaction. Digests are taken
 * in order, so that concurrent calls cannot deadlock.
 */
MUST_CHECK bool blob_store(struct pg_conn *c, struct arena *a, const struct file_list *files, blob_read_fn *read,
			   void *ctx, struct err *e);

/* Hands out the content, piece by piece, in order. ERR_INTERNAL: the database does not hold all of it. */
MUST_CHECK bool blob_load(struct pg_conn *c, const uint8_t sha256[32], int64_t size,
			  bool (*sink)(void *ctx, const void *data, size_t len, struct err *e), void *ctx,
			  struct err *e);

#endif
