#include "store/migrate.h"

#include "core/crash.h"
#include "core/crypto.h"
#include "core/embedded.h"
#include "core/log.h"
#include "core/text.h"

#include <string.h>

/* An arbitrary number that is ours: "fa_migr" in ASCII. */
#define ADVISORY_LOCK "28728020124199794"

static const struct pg_stmt schema_exists = {
	"migrate_exists",
	"SELECT to_regclass('functions_admin.schema_migrations') IS NOT NULL",
};
static const struct pg_stmt select_applied = {
	"migrate_applied",
	"SELECT version::int4, name::text, checksum FROM functions_admin.schema_migrations ORDER BY version",
};
static const struct pg_stmt insert_applied = {
	"migrate_insert",
	"INSERT INTO functions_admin.schema_migrations (version, name, checksum) VALUES ($1::int4, $2, $3)",
};

/* What no migration can do, since the list of migrations itself lives there. Safe to repeat. */
static const char bootstrap[] = "CREATE SCHEMA IF NOT EXISTS functions_admin;"
				"CREATE TABLE IF NOT EXISTS functions_admin.schema_migrations ("
				"  version integer PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL, "
				"applied_at timestamptz NOT NULL DEFAULT now());";

/* Nobody but the owner, whatever the cluster's default privileges say. With each migration, and with each run, since a
 * restored backup has what they give. Whoever does not own the schema changes nothing. */
static const char revoke[] = "DO $$ DECLARE r text; BEGIN"
			     "  IF NOT pg_catalog.pg_has_role((SELECT nspowner FROM pg_catalog.pg_namespace"
			     "    WHERE nspname = 'functions_admin'), 'USAGE') THEN RETURN; END IF;"
			     "  FOREACH r IN ARRAY ARRAY['public', 'anon', 'authenticated'] LOOP"
			     "    IF r = 'public' OR EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r) THEN"
			     "      EXECUTE format('REVOKE ALL ON SCHEMA functions_admin FROM %1$s;"
			     "        REVOKE ALL ON ALL TABLES IN SCHEMA functions_admin FROM %1$s;"
			     "        REVOKE ALL ON ALL SEQUENCES IN SCHEMA functions_admin FROM %1$s;"
			     "        REVOKE ALL ON ALL FUNCTIONS IN SCHEMA functions_admin FROM %1$s', r);"
			     "    END IF;"
			     "  END LOOP;"
			     "END $$";

/* "0001_functions.sql" -> 1; 0 for a name that is no migration. */
static int version_of(const char *name)
{
	int version = 0;

	if (strlen(name) < 6 || name[4] != '_' || !text_ends(name, ".sql"))
		return 0;
	for (int i = 0; i < 4; i++) {
		if (name[i] < '0' || name[i] > '9')
			return 0;
		version = version * 10 + (name[i] - '0');
	}
	return version;
}

bool migrate_get_status(struct pg_conn *c, struct arena *a, struct migrate_status *out, struct err *e)
{
	struct pg_result *r;

	*out = (struct migrate_status){0};
	for (const struct embedded *f = embedded_files; f->name != NULL; f++)
		if (version_of(f->name) > out->known)
			out->known = version_of(f->name);
	if (!pg_query(c, a, &schema_exists, NULL, &r, e))
		return false;
	if (!pg_get_bool(r, 0, 0))
		return true;
	if (!pg_query(c, a, &select_applied, NULL, &r, e))
		return false;
	/* Up to the first that is missing: another release may have left a gap below its newest. */
	for (const struct embedded *f = embedded_files; f->name != NULL; f++) {
		bool found = false;

		for (int i = 0; i < pg_rows(r) && !found; i++)
			found = pg_get_int(r, i, 0) == version_of(f->name);
		if (version_of(f->name) == 0)
			continue;
		if (!found)
			return true;
		out->applied = version_of(f->name);
	}
	if (pg_rows(r) > 0)
		out->applied = (int)pg_get_int(r, pg_rows(r) - 1, 0);
	return true;
}

/* Where this migration stands in the database: applied and the same, or not applied; a changed one is an error. */
static bool find_applied(const struct pg_result *r, const struct embedded *f, bool *applied, struct err *e)
{
	uint8_t sum[32];

	*applied = false;
	if (!crypto_sha256(f->text, f->len, sum))
		return err_no_memory(e);
	for (int i = 0; i < pg_rows(r); i++) {
		struct pg_bytes b = pg_get_bytes(r, i, 2);

		if (pg_get_int(r, i, 0) != version_of(f->name))
			continue;
		*applied = true;
		if (b.len == sizeof sum && memcmp(b.data, sum, sizeof sum) == 0)
			return true;
		(void)err_set(e, ERR_CONFLICT, "migration_changed", "Migration %s was applied in another form (%s)",
			      f->name, pg_get_text(r, i, 1));
		return err_hint(e, "This binary does not belong to this database. Install the release that made it, or "
				   "a later one.");
	}
	return true;
}

static bool apply(struct pg_conn *c, struct arena *a, const struct embedded *f, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	uint8_t sum[32];
	bool ok;

	if (!crypto_sha256(f->text, f->len, sum))
		return err_no_memory(e);
	pg_int(&p, version_of(f->name));
	pg_text(&p, f->name);
	pg_bytea(&p, sum, sizeof sum);
	ok = pg_begin(c, e) && pg_script(c, f->text, e) && pg_query(c, a, &insert_applied, &p, NULL, e) &&
	     pg_script(c, revoke, e);

	FA_CRASH_POINT("migrate.before_commit");
	if (!ok || !pg_commit(c, e)) {
		pg_rollback(c);
		return err_prefix(e, "migration %s", f->name);
	}
	FA_CRASH_POINT("migrate.after_commit");
	return true;
}

/* A newer release's database has rights that this one does not know, and would take away. */
static bool grant(struct pg_conn *c, struct arena *a, struct err *e)
{
	const struct embedded *f = embedded_find("service_role.sql");
	struct migrate_status status;

	if (!migrate_get_status(c, a, &status, e))
		return false;
	if (f == NULL || status.applied > status.known)
		return true;
	return (pg_script(c, revoke, e) && pg_script(c, f->text, e)) || err_prefix(e, "rights");
}

static bool run_locked(struct pg_conn *c, struct arena *a, void (*applied)(void *ctx, int version, const char *name),
		       void *ctx, struct err *e)
{
	struct pg_result *r;

	if (!pg_query(c, a, &schema_exists, NULL, &r, e))
		return false;
	if (!pg_get_bool(r, 0, 0) && (!pg_script(c, bootstrap, e) || !pg_script(c, revoke, e)))
		return err_prefix(e, "creating the schema");
	FA_CRASH_POINT("migrate.bootstrapped");
	if (!pg_query(c, a, &select_applied, NULL, &r, e))
		return false;
	for (const struct embedded *f = embedded_files; f->name != NULL; f++) {
		bool done = false;

		if (version_of(f->name) == 0)
			continue;
		if (!find_applied(r, f, &done, e))
			return false;
		if (done)
			continue;
		if (!apply(c, a, f, e))
			return false;
		if (applied != NULL)
			applied(ctx, version_of(f->name), f->name);
	}
	return grant(c, a, e);
}

bool migrate_run(struct pg_conn *c, struct arena *a, void (*applied)(void *ctx, int version, const char *name),
		 void *ctx, struct err *e)
{
	struct err second = ERR_INIT;
	bool ok;

	/* A session lock: it outlives the transactions of the single migrations, and a killed process gives it up. */
	if (!pg_without_deadline(c, e) || !pg_script(c, "SELECT pg_catalog.pg_advisory_lock(" ADVISORY_LOCK ")", e))
		return false;
	ok = run_locked(c, a, applied, ctx, e);
	FA_CRASH_POINT("migrate.granted");
	return pg_script(c, "SELECT pg_catalog.pg_advisory_unlock(" ADVISORY_LOCK ")", ok ? e : &second) &&
	       pg_with_deadline(c, ok ? e : &second) && ok;
}
