/*
 * The configuration, read as the program does. `test_config --man` prints the options' part of
 * docs/man/functions-admin.conf.5, which a test here compares with the page.
 */
#include "core/config.h"

#include "core/buf.h"
#include "core/log.h"
#include "core/text.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MAN_BEGIN ".\\\" options begin\n"
#define MAN_END ".\\\" options end\n"
#define SECRET32 "0123456789abcdef0123456789abcdef"
#define REF "abcdefghijklmnopqrst"

static char dir[] = "/tmp/fa-config-XXXXXX";
static char conf[64];
static char value_file[64];

static void write_file(const char *path, const char *text, size_t len)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void upper(const char *name, const char *suffix, char out[96])
{
	(void)snprintf(out, 96, "FUNCTIONS_ADMIN_%s%s", name, suffix);
	for (char *c = out; *c != '\0'; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
}

/* An empty file, and an environment without any of our names. */
static int fresh(void **state)
{
	struct config_info info;
	char name[96];

	(void)state;
	for (size_t i = 0; config_info_at(i, &info); i++) {
		upper(info.name, "", name);
		(void)unsetenv(name);
		upper(info.name, "_file", name);
		(void)unsetenv(name);
		if (info.supabase != NULL) {
			(void)unsetenv(info.supabase);
			(void)snprintf(name, sizeof name, "%s_FILE", info.supabase);
			(void)unsetenv(name);
		}
	}
	write_file(conf, "", 0);
	assert_int_equal(chmod(conf, 0600), 0);
	(void)unlink(value_file);
	return setenv("FUNCTIONS_ADMIN_CONFIG", conf, 1);
}

static int group_setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(conf, sizeof conf, "%s/test.conf", dir);
	(void)snprintf(value_file, sizeof value_file, "%s/value", dir);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	(void)unlink(conf);
	(void)unlink(value_file);
	return rmdir(dir);
}

/* ---- Loading and asserting. ---- */

static bool load_with(struct config **c, char **words, int *argc, const char *const *own, struct err *e)
{
	*argc = 0;
	while (words[*argc] != NULL)
		(*argc)++;
	*e = (struct err)ERR_INIT;
	return config_load(c, argc, words, own, e);
}

static struct config *load_flags(char **words)
{
	struct config *c;
	struct err e;
	int argc;

	if (!load_with(&c, words, &argc, NULL, &e))
		fail_msg("refused: %s", e.message);
	return c;
}

static struct config *load(void)
{
	char *words[] = {(char *)"functions-admin", NULL};

	return load_flags(words);
}

static struct config *load_file(const char *text)
{
	write_file(conf, text, strlen(text));
	return load();
}

/* Refused, with each of the texts in the message, a hint, and no `secret` in either. */
static void assert_refused_words(char **words, const char *says, const char *says_too, const char *secret)
{
	struct config *c;
	struct err e;
	int argc;

	if (load_with(&c, words, &argc, NULL, &e))
		fail_msg("accepted; expected: %s", says);
	assert_null(c);
	assert_true(e.kind == ERR_CONFIG || e.kind == ERR_USAGE);
	if (strstr(e.message, says) == NULL || (says_too != NULL && strstr(e.message, says_too) == NULL))
		fail_msg("says: %s\nnot: %s ... %s", e.message, says, says_too != NULL ? says_too : "");
	if (e.hint[0] == '\0')
		fail_msg("no hint: %s", e.message);
	if (secret != NULL && (strstr(e.message, secret) != NULL || strstr(e.hint, secret) != NULL))
		fail_msg("the secret is repeated: %s", e.message);
}

static void assert_refused(const char *says, const char *says_too, const char *secret)
{
	char *words[] = {(char *)"functions-admin", NULL};

	assert_refused_words(words, says, says_too, secret);
}

static void assert_file_refused(const char *text, const char *says, const char *says_too)
{
	write_file(conf, text, strlen(text));
	assert_refused(says, says_too, NULL);
}

/* ---- Values. ---- */

static void defaults(void **state)
{
	struct config *c = load();

	(void)state;
	assert_string_equal(c->listen, "unix:/run/functions-admin/functions-admin.sock");
	assert_int_equal(c->listen_mode, 0660);
	assert_int_equal(c->workers, 8);
	assert_int_equal(c->request_timeout, 30000);
	assert_null(c->pid_file);
	assert_string_equal(c->base_path, "/functions-admin");
	assert_null(c->trusted_proxies);
	assert_null(c->database_url);
	assert_string_equal(c->postgres_host, "db");
	assert_int_equal(c->postgres_port, 5432);
	assert_string_equal(c->postgres_db, "postgres");
	assert_string_equal(c->postgres_user, "postgres");
	assert_null(c->postgres_password);
	assert_null(c->project_ref);
	assert_string_equal(c->project_name, "Default Project");
	assert_string_equal(c->region, "local");
	assert_null(c->public_url);
	assert_null(c->functions_dir);
	assert_int_equal(c->functions_mode, 0755);
	assert_null(c->jwt_secret);
	assert_null(c->jwks);
	assert_null(c->master_key);
	assert_null(c->runtime_url);
	assert_true(c->boot_check);
	assert_int_equal(c->boot_timeout, 30000);
	assert_int_equal(c->max_file_bytes, 20 * 1024 * 1024);
	assert_int_equal(c->max_upload_bytes, 64 * 1024 * 1024);
	assert_int_equal(c->max_files, 1000);
	assert_int_equal(c->max_path_bytes, 512);
	assert_int_equal(c->max_json_bytes, 8 * 1024 * 1024);
	assert_int_equal(c->max_eszip_bytes, 256 * 1024 * 1024);
	assert_int_equal(c->max_disk_releases, 5);
	assert_string_equal(c->log_level, "info");
	assert_string_equal(c->log_format, "text");
	config_free(c);
}

static void the_file_is_read(void **state)
{
	struct config *c = load_file("# a comment\n"
				     "\n"
				     "  # another\r\n"
				     "listen = 127.0.0.1:9001\r\n"
				     "\tworkers=3\n"
				     "postgres_password =  p#a = \"s\" s \n"
				     "boot_check = off\n"
				     "request_timeout = 5m\n"
				     "boot_timeout = 1500ms\n"
				     "max_file_bytes = 512k\n"
				     "listen_mode = 600\n"
				     "base_path =\n"
				     "project_name = Caf\xc3\xa9\n"
				     "public_url = https://example.com/base//\n"
				     "log_level = debug");

	(void)state;
	assert_string_equal(c->listen, "127.0.0.1:9001");
	assert_int_equal(c->workers, 3);
	assert_string_equal(c->postgres_password, "p#a = \"s\" s");
	assert_false(c->boot_check);
	assert_int_equal(c->request_timeout, 300000);
	assert_int_equal(c->boot_timeout, 1500);
	assert_int_equal(c->max_file_bytes, 512 * 1024);
	assert_int_equal(c->listen_mode, 0600);
	assert_null(c->base_path);
	assert_string_equal(c->project_name, "Caf\xc3\xa9");
	assert_string_equal(c->public_url, "https://example.com/base");
	assert_string_equal(c->log_level, "debug");
	config_free(c);
}

static void precedence(void **state)
{
	char *words[] = {(char *)"functions-admin", (char *)"--workers", (char *)"5", NULL};
	struct config *c = load_file("workers = 3\npostgres_host = from-file\n");

	(void)state;
	assert_int_equal(c->workers, 3);
	config_free(c);

	assert_int_equal(setenv("FUNCTIONS_ADMIN_WORKERS", "4", 1), 0);
	assert_int_equal(setenv("POSTGRES_HOST", "from-env", 1), 0);
	c = load();
	assert_int_equal(c->workers, 4);
	assert_string_equal(c->postgres_host, "from-env");
	config_free(c);

	c = load_flags(words);
	assert_int_equal(c->workers, 5);
	config_free(c);

	/* Our own name wins over Supabase's; an empty variable is none. */
	assert_int_equal(setenv("FUNCTIONS_ADMIN_POSTGRES_HOST", "our-own", 1), 0);
	assert_int_equal(setenv("FUNCTIONS_ADMIN_WORKERS", "", 1), 0);
	c = load();
	assert_string_equal(c->postgres_host, "our-own");
	assert_int_equal(c->workers, 3);
	config_free(c);

	/* A wrong value that is overridden harms nobody. */
	c = load_flags((char *[]){(char *)"x", (char *)"--workers=6", NULL});
	assert_int_equal(c->workers, 6);
	config_free(c);
}

static void names_of_supabases_env(void **state)
{
	static const struct {
		const char *name;
		const char *value;
		size_t offset;
	} rows[] = {
		{"POSTGRES_HOST", "pg", offsetof(struct config, postgres_host)},
		{"POSTGRES_DB", "app", offsetof(struct config, postgres_db)},
		{"POSTGRES_USER", "someone", offsetof(struct config, postgres_user)},
		{"POSTGRES_PASSWORD", "p w", offsetof(struct config, postgres_password)},
		{"DATABASE_URL", "postgresql://a:b@c/d?host=/tmp", offsetof(struct config, database_url)},
		{"JWT_SECRET", SECRET32, offsetof(struct config, jwt_secret)},
		{"ANON_KEY", "a.b.c", offsetof(struct config, anon_key)},
		{"SERVICE_ROLE_KEY", "d.e.f", offsetof(struct config, service_role_key)},
		{"SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x", offsetof(struct config, publishable_key)},
		{"SUPABASE_SECRET_KEY", "sb_secret_x", offsetof(struct config, secret_key)},
		{"SUPABASE_JWKS", "[{\"kty\":\"EC\"}]", offsetof(struct config, jwks)},
		{"SUPABASE_PUBLIC_URL", "http://localhost:8000", offsetof(struct config, public_url)},
	};
	struct config *c;

	(void)state;
	/* Each as a value, and then each from a file. */
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char name[96];

		assert_int_equal(setenv(rows[i].name, rows[i].value, 1), 0);
		c = load();
		assert_string_equal(*(char **)((char *)c + rows[i].offset), rows[i].value);
		config_free(c);
		assert_int_equal(unsetenv(rows[i].name), 0);

		write_file(value_file, rows[i].value, strlen(rows[i].value));
		(void)snprintf(name, sizeof name, "%s_FILE", rows[i].name);
		assert_int_equal(setenv(name, value_file, 1), 0);
		c = load();
		assert_string_equal(*(char **)((char *)c + rows[i].offset), rows[i].value);
		config_free(c);
		assert_int_equal(unsetenv(name), 0);
	}
	assert_int_equal(setenv("POSTGRES_PORT", "6543", 1), 0);
	c = load();
	assert_int_equal(c->postgres_port, 6543);
	config_free(c);
}

static void values_from_files(void **state)
{
	static const struct {
		const char *content;
		const char *value;
	} rows[] = {
		{"secret", "secret"},
		{"secret\n", "secret"},
		{"secret\r\n", "secret"},
		{" secret ", " secret "},
	};
	struct config *c;
	char line[128];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		write_file(value_file, rows[i].content, strlen(rows[i].content));
		(void)snprintf(line, sizeof line, "postgres_password_file = %s\n", value_file);
		c = load_file(line);
		assert_string_equal(c->postgres_password, rows[i].value);
		config_free(c);
	}
	c = load_flags((char *[]){(char *)"x", (char *)"--postgres-password-file", value_file, NULL});
	assert_string_equal(c->postgres_password, " secret ");
	config_free(c);

	/* Only one newline is dropped; a second one is part of the value, and no password has one. */
	write_file(value_file, "secret\n\n", 8);
	assert_refused("Option postgres_password", "control character", "secret\n");
	write_file(value_file, "", 0);
	assert_refused("Option postgres_password", "is empty", NULL);
	write_file(value_file, "\n", 1);
	assert_refused("Option postgres_password", "is empty", NULL);
	write_file(value_file, "a\0b", 3);
	assert_refused("Option postgres_password", "zero byte", NULL);
	write_file(value_file, "\xff\xfe", 2);
	assert_refused("Option postgres_password", "not UTF-8", NULL);
	assert_int_equal(unlink(value_file), 0);
	assert_refused("Option postgres_password", "No such file", NULL);
	assert_refused(value_file, NULL, NULL);
	assert_int_equal(mkdir(value_file, 0700), 0);
	assert_refused("Option postgres_password", "Is a directory", NULL);
	assert_int_equal(rmdir(value_file), 0);

	/* A JWKS may be laid out over lines. */
	write_file(value_file, "{\n\t\"keys\": []\n}\n", 16);
	(void)snprintf(line, sizeof line, "jwks_file = %s\n", value_file);
	c = load_file(line);
	assert_string_equal(c->jwks, "{\n\t\"keys\": []\n}");
	config_free(c);

	/* What is not secret and has no name in Supabase's .env has no file form. */
	assert_file_refused("workers_file = /x\n", "no option workers_file", "test.conf:1");
}

static void one_value_from_one_place(void **state)
{
	char *twice[] = {(char *)"x", (char *)"--workers=1", (char *)"--workers=2", NULL};
	char text[256];

	(void)state;
	assert_file_refused("workers = 1\n\nworkers = 1\n", "Option workers is given twice", "test.conf:3");
	write_file(value_file, "x", 1);
	(void)snprintf(text, sizeof text, "postgres_password = hunter2\npostgres_password_file = %s\n", value_file);
	write_file(conf, text, strlen(text));
	assert_refused("Option postgres_password is given as a value and as a file", "test.conf:1", "hunter2");

	(void)fresh(NULL);
	assert_int_equal(setenv("JWT_SECRET", SECRET32, 1), 0);
	assert_int_equal(setenv("JWT_SECRET_FILE", "/x", 1), 0);
	assert_refused("Option jwt_secret is given as a value and as a file", "environment variable JWT_SECRET_FILE",
		       SECRET32);
	(void)fresh(NULL);
	assert_refused_words(twice, "Option workers is given twice", "flag --workers", NULL);
}

static void wrong_lines(void **state)
{
	char path[80];
	struct config *c;

	(void)state;
	assert_file_refused("\nworker = 3\n", "test.conf:2: there is no option worker", NULL);
	assert_file_refused("Workers = 3\n", "no option Workers", NULL);
	assert_file_refused("= 3\n", "no option", NULL);
	assert_file_refused("workers\n", "not of the form name = value", "test.conf:1");
	assert_file_refused("[service]\n", "not of the form name = value", NULL);
	assert_file_refused("workers: 3\n", "not of the form name = value", NULL);
	assert_file_refused("project_name = \"Mine\"\n", "stands in quotes", "project_name");
	/* The line may be a password that slipped. */
	write_file(conf, "hunter2\n", 8);
	assert_refused("test.conf:1", NULL, "hunter2");
	write_file(conf, "a\0b", 3);
	assert_refused("zero byte", "test.conf", NULL);
	write_file(conf, "project_name = \xff\n", 17);
	assert_refused("not UTF-8", "test.conf", NULL);

	/* A file that somebody named must exist; the usual one need not. */
	(void)snprintf(path, sizeof path, "%s/none", dir);
	assert_refused_words((char *[]){(char *)"x", (char *)"--config", path, NULL}, "Configuration file", path, NULL);
	assert_int_equal(setenv("FUNCTIONS_ADMIN_CONFIG", path, 1), 0);
	assert_refused("Configuration file", path, NULL);
	(void)fresh(NULL);
	write_file(value_file, "workers = 9\n", 12);
	c = load_flags((char *[]){(char *)"x", (char *)"--config", value_file, NULL});
	assert_int_equal(c->workers, 9);
	config_free(c);
}

static void wrong_values(void **state)
{
	static const struct {
		const char *name;
		const char *value;
		const char *says;
	} rows[] = {
		{"workers", "many", "is no whole number"},
		{"workers", "", "is no whole number"},
		{"workers", "0", "is not between 1 and 256"},
		{"workers", "257", "is not between 1 and 256"},
		{"workers", "-1", "is not between 1 and 256"},
		{"workers", "8x", "is no whole number"},
		{"workers", "0x8", "is no whole number"},
		{"workers", "99999999999999999999", "is no whole number"},
		{"request_timeout", "30", "is no duration"},
		{"request_timeout", "s", "is no duration"},
		{"request_timeout", "-1s", "is no duration"},
		{"request_timeout", "1.5s", "is no duration"},
		{"request_timeout", "30 s", "is no duration"},
		{"request_timeout", "10ms", "is not between 1s and 1h"},
		{"request_timeout", "2h", "is not between 1s and 1h"},
		{"request_timeout", "999999999999999h", "is no duration"},
		{"listen_mode", "0668", "is no octal mode"},
		{"listen_mode", "rw", "is no octal mode"},
		{"listen_mode", "1777", "is not between 0000 and 0777"},
		{"functions_mode", "0", "is not between 0500 and 0777"},
		{"max_file_bytes", "20MB", "is no size"},
		{"max_file_bytes", "1", "is not between 1k and 1G"},
		{"max_file_bytes", "2G", "is not between 1k and 1G"},
		{"boot_check", "maybe", "is not on or off"},
		{"boot_check", "ON", "is not on or off"},
		{"listen", "9001", "is not unix:PATH, HOST:PORT or fd:N"},
		{"listen", ":9001", "is not unix:PATH, HOST:PORT or fd:N"},
		{"listen", "localhost:0", "is not unix:PATH"},
		{"listen", "localhost:65536", "is not unix:PATH"},
		{"listen", "::1:9001", "IPv6 address without brackets"},
		{"listen", "unix:run/x", "absolute path"},
		{"listen", "unix:", "absolute path"},
		{"listen", "fd:", "descriptor"},
		{"listen", "fd:x", "descriptor"},
		{"listen",
		 "unix:/"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaa",
		 "too long for a unix socket"},
		{"base_path", "functions", "does not begin with one slash"},
		{"base_path", "/a/", "ends with one"},
		{"base_path", "/", "ends with one"},
		{"base_path", "//a", "does not begin with one slash"},
		{"base_path", "/a b", "character"},
		{"base_path", "/a?b", "character"},
		{"trusted_proxies", "localhost", "no IP address or network"},
		{"sandbox_ports", "9000, http", "an entry that is no port"},
		{"sandbox_ports", "65536", "an entry that is no port"},
		{"trusted_proxies", "10.0.0.0/33", "0 to 32"},
		{"trusted_proxies", "::1/129", "0 to 128"},
		{"trusted_proxies", "10.0.0.1,,x", "no IP address or network"},
		{"database_url", "mysql://x", "does not begin with postgres://"},
		{"database_url", "host=db", "does not begin with postgres://"},
		{"postgres_host", "a b", "is not one host"},
		{"postgres_host", "a,b", "is not one host"},
		{"postgres_port", "0", "is not between 1 and 65535"},
		{"postgres_db", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "63 bytes"},
		{"project_ref", "default", "is not 20 lower-case letters"},
		{"project_ref", "abcdefghijklmnopqrs1", "is not 20 lower-case letters"},
		{"project_ref", "Abcdefghijklmnopqrst", "is not 20 lower-case letters"},
		{"project_ref", "abcdefghijklmnopqrstu", "is not 20 lower-case letters"},
		{"organization", "My Org", "is not a word"},
		{"region", "eu_1", "is not a word"},
		{"public_url", "example.com", "does not begin with http:// or https://"},
		{"public_url", "ftp://example.com", "does not begin with http:// or https://"},
		{"public_url", "http://", "has no host"},
		{"public_url", "http://:8000", "has no host"},
		{"public_url", "http:///x", "has no host"},
		{"public_url", "http://a:b", "wrong port"},
		{"public_url", "http://a:", "wrong port"},
		{"public_url", "http://a:99999", "wrong port"},
		{"public_url", "http://me:pw@a", "user name"},
		{"public_url", "http://a?x", "query"},
		{"public_url", "http://a#x", "fragment"},
		{"public_url", "http://a b", "no URL has"},
		{"runtime_url", "functions:9000", "does not begin with http:// or https://"},
		{"functions_dir", "volumes/functions", "is not an absolute path"},
		{"spool_dir", "tmp", "is not an absolute path"},
		{"pid_file", "x.pid", "is not an absolute path"},
		{"jwt_secret", "0123456789abcdef0123456789abcde", "is shorter than 32 bytes"},
		{"jwks", "kty", "neither a JWK Set nor an array"},
		{"anon_key", "a b", "has a space"},
		{"service_role_key", "a\xc3\xa9", "not ASCII"},
		{"publishable_key", "sb_secret_x", "does not begin with sb_publishable_"},
		{"publishable_key", "sb_publishable_", "does not begin with sb_publishable_"},
		{"secret_key", "sb_publishable_x", "does not begin with sb_secret_"},
		{"master_key", SECRET32, "is not 64 hexadecimal digits"},
		{"master_key", SECRET32 "0123456789abcdef0123456789abcdeg", "is not 64 hexadecimal digits"},
		{"runtime_token", "short", "is shorter than 16 bytes"},
		{"log_level", "trace", "is not error, warn, info or debug"},
		{"log_format", "xml", "is not text or json"},
		{"project_name", "a\tb", "control character"},
		{"project_name", "a\x1b[2J", "control character"},
	};
	char line[256];
	char option[160];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		(void)snprintf(line, sizeof line, "%s = %s\n", rows[i].name, rows[i].value);
		(void)snprintf(option, sizeof option, "Option %s (%s:1): ", rows[i].name, conf);
		assert_file_refused(line, option, rows[i].says);
	}
}

static void good_values(void **state)
{
	static const struct {
		const char *name;
		const char *value;
	} rows[] = {
		{"listen", "unix:/run/x.sock"},
		{"listen", "localhost:9001"},
		{"listen", "0.0.0.0:1"},
		{"listen", "[::1]:9001"},
		{"listen", "fd:3"},
		{"trusted_proxies", "127.0.0.1, 172.16.0.0/12,::1 fd00::/8"},
		{"sandbox_ports", "9000, 65535,1"},
		{"base_path", "/a/b-c_d.e~f"},
		{"database_url", "postgres://u:p@h/db"},
		{"postgres_host", "/var/run/postgresql"},
		{"project_ref", REF},
		{"public_url", "http://[::1]:8000"},
		{"public_url", "http://[::1]/x"},
		{"public_url", "https://example.com/base"},
		{"jwks", "{\"keys\":[]}"},
		{"master_key", SECRET32 "0123456789ABCDEF0123456789abcdef"},
		{"log_format", "json"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char line[256];

		(void)snprintf(line, sizeof line, "%s = %s\n", rows[i].name, rows[i].value);
		config_free(load_file(line));
	}
	for (int i = 0; i < 8; i++) {
		static const char *const words[] = {"off", "false", "no", "0", "on", "true", "yes", "1"};
		char line[64];
		struct config *c;

		(void)snprintf(line, sizeof line, "boot_check = %s\n", words[i]);
		c = load_file(line);
		assert_int_equal(c->boot_check, i >= 4);
		config_free(c);
	}
}

static void secrets_stand_in_no_message(void **state)
{
	static const char *const names[] = {"jwt_secret",    "master_key", "secret_key",  "publishable_key",
					    "runtime_token", "jwks",       "database_url"};
	char line[128];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		(void)snprintf(line, sizeof line, "%s = hunter2\n", names[i]);
		write_file(conf, line, strlen(line));
		assert_refused(names[i], NULL, "hunter2");
	}
}

/* ---- The command line. ---- */

static void words_and_own_flags_stay(void **state)
{
	static const char *const own[] = {"--json", "--name=", "-h", NULL};
	char *words[] = {(char *)"functions-admin",
			 (char *)"token",
			 (char *)"create",
			 (char *)"--workers",
			 (char *)"3",
			 (char *)"--json",
			 (char *)"--name",
			 (char *)"--workers",
			 (char *)"--name=x",
			 (char *)"-",
			 (char *)"--log-level=debug",
			 (char *)"-h",
			 (char *)"last",
			 NULL};
	static const char *const left[] = {"functions-admin", "token",    "create", "--json", "--name",
					   "--workers",       "--name=x", "-",      "-h",     "last"};
	struct config *c;
	struct err e;
	int argc;

	(void)state;
	assert_true(load_with(&c, words, &argc, own, &e));
	assert_int_equal(argc, sizeof left / sizeof left[0]);
	for (int i = 0; i < argc; i++)
		assert_string_equal(words[i], left[i]);
	assert_null(words[argc]);
	assert_int_equal(c->workers, 3);
	assert_string_equal(c->log_level, "debug");
	config_free(c);
}

static void wrong_flags(void **state)
{
	static const char *const own[] = {"--name=", NULL};
	static const struct {
		const char *word;
		const char *next;
		const char *says;
		const char *hidden;
	} rows[] = {
		{"--nothing", NULL, "There is no flag --nothing", NULL},
		{"--jwt-secrte=hunter2", NULL, "There is no flag --jwt-secrte", "hunter2"},
		{"--max_files=3", NULL, "There is no flag --max_files", NULL},
		{"-w", NULL, "There is no flag -w", NULL},
		{"--", NULL, "There is no flag --", NULL},
		{"--json", NULL, "There is no flag --json", NULL},
		{"--workers", NULL, "The flag --workers needs a value", NULL},
		{"--config", NULL, "The flag --config needs a value", NULL},
		{"--workers", "none", "Option workers (flag --workers): \"none\" is no whole number", NULL},
		{"--jwt-secret=hunter2", NULL, "Option jwt_secret is a secret", "hunter2"},
		{"--jwt-secret", "hunter2", "Option jwt_secret is a secret", "hunter2"},
		{"--postgres-password", "hunter2", "Option postgres_password is a secret", "hunter2"},
		{"--database-url=postgres://u:hunter2@h/d", NULL, "Option database_url is a secret", "hunter2"},
	};
	char *words[] = {(char *)"x", (char *)"--name", NULL};
	struct config *c;
	struct err e;
	int argc;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_refused_words((char *[]){(char *)"x", (char *)rows[i].word, (char *)rows[i].next, NULL},
				     rows[i].says, NULL, rows[i].hidden);
	assert_false(load_with(&c, words, &argc, own, &e));
	assert_int_equal(e.kind, ERR_USAGE);
	assert_string_equal(e.message, "The flag --name needs a value");
}

static void every_secret_is_refused_on_the_command_line(void **state)
{
	struct config_info info;
	size_t secrets = 0;

	(void)state;
	for (size_t i = 0; config_info_at(i, &info); i++) {
		char flag[96];
		char hint[128];
		char *words[] = {(char *)"x", flag, (char *)"hunter2", NULL};
		struct config *c;
		struct err e;
		int argc;

		if (!info.secret)
			continue;
		secrets++;
		(void)snprintf(flag, sizeof flag, "--%s", info.name);
		for (char *p = flag; *p != '\0'; p++)
			*p = *p == '_' ? '-' : *p;
		(void)snprintf(hint, sizeof hint, "%s-file PATH", flag);
		assert_false(load_with(&c, words, &argc, NULL, &e));
		assert_int_equal(e.kind, ERR_USAGE);
		assert_non_null(strstr(e.hint, hint));
	}
	assert_true(secrets >= 10);
}

/* ---- What serve needs. ---- */

static void serve_names_the_first_that_is_missing(void **state)
{
	static const struct {
		const char *line;
		const char *missing;
	} steps[] = {
		{"", "project_ref"},
		{"project_ref = " REF "\n", "postgres_password"},
		{"postgres_password = x\n", "master_key"},
		{"master_key = " SECRET32 SECRET32 "\n", "jwt_secret"},
		{"jwt_secret = " SECRET32 "\n", NULL},
	};
	struct buf text = BUF_INIT(4096);
	struct config *c;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		buf_puts(&text, steps[i].line);
		c = load_file(text.data);
		assert_int_equal(config_check_serve(c, &e), steps[i].missing == NULL);
		if (steps[i].missing != NULL) {
			assert_int_equal(e.kind, ERR_CONFIG);
			assert_non_null(strstr(e.message, steps[i].missing));
			assert_true(e.hint[0] != '\0');
		}
		config_free(c);
	}
	buf_free(&text);
	/* Other ways into the database, and another kind of key. */
	c = load_file("project_ref = " REF "\npostgres_host = /run/postgresql\nmaster_key = " SECRET32 SECRET32
		      "\njwks = []\n");
	assert_true(config_check_serve(c, &e));
	config_free(c);
	c = load_file("project_ref = " REF "\ndatabase_url = postgres://h/d\nmaster_key = " SECRET32 SECRET32
		      "\njwks = []\n");
	assert_true(config_check_serve(c, &e));
	config_free(c);
}

/* ---- What is printed. ---- */

static char *printed(void (*print)(FILE *out))
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	print(out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void print_loaded(FILE *out)
{
	struct config *c = load_file("postgres_password = hunter2\nmax_file_bytes = 1536k\nrequest_timeout = 90s\n"
				     "boot_check = no\nlisten_mode = 0600\n");

	config_print(c, out);
	config_free(c);
}

static void printing_hides_secrets(void **state)
{
	char *text = printed(print_loaded);

	(void)state;
	assert_null(strstr(text, "hunter2"));
	assert_non_null(strstr(text, "\npostgres_password = (set)\n"));
	assert_non_null(strstr(text, "\njwt_secret = (not set)\n"));
	assert_non_null(strstr(text, "\nmax_file_bytes = 1536k\n"));
	assert_non_null(strstr(text, "\nrequest_timeout = 90s\n"));
	assert_non_null(strstr(text, "\nboot_check = off\n"));
	assert_non_null(strstr(text, "\nlisten_mode = 0600\n"));
	free(text);
}

static void help_names_every_option(void **state)
{
	char *text = printed(config_print_help);
	struct config_info info;

	(void)state;
	assert_non_null(strstr(text, "workers = 8  Threads"));
	for (size_t i = 0; config_info_at(i, &info); i++) {
		char line[128];

		(void)snprintf(line, sizeof line, "%s = %s  ", info.name,
			       info.fallback != NULL ? info.fallback : "(not set)");
		assert_non_null(strstr(text, line));
		assert_true(text_ends(info.help, ".") && strstr(info.help, "\n") == NULL);
	}
	free(text);
}

/* ---- The manual page. ---- */

/* Text as roff takes it: hyphens that are hyphens, no escapes. */
static void roff(FILE *out, const char *s)
{
	for (; *s != '\0'; s++)
		if (*s == '-')
			(void)fputs("\\-", out);
		else if (*s == '\\')
			(void)fputs("\\e", out);
		else
			(void)fputc(*s, out);
}

static void print_man(FILE *out)
{
	struct config_info info;

	for (size_t i = 0; config_info_at(i, &info); i++) {
		(void)fprintf(out, ".TP\n.B %s\n", info.name);
		roff(out, info.help);
		(void)fprintf(out, "\nType: %s. ", info.type);
		if (info.fallback != NULL) {
			(void)fprintf(out, "Default: ");
			roff(out, info.fallback);
			(void)fprintf(out, ".");
		} else {
			(void)fprintf(out, "No default.");
		}
		if (info.supabase != NULL)
			(void)fprintf(out, "\nIn Supabase's .env: %s.", info.supabase);
		if (info.secret)
			(void)fprintf(out, "\nSecret; also %s_file.", info.name);
		else if (info.has_file_form)
			(void)fprintf(out, "\nAlso %s_file.", info.name);
		(void)fprintf(out, "\n");
	}
}

static void the_manual_page_is_true(void **state)
{
	const char *srcdir = getenv("srcdir");
	char path[512];
	struct buf page = BUF_INIT(1024 * 1024);
	char *want = printed(print_man);
	char *begin;
	char *end;
	FILE *f;
	int c;

	(void)state;
	(void)snprintf(path, sizeof path, "%s/docs/man/functions-admin.conf.5", srcdir != NULL ? srcdir : ".");
	f = fopen(path, "re");
	if (f == NULL)
		fail_msg("%s cannot be read", path);
	while ((c = fgetc(f)) != EOF)
		buf_put(&page, &(char){(char)c}, 1);
	assert_int_equal(fclose(f), 0);
	begin = strstr(page.data, MAN_BEGIN);
	end = strstr(page.data, MAN_END);
	assert_non_null(begin);
	assert_non_null(end);
	*end = '\0';
	if (strcmp(begin + strlen(MAN_BEGIN), want) != 0)
		fail_msg("docs/man/functions-admin.conf.5 is not what the option table says; put the output of "
			 "tests/unit/test_config --man between its markers");
	free(want);
	buf_free(&page);
}

/* ---- Warnings. ---- */

static void a_readable_file_with_secrets_is_warned_of(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
		bool warned;
	} rows[] = {
		{"postgres_password = hunter2\n", 0644, true},
		{"postgres_password = hunter2\n", 0640, false},
		{"postgres_password_file = /dev/null\nworkers = 3\n", 0600, false},
		{"workers = 3\n", 0644, false},
		{"postgres_password =\n", 0644, false},
	};

	(void)state;
	assert_true(log_setup("info", "text"));
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char out[4096];
		int ends[2];
		int saved = dup(STDERR_FILENO);
		struct config *c;
		struct err e;
		int argc;
		ssize_t n;

		write_file(conf, rows[i].text, strlen(rows[i].text));
		assert_int_equal(chmod(conf, rows[i].mode), 0);
		assert_int_equal(pipe(ends), 0);
		assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
		(void)close(ends[1]);
		if (load_with(&c, (char *[]){(char *)"x", NULL}, &argc, NULL, &e))
			config_free(c);
		assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
		(void)close(saved);
		n = read(ends[0], out, sizeof out - 1);
		(void)close(ends[0]);
		assert_true(n >= 0);
		out[n] = '\0';
		assert_int_equal(n > 0, rows[i].warned);
		if (rows[i].warned) {
			assert_non_null(strstr(out, "every user may read it"));
			assert_non_null(strstr(out, "HINT: chmod 640"));
			assert_null(strstr(out, "hunter2"));
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(defaults, fresh),
		cmocka_unit_test_setup(the_file_is_read, fresh),
		cmocka_unit_test_setup(precedence, fresh),
		cmocka_unit_test_setup(names_of_supabases_env, fresh),
		cmocka_unit_test_setup(values_from_files, fresh),
		cmocka_unit_test_setup(one_value_from_one_place, fresh),
		cmocka_unit_test_setup(wrong_lines, fresh),
		cmocka_unit_test_setup(wrong_values, fresh),
		cmocka_unit_test_setup(good_values, fresh),
		cmocka_unit_test_setup(secrets_stand_in_no_message, fresh),
		cmocka_unit_test_setup(words_and_own_flags_stay, fresh),
		cmocka_unit_test_setup(wrong_flags, fresh),
		cmocka_unit_test_setup(every_secret_is_refused_on_the_command_line, fresh),
		cmocka_unit_test_setup(serve_names_the_first_that_is_missing, fresh),
		cmocka_unit_test_setup(printing_hides_secrets, fresh),
		cmocka_unit_test_setup(help_names_every_option, fresh),
		cmocka_unit_test(the_manual_page_is_true),
		cmocka_unit_test_setup(a_readable_file_with_secrets_is_warned_of, fresh),
	};

	if (argc == 2 && strcmp(argv[1], "--man") == 0) {
		print_man(stdout);
		return 0;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
