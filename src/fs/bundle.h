/*
 * bundle - what may stand in an upload: names, paths, counts; and the digest over all of it.
 *
 * Pure rules, no files are touched.
 */
#ifndef FA_FS_BUNDLE_H
#define FA_FS_BUNDLE_H

#include "core/arena.h"
#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

/* Directories above a file. Whoever removes a release holds one open for each. */
#define BUNDLE_MAX_DEPTH 32

/*
 * A path of an uploaded file: relative, UTF-8, 1 to max_bytes, segments of 1 to 255 bytes that are neither "." nor
 * "..", below BUNDLE_MAX_DEPTH directories at most, no backslash, no control character. ERR_INVALID; the message shows
 * the path with what is unprintable escaped.
 */
MUST_CHECK bool bundle_check_path(const char *path, size_t max_bytes, struct err *e);

/*
 * Refuses (ERR_INVALID) a path that stands twice, and a file that is another file's directory. paths need not be
 * sorted.
 */
MUST_CHECK bool bundle_check_tree(struct arena *a, const char *const *paths, size_t count, struct err *e);

/* Static patterns are globs; "./x" means "x", and none may lead out of the upload. The list, NULL-terminated in the
 * arena; NULL with the error set. */
const char **bundle_clean_patterns(struct arena *a, const char *const *patterns, size_t max_path, struct err *e);

/* True when the list has this very path. */
bool bundle_has_path(const char *const *paths, size_t count, const char *path);

#endif
