#include "service/smoke.h"

#include "core/json.h"
#include "core/text.h"
#include "service/probe.h"
#include "store/project.h"

#include <stdlib.h>
#include <string.h>

struct smoke {
	const char *path;
	const char *method;
	int64_t min_status;
	int64_t max_status;
	int64_t timeout_ms;
};

static bool read_setting(const json_t *setting, struct smoke *out, struct err *e)
{
	*out = (struct smoke){
		.path = "/{slug}", .method = "GET", .min_status = 200, .max_status = 399, .timeout_ms = 5000};
	if (!json_is_object(setting))
		return err_set(e, ERR_INVALID, NULL, "smoke_test must be an object, or null for none");
	if (!json_get_string(setting, "path", JSON_OPTIONAL, &out->path, e) ||
	    !json_get_string(setting, "method", JSON_OPTIONAL, &out->method, e) ||
	    !json_get_int(setting, "min_status", JSON_OPTIONAL, 100, 599, &out->min_status, e) ||
	    !json_get_int(setting, "max_status", JSON_OPTIONAL, 100, 599, &out->max_status, e) ||
	    !json_get_int(setting, "timeout_ms", JSON_OPTIONAL, 100, 60000, &out->timeout_ms, e))
		return err_prefix(e, "smoke_test");
	if (out->path[0] != '/' || strlen(out->path) > 512 || strpbrk(out->path, " \r\n#") != NULL)
		return err_set(e, ERR_INVALID, NULL, "smoke_test: path must start with '/' and have no spaces");
	if (!text_eq(out->method, "GET") && !text_eq(out->method, "HEAD") && !text_eq(out->method, "POST") &&
	    !text_eq(out->method, "OPTIONS"))
		return err_set(e, ERR_INVALID, NULL, "smoke_test: method must be GET, HEAD, POST or OPTIONS");
	return true;
}

bool smoke_check(const json_t *setting, struct err *e)
{
	struct smoke unused;

	return read_setting(setting, &unused, e);
}

static const char *fill_slug(struct arena *a, const char *path, const char *slug)
{
	const char *hit = strstr(path, "{slug}");

	return hit == NULL ? path : arena_printf(a, "%.*s%s%s", (int)(hit - path), path, slug, hit + strlen("{slug}"));
}

static bool run(struct service *s, struct arena *a, const struct smoke *smoke, const char *slug, struct err *e)
{
	const char *path = fill_slug(a, smoke->path, slug);
	long status = 0;

	if (path == NULL)
		return err_no_memory(e);
	if (!probe_call(s->probe, smoke->method, path, s->cfg->anon_key, smoke->timeout_ms, &status, e)) {
		if (e->kind == ERR_NO_MEMORY)
			return false;
		(void)err_set(e, ERR_INVALID, "smoke_test_failed", "The smoke test of %s got no answer within %lld ms",
			      slug, (long long)smoke->timeout_ms);
	} else if (status >= smoke->min_status && status <= smoke->max_status) {
		return true;
	} else {
		(void)err_set(e, ERR_INVALID, "smoke_test_failed",
			      "The smoke test of %s was answered with status %ld, not %lld to %lld", slug, status,
			      (long long)smoke->min_status, (long long)smoke->max_status);
	}
	return err_hint(e, "It was rolled back: the version before serves again.");
}

bool smoke_test(struct service *s, struct arena *a, const char *project_ref, const char *slug, struct err *e)
{
	struct project project;
	struct pg_conn *c = NULL;
	struct smoke smoke;
	json_t *settings;
	json_t *setting;
	bool ok = pg_acquire(s->pool, &c, e) && project_find(c, a, project_ref, &project, e);

	pg_release(c);
	if (!ok)
		return false;
	settings = json_stored(project.settings, e);
	if (settings == NULL)
		return false;
	setting = json_object_get(settings, "smoke_test");
	ok = setting == NULL || json_is_null(setting) ||
	     (read_setting(setting, &smoke, e) && run(s, a, &smoke, slug, e));
	json_decref(settings);
	return ok;
}
