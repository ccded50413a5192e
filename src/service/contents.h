/*
 * contents - where the files of a version come from when its release is built: on a node that keeps them (option
 * cache_bytes) from its own disk, else from a replica (replica_url) where that has them already, else from the
 * database.
 */
#ifndef FA_SERVICE_CONTENTS_H
#define FA_SERVICE_CONTENTS_H

#include "service/service.h"

struct contents;

/* For an agent; after service_open_folder(). */
MUST_CHECK bool contents_open(struct service *s, struct err *e);
void contents_close(struct contents *c);

/*
 * Feeds the file's bytes to the sink, which is called for nothing else before or between. c: a connection to the
 * database, for what is nowhere nearer. What comes is as long as file->size says; its digest is for the caller to
 * check.
 */
MUST_CHECK bool contents_load(struct service *s, struct pg_conn *c, const struct file *file,
			      bool (*sink)(void *ctx, const void *data, size_t len, struct err *e), void *ctx,
			      struct err *e);

#endif
