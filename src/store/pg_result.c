#include "store/pg.h"

#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>
#include <string.h>

/* A PGresult as such: the type is opaque to everybody else. */
static PGresult *pq_result(const struct pg_result *r)
{
	return (PGresult *)r;
}

int pg_rows(const struct pg_result *r)
{
	return PQntuples(pq_result(r));
}

bool pg_is_null(const struct pg_result *r, int row, int col)
{
	return PQgetisnull(pq_result(r), row, col) != 0;
}

int64_t pg_get_int(const struct pg_result *r, int row, int col)
{
	const char *v = PQgetvalue(pq_result(r), row, col);
	int len = PQgetlength(pq_result(r), row, col);
	uint64_t wide;
	uint32_t narrow;

	if (len == 8) {
		memcpy(&wide, v, 8);
		return (int64_t)be64toh(wide);
	}
	if (len == 4) {
		memcpy(&narrow, v, 4);
		return (int32_t)ntohl(narrow);
	}
	return 0;
}

bool pg_get_bool(const struct pg_result *r, int row, int col)
{
	return PQgetlength(pq_result(r), row, col) == 1 && PQgetvalue(pq_result(r), row, col)[0] == 1;
}

const char *pg_get_text(const struct pg_result *r, int row, int col)
{
	return pg_is_null(r, row, col) ? NULL : PQgetvalue(pq_result(r), row, col);
}

struct pg_bytes pg_get_bytes(const struct pg_result *r, int row, int col)
{
	return (struct pg_bytes){PQgetvalue(pq_result(r), row, col), (size_t)PQgetlength(pq_result(r), row, col)};
}
