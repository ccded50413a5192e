/*
 * multipart - a bounded push parser for multipart/form-data (RFC 7578, RFC 2046 5.1).
 *
 * Fed with pieces of any size, it calls back for each part's head, its bytes and its end; it holds at most one boundary
 * and one part head. Nothing is buffered beyond that, so memory does not grow with the upload.
 *
 * A CR LF before the first boundary is let pass; any other preamble is refused, the epilogue ignored. In quoted names
 * \" and %22 both stand for a quotation mark, as clients send either; file names are not otherwise decoded.
 *
 * Refused (ERR_MALFORMED, unless said otherwise): another media type (ERR_MEDIA_TYPE); boundary absent, given twice,
 * empty, over 70 characters or with characters that RFC 2046 does not allow; text where a boundary must stand, or
 * behind one; lines that end in LF alone; folded lines; a part without Content-Disposition: form-data, with two, or
 * without a name; filename*; a Content-Transfer-Encoding that encodes; a name or file name with NUL, control characters
 * or invalid UTF-8; more than max_parts parts, a part head over 16 KiB or over 32 lines (ERR_TOO_LARGE); a body that
 * ends before its closing boundary.
 */
#ifndef FA_HTTP_MULTIPART_H
#define FA_HTTP_MULTIPART_H

#include "core/arena.h"
#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

struct multipart;

struct multipart_part {
	const char *name;
	const char *filename;     /* NULL where the part has none */
	const char *content_type; /* NULL where the part has none */
};

struct multipart_handler {
	/* Each returns false with the error set to stop the parse with that error. Strings live until part_end. */
	bool (*part_begin)(void *ctx, const struct multipart_part *part, struct err *e);
	bool (*part_data)(void *ctx, const void *data, size_t len, struct err *e);
	bool (*part_end)(void *ctx, struct err *e);
	void *ctx;
};

/* content_type: the request's header, with its boundary parameter. The parser lives in the arena. */
MUST_CHECK bool multipart_new(struct multipart **out, struct arena *a, const char *content_type, size_t max_parts,
			      const struct multipart_handler *handler, struct err *e);

MUST_CHECK bool multipart_feed(struct multipart *m, const void *data, size_t len, struct err *e);

/* To be called once, when the body is over. */
MUST_CHECK bool multipart_finish(struct multipart *m, struct err *e);

#endif
