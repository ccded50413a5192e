/*
 * folder - the functions directory that the edge runtime reads: staging, publishing, switching and removing releases.
 *
 *   <slug>/index.ts              a stub that imports .releases/<slug>/<release>/index.ts, swapped by rename(2)
 *   .releases/<slug>/<release>/  complete by construction: it gets its name only after everything in it was fsynced
 *   .functions-admin/            lock, instance, manifest.json and .kept.json, secrets.json, adopted/ (kept), and
 *                                staging/ and waiting/ (swept at start)
 *
 * Anything else is not ours, and never touched.
 *
 * A struct folder is shared by all threads; a struct staging belongs to one. Everything is done relative to directory
 * descriptors and without following links. Errors: ERR_NO_SPACE, ERR_CONFLICT where something that is not ours is in
 * the way, ERR_INTERNAL.
 */
#ifndef FA_FS_FOLDER_H
#define FA_FS_FOLDER_H

#include "core/arena.h"
#include "core/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct folder;

/* The deno.json of a function without an import map, written all the same: else one in a directory above would count.
 */
#define FOLDER_NO_IMPORT_MAP "{ \"lock\": false }\n"

/*
 * Opens the directory, makes what is ours in it, takes the lock (ERR_CONFLICT, naming the other process, where it is
 * held), and removes what an earlier process left in staging/. Directories get `mode`, files `mode` without the x bits.
 * project: for others who want the lock to read.
 */
MUST_CHECK bool folder_open(struct folder **out, const char *path, const char *project, mode_t mode, struct err *e);
void folder_close(struct folder *f);

/*
 * Are our directories and the lock still those that were opened? What somebody removed is made again, and locked;
 * *renewals, set in any case, tells how often that was so: what lay in it is gone. ERR_UNAVAILABLE "folder_changed"
 * where something else has taken its place, ERR_CONFLICT where another process has the lock meanwhile.
 */
MUST_CHECK bool folder_check(struct folder *f, unsigned *renewals, struct err *e);

/* The error of a call on something of ours: "folder_changed" where it is not there. doing: "Writing", say. False. */
bool folder_failed(int number, const char *doing, const char *what, struct err *e);

const char *folder_path(const struct folder *f);

/* The directory's descriptor, for fs/foreign.h; it stays the folder's own. */
int folder_root(const struct folder *f);

/* Is this entry of the folder a stub, or one of our own directories? */
bool folder_is_ours(const struct folder *f, const char *name);

/* ERR_CONFLICT where <slug> is there and is not one of our stubs. */
MUST_CHECK bool folder_check_slug(const struct folder *f, const char *slug, struct err *e);

/* "7-1f3a…" for version 7: the number and 12 digits of the digest. */
char *folder_release_name(struct arena *a, int version, const uint8_t digest[32]);

bool folder_has_release(const struct folder *f, const char *slug, const char *release);

/* The release that <slug> stands for, or NULL (also where that is none of ours). */
char *folder_active_release(const struct folder *f, struct arena *a, const char *slug);

/*
 * New releases and stubs that get their names together. What they are made of is synced first: of FOLDER_MANY by one
 * syncfs(2), which also waits for what others have written to that filesystem, of fewer file by file. For all threads.
 */
#ifdef FA_CRASH_POINTS
#define FOLDER_MANY 2 /* tests/faults has few functions */
#else
#define FOLDER_MANY 8
#endif
struct folder_batch;
MUST_CHECK bool folder_batch_new(struct folder_batch **out, struct folder *f, struct err *e);
MUST_CHECK bool folder_batch_publish(struct folder_batch *b, struct err *e);
/* Takes the release that staging_wait() left. False where there is none: the database has it. */
bool folder_batch_take(struct folder_batch *b, const char *slug, const char *release);
/* Removes what got no name. NULL is fine. */
void folder_batch_free(struct folder_batch *b);

/*
 * Lets <slug> stand for the release, at once, or where it has no stub, with the batch (NULL: none); where it does so
 * already, only what is missing of the stub is put there. deno_json: what its deno.json says.
 */
MUST_CHECK bool folder_switch(struct folder *f, const char *slug, const char *release, const char *deno_json,
			      struct folder_batch *batch, struct err *e);

/* Could folder_adopt() move this directory? ERR_CONFLICT with a hint where it belongs to another user. */
MUST_CHECK bool folder_check_adopt(const struct folder *f, const char *slug, struct err *e);

/*
 * Puts a stub in the place of a directory that somebody made by hand, in one step. The directory is kept, below
 * .functions-admin/adopted/; *moved_to (in the arena) says where. ERR_INTERNAL with a hint where it belongs to another
 * user.
 */
MUST_CHECK bool folder_adopt(struct folder *f, const char *slug, const char *release, const char *deno_json,
			     char **moved_to, struct arena *a, struct err *e);

/* Removes the stub, if it is ours. The releases stay until folder_remove_releases. */
MUST_CHECK bool folder_unlink(struct folder *f, const char *slug, struct err *e);

/* Removes releases of slug but those named in keep (NULL-terminated); with an empty list also their directory. */
MUST_CHECK bool folder_remove_releases(struct folder *f, const char *slug, const char *const *keep, struct err *e);

/* The one; it must be there. */
MUST_CHECK bool folder_remove_release(struct folder *f, const char *slug, const char *release, struct err *e);

/* The names of what lies there, in no order, in the arena; NULL where it cannot be read or memory is out. */
const char **folder_releases(const struct folder *f, struct arena *a, const char *slug, size_t *count);

/* Takes the oldest releases of slug, by version, beyond the newest `count` out of sight; the active one always stays.
 * *out: what folder_end_removal() then removes, also where this failed; NULL for none. */
struct folder_removal;
MUST_CHECK bool folder_prune_releases(struct folder *f, const char *slug, const char *active, size_t count,
				      struct folder_removal **out, struct err *e);

/* Waits for the disk, and frees r. What a crash leaves of them goes at the next start. */
MUST_CHECK bool folder_end_removal(struct folder_removal *r, struct err *e);

/* Calls fn for each of our stubs, and for each directory below .releases; slugs live for the call only. */
MUST_CHECK bool folder_each_stub(struct folder *f, bool (*fn)(void *ctx, const char *slug, struct err *e), void *ctx,
				 struct err *e);
MUST_CHECK bool folder_each_released(struct folder *f, bool (*fn)(void *ctx, const char *slug, struct err *e),
				     void *ctx, struct err *e);

/* Replaces .functions-admin/<name> as a whole; after a loss of power it may be the old one again, or a part of it. */
MUST_CHECK bool folder_replace(struct folder *f, const char *name, const void *data, size_t len, mode_t mode,
			       struct err *e);

/* The same, durably. */
MUST_CHECK bool folder_put(struct folder *f, const char *name, const void *data, size_t len, mode_t mode,
			   struct err *e);

/* The same for a file in another directory, on any filesystem (a tmpfs). */
MUST_CHECK bool folder_put_outside(const char *dir, const char *name, const void *data, size_t len, mode_t mode,
				   struct err *e);

/* A number that is another one once somebody has changed, replaced or removed .functions-admin/<name>. 0: no file. */
uint64_t folder_stamp(const struct folder *f, const char *name);

/* Is .functions-admin/<name> there, as a file? */
bool folder_has(const struct folder *f, const char *name);

/* The content of .functions-admin/<name>, NUL-terminated; NULL where it is not there or over max bytes. */
char *folder_get(const struct folder *f, struct arena *a, const char *name, size_t max, size_t *len);

/* Free bytes on the volume for an unprivileged user; -1 where unknown. */
int64_t folder_free_bytes(const struct folder *f);

/* One release being written, under a name that no reader knows. */
struct staging;

MUST_CHECK bool staging_new(struct staging **out, struct folder *f, struct err *e);

/* One file at a time; path as checked by bundle_check_path. */
MUST_CHECK bool staging_begin(struct staging *s, const char *path, struct err *e);
MUST_CHECK bool staging_write(struct staging *s, const void *data, size_t len, struct err *e);
MUST_CHECK bool staging_end(struct staging *s, uint8_t sha256[32], int64_t *size, struct err *e);

MUST_CHECK bool staging_put(struct staging *s, const char *path, const void *data, size_t len, struct err *e);

/* A descriptor of one of its directories, to be closed by the caller; -1 on error. */
int staging_open_dir(struct staging *s, const char *path);

/* A descriptor of a file in it; flags as for open(2). -1 on error. */
int staging_open(struct staging *s, const char *path, int flags);
MUST_CHECK bool staging_remove(struct staging *s, const char *path, struct err *e);

/* Nothing more is written: what staging_publish() waits for begins on a thread of its own, beside what the caller does
 * meanwhile. */
void staging_begin_sync(struct staging *s);

/* Every file and directory reaches the disk; then it becomes .releases/<slug>/<release>, replacing one of that name. A
 * loss of power may take a new name away, never leave a part under it. */
MUST_CHECK bool staging_publish(struct staging *s, const char *slug, const char *release, struct err *e);

/* With the batch, to which it belongs from now on. */
MUST_CHECK bool staging_publish_later(struct staging *s, struct folder_batch *batch, const char *slug,
				      const char *release, struct err *e);

/* It is whole, but not on the disk, and waits beside the releases for folder_batch_take(); at most until the next
 * start. Where that fails it goes with the staging. */
void staging_wait(struct staging *s, const char *slug, const char *release);

/* What waits for slug goes. */
void folder_drop_waiting(struct folder *f, const char *slug);

/* Removes what was not published. NULL is fine. */
void staging_free(struct staging *s);

#endif
