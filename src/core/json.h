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

/* Before any other use of jansson: lets those below tell a lack of memory from a mistake in the text. */
void json_init(void);

/* json_loadb(), whose json_error_code() is json_error_out_of_memory wherever that was the reason. */
json_t *json_load(const char *text, size_t len, size_t flags, json_error_t *at);

/* json_dumps(), which leaves out keys that it has no memory for (jansson 2.14): NULL then. Freed by the caller. */
char *json_text(const json_t *doc, size_t flags);

/* What this program has stored itself, such as the settings of a row; the caller drops the reference. NULL with the
 * error set: what a setting says is never taken to be the default for want of memory. */
json_t *json_stored(const char *text, struct err *e);

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
