/*
 * token - the form of access tokens, and the hash that stands for one in the database.
 *
 * The Supabase CLI sends nothing that is not sbp_ or sbp_v0_ and 40 hexadecimal digits. A token is shown once and never
 * stored: its keyed hash is, so that a copy of the database alone lets nobody test a guess.
 */
#ifndef FA_AUTH_TOKEN_H
#define FA_AUTH_TOKEN_H

#include "core/crypto.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_SIZE 45 /* sbp_, 40 digits, NUL */
#define TOKEN_HASH_BYTES CRYPTO_HASH_BYTES

/* A new token: 160 random bits. */
void token_generate(char out[TOKEN_SIZE]);

/* True for sbp_ or sbp_v0_ and 40 lower-case hexadecimal digits. */
bool token_shape(const char *token);

/* key: crypto_subkey() of the master key for CRYPTO_ACCESS_TOKENS. The whole text is hashed, prefix included. */
void token_hash(const struct crypto_key *key, const char *token, uint8_t out[TOKEN_HASH_BYTES]);

#endif
