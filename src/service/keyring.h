/*
 * keyring - the keys that seal secrets: one for new values, and those that still open old ones.
 *
 * Every configured key (secrets_key, else the output of secrets_key_command, else master_key; secrets_previous_keys;
 * master_key again, so that setting a secrets_key loses nothing) is a parent: what seals is its subkey for secrets.
 * Immutable once made, so that threads share it. ERR_CONFIG where a key is missing or malformed; no message holds one.
 */
#ifndef FA_SERVICE_KEYRING_H
#define FA_SERVICE_KEYRING_H

#include "core/config.h"
#include "core/crypto.h"

struct keyring;

MUST_CHECK bool keyring_new(struct keyring **out, const struct config *cfg, struct err *e);
void keyring_free(struct keyring *k);

/* The key that new values are sealed with. */
const struct crypto_key *keyring_current(const struct keyring *k);

/* As crypto_open(), with whichever key sealed the value. ERR_INTERNAL "wrong_key" where none of ours did. */
MUST_CHECK bool keyring_open(const struct keyring *k, const char *context, const void *sealed, size_t len,
			     struct buf *out, struct err *e);

#endif
