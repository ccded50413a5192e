#include "service/function.h"

#include "core/crash.h"
#include "core/names.h"
#include "fs/eszip.h"
#include "service/current.h"
#include "store/audit.h"
#include "store/blob.h"
#include "store/function.h"
#include "store/migrate.h"
#include "store/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* Of a bundle; they are held in memory while they are sent. */
#define MAX_SOURCES ((size_t)64 * 1024 * 1024)

bool function_projects(struct service *s, struct arena *a, const char *only, struct project **out, size_t *count,
		       struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && project_list(c, a, only, out, count, e);

	pg_release(c);
	return ok;
}

bool function_project_since(struct service *s, struct arena *a, const char *ref, int64_t arrived, struct project *out,
			    struct err *e)
{
	int64_t epoch = pg_pool_epoch(s->pool);

	bool ok = current_project(s->current, a, ref, arrived, out, e);

	/* The read itself has found another database, perhaps: once more, so that it is no older than its epoch. */
	if (ok && epoch != pg_pool_epoch(s->pool)) {
		epoch = pg_pool_epoch(s->pool);
		ok = current_project(s->current, a, ref, INT64_MAX, out, e);
	}
	out->epoch = epoch;
	return ok;
}

bool function_project(struct service *s, struct arena *a, const char *ref, struct project *out, struct err *e)
{
	return function_project_since(s, a, ref, INT64_MAX, out, e);
}

bool function_all(struct service *s, struct arena *a, const char *project_ref, struct function_list *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && function_list_active(c, a, project_ref, out, e);

	pg_release(c);
	return ok;
}

bool function_activities(struct service *s, struct arena *a, const char *project_ref, struct activity_list *out,
			 struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && function_list_activity(c, a, project_ref, out, e);

	pg_release(c);
	return ok;
}

bool function_get(struct service *s, struct arena *a, const char *project_ref, const char *slug, struct function *out,
		  struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && function_find_active(c, a, project_ref, slug, out, e);

	pg_release(c);
	return ok;
}

bool function_files(struct service *s, struct arena *a, const struct function *f, struct file_list *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && version_files(c, a, f->id, f->version.number, out, e);

	pg_release(c);
	return ok;
}

bool function_read(struct service *s, const struct file *file,
		   bool (*sink)(void *ctx, const void *data, size_t len, struct err *e), void *ctx, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && blob_load(c, file->sha256, file->size, sink, ctx, e);

	pg_release(c);
	return ok;
}

/* A nameless file, which goes with its descriptor. */
static int temporary_file(const struct config *cfg, struct err *e)
{
	int fd = open(cfg->spool_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0) {
		(void)err_errno(e, errno, "Making a temporary file in spool_dir");
		(void)err_hint(e, "spool_dir must be a directory that the service may write to, on a filesystem with "
				  "O_TMPFILE.");
	}
	return fd;
}

static bool to_file(void *ctx, const void *data, size_t len, struct err *e)
{
	const int *fd = ctx;
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(*fd, p, len);

		if (n < 0 && errno != EINTR)
			return err_errno(e, errno, "Writing to spool_dir");
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return true;
}

bool function_bundle_sources(struct service *s, struct arena *a, const struct function *f, struct source_module **out,
			     size_t *count, size_t *entry, struct err *e)
{
	struct file_list files;
	int64_t size;
	int packed = temporary_file(s->cfg, e);
	int plain = packed >= 0 ? temporary_file(s->cfg, e) : -1;
	bool ok = plain >= 0 && function_files(s, a, f, &files, e);

	if (ok && files.count != 1)
		ok = err_set(e, ERR_INTERNAL, NULL, "A bundle has one file, this one has %zu", files.count);
	ok = ok && function_read(s, &files.items[0], to_file, &packed, e) &&
	     eszip_unpack(packed, plain, s->cfg->max_eszip_bytes, &size, e) &&
	     eszip_sources(plain, f->version.entrypoint, MAX_SOURCES, a, out, count, entry, e);
	if (packed >= 0)
		(void)close(packed);
	if (plain >= 0)
		(void)close(plain);
	return ok;
}

struct text_sink {
	char *out;
	size_t len;
};

static bool append_text(void *ctx, const void *data, size_t len, struct err *e)
{
	struct text_sink *t = ctx;

	(void)e;
	memcpy(t->out + t->len, data, len);
	t->len += len;
	return true;
}

bool function_text(struct service *s, struct arena *a, const struct file *file, char **out, struct err *e)
{
	/* blob_load() hands out exactly file->size bytes, or fails. */
	struct text_sink t = {.out = arena_alloc(a, (size_t)file->size + 1)};

	if (t.out == NULL)
		return err_no_memory(e);
	*out = t.out;
	return function_read(s, file, append_text, &t, e);
}

bool function_set_name(struct service *s, struct arena *a, const struct actor *who, struct function *f,
		       const char *name, const struct expectation *expected, struct err *e)
{
	const struct audit_entry entry = {
		.project_ref = f->project_ref,
		.action = "function.rename",
		.target = f->slug,
		.outcome = "done",
		.before = f->name,
		.after = name,
	};
	struct pg_conn *c = NULL;
	bool ok;

	if (!names_check_name(name, e))
		return false;
	ok = pg_acquire(s->pool, &c, e) && pg_begin(c, e) &&
	     function_rename(c, a, f->project_ref, f->id, name, expected, &f->updated_at, e) &&
	     audit_write(c, a, who, &entry, e) && pg_commit(c, e);
	FA_CRASH_POINT("rename.after_commit");
	pg_release(c);
	f->name = name;
	return ok;
}

int function_server_version(struct service *s)
{
	return pg_pool_server_version(s->pool);
}

bool function_inventory(struct service *s, struct arena *a, struct inventory *out, int64_t *shown, struct err *e)
{
	struct pg_conn *c = NULL;
	struct service *one;
	const char **refs;
	size_t count = 1;
	bool ok;

	*shown = 0;
	for (one = atomic_load(&s->further); one != NULL; one = atomic_load(&one->further))
		count++;
	refs = arena_array(a, count, sizeof *refs);
	if (refs == NULL)
		return err_no_memory(e);
	/* A project that is added meanwhile stands behind the others and waits for the next time. */
	one = s;
	for (size_t i = 0; i < count; i++, one = atomic_load(&one->further)) {
		refs[i] = one->cfg->project_ref;
		*shown += atomic_load(&one->shown);
	}
	ok = pg_acquire(s->pool, &c, e) && inventory_read(c, a, refs, count, out, e);
	pg_release(c);
	return ok;
}

bool function_ready(struct service *s, struct arena *a, struct err *e)
{
	struct migrate_status status = {0};
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && migrate_get_status(c, a, &status, e);

	pg_release(c);
	if (ok && status.applied < status.known) {
		(void)err_set(e, ERR_UNAVAILABLE, "schema_outdated",
			      "The database's schema is at %d, this program needs %d", status.applied, status.known);
		return err_hint(e, "Run: functions-admin migrate");
	}
	return ok;
}
