#include "auth/ratelimit.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define SECOND ((int64_t)1000000)

static struct ratelimit *make(char *mode)
{
	const struct config cfg = {.rate_limit = mode, .rate_read = 60, .rate_write = 6, .rate_failures = 3};
	struct ratelimit *r;
	struct err e = ERR_INIT;

	assert_true(ratelimit_new(&r, &cfg, &e));
	return r;
}

static int taken(struct ratelimit *r, enum limit_class class, const char *key, int64_t now, int tries)
{
	struct limit_state l;
	int n = 0;

	for (int i = 0; i < tries; i++) {
		ratelimit_take(r, class, key, now, &l);
		n += l.allowed;
	}
	return n;
}

static void a_bucket_holds_a_minute_and_fills_again(void **state)
{
	struct ratelimit *r = make("on");
	struct limit_state l;

	(void)state;
	ratelimit_take(r, LIMIT_READ, "a", SECOND, &l);
	assert_true(l.allowed);
	assert_int_equal(l.limit, 60);
	assert_int_equal(l.remaining, 59);
	assert_int_equal(l.reset, 1);
	assert_int_equal(taken(r, LIMIT_READ, "a", SECOND, 100), 59);
	ratelimit_take(r, LIMIT_READ, "a", SECOND, &l);
	assert_false(l.allowed);
	assert_int_equal(l.remaining, 0);
	assert_int_equal(l.reset, 60);
	assert_int_equal(l.retry_after, 1);
	assert_int_equal(taken(r, LIMIT_READ, "a", 6 * SECOND, 100), 5);
	assert_int_equal(taken(r, LIMIT_READ, "a", 600 * SECOND, 100), 60);
	ratelimit_free(r);
}

static void callers_and_classes_have_their_own(void **state)
{
	struct ratelimit *r = make("on");

	(void)state;
	assert_int_equal(taken(r, LIMIT_READ, "a", SECOND, 100), 60);
	assert_int_equal(taken(r, LIMIT_READ, "b", SECOND, 100), 60);
	assert_int_equal(taken(r, LIMIT_WRITE, "a", SECOND, 100), 6);
	ratelimit_free(r);
}

static void after_bad_credentials_only_good_ones_are_heard(void **state)
{
	struct ratelimit *r = make("on");
	struct limit_state l;

	(void)state;
	ratelimit_good(r, "Bearer good", SECOND);
	for (int i = 0; i < 10; i++)
		ratelimit_bad(r, "192.0.2.1", SECOND);
	ratelimit_may_try(r, "192.0.2.1", "Bearer other", SECOND, &l);
	assert_false(l.allowed);
	assert_int_equal(l.retry_after, 20);
	ratelimit_may_try(r, "192.0.2.1", NULL, SECOND, &l);
	assert_false(l.allowed);
	ratelimit_may_try(r, "192.0.2.1", "Bearer good", SECOND, &l);
	assert_true(l.allowed);
	ratelimit_may_try(r, "192.0.2.2", "Bearer other", SECOND, &l);
	assert_true(l.allowed);
	ratelimit_may_try(r, "192.0.2.1", "Bearer other", 22 * SECOND, &l);
	assert_true(l.allowed);
	ratelimit_free(r);
}

static void a_full_table_forgives(void **state)
{
	struct ratelimit *r = make("on");
	char key[32];

	(void)state;
	for (int i = 0; i < 200000; i++) {
		(void)snprintf(key, sizeof key, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		assert_int_equal(taken(r, LIMIT_READ, key, SECOND, 1), 1);
	}
	ratelimit_free(r);
}

static void *take_many(void *ctx)
{
	return (void *)(intptr_t)taken(ctx, LIMIT_READ, "shared", SECOND, 1000);
}

static void threads_share_one_bucket(void **state)
{
	struct ratelimit *r = make("on");
	pthread_t threads[8];
	intptr_t sum = 0;

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_many, r), 0);
	for (int i = 0; i < 8; i++) {
		void *n;

		assert_int_equal(pthread_join(threads[i], &n), 0);
		sum += (intptr_t)n;
	}
	assert_int_equal(sum, 60);
	ratelimit_free(r);
}

static void off_is_nothing_and_dry_is_told(void **state)
{
	struct ratelimit *r = make("dry");

	(void)state;
	assert_null(make("off"));
	assert_true(ratelimit_is_dry(r));
	ratelimit_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_holds_a_minute_and_fills_again),
		cmocka_unit_test(callers_and_classes_have_their_own),
		cmocka_unit_test(after_bad_credentials_only_good_ones_are_heard),
		cmocka_unit_test(a_full_table_forgives),
		cmocka_unit_test(threads_share_one_bucket),
		cmocka_unit_test(off_is_nothing_and_dry_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
