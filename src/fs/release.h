/*
 * release - what a release holds beside the files as uploaded: the shim that boots the function under any main service.
 *
 * The shim's text is runtime/shim/, embedded in the program; docs/runtime.md says what it does.
 */
#ifndef FA_FS_RELEASE_H
#define FA_FS_RELEASE_H

#include "fs/folder.h"

#include <stdbool.h>

/* The uploaded files lie below this directory of the release. */
#define RELEASE_SOURCE "source"
/* The archive of an eszip version, decompressed. */
#define RELEASE_BUNDLE "bundle.eszip"

/* Adds the shim for a source version; entrypoint and import_map (NULL for none) are paths as uploaded. */
MUST_CHECK bool release_add_shim(struct staging *s, const char *entrypoint, const char *import_map, struct err *e);

/* What deno.json says in the stub of this release (folder_switch): where its import map lies. NULL when memory is out.
 */
char *release_stub_deno_json(struct arena *a, const char *slug, const char *release, const char *import_map);

/* Replaces the uploaded body `upload` (a path in the staging) by the archive inside it; checks that it has the entry
 * point. */
MUST_CHECK bool release_add_bundle(struct staging *s, const char *upload, const char *entrypoint, int64_t max_bytes,
				   struct err *e);

#endif
