/*
 * JSON bodies, and the typed reading of their members. What is accepted must be written out again without an error, and
 * is what jansson makes of it.
 */
#include "core/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct err e = ERR_INIT;
	json_t *doc = json_parse(a, "The body", (const char *)data, size, 1 << 20, &e);
	const char *s = NULL;
	const char **list = NULL;
	bool present;
	bool flag;
	int64_t n;

	if (doc == NULL) {
		if (e.kind != ERR_MALFORMED && e.kind != ERR_TOO_LARGE)
			abort();
	} else {
		char *text = json_dumps(doc, JSON_COMPACT);
		json_t *theirs = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);

		if (text == NULL || !json_equal(doc, theirs))
			abort();
		free(text);
		json_decref(theirs);
		(void)!json_get_string(doc, "name", JSON_REQUIRED, &s, &e);
		(void)!json_get_bool(doc, "verify_jwt", JSON_OPTIONAL, &present, &flag, &e);
		(void)!json_get_int(doc, "version", JSON_OPTIONAL, 1, 1000, &n, &e);
		(void)!json_get_strings(a, doc, "static_patterns", 10, &list, &e);
	}
	arena_free(a);
	return 0;
}
