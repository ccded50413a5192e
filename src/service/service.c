#include "service/service.h"

#include "core/crypto.h"
#include "service/apply.h"
#include "service/hold.h"
#include "service/current.h"
#include "service/keyring.h"
#include "service/probe.h"
#include "service/secret.h"
#include "store/audit.h"

#include <curl/curl.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOKEN_FILE "runtime-token"

int64_t service_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
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
	if (!pg_pool_new(&s->pool, cfg, connections, e) || !holds_new(&s->holds, e) || !current_new(&s->current, s->pool, e)) {
		service_close(s);
		return false;
	}
	*out = s;
	return true;
}

/* The token that we and the main service share: configured, or made once and left where only the runtime's user reads
 * it. */
static bool open_probe(struct service *s, struct err *e)
{
	const struct config *cfg = s->cfg;
	const char *token = cfg->runtime_token;
	struct arena *a = arena_new(0);
	char random[65];
	size_t len;
	bool ok = false;

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
	/* Written even where it is configured: the runtime then needs no configuration of its own. */
	if (!folder_put(s->folder, TOKEN_FILE, token, strlen(token), 0600, e))
		goto out;
	ok = cfg->runtime_url == NULL || cfg->runtime_url[0] == '\0' || !cfg->boot_check ||
	     probe_new(&s->probe, cfg->runtime_url, token, cfg->boot_timeout, cfg->request_timeout, e);
out:
	arena_free(a);
	return ok;
}

bool service_open_folder(struct service *s, struct err *e)
{
	/* libgit2 only compares texts here; it counts its users, and needs to be told of the first. */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || git_libgit2_init() < 0)
		return err_no_memory(e);
	return folder_open(&s->folder, s->cfg->functions_dir, (mode_t)s->cfg->functions_mode, e) && open_probe(s, e);
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

void service_close(struct service *s)
{
	if (s == NULL)
		return;
	holds_free(s->holds);
	applied_free(s->applied);
	secret_file_free(s->secret_file);
	keyring_free(s->keyring);
	probe_free(s->probe);
	folder_close(s->folder);
	current_free(s->current);
	pg_pool_free(s->pool);
	(void)pthread_mutex_destroy(&s->apply_lock);
	(void)pthread_mutex_destroy(&s->keyring_lock);
	free(s);
}
