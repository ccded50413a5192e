/*
 * json - reading JSON that a stranger sent (RFC 8259), strictly, over jansson.
 *
 * Refused with a message that says where: anything that jansson refuses, duplicate names in an object, nesting deeper
 * than 32, U+0000 in strings, a byte order mark, more than `max` bytes.
 */
#ifndef FA_CORE_JSON_H
#define FA_CORE_JSON_H

#include "core/arena.h"
#include "core/error.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_MAX_DEPTH 32

/* The document; its reference is dropped with the arena. NULL with ERR_MALFORMED, or ERR_TOO_LARGE. `what` names it in
 * messages. */
json_t *json_parse(struct arena *a, const char *what, const char *text, size_t len, size_t max, struct err *e);

enum json_presence { JSON_OPTIONAL, JSON_REQUIRED };

/*
 * Typed members of an object. Absent and optional: *out is left as it is and true returned; null counts as absent. The
 * wrong type, or absent and required: ERR_INVALID (the message names the member). Strings with control characters other
 * than \t \n \r are refused.
 */
MUST_CHECK bool json_get_string(const json_t *object, const char *name, enum json_presence presence, const char **out,
				struct err *e);
MUST_CHECK bool json_get_bool(const json_t *object, const char *name, enum json_presence presence, bool *present,
			      bool *out, struct err *e);
MUST_CHECK bool json_get_int(const json_t *object, const char *name, enum json_presence presence, int64_t min,
			     int64_t max, int64_t *out, struct err *e);
/* An array of strings as a NULL-terminated list in the arena. */
MUST_CHECK bool json_get_strings(struct arena *a, const json_t *object, const char *name, size_t max_items,
				 const char ***out, struct err *e);

#endif
