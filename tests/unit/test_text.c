#include "core/text.h"
#include "helper.h"

#include <string.h>

static void test_compare(void **state)
{
	(void)state;
	assert_true(text_eq("a", "a"));
	assert_false(text_eq("a", "A"));
	assert_true(text_starts("abc", "ab"));
	assert_true(text_starts("abc", ""));
	assert_false(text_starts("a", "ab"));
	assert_true(text_ends("abc", "bc"));
	assert_true(text_ends("abc", ""));
	assert_false(text_ends("c", "bc"));
	assert_true(text_secret_eq("same", "same"));
	assert_false(text_secret_eq("same", "sama"));
	assert_false(text_secret_eq("same", "samee"));
	assert_true(text_secret_eq("", ""));
}

static void test_utf8(void **state)
{
	static const char *const good[] = {"",
					   "a",
					   "\xC2\x80",
					   "\xDF\xBF",
					   "\xE0\xA0\x80",
					   "\xED\x9F\xBF",
					   "\xEE\x80\x80",
					   "\xEF\xBF\xBF",
					   "\xF0\x90\x80\x80",
					   "\xF4\x8F\xBF\xBF",
					   ("a\xC3\xBC"
					    "b")};
	static const char *const bad[] = {"\x80",
					  "\xBF",
					  "\xC0\x80",
					  "\xC1\xBF",
					  "\xC2",
					  ("\xC2"
					   "a"),
					  "\xE0\x9F\xBF",
					  "\xE0\xA0",
					  "\xED\xA0\x80",
					  "\xED\xBF\xBF",
					  "\xF0\x8F\xBF\xBF",
					  "\xF0\x90\x80",
					  "\xF4\x90\x80\x80",
					  "\xF5\x80\x80\x80",
					  "\xFE",
					  "\xFF",
					  "a\xC3",
					  "\xE2\x82\x28"};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(text_utf8_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(text_utf8_valid(bad[i], strlen(bad[i])));
}

/* Cut after any byte, what is left is whole characters, and nothing more than the broken one is lost. */
static void test_cut(void **state)
{
	static const char whole[] = "a\xC3\xBC\xE2\x82\xAC\xF0\x9F\x98\x80z";
	static const size_t kept[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
	char s[sizeof whole];

	(void)state;
	for (size_t i = 0; i < sizeof whole; i++) {
		memcpy(s, whole, i);
		s[i] = '\0';
		text_cut_utf8(s);
		assert_int_equal(strlen(s), kept[i]);
	}
}

static void test_hex(void **state)
{
	static const char *const bad[] = {"", "0", "00f", "00ff0", "00fg", "0x0f", " 00f", "00:f"};
	const uint8_t data[] = {0x00, 0xFF, 0x1A};
	uint8_t back[3];
	char hex[7];

	(void)state;
	text_hex(data, sizeof data, hex);
	assert_string_equal(hex, "00ff1a");
	assert_true(text_unhex("00Ff1A", back, 3));
	assert_memory_equal(back, data, 3);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(text_unhex(bad[i], back, 2));
}

static void test_numbers(void **state)
{
	static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "1x", "0x1", "--1", "9223372036854775808", "1.0"};
	static const char *const bad_sizes[] = {"",    "k", "-1", "1K", "1m", "1kk", "1 k", "9223372036854775807k",
						"1.5M"};
	int64_t n = 0;

	(void)state;
	assert_true(text_int64("0", 0, 9, &n) && n == 0);
	assert_true(text_int64("-5", -5, 9, &n) && n == -5);
	assert_true(text_int64("9223372036854775807", 0, INT64_MAX, &n) && n == INT64_MAX);
	assert_false(text_int64("10", 0, 9, &n));
	assert_false(text_int64("-6", -5, 9, &n));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(text_int64(bad[i], INT64_MIN, INT64_MAX, &n));
	assert_true(text_size("64", &n) && n == 64);
	assert_true(text_size("512k", &n) && n == 512 * 1024);
	assert_true(text_size("20M", &n) && n == 20 * 1024 * 1024);
	assert_true(text_size("1G", &n) && n == 1024 * 1024 * 1024);
	for (size_t i = 0; i < COUNT(bad_sizes); i++)
		assert_false(text_size(bad_sizes[i], &n));
}

static void test_iso8601(void **state)
{
	char s[25];

	(void)state;
	text_iso8601(1795416420123, s);
	assert_string_equal(s, "2026-11-23T06:47:00.123Z");
	text_iso8601(0, s);
	assert_string_equal(s, "1970-01-01T00:00:00.000Z");
	text_iso8601(-1, s);
	assert_string_equal(s, "1969-12-31T23:59:59.999Z");
}

static void test_url(void **state)
{
	static const char *const bad[] = {"%",     "%4",  "%zz", "%4z",       "%z4", "%00",
					  "a%00b", "%FF", "%C3", "%ED%A0%80", "% 41"};
	struct arena *a = arena_new(0);

	(void)state;
	assert_string_equal(text_url_decode(a, "a%2fb+%C3%BC%41", 15, false), "a/b+üA");
	assert_string_equal(text_url_decode(a, "a+b", 3, true), "a b");
	assert_string_equal(text_url_decode(a, "%25%32%35", 9, false), "%25");
	assert_string_equal(text_url_decode(a, "", 0, false), "");
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_null(text_url_decode(a, bad[i], strlen(bad[i]), false));
	assert_null(text_url_decode(a, "%41", 2, false));
	assert_null(text_url_decode(a, "a\0b", 3, false));
	assert_string_equal(text_url_encode_path(a, "src/a b%ü~._-?#+"), "src/a%20b%25%C3%BC~._-%3F%23%2B");
	assert_string_equal(text_url_encode_path(a, ""), "");
	arena_free(a);
}

static void test_base64url(void **state)
{
	static const char *const bad[] = {"A", "AA==", "AB", "AA\n", "A A", "A+AA", "A/AA", "AAAAA", "AAB"};
	struct arena *a = arena_new(0);
	size_t len = 9;

	(void)state;
	assert_memory_equal(text_base64url_decode(a, "-_8", 3, &len), "\xFB\xFF", 2);
	assert_int_equal(len, 2);
	assert_memory_equal(text_base64url_decode(a, "aGVsbG8", 7, &len), "hello", 5);
	assert_int_equal(len, 5);
	assert_non_null(text_base64url_decode(a, "", 0, &len));
	assert_int_equal(len, 0);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_null(text_base64url_decode(a, bad[i], strlen(bad[i]), &len));
	arena_free(a);
}

static void iso8601_times_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-23T06:47:00.123Z", 1795416420123},
		{"2026-11-23t06:47:00.1z", 1795416420100},
		{"2026-11-23 08:47:00.123456789+02:00", 1795416420123},
		{"2026-11-23T00:17:00-06:30", 1795416420000},
		{"2028-02-29T00:00:00Z", 1835395200000},
	};
	static const char *const bad[] = {"",
					  "2026-11-23",
					  "2026-11-23T06:47Z",
					  "2026-11-23T06:47:00",
					  "2026-02-29T00:00:00Z",
					  "2026-13-01T00:00:00Z",
					  "2026-11-23T24:00:00Z",
					  "2026-11-23T06:60:00Z",
					  "2026-11-23T06:47:00.Z",
					  "2026-11-23T06:47:00+2:00",
					  "2026-11-23T06:47:00Zx",
					  "26-11-23T06:47:00Z",
					  "2026-11-23T06:47:00+24:00",
					  "1899-01-01T00:00:00Z"};
	char back[25];
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_true(text_parse_iso8601(good[i].text, &ms));
		assert_int_equal(ms, good[i].ms);
	}
	text_iso8601(good[1].ms, back);
	assert_string_equal(back, good[1].text);
	for (size_t i = 0; i < COUNT(bad); i++)
		if (text_parse_iso8601(bad[i], &ms))
			fail_msg("\"%s\" is no time", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iso8601_times_are_read),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_iso8601),
		cmocka_unit_test(test_url),
		cmocka_unit_test(test_base64url),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
