#include "service/secret.h"

#include "api/view.h"
#include "cmd/cmd.h"
#include "core/buf.h"
#include "core/dotenv.h"
#include "core/text.h"
#include "service/function.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"Usage: functions-admin secret list\n"
	"       functions-admin secret set NAME              (the value comes from standard input)\n"
	"       functions-admin secret set --env-file FILE   (lines NAME=value; - for standard input)\n"
	"       functions-admin secret unset NAME...\n"
	"       functions-admin secret revisions\n"
	"       functions-admin secret rollback REVISION\n"
	"       functions-admin secret rotate-key\n"
	"\n"
	"Secrets of the project's functions. A running service hands a change to the functions within ten seconds.\n"
	"Values are never arguments, which everybody on the machine can read. `rotate-key` seals all secrets with the\n"
	"configured key; the earlier one stands in secrets_previous_keys until it is done.\n"
	"\n"
	"  --function  the secrets of this function only, in place of the project's\n"
	"  --project   another project than the default one\n"
	"  --json      prints the result as JSON\n"
	"  --config    and all options of functions-admin.conf(5)\n";

struct secrets {
	struct config *cfg;
	struct service *service;
	struct arena *arena;
	struct project project;
	const char *slug;
	const char *env_file;
	bool json;
};

static bool list(struct secrets *x, int argc, char **argv, struct err *e)
{
	struct secret_digest *items;
	json_t *array;
	size_t count;

	if (!cmd_no_more(argc, argv, e) ||
	    !secret_digests(x->service, x->arena, x->project.ref, x->slug, &items, &count, e))
		return false;
	if (!x->json) {
		(void)printf("%-40s  %-64s  %s\n", "NAME", "SHA-256 OF THE VALUE", "UPDATED");
		for (size_t i = 0; i < count; i++)
			(void)printf("%-40s  %s  %s\n", items[i].name, items[i].sha256,
				     view_time(x->arena, items[i].updated_at));
		return true;
	}
	array = json_array();
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(array,
					  json_pack("{s:s, s:s, s:s}", "name", items[i].name, "value", items[i].sha256,
						    "updated_at", view_time(x->arena, items[i].updated_at))) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	return cmd_print_json(array, e);
}

/* The whole of a file, or of standard input for "-". */
static bool read_all(const char *path, struct buf *out, struct err *e)
{
	FILE *f = text_eq(path, "-") ? stdin : fopen(path, "re");
	char piece[4096];
	bool ok;
	size_t n;

	if (f == NULL)
		return err_errno(e, errno, "Reading %s", path);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0)
		buf_put(out, piece, n);
	ok = ferror(f) == 0 || err_errno(e, errno, "Reading %s", path);
	if (f != stdin)
		(void)fclose(f);
	return ok && (!out->failed || err_set(e, ERR_TOO_LARGE, NULL, "%s is larger than %zu bytes", path, out->max));
}

static bool say_changed(struct secrets *x, size_t count, const char *what, struct err *e)
{
	if (x->json)
		return cmd_print_json(json_pack("{s:I}", what, (json_int_t)count), e);
	(void)printf("%zu %s\n", count, what);
	return true;
}

static bool set_values(struct secrets *x, const struct secret_value *values, size_t count, struct err *e)
{
	return secret_set(x->service, x->arena, cmd_actor(), x->project.ref, x->slug, values, count, e) &&
	       say_changed(x, count, "set", e);
}

static bool set_one(struct secrets *x, const char *name, struct buf *text, struct err *e)
{
	struct secret_value value = {.name = name};

	/* `echo value |` adds a newline that is not meant. */
	if (text->len > 0 && text->data[text->len - 1] == '\n')
		text->len--;
	if (text->len > 0 && (memchr(text->data, '\0', text->len) != NULL || !text_utf8_valid(text->data, text->len)))
		return err_set(e, ERR_INVALID, NULL, "The value is not UTF-8 text");
	value.value = text->data != NULL ? text->data : "";
	value.len = text->len;
	return set_values(x, &value, 1, e);
}

static bool set_file(struct secrets *x, const struct buf *text, struct err *e)
{
	struct dotenv_pair *pairs;
	struct secret_value *values;
	size_t count;

	if (!dotenv_parse(x->arena, text->data != NULL ? text->data : "", text->len, &pairs, &count, e))
		return false;
	values = arena_array(x->arena, count, sizeof *values);
	if (values == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++) {
		if (!text_utf8_valid(pairs[i].value, strlen(pairs[i].value)))
			return err_set(e, ERR_INVALID, NULL, "The value of %.60s is not UTF-8 text", pairs[i].name);
		values[i] = (struct secret_value){pairs[i].name, pairs[i].value, strlen(pairs[i].value)};
	}
	return set_values(x, values, count, e);
}

static bool set(struct secrets *x, int argc, char **argv, struct err *e)
{
	struct buf text = BUF_INIT(SECRET_MAX_BODY);
	bool ok;

	if (argc != (x->env_file == NULL ? 2 : 1)) {
		(void)err_set(e, ERR_USAGE, NULL, "set takes one name, or --env-file and no name");
		return err_hint(e,
				"The value comes from standard input: printf %%s \"$VALUE\" | functions-admin secret "
				"set NAME");
	}
	ok = read_all(x->env_file != NULL ? x->env_file : "-", &text, e) &&
	     (x->env_file != NULL ? set_file(x, &text, e) : set_one(x, argv[1], &text, e));
	buf_wipe(&text);
	buf_free(&text);
	return ok;
}

static bool unset(struct secrets *x, int argc, char **argv, struct err *e)
{
	if (argc < 2)
		return err_set(e, ERR_USAGE, NULL, "unset takes the names of secrets");
	return secret_unset(x->service, x->arena, cmd_actor(), x->project.ref, x->slug, (const char *const *)argv + 1,
			    (size_t)argc - 1, e) &&
	       say_changed(x, (size_t)argc - 1, "unset", e);
}

static bool revisions(struct secrets *x, int argc, char **argv, struct err *e)
{
	struct secret_revision *items;
	json_t *array;
	size_t count;

	if (!cmd_no_more(argc, argv, e) || !secret_history(x->service, x->arena, x->project.ref, &items, &count, e))
		return false;
	if (!x->json) {
		(void)printf("%-9s  %-8s  %-7s  %-24s  %s\n", "REVISION", "SOURCE", "CHANGED", "CREATED", "BY");
		for (size_t i = 0; i < count; i++)
			(void)printf("%-9lld  %-8s  %-7lld  %-24s  %s\n", (long long)items[i].number, items[i].source,
				     (long long)items[i].changed, view_time(x->arena, items[i].created_at),
				     items[i].created_by);
		return true;
	}
	array = json_array();
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(array, json_pack("{s:I, s:s, s:I, s:s, s:s}", "revision",
							   (json_int_t)items[i].number, "source", items[i].source,
							   "changed", (json_int_t)items[i].changed, "created_at",
							   view_time(x->arena, items[i].created_at), "created_by",
							   items[i].created_by)) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	return cmd_print_json(array, e);
}

static bool rollback(struct secrets *x, int argc, char **argv, struct err *e)
{
	int64_t revision = 0;
	int64_t now = 0;

	if (argc != 2 || !text_int64(argv[1], 1, INT64_MAX, &revision))
		return err_set(e, ERR_USAGE, NULL, "rollback takes a revision's number");
	if (!secret_rollback(x->service, x->arena, cmd_actor(), x->project.ref, revision, &now, e))
		return false;
	if (x->json)
		return cmd_print_json(
			json_pack("{s:I, s:I}", "revision", (json_int_t)now, "restored", (json_int_t)revision), e);
	(void)printf("revision %lld has the values of revision %lld\n", (long long)now, (long long)revision);
	return true;
}

static bool rotate_key(struct secrets *x, int argc, char **argv, struct err *e)
{
	int64_t resealed = 0;

	return cmd_no_more(argc, argv, e) && secret_rotate(x->service, cmd_actor(), &resealed, e) &&
	       say_changed(x, (size_t)resealed, "resealed", e);
}

static const struct {
	const char *name;
	bool (*run)(struct secrets *x, int argc, char **argv, struct err *e);
} actions[] = {{"list", list},           {"set", set},           {"unset", unset},
	       {"revisions", revisions}, {"rollback", rollback}, {"rotate-key", rotate_key}};

static bool run(struct secrets *x, int argc, char **argv, struct err *e)
{
	static const char *const own[] = {"--help", "--json", "--function=", "--project=", "--env-file=", NULL};
	const char *ref;

	if (!config_load(&x->cfg, &argc, argv, own, e))
		return false;
	x->slug = cmd_value(&argc, argv, "--function");
	x->env_file = cmd_value(&argc, argv, "--env-file");
	ref = cmd_value(&argc, argv, "--project");
	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
		if (argc < 2 || !text_eq(argv[1], actions[i].name))
			continue;
		return cmd_open(&x->service, x->cfg, e) &&
		       function_project(x->service, x->arena, ref != NULL ? ref : "default", &x->project, e) &&
		       actions[i].run(x, argc - 1, argv + 1, e);
	}
	(void)err_set(e, ERR_USAGE, NULL, "secret needs list, set, unset, revisions, rollback or rotate-key");
	return err_hint(e, "functions-admin secret --help");
}

int cmd_secret(int argc, char **argv)
{
	struct secrets x = {.arena = arena_new(0)};
	struct err e = ERR_INIT;
	int status = 0;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		arena_free(x.arena);
		return 0;
	}
	x.json = cmd_flag(&argc, argv, "--json");
	if (x.arena == NULL)
		(void)err_no_memory(&e);
	if (x.arena == NULL || !run(&x, argc, argv, &e))
		status = cmd_fail(&e);
	service_close(x.service);
	config_free(x.cfg);
	arena_free(x.arena);
	return status;
}
