/*
 * cache - contents of files by their SHA-256, in .functions-admin/cache/ of a functions folder, so that a host fetches
 * each content once.
 *
 * What is read is hashed first, so whatever somebody did to a file of the cache, what comes out of it is right; one
 * that is not is removed. Nothing is synced: after a loss of power a file is wrong, or missing, and fetched again. The
 * cache is bounded; what was not used for longest goes first. One thread at a time.
 */
#ifndef FA_FS_CACHE_H
#define FA_FS_CACHE_H

#include "fs/folder.h"

struct cache;

/* max_bytes: of all contents together; 0 keeps none. */
MUST_CHECK bool cache_open(struct cache **out, const struct folder *f, int64_t max_bytes, struct err *e);
void cache_close(struct cache *c);

/* Is the content there, whole? A descriptor to read `size` bytes from, to be closed by the caller; else -1. */
int cache_find(struct cache *c, const uint8_t sha256[32], int64_t size);

/* A content being written. Whatever fails here only means that it is not kept. */
struct cache_entry {
	int fd; /* -1: not being kept */
	int64_t size;
	char name[65];
};
void cache_begin(struct cache *c, const uint8_t sha256[32], int64_t size, struct cache_entry *out);
void cache_write(struct cache_entry *entry, const void *data, size_t len);
/* keep: it is whole, and what its name says. */
void cache_end(struct cache *c, struct cache_entry *entry, bool keep);

#endif
