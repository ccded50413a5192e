#include "core/arena.h"
#include "helper.h"

#include <stdalign.h>
#include <string.h>

static char order[8];

static void note(void *ptr)
{
	size_t n = strlen(order);

	order[n] = *(const char *)ptr;
	order[n + 1] = '\0';
}

/* Blocks are zeroed, aligned and do not overlap, whatever their sizes. */
static void test_blocks(void **state)
{
	struct arena *a = arena_new(0);
	unsigned char *blocks[200];
	size_t sizes[200];

	(void)state;
	for (size_t i = 0; i < COUNT(blocks); i++) {
		sizes[i] = i % 7 == 0 ? 5000 * (i % 5) : i;
		blocks[i] = arena_alloc(a, sizes[i]);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(blocks[i][j], 0);
		memset(blocks[i], (int)i, sizes[i]);
	}
	for (size_t i = 0; i < COUNT(blocks); i++)
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(blocks[i][j], (unsigned char)i);
	arena_free(a);
}

static void test_strings(void **state)
{
	struct arena *a = arena_new(0);

	(void)state;
	assert_string_equal(arena_strdup(a, "hello"), "hello");
	assert_string_equal(arena_strndup(a, "hello", 2), "he");
	assert_string_equal(arena_printf(a, "%d-%s", 7, "x"), "7-x");
	assert_null(arena_array(a, SIZE_MAX / 2, 3));
	assert_non_null(arena_array(a, 0, 3));
	arena_free(a);
}

static void test_ceiling(void **state)
{
	struct arena *a = arena_new(64 * 1024);

	(void)state;
	assert_null(arena_alloc(a, 64 * 1024 + 1));
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_non_null(arena_alloc(a, 40 * 1024));
	assert_null(arena_alloc(a, 40 * 1024));
	assert_non_null(arena_alloc(a, 100));
	arena_reset(a);
	assert_non_null(arena_alloc(a, 40 * 1024));
	arena_free(a);
}

static void test_cleanups(void **state)
{
	struct arena *a = arena_new(0);

	(void)state;
	order[0] = '\0';
	assert_true(arena_defer(a, note, "1"));
	assert_true(arena_defer(a, note, "2"));
	arena_reset(a);
	assert_string_equal(order, "21");
	arena_reset(a);
	assert_string_equal(order, "21");
	assert_true(arena_defer(a, note, "3"));
	arena_free(a);
	assert_string_equal(order, "213");
	arena_free(NULL);

	/* Without memory for the record, the cleanup runs at once. */
	a = arena_new(1);
	assert_false(arena_defer(a, note, "4"));
	assert_string_equal(order, "2134");
	arena_free(a);
	assert_string_equal(order, "2134");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_cleanups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
