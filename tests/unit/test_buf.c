#include "core/buf.h"
#include "helper.h"

#include <string.h>

static void test_writes(void **state)
{
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	assert_null(b.data);
	buf_put(&b, NULL, 0);
	assert_string_equal(b.data, "");
	buf_puts(&b, "one ");
	buf_printf(&b, "%s %d", "two", 3);
	buf_put(&b, "\0x", 2);
	assert_int_equal(b.len, 11);
	assert_memory_equal(b.data, "one two 3\0x", 12);
	for (int i = 0; i < 10000; i++)
		buf_puts(&b, "0123456789");
	assert_int_equal(b.len, 100011);
	assert_false(b.failed);
	assert_int_equal(b.data[b.len], '\0');
	buf_free(&b);
	assert_null(b.data);
	assert_int_equal(b.max, 1 << 20);
}

/* What does not fit is dropped whole, and so is all that follows. */
static void test_ceiling(void **state)
{
	struct buf b = BUF_INIT(5);

	(void)state;
	buf_puts(&b, "12345");
	assert_false(b.failed);
	buf_puts(&b, "6");
	assert_true(b.failed);
	assert_string_equal(b.data, "12345");
	buf_clear(&b);
	assert_false(b.failed);
	assert_string_equal(b.data, "");
	buf_printf(&b, "%d", 123456);
	assert_true(b.failed);
	buf_puts(&b, "1");
	assert_int_equal(b.len, 0);
	buf_clear(&b);
	buf_put(&b, "", SIZE_MAX);
	assert_true(b.failed);
	buf_free(&b);
}

static void test_wipe(void **state)
{
	struct buf b = BUF_INIT(100);

	(void)state;
	buf_wipe(&b);
	buf_puts(&b, "secret");
	buf_wipe(&b);
	assert_int_equal(b.len, 0);
	assert_memory_equal(b.data, "\0\0\0\0\0\0", 6);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writes),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_wipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
