#include "service/project.h"

#include "core/buf.h"
#include "core/crash.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/names.h"
#include "core/text.h"
#include "service/fleet.h"
#include "service/retention.h"
#include "service/smoke.h"
#include "service/watch.h"
#include "store/audit.h"
#include "store/project.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEYS ((size_t)16 * 1024)
#define KEY_YEARS 10

/* Keys */

static char *base64url(struct arena *a, const void *data, size_t len)
{
	size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	char *out = arena_alloc(a, size);

	return out != NULL ? sodium_bin2base64(out, size, data, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING) : NULL;
}

/* An HS256 JWT (RFC 7515, RFC 7519) of a role, as Supabase's own keys are. */
static const char *make_jwt(struct arena *a, const char *secret, const char *ref, const char *role)
{
	static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	crypto_auth_hmacsha256_state state;
	long long now = (long long)(service_now() / 1000);
	const char *payload =
		arena_printf(a, "{\"iss\":\"supabase\",\"ref\":\"%s\",\"role\":\"%s\",\"iat\":%lld,\"exp\":%lld}", ref,
			     role, now, now + KEY_YEARS * 366LL * 86400);
	const char *signed_part;
	const char *tail;

	if (payload == NULL)
		return NULL;
	signed_part = arena_printf(a, "%s.%s", base64url(a, header, sizeof header - 1),
				   base64url(a, payload, strlen(payload)));
	if (signed_part == NULL)
		return NULL;
	(void)crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret, strlen(secret));
	(void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)signed_part, strlen(signed_part));
	(void)crypto_auth_hmacsha256_final(&state, mac);
	tail = base64url(a, mac, sizeof mac);
	return tail != NULL ? arena_printf(a, "%s.%s", signed_part, tail) : NULL;
}

static json_t *make_keys(struct arena *a, const char *ref)
{
	char secret[65];
	char publishable[33];
	char hidden[33];

	crypto_random_hex(secret, 32);
	crypto_random_hex(publishable, 16);
	crypto_random_hex(hidden, 16);
	return json_pack("{s:s, s:s, s:s, s:o, s:o}", "jwt_secret", secret, "anon_key",
			 make_jwt(a, secret, ref, "anon"), "service_role_key", make_jwt(a, secret, ref, "service_role"),
			 "publishable_key", json_sprintf("sb_publishable_%s", publishable), "secret_key",
			 json_sprintf("sb_secret_%s", hidden));
}

static bool sealing_key(const struct service *s, struct crypto_key *out, struct err *e)
{
	struct crypto_key master;

	if (!crypto_master_key(s->cfg->master_key != NULL ? s->cfg->master_key : "", &master, e))
		return false;
	crypto_subkey(&master, CRYPTO_PROJECT_KEYS, out);
	crypto_key_wipe(&master);
	return true;
}

static bool seal_keys(const struct service *s, struct arena *a, struct project *p, const json_t *keys, struct err *e)
{
	struct buf sealed = BUF_INIT(MAX_KEYS);
	char *text = json_text(keys, JSON_COMPACT);
	const char *context = arena_printf(a, "project:%s", p->ref);
	struct crypto_key key;
	bool ok = text != NULL && context != NULL ? sealing_key(s, &key, e) : err_no_memory(e);

	if (ok) {
		ok = crypto_seal(&key, context, text, strlen(text), &sealed, e);
		p->keys = ok ? arena_strndup(a, sealed.data, sealed.len) : NULL;
		p->keys_len = sealed.len;
		crypto_key_wipe(&key);
	}
	if (text != NULL)
		sodium_memzero(text, strlen(text));
	free(text);
	buf_free(&sealed);
	return ok && p->keys == NULL ? err_no_memory(e) : ok;
}

static bool take_keys(const json_t *keys, struct config *cfg)
{
	const struct {
		const char *name;
		char **to;
	} wanted[] = {
		{"jwt_secret", &cfg->jwt_secret},
		{"anon_key", &cfg->anon_key},
		{"service_role_key", &cfg->service_role_key},
		{"publishable_key", &cfg->publishable_key},
		{"secret_key", &cfg->secret_key},
	};

	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
		const char *value = json_string_value(json_object_get(keys, wanted[i].name));

		if (value == NULL || (*wanted[i].to = strdup(value)) == NULL)
			return false;
	}
	return true;
}

bool project_keys_open(const struct service *s, const struct project *p, struct config *cfg, struct err *e)
{
	struct buf text = BUF_INIT(MAX_KEYS);
	struct crypto_key key;
	char context[64] = "project:";
	json_t *keys = NULL;
	bool ok;

	if (p->keys == NULL)
		return err_set(e, ERR_CONFIG, NULL, "The project has no keys");
	(void)strncat(context, p->ref, sizeof context - strlen(context) - 1);
	if (!sealing_key(s, &key, e))
		return false;
	ok = crypto_open(&key, context, p->keys, p->keys_len, &text, e);
	crypto_key_wipe(&key);
	if (ok) {
		keys = json_loadb(text.data, text.len, 0, NULL);
		ok = take_keys(keys, cfg) || err_no_memory(e);
	}
	json_decref(keys);
	buf_wipe(&text);
	buf_free(&text);
	return ok;
}

/* Making and changing */

/* 20 letters, each as likely as any other. */
static const char *random_ref(struct arena *a)
{
	char *ref = arena_alloc(a, 21);

	for (size_t i = 0; ref != NULL && i < 20; i++)
		ref[i] = (char)('a' + randombytes_uniform(26));
	return ref;
}

static bool check_project(const struct project *p, struct err *e)
{
	if (p->ref != NULL && !names_is_ref(p->ref))
		return err_set(e, ERR_INVALID, NULL, "A project's ref is 20 lower-case letters");
	if (p->name != NULL && !names_check_name(p->name, e))
		return false;
	if (p->functions_dir != NULL && p->functions_dir[0] != '/')
		return err_set(e, ERR_INVALID, NULL, "functions_dir must be an absolute path");
	if (p->runtime_url != NULL && !text_starts(p->runtime_url, "http://") &&
	    !text_starts(p->runtime_url, "https://"))
		return err_set(e, ERR_INVALID, NULL, "runtime_url must start with http:// or https://");
	return true;
}

/* One change of a project's row with its audit entry. */
static bool change_row(struct service *s, struct arena *a, const struct actor *who, const struct project *p,
		       const char *action,
		       bool (*change)(struct pg_conn *c, struct arena *a, const struct project *p, struct err *e),
		       struct err *e)
{
	const struct audit_entry entry = {.project_ref = p->ref, .action = action, .target = p->ref, .outcome = "done"};
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && pg_begin(c, e) && change(c, a, p, e) &&
		  audit_write(c, a, who, &entry, e) && pg_commit(c, e);

	FA_CRASH_POINT("project.after_commit");
	pg_release(c);
	return ok;
}

bool project_add(struct service *s, struct arena *a, const struct actor *who, struct project *p, json_t **keys,
		 struct err *e)
{
	*keys = NULL;
	if (!check_project(p, e))
		return false;
	if (p->name == NULL)
		return err_set(e, ERR_INVALID, NULL, "The project needs a name");
	if (p->ref == NULL)
		p->ref = random_ref(a);
	*keys = p->ref != NULL ? make_keys(a, p->ref) : NULL;
	if (*keys == NULL)
		return err_no_memory(e);
	if (seal_keys(s, a, p, *keys, e) && change_row(s, a, who, p, "project.create", project_create, e))
		return true;
	json_decref(*keys);
	*keys = NULL;
	return false;
}

bool project_change(struct service *s, struct arena *a, const struct actor *who, const struct project *p, struct err *e)
{
	return check_project(p, e) && change_row(s, a, who, p, "project.update", project_update, e);
}

static bool drop_row(struct pg_conn *c, struct arena *a, const struct project *p, struct err *e)
{
	return project_delete(c, a, p->ref, e);
}

bool project_drop(struct service *s, struct arena *a, const struct actor *who, const char *ref, struct err *e)
{
	const struct project p = {.ref = ref};

	return change_row(s, a, who, &p, "project.delete", drop_row, e);
}

/* Settings */

/* "preview": what agents deploy through MCP serves only once a person promotes it. */
static bool check_agent_deploys(const json_t *setting, struct err *e)
{
	const char *mode = json_string_value(setting);

	return mode != NULL && (text_eq(mode, "active") || text_eq(mode, "preview"))
		       ? true
		       : err_set(e, ERR_INVALID, NULL, "agent_deploys must be \"active\" or \"preview\"");
}

static const struct {
	const char *name;
	bool (*check)(const json_t *setting, struct err *e);
} known_settings[] = {
	{"activation_policy", fleet_check_policy},
	{"agent_deploys", check_agent_deploys},
	{"auto_rollback", watch_check},
	{"retention", retention_check},
	{"smoke_test", smoke_check},
};

static bool check_settings(const json_t *patch, struct err *e)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)patch, name, value) {
		size_t i = 0;

		while (i < sizeof known_settings / sizeof known_settings[0] && !text_eq(known_settings[i].name, name))
			i++;
		if (i == sizeof known_settings / sizeof known_settings[0])
			return err_set(e, ERR_INVALID, "unknown_setting", "There is no project setting \"%.60s\"",
				       name);
		if (!json_is_null(value) && !known_settings[i].check(value, e))
			return false;
	}
	return true;
}

bool project_set_settings(struct service *s, struct arena *a, const struct actor *who, const char *ref,
			  const json_t *patch, json_t **settings, struct err *e)
{
	struct project change = {.ref = ref};
	struct project now;
	struct pg_conn *c = NULL;
	char *text;
	bool ok;

	if (!check_settings(patch, e))
		return false;
	text = json_text(patch, JSON_COMPACT);
	change.settings = text != NULL ? arena_strdup(a, text) : NULL;
	free(text);
	if (change.settings == NULL)
		return err_no_memory(e);
	ok = change_row(s, a, who, &change, "project.settings", project_update, e) && pg_acquire(s->pool, &c, e) &&
	     project_find(c, a, ref, &now, e);
	pg_release(c);
	if (!ok)
		return false;
	*settings = json_loads(now.settings, 0, NULL);
	return *settings != NULL ? true : err_no_memory(e);
}
