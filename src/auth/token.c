#include "auth/token.h"

#include "core/text.h"

#include <string.h>

#define DIGITS 40

void token_generate(char out[TOKEN_SIZE])
{
	memcpy(out, "sbp_", 4);
	crypto_random_hex(out + 4, DIGITS / 2);
}

bool token_shape(const char *token)
{
	const char *digits;

	/* v0_ cannot be taken for digits: 'v' is none. */
	if (text_starts(token, "sbp_v0_"))
		digits = token + 7;
	else if (text_starts(token, "sbp_"))
		digits = token + 4;
	else
		return false;
	return strlen(digits) == DIGITS && strspn(digits, "0123456789abcdef") == DIGITS;
}

void token_hash(const struct crypto_key *key, const char *token, uint8_t out[TOKEN_HASH_BYTES])
{
	crypto_keyed_hash(key, token, strlen(token), out);
}
