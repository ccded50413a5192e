/*
 * page - lists in pages: ?limit= and ?cursor=, the answer {"data": [...], "next_cursor"?}, and the Link header (RFC
 * 8288).
 *
 * Keyset pagination: a cursor names the last item that was seen, so pages stay whole while others write.
 */
#ifndef FA_API_PAGE_H
#define FA_API_PAGE_H

#include "api/api.h"

#include <jansson.h>

#define PAGE_DEFAULT 50
#define PAGE_MAX 500

struct page {
	int limit; /* what the caller wants; ask the store for one more, to know whether there is a next page */
	const char *cursor; /* NULL: the first page */
	int64_t number; /* the cursor as a number, where page_read() was told that it is one; 0 for the first page */
};

/* ERR_MALFORMED for a limit outside 1 to 500 or a cursor that is not one of ours. */
MUST_CHECK bool page_read(const struct call *c, bool numeric, struct page *out, struct err *e);

/* Takes over `data`; next_cursor: that of the last item shown, or NULL where there is no further page. */
MUST_CHECK bool page_answer(struct call *c, const struct page *page, json_t *data, const char *next_cursor,
			    struct err *e);

#endif
