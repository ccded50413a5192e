/*
 * Manifests. The input is read as one, as the program reads what lies in the folder; and it is the text in one that is
 * rendered, which must be JSON that says the same again.
 */
#include "core/text.h"
#include "fs/manifest.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_it(const char *text, size_t len)
{
	char project[21];
	int64_t generation;

	if (manifest_read_head(text, len, project, &generation) && strlen(project) > 20)
		abort();
}

/* A version whose path, entry point and import map are this text. */
static void render_it(const char *text)
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
	struct manifest *m = NULL;
	struct err e = ERR_INIT;
	char *rendered = NULL;
	size_t len = 0;

	if (manifest_new(&m, "abcdefghijklmnopqrst", 42, &e) && manifest_add(m, "hello", text, text, &v, 1, &e) &&
	    manifest_render(m, &rendered, &len, &e)) {
		json_t *doc = json_loadb(rendered, len, 0, NULL);
		const char *path = NULL;
		char project[21];
		int64_t generation = 0;

		if (json_unpack(doc, "{s:{s:{s:[{s:s}]}}}", "functions", "hello", "versions", "path", &path) != 0 ||
		    strcmp(path, text) != 0 || !manifest_read_head(rendered, len, project, &generation) ||
		    generation != 42 || !text_eq(project, "abcdefghijklmnopqrst"))
			abort();
		json_decref(doc);
	}
	free(rendered);
	manifest_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	read_it(text, size);
	if (text_utf8_valid(text, strlen(text)))
		render_it(text);
	free(text);
	return 0;
}
