/*
 * FastCGI parameters: the input is "NAME=value" texts, each ended by a NUL, as the web server's records are taken apart
 * by libfcgi. Everything that the program asks a request for is asked.
 */
#include "http/request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PARAMS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct params {
	const char *texts[MAX_PARAMS];
	size_t count;
};

static const char *param(void *ctx, const char *name)
{
	const struct params *p = ctx;
	size_t len = strlen(name);

	for (size_t i = 0; i < p->count; i++)
		if (strncmp(p->texts[i], name, len) == 0 && p->texts[i][len] == '=')
			return p->texts[i] + len + 1;
	return NULL;
}

static ssize_t read_nothing(void *ctx, void *out, size_t len)
{
	(void)ctx;
	(void)out;
	(void)len;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const headers[] = {"Authorization",   "apikey",          "Accept", "If-Match",
					      "If-None-Match",   "Idempotency-Key", "Prefer", "X-Deploy-Message",
					      "X-Forwarded-For", "Origin"};
	struct arena *a = arena_new(0);
	char *copy;
	struct params p = {0};
	struct request_source source = {.param = param, .read = read_nothing, .ctx = &p};
	struct err e = ERR_INIT;
	struct request r;
	char *body;
	size_t len;

	copy = arena_alloc(a, size + 1);
	memcpy(copy, data, size);
	copy[size] = '\0';
	for (size_t at = 0; at < size && p.count < MAX_PARAMS; at += strlen(copy + at) + 1)
		p.texts[p.count++] = copy + at;
	if (request_init(&r, a, &source, "/functions-admin", &e)) {
		request_trust_proxies(&r, "127.0.0.1, 10.0.0.0/8, ::1");
		for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
			const char *value = request_header(&r, headers[i]);

			/* A header is a line: whoever takes it apart relies on that. */
			if (value != NULL && strlen(value) > size)
				abort();
		}
		(void)request_accepts(&r, "application/vnd.denoland.eszip");
		(void)request_is_type(r.content_type, "multipart/form-data");
		(void)request_query(&r, "slug");
		if (request_body(&r, 1024, &body, &len, &e) && len > 1024)
			abort();
	}
	arena_free(a);
	return 0;
}
