#include "auth/apikey.h"
#include "auth/token.h"

#include "core/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HEX40 "0123456789abcdef0123456789abcdef01234567"

static int setup(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	return crypto_init(&e) ? 0 : -1;
}

static void new_tokens_have_the_shape_and_differ(void **state)
{
	char tokens[50][TOKEN_SIZE];

	(void)state;
	for (int i = 0; i < 50; i++) {
		token_generate(tokens[i]);
		assert_int_equal(strlen(tokens[i]), TOKEN_SIZE - 1);
		assert_true(text_starts(tokens[i], "sbp_"));
		assert_true(token_shape(tokens[i]));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(tokens[i], tokens[j]);
	}
}

static void shapes(void **state)
{
	static const struct {
		const char *text;
		enum apikey_kind kind;
	} rows[] = {
		{"sbp_" HEX40, APIKEY_ACCESS_TOKEN},
		{"sbp_v0_" HEX40, APIKEY_ACCESS_TOKEN},
		{"sbp_" HEX40 "0", APIKEY_OTHER},
		{"sbp_0123456789abcdef0123456789abcdef0123456", APIKEY_OTHER},
		{"sbp_0123456789ABCDEF0123456789ABCDEF01234567", APIKEY_OTHER},
		{"sbp_g123456789abcdef0123456789abcdef01234567", APIKEY_OTHER},
		{"SBP_" HEX40, APIKEY_OTHER},
		{"sbp_v1_" HEX40, APIKEY_OTHER},
		{"sbp_v0_" HEX40 "0", APIKEY_OTHER},
		{"sbp_oauth_" HEX40, APIKEY_OTHER},
		{"sbp_", APIKEY_OTHER},
		{HEX40, APIKEY_OTHER},
		{" sbp_" HEX40, APIKEY_OTHER},
		{"sbp_" HEX40 "\n", APIKEY_OTHER},
		{"sb_secret_abc-DEF_123", APIKEY_SECRET},
		{"sb_secret_", APIKEY_OTHER},
		{"sb_secret_a b", APIKEY_OTHER},
		/* Its looks are a JWT's; verifying it is what refuses it. */
		{"sb_secret_a.b.c", APIKEY_JWT},
		{"sb_publishable_x", APIKEY_PUBLISHABLE},
		{"sb_publishable_", APIKEY_OTHER},
		{"sb_other_x", APIKEY_OTHER},
		{"eyJ.eyJ.c2ln", APIKEY_JWT},
		{"a.b.c", APIKEY_JWT},
		{"a.b.", APIKEY_OTHER},
		{".b.c", APIKEY_OTHER},
		{"a..c", APIKEY_OTHER},
		{"a.b", APIKEY_OTHER},
		{"a.b.c.d", APIKEY_OTHER},
		{"a.b.c=", APIKEY_OTHER},
		{"a.b.c ", APIKEY_OTHER},
		{"", APIKEY_OTHER},
		{".", APIKEY_OTHER},
		{"..", APIKEY_OTHER},
		{"hunter2", APIKEY_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (apikey_classify(rows[i].text) != rows[i].kind)
			fail_msg("%s: not of kind %d", rows[i].text, (int)rows[i].kind);
		assert_int_equal(token_shape(rows[i].text), rows[i].kind == APIKEY_ACCESS_TOKEN);
	}
}

static void hashes_need_the_key_and_the_whole_token(void **state)
{
	struct crypto_key a;
	struct crypto_key b;
	uint8_t first[TOKEN_HASH_BYTES];
	uint8_t again[TOKEN_HASH_BYTES];

	(void)state;
	crypto_random(&a, sizeof a);
	crypto_random(&b, sizeof b);
	token_hash(&a, "sbp_" HEX40, first);
	token_hash(&a, "sbp_" HEX40, again);
	assert_memory_equal(first, again, sizeof first);
	token_hash(&b, "sbp_" HEX40, again);
	assert_memory_not_equal(first, again, sizeof first);
	token_hash(&a, "sbp_v0_" HEX40, again);
	assert_memory_not_equal(first, again, sizeof first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_tokens_have_the_shape_and_differ),
		cmocka_unit_test(shapes),
		cmocka_unit_test(hashes_need_the_key_and_the_whole_token),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
