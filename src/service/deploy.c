#include "service/deploy.h"

#include "core/crash.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/names.h"
#include "core/text.h"
#include "fs/bundle.h"
#include "fs/imports.h"
#include "fs/release.h"
#include "service/apply.h"
#include "service/bell.h"
#include "service/change.h"
#include "service/digest.h"
#include "service/hold.h"
#include "service/preflight.h"
#include "service/rollout.h"
#include "store/audit.h"
#include "store/blob.h"
#include "store/deployment.h"
#include "store/function.h"
#include "store/version.h"

#include <stdio.h>
#include <string.h>

static bool check_request(const struct deploy_request *req, const struct file_list *files, struct err *e)
{
	bool entry = false;
	bool map = req->import_map == NULL || req->import_map[0] == '\0';

	if (!names_check_slug(req->slug, e) || (req->name != NULL && !names_check_name(req->name, e)))
		return false;
	if (files->count == 0)
		return err_set(e, ERR_INVALID, "no_files", "The upload has no files");
	if (req->entrypoint == NULL || req->entrypoint[0] == '\0')
		return err_set(e, ERR_INVALID, "no_entrypoint", "entrypoint_path is missing");
	if (upload_kind(req->upload) == KIND_ESZIP)
		return true;
	for (size_t i = 0; i < files->count; i++) {
		entry = entry || text_eq(files->items[i].path, req->entrypoint);
		map = map || text_eq(files->items[i].path, req->import_map);
	}
	if (!entry) {
		(void)err_set(e, ERR_INVALID, "entrypoint_missing",
			      "The entrypoint \"%s\" is not among the uploaded files", req->entrypoint);
		return err_hint(e, "entrypoint_path must be the path of an uploaded file, as in its filename.");
	}
	if (!map) {
		(void)err_set(e, ERR_INVALID, "import_map_missing",
			      "The import map \"%s\" is not among the uploaded files", req->import_map);
		return err_hint(e, "import_map_path must be the path of an uploaded file, or be left out.");
	}
	return true;
}

/* For imports_check(): the files as they were uploaded. */
static bool read_source(void *ctx, size_t index, void *out, size_t len, struct err *e)
{
	return upload_read(ctx, index, 0, out, len, e);
}

/* What cannot boot is refused before anything is stored, with the file and the line. */
static bool check_imports(struct service *s, struct arena *a, const struct deploy_request *req,
			  const struct file_list *files, struct err *e)
{
	const char **paths = arena_array(a, files->count, sizeof *paths);
	size_t *sizes = arena_array(a, files->count, sizeof *sizes);
	const struct imports_tree tree = {
		.paths = paths, .sizes = sizes, .count = files->count, .read = read_source, .ctx = req->upload};
	const char *map = req->import_map != NULL && req->import_map[0] != '\0' ? req->import_map : NULL;

	if (upload_kind(req->upload) == KIND_ESZIP)
		return true;
	if (paths == NULL || sizes == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < files->count; i++) {
		paths[i] = files->items[i].path;
		sizes[i] = (size_t)files->items[i].size;
	}
	return imports_check(a, &tree, req->entrypoint, map, s->cfg->import_hosts, e);
}

static bool check_bundle_digest(struct arena *a, const struct deploy_request *req, const struct file_list *files,
				struct version *v, struct err *e)
{
	char *hex = arena_alloc(a, SHA256_HEX_SIZE);

	if (hex == NULL)
		return err_no_memory(e);
	text_hex(files->items[0].sha256, sizeof files->items[0].sha256, hex);
	if (req->ezbr_sha256 != NULL && !text_eq(req->ezbr_sha256, hex)) {
		(void)err_set(e, ERR_INVALID, "digest_mismatch",
			      "ezbr_sha256 is not the SHA-256 of the uploaded bundle");
		return err_hint(e,
				"The upload was damaged on its way, or the digest is of another file. Deploy again.");
	}
	v->ezbr_sha256 = hex;
	return true;
}

/* Everything of the version but its number, its name and what the current one decides. */
static bool describe_version(struct service *s, struct arena *a, const struct actor *who,
			     const struct deploy_request *req, const struct file_list *files, struct version *v,
			     struct err *e)
{
	*v = (struct version){
		.kind = upload_kind(req->upload),
		.entrypoint = req->entrypoint,
		.import_map = req->import_map != NULL && req->import_map[0] != '\0' ? req->import_map : NULL,
		.settings = "{}",
		.size = upload_bytes(req->upload),
		.file_count = (int)files->count,
		.message = req->message,
		.source = req->source != NULL ? req->source : "deploy",
		.created_by = who->name,
		.created_at = service_now(),
	};
	v->static_patterns = bundle_clean_patterns(a, req->static_patterns, (size_t)s->cfg->max_path_bytes, e);
	if (v->static_patterns == NULL)
		return false;
	return v->kind == KIND_SOURCE || check_bundle_digest(a, req, files, v, e);
}

/* The CLI looks for these very words and then sends an update instead. */
static bool duplicate_slug(struct err *e)
{
	(void)err_set(e, ERR_CONFLICT, "duplicate_slug", "Duplicated function slug");
	return err_hint(e, "The function exists already: update it, or choose another slug.");
}

/* The active version of the slug; *found tells whether there is one. */
static bool find_current(struct service *s, struct arena *a, const struct deploy_request *req, struct function *current,
			 bool *found, struct err *e)
{
	struct pg_conn *c = NULL;

	if (!pg_acquire(s->pool, &c, e))
		return false;
	*found = function_find_active(c, a, req->project_ref, req->slug, current, e);
	pg_release(c);
	if (!*found && e->kind != ERR_NOT_FOUND)
		return false;
	*e = (struct err)ERR_INIT;
	if (*found && req->expect == EXPECT_NEW)
		return duplicate_slug(e);
	if (req->expected.set && (!*found || req->expected.active_version != current->active_version ||
				  req->expected.updated_at != current->updated_at))
		return err_set(e, ERR_PRECONDITION, NULL, "The function was changed since you read it");
	if (!*found && req->expect == EXPECT_EXISTING)
		return err_set(e, ERR_NOT_FOUND, "function_not_found", "Function not found");
	/* A new function is no error, neither for the caller nor for the log. */
	*e = (struct err)ERR_INIT;
	return true;
}

/* Adds to the staged files what the release needs, so that it can be published as it is. */
static bool complete_staging(struct service *s, const struct deploy_request *req, const struct version *v,
			     struct err *e)
{
	struct staging *st = upload_staging(req->upload);

	if (v->kind == KIND_SOURCE && !preflight_run(s, st, v->entrypoint, e))
		return false;
	return v->kind == KIND_ESZIP ? release_add_bundle(st, ESZIP_FILE, v->entrypoint, s->cfg->max_eszip_bytes, e)
				     : release_add_shim(st, v->entrypoint, v->import_map, e);
}

/* One transaction: blobs, the function's row, the version, its deployment. */
static bool store_version(struct service *s, struct arena *a, const struct actor *who, const struct deploy_request *req,
			  const struct file_list *files, struct rollout_item *out, struct version *v, struct err *e)
{
	const char *name = req->name != NULL ? req->name : req->slug;
	char new_id[CRYPTO_UUID_SIZE];
	struct pg_conn *c = NULL;
	bool ok = false;

	crypto_uuid(new_id);
	crypto_uuid(out->deployment_id);
	if (!pg_acquire(s->pool, &c, e))
		return false;
	/* The activation's commit, which waits for the disk, covers this one; a bundle is answered for right after it.
	 */
	if (req->bundle_only || req->respond_async ? !pg_begin(c, e) : !pg_begin_lazy(c, e))
		goto out;
	if (!blob_store(c, a, files, upload_read, req->upload, e) ||
	    !function_next_version(c, a, req->project_ref, req->slug, name, new_id, &out->function, e))
		goto out;
	v->number = out->function.latest_version;
	v->name = req->name != NULL ? req->name : out->function.name;
	if (!version_insert(c, a, out->function.id, v, files, e) ||
	    !deployment_insert(c, a, out->deployment_id, out->function.id, v->number,
			       req->bundle_only ? "bundled" : "pending", service_instance(s), who, e))
		goto out;
	if (req->bundle_only) {
		const struct audit_entry entry = {
			.project_ref = req->project_ref,
			.action = "function.bundle",
			.target = req->slug,
			.outcome = "done",
			.after = arena_printf(a, "%d", v->number),
		};

		if (!audit_write(c, a, who, &entry, e))
			goto out;
	}
	FA_CRASH_POINT("deploy.before_commit");
	ok = pg_commit(c, e);
	FA_CRASH_POINT("deploy.after_commit");
out:
	pg_release(c);
	out->function.version = *v;
	out->name = req->name;
	return ok;
}

/* Tells the deployment's row how it ended; the caller's own error stays as it is. */
static void record_failure(struct service *s, struct arena *a, const char *deployment_id, const struct err *why)
{
	struct err ignored = ERR_INIT;
	struct pg_conn *c = NULL;

	metrics_count(METRICS_DEPLOYMENT_FAILED, 1);
	log_warn("deployment %s failed: %s", deployment_id, why->message);
	if (!pg_acquire(s->pool, &c, &ignored) || !deployment_fail(c, a, deployment_id, why, &ignored))
		log_warn("deployment %s: its failure could not be recorded; the sweep does it", deployment_id);
	pg_release(c);
}

static bool publish(struct arena *a, const struct deploy_request *req, const struct version *v, struct err *e)
{
	struct staging *st = upload_staging(req->upload);
	char *release = folder_release_name(a, v->number, v->digest);

	if (release == NULL)
		return err_no_memory(e);
	/* The database keeps the bundle as it was uploaded; the runtime reads what was inside. */
	if (v->kind == KIND_ESZIP && !staging_remove(st, ESZIP_FILE, e))
		return false;
	/* The activation syncs it, together with the others of its call, or builds it anew. */
	if (req->bundle_only) {
		staging_wait(st, req->slug, release);
		return true;
	}
	return staging_publish(st, req->slug, release, e);
}

/* From the stored version to its answer. The caller holds the function. */
static bool bring_out(struct service *s, struct arena *a, const struct actor *who, const struct deploy_request *req,
		      struct rollout *rollout, struct deploy_result *out, struct err *e)
{
	struct rollout_item *item = rollout->items;
	const struct version *v = &item->function.version;

	if (service_shows(s) && !publish(a, req, v, e)) {
		record_failure(s, a, item->deployment_id, e);
		return false;
	}
	FA_CRASH_POINT("deploy.published");
	if (!req->bundle_only) {
		item->expected = req->expected;
		item->adopts = req->adopts;
		/* Of several that create one function at once, all found none: the first to become active wins. */
		if (req->expect == EXPECT_NEW)
			item->expected = (struct expectation){.set = true, .updated_at = item->function.updated_at};
		if (req->respond_async && rollout_start(s, who, rollout)) {
			out->accepted = true;
			return true;
		}
		if (!rollout_run(s, a, who, rollout, e))
			return req->expect == EXPECT_NEW && e->kind == ERR_PRECONDITION ? duplicate_slug(e) : false;
		out->function.active_version = v->number;
		out->function.updated_at = rollout->at;
		out->verified = rollout->verified;
	}
	if (req->name != NULL)
		out->function.name = req->name;
	return true;
}

/* The active version is what was uploaded; but whoever deploys means it to answer all calls. */
static bool settle(struct service *s, struct arena *a, const struct actor *who, const struct deploy_request *req,
		   struct function *f, struct err *e)
{
	const struct change_request change = {
		.project_ref = req->project_ref,
		.slug = req->slug,
		.message = req->message,
		.expected = req->expected,
	};
	struct shares shares;
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && function_shares(c, a, f->id, &shares, e);

	pg_release(c);
	if (!ok || shares.count == 0)
		return ok && apply_generation(s, 0, e);
	shares = (struct shares){.items = {{f->active_version, 100}}, .count = 1};
	return change_traffic(s, a, who, &change, &shares, NULL, f, e);
}

/*
 * A bundle is booted by the PUT that activates it together with others, and there one that is incomplete stops them
 * all. Refused at its upload it would not: the CLI goes on and activates the others without it.
 */
static bool is_checked_later(const struct service *s, const struct deploy_request *req)
{
	return req->bundle_only && s->probe != NULL;
}

bool deploy_run(struct service *s, struct arena *a, const struct actor *who, const struct deploy_request *req,
		struct deploy_result *out, struct err *e)
{
	struct rollout_item item = {.name = req->name};
	struct rollout rollout = {
		.project_ref = req->project_ref,
		.items = &item,
		.count = 1,
		.source = req->source != NULL ? req->source : "deploy",
		.action = "function.deploy",
		.message = req->message,
	};
	struct function current;
	struct file_list files;
	struct version v;
	bool found = false;
	bool ok;

	*out = (struct deploy_result){0};
	if (!upload_files(req->upload, &files, e) || !check_request(req, &files, e) ||
	    !describe_version(s, a, who, req, &files, &v, e) || !find_current(s, a, req, &current, &found, e) ||
	    (!req->adopts && !folder_check_slug(s->folder, req->slug, e)) ||
	    (!is_checked_later(s, req) && !check_imports(s, a, req, &files, e)))
		return false;
	out->created = !found;
	v.verify_jwt =
		req->verify_jwt == VERIFY_KEEP ? !found || current.version.verify_jwt : req->verify_jwt == VERIFY_ON;
	/* An upload says nothing of limits and the like: they stay as they are. */
	if (found)
		v.settings = current.version.settings;
	if (!digest_version(a, &v, &files, e))
		return false;
	if (found && memcmp(v.digest, current.version.digest, sizeof v.digest) == 0 &&
	    (req->name == NULL || text_eq(req->name, current.name))) {
		out->function = current;
		out->unchanged = true;
		return req->bundle_only ? apply_generation(s, 0, e) : settle(s, a, who, req, &out->function, e);
	}
	/* The whole release stands in staging, checked, before anything is stored. */
	if (!complete_staging(s, req, &v, e))
		return false;
	FA_CRASH_POINT("deploy.staged");
	if (req->progress != NULL)
		req->progress(req->progress_ctx, "staged");
	/* The disk and the database at the same time. Of an eszip one file goes before it is published. */
	if (service_shows(s) && v.kind == KIND_SOURCE && !req->bundle_only)
		staging_begin_sync(upload_staging(req->upload));
	if (!store_version(s, a, who, req, &files, &item, &v, e))
		return false;
	bell_ring();
	if (req->progress != NULL)
		req->progress(req->progress_ctx, "stored");
	rollout.progress = req->progress;
	rollout.progress_ctx = req->progress_ctx;
	out->function = item.function;
	memcpy(out->deployment_id, item.deployment_id, sizeof out->deployment_id);
	if (!hold_take(s, req->slug, e)) {
		record_failure(s, a, item.deployment_id, e);
		return false;
	}
	ok = bring_out(s, a, who, req, &rollout, out, e);
	bell_ring();
	/* A bundle waits for its activation. */
	hold_drop(s, req->slug, !req->bundle_only);
	return ok;
}

bool deploy_check(struct service *s, struct arena *a, const struct actor *who, const struct deploy_request *req,
		  struct err *e)
{
	struct file_list files;
	struct version v;

	return upload_files(req->upload, &files, e) && check_request(req, &files, e) &&
	       describe_version(s, a, who, req, &files, &v, e) && check_imports(s, a, req, &files, e) &&
	       complete_staging(s, req, &v, e);
}
