/*
 * crypto - random values, hashes, and sealing, over libsodium and OpenSSL.
 *
 * crypto_init() comes first, once, before any thread. Then all functions may be called by any thread; a struct sha256
 * belongs to one. Keys are plain values: wipe them with crypto_key_wipe() where they end.
 *
 * One master key is configured. It is never used itself: each purpose has a subkey of its own, so that what is computed
 * for one proves nothing in another.
 */
#ifndef FA_CORE_CRYPTO_H
#define FA_CORE_CRYPTO_H

#include "core/buf.h"
#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRYPTO_HASH_BYTES 32
#define CRYPTO_KEY_BYTES 32
#define CRYPTO_UUID_SIZE 37 /* with its NUL */
#define SHA256_BYTES 32
#define SHA256_HEX_SIZE 65 /* with its NUL */

MUST_CHECK bool crypto_init(struct err *e);

void crypto_random(void *out, size_t len);

/* `bytes` random bytes as lower-case hexadecimal; out needs 2 * bytes + 1. */
void crypto_random_hex(char *out, size_t bytes);

/* A random UUID (RFC 9562, version 4), in lower case. */
void crypto_uuid(char out[CRYPTO_UUID_SIZE]);

/* SHA-256 of data that comes in pieces. By OpenSSL, which uses the processor's own instructions for it. */
struct sha256;

/* NULL when memory is out. */
struct sha256 *sha256_new(void);
void sha256_update(struct sha256 *h, const void *data, size_t len);
/* Writes the digest and starts anew. False when OpenSSL failed at any piece; out is zero then. */
MUST_CHECK bool sha256_final(struct sha256 *h, uint8_t out[SHA256_BYTES]);
void sha256_free(struct sha256 *h);

/* SHA-256 of one piece; false when OpenSSL failed, which means that memory is out. */
MUST_CHECK bool crypto_sha256(const void *data, size_t len, uint8_t out[SHA256_BYTES]);

struct crypto_key {
	uint8_t bytes[CRYPTO_KEY_BYTES];
};

/* The number of a purpose is part of what is stored: never change or reuse one. */
enum crypto_purpose {
	CRYPTO_ACCESS_TOKENS = 1,
	CRYPTO_SECRETS = 2,
	CRYPTO_AUDIT = 3,
	CRYPTO_IDEMPOTENCY = 4,
	CRYPTO_PROJECT_KEYS = 5,
	CRYPTO_EVENTS = 6,
	CRYPTO_FINGERPRINT = 7
};

/* Reads the option master_key; ERR_CONFIG where it is not 64 hexadecimal digits. */
MUST_CHECK bool crypto_master_key(const char *hex, struct crypto_key *out, struct err *e);

void crypto_subkey(const struct crypto_key *master, enum crypto_purpose purpose, struct crypto_key *out);
void crypto_key_wipe(struct crypto_key *key);

/* BLAKE2b with a key: nobody computes or tests it without the key. */
void crypto_keyed_hash(const struct crypto_key *key, const void *data, size_t len, uint8_t out[CRYPTO_HASH_BYTES]);

/* Tells master keys apart, and nothing about them: what a database has of the one that it belongs to. */
void crypto_fingerprint(const struct crypto_key *master, uint8_t out[CRYPTO_HASH_BYTES]);

/* The token of the runtime's event service: it may hand in events of this project, and nothing else. */
#define CRYPTO_EVENTS_TOKEN_SIZE 69
void crypto_events_token(const struct crypto_key *master, const char *project_ref, char out[CRYPTO_EVENTS_TOKEN_SIZE]);

/*
 * Sealing: XChaCha20-Poly1305 with a random nonce. `context` says what the value is ("secret:REF:NAME"); it is not
 * stored, but opening demands the same, so that a sealed value cannot be moved to another place.
 *
 * The form: one byte 1, the key's id (4 bytes), the nonce (24), the text with its tag. The id tells which key sealed a
 * value, so that keys can be changed while old values are still there.
 */
#define CRYPTO_KEY_ID_BYTES 4
#define CRYPTO_SEAL_OVERHEAD 45

void crypto_key_id(const struct crypto_key *key, uint8_t out[CRYPTO_KEY_ID_BYTES]);

/* False for bytes that cannot be a sealed value. */
bool crypto_sealed_key_id(const void *sealed, size_t len, uint8_t out[CRYPTO_KEY_ID_BYTES]);

/* Appends len + CRYPTO_SEAL_OVERHEAD bytes to out. Fails only when out cannot take them. */
MUST_CHECK bool crypto_seal(const struct crypto_key *key, const char *context, const void *plain, size_t len,
			    struct buf *out, struct err *e);

/*
 * Appends the text to out; wipe it afterwards (buf_wipe). ERR_INTERNAL with the code "wrong_key" for a value that
 * another key sealed, or "not_sealed_here" for one that was changed, cut, or sealed for another context.
 */
MUST_CHECK bool crypto_open(const struct crypto_key *key, const char *context, const void *sealed, size_t len,
			    struct buf *out, struct err *e);

#endif
