#include "service/deploy.h"

#include "core/crypto.h"
#include "core/log.h"
#include "core/names.h"
#include "core/text.h"
#include "fs/bundle.h"
#include "fs/manifest.h"
#include "fs/release.h"
#include "service/apply.h"
#include "service/digest.h"
#include "service/probe.h"
#include "store/audit.h"
#include "store/blob.h"
#include "store/deployment.h"
#include "store/function.h"

#include <stdio.h>
#include <string.h>

/* One version on its way to being active. */
struct candidate {
	struct function function; /* with the version to activate */
	const char *name;
	char deployment_id[CRYPTO_UUID_SIZE];
};

static const char *number_text(struct arena *a, int n)
{
	return n > 0 ? arena_printf(a, "%d", n) : NULL;
}

/* Tells the deployment's row how it ended; the caller's own error stays as it is. */
static void record_failure(struct service *s, struct arena *a, const char *deployment_id, const struct err *why)
{
	struct pg_conn *c = NULL;
	struct err ignored = ERR_INIT;

	log_warn("deployment %s failed: %s", deployment_id, why->message);
	if (!pg_acquire(s->pool, &c, &ignored) || !deployment_fail(c, a, deployment_id, why, &ignored))
		log_warn("deployment %s: its failure could not be recorded; the next start does it", deployment_id);
	pg_release(c);
}

/* Stage, boot */

static bool boot_candidate(struct service *s, struct arena *a, const struct candidate *candidate,
			   struct activation *item, struct err *e)
{
	const struct manifest_version *v;
	json_t *json;
	bool ok;

	if (s->probe == NULL)
		return true;
	v = apply_manifest_version(a, &candidate->function);
	json = v != NULL ? manifest_version_json(v) : NULL;
	if (json == NULL)
		return err_no_memory(e);
	ok = probe_boot(s->probe, candidate->function.slug, json, &item->boot_check, &item->boot_ms, e);
	json_decref(json);
	item->booted_at = service_now();
	return ok;
}

static bool prepare_candidate(struct service *s, struct arena *a, const struct candidate *candidate,
			      struct activation *item, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = folder_check_slug(s->folder, candidate->function.slug, e) && pg_acquire(s->pool, &c, e) &&
		  apply_ensure_release(s, c, a, &candidate->function, e);

	/* Given back before the runtime is asked, which may take its time. */
	pg_release(c);
	item->staged_at = service_now();
	return ok && boot_candidate(s, a, candidate, item, e);
}

/* Activate, show, confirm */

static bool commit_activation(struct service *s, struct arena *a, const struct actor *who, struct activation_set *set,
			      const char *action, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = false;

	if (!pg_acquire(s->pool, &c, e) || !pg_begin(c, e) || !deployment_activate(c, a, set, who, e))
		goto out;
	for (size_t i = 0; i < set->count; i++) {
		const struct audit_entry entry = {
			.project_ref = set->project_ref,
			.action = action,
			.target = set->items[i].slug,
			.outcome = "done",
			.before = number_text(a, set->items[i].version_before),
			.after = number_text(a, set->items[i].version_after),
		};

		if (!audit_write(c, a, who, &entry, e))
			goto out;
	}
	ok = pg_commit(c, e);
out:
	pg_release(c);
	return ok;
}

/* Puts the versions back that were active before, so that database and folder agree again on what is served. */
static void revert_activation(struct service *s, struct arena *a, const struct actor *who,
			      const struct activation_set *set)
{
	struct err failed = ERR_INIT;
	struct activation *items = arena_array(a, set->count, sizeof *items);
	struct activation_set back = {
		.project_ref = set->project_ref,
		.items = items,
		.count = set->count,
		.source = "revert",
		.restore = true,
	};
	bool ok = items != NULL;

	for (size_t i = 0; ok && i < set->count; i++) {
		items[i] = (struct activation){
			.function_id = set->items[i].function_id,
			.slug = set->items[i].slug,
			.version_after = set->items[i].version_before,
		};
	}
	ok = ok && commit_activation(s, a, who, &back, "function.revert", &failed) &&
	     apply_generation(s, back.generation, &failed);
	if (!ok)
		log_error("generation %lld cannot be reverted now: %s", (long long)set->generation, failed.message);
}

static void mark_verified(struct service *s, struct arena *a, const struct activation_set *set)
{
	const char **ids = arena_array(a, set->count, sizeof *ids);
	struct err failed = ERR_INIT;
	struct pg_conn *c = NULL;
	size_t n = 0;

	for (size_t i = 0; ids != NULL && i < set->count; i++)
		if (set->items[i].deployment_id != NULL)
			ids[n++] = set->items[i].deployment_id;
	/* Lazily: a crash may lose the mark, not the fact. */
	if (n > 0 && (!pg_acquire(s->pool, &c, &failed) || !pg_begin_lazy(c, &failed) ||
		      !deployment_verified(c, a, ids, n, &failed) || !pg_commit(c, &failed)))
		log_warn("the runtime's confirmation could not be recorded: %s", failed.message);
	pg_release(c);
}

/* From "ready" to "served", or back to what was before. */
static bool activate(struct service *s, struct arena *a, const struct actor *who, struct activation_set *set,
		     const char *action, bool *verified, struct err *e)
{
	*verified = false;
	if (!commit_activation(s, a, who, set, action, e))
		return false;
	if (!apply_generation(s, set->generation, e)) {
		revert_activation(s, a, who, set);
		return false;
	}
	if (s->probe == NULL)
		return true;
	if (!probe_wait_generation(s->probe, set->project_ref, set->generation, e)) {
		revert_activation(s, a, who, set);
		return false;
	}
	*verified = true;
	mark_verified(s, a, set);
	return true;
}

static void prune(struct service *s, const struct function *f)
{
	struct arena *a = arena_new(0);
	struct err failed = ERR_INIT;
	char *active = a != NULL ? folder_active_release(s->folder, a, f->slug) : NULL;

	if (active != NULL &&
	    !folder_prune_releases(s->folder, f->slug, active, (size_t)s->cfg->max_disk_releases, &failed))
		log_warn("%s: old releases cannot be removed: %s", f->slug, failed.message);
	arena_free(a);
}

/* Stages and boots each, then activates all in one generation. */
static bool roll_out(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
		     struct candidate *candidates, size_t count, const char *message, bool *verified, struct err *e)
{
	struct activation *items = arena_array(a, count, sizeof *items);
	struct activation_set set = {
		.project_ref = project_ref,
		.items = items,
		.count = count,
		.source = "deploy",
		.message = message,
	};
	bool ok = items != NULL || err_no_memory(e);

	for (size_t i = 0; ok && i < count; i++) {
		items[i] = (struct activation){
			.function_id = candidates[i].function.id,
			.slug = candidates[i].function.slug,
			.name = candidates[i].name,
			.version_after = candidates[i].function.version.number,
			.deployment_id = candidates[i].deployment_id,
		};
		ok = prepare_candidate(s, a, &candidates[i], &items[i], e);
		if (!ok && count > 1)
			(void)err_prefix(e, "%s", candidates[i].function.slug);
	}
	ok = ok && activate(s, a, who, &set, "function.deploy", verified, e);
	if (!ok) {
		for (size_t i = 0; i < count; i++)
			record_failure(s, a, candidates[i].deployment_id, e);
		return false;
	}
	for (size_t i = 0; i < count; i++)
		prune(s, &candidates[i].function);
	log_info("generation %lld is %s", (long long)set.generation, *verified ? "served" : "active");
	return true;
}

/* A new version */

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

/* Static patterns are globs; "./x" means "x", and none may lead out of the upload. */
static const char **clean_patterns(struct arena *a, const char *const *patterns, int64_t max_path, struct err *e)
{
	const char **out;
	size_t count = 0;

	while (patterns != NULL && patterns[count] != NULL)
		count++;
	out = arena_array(a, count + 1, sizeof *out);
	if (out == NULL) {
		(void)err_no_memory(e);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		out[i] = text_starts(patterns[i], "./") ? patterns[i] + 2 : patterns[i];
		if (!bundle_check_path(out[i], (size_t)max_path, e)) {
			(void)err_prefix(e, "static_patterns");
			return NULL;
		}
	}
	return out;
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
		.source = "deploy",
		.created_by = who->name,
		.created_at = service_now(),
	};
	v->static_patterns = clean_patterns(a, req->static_patterns, s->cfg->max_path_bytes, e);
	if (v->static_patterns == NULL)
		return false;
	return v->kind == KIND_SOURCE || check_bundle_digest(a, req, files, v, e);
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
	if (*found && req->expect == EXPECT_NEW) {
		/* The CLI looks for these very words and then sends an update instead. */
		(void)err_set(e, ERR_CONFLICT, "duplicate_slug", "Duplicated function slug");
		return err_hint(e, "The function exists already: update it, or choose another slug.");
	}
	if (!*found && req->expect == EXPECT_EXISTING)
		return err_set(e, ERR_NOT_FOUND, "function_not_found", "Function not found");
	return true;
}

/* Adds to the staged files what the release needs, so that it can be published as it is. */
static bool complete_staging(struct service *s, const struct deploy_request *req, const struct version *v,
			     struct err *e)
{
	struct staging *st = upload_staging(req->upload);

	return v->kind == KIND_ESZIP ? release_add_bundle(st, ESZIP_FILE, v->entrypoint, s->cfg->max_eszip_bytes, e)
				     : release_add_shim(st, v->entrypoint, v->import_map, e);
}

/* One transaction: blobs, the function's row, the version, its deployment. */
static bool store_version(struct service *s, struct arena *a, const struct actor *who, const struct deploy_request *req,
			  const struct file_list *files, struct candidate *out, struct version *v, struct err *e)
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
	if (req->bundle_only ? !pg_begin(c, e) : !pg_begin_lazy(c, e))
		goto out;
	if (!blob_store(c, a, files, upload_read, req->upload, e) ||
	    !function_next_version(c, a, req->project_ref, req->slug, name, new_id, &out->function, e))
		goto out;
	v->number = out->function.latest_version;
	v->name = req->name != NULL ? req->name : out->function.name;
	if (!version_insert(c, a, out->function.id, v, files, e) ||
	    !deployment_insert(c, a, out->deployment_id, out->function.id, v->number,
			       req->bundle_only ? "bundled" : "pending", who, e))
		goto out;
	if (req->bundle_only) {
		const struct audit_entry entry = {
			.project_ref = req->project_ref,
			.action = "function.bundle",
			.target = req->slug,
			.outcome = "done",
			.after = number_text(a, v->number),
		};

		if (!audit_write(c, a, who, &entry, e))
			goto out;
	}
	ok = pg_commit(c, e);
out:
	pg_release(c);
	out->function.version = *v;
	out->name = req->name;
	return ok;
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
	return staging_publish(st, req->slug, release, e);
}

bool deploy_run(struct service *s, struct arena *a, const struct actor *who, const struct deploy_request *req,
		struct deploy_result *out, struct err *e)
{
	struct candidate candidate = {.name = req->name};
	struct function current;
	struct file_list files;
	struct version v;
	bool found = false;

	*out = (struct deploy_result){0};
	if (!upload_files(req->upload, &files, e) || !check_request(req, &files, e) ||
	    !describe_version(s, a, who, req, &files, &v, e) || !find_current(s, a, req, &current, &found, e) ||
	    !folder_check_slug(s->folder, req->slug, e))
		return false;
	out->created = !found;
	v.verify_jwt =
		req->verify_jwt == VERIFY_KEEP ? !found || current.version.verify_jwt : req->verify_jwt == VERIFY_ON;
	if (!digest_version(&v, &files, e))
		return false;
	if (found && memcmp(v.digest, current.version.digest, sizeof v.digest) == 0 &&
	    (req->name == NULL || text_eq(req->name, current.name))) {
		out->function = current;
		out->unchanged = true;
		return apply_generation(s, 0, e);
	}
	/* The whole release stands in staging, checked, before anything is stored. */
	if (!complete_staging(s, req, &v, e) || !store_version(s, a, who, req, &files, &candidate, &v, e))
		return false;
	out->function = candidate.function;
	if (!publish(a, req, &v, e)) {
		record_failure(s, a, candidate.deployment_id, e);
		return false;
	}
	if (!req->bundle_only && !roll_out(s, a, who, req->project_ref, &candidate, 1, req->message, &out->verified, e))
		return false;
	if (!req->bundle_only)
		out->function.active_version = v.number;
	if (req->name != NULL)
		out->function.name = req->name;
	out->function.updated_at = service_now();
	return true;
}

/* Many at once */

/* Makes the chosen version one that is like it but for verify_jwt: versions themselves never change. */
static bool derive_version(struct pg_conn *c, struct arena *a, const struct actor *who, struct function *f,
			   bool verify_jwt, struct err *e)
{
	struct version *v = &f->version;
	struct function numbered;
	struct file_list files;

	v->verify_jwt = verify_jwt;
	v->source_version = v->number;
	v->created_by = who->name;
	v->created_at = service_now();
	if (!version_files(c, a, f->id, v->number, &files, e) || !digest_version(v, &files, e) ||
	    !function_next_version(c, a, f->project_ref, f->slug, f->name, f->id, &numbered, e))
		return false;
	v->number = numbered.latest_version;
	return version_insert(c, a, f->id, v, &files, e);
}

static bool choose(struct arena *a, struct pg_conn *c, const struct actor *who, const char *project_ref,
		   const struct deploy_choice *choice, struct candidate *out, struct err *e)
{
	struct function *f = &out->function;
	bool verify = choice->verify_jwt == VERIFY_ON;

	out->name = choice->name;
	crypto_uuid(out->deployment_id);
	if (choice->name != NULL && !names_check_name(choice->name, e))
		return false;
	if (!function_find_version(c, a, project_ref, choice->slug, choice->version, f, e)) {
		if (e->kind == ERR_NOT_FOUND)
			return err_set(e, ERR_NOT_FOUND, "version_not_found", "Function %s has no version %d",
				       choice->slug, choice->version);
		return false;
	}
	if (choice->id != NULL && !text_eq(choice->id, f->id))
		return err_set(e, ERR_CONFLICT, "id_mismatch", "Function %s has another id than the one given",
			       choice->slug);
	if (choice->verify_jwt != VERIFY_KEEP && verify != f->version.verify_jwt &&
	    !derive_version(c, a, who, f, verify, e))
		return false;
	return deployment_insert(c, a, out->deployment_id, f->id, f->version.number, "pending", who, e);
}

static bool choose_all(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
		       const struct deploy_choice *choices, size_t count, struct candidate *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && pg_begin_lazy(c, e);

	for (size_t i = 0; ok && i < count; i++)
		ok = choose(a, c, who, project_ref, &choices[i], &out[i], e);
	ok = ok && pg_commit(c, e);
	pg_release(c);
	return ok;
}

bool deploy_activate_many(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
			  const struct deploy_choice *choices, size_t count, const char *message, struct function **out,
			  struct err *e)
{
	struct candidate *candidates = arena_array(a, count, sizeof *candidates);
	bool verified = false;

	*out = arena_array(a, count, sizeof **out);
	if (candidates == NULL || *out == NULL)
		return err_no_memory(e);
	if (count == 0)
		return true;
	if (!choose_all(s, a, who, project_ref, choices, count, candidates, e) ||
	    !roll_out(s, a, who, project_ref, candidates, count, message, &verified, e))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct function *f = &(*out)[i];

		*f = candidates[i].function;
		f->active_version = f->version.number;
		f->updated_at = service_now();
		if (choices[i].name != NULL)
			f->name = choices[i].name;
	}
	return true;
}

/* Removing */

bool deploy_remove(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
		   const char *slug, struct err *e)
{
	static const char *const keep_none[] = {NULL};
	struct activation item = {.slug = slug};
	struct activation_set set = {.project_ref = project_ref, .items = &item, .count = 1, .source = "delete"};
	struct err ignored = ERR_INIT;
	struct pg_conn *c = NULL;
	struct function f;
	bool verified = false;
	bool found = pg_acquire(s->pool, &c, e) && function_find_active(c, a, project_ref, slug, &f, e);

	pg_release(c);
	if (!found)
		return false;
	item.function_id = f.id;
	if (!activate(s, a, who, &set, "function.delete", &verified, e))
		return false;
	if (!folder_remove_releases(s->folder, slug, keep_none, &ignored))
		log_warn("%s: its releases cannot be removed now: %s", slug, ignored.message);
	return true;
}
