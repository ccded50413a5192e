/*
 * digest - one SHA-256 over everything that makes a version behave: kind, entry point, import map, static patterns,
 * verify_jwt, settings, and each file's path and content. Versions with equal digests behave alike; names, notes and
 * times do not count.
 */
#ifndef FA_SERVICE_DIGEST_H
#define FA_SERVICE_DIGEST_H

#include "core/arena.h"
#include "core/error.h"
#include "core/model.h"

/* files: sorted by path. Fills v->digest. */
MUST_CHECK bool digest_version(struct arena *a, struct version *v, const struct file_list *files, struct err *e);

#endif
