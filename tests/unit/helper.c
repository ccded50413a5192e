#include "helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *fixture(const char *name, size_t *len)
{
	const char *top = getenv("srcdir"); /* set by `make check`; by hand, run the test from the top directory */
	char path[512];
	char *data;
	long size;
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/tests/fixtures/%s", top != NULL ? top : ".", name);
	f = fopen(path, "rb");
	if (f == NULL)
		fail_msg("cannot open %s", path);
	(void)fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	data = calloc(1, (size_t)size + 1);
	assert_non_null(data);
	*len = fread(data, 1, (size_t)size, f);
	(void)fclose(f);
	assert_int_equal(*len, size);
	return data;
}

void assert_refused(const char *what, bool ok, const struct err *e, enum err_kind kind, const char *text)
{
	if (ok)
		fail_msg("%s: was not refused", what);
	if (e->kind != kind || strstr(e->message, text) == NULL)
		fail_msg("%s: refused with kind %d and \"%s\"; expected kind %d and \"%s\"", what, (int)e->kind,
			 e->message, (int)kind, text);
}

void assert_ok(const char *what, bool ok, const struct err *e)
{
	if (!ok)
		fail_msg("%s: %s", what, e->message);
}
