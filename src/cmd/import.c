#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "core/text.h"

#include <stdio.h>

static const char help[] =
	"Usage: functions-admin import [NAME] [--dry-run] [--no-verify-jwt] [--message TEXT] [--project REF] [--json]\n"
	"                              [--config FILE] [--OPTION VALUE]...\n"
	"\n"
	"Makes functions of the directories that lie in the functions folder already: version 1 of each has its files, "
	"its\n"
	"deno.json or import map, and the shared files that it imports. It goes on serving without interruption, and "
	"the\n"
	"directory is kept below .functions-admin/adopted/. The service must be running. Exit status 1 where "
	"something\n"
	"was refused.\n"
	"\n"
	"  NAME             only this one\n"
	"  --dry-run        only says what would be imported, what not, and why; nothing is changed\n"
	"  --no-verify-jwt  calls need no JWT; else they do, as on Supabase's own platform\n";

static void show_item(const json_t *item)
{
	const json_t *left_out = json_object_get(item, "left_out");
	const char *outcome = cmd_text(item, "outcome");
	json_int_t files = json_integer_value(json_object_get(item, "files"));
	json_int_t bytes = json_integer_value(json_object_get(item, "bytes"));
	size_t i;
	json_t *each;

	if (json_object_get(item, "files") != NULL)
		(void)printf("%-9s %s: %lld file%s, %lld bytes, entry %s%s%s%s\n", outcome, cmd_text(item, "name"),
			     (long long)files, files == 1 ? "" : "s", (long long)bytes,
			     cmd_text(item, "entrypoint_path"),
			     json_object_get(item, "import_map_path") != NULL ? ", import map " : "",
			     cmd_text(item, "import_map_path"),
			     json_is_true(json_object_get(item, "verify_jwt")) ? "" : ", no JWT needed");
	else
		(void)printf("%-9s %s: %s\n", outcome, cmd_text(item, "name"), cmd_text(item, "reason"));
	if (json_object_get(item, "hint") != NULL)
		(void)printf("%-9s HINT: %s\n", "", cmd_text(item, "hint"));
	json_array_foreach (left_out, i, each)
		(void)printf("%-9s left out %s: %s\n", "", cmd_text(each, "path"), cmd_text(each, "reason"));
	if (json_object_get(item, "kept_at") != NULL)
		(void)printf("%-9s its old directory is kept in %s\n", "", cmd_text(item, "kept_at"));
}

/* *refused: how many of them. */
static bool run(struct service *s, const struct config *cfg, const char *ref, json_t *body, bool json,
		json_int_t *refused, struct err *e)
{
	json_t *answer;
	json_t *item;
	size_t i;

	if (!ask(s, cfg, "functions-admin import", "POST", ref, "/functions/import", body, &answer, e))
		return false;
	*refused = json_integer_value(json_object_get(answer, "refused"));
	if (json)
		return cmd_print_json(answer, e);
	json_array_foreach (json_object_get(answer, "items"), i, item)
		show_item(item);
	(void)printf("%s: %lld; refused: %lld\n",
		     json_is_true(json_object_get(answer, "dry_run")) ? "would be imported" : "imported",
		     (long long)json_integer_value(json_object_get(answer, "imported")), (long long)*refused);
	json_decref(answer);
	return true;
}

int cmd_import(int argc, char **argv)
{
	static const char *const own[] = {"--help",     "--dry-run",  "--json", "--no-verify-jwt",
					  "--message=", "--project=", NULL};
	struct service *service = NULL;
	struct config *cfg = NULL;
	struct err e = ERR_INIT;
	json_int_t refused = 0;
	const char *message;
	const char *ref;
	json_t *body;
	int status = 0;
	bool json;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		return 0;
	}
	body = json_pack("{s:b, s:b}", "dry_run", cmd_flag(&argc, argv, "--dry-run"), "verify_jwt",
			 !cmd_flag(&argc, argv, "--no-verify-jwt"));
	json = cmd_flag(&argc, argv, "--json");
	ref = cmd_value(&argc, argv, "--project");
	message = cmd_value(&argc, argv, "--message");
	if (message != NULL)
		(void)json_object_set_new(body, "message", json_string(message));
	if (config_load(&cfg, &argc, argv, own, &e) && argc > 1 && argv[1][0] != '-') {
		(void)json_object_set_new(body, "name", json_string(argv[1]));
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	if (e.kind != ERR_NONE || !cmd_no_more(argc, argv, &e) || !cmd_open(&service, cfg, &e) ||
	    !run(service, cfg, ref != NULL ? ref : "default", body, json, &refused, &e))
		status = cmd_fail(&e);
	else if (refused > 0)
		status = 1;
	json_decref(body);
	service_close(service);
	config_free(cfg);
	return status;
}
