#include "api/answers.h"
#include "api/api.h"
#include "auth/ratelimit.h"
#include "cmd/cmd.h"
#include "cmd/daemon.h"
#include "core/log.h"
#include "core/metrics.h"
#include "http/fcgi.h"
#include "service/apply.h"
#include "service/audit.h"
#include "service/background.h"
#include "service/bell.h"
#include "service/drift.h"
#include "service/event.h"
#include "service/node.h"
#include "service/repeat.h"
#include "service/retention.h"
#include "service/service.h"
#include "service/watch.h"
#include "store/migrate.h"
#include "store/pg.h"

#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How often the folder is compared with the database, beside every change that we make ourselves. */
#define SWEEP_SECONDS 10
#define PRUNE_SWEEPS (3600 / SWEEP_SECONDS)

static const char help[] = "Usage: functions-admin serve [--config FILE] [--OPTION VALUE]...\n"
			   "\n"
			   "Answers FastCGI requests until SIGTERM or SIGINT; finishes what runs first. SIGHUP reads "
			   "the log options again.\n"
			   "\n"
			   "Options (in the file `name = value`, in the environment FUNCTIONS_ADMIN_NAME):\n";

struct running {
	struct config *cfg;
	struct service *service;
	struct auth *auth;
	struct fcgi_server *fcgi;
	struct node_loop *node;
	struct api api;
	uint64_t sweeps;
	int argc;
	char **argv;
};

static void handle(void *ctx, struct request *req, struct response *resp)
{
	api_handle(ctx, req, resp);
}

static void refuse(void *ctx, const struct err *e, const char *request_id, struct response *resp)
{
	(void)ctx;
	api_refuse(e, request_id, resp);
}

static bool start(struct running *r, struct err *e)
{
	struct fcgi_options options = {.handle = handle, .refuse = refuse, .ctx = &r->api};
	int64_t connections;

	if (!config_check_serve(r->cfg, e) || !daemon_begin(r->cfg, e))
		return false;
	/* Whoever works holds one at a time; the helpers that a worker calls in wait for theirs. Sweep and heartbeat
	 * have theirs, and the node one to listen by, one to work with and one for its lease. */
	connections = r->cfg->db_connections > 0 ? r->cfg->db_connections : r->cfg->workers + 6;
	if (!service_open(&r->service, r->cfg, (int)connections, e))
		return false;
	/* Commands are the operator's and keep the rights of who connects; what answers requests gives them up. */
	pg_pool_take_role(r->service->pool, r->cfg->db_role);
	if (!auth_new(&r->auth, r->cfg, r->service->pool, e) || !daemon_check_schema(r->service, e) ||
	    !service_open_folder(r->service, e) || !apply_reconcile(r->service, e) || !service_refresh(r->service, e))
		return false;
	metrics_compared();
	r->api = (struct api){.service = r->service, .auth = r->auth, .cfg = r->cfg};
	if (!ratelimit_new(&r->api.limits, r->cfg, e) || !answers_new(&r->api.answers, e) || !api_refresh(&r->api, e))
		return false;
	options.listen = r->cfg->listen;
	options.mode = (unsigned)r->cfg->listen_mode;
	options.workers = (int)r->cfg->workers;
	options.base_path = r->cfg->base_path;
	return node_start(&r->node, r->service, e) && fcgi_open(&r->fcgi, &options, e) && fcgi_start(r->fcgi, e) &&
	       daemon_write_pid(r->cfg, e);
}

/* Once an hour what is kept no longer leaves the database. */
static void prune(struct service *s)
{
	struct retention_report report;
	struct err e = ERR_INIT;

	if (!retention_run(s, s->cfg->project_ref, false, NULL, NULL, &report, &e))
		log_warn("project %s: old versions could not be removed: %s", s->cfg->project_ref, e.message);
	else if (report.versions + report.functions + report.blobs > 0)
		log_info("project %s: removed %lld old versions, %lld deleted functions, %lld contents",
			 s->cfg->project_ref, (long long)report.versions, (long long)report.functions,
			 (long long)report.blobs);
}

static void sweep(struct running *r)
{
	struct err e = ERR_INIT;
	bool agree = true;

	r->sweeps++;
	if (!service_refresh(r->service, &e) || !api_refresh(&r->api, &e))
		log_warn("projects could not be read: %s", e.message);
	for (struct service *s = r->service; s != NULL; s = atomic_load(&s->further)) {
		bool ok = apply_sweep(s, &e);

		metrics_count(ok ? METRICS_SWEEP_DONE : METRICS_SWEEP_FAILED, 1);
		agree = agree && ok;
		if (!ok)
			log_warn("project %s: the functions folder could not be compared with the database: %s",
				 s->cfg->project_ref, e.message);
		if (!watch_sweep(s, &e))
			log_warn("project %s: how new versions do could not be looked at: %s", s->cfg->project_ref,
				 e.message);
		if (r->sweeps % DRIFT_SWEEPS == 0 && s->folder != NULL && !drift_sweep(s, &e))
			log_warn("project %s: the releases on disk could not be compared with the database: %s",
				 s->cfg->project_ref, e.message);
		if (r->sweeps % PRUNE_SWEEPS == 0)
			prune(s);
	}
	if (agree)
		metrics_compared();
	audit_flush(r->service);
	e = (struct err)ERR_INIT;
	if (!repeat_tidy(r->service, &e))
		log_warn("Idempotency-Keys could not be given up: %s", e.message);
	e = (struct err)ERR_INIT;
	if (!event_tidy(r->service, &e))
		log_warn("the logs of functions could not be tidied: %s", e.message);
	/* What large requests took is kept warm for the next, yet not for a night. */
	(void)malloc_trim(0);
}

/* Signals are taken here, by the main thread alone, one after the other. */
static void wait_until_told(struct running *r, const sigset_t *signals)
{
	const struct timespec interval = {.tv_sec = SWEEP_SECONDS};

	for (;;) {
		switch (sigtimedwait(signals, NULL, &interval)) {
		case SIGHUP:
			daemon_reload(r->argc, r->argv, NULL);
			break;
		case SIGTERM:
		case SIGINT:
			return;
		default:
			sweep(r);
		}
	}
}

static void stop(struct running *r)
{
	bell_close();
	if (r->fcgi != NULL) {
		fcgi_stop(r->fcgi);
		audit_flush(r->service);
	}
	background_wait();
	node_stop(r->node);
	fcgi_free(r->fcgi);
	if (r->fcgi != NULL)
		daemon_remove_pid(r->cfg);
	answers_free(r->api.answers);
	api_close(&r->api);
	ratelimit_free(r->api.limits);
	auth_free(r->auth);
	service_close(r->service);
	config_free(r->cfg);
	free(r->argv);
}

int cmd_serve(int argc, char **argv)
{
	static const char *const own[] = {"--help", NULL};
	struct running r = {.argc = argc, .argv = daemon_copy_arguments(argc, argv)};
	struct err e = ERR_INIT;
	sigset_t signals;
	int status = 0;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		config_print_help(stdout);
		free(r.argv);
		return 0;
	}
	daemon_block_signals(&signals);
	if (r.argv == NULL)
		(void)err_no_memory(&e);
	if (r.argv != NULL && config_load(&r.cfg, &argc, argv, own, &e) && cmd_no_more(argc, argv, &e) &&
	    start(&r, &e)) {
		log_info("serving project %s on %s with %lld workers", r.cfg->project_ref, r.cfg->listen,
			 (long long)r.cfg->workers);
		wait_until_told(&r, &signals);
		log_info("stopping: running requests are finished first");
	} else {
		status = cmd_fail(&e);
	}
	stop(&r);
	return status;
}
