#include "helper.h"
#include "store/audit.h"

#include <string.h>

/* What does not fit, or has no memory, has no hash: never one of bytes that happened to lie there. */
static void test_row_hash(void **state)
{
	static const uint8_t before[CRYPTO_HASH_BYTES];
	static char large[128 * 1024];
	struct audit_row row = {
		.seq = 1, .at = 2, .actor = "a", .address = "b", .request_id = "c", .action = "d", .target = "e"};
	struct crypto_key key = {{1}};
	uint8_t first[CRYPTO_HASH_BYTES] = {0};
	uint8_t second[CRYPTO_HASH_BYTES] = {0};

	(void)state;
	audit_use_key(&key);
	assert_true(audit_row_hash(&row, before, first));
	assert_true(audit_row_hash(&row, before, second));
	assert_memory_equal(first, second, sizeof first);
	row.outcome = "f";
	assert_true(audit_row_hash(&row, before, second));
	assert_memory_not_equal(first, second, sizeof first);
	memset(large, 'x', sizeof large - 1);
	row.after = large;
	assert_false(audit_row_hash(&row, before, second));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_row_hash)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
