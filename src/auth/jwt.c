#include "auth/jwt.h"

#include "core/json.h"
#include "core/log.h"
#include "core/text.h"

#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define JWKS_MAX ((size_t)256 * 1024)
#define KEYS_MAX 64
#define SECRETS_MAX 16
#define RSA_MIN_BITS 2048
#define P256_BYTES 32
/* 9999-12-31T23:59:59Z, the last second that an expiry can be written with (core/text.h). */
#define LAST_SECOND INT64_C(253402300799)
#define HMAC_MIN_BYTES 32 /* RFC 7518, 3.2: no shorter than the hash */

struct key {
	jwt_alg_t alg; /* the one algorithm that this key verifies */
	char *kid;     /* NULL: any token may try it */
	uint8_t *data; /* HS256: the secret; else the public key as PEM */
	size_t len;
};

struct jwt_verifier {
	struct key keys[SECRETS_MAX + KEYS_MAX];
	size_t count;
};

/* ---- Loading keys. ---- */

/* Copies data and kid into a new key of the verifier. */
static bool add_key(struct jwt_verifier *v, jwt_alg_t alg, const char *kid, const void *data, size_t len, struct err *e)
{
	struct key *k = &v->keys[v->count];

	k->alg = alg;
	k->len = len;
	k->data = malloc(len);
	k->kid = kid != NULL ? strdup(kid) : NULL;
	v->count++;
	if (k->data == NULL || (kid != NULL && k->kid == NULL))
		return err_no_memory(e);
	memcpy(k->data, data, len);
	return true;
}

static bool bad_key(struct err *e, size_t number, const char *what)
{
	(void)err_set(e, ERR_CONFIG, NULL, "Option jwks: key %zu %s", number, what);
	return err_hint(e, "Copy the JWK Set again from where the keys were made.");
}

/* The bytes of a base64url member; NULL when it is absent or no strict base64url. */
static uint8_t *key_bytes(struct arena *a, const json_t *jwk, const char *name, size_t *len)
{
	const json_t *value = json_object_get(jwk, name);

	if (!json_is_string(value))
		return NULL;
	return text_base64url_decode(a, json_string_value(value), json_string_length(value), len);
}

/* Builds a public key and gives it as PEM in a memory BIO, the form that libjwt reads. NULL for no valid key. */
static BIO *public_pem(const char *type, OSSL_PARAM_BLD *build)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY_CTX *check = NULL;
	EVP_PKEY *key = NULL;
	BIO *pem = NULL;

	if (params == NULL || make == NULL || EVP_PKEY_fromdata_init(make) != 1 ||
	    EVP_PKEY_fromdata(make, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		goto out;
	/* A point off its curve, or an RSA exponent of 1, would let anybody sign. */
	check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	if (check == NULL || EVP_PKEY_public_check(check) != 1)
		goto out;
	pem = BIO_new(BIO_s_mem());
	if (pem != NULL && PEM_write_bio_PUBKEY(pem, key) != 1) {
		BIO_free(pem);
		pem = NULL;
	}
out:
	EVP_PKEY_CTX_free(check);
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(make);
	OSSL_PARAM_free(params);
	ERR_clear_error();
	return pem;
}

static bool add_pem(struct jwt_verifier *v, jwt_alg_t alg, const char *kid, BIO *pem, size_t number, struct err *e)
{
	char *text;
	long len = pem != NULL ? BIO_get_mem_data(pem, &text) : 0;
	bool ok = len > 0 ? add_key(v, alg, kid, text, (size_t)len, e) : bad_key(e, number, "is no valid public key");

	BIO_free(pem);
	return ok;
}

static bool add_ec(struct jwt_verifier *v, struct arena *a, const json_t *jwk, const char *kid, size_t number,
		   struct err *e)
{
	uint8_t point[1 + 2 * P256_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
	size_t x_len = 0;
	size_t y_len = 0;
	uint8_t *x = key_bytes(a, jwk, "x", &x_len);
	uint8_t *y = key_bytes(a, jwk, "y", &y_len);
	OSSL_PARAM_BLD *build;
	BIO *pem = NULL;

	/* RFC 7518, 6.2.1.2: the full width of the field, leading zeros included. */
	if (x == NULL || y == NULL || x_len != P256_BYTES || y_len != P256_BYTES)
		return bad_key(e, number, "has coordinates that are not 32 bytes in base64url");
	memcpy(point + 1, x, P256_BYTES);
	memcpy(point + 1 + P256_BYTES, y, P256_BYTES);
	build = OSSL_PARAM_BLD_new();
	if (build != NULL && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
		pem = public_pem("EC", build);
	OSSL_PARAM_BLD_free(build);
	return add_pem(v, JWT_ALG_ES256, kid, pem, number, e);
}

static bool add_rsa(struct jwt_verifier *v, struct arena *a, const json_t *jwk, const char *kid, size_t number,
		    struct err *e)
{
	size_t n_len = 0;
	size_t e_len = 0;
	uint8_t *n_bytes = key_bytes(a, jwk, "n", &n_len);
	uint8_t *e_bytes = key_bytes(a, jwk, "e", &e_len);
	OSSL_PARAM_BLD *build = NULL;
	BIGNUM *modulus = NULL;
	BIGNUM *exponent = NULL;
	BIO *pem = NULL;
	bool ok;

	if (n_bytes == NULL || e_bytes == NULL || n_len > 2048 || e_len > 8)
		return bad_key(e, number, "has a modulus or an exponent that is not base64url of a fitting length");
	modulus = BN_bin2bn(n_bytes, (int)n_len, NULL);
	exponent = BN_bin2bn(e_bytes, (int)e_len, NULL);
	if (modulus != NULL && BN_num_bits(modulus) < RSA_MIN_BITS) {
		log_warn("Option jwks: key %zu is an RSA key of %d bits and is not used; %d bits are the least", number,
			 BN_num_bits(modulus), RSA_MIN_BITS);
		ok = true;
		goto out;
	}
	build = OSSL_PARAM_BLD_new();
	if (modulus != NULL && exponent != NULL && build != NULL &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
		pem = public_pem("RSA", build);
	ok = add_pem(v, JWT_ALG_RS256, kid, pem, number, e);
out:
	OSSL_PARAM_BLD_free(build);
	BN_free(modulus);
	BN_free(exponent);
	return ok;
}

static bool add_oct(struct jwt_verifier *v, struct arena *a, const json_t *jwk, const char *kid, size_t number,
		    struct err *e)
{
	size_t len = 0;
	uint8_t *secret = key_bytes(a, jwk, "k", &len);
	bool ok;

	if (secret == NULL)
		return bad_key(e, number, "has no secret in base64url");
	if (len < HMAC_MIN_BYTES) {
		log_warn("Option jwks: key %zu is a secret of %zu bytes and is not used; %d bytes are the least",
			 number, len, HMAC_MIN_BYTES);
		ok = true;
	} else {
		ok = add_key(v, JWT_ALG_HS256, kid, secret, len, e);
	}
	sodium_memzero(secret, len);
	return ok;
}

/* True where the member is absent or has this text. */
static bool absent_or(const json_t *jwk, const char *name, const char *text)
{
	const json_t *value = json_object_get(jwk, name);

	return value == NULL || (json_is_string(value) && text_eq(json_string_value(value), text));
}

/* RFC 7517, 4.2 to 4.4: what the key says about its own use. */
static bool may_verify(const json_t *jwk, const char *alg)
{
	const json_t *operations = json_object_get(jwk, "key_ops");
	bool verifies = operations == NULL;

	for (size_t i = 0; i < json_array_size(operations); i++) {
		const json_t *operation = json_array_get(operations, i);

		if (json_is_string(operation) && text_eq(json_string_value(operation), "verify"))
			verifies = true;
	}
	return verifies && absent_or(jwk, "use", "sig") && absent_or(jwk, "alg", alg);
}

static bool add_jwk(struct jwt_verifier *v, struct arena *a, const json_t *jwk, size_t number, struct err *e)
{
	const json_t *kid = json_object_get(jwk, "kid");
	const char *id = json_string_value(kid);

	if (!json_is_object(jwk) || !json_is_string(json_object_get(jwk, "kty")))
		return bad_key(e, number, "is no JWK: it has no kty");
	if (kid != NULL && id == NULL)
		return bad_key(e, number, "has a kid that is no string");
	if (absent_or(jwk, "kty", "EC") && json_object_get(jwk, "crv") != NULL && absent_or(jwk, "crv", "P-256") &&
	    may_verify(jwk, "ES256"))
		return add_ec(v, a, jwk, id, number, e);
	if (absent_or(jwk, "kty", "RSA") && may_verify(jwk, "RS256"))
		return add_rsa(v, a, jwk, id, number, e);
	if (absent_or(jwk, "kty", "oct") && may_verify(jwk, "HS256"))
		return add_oct(v, a, jwk, id, number, e);
	log_debug("Option jwks: key %zu is of a kind or for a use that is not ours, and is skipped", number);
	return true;
}

static bool add_jwks(struct jwt_verifier *v, struct arena *a, const char *text, struct err *e)
{
	json_t *root = json_parse(a, "Option jwks", text, strlen(text), JWKS_MAX, e);
	json_t *keys = json_is_object(root) ? json_object_get(root, "keys") : root;

	if (root == NULL && e->kind == ERR_NO_MEMORY)
		return false;
	if (root == NULL) {
		e->kind = ERR_CONFIG;
		(void)snprintf(e->code, sizeof e->code, "configuration");
		return err_hint(e, "Give a JWK Set, {\"keys\": [...]}, or its array of keys.");
	}
	if (!json_is_array(keys)) {
		(void)err_set(e, ERR_CONFIG, NULL, "Option jwks: the value is neither a JWK Set nor an array of keys");
		return err_hint(e, "Give a JWK Set, {\"keys\": [...]}, or its array of keys.");
	}
	if (json_array_size(keys) > KEYS_MAX) {
		(void)err_set(e, ERR_CONFIG, NULL, "Option jwks: there are more than %d keys", KEYS_MAX);
		return err_hint(e, "Take out the keys that sign nothing any more.");
	}
	for (size_t i = 0; i < json_array_size(keys); i++)
		if (!add_jwk(v, a, json_array_get(keys, i), i + 1, e))
			return false;
	return true;
}

bool jwt_verifier_new(struct jwt_verifier **out, const char *const *secrets, const char *jwks, struct err *e)
{
	struct jwt_verifier *v = calloc(1, sizeof *v);
	struct arena *a = arena_new(0);
	bool ok = false;

	*out = NULL;
	if (v == NULL || a == NULL) {
		(void)err_no_memory(e);
		goto out;
	}
	for (; secrets != NULL && *secrets != NULL; secrets++) {
		if (v->count == SECRETS_MAX) {
			(void)err_set(e, ERR_CONFIG, NULL, "There are more than %d JWT secrets", SECRETS_MAX);
			(void)err_hint(e, "Take out the secrets that sign nothing any more.");
			goto out;
		}
		if (!add_key(v, JWT_ALG_HS256, NULL, *secrets, strlen(*secrets), e))
			goto out;
	}
	if (jwks != NULL && !add_jwks(v, a, jwks, e))
		goto out;
	*out = v;
	v = NULL;
	ok = true;
out:
	jwt_verifier_free(v);
	arena_free(a);
	return ok;
}

void jwt_verifier_free(struct jwt_verifier *v)
{
	if (v == NULL)
		return;
	for (size_t i = 0; i < v->count; i++) {
		struct key *k = &v->keys[i];

		if (k->data != NULL)
			sodium_memzero(k->data, k->len);
		free(k->data);
		free(k->kid);
	}
	free(v);
}

/* ---- Verifying a token. ---- */

enum { HEADER, PAYLOAD, SIGNATURE, PARTS };

struct parts {
	const char *text[PARTS]; /* into the token, not terminated */
	size_t len[PARTS];
};

static bool malformed(struct err *e, const char *what)
{
	return err_set(e, ERR_UNAUTHORIZED, "token_malformed", "The token is malformed: %s", what);
}

static bool split(const char *token, struct parts *p, struct err *e)
{
	if (strnlen(token, JWT_MAX_TOKEN + 1) > JWT_MAX_TOKEN)
		return malformed(e, "it is too long");
	for (int i = HEADER; i < PARTS; i++) {
		p->text[i] = token;
		p->len[i] = strcspn(token, ".");
		token += p->len[i];
		if (*token != (i == SIGNATURE ? '\0' : '.'))
			return malformed(e, "it does not have three parts");
		if (p->len[i] == 0)
			return malformed(e, i == SIGNATURE ? "it has no signature" : "a part of it is empty");
		token++;
	}
	return true;
}

/* A part as a JSON object. What the JSON reader says would quote the token, so it is not passed on. */
static json_t *object_of(struct arena *a, const struct parts *p, int part, struct err *e)
{
	struct err reading = ERR_INIT;
	size_t len = 0;
	uint8_t *text = text_base64url_decode(a, p->text[part], p->len[part], &len);
	json_t *object = NULL;

	if (text != NULL)
		object = json_parse(a, "token", (const char *)text, len, JWT_MAX_TOKEN, &reading);
	if (reading.kind == ERR_NO_MEMORY) {
		(void)err_no_memory(e);
		return NULL;
	}
	if (!json_is_object(object)) {
		(void)malformed(e, part == HEADER ? "its header is not strict base64url of one JSON object"
						  : "its payload is not strict base64url of one JSON object");
		return NULL;
	}
	return object;
}

struct header {
	jwt_alg_t alg;
	const char *kid; /* NULL where absent */
};

static bool read_header(struct arena *a, const struct parts *p, struct header *out, struct err *e)
{
	/* RFC 8725, 3.10: keys and addresses of keys that a token brings along are never followed. */
	static const char *const refused[] = {"crit", "jwk", "jku", "x5u", "x5c"};
	static const jwt_alg_t accepted[] = {JWT_ALG_HS256, JWT_ALG_ES256, JWT_ALG_RS256};
	const json_t *header = object_of(a, p, HEADER, e);
	const json_t *type;
	const json_t *kid;
	const char *alg;

	if (header == NULL)
		return false;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		if (json_object_get(header, refused[i]) != NULL)
			return malformed(e, "its header has a member that is not accepted (crit, jwk, jku, x5u, x5c)");
	type = json_object_get(header, "typ");
	if (type != NULL && (!json_is_string(type) || strcasecmp(json_string_value(type), "JWT") != 0))
		return malformed(e, "its type is not JWT");
	kid = json_object_get(header, "kid");
	if (kid != NULL && !json_is_string(kid))
		return malformed(e, "its kid is no string");
	out->kid = json_string_value(kid);
	alg = json_string_value(json_object_get(header, "alg"));
	if (alg == NULL)
		return malformed(e, "it names no algorithm");
	/* Names are case-sensitive (RFC 7515, 4.1.1). */
	for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
		if (text_eq(alg, jwt_alg_str(accepted[i]))) {
			out->alg = accepted[i];
			return true;
		}
	}
	return err_set(e, ERR_UNAUTHORIZED, "token_signature",
		       "The token's signature is of an algorithm that is not accepted");
}

/*
 * HS256 is computed here rather than by libjwt, whose comparison takes longer the more of a forged signature is right
 * (CVE-2024-25189, in all versions before 1.17).
 */
static bool hmac_verifies(const struct key *k, const struct parts *p, const uint8_t *signature)
{
	crypto_auth_hmacsha256_state state;
	uint8_t expected[crypto_auth_hmacsha256_BYTES];
	bool same;

	(void)crypto_auth_hmacsha256_init(&state, k->data, k->len);
	/* Header, dot and payload stand in one piece (RFC 7515, 5.2). */
	(void)crypto_auth_hmacsha256_update(&state, (const uint8_t *)p->text[HEADER],
					    p->len[HEADER] + 1 + p->len[PAYLOAD]);
	(void)crypto_auth_hmacsha256_final(&state, expected);
	same = sodium_memcmp(expected, signature, sizeof expected) == 0;
	sodium_memzero(&state, sizeof state);
	sodium_memzero(expected, sizeof expected);
	return same;
}

/* libjwt reads the algorithm from the header itself; that it saw the same as we did is checked afterwards. */
static bool public_key_verifies(const struct key *k, const char *token)
{
	jwt_t *decoded = NULL;
	bool ok = jwt_decode(&decoded, token, k->data, (int)k->len) == 0 && jwt_get_alg(decoded) == k->alg;

	jwt_free(decoded);
	/* What OpenSSL left in this thread's queue would be taken for an error of the next TLS call. */
	ERR_clear_error();
	return ok;
}

static bool signature_verifies(const struct jwt_verifier *v, const struct header *h, const struct parts *p,
			       const char *token, const uint8_t *signature, size_t signature_len)
{
	if (h->alg == JWT_ALG_HS256 && signature_len != crypto_auth_hmacsha256_BYTES)
		return false;
	for (size_t i = 0; i < v->count; i++) {
		const struct key *k = &v->keys[i];

		if (k->alg != h->alg || (h->kid != NULL && k->kid != NULL && !text_eq(h->kid, k->kid)))
			continue;
		if (k->alg == JWT_ALG_HS256 ? hmac_verifies(k, p, signature) : public_key_verifies(k, token))
			return true;
	}
	return false;
}

/* A time claim: whole seconds since the epoch, or absent. */
static bool read_time(const json_t *payload, const char *name, bool *present, int64_t *out)
{
	const json_t *value = json_object_get(payload, name);

	*present = value != NULL;
	if (value == NULL)
		return true;
	/* Kept far from the ends of the range, so that the leeway can be added. */
	if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > INT64_MAX / 2)
		return false;
	*out = json_integer_value(value);
	return true;
}

static bool read_text(const json_t *payload, const char *name, const char **out)
{
	const json_t *value = json_object_get(payload, name);

	*out = value != NULL ? json_string_value(value) : "";
	return *out != NULL;
}

static const char *text_or_empty(const json_t *payload, const char *name)
{
	const char *text = json_string_value(json_object_get(payload, name));

	return text != NULL ? text : "";
}

/* One text, or a list of them (RFC 7519, 4.1.3). */
static bool read_audience(struct arena *a, const json_t *payload, const char ***out, struct err *e)
{
	const json_t *aud = json_object_get(payload, "aud");
	size_t count = json_is_array(aud) ? json_array_size(aud) : 1;
	const char **list = arena_alloc(a, (count + 1) * sizeof *list);
	size_t n = 0;

	if (list == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++) {
		const char *text = json_string_value(json_is_array(aud) ? json_array_get(aud, i) : aud);

		if (text != NULL)
			list[n++] = text;
	}
	list[n] = NULL;
	*out = list;
	return true;
}

static bool read_claims(struct arena *a, const json_t *payload, int64_t now, struct jwt_claims *out, struct err *e)
{
	bool expires;
	bool starts;
	int64_t expires_at = 0;
	int64_t starts_at = 0;

	if (!read_time(payload, "exp", &expires, &expires_at) || !read_time(payload, "nbf", &starts, &starts_at))
		return malformed(e, "exp or nbf is not a whole number of seconds");
	if (!read_text(payload, "role", &out->role) || !read_text(payload, "sub", &out->subject))
		return malformed(e, "role or sub is no string");
	out->issuer = text_or_empty(payload, "iss");
	out->client = text_or_empty(payload, "client_id");
	if (!read_audience(a, payload, &out->audience, e))
		return false;
	/* RFC 7519, 4.1.4: "on or after" exp a token must not be accepted, with some leeway for clocks. */
	if (expires && now - JWT_LEEWAY_SECONDS >= expires_at)
		return err_set(e, ERR_UNAUTHORIZED, "token_expired", "The token is expired");
	if (starts && now + JWT_LEEWAY_SECONDS < starts_at)
		return err_set(e, ERR_UNAUTHORIZED, "token_not_yet_valid", "The token is not valid yet");
	out->expires_at = expires_at < LAST_SECOND ? expires_at : LAST_SECOND;
	return true;
}

bool jwt_verify(const struct jwt_verifier *v, struct arena *a, const char *token, int64_t now, struct jwt_claims *out,
		struct err *e)
{
	struct parts p = {0};
	struct header header = {.alg = JWT_ALG_NONE};
	const json_t *payload;
	uint8_t *signature;
	size_t signature_len = 0;

	if (!split(token, &p, e) || !read_header(a, &p, &header, e))
		return false;
	signature = text_base64url_decode(a, p.text[SIGNATURE], p.len[SIGNATURE], &signature_len);
	if (signature == NULL)
		return malformed(e, "its signature is not strict base64url");
	/* Nothing in the payload counts before the signature is proved; here it only has to be one object. */
	payload = object_of(a, &p, PAYLOAD, e);
	if (payload == NULL)
		return false;
	if (!signature_verifies(v, &header, &p, token, signature, signature_len))
		return err_set(e, ERR_UNAUTHORIZED, "token_signature", "The token's signature does not verify");
	return read_claims(a, payload, now, out, e);
}

bool jwt_knows_key(const struct jwt_verifier *v, struct arena *a, const char *token)
{
	struct parts p = {0};
	struct header header = {.alg = JWT_ALG_NONE};
	struct err ignored = ERR_INIT;

	if (!split(token, &p, &ignored) || !read_header(a, &p, &header, &ignored) || header.kid == NULL)
		return true;
	for (size_t i = 0; i < v->count; i++)
		if (v->keys[i].kid != NULL && text_eq(v->keys[i].kid, header.kid))
			return true;
	return false;
}
