/*
 * upload - the files of one version as they arrive, written to the staging area and hashed on the way.
 *
 * Nothing is visible to readers until deploy_run() publishes it, and everything is removed by upload_free() where that
 * does not happen. Limits (options max_file_bytes, max_upload_bytes, max_files, max_path_bytes): ERR_TOO_LARGE.
 */
#ifndef FA_SERVICE_UPLOAD_H
#define FA_SERVICE_UPLOAD_H

#include "service/service.h"

struct upload;

/* kind: KIND_SOURCE takes any number of files; KIND_ESZIP takes one, ESZIP_FILE. Lives in the arena, is freed with it.
 */
MUST_CHECK bool upload_new(struct upload **out, struct service *s, struct arena *a, enum version_kind kind,
			   struct err *e);

/* path: as the client sent it; ERR_INVALID for one that is not acceptable. */
MUST_CHECK bool upload_begin(struct upload *u, const char *path, struct err *e);
MUST_CHECK bool upload_write(struct upload *u, const void *data, size_t len, struct err *e);
MUST_CHECK bool upload_end(struct upload *u, struct err *e);

MUST_CHECK bool upload_put(struct upload *u, const char *path, const void *data, size_t len, struct err *e);

enum version_kind upload_kind(const struct upload *u);

/* Sorted by path, in byte order; the tree is checked (no file twice, none another's directory). */
MUST_CHECK bool upload_files(struct upload *u, struct file_list *out, struct err *e);

int64_t upload_bytes(const struct upload *u);

/* The staging area with the files in it: below RELEASE_SOURCE for source versions. */
struct staging *upload_staging(struct upload *u);

/* For blob_store(); ctx is the upload, after upload_files(). */
bool upload_read(void *ctx, size_t index, int64_t offset, void *out, size_t len, struct err *e);

#endif
