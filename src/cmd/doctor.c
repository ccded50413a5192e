#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "core/text.h"
#include "service/function.h"
#include "service/probe.h"
#include "service/service.h"
#include "store/role.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

static const char help[] =
	"Usage: functions-admin doctor [--json] [--config FILE] [--OPTION VALUE]...\n"
	"\n"
	"Checks configuration, database, schema, functions folder, socket and runtime, and says how to mend what\n"
	"it finds. Changes nothing. Exit status 1 where something is wrong.\n";

#define LOW_SPACE ((int64_t)256 * 1024 * 1024)

enum verdict { GOOD, WARNING, BAD };

struct doctor {
	struct config *cfg;
	struct service *service;
	struct arena *arena;
	json_t *findings; /* NULL: print as text */
	int bad;
};

static void say(struct doctor *d, const char *what, enum verdict verdict, const char *message, const char *hint)
{
	static const char *const words[] = {"ok", "warning", "wrong"};

	d->bad += verdict == BAD;
	if (d->findings != NULL) {
		(void)json_array_append_new(d->findings, json_pack("{s:s, s:s, s:s, s:s*}", "check", what, "verdict",
								   words[verdict], "message", message, "hint",
								   hint != NULL && hint[0] != '\0' ? hint : NULL));
		return;
	}
	(void)printf("%-8s %-14s %s\n", words[verdict], what, message);
	if (verdict != GOOD && hint != NULL && hint[0] != '\0')
		(void)printf("%-8s %-14s HINT: %s\n", "", "", hint);
}

static void say_err(struct doctor *d, const char *what, const struct err *e)
{
	say(d, what, BAD, e->message, e->hint);
}

static void check_database(struct doctor *d)
{
	struct err e = ERR_INIT;

	if (!service_open(&d->service, d->cfg, 1, &e)) {
		say_err(d, "database", &e);
		return;
	}
	if (function_ready(d->service, d->arena, &e)) {
		int version = function_server_version(d->service);

		say(d, "database", version >= 150000 ? GOOD : BAD,
		    arena_printf(d->arena, "PostgreSQL %d.%d, schema up to date", version / 10000, version % 10000),
		    "PostgreSQL 15 or later is needed.");
		return;
	}
	if (e.kind == ERR_UNAVAILABLE && !text_eq(e.code, "schema_outdated"))
		(void)err_hint(
			&e,
			"Check postgres_host, postgres_port, postgres_user and postgres_password, or database_url.");
	say_err(d, text_eq(e.code, "schema_outdated") ? "schema" : "database", &e);
}

static void check_role(struct doctor *d)
{
	const char *role = d->cfg->db_role;
	struct pg_conn *c = NULL;
	struct role_status status;
	struct err e = ERR_INIT;
	bool ok;

	/* What is wrong with the database was said already. */
	if (d->service == NULL || !function_ready(d->service, d->arena, &e))
		return;
	ok = pg_acquire(d->service->pool, &c, &e) && role_status(c, d->arena, role != NULL ? role : "", &status, &e);
	pg_release(c);
	if (!ok)
		say_err(d, "db_role", &e);
	else if (role == NULL || role[0] == '\0')
		say(d, "db_role", GOOD,
		    arena_printf(
			    d->arena,
			    "it is empty: serve has all rights of %s; without this option it gives up what it does "
			    "not need",
			    status.user),
		    NULL);
	else if (!status.usable)
		say(d, "db_role", WARNING,
		    arena_printf(d->arena, "%s cannot take the role %s: serve has all of its rights", status.user,
				 role),
		    arena_printf(d->arena,
				 "As a superuser: CREATE ROLE functions_admin_service NOLOGIN; GRANT "
				 "functions_admin_service TO %s; then run functions-admin migrate.",
				 status.user));
	else
		say(d, "db_role", status.extra[0] != '\0' ? WARNING : GOOD,
		    status.extra[0] != '\0'
			    ? arena_printf(d->arena, "serve works as %s, and that is too much: %s", role, status.extra)
			    : arena_printf(d->arena, "serve works as %s, with no right but those that it needs", role),
		    "Take the right away (REVOKE, ALTER ROLE); functions-admin migrate sets those on the schema anew.");
}

static void check_folder(struct doctor *d)
{
	const char *path = d->cfg->functions_dir;
	struct statvfs fs;
	struct stat st;
	int64_t free_bytes;

	if (path == NULL || stat(path, &st) != 0) {
		say(d, "functions_dir", BAD,
		    arena_printf(d->arena, "%s: %s", path != NULL ? path : "(not set)",
				 path != NULL ? strerror(errno) : "it is missing"),
		    "Make the directory that the edge runtime mounts, and set functions_dir to it.");
		return;
	}
	if (!S_ISDIR(st.st_mode) || access(path, W_OK | X_OK) != 0) {
		say(d, "functions_dir", BAD,
		    arena_printf(d->arena, "%s belongs to uid %u, mode %04o: not writable for uid %u", path,
				 (unsigned)st.st_uid, (unsigned)st.st_mode & 07777, (unsigned)geteuid()),
		    "chown it to the user that functions-admin runs as; the runtime only needs to read it.");
		return;
	}
	free_bytes = statvfs(path, &fs) == 0 ? (int64_t)fs.f_bavail * (int64_t)fs.f_frsize : -1;
	say(d, "functions_dir", free_bytes >= 0 && free_bytes < LOW_SPACE ? WARNING : GOOD,
	    arena_printf(d->arena, "%s: writable, %lld MiB free", path, (long long)(free_bytes / 1048576)),
	    "Free some space: deploys fail when the volume is full.");
}

static void check_socket(struct doctor *d)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *on = d->cfg->listen;
	bool answered;
	int fd;

	if (!text_starts(on, "unix:") || strlen(on + 5) >= sizeof address.sun_path) {
		say(d, "listen", GOOD, arena_printf(d->arena, "%s (not tried)", on), NULL);
		return;
	}
	memcpy(address.sun_path, on + 5, strlen(on + 5) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	answered = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
	say(d, "listen", answered ? GOOD : WARNING,
	    arena_printf(d->arena, answered ? "%s: the service is running" : "%s: the service is not running", on),
	    "Start it: functions-admin serve. If it runs, nginx and it must use the same socket.");
	if (fd >= 0)
		(void)close(fd);
}

/* What the service's last look found: a question that changes nothing, and needs no credential. */
static void check_drift(struct doctor *d)
{
	static const char name[] = "\nfunctions_admin_functions_drifted ";
	struct err e = ERR_INIT;
	const char *metrics = ask_open(d->arena, d->cfg, "/metrics", &e);
	const char *line = metrics != NULL ? strstr(metrics, name) : NULL;
	long drifted = line != NULL ? strtol(line + sizeof name - 1, NULL, 10) : 0;

	/* That it does not run is said above. */
	if (line == NULL)
		return;
	say(d, "drift", drifted > 0 ? WARNING : GOOD,
	    drifted > 0 ? arena_printf(d->arena, "%ld functions on disk are not what was deployed", drifted)
			: "the functions on disk are what was deployed",
	    "functions-admin drift shows the changes; drift accept keeps them, drift revert undoes them.");
}

static const char *read_token(struct doctor *d)
{
	const char *path = arena_printf(d->arena, "%s/.functions-admin/runtime-token", d->cfg->functions_dir);
	char *token = arena_alloc(d->arena, 257);
	FILE *f;

	if (d->cfg->runtime_token != NULL && d->cfg->runtime_token[0] != '\0')
		return d->cfg->runtime_token;
	f = path != NULL && token != NULL ? fopen(path, "re") : NULL;
	if (f == NULL)
		return NULL;
	if (fgets(token, 257, f) != NULL)
		token[strcspn(token, "\r\n")] = '\0';
	(void)fclose(f);
	return token;
}

static void check_runtime(struct doctor *d)
{
	const char *token = d->cfg->functions_dir != NULL ? read_token(d) : NULL;
	struct probe *probe = NULL;
	struct err e = ERR_INIT;
	int64_t generation = 0;
	char project[21];

	if (d->cfg->runtime_url == NULL || d->cfg->runtime_url[0] == '\0') {
		say(d, "runtime", WARNING, "runtime_url is not set: deploys end \"active\", and are never \"verified\"",
		    "Set runtime_url to the edge runtime with this project's main service (docs/runtime.md).");
		return;
	}
	if (token == NULL) {
		say(d, "runtime", WARNING, "not asked: there is no runtime token yet",
		    "It is made when the service starts first.");
		return;
	}
	if (probe_new(&probe, d->cfg->runtime_url, token, d->cfg->boot_timeout, 2000, &e) &&
	    probe_generation(probe, project, &generation, &e))
		say(d, "runtime", d->cfg->project_ref != NULL && text_eq(project, d->cfg->project_ref) ? GOOD : BAD,
		    arena_printf(d->arena, "%s serves generation %lld of project %s", d->cfg->runtime_url,
				 (long long)generation, project),
		    "runtime_url and functions_dir must belong to the same project.");
	else
		say_err(d, "runtime", &e);
	probe_free(probe);
}

static int finish(struct doctor *d, struct err *e)
{
	if (d->findings != NULL) {
		json_t *doc = json_pack("{s:b, s:O}", "healthy", d->bad == 0, "checks", d->findings);

		if (!cmd_print_json(doc, e))
			return cmd_fail(e);
	}
	return d->bad > 0;
}

int cmd_doctor(int argc, char **argv)
{
	static const char *const own[] = {"--help", "--json", NULL};
	struct doctor d = {.arena = arena_new(0)};
	struct err e = ERR_INIT;
	int status;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		arena_free(d.arena);
		return 0;
	}
	if (cmd_flag(&argc, argv, "--json"))
		d.findings = json_array();
	if (d.arena == NULL)
		(void)err_no_memory(&e);
	if (d.arena == NULL || !config_load(&d.cfg, &argc, argv, own, &e) || !cmd_no_more(argc, argv, &e)) {
		/* A wrong value is a finding, and the only one: nothing else can be looked at with it. */
		if (e.kind == ERR_CONFIG && d.arena != NULL) {
			say_err(&d, "configuration", &e);
			status = finish(&d, &e);
		} else {
			status = cmd_fail(&e);
		}
	} else {
		if (config_check_serve(d.cfg, &e))
			say(&d, "configuration", GOOD, "complete", NULL);
		else
			say_err(&d, "configuration", &e);
		check_database(&d);
		check_role(&d);
		check_folder(&d);
		check_socket(&d);
		check_drift(&d);
		check_runtime(&d);
		status = finish(&d, &e);
	}
	json_decref(d.findings);
	service_close(d.service);
	config_free(d.cfg);
	arena_free(d.arena);
	return status;
}
