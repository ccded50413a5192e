#include "store/pg.h"

#include <arpa/inet.h>
#include <endian.h>
#include <string.h>

static void param(struct pg_params *p, const char *value, size_t len, int format)
{
	if (p->count == PG_MAX_PARAMS || len > INT32_MAX) {
		p->failed = true;
		return;
	}
	p->values[p->count] = value;
	p->lengths[p->count] = (int)len;
	p->formats[p->count] = format;
	p->count++;
}

void pg_text(struct pg_params *p, const char *value)
{
	param(p, value, 0, 0);
}

void pg_null(struct pg_params *p)
{
	param(p, NULL, 0, 0);
}

void pg_int(struct pg_params *p, int64_t value)
{
	char *text = arena_printf(p->arena, "%lld", (long long)value);

	if (text == NULL)
		p->failed = true;
	param(p, text, 0, 0);
}

void pg_bool(struct pg_params *p, bool value)
{
	param(p, value ? "t" : "f", 0, 0);
}

void pg_bytea(struct pg_params *p, const void *data, size_t len)
{
	/* libpq takes a NULL pointer for SQL NULL, so an empty value needs an address. */
	param(p, data != NULL || len > 0 ? data : "", len, 1);
}

/* The binary form of a one-dimensional array without NULLs (src/backend/utils/adt/arrayfuncs.c, array_recv). */
static void array_param(struct pg_params *p, uint32_t element_oid, const struct pg_bytes *items, size_t count)
{
	size_t size = 12 + (count > 0 ? 8 : 0);
	uint32_t head[5] = {htonl(count > 0 ? 1 : 0), 0, htonl(element_oid), htonl((uint32_t)count), htonl(1)};
	size_t head_size = size;
	char *out;

	for (size_t i = 0; i < count; i++)
		size += 4 + items[i].len;
	out = count <= INT32_MAX ? arena_alloc(p->arena, size) : NULL;
	if (out == NULL) {
		p->failed = true;
		return;
	}
	memcpy(out, head, head_size);
	size = head_size;
	for (size_t i = 0; i < count; i++) {
		uint32_t len = htonl((uint32_t)items[i].len);

		memcpy(out + size, &len, 4);
		if (items[i].len > 0)
			memcpy(out + size + 4, items[i].data, items[i].len);
		size += 4 + items[i].len;
	}
	param(p, out, size, 1);
}

#define OID_BYTEA 17
#define OID_INT8 20
#define OID_TEXT 25

void pg_bytea_array(struct pg_params *p, const struct pg_bytes *items, size_t count)
{
	array_param(p, OID_BYTEA, items, count);
}

void pg_text_array(struct pg_params *p, const char *const *items, size_t count)
{
	struct pg_bytes *bytes = arena_array(p->arena, count, sizeof *bytes);

	if (bytes == NULL) {
		p->failed = true;
		return;
	}
	for (size_t i = 0; i < count; i++)
		bytes[i] = (struct pg_bytes){items[i], strlen(items[i])};
	array_param(p, OID_TEXT, bytes, count);
}

void pg_int_array(struct pg_params *p, const int64_t *items, size_t count)
{
	struct pg_bytes *bytes = arena_array(p->arena, count, sizeof *bytes);
	uint64_t *big_endian = arena_array(p->arena, count, sizeof *big_endian);

	if (bytes == NULL || big_endian == NULL) {
		p->failed = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		big_endian[i] = htobe64((uint64_t)items[i]);
		bytes[i] = (struct pg_bytes){&big_endian[i], sizeof big_endian[i]};
	}
	array_param(p, OID_INT8, bytes, count);
}

/* Back */

static uint32_t be32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ntohl(v);
}

const char **pg_get_text_array(const struct pg_result *r, int row, int col, struct arena *a)
{
	struct pg_bytes b = pg_get_bytes(r, row, col);
	const char *p = b.data;
	uint32_t count;
	const char **out;

	if (pg_is_null(r, row, col) || b.len < 12)
		return NULL;
	count = be32(p) == 0 || b.len < 20 ? 0 : be32(p + 12);
	out = arena_array(a, (size_t)count + 1, sizeof *out);
	if (out == NULL)
		return NULL;
	p += 20;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = be32(p);

		/* The server sends what its array type promises; a NULL element (length -1) never occurs in our
		 * columns. */
		out[i] = arena_strndup(a, p + 4, len);
		if (out[i] == NULL)
			return NULL;
		p += 4 + len;
	}
	return out;
}
