#include "store/blob.h"

#include <stdlib.h>
#include <string.h>

static const struct pg_stmt select_missing = {
	"blob_missing",
	"SELECT u.n::int8 FROM unnest($1::bytea[]) WITH ORDINALITY u (sha256, n)"
	" WHERE NOT EXISTS (SELECT FROM functions_admin.blobs b WHERE b.sha256 = u.sha256) ORDER BY u.n",
};
/* Only whoever inserted the blob's row writes its chunks; a concurrent writer of the same content waits here for its
 * commit. */
static const struct pg_stmt insert_small = {
	"blob_insert_small",
	"WITH new AS (INSERT INTO functions_admin.blobs (sha256, size)"
	"  SELECT u.sha256, length(u.data) FROM unnest($1::bytea[], $2::bytea[]) u (sha256, data) ON CONFLICT DO "
	"NOTHING RETURNING sha256)"
	" INSERT INTO functions_admin.blob_chunks (sha256, seq, data)"
	" SELECT u.sha256, 0, u.data FROM unnest($1::bytea[], $2::bytea[]) u (sha256, data) JOIN new USING (sha256)",
};
static const struct pg_stmt insert_blob = {
	"blob_insert",
	"INSERT INTO functions_admin.blobs (sha256, size) VALUES ($1, $2::int8) ON CONFLICT DO NOTHING RETURNING true",
};
static const struct pg_stmt insert_chunk = {
	"blob_insert_chunk",
	"INSERT INTO functions_admin.blob_chunks (sha256, seq, data) VALUES ($1, $2::int4, $3)",
};
static const struct pg_stmt select_chunk = {
	"blob_chunk",
	"SELECT data FROM functions_admin.blob_chunks WHERE sha256 = $1 AND seq = $2::int4",
};

/* All files of a version together. */
#define SMALL 65536

struct store_job {
	struct pg_conn *conn;
	const struct file_list *files;
	blob_read_fn *read;
	void *ctx;
};

static int by_digest(const void *x, const void *y, void *ctx)
{
	const struct file *files = ctx;

	return memcmp(files[*(const size_t *)x].sha256, files[*(const size_t *)y].sha256, 32);
}

/* The indexes of the files, each digest once, sorted by digest. */
static size_t *unique_order(struct arena *a, const struct file_list *files, size_t *count)
{
	size_t *order = arena_array(a, files->count, sizeof *order);
	size_t n = 0;

	if (order == NULL)
		return NULL;
	for (size_t i = 0; i < files->count; i++)
		order[i] = i;
	qsort_r(order, files->count, sizeof *order, by_digest, files->items);
	for (size_t i = 0; i < files->count; i++)
		if (n == 0 || memcmp(files->items[order[n - 1]].sha256, files->items[order[i]].sha256, 32) != 0)
			order[n++] = order[i];
	*count = n;
	return order;
}

static bool store_large(const struct store_job *job, size_t index, struct err *e)
{
	const struct file *f = &job->files->items[index];
	struct arena *a = arena_new(0);
	bool ok = false;

	if (a == NULL)
		return err_no_memory(e);
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_bytea(&p, f->sha256, sizeof f->sha256);
	pg_int(&p, f->size);
	if (!pg_query(job->conn, a, &insert_blob, &p, &r, e))
		goto out;
	if (pg_rows(r) == 0) {
		ok = true;
		goto out;
	}
	for (int64_t offset = 0, seq = 0; offset < f->size; offset += (int64_t)BLOB_CHUNK, seq++) {
		struct pg_params chunk = PG_PARAMS(a);
		size_t len = f->size - offset < (int64_t)BLOB_CHUNK ? (size_t)(f->size - offset) : BLOB_CHUNK;
		char *data;

		arena_reset(a);
		data = arena_alloc(a, len);
		if (data == NULL) {
			(void)err_no_memory(e);
			goto out;
		}
		pg_bytea(&chunk, f->sha256, sizeof f->sha256);
		pg_int(&chunk, seq);
		pg_bytea(&chunk, data, len);
		if (!job->read(job->ctx, index, offset, data, len, e) ||
		    !pg_query(job->conn, a, &insert_chunk, &chunk, NULL, e))
			goto out;
	}
	ok = true;
out:
	arena_free(a);
	return ok;
}

/* The parameters that store order[from..to) in one statement; each fits in a chunk, and all of them in about one. */
static bool read_batch(const struct store_job *job, const size_t *order, size_t from, size_t to, struct arena *a,
		       struct pg_params *p, struct err *e)
{
	struct pg_bytes *sums = arena_array(a, to - from, sizeof *sums);
	struct pg_bytes *data = arena_array(a, to - from, sizeof *data);

	if (sums == NULL || data == NULL)
		return err_no_memory(e);
	for (size_t i = from; i < to; i++) {
		const struct file *f = &job->files->items[order[i]];
		char *content = arena_alloc(a, (size_t)f->size);

		if (content == NULL)
			return err_no_memory(e);
		if (!job->read(job->ctx, order[i], 0, content, (size_t)f->size, e))
			return false;
		sums[i - from] = (struct pg_bytes){f->sha256, sizeof f->sha256};
		data[i - from] = (struct pg_bytes){content, (size_t)f->size};
	}
	pg_bytea_array(p, sums, to - from);
	pg_bytea_array(p, data, to - from);
	return true;
}

static bool store_batch(const struct store_job *job, const size_t *order, size_t from, size_t to, struct err *e)
{
	struct arena *a = arena_new(0);
	struct pg_params p = PG_PARAMS(a);
	bool ok = (a != NULL || err_no_memory(e)) && read_batch(job, order, from, to, a, &p, e) &&
		  pg_query(job->conn, a, &insert_small, &p, NULL, e);

	arena_free(a);
	return ok;
}

static bool store_missing(const struct store_job *job, const size_t *order, size_t count, struct err *e)
{
	size_t from = 0;

	while (from < count) {
		size_t to = from;
		size_t bytes = 0;

		if (job->files->items[order[from]].size > (int64_t)BLOB_CHUNK) {
			if (!store_large(job, order[from], e))
				return false;
			from++;
			continue;
		}
		while (to < count && job->files->items[order[to]].size <= (int64_t)(BLOB_CHUNK - bytes)) {
			bytes += (size_t)job->files->items[order[to]].size;
			to++;
		}
		if (!store_batch(job, order, from, to, e))
			return false;
		from = to;
	}
	return true;
}

bool blob_store(struct pg_conn *c, struct arena *a, const struct file_list *files, blob_read_fn *read, void *ctx,
		struct err *e)
{
	struct store_job job = {.conn = c, .files = files, .read = read, .ctx = ctx};
	struct pg_params p = PG_PARAMS(a);
	size_t count = 0;
	size_t *order = unique_order(a, files, &count);
	struct pg_bytes *sums = arena_array(a, count, sizeof *sums);
	struct pg_result *r;
	int64_t bytes = 0;

	if (order == NULL || sums == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++)
		bytes += files->items[order[i]].size;
	/* To ask which of them are missing takes longer than to send them. */
	if (bytes <= SMALL)
		return read_batch(&job, order, 0, count, a, &p, e) && pg_queue(c, a, &insert_small, &p, NULL, e);
	for (size_t i = 0; i < count; i++)
		sums[i] = (struct pg_bytes){files->items[order[i]].sha256, 32};
	pg_bytea_array(&p, sums, count);
	if (!pg_query(c, a, &select_missing, &p, &r, e))
		return false;
	for (int i = 0; i < pg_rows(r); i++)
		order[i] = order[pg_get_int(r, i, 0) - 1];
	return store_missing(&job, order, (size_t)pg_rows(r), e);
}

bool blob_load(struct pg_conn *c, const uint8_t sha256[32], int64_t size,
	       bool (*sink)(void *ctx, const void *data, size_t len, struct err *e), void *ctx, struct err *e)
{
	struct arena *a = arena_new(0);
	int64_t offset = 0;
	bool ok = false;

	if (a == NULL)
		return err_no_memory(e);
	for (int64_t seq = 0; seq == 0 || offset < size; seq++) {
		struct pg_params p = PG_PARAMS(a);
		struct pg_result *r;
		struct pg_bytes data;

		arena_reset(a);
		pg_bytea(&p, sha256, 32);
		pg_int(&p, seq);
		if (!pg_query(c, a, &select_chunk, &p, &r, e))
			goto out;
		data = pg_rows(r) == 1 ? pg_get_bytes(r, 0, 0) : (struct pg_bytes){0};
		if (pg_rows(r) != 1 || (int64_t)data.len > size - offset || (data.len == 0 && size > 0)) {
			(void)err_set(e, ERR_INTERNAL, "blob_damaged",
				      "The database does not hold the whole of a file");
			goto out;
		}
		if (!sink(ctx, data.data, data.len, e))
			goto out;
		offset += (int64_t)data.len;
	}
	ok = true;
out:
	arena_free(a);
	return ok;
}
