#include "cmd/cmd.h"
#include "core/text.h"
#include "service/function.h"
#include "service/roster.h"

#include <stdio.h>
#include <string.h>

static const char node_help[] =
	"Usage: functions-admin node [--project REF] [--json]\n"
	"       functions-admin node drain|resume|check|remove NAME|ID [--project REF]\n"
	"\n"
	"The hosts that show a project's functions. `drain`: no deployment waits for it any more, though it goes on\n"
	"following; `resume` is the opposite. `check`: compare every file on its disk with the database (an agent puts "
	"back\n"
	"what is not as deployed). `remove`: forget one that is gone.\n"
	"\n"
	"  --project  of this project; else of all, or for an order the configuration's\n"
	"  --json     prints the list as JSON\n"
	"  --config   and all options of functions-admin.conf(5)\n";

static const char status_help[] =
	"Usage: functions-admin status [--json]\n"
	"\n"
	"Every project with its generation, and how far its nodes have come. Exit status 1 where a node is away, has\n"
	"failed, or is behind for longer than ten seconds.\n"
	"\n"
	"  --json     prints the result as JSON\n"
	"  --config   and all options of functions-admin.conf(5)\n";

struct asked {
	struct config *cfg;
	struct service *service;
	struct arena *arena;
	const char *ref;
	bool json;
};

static const char *state_of(const struct node *n)
{
	return !n->alive ? "away" : n->draining ? "draining" : n->failed_generation != 0 ? "failed" : "live";
}

/* A node tells what it shows a moment after it does, and looks every ten seconds at the latest. */
#define USUAL_MS 12000

static bool is_well(const struct node *n)
{
	return n->alive && n->behind_ms < USUAL_MS && n->failed_generation == 0;
}

static void print_node(const struct node *n)
{
	(void)printf("  %-24s  %-5s  %-8s  %-10lld  %-8s  %-7lld  %-8lld  %s\n", n->name, n->kind, state_of(n),
		     (long long)n->generation, n->verified ? "yes" : "no", (long long)n->behind,
		     (long long)(n->behind_ms / 1000), n->error_message != NULL ? n->error_message : "");
}

static void print_head(void)
{
	(void)printf("  %-24s  %-5s  %-8s  %-10s  %-8s  %-7s  %-8s  %s\n", "NODE", "KIND", "STATE", "GENERATION",
		     "VERIFIED", "BEHIND", "SECONDS", "ERROR");
}

static json_t *describe_node(const struct node *n)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:I, s:I, s:s*}", "id", n->id, "project", n->project_ref,
			 "name", n->name, "kind", n->kind, "state", state_of(n), "generation",
			 (json_int_t)n->generation, "verified", n->verified, "behind", (json_int_t)n->behind,
			 "behind_ms", (json_int_t)n->behind_ms, "error", n->error_message);
}

static json_t *describe_nodes(const struct node_list *list, const char *ref)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		if (ref == NULL || text_eq(list->items[i].project_ref, ref))
			(void)json_array_append_new(array, describe_node(&list->items[i]));
	return array;
}

static bool list_nodes(const struct asked *q, struct err *e)
{
	struct node_list list;

	if (!roster_list(q->service, q->arena, q->ref, &list, e))
		return false;
	if (q->json)
		return cmd_print_json(describe_nodes(&list, NULL), e);
	print_head();
	for (size_t i = 0; i < list.count; i++)
		print_node(&list.items[i]);
	return true;
}

/* By id, or by a name that only one has. */
static bool find_node(const struct asked *q, const char *word, const char **id, struct err *e)
{
	struct node_list list;
	size_t found = 0;

	if (!roster_list(q->service, q->arena, q->ref, &list, e))
		return false;
	for (size_t i = 0; i < list.count; i++)
		if (text_eq(list.items[i].id, word) || text_eq(list.items[i].name, word)) {
			*id = list.items[i].id;
			found++;
		}
	if (found == 0)
		return err_set(e, ERR_NOT_FOUND, "node_not_found", "There is no node %s in project %s", word, q->ref);
	if (found > 1) {
		(void)err_set(e, ERR_USAGE, NULL, "Several nodes are called %s", word);
		return err_hint(e, "Name it by its id: functions-admin node --json");
	}
	return true;
}

static bool give_order(struct asked *q, const char *action, const char *word, struct err *e)
{
	const char *id = NULL;

	if (q->ref == NULL)
		q->ref = q->cfg->project_ref;
	if (q->ref == NULL)
		return err_set(e, ERR_USAGE, NULL,
			       "--project REF is missing, and the configuration has no project_ref");
	for (int order = ROSTER_DRAIN; order <= ROSTER_REMOVE; order++) {
		if (!text_eq(roster_order_name((enum roster_order)order), action))
			continue;
		if (!find_node(q, word, &id, e) ||
		    !roster_order(q->service, q->arena, cmd_actor(), q->ref, id, (enum roster_order)order, e))
			return false;
		(void)printf("%s: %s\n", word, action);
		return true;
	}
	(void)err_set(e, ERR_USAGE, NULL, "\"%.80s\" is not understood here", action);
	return err_hint(e, "functions-admin node --help");
}

static bool node(struct asked *q, int argc, char **argv, struct err *e)
{
	if (argc == 1)
		return list_nodes(q, e);
	return argc == 3 ? give_order(q, argv[1], argv[2], e)
			 : err_set(e, ERR_USAGE, NULL, "%s takes the name of one node", argv[1]);
}

static void print_project(const struct project *p, const struct node_list *list)
{
	(void)printf("%s  %s  generation %lld\n", p->ref, p->name, (long long)p->generation);
	print_head();
	for (size_t i = 0; i < list->count; i++)
		if (text_eq(list->items[i].project_ref, p->ref))
			print_node(&list->items[i]);
}

static bool status_of_all(const struct asked *q, bool *well, struct err *e)
{
	struct node_list list;
	struct project *projects;
	json_t *array = json_array();
	size_t count = 0;
	bool ok = function_projects(q->service, q->arena, NULL, &projects, &count, e) &&
		  roster_list(q->service, q->arena, NULL, &list, e);

	for (size_t i = 0; ok && i < count; i++) {
		const struct project *p = &projects[i];

		if (q->json)
			(void)json_array_append_new(array, json_pack("{s:s, s:s, s:I, s:o}", "ref", p->ref, "name",
								     p->name, "generation", (json_int_t)p->generation,
								     "nodes", describe_nodes(&list, p->ref)));
		else
			print_project(p, &list);
	}
	*well = true;
	for (size_t i = 0; ok && i < list.count; i++)
		*well = *well && is_well(&list.items[i]);
	if (ok && q->json)
		return cmd_print_json(array, e);
	json_decref(array);
	return ok;
}

static bool open_all(struct asked *q, int *argc, char **argv, const char *const *own, struct err *e)
{
	q->arena = arena_new(0);
	q->json = cmd_flag(argc, argv, "--json");
	q->ref = cmd_value(argc, argv, "--project");
	return (q->arena != NULL || err_no_memory(e)) && config_load(&q->cfg, argc, argv, own, e) &&
	       cmd_open(&q->service, q->cfg, e);
}

static void close_all(struct asked *q)
{
	service_close(q->service);
	config_free(q->cfg);
	arena_free(q->arena);
}

int cmd_node(int argc, char **argv)
{
	static const char *const own[] = {"--help", "--json", "--project=", NULL};
	struct asked q = {0};
	struct err e = ERR_INIT;
	int status = 0;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(node_help, stdout);
		return 0;
	}
	if (!open_all(&q, &argc, argv, own, &e) || !node(&q, argc, argv, &e))
		status = cmd_fail(&e);
	close_all(&q);
	return status;
}

int cmd_status(int argc, char **argv)
{
	static const char *const own[] = {"--help", "--json", NULL};
	struct asked q = {0};
	struct err e = ERR_INIT;
	bool well = true;
	int status = 0;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(status_help, stdout);
		return 0;
	}
	if (!open_all(&q, &argc, argv, own, &e) || !cmd_no_more(argc, argv, &e) || !status_of_all(&q, &well, &e))
		status = cmd_fail(&e);
	else if (!well)
		status = 1;
	close_all(&q);
	return status;
}
