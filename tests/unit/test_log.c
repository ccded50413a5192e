/* What the log writes to standard error, caught in a pipe that stands in its place. */
#include "core/log.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int saved_stderr = -1;
static int pipe_read = -1;
static char caught[65536];

static void catch_start(void)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	saved_stderr = dup(STDERR_FILENO);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	(void)close(ends[1]);
	pipe_read = ends[0];
}

/* What was written since catch_start(), which must fit into the pipe. */
static const char *catch_end(void)
{
	size_t len = 0;
	ssize_t n;

	assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
	(void)close(saved_stderr);
	while ((n = read(pipe_read, caught + len, sizeof caught - 1 - len)) > 0)
		len += (size_t)n;
	(void)close(pipe_read);
	caught[len] = '\0';
	return caught;
}

static size_t lines(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += *s == '\n';
	return n;
}

static int reset(void **state)
{
	(void)state;
	log_context(NULL, NULL);
	return log_setup("info", "text") ? 0 : -1;
}

static void text_lines(void **state)
{
	const char *out;

	(void)state;
	catch_start();
	log_info("started %d workers", 8);
	log_context("req-1", "token ci");
	log_warn("slow");
	log_context("req-2", NULL);
	log_error("broken");
	out = catch_end();
	assert_int_equal(lines(out), 3);
	/* 2026-11-23T06:47:00.123Z */
	assert_int_equal(out[10], 'T');
	assert_int_equal(out[23], 'Z');
	assert_memory_equal(out + 24, " info [] started 8 workers\n", 27);
	assert_non_null(strstr(out, "Z warn [req-1 token ci] slow\n"));
	assert_non_null(strstr(out, "Z error [req-2] broken\n"));
}

static void levels_filter_and_change_while_running(void **state)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_true(log_setup(levels[i], "text"));
		catch_start();
		log_error("a");
		log_warn("a");
		log_info("a");
		log_debug("a");
		assert_int_equal(lines(catch_end()), i + 1);
		assert_int_equal(log_enabled(LOG_LEVEL_DEBUG), i == 3);
		assert_true(log_enabled(LOG_LEVEL_ERROR));
	}
}

static void other_words_change_nothing(void **state)
{
	(void)state;
	assert_true(log_setup("warn", "json"));
	assert_false(log_setup("trace", "text"));
	assert_false(log_setup("", "text"));
	assert_false(log_setup("INFO", "text"));
	assert_false(log_setup("debug", "xml"));
	assert_false(log_setup("debug", ""));
	catch_start();
	log_info("no");
	log_warn("yes");
	catch_end();
	assert_int_equal(lines(caught), 1);
	assert_int_equal(caught[0], '{');
}

static void hostile_text_cannot_forge_a_line(void **state)
{
	const char *out;

	(void)state;
	log_context("id] \nforged", "x]\x1b[2J");
	catch_start();
	log_info("slug %s", "a\n2026-11-23T00:00:00.000Z info [] forged\r\t\x01\x7f\\n\x1b[31m");
	out = catch_end();
	assert_int_equal(lines(out), 1);
	assert_non_null(strstr(out, "[id\\x5d \\nforged x\\x5d\\x1b[2J] slug a\\n2026-11-23T00:00:00.000Z info [] "
				    "forged\\x0d\\x09\\x01\\x7f\\\\n\\x1b[31m\n"));

	log_context(NULL, NULL);
	catch_start();
	/* NEL, LINE SEPARATOR, a stray byte, an overlong slash, a cut character, and what may stay. */
	log_info("a\xc2\x85"
		 "b\xe2\x80\xa8"
		 "c\xff"
		 "d\xc0\xaf"
		 "e\xe2\x82 ok \xe2\x82\xac \xf0\x9f\x98\x80");
	out = catch_end();
	assert_int_equal(lines(out), 1);
	assert_non_null(strstr(out, "a\\xc2\\x85b\\xe2\\x80\\xa8c\\xffd\\xc0\\xafe\\xe2\\x82 ok \xe2\x82\xac "
				    "\xf0\x9f\x98\x80\n"));
}

static void json_lines_are_json(void **state)
{
	static const char hostile[] = "a\n\"},{\"level\":\"forged\x01\x1b\\\xff\x7f\xc2\x85\xe2\x80\xa9\xe2\x82\xac";
	json_t *line;

	(void)state;
	assert_true(log_setup("info", "json"));
	log_context("req\n1", "token \"ci\"");
	catch_start();
	log_error("%s", hostile);
	catch_end();
	assert_int_equal(lines(caught), 1);
	line = json_loads(caught, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(line);
	assert_int_equal(json_object_size(line), 5);
	assert_string_equal(json_string_value(json_object_get(line, "level")), "error");
	assert_string_equal(json_string_value(json_object_get(line, "request_id")), "req\n1");
	assert_string_equal(json_string_value(json_object_get(line, "actor")), "token \"ci\"");
	assert_int_equal(json_string_length(json_object_get(line, "time")), 24);
	/* All comes through but the byte that is no UTF-8. */
	assert_string_equal(json_string_value(json_object_get(line, "message")),
			    "a\n\"},{\"level\":\"forged\x01\x1b\\\xef\xbf\xbd\x7f\xc2\x85\xe2\x80\xa9\xe2\x82\xac");
	/* No control character stands in the line itself. */
	for (const char *c = caught; *c != '\0'; c++)
		assert_true((unsigned char)*c >= 0x20 || c[1] == '\0');
	json_decref(line);

	log_context(NULL, NULL);
	catch_start();
	log_info("plain");
	catch_end();
	line = json_loads(caught, 0, NULL);
	assert_int_equal(json_object_size(line), 3);
	json_decref(line);
}

static void long_text_is_cut_and_the_line_stays_whole(void **state)
{
	static const char *const fillers[] = {"a", "\x01", "\xff", "\"", "\xe2\x82\xac", "\xc2\x85"};
	static const char *const formats[] = {"text", "json"};
	char message[9001];

	(void)state;
	for (size_t f = 0; f < 2; f++) {
		for (size_t i = 0; i < sizeof fillers / sizeof fillers[0]; i++) {
			size_t len = strlen(fillers[i]);

			for (size_t at = 0; at + len < sizeof message; at += len) {
				memcpy(message + at, fillers[i], len);
				message[at + len] = '\0';
			}
			assert_true(log_setup("info", formats[f]));
			log_context(message, message);
			catch_start();
			log_info("%s", message);
			catch_end();
			assert_int_equal(lines(caught), 1);
			assert_int_equal(caught[strlen(caught) - 1], '\n');
			if (f == 1) {
				json_t *line = json_loads(caught, 0, NULL);

				assert_non_null(line);
				json_decref(line);
			}
		}
	}
}

static void *write_many(void *name)
{
	log_context(name, NULL);
	for (int i = 0; i < 200; i++)
		log_info("line of %s ends", (const char *)name);
	return NULL;
}

static void threads_have_their_own_context_and_whole_lines(void **state)
{
	pthread_t a;
	pthread_t b;
	size_t count = 0;

	(void)state;
	catch_start();
	/* Enough room that no write has to wait for the reader. */
	assert_true(fcntl(pipe_read, F_SETPIPE_SZ, 65536) >= 65536);
	assert_int_equal(pthread_create(&a, NULL, write_many, (void *)"first"), 0);
	assert_int_equal(pthread_create(&b, NULL, write_many, (void *)"second"), 0);
	assert_int_equal(pthread_join(a, NULL), 0);
	assert_int_equal(pthread_join(b, NULL), 0);
	catch_end();
	for (char *line = caught; *line != '\0';) {
		char *end = strchr(line, '\n');

		assert_non_null(end);
		*end = '\0';
		assert_true(strcmp(line + 24, " info [first] line of first ends") == 0 ||
			    strcmp(line + 24, " info [second] line of second ends") == 0);
		count++;
		line = end + 1;
	}
	assert_int_equal(count, 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(text_lines, reset),
		cmocka_unit_test_setup(levels_filter_and_change_while_running, reset),
		cmocka_unit_test_setup(other_words_change_nothing, reset),
		cmocka_unit_test_setup(hostile_text_cannot_forge_a_line, reset),
		cmocka_unit_test_setup(json_lines_are_json, reset),
		cmocka_unit_test_setup(long_text_is_cut_and_the_line_stays_whole, reset),
		cmocka_unit_test_setup(threads_have_their_own_context_and_whole_lines, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
