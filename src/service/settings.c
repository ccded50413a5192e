#include "service/settings.h"

#include "core/crash.h"
#include "core/json.h"
#include "core/text.h"
#include "service/apply.h"
#include "service/fleet.h"
#include "service/probe.h"
#include "store/audit.h"
#include "store/node.h"
#include "store/project.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULTS "function_defaults"

/* The runtime's own values stand beside the bounds; runtime/main/worker.ts has the same. */
static const struct {
	const char *name;
	json_int_t builtin;
	json_int_t min;
	json_int_t max;
} limits[] = {
	{"memory_mb", 150, 16, 65536},
	{"wall_ms", 60000, 100, 86400000},
	{"cpu_soft_ms", 10000, 10, 3600000},
	{"cpu_hard_ms", 20000, 10, 3600000},
};
#define LIMITS (sizeof limits / sizeof limits[0])

static const char *const imports[] = {"npm", "jsr", "remote"};
#define IMPORTS (sizeof imports / sizeof imports[0])

/* What runtime/main/env.ts can withhold. SUPABASE_URL is no credential: every function has it. */
static const char *const credentials[] = {
	"SUPABASE_ANON_KEY",         "SUPABASE_DB_URL",     "SUPABASE_JWKS",        "SUPABASE_PUBLISHABLE_KEY",
	"SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_SECRET_KEY", "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY",
};
#define CREDENTIALS (sizeof credentials / sizeof credentials[0])

json_t *settings_builtin(void)
{
	json_t *l = json_object();
	json_t *i = json_object();
	json_t *p = json_array();
	bool ok = true;

	for (size_t n = 0; n < LIMITS; n++)
		ok = ok && json_object_set_new(l, limits[n].name, json_integer(limits[n].builtin)) == 0;
	for (size_t n = 0; n < IMPORTS; n++)
		ok = ok && json_object_set_new(i, imports[n], json_true()) == 0;
	for (size_t n = 0; n < CREDENTIALS; n++)
		ok = ok && json_array_append_new(p, json_string(credentials[n])) == 0;
	return ok ? json_pack("{s:o, s:o, s:o}", "limits", l, "imports", i, "platform", p) : NULL;
}

/* Checking */

static bool wrong(struct err *e, const char *what)
{
	(void)err_set(e, ERR_INVALID, "invalid_settings", "%s", what);
	return err_hint(e,
			"The members are limits, imports, platform and secrets_revision; the documentation of settings "
			"has their values.");
}

static json_int_t limit_of(const json_t *object, size_t n)
{
	const json_t *value = json_object_get(object, limits[n].name);

	return value != NULL ? json_integer_value(value) : limits[n].builtin;
}

static bool check_limits(const json_t *object, struct err *e)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return wrong(e, "limits must be an object");
	json_object_foreach ((json_t *)object, name, value) {
		size_t n = 0;

		while (n < LIMITS && !text_eq(limits[n].name, name))
			n++;
		if (n == LIMITS)
			return wrong(e, "limits has a member that is none of memory_mb, wall_ms, cpu_soft_ms and "
					"cpu_hard_ms");
		if (!json_is_integer(value) || json_integer_value(value) < limits[n].min ||
		    json_integer_value(value) > limits[n].max)
			return err_set(e, ERR_INVALID, "invalid_settings",
				       "limits.%s must be a whole number, %lld to %lld", name, (long long)limits[n].min,
				       (long long)limits[n].max);
	}
	return limit_of(object, 2) <= limit_of(object, 3) ||
	       wrong(e, "limits.cpu_soft_ms is larger than cpu_hard_ms (10000 and 20000 where they are not set)");
}

static bool check_imports(const json_t *object, struct err *e)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return wrong(e, "imports must be an object");
	json_object_foreach ((json_t *)object, name, value) {
		size_t n = 0;

		while (n < IMPORTS && !text_eq(imports[n], name))
			n++;
		if (n == IMPORTS || !json_is_boolean(value))
			return wrong(e, "imports has the members npm, jsr and remote, each true or false");
	}
	return true;
}

static bool check_platform(const json_t *array, struct err *e)
{
	const json_t *value;
	size_t i;

	if (!json_is_array(array))
		return wrong(e, "platform must be an array of names");
	json_array_foreach (array, i, value) {
		size_t n = 0;

		while (n < CREDENTIALS && json_is_string(value) && !text_eq(credentials[n], json_string_value(value)))
			n++;
		if (n == CREDENTIALS || !json_is_string(value)) {
			(void)err_set(e, ERR_INVALID, "invalid_settings",
				      "platform has a name that is no platform credential");
			return err_hint(e, "SUPABASE_ followed by ANON_KEY, DB_URL, JWKS, PUBLISHABLE_KEY(S), "
					   "SECRET_KEY(S) or SERVICE_ROLE_KEY; every function has SUPABASE_URL.");
		}
	}
	return true;
}

static bool check(const json_t *settings, bool defaults, struct err *e)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)settings, name, value) {
		if (text_eq(name, "limits")     ? !check_limits(value, e)
		    : text_eq(name, "imports")  ? !check_imports(value, e)
		    : text_eq(name, "platform") ? !check_platform(value, e)
		    : text_eq(name, "secrets_revision") && !defaults
			    ? (!json_is_integer(value) || json_integer_value(value) < 1) &&
				      !wrong(e, "secrets_revision must be the number of a revision")
			    : !wrong(e, "There is no such setting"))
			return false;
	}
	return true;
}

/* Merging */

/* RFC 7396, 2, two levels deep, which is all that settings have. False when memory is out. */
static bool merge(json_t *into, const json_t *patch, int depth)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)patch, name, value) {
		json_t *old = json_object_get(into, name);

		if (json_is_null(value)) {
			(void)json_object_del(into, name);
		} else if (depth == 0 && json_is_object(value)) {
			json_t *inner = json_is_object(old) ? json_copy(old) : json_object();

			if (!merge(inner, value, 1) || json_object_set_new(into, name, inner) != 0)
				return false;
		} else if (json_object_set(into, name, value) != 0) {
			return false;
		}
	}
	return true;
}

static int by_text(const void *x, const void *y)
{
	return strcmp(json_string_value(*(json_t *const *)x), json_string_value(*(json_t *const *)y));
}

/* Names in order and once each: the same choice is then the same text. False when memory is out. */
static bool sort_platform(json_t *settings)
{
	json_t *old = json_object_get(settings, "platform");
	json_t *names[64];
	json_t *sorted;
	size_t count = json_array_size(old);

	if (old == NULL || count > sizeof names / sizeof names[0])
		return true;
	for (size_t i = 0; i < count; i++)
		names[i] = json_array_get(old, i);
	if (count > 0)
		qsort(names, count, sizeof names[0], by_text);
	sorted = json_array();
	for (size_t i = 0; i < count; i++)
		if ((i == 0 || !json_equal(names[i], names[i - 1])) && json_array_append(sorted, names[i]) != 0)
			return false;
	return json_object_set_new(settings, "platform", sorted) == 0;
}

static char *canonical(struct arena *a, json_t *settings)
{
	static const char *const groups[] = {"limits", "imports"};
	char *text;
	char *copy;

	for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
		if (json_object_size(json_object_get(settings, groups[i])) == 0)
			(void)json_object_del(settings, groups[i]);
	text = json_text(settings, JSON_SORT_KEYS | JSON_COMPACT);
	copy = text != NULL ? arena_strdup(a, text) : NULL;
	free(text);
	return copy;
}

char *settings_canonical(struct arena *a, const char *settings)
{
	json_t *doc = json_loads(settings, 0, NULL);
	char *text = json_is_object(doc) ? canonical(a, doc) : NULL;

	json_decref(doc);
	return text;
}

bool settings_merge(struct arena *a, const char *settings, const json_t *patch, bool defaults, const char **out,
		    struct err *e)
{
	json_t *doc = json_loads(settings, 0, NULL);
	bool ok = json_is_object(doc) && merge(doc, patch, 0);

	if (!ok)
		(void)err_no_memory(e);
	ok = ok && check(doc, defaults, e);
	if (ok) {
		*out = sort_platform(doc) ? canonical(a, doc) : NULL;
		ok = *out != NULL || err_no_memory(e);
	}
	json_decref(doc);
	return ok;
}

const char *settings_with_defaults(struct arena *a, const char *project_settings, const char *settings)
{
	json_t *project;
	json_t *chosen;
	json_t *both;
	const char *text = NULL;

	/* Most projects have none, and a manifest has thousands of functions. */
	if (strstr(project_settings, DEFAULTS) == NULL)
		return settings;
	project = json_loads(project_settings, 0, NULL);
	chosen = json_loads(settings, 0, NULL);
	both = json_deep_copy(json_object_get(project, DEFAULTS));
	if (both == NULL)
		text = project != NULL ? settings : NULL;
	else if (chosen != NULL && merge(both, chosen, 0))
		text = canonical(a, both);
	json_decref(both);
	json_decref(chosen);
	json_decref(project);
	return text;
}

int64_t settings_pin(const char *settings)
{
	json_t *doc = json_loads(settings, 0, NULL);
	int64_t pin = json_integer_value(json_object_get(doc, "secrets_revision"));

	json_decref(doc);
	return pin;
}

/* A project's defaults */

static bool store_defaults(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
			   const json_t *patch, struct project *out, bool *changed, struct err *e)
{
	struct audit_entry entry = {.project_ref = project_ref,
				    .action = "project.function_defaults",
				    .target = project_ref,
				    .outcome = "done"};
	struct pg_conn *c = NULL;
	json_t *all = NULL;
	char *before = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && pg_begin(c, e) && project_lock(c, a, project_ref, out, e);

	if (ok) {
		const json_t *now;

		all = json_stored(out->settings, e);
		now = json_object_get(all, DEFAULTS);
		before = now != NULL ? json_text(now, JSON_COMPACT) : NULL;
		ok = all != NULL && (now == NULL || before != NULL || err_no_memory(e)) &&
		     settings_merge(a, before != NULL ? before : "{}", patch, true, &entry.after, e);
		*changed = ok && !text_eq(entry.after, before != NULL ? before : "{}");
		entry.before = before;
	}
	if (ok && *changed)
		ok = project_set_defaults(c, a, project_ref, entry.after, e) && audit_write(c, a, who, &entry, e) &&
		     node_wake(c, a, project_ref, e) && project_find(c, a, project_ref, out, e);
	ok = ok && pg_commit(c, e);
	FA_CRASH_POINT("defaults.after_commit");
	pg_release(c);
	free(before);
	json_decref(all);
	return ok;
}

bool settings_change_defaults(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
			      const json_t *patch, struct project *out, struct err *e)
{
	bool changed = false;
	bool verified;

	if (!store_defaults(s, a, who, project_ref, patch, out, &changed, e))
		return false;
	if (s->folder == NULL || !text_eq(project_ref, s->cfg->project_ref))
		return true;
	return apply_generation(s, out->generation, e) &&
	       (s->probe == NULL || !service_shows(s) ||
		probe_wait_generation(s->probe, project_ref, out->generation, e)) &&
	       (fleet_is_alone(s) || fleet_confirm(s, out->generation, 0, &verified, e));
}
