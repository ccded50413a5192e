#include "store/migrate.h"

#include "cmd/cmd.h"
#include "core/text.h"
#include "service/service.h"
#include "store/project.h"
#include "store/role.h"

#include <stdio.h>

static const char help[] =
	"Usage: functions-admin migrate [--status] [--json] [--config FILE] [--OPTION VALUE]...\n"
	"\n"
	"Brings the database's schema (functions_admin) to what this program needs. Safe to repeat, and to run\n"
	"from several places at once.\n"
	"\n"
	"  --status  only says where the database stands; exit status 1 where something is to be done\n"
	"  --json    prints the result as JSON\n";

struct progress {
	bool quiet;
	int count;
};

static void applied(void *ctx, int version, const char *name)
{
	struct progress *p = ctx;

	(void)version;
	p->count++;
	if (!p->quiet)
		(void)printf("applied %s\n", name);
}

static bool report(const struct migrate_status *status, int count, bool json, struct err *e)
{
	if (json)
		return cmd_print_json(json_pack("{s:i, s:i, s:i}", "schema", status->applied, "needed", status->known,
						"applied", count),
				      e);
	(void)printf("schema %d, this program needs %d%s\n", status->applied, status->known,
		     status->applied >= status->known ? ": up to date" : "");
	return true;
}

/* Who may not make roles has migrated all the same; only the service then has more rights than it needs. */
static bool tell_role(const struct config *cfg, struct pg_conn *c, struct arena *a, struct err *e)
{
	struct role_status role;

	if (cfg->db_role == NULL || cfg->db_role[0] == '\0')
		return true;
	if (!role_status(c, a, cfg->db_role, &role, e))
		return false;
	if (!role.usable)
		(void)printf("note: %s cannot take the role %s, so serve will work with all of its rights "
			     "(docs/operations.md: "
			     "the service's role)\n",
			     role.user, cfg->db_role);
	return true;
}

/* Several at once are kept apart by a lock of their sessions. */
static bool check_session(const struct service *s, struct err *e)
{
	if (pg_pool_keeps_sessions(s->pool))
		return true;
	(void)err_set(e, ERR_CONFIG, NULL,
		      "migrate needs a session of the server, and db_pooling = transaction gives none");
	return err_hint(e, "Run it with db_pooling = session, with the address of PostgreSQL itself or of a pooler in "
			   "session mode.");
}

static bool migrate(struct service *s, struct pg_conn *c, struct arena *a, bool only_status, bool json,
		    int *exit_status, struct err *e)
{
	const struct config *cfg = s->cfg;
	struct progress p = {.quiet = json};
	struct migrate_status status;

	if (!only_status && !check_session(s, e))
		return false;
	if (!only_status && !migrate_run(c, a, applied, &p, e))
		return false;
	/* The project that this installation is about is there as soon as its tables are. */
	if (!only_status && cfg->project_ref != NULL && !project_ensure(c, a, cfg->project_ref, cfg->project_name, e))
		return false;
	if (!migrate_get_status(c, a, &status, e))
		return false;
	*exit_status = only_status && status.applied < status.known;
	if (!report(&status, p.count, json, e))
		return false;
	return json || only_status || tell_role(cfg, c, a, e);
}

int cmd_migrate(int argc, char **argv)
{
	static const char *const own[] = {"--help", "--status", "--json", NULL};
	struct config *cfg = NULL;
	struct service *s = NULL;
	struct pg_conn *c = NULL;
	struct arena *a = arena_new(0);
	struct err e = ERR_INIT;
	int status = 0;
	bool only_status;
	bool json;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		arena_free(a);
		return 0;
	}
	only_status = cmd_flag(&argc, argv, "--status");
	json = cmd_flag(&argc, argv, "--json");
	if (a == NULL)
		(void)err_no_memory(&e);
	else if (config_load(&cfg, &argc, argv, own, &e) && cmd_no_more(argc, argv, &e) &&
		 service_open(&s, cfg, 1, &e) && pg_acquire(s->pool, &c, &e))
		(void)migrate(s, c, a, only_status, json, &status, &e);
	if (e.kind != ERR_NONE)
		status = cmd_fail(&e);
	pg_release(c);
	service_close(s);
	config_free(cfg);
	arena_free(a);
	return status;
}
