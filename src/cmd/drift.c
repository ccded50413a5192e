#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "core/names.h"
#include "core/text.h"

#include <stdio.h>

static const char help[] = "Usage: functions-admin drift [SLUG] [--json]\n"
			   "       functions-admin drift accept SLUG [--message TEXT]\n"
			   "       functions-admin drift revert SLUG\n"
			   "\n"
			   "Shows what somebody has changed on disk in functions that are deployed, as a diff. "
			   "`accept` deploys the changed\n"
			   "files as the function's next version; `revert` puts back what was deployed. The service "
			   "must be running. Exit\n"
			   "status 1 where something has drifted.\n"
			   "\n"
			   "  --project  of this project; else of the default one\n"
			   "  --json     prints the result as JSON\n"
			   "  --config   and all options of functions-admin.conf(5)\n";

static void show_function(const json_t *item)
{
	json_t *file;
	size_t i;

	(void)printf("%s version %lld\n", cmd_text(item, "slug"),
		     (long long)json_integer_value(json_object_get(item, "version")));
	if (json_is_true(json_object_get(item, "stub_changed")))
		(void)printf("  its stub (%s/index.ts) is not as it was written\n", cmd_text(item, "slug"));
	json_array_foreach (json_object_get(item, "files"), i, file) {
		(void)printf("  %s %s\n", cmd_text(file, "change"), cmd_text(file, "path"));
		(void)fputs(cmd_text(file, "diff"), stdout);
	}
}

struct asked {
	const char *action; /* NULL: only show */
	const char *slug;
	const char *message;
	const char *ref;
	bool json;
};

static bool show(struct service *s, const struct config *cfg, const struct asked *q, size_t *drifted, struct err *e)
{
	char path[200];
	json_t *answer;
	json_t *item;
	size_t i;

	(void)snprintf(path, sizeof path, "/drift%s%s", q->slug != NULL ? "?slug=" : "",
		       q->slug != NULL ? q->slug : "");
	if (!ask(s, cfg, "functions-admin drift", "GET", q->ref, path, NULL, &answer, e))
		return false;
	*drifted = json_array_size(json_object_get(answer, "drift"));
	if (q->json)
		return cmd_print_json(answer, e);
	json_array_foreach (json_object_get(answer, "drift"), i, item)
		show_function(item);
	if (*drifted == 0)
		(void)printf("everything is on disk as it was deployed\n");
	json_decref(answer);
	return true;
}

static bool act(struct service *s, const struct config *cfg, const struct asked *q, struct err *e)
{
	json_t *body = q->message != NULL ? json_pack("{s:s}", "message", q->message) : json_object();
	char path[200];
	json_t *answer = NULL;
	bool ok;

	(void)snprintf(path, sizeof path, "/functions/%s/drift/%s", q->slug, q->action);
	ok = ask(s, cfg, "functions-admin drift", "POST", q->ref, path, body, &answer, e);
	json_decref(body);
	if (!ok)
		return false;
	if (q->json)
		return cmd_print_json(answer, e);
	(void)printf("%s: version %lld %s\n", q->slug,
		     (long long)json_integer_value(json_object_get(answer, "version")),
		     text_eq(q->action, "accept") ? "serves what was changed on disk"
						  : "is on disk again as it was deployed");
	json_decref(answer);
	return true;
}

static bool read_words(int argc, char **argv, struct asked *q, struct err *e)
{
	int at = 1;

	if (argc > at && (text_eq(argv[at], "accept") || text_eq(argv[at], "revert")))
		q->action = argv[at++];
	if (argc > at)
		q->slug = argv[at++];
	if (q->action != NULL && q->slug == NULL)
		return err_set(e, ERR_USAGE, NULL, "%s takes the slug of one function", q->action);
	if (argc > at)
		return err_set(e, ERR_USAGE, NULL, "\"%.80s\" is not understood here", argv[at]);
	return q->slug == NULL || names_check_slug(q->slug, e);
}

int cmd_drift(int argc, char **argv)
{
	static const char *const own[] = {"--help", "--json", "--message=", "--project=", NULL};
	struct service *service = NULL;
	struct config *cfg = NULL;
	struct err e = ERR_INIT;
	struct asked q = {0};
	size_t drifted = 0;
	int status = 0;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		return 0;
	}
	q.json = cmd_flag(&argc, argv, "--json");
	q.message = cmd_value(&argc, argv, "--message");
	q.ref = cmd_value(&argc, argv, "--project");
	if (q.ref == NULL)
		q.ref = "default";
	if (!config_load(&cfg, &argc, argv, own, &e) || !read_words(argc, argv, &q, &e) ||
	    !cmd_open(&service, cfg, &e) ||
	    !(q.action != NULL ? act(service, cfg, &q, &e) : show(service, cfg, &q, &drifted, &e)))
		status = cmd_fail(&e);
	else if (drifted > 0)
		status = 1;
	service_close(service);
	config_free(cfg);
	return status;
}
