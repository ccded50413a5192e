#include "cmd/cmd.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/log.h"
#include "core/text.h"

#include "config.h"

#include <stdio.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"serve", cmd_serve, "answer requests (FastCGI)"},
	{"agent", cmd_agent, "show a project's functions on this host, where serve runs elsewhere"},
	{"migrate", cmd_migrate, "bring the database's schema up to date"},
	{"doctor", cmd_doctor, "check configuration, database, folder and runtime, and say how to mend them"},
	{"secret", cmd_secret, "list, set and unset the secrets of functions; change the key that seals them"},
	{"token", cmd_token, "create, list and revoke access tokens"},
	{"audit", cmd_audit, "check, export and prune the audit log"},
	{"project", cmd_project, "make and change further projects, such as staging"},
	{"import", cmd_import, "make functions of the directories that lie in the functions folder already"},
	{"pull", cmd_pull, "copy all functions from another Management API, such as Supabase's own"},
	{"drift", cmd_drift, "show, accept or revert what was changed on disk in deployed functions"},
	{"node", cmd_node, "list the hosts that show functions; drain, check and remove them"},
	{"status", cmd_status, "say how far the nodes of every project are"},
	{"prune", cmd_prune, "remove what the retention setting keeps no longer"},
	{"routes", cmd_routes, "list the API's routes with the scopes that they need"},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
	(void)fputs("Usage: functions-admin COMMAND [ARGUMENT]...\n\nThe edge-function Management API for self-hosted "
		    "Supabase.\n\n",
		    out);
	for (size_t i = 0; i < COMMANDS; i++)
		(void)fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
	(void)fputs("\nfunctions-admin COMMAND --help tells more; functions-admin.conf(5) lists the options.\n"
		    "Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 database or runtime out of "
		    "reach, 4 refused, 5 not found.\n",
		    out);
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;

	if (!crypto_init(&e))
		return cmd_fail(&e);
	json_init();
	(void)log_setup("warn", "text");
	if (argc >= 2 && (text_eq(argv[1], "--help") || text_eq(argv[1], "help"))) {
		print_help(stdout);
		return 0;
	}
	if (argc >= 2 && text_eq(argv[1], "--version")) {
		(void)printf("functions-admin %s\n", PACKAGE_VERSION);
		return 0;
	}
	for (size_t i = 0; argc >= 2 && i < COMMANDS; i++)
		if (text_eq(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	print_help(stderr);
	return 2;
}
