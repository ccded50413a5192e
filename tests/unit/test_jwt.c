/*
 * Tokens made here by OpenSSL and libsodium, good ones for each algorithm and forged ones in every way that we know.
 */
#include "auth/jwt.h"

#include "core/buf.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>

#define SECRET "super-secret-jwt-token-with-at-least-32-characters"
#define OLD_SECRET "an-older-secret-that-still-verifies-old-tokens"
#define OCT_SECRET "oct-secret-oct-secret-oct-secret-0123456789"
#define NOW ((int64_t)1800000000)
#define GOOD_PAYLOAD "{\"role\":\"service_role\",\"sub\":\"me\",\"exp\":1800003600}"

static EVP_PKEY *ec_key;
static EVP_PKEY *rsa_key;
static EVP_PKEY *small_rsa_key;
static char *jwks;
static struct jwt_verifier *verifier;
static struct arena *arena;

/* ---- Making tokens and keys. ---- */

static char *b64(const void *data, size_t len)
{
	size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	char *out = arena_alloc(arena, size);

	assert_non_null(out);
	return sodium_bin2base64(out, size, data, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static char *b64_text(const char *s)
{
	return b64(s, strlen(s));
}

static char *hmac_token(const char *head_and_payload, const void *secret, size_t len)
{
	crypto_auth_hmacsha256_state state;
	uint8_t mac[crypto_auth_hmacsha256_BYTES];

	crypto_auth_hmacsha256_init(&state, secret, len);
	crypto_auth_hmacsha256_update(&state, (const uint8_t *)head_and_payload, strlen(head_and_payload));
	crypto_auth_hmacsha256_final(&state, mac);
	return arena_printf(arena, "%s.%s", head_and_payload, b64(mac, sizeof mac));
}

static size_t sign_der(EVP_PKEY *key, const EVP_MD *hash, const char *text, uint8_t out[1024])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t len = 1024;

	assert_int_equal(EVP_DigestSignInit(context, NULL, hash, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(context, out, &len, (const uint8_t *)text, strlen(text)), 1);
	EVP_MD_CTX_free(context);
	return len;
}

/* ECDSA signatures stand in a JWS as r and s, 32 bytes each (RFC 7518, 3.4), not in DER. */
static void ec_raw(const uint8_t *der, size_t len, uint8_t out[64])
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);

	assert_non_null(sig);
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32);
	ECDSA_SIG_free(sig);
}

enum signer {
	BY_SECRET,
	BY_OLD_SECRET,
	BY_OCT,
	BY_OTHER_SECRET,
	BY_EC,
	BY_EC_DER,
	BY_RSA,
	BY_SMALL_RSA,
	BY_RSA_SHA512
};

static char *make(const char *header, const char *payload, enum signer signer)
{
	char *text = arena_printf(arena, "%s.%s", b64_text(header), b64_text(payload));
	uint8_t sig[1024];
	uint8_t raw[64];
	size_t len;

	switch (signer) {
	case BY_SECRET:
		return hmac_token(text, SECRET, strlen(SECRET));
	case BY_OLD_SECRET:
		return hmac_token(text, OLD_SECRET, strlen(OLD_SECRET));
	case BY_OCT:
		return hmac_token(text, OCT_SECRET, strlen(OCT_SECRET));
	case BY_OTHER_SECRET:
		return hmac_token(text, "not-a-secret-of-this-project-0123456789", 39);
	case BY_EC:
		len = sign_der(ec_key, EVP_sha256(), text, sig);
		ec_raw(sig, len, raw);
		return arena_printf(arena, "%s.%s", text, b64(raw, sizeof raw));
	case BY_EC_DER:
		len = sign_der(ec_key, EVP_sha256(), text, sig);
		break;
	case BY_RSA:
		len = sign_der(rsa_key, EVP_sha256(), text, sig);
		break;
	case BY_RSA_SHA512:
		len = sign_der(rsa_key, EVP_sha512(), text, sig);
		break;
	default:
		len = sign_der(small_rsa_key, EVP_sha256(), text, sig);
		break;
	}
	return arena_printf(arena, "%s.%s", text, b64(sig, len));
}

static char *bn_param(EVP_PKEY *key, const char *name, size_t width)
{
	BIGNUM *bn = NULL;
	uint8_t bytes[1024];
	char *out;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &bn), 1);
	if (width == 0)
		width = (size_t)BN_num_bytes(bn);
	assert_true(BN_bn2binpad(bn, bytes, (int)width) > 0);
	out = b64(bytes, width);
	BN_free(bn);
	return out;
}

static char *ec_jwk(const char *more)
{
	return arena_printf(arena, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"%s}",
			    bn_param(ec_key, OSSL_PKEY_PARAM_EC_PUB_X, 32),
			    bn_param(ec_key, OSSL_PKEY_PARAM_EC_PUB_Y, 32), more);
}

static char *rsa_jwk(EVP_PKEY *key, const char *more)
{
	return arena_printf(arena, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}",
			    bn_param(key, OSSL_PKEY_PARAM_RSA_N, 0), bn_param(key, OSSL_PKEY_PARAM_RSA_E, 0), more);
}

static int group_setup(void **state)
{
	static const char *const secrets[] = {SECRET, OLD_SECRET, NULL};
	struct err e = ERR_INIT;

	(void)state;
	assert_true(crypto_init(&e));
	/* Keys that are skipped are warned of; the test's output need not show it. */
	assert_true(log_setup("error", "text"));
	arena = arena_new(0);
	ec_key = EVP_EC_gen("P-256");
	rsa_key = EVP_RSA_gen(2048);
	small_rsa_key = EVP_RSA_gen(1024);
	if (arena == NULL || ec_key == NULL || rsa_key == NULL || small_rsa_key == NULL)
		return -1;
	jwks = arena_printf(arena,
			    "{\"keys\":[%s,%s,%s,{\"kty\":\"oct\",\"kid\":\"oct-1\",\"k\":\"%s\",\"alg\":\"HS256\"},"
			    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"},{\"kty\":\"EC\",\"crv\":\"P-384\","
			    "\"x\":\"AA\",\"y\":\"AA\"}]}",
			    ec_jwk(",\"kid\":\"ec-1\",\"use\":\"sig\",\"key_ops\":[\"verify\"],\"alg\":\"ES256\""),
			    rsa_jwk(rsa_key, ",\"kid\":\"rsa-1\",\"use\":\"sig\",\"alg\":\"RS256\""),
			    rsa_jwk(small_rsa_key, ",\"kid\":\"small\""), b64_text(OCT_SECRET));
	if (!jwt_verifier_new(&verifier, secrets, jwks, &e)) {
		print_error("%s\n", e.message);
		return -1;
	}
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	jwt_verifier_free(verifier);
	EVP_PKEY_free(ec_key);
	EVP_PKEY_free(rsa_key);
	EVP_PKEY_free(small_rsa_key);
	arena_free(arena);
	return 0;
}

/* ---- Assertions. ---- */

static void assert_good(const struct jwt_verifier *v, const char *what, const char *token)
{
	struct jwt_claims claims;
	struct err e = ERR_INIT;

	if (!jwt_verify(v, arena, token, NOW, &claims, &e))
		fail_msg("%s: refused: %s", what, e.message);
	assert_string_equal(claims.role, "service_role");
	assert_string_equal(claims.subject, "me");
	assert_int_equal(claims.expires_at, 1800003600);
}

static void assert_refused(const struct jwt_verifier *v, const char *what, const char *token, const char *code)
{
	struct jwt_claims claims;
	struct err e = ERR_INIT;

	if (jwt_verify(v, arena, token, NOW, &claims, &e))
		fail_msg("%s: accepted", what);
	if (e.kind != ERR_UNAUTHORIZED || !text_eq(e.code, code))
		fail_msg("%s: refused as %s (%s), not as %s", what, e.code, e.message, code);
	/* No part of the token, and no secret, in what is logged and sent. */
	assert_null(strstr(e.message, "service_role"));
	assert_null(strstr(e.message, "eyJ"));
	assert_null(strstr(e.message, "marker"));
}

/* ---- Good tokens. ---- */

static void good_tokens_of_every_algorithm(void **state)
{
	static const struct {
		const char *header;
		enum signer signer;
	} rows[] = {
		{"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", BY_SECRET},
		{"{\"alg\":\"HS256\"}", BY_SECRET},
		{"{\"typ\":\"jwt\",\"alg\":\"HS256\"}", BY_SECRET},
		{"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", BY_OLD_SECRET},
		{"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", BY_OCT},
		{"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"oct-1\"}", BY_OCT},
		/* A secret has no name, so a token's kid does not exclude it. */
		{"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"anything\"}", BY_SECRET},
		{"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"ec-1\"}", BY_EC},
		{"{\"alg\":\"ES256\",\"typ\":\"JWT\"}", BY_EC},
		{"{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"rsa-1\"}", BY_RSA},
		{"{\"alg\":\"RS256\"}", BY_RSA},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_good(verifier, rows[i].header, make(rows[i].header, GOOD_PAYLOAD, rows[i].signer));
	/* ECDSA numbers are shorter than 32 bytes now and then: padding must not break. */
	for (int i = 0; i < 300; i++)
		assert_good(verifier, "ES256 again", make("{\"alg\":\"ES256\"}", GOOD_PAYLOAD, BY_EC));
}

static void a_real_key_of_a_fresh_supabase_is_accepted(void **state)
{
	/* The service_role key and the secret that every copy of Supabase's example .env has. */
	static const char *const secrets[] = {"your-super-secret-jwt-token-with-at-least-32-characters-long", NULL};
	static const char token[] =
		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
		"eyAgCiAgICAicm9sZSI6ICJzZXJ2aWNlX3JvbGUiLAogICAgImlzcyI6ICJzdXBhYmFzZS1kZW1vIiwKICAgICJpYXQiOiAxNjQx"
		"NzY5MjAwLAogICAgImV4cCI6IDE3OTk1MzU2MDAKfQ.DaYlNEoUrrEn2Ig7tqibS-PHK5vgusbcbo7X36XVt4Q";
	struct jwt_verifier *v;
	struct jwt_claims claims;
	struct err e = ERR_INIT;

	(void)state;
	assert_true(jwt_verifier_new(&v, secrets, NULL, &e));
	if (!jwt_verify(v, arena, token, 1795000000, &claims, &e))
		fail_msg("refused: %s", e.message);
	assert_string_equal(claims.role, "service_role");
	assert_int_equal(claims.expires_at, 1799535600);
	jwt_verifier_free(v);
}

static void claims_that_are_absent_are_empty(void **state)
{
	struct jwt_claims claims;
	struct err e = ERR_INIT;
	char *token = make("{\"alg\":\"HS256\"}", "{\"aud\":[\"any\"],\"iat\":\"ignored\"}", BY_SECRET);

	(void)state;
	assert_true(jwt_verify(verifier, arena, token, NOW, &claims, &e));
	assert_string_equal(claims.role, "");
	assert_string_equal(claims.subject, "");
	assert_string_equal(claims.issuer, "");
	assert_string_equal(claims.client, "");
	assert_int_equal(claims.expires_at, 0);
}

/* Whom a token is from and for; what is neither text nor a list of it names nobody, and refuses nothing by itself. */
static void issuer_audience_and_client_are_read(void **state)
{
	static const struct {
		const char *payload;
		const char *issuer;
		const char *audience[3];
		const char *client;
	} rows[] = {
		{"{\"iss\":\"us\",\"aud\":\"it\",\"client_id\":\"c\"}", "us", {"it"}, "c"},
		{"{\"aud\":[\"it\",\"that\"]}", "", {"it", "that"}, ""},
		{"{\"aud\":[1,\"it\",null,{\"x\":\"y\"},[\"z\"]]}", "", {"it"}, ""},
		{"{\"iss\":[\"us\"],\"aud\":{\"it\":1},\"client_id\":5}", "", {NULL}, ""},
		{"{\"aud\":[]}", "", {NULL}, ""},
		{"{\"aud\":null}", "", {NULL}, ""},
		{"{}", "", {NULL}, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct jwt_claims claims;
		struct err e = ERR_INIT;
		size_t n = 0;

		assert_true(jwt_verify(verifier, arena, make("{\"alg\":\"HS256\"}", rows[i].payload, BY_SECRET), NOW,
				       &claims, &e));
		assert_string_equal(claims.issuer, rows[i].issuer);
		assert_string_equal(claims.client, rows[i].client);
		for (; claims.audience[n] != NULL; n++)
			assert_string_equal(claims.audience[n], rows[i].audience[n]);
		assert_null(rows[i].audience[n]);
	}
}

/* ---- Forged and broken tokens. ---- */

static void forged_headers(void **state)
{
	static const struct {
		const char *header;
		enum signer signer;
		const char *code;
	} rows[] = {
		{"{\"alg\":\"none\"}", BY_SECRET, "token_signature"},
		{"{\"alg\":\"None\"}", BY_SECRET, "token_signature"},
		{"{\"alg\":\"NONE\"}", BY_SECRET, "token_signature"},
		{"{\"alg\":\"nOnE\"}", BY_SECRET, "token_signature"},
		{"{\"alg\":\"\"}", BY_SECRET, "token_signature"},
		{"{\"alg\":\"none \"}", BY_SECRET, "token_signature"},
		{"{\"alg\":null}", BY_SECRET, "token_malformed"},
		{"{\"alg\":0}", BY_SECRET, "token_malformed"},
		{"{\"alg\":[\"HS256\"]}", BY_SECRET, "token_malformed"},
		{"{\"typ\":\"JWT\"}", BY_SECRET, "token_malformed"},
		{"{}", BY_SECRET, "token_malformed"},
		/* Names are case-sensitive, though libjwt takes them as they come. */
		{"{\"alg\":\"hs256\"}", BY_SECRET, "token_signature"},
		{"{\"alg\":\"es256\"}", BY_EC, "token_signature"},
		/* Algorithms that no key of ours is for. */
		{"{\"alg\":\"HS384\"}", BY_SECRET, "token_signature"},
		{"{\"alg\":\"HS512\"}", BY_SECRET, "token_signature"},
		{"{\"alg\":\"RS512\"}", BY_RSA_SHA512, "token_signature"},
		{"{\"alg\":\"PS256\"}", BY_RSA, "token_signature"},
		{"{\"alg\":\"EdDSA\"}", BY_EC, "token_signature"},
		/* The wrong key for the algorithm, or for the name. */
		{"{\"alg\":\"HS256\"}", BY_OTHER_SECRET, "token_signature"},
		{"{\"alg\":\"RS256\"}", BY_EC, "token_signature"},
		{"{\"alg\":\"ES256\"}", BY_RSA, "token_signature"},
		{"{\"alg\":\"HS256\"}", BY_EC, "token_signature"},
		{"{\"alg\":\"HS256\"}", BY_RSA, "token_signature"},
		{"{\"alg\":\"ES256\"}", BY_SECRET, "token_signature"},
		{"{\"alg\":\"RS256\"}", BY_SECRET, "token_signature"},
		{"{\"alg\":\"RS256\"}", BY_RSA_SHA512, "token_signature"},
		{"{\"alg\":\"ES256\",\"kid\":\"ec-2\"}", BY_EC, "token_signature"},
		{"{\"alg\":\"ES256\",\"kid\":\"rsa-1\"}", BY_EC, "token_signature"},
		{"{\"alg\":\"RS256\",\"kid\":\"ec-1\"}", BY_RSA, "token_signature"},
		{"{\"alg\":\"HS256\",\"kid\":\"ec-1\"}", BY_OCT, "token_signature"},
		{"{\"alg\":\"HS256\",\"kid\":\"../../../../dev/null\"}", BY_OTHER_SECRET, "token_signature"},
		{"{\"alg\":\"HS256\",\"kid\":7}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\",\"kid\":null}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"RS256\",\"kid\":\"small\"}", BY_SMALL_RSA, "token_signature"},
		{"{\"alg\":\"RS256\"}", BY_SMALL_RSA, "token_signature"},
		/* RFC 7518, 3.4: r and s, not DER. */
		{"{\"alg\":\"ES256\"}", BY_EC_DER, "token_signature"},
		/* Keys that the token brings along. */
		{"{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\",\"jku\":\"https://marker.example/k\"}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\",\"x5u\":\"https://marker.example/k\"}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\",\"x5c\":[\"marker\"]}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\",\"jwk\":null}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", BY_SECRET, "token_malformed"},
		/* Headers that are not one strict JSON object. */
		{"{\"alg\":\"none\",\"alg\":\"HS256\"}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\",\"alg\":\"none\"}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", BY_SECRET, "token_malformed"},
		{"[\"HS256\"]", BY_SECRET, "token_malformed"},
		{"\"HS256\"", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\"", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\"} {}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\\u0000\"}", BY_SECRET, "token_malformed"},
		{"{'alg':'HS256'}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", BY_SECRET, "token_malformed"},
		{"{\"alg\":\"HS256\",\"typ\":1}", BY_SECRET, "token_malformed"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_refused(verifier, rows[i].header, make(rows[i].header, GOOD_PAYLOAD, rows[i].signer),
			       rows[i].code);
}

static void forged_payloads(void **state)
{
	static const struct {
		const char *payload;
		const char *code;
	} rows[] = {
		{"{\"role\":\"service_role\",\"exp\":1799999970}", "token_expired"},
		{"{\"role\":\"service_role\",\"exp\":0}", "token_expired"},
		{"{\"role\":\"service_role\",\"exp\":1800003600,\"nbf\":1800000031}", "token_not_yet_valid"},
		{"{\"role\":\"service_role\",\"exp\":\"1800003600\"}", "token_malformed"},
		{"{\"role\":\"service_role\",\"exp\":\"never marker\"}", "token_malformed"},
		{"{\"role\":\"service_role\",\"exp\":1800003600.5}", "token_malformed"},
		{"{\"role\":\"service_role\",\"exp\":1.8e9}", "token_malformed"},
		{"{\"role\":\"service_role\",\"exp\":-1}", "token_malformed"},
		{"{\"role\":\"service_role\",\"exp\":null}", "token_malformed"},
		{"{\"role\":\"service_role\",\"exp\":true}", "token_malformed"},
		{"{\"role\":\"service_role\",\"exp\":[1800003600]}", "token_malformed"},
		{"{\"role\":\"service_role\",\"exp\":9223372036854775807}", "token_malformed"},
		{"{\"role\":\"service_role\",\"exp\":99999999999999999999}", "token_malformed"},
		{"{\"role\":\"service_role\",\"nbf\":\"0\"}", "token_malformed"},
		{"{\"role\":\"service_role\",\"nbf\":null}", "token_malformed"},
		{"{\"role\":\"service_role\",\"nbf\":9223372036854775807}", "token_malformed"},
		{"{\"role\":\"anon\",\"role\":\"service_role\"}", "token_malformed"},
		{"{\"role\":\"service_role\",\"role\":\"service_role\"}", "token_malformed"},
		{"{\"exp\":1,\"exp\":1800003600,\"role\":\"service_role\"}", "token_malformed"},
		{"{\"role\":[\"service_role\"]}", "token_malformed"},
		{"{\"role\":null}", "token_malformed"},
		{"{\"role\":1}", "token_malformed"},
		{"{\"role\":\"service_role\\u0000\"}", "token_malformed"},
		{"{\"role\":\"service_role\",\"sub\":7}", "token_malformed"},
		{"[]", "token_malformed"},
		{"null", "token_malformed"},
		{"role", "token_malformed"},
		{"{\"role\":\"service_role\"}x", "token_malformed"},
		{"{\"role\":\"\xff\"}", "token_malformed"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_refused(verifier, rows[i].payload, make("{\"alg\":\"HS256\"}", rows[i].payload, BY_SECRET),
			       rows[i].code);
	/* What is wrong inside is not told to who cannot sign. */
	assert_refused(verifier, "expired and forged",
		       make("{\"alg\":\"HS256\"}", "{\"role\":\"service_role\",\"exp\":1}", BY_OTHER_SECRET),
		       "token_signature");
}

static void the_leeway_is_thirty_seconds(void **state)
{
	struct jwt_claims claims;
	struct err e = ERR_INIT;
	char *token = make("{\"alg\":\"HS256\"}", "{\"exp\":1800000000,\"nbf\":1700000000}", BY_SECRET);

	(void)state;
	assert_true(jwt_verify(verifier, arena, token, 1800000029, &claims, &e));
	assert_false(jwt_verify(verifier, arena, token, 1800000030, &claims, &e));
	assert_string_equal(e.code, "token_expired");
	assert_true(jwt_verify(verifier, arena, token, 1699999970, &claims, &e));
	assert_false(jwt_verify(verifier, arena, token, 1699999969, &claims, &e));
	assert_string_equal(e.code, "token_not_yet_valid");
}

/* The classic: what is public as a key is taken for an HMAC secret. */
static void public_keys_are_no_secrets(void **state)
{
	char *text =
		arena_printf(arena, "%s.%s", b64_text("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"), b64_text(GOOD_PAYLOAD));
	EVP_PKEY *keys[] = {ec_key, rsa_key};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		BIO *bio = BIO_new(BIO_s_mem());
		uint8_t *der = NULL;
		int der_len = i2d_PUBKEY(keys[i], &der);
		char *pem;
		long pem_len;
		char *without_newline;
		BIGNUM *number = NULL;
		uint8_t bytes[512];
		size_t len;

		assert_int_equal(PEM_write_bio_PUBKEY(bio, keys[i]), 1);
		pem_len = BIO_get_mem_data(bio, &pem);
		without_newline = arena_strndup(arena, pem, (size_t)pem_len - 1);
		assert_refused(verifier, "PEM", hmac_token(text, pem, (size_t)pem_len), "token_signature");
		assert_refused(verifier, "PEM cut", hmac_token(text, without_newline, (size_t)pem_len - 1),
			       "token_signature");
		assert_refused(verifier, "PEM and NUL",
			       hmac_token(text, arena_strndup(arena, pem, (size_t)pem_len), (size_t)pem_len + 1),
			       "token_signature");
		assert_true(der_len > 0);
		assert_refused(verifier, "DER", hmac_token(text, der, (size_t)der_len), "token_signature");
		assert_int_equal(EVP_PKEY_get_bn_param(
					 keys[i], i == 0 ? OSSL_PKEY_PARAM_EC_PUB_X : OSSL_PKEY_PARAM_RSA_N, &number),
				 1);
		len = (size_t)BN_bn2bin(number, bytes);
		assert_refused(verifier, "modulus", hmac_token(text, bytes, len), "token_signature");
		assert_refused(verifier, "modulus as text", hmac_token(text, b64(bytes, len), strlen(b64(bytes, len))),
			       "token_signature");
		BN_free(number);
		OPENSSL_free(der);
		BIO_free(bio);
	}
	assert_refused(verifier, "the JWKS", hmac_token(text, jwks, strlen(jwks)), "token_signature");
	assert_refused(verifier, "nothing", hmac_token(text, "", 0), "token_signature");
}

/* ES256 with numbers that a careless verifier takes for a signature of anything (CVE-2022-21449). */
static void empty_numbers_sign_nothing(void **state)
{
	char *text = arena_printf(arena, "%s.%s", b64_text("{\"alg\":\"ES256\"}"), b64_text(GOOD_PAYLOAD));
	uint8_t raw[512] = {0};

	(void)state;
	assert_refused(verifier, "zero", arena_printf(arena, "%s.%s", text, b64(raw, 64)), "token_signature");
	memset(raw, 0xFF, sizeof raw);
	assert_refused(verifier, "ones", arena_printf(arena, "%s.%s", text, b64(raw, 64)), "token_signature");
	assert_refused(verifier, "short", arena_printf(arena, "%s.%s", text, b64(raw, 63)), "token_signature");
	assert_refused(verifier, "long", arena_printf(arena, "%s.%s", text, b64(raw, 65)), "token_signature");
	memset(raw, 0, sizeof raw);
	text = arena_printf(arena, "%s.%s", b64_text("{\"alg\":\"RS256\"}"), b64_text(GOOD_PAYLOAD));
	assert_refused(verifier, "RSA zero", arena_printf(arena, "%s.%s", text, b64(raw, 256)), "token_signature");
	assert_refused(verifier, "RSA one byte", arena_printf(arena, "%s.%s", text, b64(raw, 1)), "token_signature");
	text = arena_printf(arena, "%s.%s", b64_text("{\"alg\":\"HS256\"}"), b64_text(GOOD_PAYLOAD));
	assert_refused(verifier, "HMAC zero", arena_printf(arena, "%s.%s", text, b64(raw, 32)), "token_signature");
	assert_refused(verifier, "HMAC short", arena_printf(arena, "%s.%s", text, b64(raw, 16)), "token_signature");
	assert_refused(verifier, "HMAC long", arena_printf(arena, "%s.%s", text, b64(raw, 64)), "token_signature");
}

static void broken_forms(void **state)
{
	char *good = make("{\"alg\":\"HS256\"}", GOOD_PAYLOAD, BY_SECRET);
	size_t len = strlen(good);
	char *head = b64_text("{\"alg\":\"HS256\"}");
	char *body = b64_text(GOOD_PAYLOAD);
	char *sig = strrchr(good, '.') + 1;
	char *copy;
	char *huge;

	(void)state;
	assert_good(verifier, "unchanged", good);
	assert_refused(verifier, "empty", "", "token_malformed");
	assert_refused(verifier, "no dots", "abc", "token_malformed");
	assert_refused(verifier, "only dots", "..", "token_malformed");
	assert_refused(verifier, "one dot", arena_printf(arena, "%s.%s", head, body), "token_malformed");
	assert_refused(verifier, "empty signature", arena_printf(arena, "%s.%s.", head, body), "token_malformed");
	assert_refused(verifier, "alg none, empty signature",
		       arena_printf(arena, "%s.%s.", b64_text("{\"alg\":\"none\"}"), body), "token_malformed");
	assert_refused(verifier, "no header", arena_printf(arena, ".%s.%s", body, sig), "token_malformed");
	assert_refused(verifier, "no payload", arena_printf(arena, "%s..%s", head, sig), "token_malformed");
	assert_refused(verifier, "four parts", arena_printf(arena, "%s.%s", good, sig), "token_malformed");
	assert_refused(verifier, "five parts", arena_printf(arena, "%s.a.b", good), "token_malformed");
	assert_refused(verifier, "dot behind", arena_printf(arena, "%s.", good), "token_malformed");
	assert_refused(verifier, "dot before", arena_printf(arena, ".%s", good), "token_malformed");
	assert_refused(verifier, "space before", arena_printf(arena, " %s", good), "token_malformed");
	assert_refused(verifier, "space behind", arena_printf(arena, "%s ", good), "token_malformed");
	assert_refused(verifier, "newline behind", arena_printf(arena, "%s\n", good), "token_malformed");
	assert_refused(verifier, "padding", arena_printf(arena, "%s=", good), "token_malformed");
	assert_refused(verifier, "padded header", arena_printf(arena, "%s==.%s.%s", head, body, sig),
		       "token_malformed");
	assert_refused(verifier, "JWE", arena_printf(arena, "%s.%s.%s.%s.%s", head, body, sig, sig, sig),
		       "token_malformed");

	/* 32 bytes leave two bits of the last character unused: set, they are another spelling of the same bytes. */
	copy = arena_strdup(arena, good);
	copy[len - 1] = (char)(copy[len - 1] + 1);
	assert_refused(verifier, "stray bits", copy, "token_malformed");
	/* The alphabet of plain base64. */
	assert_refused(verifier, "plus", arena_printf(arena, "%s.%s.+%s", head, body, sig + 1), "token_malformed");
	assert_refused(verifier, "slash", arena_printf(arena, "%s.%s./%s", head, body, sig + 1), "token_malformed");

	/* Every cut, and every changed character, is refused. */
	for (size_t i = 0; i < len; i++) {
		struct jwt_claims claims;
		struct err e = ERR_INIT;

		assert_false(jwt_verify(verifier, arena, arena_strndup(arena, good, i), NOW, &claims, &e));
		copy = arena_strdup(arena, good);
		copy[i] = copy[i] == 'A' ? 'Q' : 'A';
		assert_false(jwt_verify(verifier, arena, copy, NOW, &claims, &e));
		assert_int_equal(e.kind, ERR_UNAUTHORIZED);
	}

	huge = arena_alloc(arena, JWT_MAX_TOKEN + 2);
	memset(huge, 'a', JWT_MAX_TOKEN + 1);
	assert_refused(verifier, "oversized", huge, "token_malformed");
	/* At the limit, the size is no reason. */
	memset(huge, 0, JWT_MAX_TOKEN + 2);
	memset(huge, ' ', 5000);
	memcpy(huge, GOOD_PAYLOAD, strlen(GOOD_PAYLOAD));
	assert_good(verifier, "large", make("{\"alg\":\"HS256\"}", huge, BY_SECRET));
}

static void signatures_do_not_move(void **state)
{
	char *token = make("{\"alg\":\"ES256\"}", "{\"role\":\"anon\"}", BY_EC);

	(void)state;
	assert_refused(verifier, "another payload",
		       arena_printf(arena, "%s.%s%s", b64_text("{\"alg\":\"ES256\"}"), b64_text(GOOD_PAYLOAD),
				    strrchr(token, '.')),
		       "token_signature");
	token = make("{\"alg\":\"RS256\"}", "{\"role\":\"anon\"}", BY_RSA);
	assert_refused(verifier, "another payload, RSA",
		       arena_printf(arena, "%s.%s%s", b64_text("{\"alg\":\"RS256\"}"), b64_text(GOOD_PAYLOAD),
				    strrchr(token, '.')),
		       "token_signature");
}

/* ---- Key sets. ---- */

static struct jwt_verifier *load(const char *set)
{
	struct jwt_verifier *v = NULL;
	struct err e = ERR_INIT;

	if (!jwt_verifier_new(&v, NULL, set, &e))
		fail_msg("%s: refused: %s", set, e.message);
	return v;
}

static void a_bare_array_is_a_set_too(void **state)
{
	struct jwt_verifier *v = load(arena_printf(arena, "[%s]", ec_jwk("")));

	(void)state;
	assert_good(v, "bare array", make("{\"alg\":\"ES256\",\"kid\":\"any\"}", GOOD_PAYLOAD, BY_EC));
	assert_refused(v, "no secret there", make("{\"alg\":\"HS256\"}", GOOD_PAYLOAD, BY_SECRET), "token_signature");
	jwt_verifier_free(v);
}

static void without_keys_nothing_verifies(void **state)
{
	struct jwt_verifier *v = load(NULL);

	(void)state;
	assert_refused(v, "no keys", make("{\"alg\":\"HS256\"}", GOOD_PAYLOAD, BY_SECRET), "token_signature");
	assert_refused(v, "no keys", make("{\"alg\":\"ES256\"}", GOOD_PAYLOAD, BY_EC), "token_signature");
	jwt_verifier_free(v);
	v = load("{\"keys\":[]}");
	assert_refused(v, "no keys", make("{\"alg\":\"RS256\"}", GOOD_PAYLOAD, BY_RSA), "token_signature");
	jwt_verifier_free(v);
}

static void keys_for_other_uses_are_skipped(void **state)
{
	static const char *const other[] = {
		",\"use\":\"enc\"",        ",\"alg\":\"ES384\"", ",\"key_ops\":[\"sign\"]", ",\"key_ops\":[]",
		",\"key_ops\":\"verify\"", ",\"alg\":\"HS256\"", ",\"use\":null",
	};

	(void)state;
	for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
		struct jwt_verifier *v = load(arena_printf(arena, "{\"keys\":[%s]}", ec_jwk(other[i])));

		assert_refused(v, other[i], make("{\"alg\":\"ES256\"}", GOOD_PAYLOAD, BY_EC), "token_signature");
		jwt_verifier_free(v);
	}
}

static void keys_of_one_name_are_all_tried(void **state)
{
	struct jwt_verifier *v;
	EVP_PKEY *mine = ec_key;
	char *other;

	(void)state;
	ec_key = EVP_EC_gen("P-256");
	other = ec_jwk(",\"kid\":\"same\"");
	EVP_PKEY_free(ec_key);
	ec_key = mine;
	v = load(arena_printf(arena, "{\"keys\":[%s,%s]}", other, ec_jwk(",\"kid\":\"same\"")));
	assert_good(v, "second of two", make("{\"alg\":\"ES256\",\"kid\":\"same\"}", GOOD_PAYLOAD, BY_EC));
	jwt_verifier_free(v);
}

static void short_secrets_in_a_set_are_not_used(void **state)
{
	struct jwt_verifier *v = load("{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}]}");
	char *text = arena_printf(arena, "%s.%s", b64_text("{\"alg\":\"HS256\"}"), b64_text(GOOD_PAYLOAD));

	(void)state;
	assert_refused(v, "short", hmac_token(text, "short", 5), "token_signature");
	jwt_verifier_free(v);
}

static void broken_sets_are_named(void **state)
{
	char *x = bn_param(ec_key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
	char *n = bn_param(rsa_key, OSSL_PKEY_PARAM_RSA_N, 0);
	struct {
		const char *set;
		const char *says;
	} rows[] = {
		{"", "Option jwks"},
		{"{", "Option jwks"},
		{"7", "Option jwks"},
		{"{}", "neither a JWK Set nor an array"},
		{"{\"keys\":{}}", "neither a JWK Set nor an array"},
		{"{\"keys\":[],\"keys\":[]}", "Option jwks"},
		{"[7]", "key 1 is no JWK"},
		{"[{}]", "key 1 is no JWK"},
		{"[{\"kty\":\"OKP\"},{\"kty\":\"oct\",\"k\":\"==\"}]", "key 2 has no secret in base64url"},
		{"[{\"kty\":\"oct\"}]", "key 1 has no secret"},
		{"[{\"kty\":\"oct\",\"kid\":1}]", "kid"},
		{"[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]", "coordinates"},
		{arena_printf(arena, "[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\"}]", x), "coordinates"},
		{arena_printf(arena, "[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}]", x, x),
		 "no valid public key"},
		{arena_printf(arena, "[{\"kty\":\"RSA\",\"n\":\"%s\"}]", n), "modulus or an exponent"},
		/* With the exponent 1 every text is its own signature. */
		{arena_printf(arena, "[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQ\"}]", n), "no valid public key"},
		{arena_printf(arena, "[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"Ag\"}]", n), "no valid public key"},
	};
	struct buf many = BUF_INIT(1024 * 1024);
	struct jwt_verifier *v;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		e = (struct err)ERR_INIT;
		if (jwt_verifier_new(&v, NULL, rows[i].set, &e))
			fail_msg("%s: accepted", rows[i].set);
		assert_null(v);
		assert_int_equal(e.kind, ERR_CONFIG);
		if (strstr(e.message, rows[i].says) == NULL)
			fail_msg("%s: says %s, not %s", rows[i].set, e.message, rows[i].says);
		assert_true(e.hint[0] != '\0');
	}

	buf_puts(&many, "[");
	for (int i = 0; i < 65; i++)
		buf_printf(&many, "%s{\"kty\":\"OKP\"}", i > 0 ? "," : "");
	buf_puts(&many, "]");
	assert_false(jwt_verifier_new(&v, NULL, many.data, &e));
	assert_non_null(strstr(e.message, "more than 64 keys"));
	buf_clear(&many);
	buf_printf(&many, "[\"%*s\"]", 256 * 1024, "");
	assert_false(jwt_verifier_new(&v, NULL, many.data, &e));
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_string_equal(e.code, "configuration");
	buf_free(&many);
}

static void secrets_are_bounded(void **state)
{
	const char *secrets[18] = {NULL};
	struct jwt_verifier *v;
	struct err e = ERR_INIT;

	(void)state;
	for (int i = 0; i < 17; i++)
		secrets[i] = SECRET;
	assert_false(jwt_verifier_new(&v, secrets, NULL, &e));
	assert_int_equal(e.kind, ERR_CONFIG);
	secrets[16] = NULL;
	assert_true(jwt_verifier_new(&v, secrets, NULL, &e));
	jwt_verifier_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_tokens_of_every_algorithm),
		cmocka_unit_test(a_real_key_of_a_fresh_supabase_is_accepted),
		cmocka_unit_test(claims_that_are_absent_are_empty),
		cmocka_unit_test(issuer_audience_and_client_are_read),
		cmocka_unit_test(forged_headers),
		cmocka_unit_test(forged_payloads),
		cmocka_unit_test(the_leeway_is_thirty_seconds),
		cmocka_unit_test(public_keys_are_no_secrets),
		cmocka_unit_test(empty_numbers_sign_nothing),
		cmocka_unit_test(broken_forms),
		cmocka_unit_test(signatures_do_not_move),
		cmocka_unit_test(a_bare_array_is_a_set_too),
		cmocka_unit_test(without_keys_nothing_verifies),
		cmocka_unit_test(keys_for_other_uses_are_skipped),
		cmocka_unit_test(keys_of_one_name_are_all_tried),
		cmocka_unit_test(short_secrets_in_a_set_are_not_used),
		cmocka_unit_test(broken_sets_are_named),
		cmocka_unit_test(secrets_are_bounded),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
