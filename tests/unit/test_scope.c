#include "auth/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void names_and_bits_agree(void **state)
{
	static const char *const names[] = {"functions:read", "functions:write", "secrets:read",  "secrets:write",
					    "audit:read",     "tokens:admin",    "projects:admin"};
	unsigned all = 0;

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		enum scope scope = scope_parse(names[i]);

		assert_int_not_equal(scope, SCOPE_NONE);
		assert_string_equal(scope_name(scope), names[i]);
		all |= (unsigned)scope;
	}
	assert_int_equal(all, SCOPE_ALL);
	/* The runtime's own, which having all does not give. */
	assert_int_equal(scope_parse("events:write"), SCOPE_EVENTS_WRITE);
	assert_int_equal(SCOPE_ALL & SCOPE_EVENTS_WRITE, 0);
}

static void other_words_are_no_scope(void **state)
{
	static const char *const words[] = {"",
					    "functions",
					    "functions:",
					    "functions:read ",
					    "Functions:Read",
					    "*",
					    "all",
					    "functions:*",
					    "functions:read,functions:write"};

	(void)state;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		assert_int_equal(scope_parse(words[i]), SCOPE_NONE);
	assert_null(scope_name(SCOPE_NONE));
	assert_null(scope_name(SCOPE_ALL));
	assert_null(scope_name((enum scope)(SCOPE_EVENTS_WRITE << 1)));
}

static void patterns(void **state)
{
	static const struct {
		const char *pattern;
		const char *slug;
		bool matches;
	} rows[] = {
		{"hello", "hello", true},
		{"hello", "hello2", false},
		{"hello", "hell", false},
		{"hello", "Hello", false},
		{"ci-*", "ci-", true},
		{"ci-*", "ci-build", true},
		{"ci-*", "ci", false},
		{"ci-*", "xci-a", false},
		{"*", "", true},
		{"*", "anything", true},
		{"", "", true},
		{"", "a", false},
		{"*-prod", "a-prod", true},
		{"*-prod", "a-prod-b", false},
		{"a*b*c", "a-b-c", true},
		{"a*b*c", "abc", true},
		{"a*b*c", "acb", false},
		{"a*bc", "abbbc", true},
		{"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
		{"**", "x", true},
		{"a**", "a", true},
		{"?", "a", false},
		{"[a]", "a", false},
		{".*", "abc", false},
		{"h*o", "hello", true},
		{"h*o", "hellos", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (scope_slug_matches(rows[i].pattern, rows[i].slug) != rows[i].matches)
			fail_msg("%s against %s: not %d", rows[i].pattern, rows[i].slug, rows[i].matches);
}

static void all_wanted_scopes_are_needed(void **state)
{
	struct principal p = {.scopes = SCOPE_FUNCTIONS_READ | SCOPE_SECRETS_READ};

	(void)state;
	assert_true(principal_has(&p, SCOPE_FUNCTIONS_READ));
	assert_true(principal_has(&p, SCOPE_FUNCTIONS_READ | SCOPE_SECRETS_READ));
	assert_true(principal_has(&p, SCOPE_NONE));
	assert_false(principal_has(&p, SCOPE_FUNCTIONS_WRITE));
	assert_false(principal_has(&p, SCOPE_FUNCTIONS_READ | SCOPE_FUNCTIONS_WRITE));
	assert_false(principal_has(&p, SCOPE_ALL));
	p.scopes = SCOPE_NONE;
	assert_false(principal_has(&p, SCOPE_FUNCTIONS_READ));
}

static void bounds_of_project_and_slug(void **state)
{
	const char *slugs[] = {"ci-*", "hello", NULL};
	const char *none[] = {NULL};
	struct principal p = {.scopes = SCOPE_ALL};

	(void)state;
	assert_true(principal_may_project(&p, "aaaaaaaaaaaaaaaaaaaa"));
	assert_true(principal_may_slug(&p, "anything"));
	p.project = "aaaaaaaaaaaaaaaaaaaa";
	assert_true(principal_may_project(&p, "aaaaaaaaaaaaaaaaaaaa"));
	assert_false(principal_may_project(&p, "bbbbbbbbbbbbbbbbbbbb"));
	assert_false(principal_may_project(&p, ""));
	p.slugs = slugs;
	assert_true(principal_may_slug(&p, "hello"));
	assert_true(principal_may_slug(&p, "ci-1"));
	assert_false(principal_may_slug(&p, "other"));
	/* A list without patterns allows nothing; only no list allows all. */
	p.slugs = none;
	assert_false(principal_may_slug(&p, "hello"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_bits_agree),
		cmocka_unit_test(other_words_are_no_scope),
		cmocka_unit_test(patterns),
		cmocka_unit_test(all_wanted_scopes_are_needed),
		cmocka_unit_test(bounds_of_project_and_slug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
