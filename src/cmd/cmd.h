/*
 * cmd - the subcommands. Each takes its own arguments (argv[0] is its name) and returns the exit status of
 * core/error.h's table.
 */
#ifndef FA_CMD_CMD_H
#define FA_CMD_CMD_H

#include "core/config.h"
#include "core/error.h"
#include "core/model.h"

#include <jansson.h>

int cmd_serve(int argc, char **argv);
int cmd_agent(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_secret(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_project(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_pull(int argc, char **argv);
int cmd_drift(int argc, char **argv);
int cmd_node(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_prune(int argc, char **argv);
int cmd_routes(int argc, char **argv);

struct service;

/* service_open() for a command: refuses the database of another installation. */
MUST_CHECK bool cmd_open(struct service **out, const struct config *cfg, struct err *e);

/* Prints "functions-admin: message" and the hint on standard error; returns the exit status. */
int cmd_fail(const struct err *e);

/* True where the word is among argv's; it is taken out. */
bool cmd_flag(int *argc, char **argv, const char *name);

/* The value of "--name value" or "--name=value", taken out; NULL where it is not there. */
const char *cmd_value(int *argc, char **argv, const char *name);

/* ERR_USAGE where words are left that nobody took. */
MUST_CHECK bool cmd_no_more(int argc, char **argv, struct err *e);

/* The document on standard output, indented, with a newline; drops the reference. */
MUST_CHECK bool cmd_print_json(json_t *doc, struct err *e);

/* A member of an answer as text; "" where it is none, or not there. Lives as long as the object. */
const char *cmd_text(const json_t *object, const char *name);

/* Who acts when a command does: the user who runs it. */
const struct actor *cmd_actor(void);

#endif
