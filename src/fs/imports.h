/*
 * imports - does every import of an upload lead to a file that was uploaded?
 *
 * From the entrypoint on, static imports (fs/script.h) are followed, through the import map. What would boot is never
 * refused: `import type`, files that the lexer is not sure about, dynamic imports (they fail when they are run, if
 * ever) and bare names that no map knows pass; the boot check follows.
 *
 * Limits: IMPORTS_MAX_FILE bytes of a file are read, IMPORTS_MAX_TOTAL of an upload; what lies beyond passes.
 */
#ifndef FA_FS_IMPORTS_H
#define FA_FS_IMPORTS_H

#include "core/arena.h"
#include "core/error.h"

#include <stddef.h>

#define IMPORTS_MAX_FILE ((size_t)4 * 1024 * 1024)
#define IMPORTS_MAX_TOTAL ((size_t)32 * 1024 * 1024)

/* The files of an upload. */
struct imports_tree {
	const char *const *paths; /* sorted by strcmp */
	const size_t *sizes;
	size_t count;
	/* The first `len` bytes of a file into out. */
	bool (*read)(void *ctx, size_t index, void *out, size_t len, struct err *e);
	void *ctx;
};

/*
 * ERR_INVALID "import_missing" where a static import leads to a file that is not there, "import_outside" where it leads
 * out of the upload, "import_host" for a host that is not in `hosts`, "import_map_invalid" for a map that is no JSON
 * (comments and trailing commas are fine). Each names file, line and import. import_map: NULL for none; hosts:
 * "deno.land, *.esm.sh", NULL for any.
 */
MUST_CHECK bool imports_check(struct arena *a, const struct imports_tree *tree, const char *entrypoint,
			      const char *import_map, const char *hosts, struct err *e);

/*
 * Which files the entrypoint needs: reached[i] is set for each that a static import leads to, and for what these
 * import. Imports that lead nowhere are passed over. reached: tree->count flags.
 */
MUST_CHECK bool imports_reach(struct arena *a, const struct imports_tree *tree, const char *entrypoint,
			      const char *import_map, bool *reached, struct err *e);

#endif
