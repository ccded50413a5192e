/*
 * eszip - bundles as the CLI uploads them: the four bytes "EZBR", then a brotli stream (RFC 7932) of an eszip v2
 * archive.
 *
 * What deploying needs: is it brotli, does it expand within the limit, is it an eszip of a revision that the runtime
 * reads, which module is its entry point; and what a download needs: the sources of its local modules.
 */
#ifndef FA_FS_ESZIP_H
#define FA_FS_ESZIP_H

#include "core/arena.h"
#include "core/error.h"
#include "core/model.h"

#include <stdint.h>

/*
 * Decompresses the uploaded body at in_fd (from its start) to out_fd (from where it stands), at most max_bytes, 64 KiB
 * at a time, and checks the archive's magic: "ESZIP_V2" or "ESZIP2.1" to "ESZIP2.3", the revisions that the runtime
 * reads. A body that starts with the archive's magic itself (not compressed) is copied as it is. ERR_INVALID: neither,
 * brotli that is broken or truncated, trailing bytes, no eszip inside; ERR_TOO_LARGE: expands beyond max_bytes.
 */
MUST_CHECK bool eszip_unpack(int in_fd, int out_fd, int64_t max_bytes, int64_t *size, struct err *e);

/*
 * Reads the module table in the archive's header and checks that `entrypoint` (a specifier such as file:///…/index.ts)
 * is one of its modules that can run, redirects followed. The runtime's bundler names local modules by a relative path;
 * one that is the end of a file:// entry point counts as that module. Options, table and npm section are checked
 * against the lengths and the SHA-256 checksums that the archive states (other kinds of checksum by their length), and
 * every module must lie inside the archive. ERR_INVALID otherwise; `entrypoint_not_found` where only the module is
 * missing.
 */
MUST_CHECK bool eszip_has_module(int fd, const char *entrypoint, struct err *e);

/*
 * The local modules of an archive that was checked at its upload, by name, in the arena. *entry: the index of the entry
 * point. The archive holds JavaScript; the TypeScript it was made of stands in its source maps. Paths are those below
 * the folder that holds supabase/functions where the entry point lies in such a one, else below what all modules have
 * in common. ERR_INVALID for an archive that is broken or has a path that no upload could have; ERR_TOO_LARGE where
 * the sources are larger than max_bytes; ERR_ACCEPT where no module was a local file.
 */
MUST_CHECK bool eszip_sources(int fd, const char *entrypoint, size_t max_bytes, struct arena *a,
			      struct source_module **out, size_t *count, size_t *entry, struct err *e);

#endif
