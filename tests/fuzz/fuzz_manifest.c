/*
 * Manifests. The input is the text in one that is rendered, which must be JSON that says the same again.
 */
#include "core/text.h"
#include "fs/manifest.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct buf *rendered, const char *text)
{
	json_t *doc = json_loadb(rendered->data, rendered->len, 0, NULL);
	const char *path = NULL;
	const char *project = NULL;
	int generation = 0;

	if (json_unpack(doc, "{s:s, s:i, s:{s:{s:[{s:s}]}}}", "project", &project, "generation", &generation,
			"functions", "hello", "versions", "path", &path) != 0 ||
	    !text_eq(path, text) || generation != 42 || !text_eq(project, "abcdefghijklmnopqrst"))
		abort();
	json_decref(doc);
}

/* A version whose path, entry point and import map are this text. */
static void render(struct arena *a, const char *text)
{
	const char *const patterns[] = {text, NULL};
	const struct manifest_version v = {
		.number = 7,
		.percent = 100,
		.path = text,
		.entrypoint = text,
		.import_map = text,
		.static_patterns = patterns,
		.settings = text,
	};
	struct buf rendered = BUF_INIT(MANIFEST_MAX);
	const char *entry = manifest_entry(a, "hello", text, text, &v, 1);
	struct err e = ERR_INIT;

	if (entry != NULL && manifest_render("abcdefghijklmnopqrst", 42, &entry, 1, &rendered, &e))
		check(&rendered, text);
	buf_free(&rendered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	if (text_utf8_valid(text, strlen(text)))
		render(a, text);
	free(text);
	arena_free(a);
	return 0;
}
