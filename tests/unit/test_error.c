#include "core/error.h"
#include "core/text.h"
#include "helper.h"

#include <errno.h>
#include <string.h>

static void test_kinds(void **state)
{
	static const int statuses[ERR_KIND_COUNT] = {200, 400, 401, 403, 404, 405, 406, 409, 412, 413,
						     415, 422, 429, 500, 503, 503, 507, 500, 500};

	(void)state;
	for (enum err_kind kind = ERR_NONE; kind < ERR_KIND_COUNT; kind++) {
		struct err e = ERR_INIT;

		assert_int_equal(err_http_status(kind), statuses[kind]);
		assert_int_equal(err_exit_status(kind) == 0, kind == ERR_NONE);
		assert_false(err_set(&e, kind, NULL, "message"));
		assert_int_equal(e.kind, kind);
		assert_true(strlen(e.code) > 0);
	}
}

static void test_parts(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_false(err_set(&e, ERR_CONFLICT, "the_code", "no %d", 7));
	assert_string_equal(e.code, "the_code");
	assert_string_equal(e.message, "no 7");
	assert_string_equal(e.hint, "");
	assert_false(err_hint(&e, "try %s", "this"));
	assert_string_equal(e.hint, "try this");
	assert_false(err_prefix(&e, "file %s", "x"));
	assert_string_equal(e.message, "file x: no 7");
	assert_string_equal(e.hint, "try this");
	/* A new error does not keep the hint of the one before. */
	assert_false(err_no_memory(&e));
	assert_int_equal(e.kind, ERR_NO_MEMORY);
	assert_string_equal(e.hint, "");
}

static void test_cut(void **state)
{
	struct err e = ERR_INIT;
	char text[1024];

	(void)state;
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	memcpy(text + 510, "\xC3\xBC", 2);
	(void)err_set(&e, ERR_INVALID, NULL, "%s", text);
	assert_int_equal(strlen(e.message), 510);
	(void)err_hint(&e, "%s", text);
	assert_int_equal(strlen(e.hint), 255);
	(void)err_prefix(&e, "%s", text);
	assert_true(strlen(e.message) <= 511);
	/* A precision cuts within a character, and what is quoted may be no UTF-8 at all. */
	(void)err_set(&e, ERR_INVALID, NULL, "\"%.3s\" of %s", "ab\xC3\xBC", "\xFFx\x80");
	assert_string_equal(e.message, "\"ab\" of x");
	(void)err_prefix(&e, "%s", text);
	assert_true(text_utf8_valid(e.message, strlen(e.message)));
}

static void test_errno(void **state)
{
	static const struct {
		int number;
		enum err_kind kind;
		const char *code;
	} rows[] = {
		{ENOSPC, ERR_NO_SPACE, "no_space"},        {EDQUOT, ERR_NO_SPACE, "no_space"},
		{ENOMEM, ERR_NO_MEMORY, "out_of_memory"},  {EACCES, ERR_INTERNAL, "not_writable"},
		{EMFILE, ERR_UNAVAILABLE, "out_of_files"}, {EROFS, ERR_INTERNAL, "not_writable"},
		{EIO, ERR_INTERNAL, "internal_error"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct err e = ERR_INIT;

		assert_false(err_errno(&e, rows[i].number, "Cannot write %s", "x"));
		assert_int_equal(e.kind, rows[i].kind);
		assert_string_equal(e.code, rows[i].code);
		if (rows[i].number != ENOMEM)
			assert_true(text_starts(e.message, "Cannot write x: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
