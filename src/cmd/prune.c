#include "cmd/cmd.h"
#include "core/text.h"
#include "service/function.h"
#include "service/retention.h"

#include <stdio.h>

static const char help[] =
	"Usage: functions-admin prune [--dry-run] [--project REF] [--json] [--config FILE] [--OPTION VALUE]...\n"
	"\n"
	"Removes from the database what the project's retention setting keeps no longer: old versions, functions that "
	"were\n"
	"deleted long ago, and contents that no version has. The service does the same once an hour.\n"
	"\n"
	"  --dry-run  only says what would go\n";

struct prune {
	struct config *cfg;
	struct service *service;
	struct arena *arena;
	json_t *versions; /* NULL: print as text */
};

static void show(void *ctx, const char *slug, int version, int64_t size)
{
	struct prune *p = ctx;

	if (p->versions != NULL)
		(void)json_array_append_new(p->versions, json_pack("{s:s, s:i, s:I}", "slug", slug, "version", version,
								   "size", (json_int_t)size));
	else
		(void)printf("%s version %d, %lld bytes\n", slug, version, (long long)size);
}

static bool run(struct prune *p, const char *ref, bool dry, struct err *e)
{
	struct retention_report report;
	struct project project;

	if (!function_project(p->service, p->arena, ref, &project, e) ||
	    !retention_run(p->service, project.ref, dry, show, p, &report, e))
		return false;
	if (p->versions != NULL)
		return cmd_print_json(json_pack("{s:b, s:O, s:I, s:I, s:I}", "dry_run", dry, "versions", p->versions,
						"functions", (json_int_t)report.functions, "blobs",
						(json_int_t)report.blobs, "blob_bytes", (json_int_t)report.blob_bytes),
				      e);
	(void)printf("%s: %lld versions, %lld deleted functions, %lld contents (%lld bytes)\n",
		     dry ? "would be removed" : "removed", (long long)report.versions, (long long)report.functions,
		     (long long)report.blobs, (long long)report.blob_bytes);
	return true;
}

int cmd_prune(int argc, char **argv)
{
	static const char *const own[] = {"--help", "--dry-run", "--json", "--project=", NULL};
	struct prune p = {.arena = arena_new(0)};
	struct err e = ERR_INIT;
	const char *ref;
	int status = 0;
	bool dry;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		arena_free(p.arena);
		return 0;
	}
	dry = cmd_flag(&argc, argv, "--dry-run");
	if (cmd_flag(&argc, argv, "--json"))
		p.versions = json_array();
	ref = cmd_value(&argc, argv, "--project");
	if (p.arena == NULL)
		(void)err_no_memory(&e);
	if (p.arena == NULL || !config_load(&p.cfg, &argc, argv, own, &e) || !cmd_no_more(argc, argv, &e) ||
	    !cmd_open(&p.service, p.cfg, &e) || !run(&p, ref != NULL ? ref : "default", dry, &e))
		status = cmd_fail(&e);
	json_decref(p.versions);
	service_close(p.service);
	config_free(p.cfg);
	arena_free(p.arena);
	return status;
}
