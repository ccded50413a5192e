#include "service/keyring.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define HEX_DIGITS ((size_t)2 * CRYPTO_KEY_BYTES)
#define MAX_KEYS 16
#define BETWEEN ", \t\r\n"

struct keyring {
	size_t count;
	struct crypto_key keys[MAX_KEYS]; /* the first is the current one */
};

static bool add(struct keyring *k, const char *option, const char *hex, struct err *e)
{
	struct crypto_key parent;

	if (k->count == MAX_KEYS)
		return err_set(e, ERR_CONFIG, NULL, "secrets_previous_keys: more than %d keys", MAX_KEYS - 2);
	if (!crypto_master_key(hex, &parent, e)) {
		*e = (struct err)ERR_INIT;
		(void)err_set(e, ERR_CONFIG, NULL, "%s is not a key of 64 hexadecimal digits", option);
		return err_hint(e, "Make one with: openssl rand -hex 32");
	}
	crypto_subkey(&parent, CRYPTO_SECRETS, &k->keys[k->count++]);
	crypto_key_wipe(&parent);
	return true;
}

/* "HEX, HEX" */
static bool add_list(struct keyring *k, const char *list, struct err *e)
{
	char hex[HEX_DIGITS + 1];
	bool ok = true;

	for (list += strspn(list, BETWEEN); ok && *list != '\0'; list += strspn(list, BETWEEN)) {
		size_t len = strcspn(list, BETWEEN);

		/* One that is too long is handed on cut by a digit: too short to be taken for a key. */
		size_t taken = len <= HEX_DIGITS ? len : HEX_DIGITS - 1;

		memcpy(hex, list, taken);
		hex[taken] = '\0';
		ok = add(k, "secrets_previous_keys", hex, e);
		list += len;
	}
	sodium_memzero(hex, sizeof hex);
	return ok;
}

/* What a key management service's client prints; by a shell, so that the option may hold a pipe. */
static bool add_from_command(struct keyring *k, const char *command, struct err *e)
{
	char hex[HEX_DIGITS + 3] = "";
	/* The command is the operator's own. NOLINTNEXTLINE(cert-env33-c) */
	FILE *pipe = popen(command, "re");
	bool ok = false;
	size_t n;
	int status;

	if (pipe == NULL)
		return err_errno(e, errno, "secrets_key_command");
	(void)setvbuf(pipe, NULL, _IONBF, 0);
	n = fread(hex, 1, sizeof hex - 1, pipe);
	hex[n] = '\0';
	hex[strcspn(hex, "\r\n")] = '\0';
	status = pclose(pipe);
	if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		(void)err_set(e, ERR_CONFIG, NULL, "secrets_key_command failed (status %d)", status);
		(void)err_hint(e, "Run it by hand as this user: it must print 64 hexadecimal digits and exit with 0.");
	} else {
		ok = add(k, "What secrets_key_command prints", hex, e);
	}
	sodium_memzero(hex, sizeof hex);
	return ok;
}

static bool is_set(const char *value)
{
	return value != NULL && value[0] != '\0';
}

bool keyring_new(struct keyring **out, const struct config *cfg, struct err *e)
{
	struct keyring *k = calloc(1, sizeof *k);
	bool ok = true;

	if (k == NULL)
		return err_no_memory(e);
	if (is_set(cfg->secrets_key))
		ok = add(k, "secrets_key", cfg->secrets_key, e);
	else if (is_set(cfg->secrets_key_command))
		ok = add_from_command(k, cfg->secrets_key_command, e);
	else if (!is_set(cfg->master_key))
		ok = err_set(e, ERR_CONFIG, NULL, "master_key is not set") ||
		     err_hint(e, "Make one with: openssl rand -hex 32");
	/* Last or only: values that were sealed before secrets_key was set. */
	ok = ok && (!is_set(cfg->secrets_previous_keys) || add_list(k, cfg->secrets_previous_keys, e)) &&
	     (!is_set(cfg->master_key) || add(k, "master_key", cfg->master_key, e));
	/* Without a secrets_key the master key is the current one, and previous keys stand behind it. */
	if (ok && !is_set(cfg->secrets_key) && !is_set(cfg->secrets_key_command)) {
		struct crypto_key first = k->keys[0];

		k->keys[0] = k->keys[k->count - 1];
		k->keys[k->count - 1] = first;
		crypto_key_wipe(&first);
	}
	if (!ok) {
		keyring_free(k);
		return false;
	}
	*out = k;
	return true;
}

void keyring_free(struct keyring *k)
{
	if (k == NULL)
		return;
	sodium_memzero(k, sizeof *k);
	free(k);
}

const struct crypto_key *keyring_current(const struct keyring *k)
{
	return &k->keys[0];
}

bool keyring_open(const struct keyring *k, const char *context, const void *sealed, size_t len, struct buf *out,
		  struct err *e)
{
	uint8_t wanted[CRYPTO_KEY_ID_BYTES];
	uint8_t id[CRYPTO_KEY_ID_BYTES];
	char hex[2 * CRYPTO_KEY_ID_BYTES + 1];

	if (!crypto_sealed_key_id(sealed, len, wanted))
		return err_set(e, ERR_INTERNAL, "not_sealed_here", "A sealed value is damaged");
	for (size_t i = 0; i < k->count; i++) {
		crypto_key_id(&k->keys[i], id);
		if (memcmp(id, wanted, sizeof id) == 0)
			return crypto_open(&k->keys[i], context, sealed, len, out, e);
	}
	(void)sodium_bin2hex(hex, sizeof hex, wanted, sizeof wanted);
	(void)err_set(e, ERR_INTERNAL, "wrong_key", "A secret was sealed with the key %s, which is not configured",
		      hex);
	return err_hint(e, "Give that key in secrets_previous_keys until secret rotate-key has run.");
}
