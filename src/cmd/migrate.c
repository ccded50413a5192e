#include "store/migrate.h"

#include "cmd/cmd.h"
#include "core/text.h"
#include "service/ownership.h"
#include "store/project.h"
#include "store/role.h"

#include <stdio.h>

static const char help[] =
	"Usage: functions-admin migrate [--status] [--replace-master-key] [--json] [--config FILE] [--OPTION "
	"VALUE]...\n"
	"\n"
	"Brings the database's schema (functions_admin) to what this program needs. Safe to repeat, and to run\n"
	"from several places at once.\n"
	"\n"
	"  --status              only says where the database stands; exit status 1 where something is to be done\n"
	"  --replace-master-key  takes over a database of an installation with another master_key, which is else "
	"refused;\n"
	"                        access tokens, sealed secrets and audit entries of that key are of no use then\n"
	"  --json                prints the result as JSON\n";

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

/* What the command line says. */
struct asked {
	bool only_status;
	bool replace;
	bool json;
};

static bool migrate(struct service *s, struct pg_conn *c, struct arena *a, const struct asked *q, int *exit_status,
		    struct err *e)
{
	const struct config *cfg = s->cfg;
	struct progress p = {.quiet = q->json};
	struct migrate_status status;

	if (!q->only_status && !check_session(s, e))
		return false;
	if (!q->only_status && !migrate_run(c, a, applied, &p, e))
		return false;
	/* The project that this installation is about is there as soon as its tables are. */
	if (!q->only_status && cfg->project_ref != NULL &&
	    !project_ensure(c, a, cfg->project_ref, cfg->project_name, e))
		return false;
	if (!migrate_get_status(c, a, &status, e))
		return false;
	*exit_status = q->only_status && status.applied < status.known;
	if (!report(&status, p.count, q->json, e))
		return false;
	return q->json || q->only_status || tell_role(cfg, c, a, e);
}

/* The mark that says whose database it is comes last: before, its table may not be there. */
static bool run(struct service *s, struct arena *a, const struct asked *q, int *exit_status, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && migrate(s, c, a, q, exit_status, e);

	pg_release(c);
	if (!ok || q->only_status)
		return ok;
	return q->replace ? ownership_take(s, e) : ownership_claim(s, e);
}

int cmd_migrate(int argc, char **argv)
{
	static const char *const own[] = {"--help", "--status", "--replace-master-key", "--json", NULL};
	struct config *cfg = NULL;
	struct service *s = NULL;
	struct arena *a = arena_new(0);
	struct err e = ERR_INIT;
	struct asked q;
	int status = 0;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		arena_free(a);
		return 0;
	}
	q.only_status = cmd_flag(&argc, argv, "--status");
	q.replace = cmd_flag(&argc, argv, "--replace-master-key");
	q.json = cmd_flag(&argc, argv, "--json");
	if (a == NULL)
		(void)err_no_memory(&e);
	if (a == NULL || !config_load(&cfg, &argc, argv, own, &e) || !cmd_no_more(argc, argv, &e) ||
	    !(q.replace ? service_open(&s, cfg, 1, &e) : cmd_open(&s, cfg, &e)) || !run(s, a, &q, &status, &e))
		status = cmd_fail(&e);
	service_close(s);
	config_free(cfg);
	arena_free(a);
	return status;
}
