#include "cmd/cmd.h"
#include "cmd/daemon.h"
#include "core/log.h"
#include "core/names.h"
#include "service/contents.h"
#include "service/node.h"
#include "service/ownership.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One is enough: it listens, works and renews its lease in turn. */
#define CONNECTIONS 1

static const char help[] =
	"Usage: functions-admin agent [--project REF] [--config FILE] [--OPTION VALUE]...\n"
	"\n"
	"Makes the functions folder of this host show what the database says, and keeps it so: for each host of an "
	"edge\n"
	"runtime, where `serve` runs elsewhere. It is one of the project's nodes then, and a deployment waits for it.\n"
	"Until SIGTERM or SIGINT; SIGHUP reads the log options again.\n"
	"\n"
	"  --project  the same as --project_ref: whose functions\n"
	"\n"
	"Options (in the file `name = value`, in the environment FUNCTIONS_ADMIN_NAME):\n";

struct running {
	struct config *cfg;
	struct service *service;
	struct node_loop *node;
};

static bool choose_project(struct config *cfg, const char *ref, struct err *e)
{
	char *copy;

	if (ref == NULL)
		return true;
	if (!names_is_ref(ref))
		return err_set(e, ERR_USAGE, NULL, "--project takes a project's ref: 20 lower-case letters");
	copy = strdup(ref);
	if (copy == NULL)
		return err_no_memory(e);
	free(cfg->project_ref);
	cfg->project_ref = copy;
	return true;
}

static bool start(struct running *r, struct err *e)
{
	if (!config_check_agent(r->cfg, e) || !daemon_begin(r->cfg, e) ||
	    !service_open(&r->service, r->cfg, CONNECTIONS, e))
		return false;
	r->service->agent = true;
	pg_pool_take_role(r->service->pool, r->cfg->db_role);
	/* A database that is away now is no reason: what the folder shows goes on being served. */
	if (!ownership_check(r->service, e) && e->kind == ERR_CONFLICT)
		return false;
	*e = (struct err)ERR_INIT;
	return service_open_folder(r->service, e) && contents_open(r->service, e) &&
	       node_start(&r->node, r->service, e) && daemon_write_pid(r->cfg, e);
}

static void wait_until_told(int argc, char **argv, const char *const *own, const sigset_t *signals)
{
	int signal_number;

	while (sigwait(signals, &signal_number) == 0 && signal_number == SIGHUP)
		daemon_reload(argc, argv, own);
}

int cmd_agent(int argc, char **argv)
{
	static const char *const own[] = {"--help", "--project=", NULL};
	char **all = daemon_copy_arguments(argc, argv);
	const int all_count = argc;
	struct running r = {0};
	struct err e = ERR_INIT;
	const char *ref;
	sigset_t signals;
	int status = 0;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		config_print_help(stdout);
		free(all);
		return 0;
	}
	daemon_block_signals(&signals);
	ref = cmd_value(&argc, argv, "--project");
	if (all == NULL)
		(void)err_no_memory(&e);
	if (all != NULL && config_load(&r.cfg, &argc, argv, own, &e) && cmd_no_more(argc, argv, &e) &&
	    choose_project(r.cfg, ref, &e) && start(&r, &e)) {
		log_info("node of project %s: showing its functions in %s", r.cfg->project_ref, r.cfg->functions_dir);
		wait_until_told(all_count, all, own, &signals);
		log_info("stopping: the functions stay as they are");
		daemon_remove_pid(r.cfg);
	} else {
		status = cmd_fail(&e);
	}
	node_stop(r.node);
	service_close(r.service);
	config_free(r.cfg);
	free(all);
	return status;
}
