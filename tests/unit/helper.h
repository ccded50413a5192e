/*
 * helper - what the unit tests share: cmocka, fixtures, assertions on errors.
 */
#ifndef FA_TESTS_UNIT_HELPER_H
#define FA_TESTS_UNIT_HELPER_H

#include "core/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A file below tests/fixtures, NUL-terminated, to be freed; the test fails where it cannot be read. */
char *fixture(const char *name, size_t *len);

/* The test fails, naming `what`, unless `ok` is false and the error has this kind and a message with this text. */
void assert_refused(const char *what, bool ok, const struct err *e, enum err_kind kind, const char *text);

/* The test fails, with the error's message, unless `ok`. */
void assert_ok(const char *what, bool ok, const struct err *e);

#endif
