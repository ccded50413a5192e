/*
 * Tokens and key sets. The first byte chooses: a token that is verified with a secret and two public keys, or a JWK Set
 * that is loaded. No forged token may verify: the fuzzer does not know the secret, so whatever verifies is a find.
 */
#include "auth/apikey.h"
#include "auth/jwt.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char jwks[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"ec\",\"alg\":\"ES256\","
			   "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_"
			   "tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static struct jwt_verifier *verifier(void)
{
	static struct jwt_verifier *v;
	static const char *const secrets[] = {"this secret is in no corpus, since it is not guessed", NULL};
	struct err e = ERR_INIT;

	if (v == NULL && !jwt_verifier_new(&v, secrets, jwks, &e))
		abort();
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct jwt_verifier *loaded = NULL;
	struct jwt_claims claims;
	struct err e = ERR_INIT;
	char *text = arena_strndup(a, size > 0 ? (const char *)data + 1 : "", size > 0 ? size - 1 : 0);

	if (size > 0 && data[0] == 'k') {
		if (jwt_verifier_new(&loaded, NULL, text, &e))
			jwt_verifier_free(loaded);
		else if (e.kind != ERR_CONFIG)
			abort();
	} else {
		(void)apikey_classify(text);
		if (jwt_verify(verifier(), a, text, 1795416420, &claims, &e) || e.kind != ERR_UNAUTHORIZED)
			abort();
	}
	arena_free(a);
	return 0;
}
