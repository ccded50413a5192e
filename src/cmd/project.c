#include "service/project.h"

#include "cmd/cmd.h"
#include "core/json.h"
#include "core/text.h"
#include "service/function.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
	"Usage: functions-admin project create --name NAME [--functions-dir DIR] [--runtime-url URL] [--ref REF]\n"
	"       functions-admin project list\n"
	"       functions-admin project show REF\n"
	"       functions-admin project set REF [--name NAME] [--functions-dir DIR] [--runtime-url URL] [--settings "
	"JSON]\n"
	"       functions-admin project delete REF\n"
	"\n"
	"Projects beside the one of the configuration, such as staging beside production. Each has its own folder, "
	"runtime and keys;\n"
	"`create` shows the keys once. A running service takes a new project up within seconds.\n"
	"\n"
	"  --settings  merged into the project's settings, such as {\"retention\": {\"versions\": 50}}\n"
	"  --json      prints the result as JSON\n";

struct projects {
	struct config *cfg;
	struct service *service;
	struct arena *arena;
	bool json;
};

static json_t *describe(const struct project *p)
{
	return json_pack("{s:s, s:s, s:b, s:I, s:s*, s:s*, s:o}", "ref", p->ref, "name", p->name, "default",
			 p->is_default, "generation", (json_int_t)p->generation, "functions_dir", p->functions_dir,
			 "runtime_url", p->runtime_url, "settings", json_loads(p->settings, 0, NULL));
}

static void read_flags(int *argc, char **argv, struct project *p)
{
	p->name = cmd_value(argc, argv, "--name");
	p->functions_dir = cmd_value(argc, argv, "--functions-dir");
	p->runtime_url = cmd_value(argc, argv, "--runtime-url");
}

static bool create(struct projects *ps, int argc, char **argv, struct err *e)
{
	struct project p = {.ref = cmd_value(&argc, argv, "--ref")};
	const char *name;
	json_t *value;
	json_t *keys;
	json_t *doc;

	read_flags(&argc, argv, &p);
	if (p.name == NULL)
		return err_set(e, ERR_USAGE, NULL, "--name is missing");
	if (!cmd_no_more(argc, argv, e) || !project_add(ps->service, ps->arena, cmd_actor(), &p, &keys, e))
		return false;
	if (ps->json) {
		doc = json_pack("{s:s, s:s, s:o}", "ref", p.ref, "name", p.name, "keys", keys);
		return cmd_print_json(doc, e);
	}
	(void)printf("PROJECT_REF=%s\n", p.ref);
	json_object_foreach (keys, name, value)
		(void)printf("%s=%s\n", name, json_string_value(value));
	(void)fprintf(stderr, "Project \"%s\" was created. Its keys are shown this once only.\n", p.name);
	json_decref(keys);
	return true;
}

static bool list(struct projects *ps, int argc, char **argv, struct err *e)
{
	struct project *projects;
	json_t *array = NULL;
	size_t count;

	if (!cmd_no_more(argc, argv, e) || !function_projects(ps->service, ps->arena, NULL, &projects, &count, e))
		return false;
	if (ps->json)
		array = json_array();
	else
		(void)printf("%-20s  %-24s  %-10s  %s\n", "REF", "NAME", "GENERATION", "FUNCTIONS_DIR");
	for (size_t i = 0; i < count; i++) {
		if (array != NULL)
			(void)json_array_append_new(array, describe(&projects[i]));
		else
			(void)printf("%-20s  %-24s  %-10lld  %s\n", projects[i].ref, projects[i].name,
				     (long long)projects[i].generation,
				     projects[i].functions_dir != NULL ? projects[i].functions_dir
				     : projects[i].is_default          ? "(of the configuration)"
								       : "(none)");
	}
	return array == NULL || cmd_print_json(array, e);
}

static bool one_ref(int argc, char **argv, const char **ref, struct err *e)
{
	if (argc != 2)
		return err_set(e, ERR_USAGE, NULL, "%s takes one project's ref", argv[0]);
	*ref = argv[1];
	return true;
}

static bool show_one(struct projects *ps, const char *ref, struct err *e)
{
	struct project found;
	struct project *row;
	size_t count;

	return function_project(ps->service, ps->arena, ref, &found, e) &&
	       function_projects(ps->service, ps->arena, found.ref, &row, &count, e) &&
	       (count == 1 || err_set(e, ERR_NOT_FOUND, NULL, "Project not found")) && cmd_print_json(describe(row), e);
}

static bool show(struct projects *ps, int argc, char **argv, struct err *e)
{
	const char *ref = NULL;

	return one_ref(argc, argv, &ref, e) && show_one(ps, ref, e);
}

static bool set(struct projects *ps, int argc, char **argv, struct err *e)
{
	const char *text = cmd_value(&argc, argv, "--settings");
	json_t *settings = NULL;
	struct project found;
	struct project p = {0};
	const char *ref = NULL;
	json_t *patch;

	read_flags(&argc, argv, &p);
	if (!one_ref(argc, argv, &ref, e) || !function_project(ps->service, ps->arena, ref, &found, e))
		return false;
	p.ref = found.ref;
	if (text != NULL) {
		patch = json_parse(ps->arena, "--settings", text, strlen(text), 65536, e);
		if (patch == NULL)
			return false;
		if (!json_is_object(patch))
			return err_set(e, ERR_USAGE, NULL, "--settings takes a JSON object");
		if (!project_set_settings(ps->service, ps->arena, cmd_actor(), p.ref, patch, &settings, e))
			return false;
		json_decref(settings);
	}
	if ((p.name != NULL || p.functions_dir != NULL || p.runtime_url != NULL) &&
	    !project_change(ps->service, ps->arena, cmd_actor(), &p, e))
		return false;
	return show_one(ps, p.ref, e);
}

static bool delete (struct projects *ps, int argc, char **argv, struct err *e)
{
	const char *ref = NULL;

	if (!one_ref(argc, argv, &ref, e) || !project_drop(ps->service, ps->arena, cmd_actor(), ref, e))
		return false;
	return ps->json ? cmd_print_json(json_pack("{s:s, s:b}", "ref", ref, "deleted", 1), e)
			: printf("deleted %s\n", ref) > 0;
}

static const struct {
	const char *name;
	bool (*run)(struct projects *ps, int argc, char **argv, struct err *e);
} actions[] = {{"create", create}, {"list", list}, {"show", show}, {"set", set}, {"delete", delete}};

static bool run(struct projects *ps, int argc, char **argv, struct err *e)
{
	static const char *const own[] = {
		"--help", "--json", "--name=", "--functions-dir=", "--runtime-url=", "--ref=", "--settings=", NULL};

	if (!config_load(&ps->cfg, &argc, argv, own, e))
		return false;
	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
		if (argc >= 2 && text_eq(argv[1], actions[i].name))
			return cmd_open(&ps->service, ps->cfg, e) && actions[i].run(ps, argc - 1, argv + 1, e);
	(void)err_set(e, ERR_USAGE, NULL, "project needs create, list, show, set or delete");
	return err_hint(e, "functions-admin project --help");
}

int cmd_project(int argc, char **argv)
{
	struct projects ps = {.arena = arena_new(0)};
	struct err e = ERR_INIT;
	int status = 0;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		arena_free(ps.arena);
		return 0;
	}
	ps.json = cmd_flag(&argc, argv, "--json");
	if (ps.arena == NULL)
		(void)err_no_memory(&e);
	if (ps.arena == NULL || !run(&ps, argc, argv, &e))
		status = cmd_fail(&e);
	service_close(ps.service);
	config_free(ps.cfg);
	arena_free(ps.arena);
	return status;
}
