/*
 * manifest - .functions-admin/manifest.json: what is active, for the main service (format in docs/runtime.md).
 */
#ifndef FA_FS_MANIFEST_H
#define FA_FS_MANIFEST_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_FILE "manifest.json"
/* As it was lately, and surely whole: for a main service that starts after a loss of power which left only a part of
 * the other. */
#define MANIFEST_KEPT_FILE "manifest.kept.json"
#define MANIFEST_MAX ((size_t)64 * 1024 * 1024)

struct manifest_version {
	int number;
	int percent;
	bool eszip;
	const char *path;                   /* of the release, relative to the functions folder */
	const char *entrypoint;             /* relative to the release, or a specifier inside the bundle */
	const char *import_map;             /* relative to the release; NULL for none */
	const char *const *static_patterns; /* relative to the release; NULL-terminated */
	bool verify_jwt;
	const char *settings; /* a JSON object whose members (limits, imports, platform) are copied; NULL for none */
};

/* One version as the manifest and the boot request have it. NULL when memory is out. */
json_t *manifest_version_json(const struct manifest_version *v);

/*
 * One function's member of the whole, "slug":{...}; sticky: the JSON of which calls stay together, NULL for none. NULL
 * when memory is out.
 */
char *manifest_entry(struct arena *a, const char *slug, const char *id, const char *sticky,
		     const struct manifest_version *versions, size_t count);

/* The text with these entries, at the end of `out`. */
MUST_CHECK bool manifest_render(const char *project_ref, int64_t generation, const char *const *entries, size_t count,
				struct buf *out, struct err *e);

#endif
