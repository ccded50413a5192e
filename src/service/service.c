#include "service/service.h"

#include "core/crypto.h"
#include "core/log.h"
#include "core/text.h"
#include "service/apply.h"
#include "service/background.h"
#include "service/contents.h"
#include "service/current.h"
#include "service/drift.h"
#include "service/fleet.h"
#include "service/heartbeat.h"
#include "service/hold.h"
#include "service/keyring.h"
#include "service/node.h"
#include "service/probe.h"
#include "service/project.h"
#include "service/secret.h"
#include "service/state.h"
#include "service/watch.h"
#include "store/audit.h"
#include "store/instance.h"
#include "store/project.h"

#include <curl/curl.h>
#include <git2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOKEN_FILE "runtime-token"
#define EVENTS_TOKEN_FILE "events-token"
#define INSTANCE_FILE "instance"

int64_t service_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Further projects */

/* A copy of the configuration for another project. Only the strings that are its own are owned by it. */
static struct config *config_of(const struct service *base, const struct project *project)
{
	struct config *cfg = malloc(sizeof *cfg);

	if (cfg == NULL)
		return NULL;
	*cfg = *base->cfg;
	cfg->project_ref = strdup(project->ref);
	cfg->project_name = strdup(project->name);
	cfg->functions_dir = strdup(project->functions_dir != NULL ? project->functions_dir : "");
	cfg->runtime_url = strdup(project->runtime_url != NULL ? project->runtime_url : "");
	cfg->runtime_token = NULL;
	cfg->jwt_secret = cfg->jwt_previous_secrets = cfg->jwks = cfg->anon_key = cfg->service_role_key = NULL;
	/* Users are those of the default project's auth service. */
	cfg->jwks_url = cfg->oauth_issuer = NULL;
	cfg->publishable_key = cfg->secret_key = NULL;
	return cfg;
}

static void free_own_config(struct config *cfg)
{
	char *const own[] = {cfg->project_ref,      cfg->project_name,    cfg->functions_dir,
			     cfg->runtime_url,      cfg->jwt_secret,      cfg->anon_key,
			     cfg->service_role_key, cfg->publishable_key, cfg->secret_key};

	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
		free(own[i]);
	free(cfg);
}

static struct service *new_further(struct service *base, const struct project *project)
{
	struct service *s = calloc(1, sizeof *s);
	struct err ignored = ERR_INIT;

	if (s == NULL)
		return NULL;
	if ((s->own_cfg = config_of(base, project)) == NULL || !holds_new(&s->holds, &ignored) ||
	    !drift_new(&s->drift, &ignored)) {
		holds_free(s->holds);
		free(s->own_cfg);
		free(s);
		return NULL;
	}
	(void)pthread_mutex_init(&s->apply_lock, NULL);
	(void)pthread_mutex_init(&s->keyring_lock, NULL);
	s->base = base;
	s->cfg = s->own_cfg;
	s->pool = base->pool;
	s->current = base->current;
	return s;
}

bool service_open(struct service **out, const struct config *cfg, int connections, struct err *e)
{
	struct service *s = calloc(1, sizeof *s);
	struct crypto_key master;

	if (s == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_init(&s->apply_lock, NULL);
	(void)pthread_mutex_init(&s->keyring_lock, NULL);
	/* Commands that record nothing need no key; what records does not go on without one. */
	if (cfg->master_key != NULL && cfg->master_key[0] != '\0') {
		if (!crypto_master_key(cfg->master_key, &master, e)) {
			service_close(s);
			return false;
		}
		audit_use_key(&master);
		crypto_key_wipe(&master);
	}
	s->cfg = cfg;
	if (!pg_pool_new(&s->pool, cfg, connections, e) || !holds_new(&s->holds, e) || !drift_new(&s->drift, e) ||
	    !current_new(&s->current, s->pool, e)) {
		service_close(s);
		return false;
	}
	s->nowhere = new_further(s, &(struct project){.ref = "", .name = ""});
	if (s->nowhere == NULL) {
		service_close(s);
		return err_no_memory(e);
	}
	*out = s;
	return true;
}

const char *service_instance(const struct service *s)
{
	const struct service *base = s->base != NULL ? s->base : s;

	return base->heartbeat != NULL ? heartbeat_id(base->heartbeat) : NULL;
}

/* The token that we and the main service share: configured, or made once and left where only the runtime's user reads
 * it. */
static bool choose_token(struct service *s, struct err *e)
{
	const char *token = s->cfg->runtime_token;
	struct arena *a = arena_new(0);
	char random[65];
	size_t len;

	if (a == NULL)
		return err_no_memory(e);
	if (token == NULL || token[0] == '\0') {
		char *found = folder_get(s->folder, a, TOKEN_FILE, 256, &len);

		if (found != NULL)
			found[strcspn(found, "\r\n")] = '\0';
		token = found;
	}
	if (token == NULL || token[0] == '\0') {
		crypto_random_hex(random, 32);
		token = random;
	}
	s->runtime_token = strdup(token);
	arena_free(a);
	return s->runtime_token != NULL || err_no_memory(e);
}

static bool open_probe(struct service *s, struct err *e)
{
	const struct config *cfg = s->cfg;

	return cfg->runtime_url == NULL || cfg->runtime_url[0] == '\0' || !cfg->boot_check ||
	       probe_new(&s->probe, cfg->runtime_url, s->runtime_token, cfg->boot_timeout, cfg->request_timeout, e);
}

/* For the event service, beside the token above: where there are no keys, as in some commands, none is needed. */
static bool leave_events_token(struct service *s, struct err *e)
{
	char token[CRYPTO_EVENTS_TOKEN_SIZE];
	struct crypto_key master;

	if (s->cfg->master_key == NULL || s->cfg->project_ref == NULL)
		return true;
	if (!crypto_master_key(s->cfg->master_key, &master, e))
		return false;
	crypto_events_token(&master, s->cfg->project_ref, token);
	crypto_key_wipe(&master);
	return folder_put(s->folder, EVENTS_TOKEN_FILE, token, strlen(token), 0600, e);
}

/* The runtime's token is written even where it is configured: the runtime then needs no configuration of its own. */
static bool leave_files(struct service *s, struct err *e)
{
	const char *id = service_instance(s);

	/* An agent carries out nothing that somebody would have to take over. */
	return (s->agent || folder_put(s->folder, INSTANCE_FILE, id, strlen(id), 0600, e)) &&
	       folder_put(s->folder, TOKEN_FILE, s->runtime_token, strlen(s->runtime_token), 0600, e) &&
	       leave_events_token(s, e);
}

bool service_leave_files(struct service *s, struct err *e)
{
	return ((s->agent || folder_has(s->folder, INSTANCE_FILE)) && folder_has(s->folder, TOKEN_FILE) &&
		(folder_has(s->folder, EVENTS_TOKEN_FILE) || s->cfg->master_key == NULL)) ||
	       leave_files(s, e);
}

/* Its word ends now. A folder that could not be opened in whole is opened again by the same process. */
static bool forget_predecessor(struct service *s, struct arena *a, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = s->predecessor[0] == '\0' || text_eq(s->predecessor, service_instance(s)) ||
		  (pg_acquire(s->pool, &c, e) && instance_remove(c, a, s->predecessor, e));

	pg_release(c);
	return ok;
}

/*
 * Keeps the id that lies in the folder: the folder's lock is ours, so that process is gone, and what it left unfinished
 * need not wait until its last heartbeat runs out.
 */
static bool take_over(struct service *s, struct err *e)
{
	struct arena *a = arena_new(0);
	const char *found;
	size_t len;
	bool ok;

	if (a == NULL)
		return err_no_memory(e);
	found = folder_get(s->folder, a, INSTANCE_FILE, sizeof s->predecessor - 1, &len);
	(void)snprintf(s->predecessor, sizeof s->predecessor, "%s", found != NULL ? found : "");
	ok = forget_predecessor(s, a, e);
	arena_free(a);
	return ok;
}

bool service_shows(const struct service *s)
{
	return s->folder != NULL && (s->agent || s->cfg->deploy_here);
}

bool service_open_folder(struct service *s, struct err *e)
{
	/* libgit2 only compares texts here; it counts its users, and needs to be told of the first. */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || git_libgit2_init() < 0)
		return err_no_memory(e);
	if (s->base == NULL && (!fleet_new(&s->fleet, e) || (!s->agent && !heartbeat_start(&s->heartbeat, s->pool, e))))
		return false;
	return folder_open(&s->folder, s->cfg->functions_dir, s->cfg->project_ref, (mode_t)s->cfg->functions_mode, e) &&
	       (s->agent || take_over(s, e)) && choose_token(s, e) && leave_files(s, e) && open_probe(s, e) &&
	       (!service_shows(s) || node_open(s, e));
}

const struct keyring *service_keyring(struct service *s, struct err *e)
{
	const struct keyring *found;

	(void)pthread_mutex_lock(&s->keyring_lock);
	if (s->keyring == NULL && !keyring_new(&s->keyring, s->cfg, e))
		s->keyring = NULL;
	found = s->keyring;
	(void)pthread_mutex_unlock(&s->keyring_lock);
	return found;
}

struct service *service_of(struct service *s, const char *project_ref)
{
	struct service *p = s->base != NULL ? s->base : s;
	struct service *nowhere = p->nowhere;

	while (p != NULL && (p->cfg->project_ref == NULL || strcmp(p->cfg->project_ref, project_ref) != 0))
		p = atomic_load(&p->further);
	return p != NULL ? p : nowhere;
}

bool service_not_here(const struct service *s, const char *project_ref, struct err *e)
{
	const struct service *base = s->base != NULL ? s->base : s;

	(void)err_set(e, ERR_CONFLICT, "project_not_here", "This service does not deploy to project %s", project_ref);
	return err_hint(e,
			"It deploys to %s. Give the project a functions_dir here (functions-admin project set), or ask "
			"its own service.",
			base->cfg->project_ref);
}

static bool open_further(struct service *base, const struct project *project, struct err *e)
{
	struct service *s = new_further(base, project);
	struct service *last = base;

	if (s == NULL)
		return err_no_memory(e);
	if (!project_keys_open(base, project, s->own_cfg, e) || !service_open_folder(s, e) || !apply_reconcile(s, e)) {
		service_close(s);
		return false;
	}
	while (atomic_load(&last->further) != NULL)
		last = atomic_load(&last->further);
	atomic_store(&last->further, s);
	return true;
}

bool service_refresh(struct service *base, struct err *e)
{
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	struct project *projects;
	size_t count = 0;
	bool ok = a != NULL || err_no_memory(e);

	ok = ok && pg_acquire(base->pool, &c, e) && project_list(c, a, NULL, &projects, &count, e);
	pg_release(c);
	for (size_t i = 0; ok && i < count; i++) {
		struct err failed = ERR_INIT;

		if (projects[i].functions_dir == NULL || service_of(base, projects[i].ref) != base->nowhere)
			continue;
		if (open_further(base, &projects[i], &failed))
			log_info("project %s: deploying to %s", projects[i].ref, projects[i].functions_dir);
		else
			log_error("project %s: %s", projects[i].ref, failed.message);
	}
	arena_free(a);
	return ok;
}

void service_close(struct service *s)
{
	if (s == NULL)
		return;
	/* Old releases may still be on their way out of the folder. */
	background_wait();
	service_close(atomic_load(&s->further));
	service_close(s->nowhere);
	drift_free(s->drift);
	node_free(s->node);
	contents_close(s->contents);
	holds_free(s->holds);
	watch_free(s->watch);
	applied_free(s->applied);
	secret_file_free(s->secret_file);
	keyring_free(s->keyring);
	probe_free(s->probe);
	free(s->runtime_token);
	folder_close(s->folder);
	if (s->base == NULL) {
		heartbeat_stop(s->heartbeat);
		fleet_free(s->fleet);
		current_free(s->current);
		pg_pool_free(s->pool);
	}
	if (s->own_cfg != NULL)
		free_own_config(s->own_cfg);
	(void)pthread_mutex_destroy(&s->apply_lock);
	(void)pthread_mutex_destroy(&s->keyring_lock);
	free(s);
}
