#include "service/doctor.h"

#include "core/text.h"
#include "service/drift.h"
#include "service/function.h"
#include "service/ownership.h"
#include "service/probe.h"
#include "store/role.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOW_SPACE ((int64_t)256 * 1024 * 1024)

void doctor_say(const struct doctor *d, const char *check, enum verdict verdict, const char *message, const char *hint)
{
	const struct finding f = {.check = check,
				  .verdict = verdict,
				  .message = message != NULL ? message : "out of memory",
				  .hint = verdict != DOCTOR_OK && hint != NULL && hint[0] != '\0' ? hint : NULL};

	d->say(d->ctx, &f);
}

void doctor_say_err(const struct doctor *d, const char *check, const struct err *e)
{
	doctor_say(d, check, DOCTOR_WRONG, e->message, e->hint);
}

json_t *doctor_view(const struct finding *f)
{
	static const char *const words[] = {"ok", "warning", "wrong"};

	return json_pack("{s:s, s:s, s:s, s:s*}", "check", f->check, "verdict", words[f->verdict], "message",
			 f->message, "hint", f->hint);
}

static void check_role(const struct doctor *d)
{
	const char *role = d->cfg->db_role;
	struct pg_conn *c = NULL;
	struct role_status status;
	struct err e = ERR_INIT;
	bool ok;

	ok = pg_acquire(d->service->pool, &c, &e) && role_status(c, d->arena, role != NULL ? role : "", &status, &e);
	pg_release(c);
	if (!ok)
		doctor_say_err(d, "db_role", &e);
	else if (role == NULL || role[0] == '\0')
		doctor_say(
			d, "db_role", DOCTOR_OK,
			arena_printf(
				d->arena,
				"it is empty: serve has all rights of %s; without this option it gives up what it does "
				"not need",
				status.user),
			NULL);
	else if (!status.usable)
		doctor_say(d, "db_role", DOCTOR_WARNING,
			   arena_printf(d->arena, "%s cannot take the role %s: serve has all of its rights",
					status.user, role),
			   arena_printf(d->arena,
					"As a superuser: CREATE ROLE functions_admin_service NOLOGIN; GRANT "
					"functions_admin_service TO %s; then run functions-admin migrate.",
					status.user));
	else
		doctor_say(d, "db_role", status.extra[0] != '\0' ? DOCTOR_WARNING : DOCTOR_OK,
			   status.extra[0] != '\0'
				   ? arena_printf(d->arena, "serve works as %s, and that is too much: %s", role,
						  status.extra)
				   : arena_printf(d->arena, "serve works as %s, with no right but those that it needs",
						  role),
			   "Take the right away (REVOKE, ALTER ROLE); functions-admin migrate sets those on the schema "
			   "anew.");
}

void doctor_database(const struct doctor *d)
{
	struct err e = ERR_INIT;

	if (function_ready(d->service, d->arena, &e)) {
		int version = function_server_version(d->service);

		doctor_say(
			d, "database", version >= 150000 ? DOCTOR_OK : DOCTOR_WRONG,
			arena_printf(d->arena, "PostgreSQL %d.%d, schema up to date", version / 10000, version % 10000),
			"PostgreSQL 15 or later is needed.");
		check_role(d);
		if (!ownership_check(d->service, &e))
			doctor_say_err(d, "master_key", &e);
		return;
	}
	if (e.kind == ERR_UNAVAILABLE && !text_eq(e.code, "schema_outdated"))
		(void)err_hint(
			&e,
			"Check postgres_host, postgres_port, postgres_user and postgres_password, or database_url.");
	doctor_say_err(d, text_eq(e.code, "schema_outdated") ? "schema" : "database", &e);
}

void doctor_folder(const struct doctor *d)
{
	const char *path = d->cfg->functions_dir;
	struct statvfs fs;
	struct stat st;
	int64_t free_bytes;

	if (path == NULL || stat(path, &st) != 0) {
		doctor_say(d, "functions_dir", DOCTOR_WRONG,
			   arena_printf(d->arena, "%s: %s", path != NULL ? path : "(not set)",
					path != NULL ? strerror(errno) : "it is missing"),
			   "Make the directory that the edge runtime mounts, and set functions_dir to it.");
		return;
	}
	if (!S_ISDIR(st.st_mode) || access(path, W_OK | X_OK) != 0) {
		doctor_say(d, "functions_dir", DOCTOR_WRONG,
			   arena_printf(d->arena, "%s belongs to uid %u, mode %04o: not writable for uid %u", path,
					(unsigned)st.st_uid, (unsigned)st.st_mode & 07777, (unsigned)geteuid()),
			   "chown it to the user that functions-admin runs as; the runtime only needs to read it.");
		return;
	}
	free_bytes = statvfs(path, &fs) == 0 ? (int64_t)fs.f_bavail * (int64_t)fs.f_frsize : -1;
	doctor_say(d, "functions_dir", free_bytes >= 0 && free_bytes < LOW_SPACE ? DOCTOR_WARNING : DOCTOR_OK,
		   arena_printf(d->arena, "%s: writable, %lld MiB free", path, (long long)(free_bytes / 1048576)),
		   "Free some space: deploys fail when the volume is full.");
}

void doctor_drift(const struct doctor *d, size_t drifted)
{
	doctor_say(d, "drift", drifted > 0 ? DOCTOR_WARNING : DOCTOR_OK,
		   drifted > 0 ? arena_printf(d->arena, "%zu functions on disk are not what was deployed", drifted)
			       : "the functions on disk are what was deployed",
		   "functions-admin drift shows the changes; drift accept keeps them, drift revert undoes them.");
}

/* What the runtime serves against what the database says. */
static void compare_generation(const struct doctor *d, const char *ref, int64_t generation)
{
	struct project project;
	struct err e = ERR_INIT;

	/* What is wrong with the database is said elsewhere. */
	if (d->service == NULL || !function_project(d->service, d->arena, ref, &project, &e))
		return;
	doctor_say(
		d, "generation", generation == project.generation ? DOCTOR_OK : DOCTOR_WARNING,
		arena_printf(d->arena, "the runtime serves generation %lld, the database is at %lld",
			     (long long)generation, (long long)project.generation),
		"It follows within seconds. If it does not, see whether functions_dir is the folder that the runtime "
		"mounts.");
}

void doctor_runtime(const struct doctor *d, struct probe *probe)
{
	const char *ref = d->cfg->project_ref != NULL ? d->cfg->project_ref : "";
	struct err e = ERR_INIT;
	int64_t generation = 0;
	char project[21];

	if (d->cfg->runtime_url == NULL || d->cfg->runtime_url[0] == '\0') {
		doctor_say(d, "runtime", DOCTOR_WARNING,
			   "runtime_url is not set: deploys end \"active\", and are never \"verified\"",
			   "Set runtime_url to the edge runtime with this project's main service (docs/runtime.md).");
		return;
	}
	if (probe == NULL) {
		doctor_say(d, "runtime", DOCTOR_WARNING, "not asked: there is no runtime token yet",
			   "It is made when the service starts first.");
		return;
	}
	if (!probe_generation(probe, project, &generation, &e)) {
		doctor_say_err(d, "runtime", &e);
		return;
	}
	doctor_say(d, "runtime", text_eq(project, ref) ? DOCTOR_OK : DOCTOR_WRONG,
		   arena_printf(d->arena, "%s serves generation %lld of project %s", d->cfg->runtime_url,
				(long long)generation, project),
		   "runtime_url and functions_dir must belong to the same project.");
	if (text_eq(project, ref))
		compare_generation(d, ref, generation);
}

void doctor_service(const struct doctor *d)
{
	doctor_database(d);
	if (d->service->folder == NULL) {
		doctor_say(d, "functions_dir", DOCTOR_OK, "another process deploys to this project", NULL);
		return;
	}
	doctor_folder(d);
	doctor_drift(d, drift_count(d->service));
	doctor_runtime(d, d->service->probe);
}
