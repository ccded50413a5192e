/*
 * The import check. The input is two files, the script and its import map, with a NUL between. What is found must lie
 * in the text, lines only go up, and nothing is refused for another reason than those of the header.
 */
#include "core/text.h"
#include "fs/imports.h"
#include "fs/script.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
	const char *at;
	size_t len;
	int line;
};

static bool check(void *ctx, const struct import *i)
{
	struct text *t = ctx;

	if (i->specifier < t->at || i->len > t->len || i->specifier + i->len > t->at + t->len || i->line < t->line)
		abort();
	t->line = i->line;
	return true;
}

static bool read_file(void *ctx, size_t index, void *out, size_t len, struct err *e)
{
	const struct text *files = ctx;

	(void)e;
	if (len > files[index].len)
		abort();
	if (len > 0)
		memcpy(out, files[index].at, len);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"deno.json", "f/index.tsx"};
	const char *text = (const char *)data;
	const char *nul = size > 0 ? memchr(text, '\0', size) : NULL;
	size_t script = nul != NULL ? (size_t)(nul - text) : size;
	struct text files[] = {{nul != NULL ? nul + 1 : text, nul != NULL ? size - script - 1 : 0, 1},
			       {text, script, 1}};
	const size_t sizes[] = {files[0].len, files[1].len};
	const struct imports_tree tree = {.paths = paths, .sizes = sizes, .count = 2, .read = read_file, .ctx = files};
	struct arena *a = arena_new(0);
	struct err e = ERR_INIT;

	(void)script_imports(text, script, false, check, &files[1]);
	if (!imports_check(a, &tree, paths[1], nul != NULL ? paths[0] : NULL, "deno.land, *.esm.sh", &e) &&
	    !text_starts(e.code, "import_"))
		abort();
	arena_free(a);
	return 0;
}
