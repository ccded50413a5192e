/*
 * Request lines. The input is a request target; path and query are taken apart as from nginx, and what decodes must be
 * the same text after encoding and decoding it again.
 */
#include "core/text.h"
#include "http/request.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *param(void *ctx, const char *name)
{
	if (strcmp(name, "REQUEST_METHOD") == 0)
		return "GET";
	return strcmp(name, "REQUEST_URI") == 0 ? ctx : NULL;
}

static ssize_t read_nothing(void *ctx, void *out, size_t len)
{
	(void)ctx;
	(void)out;
	(void)len;
	return 0;
}

static void check_round_trip(struct arena *a, const char *text)
{
	const char *encoded = text_url_encode_path(a, text);
	const char *again = encoded != NULL ? text_url_decode(a, encoded, strlen(encoded), false) : NULL;

	if (again == NULL || strcmp(again, text) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	char *uri = arena_strndup(a, (const char *)data, size);
	struct request_source source = {.param = param, .read = read_nothing, .ctx = uri};
	struct err e = ERR_INIT;
	struct request r;

	if (request_init(&r, a, &source, "/functions-admin", &e)) {
		char *path = text_url_decode(a, r.path, strlen(r.path), false);

		if (r.path[0] != '/')
			abort();
		if (path != NULL)
			check_round_trip(a, path);
		for (size_t i = 0; i < r.query_count; i++) {
			check_round_trip(a, r.query[i].name);
			check_round_trip(a, r.query[i].value);
		}
	}
	arena_free(a);
	return 0;
}
