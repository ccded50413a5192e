#include "core/json.h"
#include "core/json_fast.h"
#include "helper.h"

#include <stdio.h>
#include <string.h>

static json_t *parse(struct arena *a, const char *text, struct err *e)
{
	return json_parse(a, "The body", text, strlen(text), 1000, e);
}

static void test_parse(void **state)
{
	struct arena *a = arena_new(0);
	struct err e = ERR_INIT;
	json_t *doc = parse(a, " {\"a\": [1, {\"a\": \"\\ud83d\\ude00 \\\"[{\"}]} ", &e);

	(void)state;
	assert_non_null(doc);
	assert_int_equal(json_array_size(json_object_get(doc, "a")), 2);
	assert_non_null(parse(a, "[]", &e));
	assert_non_null(parse(a, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", &e));
	assert_non_null(parse(a, "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\"]", &e));
	arena_free(a);
}

/* What the fast reader takes is what jansson makes of it; the rest it leaves to jansson, right or wrong. */
static void test_fast(void **state)
{
	static const char *const taken[] = {
		"{}",
		" [ ] ",
		"[[], {}, [{}]]",
		"{\"a\":1,\"b\":-2.5e3,\"c\":true,\"d\":false,\"e\":null,\"\":\"\"}",
		"\t{ \"a\" :\r\n[ 1 , \"x\" ]\n}\n",
		"[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\", \"\x7F\", \"\xC3\xBC\xF0\x9F\x98\x80\"]",
		"[\"\\u0041\\u00e4\\u20AC\\ud83d\\uDE00\\uffff\\u0001\"]",
		"{\"\\u0061b\":\"key\"}",
		"[9223372036854775807, -9223372036854775808, 0, -0, 1E+2]",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
	};
	static const char *const left[] = {
		"",
		" ",
		"1",
		"null",
		"\"a\"",
		"{",
		"[",
		"[1",
		"[1,",
		"[1,]",
		"[,1]",
		"[1 2]",
		"[] []",
		"{}x",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{\"a\":1 \"b\":2}",
		"{1:2}",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1,\"\\u0061\":2}",
		"{\"a\":[1}]",
		"[\"a",
		"[\"a\\",
		"[\"a\\\"",
		"[\"\\x\"]",
		"[\"\\u12\"]",
		"[\"\\u12g4\"]",
		"[\"\\u0000\"]",
		"[\"\\ud800\"]",
		"[\"\\udc00\"]",
		"[\"\\ud800\\u0041\"]",
		"[\"\\ud800x\"]",
		"[\"a\nb\"]",
		"[\"\\\n\"]",
		"[\"\xFF\"]",
		"[\"\xC3\"]",
		"[tru]",
		"[truee]",
		"[01]",
		"[1.]",
		"[+1]",
		"[1e999]",
		"[9223372036854775808]",
		"[-]",
		"['a']",
		"[NaN]",
		"[\v]",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(taken); i++) {
		json_t *ours = json_fast(taken[i], strlen(taken[i]));
		json_t *theirs = json_loads(taken[i], JSON_REJECT_DUPLICATES, NULL);

		if (ours == NULL || !json_equal(ours, theirs))
			fail_msg("%s", taken[i]);
		json_decref(ours);
		json_decref(theirs);
	}
	for (size_t i = 0; i < COUNT(left); i++)
		if (json_fast(left[i], strlen(left[i])) != NULL)
			fail_msg("%s", left[i]);
	/* A NUL in the text ends nothing. */
	assert_null(json_fast("[1]\0", 4));
	assert_null(json_fast("[\"a\0\"]", 6));
	assert_null(json_fast("[1\0]", 4));
}

/* Strings are read eight bytes at a time: what ends one, or may not be in it, is seen wherever it stands among them. */
static void test_fast_strings(void **state)
{
	static const char *const pieces[] = {"\\\"", "\\\\", "\\n", "\\u00e9", "\xC3\xA9", "\x7F", " ",   "!",
					     "#",    "[",    "]",   "\"",      "\\",       "\x1F", "\x01"};
	char text[64];

	(void)state;
	for (size_t len = 0; len < 24; len++) {
		for (size_t at = 0; at <= len; at++) {
			for (size_t i = 0; i < COUNT(pieces); i++) {
				json_t *ours;
				json_t *theirs;

				(void)snprintf(text, sizeof text, "[\"%.*s%s%.*s\"]", (int)at,
					       "aaaaaaaaaaaaaaaaaaaaaaaa", pieces[i], (int)(len - at),
					       "zzzzzzzzzzzzzzzzzzzzzzzz");
				ours = json_fast(text, strlen(text));
				theirs = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
				if ((ours == NULL) != (theirs == NULL) || (ours != NULL && !json_equal(ours, theirs)))
					fail_msg("%s", text);
				json_decref(ours);
				json_decref(theirs);
			}
		}
	}
}

static void test_parse_refused(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{"", "not valid JSON"},
		{"nothing", "not valid JSON"},
		{"1", "not valid JSON"},
		{"\"text\"", "not valid JSON"},
		{"{", "(line 1, column 1)"},
		{"{\"a\":1,}", "not valid JSON"},
		{"{\n\"a\": tru}", "(line 2, column 8)"},
		{"{'a':1}", "not valid JSON"},
		{"{\"a\":1} x", "not valid JSON"},
		{"{\"a\":1,\"a\":2}", "duplicate object key"},
		{"{\"b\":{\"a\":1,\"a\":1}}", "duplicate object key"},
		{"{\"b\":1,\"\\u0062\":1}", "duplicate object key"},
		{"{\"a\":NaN}", "not valid JSON"},
		{"{\"a\":01}", "not valid JSON"},
		{"{\"a\":1e999}", "real number overflow"},
		{"{\"a\":99999999999999999999}", "too big integer"},
		{"{\"a\":\"\\u0000\"}", "a string has a NUL character"},
		{"{\"\\u0000\":1}", "a string has a NUL character"},
		{"{\"a\":\"\\ud800\"}", "not valid JSON"},
		{"{\"a\":\"\xFF\"}", "not valid JSON"},
		{"{\"a\":\"\n\"}", "not valid JSON"},
		{"\xEF\xBB\xBF{}", "byte order mark"},
		{"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
		 "deeper than 32 levels (byte 33)"},
	};
	struct arena *a = arena_new(0);
	char large[1002];
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_refused(rows[i].text, parse(a, rows[i].text, &e) != NULL, &e, ERR_MALFORMED, rows[i].message);
	assert_refused("NUL byte", json_parse(a, "The body", "[\"\0\"]", 5, 1000, &e) != NULL, &e, ERR_MALFORMED,
		       "not valid JSON");
	memset(large, ' ', sizeof large);
	large[0] = '[';
	large[999] = ']';
	assert_non_null(json_parse(a, "The body", large, 1000, 1000, &e));
	assert_refused("large", json_parse(a, "The body", large, 1001, 1000, &e) != NULL, &e, ERR_TOO_LARGE,
		       "The body is larger than 1000 bytes");
	/* A mistake beside a secret does not put the secret into the error, which is logged. */
	assert_refused("secret", parse(a, "{\"value\": \"hunter2\" hunter3}", &e) != NULL, &e, ERR_MALFORMED, "line 1");
	assert_null(strstr(e.message, "hunter"));
	arena_free(a);
}

static void test_members(void **state)
{
	struct arena *a = arena_new(0);
	struct err e = ERR_INIT;
	json_t *doc =
		parse(a,
		      "{\"s\":\"a\\tb\\r\\n\",\"bad\":\"\\u0001\",\"del\":\"\\u007f\",\"n\":5,\"f\":5.0,\"t\":true,"
		      "\"null\":null,\"l\":[\"x\",\"y\"],\"e\":[],\"m\":[\"x\",1],\"c\":[\"\\u001b\"]}",
		      &e);
	const char *s = "kept";
	const char **list = NULL;
	bool present = true;
	bool flag = false;
	int64_t n = 7;

	(void)state;
	assert_non_null(doc);
	assert_ok("absent", json_get_string(doc, "no", JSON_OPTIONAL, &s, &e), &e);
	assert_ok("null", json_get_string(doc, "null", JSON_OPTIONAL, &s, &e), &e);
	assert_string_equal(s, "kept");
	assert_ok("string", json_get_string(doc, "s", JSON_REQUIRED, &s, &e), &e);
	assert_string_equal(s, "a\tb\r\n");
	assert_refused("missing", json_get_string(doc, "no", JSON_REQUIRED, &s, &e), &e, ERR_INVALID,
		       "\"no\" is missing");
	assert_refused("null", json_get_string(doc, "null", JSON_REQUIRED, &s, &e), &e, ERR_INVALID,
		       "\"null\" is missing");
	assert_refused("type", json_get_string(doc, "n", JSON_OPTIONAL, &s, &e), &e, ERR_INVALID,
		       "\"n\" must be a string");
	assert_refused("control", json_get_string(doc, "bad", JSON_OPTIONAL, &s, &e), &e, ERR_INVALID, "U+0001");
	assert_refused("delete", json_get_string(doc, "del", JSON_OPTIONAL, &s, &e), &e, ERR_INVALID, "U+007F");
	assert_refused("no object", json_get_string(json_object_get(doc, "l"), "s", JSON_REQUIRED, &s, &e), &e,
		       ERR_INVALID, "is missing");

	assert_ok("bool", json_get_bool(doc, "t", JSON_REQUIRED, &present, &flag, &e), &e);
	assert_true(present && flag);
	assert_ok("bool", json_get_bool(doc, "no", JSON_OPTIONAL, &present, &flag, &e), &e);
	assert_true(!present && flag);
	assert_refused("bool", json_get_bool(doc, "n", JSON_OPTIONAL, NULL, &flag, &e), &e, ERR_INVALID,
		       "true or false");
	assert_refused("bool", json_get_bool(doc, "no", JSON_REQUIRED, NULL, &flag, &e), &e, ERR_INVALID, "is missing");

	assert_ok("int", json_get_int(doc, "no", JSON_OPTIONAL, 0, 5, &n, &e), &e);
	assert_int_equal(n, 7);
	assert_ok("int", json_get_int(doc, "n", JSON_REQUIRED, 5, 5, &n, &e), &e);
	assert_int_equal(n, 5);
	assert_refused("range", json_get_int(doc, "n", JSON_OPTIONAL, 0, 4, &n, &e), &e, ERR_INVALID, "from 0 to 4");
	assert_refused("range", json_get_int(doc, "n", JSON_OPTIONAL, 6, 9, &n, &e), &e, ERR_INVALID, "from 6 to 9");
	assert_refused("real", json_get_int(doc, "f", JSON_OPTIONAL, 0, 9, &n, &e), &e, ERR_INVALID, "whole number");

	assert_ok("list", json_get_strings(a, doc, "no", 2, &list, &e), &e);
	assert_null(list);
	assert_ok("list", json_get_strings(a, doc, "l", 2, &list, &e), &e);
	assert_string_equal(list[0], "x");
	assert_string_equal(list[1], "y");
	assert_null(list[2]);
	assert_ok("empty", json_get_strings(a, doc, "e", 2, &list, &e), &e);
	assert_null(list[0]);
	assert_refused("many", json_get_strings(a, doc, "l", 1, &list, &e), &e, ERR_INVALID, "more than 1 items");
	assert_refused("mixed", json_get_strings(a, doc, "m", 2, &list, &e), &e, ERR_INVALID, "array of strings");
	assert_refused("type", json_get_strings(a, doc, "s", 2, &list, &e), &e, ERR_INVALID, "array of strings");
	assert_refused("control", json_get_strings(a, doc, "c", 2, &list, &e), &e, ERR_INVALID, "U+001B");
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),        cmocka_unit_test(test_fast),
		cmocka_unit_test(test_fast_strings), cmocka_unit_test(test_parse_refused),
		cmocka_unit_test(test_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
