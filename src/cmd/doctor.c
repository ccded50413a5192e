#include "service/doctor.h"
#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "core/text.h"
#include "service/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char help[] =
	"Usage: functions-admin doctor [--json] [--config FILE] [--OPTION VALUE]...\n"
	"\n"
	"Checks configuration, database, schema, functions folder, socket and runtime, and says how to mend what\n"
	"it finds. Changes nothing. Exit status 1 where something is wrong.\n";

struct command {
	struct doctor doctor;
	struct config *cfg;
	json_t *findings; /* NULL: print as text */
	int wrong;
};

static void take(void *ctx, const struct finding *f)
{
	static const char *const words[] = {"ok", "warning", "wrong"};
	struct command *d = ctx;

	d->wrong += f->verdict == DOCTOR_WRONG;
	if (d->findings != NULL) {
		(void)json_array_append_new(d->findings, doctor_view(f));
		return;
	}
	(void)printf("%-8s %-14s %s\n", words[f->verdict], f->check, f->message);
	if (f->hint != NULL)
		(void)printf("%-8s %-14s HINT: %s\n", "", "", f->hint);
}

static void check_socket(const struct doctor *d)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *on = d->cfg->listen;
	bool answered;
	int fd;

	if (!text_starts(on, "unix:") || strlen(on + 5) >= sizeof address.sun_path) {
		doctor_say(d, "listen", DOCTOR_OK, arena_printf(d->arena, "%s (not tried)", on), NULL);
		return;
	}
	memcpy(address.sun_path, on + 5, strlen(on + 5) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	answered = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
	doctor_say(
		d, "listen", answered ? DOCTOR_OK : DOCTOR_WARNING,
		arena_printf(d->arena, answered ? "%s: the service is running" : "%s: the service is not running", on),
		"Start it: functions-admin serve. If it runs, nginx and it must use the same socket.");
	if (fd >= 0)
		(void)close(fd);
}

/* What the service's last look found: a question that changes nothing, and needs no credential. */
static void check_drift(const struct doctor *d)
{
	static const char name[] = "\nfunctions_admin_functions_drifted ";
	struct err e = ERR_INIT;
	const char *metrics = ask_open(d->arena, d->cfg, "/metrics", &e);
	const char *line = metrics != NULL ? strstr(metrics, name) : NULL;

	/* That it does not run is said above. */
	if (line != NULL)
		doctor_drift(d, (size_t)strtoul(line + sizeof name - 1, NULL, 10));
}

static const char *read_token(const struct doctor *d)
{
	const char *path = arena_printf(d->arena, "%s/.functions-admin/runtime-token", d->cfg->functions_dir);
	char *token = arena_alloc(d->arena, 257);
	FILE *f;

	if (d->cfg->runtime_token != NULL && d->cfg->runtime_token[0] != '\0')
		return d->cfg->runtime_token;
	f = path != NULL && token != NULL ? fopen(path, "re") : NULL;
	if (f == NULL)
		return NULL;
	if (fgets(token, 257, f) != NULL)
		token[strcspn(token, "\r\n")] = '\0';
	(void)fclose(f);
	return token;
}

static void check_runtime(const struct doctor *d)
{
	const char *token = d->cfg->functions_dir != NULL ? read_token(d) : NULL;
	bool configured = d->cfg->runtime_url != NULL && d->cfg->runtime_url[0] != '\0';
	struct probe *probe = NULL;
	struct err e = ERR_INIT;

	if (configured && token != NULL &&
	    !probe_new(&probe, d->cfg->runtime_url, token, d->cfg->boot_timeout, 2000, &e))
		doctor_say_err(d, "runtime", &e);
	else
		doctor_runtime(d, probe);
	probe_free(probe);
}

static void look(struct command *c)
{
	struct doctor *d = &c->doctor;
	struct err e = ERR_INIT;

	d->cfg = c->cfg;
	if (config_check_serve(c->cfg, &e))
		doctor_say(d, "configuration", DOCTOR_OK, "complete", NULL);
	else
		doctor_say_err(d, "configuration", &e);
	e = (struct err)ERR_INIT;
	if (service_open(&d->service, c->cfg, 1, &e))
		doctor_database(d);
	else
		doctor_say_err(d, "database", &e);
	doctor_folder(d);
	check_socket(d);
	check_drift(d);
	check_runtime(d);
}

static int finish(const struct command *d, struct err *e)
{
	if (d->findings != NULL) {
		json_t *doc = json_pack("{s:b, s:O}", "healthy", d->wrong == 0, "checks", d->findings);

		if (!cmd_print_json(doc, e))
			return cmd_fail(e);
	}
	return d->wrong > 0;
}

int cmd_doctor(int argc, char **argv)
{
	static const char *const own[] = {"--help", "--json", NULL};
	struct command d = {.doctor = {.arena = arena_new(0), .say = take, .ctx = &d}};
	struct err e = ERR_INIT;
	int status;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		arena_free(d.doctor.arena);
		return 0;
	}
	if (cmd_flag(&argc, argv, "--json"))
		d.findings = json_array();
	if (d.doctor.arena == NULL)
		(void)err_no_memory(&e);
	if (d.doctor.arena == NULL || !config_load(&d.cfg, &argc, argv, own, &e) || !cmd_no_more(argc, argv, &e)) {
		/* A wrong value is a finding, and the only one: nothing else can be looked at with it. */
		if (e.kind == ERR_CONFIG && d.doctor.arena != NULL) {
			doctor_say_err(&d.doctor, "configuration", &e);
			status = finish(&d, &e);
		} else {
			status = cmd_fail(&e);
		}
	} else {
		look(&d);
		status = finish(&d, &e);
	}
	json_decref(d.findings);
	service_close(d.doctor.service);
	config_free(d.cfg);
	arena_free(d.doctor.arena);
	return status;
}
