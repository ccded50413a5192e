#include "core/crypto.h"

#include "core/text.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SEAL_FORM 1
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define HEAD_BYTES (1 + CRYPTO_KEY_ID_BYTES)

_Static_assert(CRYPTO_SEAL_OVERHEAD == HEAD_BYTES + NONCE_BYTES + TAG_BYTES, "the header states the overhead");
_Static_assert(CRYPTO_KEY_BYTES == crypto_kdf_KEYBYTES, "the master key is a key of crypto_kdf");
_Static_assert(CRYPTO_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "subkeys seal");

/* What OpenSSL cannot load when it is first used, for want of memory say, it goes without for good: so that is now. */
static bool load_openssl(void)
{
	struct sha256 *h = sha256_new();
	uint8_t out[SHA256_BYTES];
	bool ok = h != NULL && sha256_final(h, out) &&
		  HMAC(EVP_sha256(), "key", 3, (const unsigned char *)"text", 4, out, NULL) != NULL;

	sha256_free(h);
	return ok;
}

bool crypto_init(struct err *e)
{
	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, NULL, "libsodium cannot start: the system gives no random numbers");
	return load_openssl() || err_set(e, ERR_INTERNAL, NULL, "OpenSSL has no SHA-256");
}

void crypto_random(void *out, size_t len)
{
	randombytes_buf(out, len);
}

void crypto_random_hex(char *out, size_t bytes)
{
	uint8_t raw[32];

	out[0] = '\0';
	while (bytes > 0) {
		size_t n = bytes < sizeof raw ? bytes : sizeof raw;

		randombytes_buf(raw, n);
		text_hex(raw, n, out);
		out += 2 * n;
		bytes -= n;
	}
	sodium_memzero(raw, sizeof raw);
}

void crypto_uuid(char out[CRYPTO_UUID_SIZE])
{
	uint8_t raw[16];
	char hex[33];

	randombytes_buf(raw, sizeof raw);
	raw[6] = (uint8_t)((raw[6] & 0x0F) | 0x40); /* version 4 */
	raw[8] = (uint8_t)((raw[8] & 0x3F) | 0x80); /* the variant of RFC 9562, 4.1 */
	text_hex(raw, sizeof raw, hex);
	(void)snprintf(out, CRYPTO_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

struct sha256 {
	EVP_MD_CTX *context;
	bool failed;
};

static void start(struct sha256 *h)
{
	h->failed = EVP_DigestInit_ex(h->context, EVP_sha256(), NULL) != 1;
}

struct sha256 *sha256_new(void)
{
	struct sha256 *h = calloc(1, sizeof *h);

	if (h == NULL)
		return NULL;
	h->context = EVP_MD_CTX_new();
	if (h->context == NULL) {
		free(h);
		return NULL;
	}
	start(h);
	return h;
}

void sha256_update(struct sha256 *h, const void *data, size_t len)
{
	if (!h->failed && EVP_DigestUpdate(h->context, data, len) != 1)
		h->failed = true;
}

bool sha256_final(struct sha256 *h, uint8_t out[SHA256_BYTES])
{
	bool ok = !h->failed && EVP_DigestFinal_ex(h->context, out, NULL) == 1;

	if (!ok)
		memset(out, 0, SHA256_BYTES);
	start(h);
	return ok;
}

void sha256_free(struct sha256 *h)
{
	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->context);
	free(h);
}

bool crypto_sha256(const void *data, size_t len, uint8_t out[SHA256_BYTES])
{
	return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1;
}

bool crypto_master_key(const char *hex, struct crypto_key *out, struct err *e)
{
	if (text_unhex(hex, out->bytes, sizeof out->bytes))
		return true;
	(void)err_set(e, ERR_CONFIG, NULL, "Option master_key: the value is not 64 hexadecimal digits");
	return err_hint(e, "Make one with: openssl rand -hex 32");
}

void crypto_subkey(const struct crypto_key *master, enum crypto_purpose purpose, struct crypto_key *out)
{
	static const char context[crypto_kdf_CONTEXTBYTES + 1] = "fn-admin";

	(void)crypto_kdf_derive_from_key(out->bytes, sizeof out->bytes, (uint64_t)purpose, context, master->bytes);
}

void crypto_key_wipe(struct crypto_key *key)
{
	sodium_memzero(key, sizeof *key);
}

void crypto_keyed_hash(const struct crypto_key *key, const void *data, size_t len, uint8_t out[CRYPTO_HASH_BYTES])
{
	(void)crypto_generichash(out, CRYPTO_HASH_BYTES, data, len, key->bytes, sizeof key->bytes);
}

void crypto_fingerprint(const struct crypto_key *master, uint8_t out[CRYPTO_HASH_BYTES])
{
	static const char text[] = "functions-admin";
	struct crypto_key key;

	crypto_subkey(master, CRYPTO_FINGERPRINT, &key);
	crypto_keyed_hash(&key, text, sizeof text - 1, out);
	crypto_key_wipe(&key);
}

void crypto_events_token(const struct crypto_key *master, const char *project_ref, char out[CRYPTO_EVENTS_TOKEN_SIZE])
{
	static const char prefix[] = "fae_";
	uint8_t hash[CRYPTO_HASH_BYTES];
	struct crypto_key key;

	crypto_subkey(master, CRYPTO_EVENTS, &key);
	crypto_keyed_hash(&key, project_ref, strlen(project_ref), hash);
	crypto_key_wipe(&key);
	memcpy(out, prefix, sizeof prefix);
	(void)sodium_bin2hex(out + sizeof prefix - 1, CRYPTO_EVENTS_TOKEN_SIZE - sizeof prefix + 1, hash, sizeof hash);
}

void crypto_key_id(const struct crypto_key *key, uint8_t out[CRYPTO_KEY_ID_BYTES])
{
	static const char label[] = "key id";
	uint8_t hash[CRYPTO_HASH_BYTES];

	crypto_keyed_hash(key, label, sizeof label - 1, hash);
	memcpy(out, hash, CRYPTO_KEY_ID_BYTES);
}

bool crypto_sealed_key_id(const void *sealed, size_t len, uint8_t out[CRYPTO_KEY_ID_BYTES])
{
	const uint8_t *bytes = sealed;

	if (len < CRYPTO_SEAL_OVERHEAD || bytes[0] != SEAL_FORM)
		return false;
	memcpy(out, bytes + 1, CRYPTO_KEY_ID_BYTES);
	return true;
}

/* What the tag covers beside the text: the head, so that it cannot be exchanged, and the context. */
static bool associated(const uint8_t head[HEAD_BYTES], const char *context, struct buf *out)
{
	buf_put(out, head, HEAD_BYTES);
	buf_puts(out, context);
	return !out->failed;
}

bool crypto_seal(const struct crypto_key *key, const char *context, const void *plain, size_t len, struct buf *out,
		 struct err *e)
{
	struct buf with = BUF_INIT((size_t)64 * 1024);
	uint8_t head[HEAD_BYTES] = {SEAL_FORM};
	uint8_t nonce[NONCE_BYTES];
	uint8_t *sealed = len <= SIZE_MAX - TAG_BYTES ? malloc(len + TAG_BYTES) : NULL;
	bool ok = false;

	crypto_key_id(key, head + 1);
	randombytes_buf(nonce, sizeof nonce);
	if (sealed == NULL || !associated(head, context, &with)) {
		(void)err_no_memory(e);
		goto out;
	}
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL, plain, len, (const uint8_t *)with.data, with.len,
							 NULL, nonce, key->bytes);
	buf_put(out, head, sizeof head);
	buf_put(out, nonce, sizeof nonce);
	buf_put(out, sealed, len + TAG_BYTES);
	ok = !out->failed || err_no_memory(e);
out:
	free(sealed);
	buf_free(&with);
	return ok;
}

bool crypto_open(const struct crypto_key *key, const char *context, const void *sealed, size_t len, struct buf *out,
		 struct err *e)
{
	struct buf with = BUF_INIT((size_t)64 * 1024);
	const uint8_t *bytes = sealed;
	uint8_t id[CRYPTO_KEY_ID_BYTES];
	uint8_t *plain = NULL;
	size_t plain_len = 0;
	bool ok = false;

	if (len < CRYPTO_SEAL_OVERHEAD || bytes[0] != SEAL_FORM)
		return err_set(e, ERR_INTERNAL, "not_sealed_here", "A sealed value is damaged");
	crypto_key_id(key, id);
	if (memcmp(id, bytes + 1, sizeof id) != 0) {
		(void)err_set(e, ERR_INTERNAL, "wrong_key", "A sealed value was sealed with another master key");
		return err_hint(e, "Give the master_key that was configured when the value was stored.");
	}
	plain_len = len - CRYPTO_SEAL_OVERHEAD;
	plain = malloc(plain_len + 1);
	if (plain == NULL || !associated(bytes, context, &with)) {
		(void)err_no_memory(e);
		goto out;
	}
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, bytes + HEAD_BYTES + NONCE_BYTES,
						       len - HEAD_BYTES - NONCE_BYTES, (const uint8_t *)with.data,
						       with.len, bytes + HEAD_BYTES, key->bytes) != 0) {
		(void)err_set(e, ERR_INTERNAL, "not_sealed_here",
			      "A sealed value is damaged, or was sealed for another place");
		goto out;
	}
	buf_put(out, plain, plain_len);
	ok = !out->failed || err_no_memory(e);
out:
	if (plain != NULL)
		sodium_memzero(plain, plain_len + 1);
	free(plain);
	buf_free(&with);
	return ok;
}
