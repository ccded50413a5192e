/*
 * eszip - bundles as the CLI uploads them: the four bytes "EZBR", then a brotli stream (RFC 7932) of an eszip v2
 * archive.
 *
 * Only what deploying needs: is it brotli, does it expand within the limit, is it an eszip of a revision that the
 * runtime reads, which module is its entry point.
 */
#ifndef FA_FS_ESZIP_H
#define FA_FS_ESZIP_H

#include "core/error.h"

#include <stdint.h>

/*
 * Decompresses the uploaded body at in_fd (from its start) to out_fd, at most max_bytes, 64 KiB at a time, and checks
 * the archive's magic: "ESZIP2.0" to "ESZIP2.3", or 2.x revisions that the runtime knows. A body that starts with the
 * archive's magic itself (not compressed) is copied as it is. ERR_INVALID: neither, brotli that is broken or truncated,
 * trailing bytes, no eszip inside; ERR_TOO_LARGE: expands beyond max_bytes.
 */
MUST_CHECK bool eszip_unpack(int in_fd, int out_fd, int64_t max_bytes, int64_t *size, struct err *e);

/*
 * Reads the module table in the archive's header and checks that `entrypoint` (a specifier such as file:///…/index.ts)
 * is one of its modules; header and table are checked against the lengths and checksums that the archive states.
 * ERR_INVALID otherwise.
 */
MUST_CHECK bool eszip_has_module(int fd, const char *entrypoint, struct err *e);

#endif
