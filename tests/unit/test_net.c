#include "core/net.h"

#include "core/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct net network(const char *text)
{
	struct net n;

	if (!net_network(text, &n))
		fail_msg("%s is a network", text);
	return n;
}

static bool contains(const char *outer, const char *inner)
{
	struct net o = network(outer);
	struct net i = network(inner);

	return net_contains(&o, &i);
}

static void networks_hold_what_lies_in_them(void **state)
{
	(void)state;
	assert_true(contains("10.0.0.0/8", "10.255.1.2"));
	assert_true(contains("10.0.0.0/8", "10.1.0.0/16"));
	assert_true(contains("10.0.0.7", "10.0.0.7"));
	assert_true(contains("0.0.0.0/0", "192.0.2.1"));
	assert_true(contains("10.0.0.128/25", "10.0.0.200"));
	assert_true(contains("2001:db8::/33", "2001:db8:7fff::1"));
	assert_true(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
	assert_false(contains("10.0.0.0/8", "11.0.0.1"));
	assert_false(contains("10.1.0.0/16", "10.0.0.0/8"));
	assert_false(contains("10.0.0.128/25", "10.0.0.100"));
	assert_false(contains("::/0", "10.0.0.1"));
	assert_false(contains("0.0.0.0/0", "::1"));
	assert_false(contains("2001:db8::/33", "2001:db8:8000::1"));
}

static void other_texts_are_no_networks(void **state)
{
	static const char *const texts[] = {
		"",          "10.0.0",    "10.0.0.0/33", "10.0.0.0/",           "10.0.0.0/-1", "::1/129",
		"localhost", "10.0.0.1 ", "/8",          "::ffff:10.0.0.0/104", "1.2.3.4/8/8"};
	struct net n;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (net_network(texts[i], &n))
			fail_msg("\"%s\" is no network", texts[i]);
}

static void one_subscriber_is_one_client(void **state)
{
	static const struct {
		const char *address;
		const char *as;
	} cases[] = {
		{"192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"2001:db8:1:2::", "2001:db8:1:2::"},
		{"::1", "::"},
		{"unix:", "unix:"},
		{"", ""},
		{"0123456789012345678901234567890123456789012345678901234567890123456789",
		 "012345678901234567890123456789012345678901234567890123456789012"},
	};
	char out[NET_SUBSCRIBER_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		net_subscriber(cases[i].address, out);
		assert_string_equal(out, cases[i].as);
	}
}

static void lists_hold_what_any_entry_holds(void **state)
{
	static const char *const array[] = {"192.0.2.0/24", "::1", NULL};
	struct net inside = network("192.0.2.9");
	struct net outside = network("192.0.3.9");

	(void)state;
	assert_true(net_any_contains(array, &inside));
	assert_false(net_any_contains(array, &outside));
	assert_true(net_list_contains("nonsense, 10.0.0.0/8,192.0.2.0/24", &inside));
	assert_false(net_list_contains("", &inside));
	assert_false(net_list_contains("10.0.0.0/8", &inside));
}

static void a_network_of_a_token_is_exact(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_true(names_check_network("10.0.0.0/8", &e));
	assert_true(names_check_network("2001:db8::/32", &e));
	assert_true(names_check_network("192.0.2.7", &e));
	assert_false(names_check_network("10.0.0.1/8", &e));
	assert_int_equal(e.kind, ERR_INVALID);
	assert_false(names_check_network("2001:db8::1/32", &e));
}

static void a_slug_pattern_has_letters_and_stars(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_true(names_check_slug_pattern("ci-*", &e));
	assert_true(names_check_slug_pattern("*", &e));
	assert_false(names_check_slug_pattern("", &e));
	assert_false(names_check_slug_pattern("ci-?", &e));
	assert_false(names_check_slug_pattern("a,b", &e));
	assert_int_equal(e.kind, ERR_INVALID);
}

static void ports_of_urls_and_lists(void **state)
{
	static const struct {
		const char *url;
		int64_t port; /* 0: none */
	} urls[] = {
		{"http://runtime:9000", 9000},
		{"https://auth/a:1", 443},
		{"http://[::1]/", 80},
		{"http://[::1]:8081/x", 8081},
		{"http://a:99999", 0},
		{"ftp://a:21", 0},
		{"http://a:", 0},
		{"https://a?b=http:2", 443},
	};
	const char *list = "5432, 9000,1 65535";
	const char *bad = "80,x";
	const char *none = NULL;
	int64_t port;

	(void)state;
	for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
		port = 0;
		assert_int_equal(net_url_port(urls[i].url, &port), urls[i].port != 0);
		assert_int_equal(port, urls[i].port);
	}
	for (const int64_t *p = (const int64_t[]){5432, 9000, 1, 65535, 0}; *p != 0; p++)
		assert_true(net_next_port(&list, &port) && port == *p);
	assert_false(net_next_port(&list, &port));
	assert_true(net_next_port(&bad, &port) && !net_next_port(&bad, &port));
	assert_string_equal(bad, "x");
	assert_false(net_next_port(&none, &port));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks_hold_what_lies_in_them),      cmocka_unit_test(other_texts_are_no_networks),
		cmocka_unit_test(lists_hold_what_any_entry_holds),      cmocka_unit_test(a_network_of_a_token_is_exact),
		cmocka_unit_test(a_slug_pattern_has_letters_and_stars), cmocka_unit_test(ports_of_urls_and_lists),
		cmocka_unit_test(one_subscriber_is_one_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
