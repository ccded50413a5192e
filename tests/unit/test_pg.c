#include "store/pg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_ports(const struct config *cfg, const char *expected)
{
	struct err e = ERR_INIT;
	char *ports = NULL;

	assert_true(pg_ports(cfg, &ports, &e));
	assert_string_equal(ports, expected);
	free(ports);
}

static void ports_are_those_of_tcp(void **state)
{
	static const struct {
		char *url;
		const char *ports;
	} urls[] = {
		{"postgresql://db/postgres", "5432"},
		{"postgres://u:p@db:6543/postgres", "6543"},
		{"postgresql://[::1]:6543/postgres?sslmode=require", "6543"},
		{"postgresql://a:5433,b/postgres", "5433,5432"},
		{"postgresql://a,b:5433/postgres", "5432,5433"},
		{"postgresql://%2Frun%2Fpostgresql/postgres", ""},
		{"postgresql://%2Frun,db:5433/postgres", "5432,5433"},
		{"postgresql:///postgres?host=/run/postgresql&port=5433", ""},
		{"postgresql:///postgres?hostaddr=192.0.2.1&port=5433", "5433"},
		{"postgresql:///postgres", ""},
		{"postgresql://[::1/postgres", ""},
	};
	struct config cfg = {.postgres_host = "db", .postgres_port = 5434};

	(void)state;
	(void)unsetenv("PGHOST");
	(void)unsetenv("PGHOSTADDR");
	(void)unsetenv("PGPORT");
	(void)unsetenv("PGSERVICE");
	assert_ports(&cfg, "5434");
	cfg.postgres_host = "/run/postgresql";
	assert_ports(&cfg, "");
	for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
		cfg.database_url = urls[i].url;
		assert_ports(&cfg, urls[i].ports);
	}
}

static void what_a_url_leaves_open_is_the_environments(void **state)
{
	const struct config cfg = {.database_url = "postgresql:///postgres", .postgres_host = "/run"};

	(void)state;
	(void)setenv("PGHOST", "db", 1);
	(void)setenv("PGPORT", "5435", 1);
	assert_ports(&cfg, "5435");
	(void)unsetenv("PGHOST");
	(void)unsetenv("PGPORT");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_are_those_of_tcp),
		cmocka_unit_test(what_a_url_leaves_open_is_the_environments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
