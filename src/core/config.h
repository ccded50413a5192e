/*
 * config - every option of the program, in ONE table (config.c): name, type, default, environment names, help.
 *
 * Precedence: default < file < environment < command line. Each option `x_y` is `x_y = value` in the file,
 * FUNCTIONS_ADMIN_X_Y in the environment (and the name that Supabase's own .env uses, where it has one; our own name
 * wins), and --x-y VALUE or --x-y=VALUE on the command line, save secrets, which never stand in process arguments.
 * Options that are secret, or that have a name in Supabase's .env, also have the form `x_y_file` / X_Y_FILE /
 * --x-y-file: the path of a file that holds the value (container secrets); one trailing newline is dropped.
 *
 * Lines of the file: `name = value`, empty lines, and comments (the first character is '#'). A value stands as it is,
 * without quotes. An empty value in the environment counts as not set, since compose files pass unset names on so.
 *
 * A struct config owns its strings until config_free(); a string that is not set, or set to nothing, is NULL. It is
 * read-only once loaded; a reload makes a new one.
 */
#ifndef FA_CORE_CONFIG_H
#define FA_CORE_CONFIG_H

#include "core/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct config {
	/* The service */
	char *listen;            /* unix:PATH, HOST:PORT or fd:N */
	int64_t listen_mode;     /* mode of the unix socket, octal */
	int64_t workers;         /* threads that answer requests */
	int64_t request_timeout; /* ms: the longest that a request waits for the database or the runtime */
	char *pid_file;
	bool allow_root;
	char *sandbox; /* on, auto or off */
	char *sandbox_paths;
	char *sandbox_ports;
	char *base_path; /* stripped from request paths when present */
	char *trusted_proxies;
	char *cors_origins;

	/* The database */
	char *database_url;
	char *postgres_host;
	int64_t postgres_port;
	char *postgres_db;
	char *postgres_user;
	char *postgres_password;
	char *db_role;              /* NULL or "": none */
	int64_t db_connections;     /* 0: six more than workers */
	char *db_pooling;           /* session or transaction */
	int64_t db_connect_timeout; /* seconds */

	/* The project */
	char *project_ref;
	char *project_name;
	char *organization;
	char *region;
	char *public_url;
	char *functions_dir;
	char *spool_dir;
	int64_t functions_mode; /* mode of directories that the runtime reads, octal */

	/* Keys */
	char *jwt_secret;
	char *jwt_previous_secrets;
	char *jwks;
	char *jwks_url;
	char *oauth_issuer; /* NULL: no user of Supabase Auth comes in */
	char *oauth_audience;
	char *oauth_users;
	char *oauth_scopes;
	char *anon_key;
	char *service_role_key;
	char *publishable_key;
	char *secret_key;
	char *master_key; /* 64 hexadecimal digits */

	/* Secrets of functions */
	char *secrets_key; /* 64 hexadecimal digits */
	char *secrets_key_command;
	char *secrets_previous_keys;
	char *secrets_dir;
	int64_t secrets_kept_revisions;

	/* The runtime */
	char *runtime_url;
	char *runtime_token;
	bool boot_check;
	int64_t boot_timeout; /* ms */
	bool deploy_here;
	char *node_name;      /* NULL: the host's */
	int64_t node_lease;   /* ms */
	int64_t node_timeout; /* ms */
	bool node_ephemeral;
	char *replica_url;
	int64_t cache_bytes;
	char *preflight_command;
	int64_t preflight_timeout; /* ms */

	/* Limits */
	int64_t max_file_bytes;
	int64_t max_upload_bytes;
	int64_t max_files;
	int64_t max_path_bytes;
	int64_t max_json_bytes;
	int64_t max_eszip_bytes; /* after decompression */
	int64_t max_disk_releases;
	char *import_hosts;

	/* Rates, per minute */
	char *rate_limit; /* on, dry or off */
	int64_t rate_read;
	int64_t rate_write;
	int64_t rate_failures;

	/* Logs of functions */
	int64_t log_retention_days;
	int64_t log_max_bytes;

	/* Logs */
	char *log_level;
	char *log_format;
};

/*
 * Reads defaults, the file (--config PATH, else $FUNCTIONS_ADMIN_CONFIG, else functions-admin/functions-admin.conf in
 * sysconfdir, /etc as packaged, if it exists), the environment and the flags in argv[1..argc-1]; words that are no
 * flags, and flags in `own` (a NULL-terminated list of the command's own, such as "--json"; one that ends in '=' takes
 * a value), stay in argv, in order, and *argc is what is left. On a wrong value the error names the option and where
 * it was given, what is wrong, and a hint; the values of secrets stand in no message.
 */
MUST_CHECK bool config_load(struct config **out, int *argc, char **argv, const char *const *own, struct err *e);

/*
 * What `serve` needs beyond well-formed values: a project (project_ref has no default), a way into the database, the
 * master key and a key that verifies JWTs. The error names the first that is missing.
 */
MUST_CHECK bool config_check_serve(const struct config *c, struct err *e);

/* The same for `agent`, which answers no requests and so needs no key that verifies JWTs, but a functions folder. */
MUST_CHECK bool config_check_agent(const struct config *c, struct err *e);

/* One line an option, for --help; `name = default  help`. */
void config_print_help(FILE *out);

/* The options and their values as in the file, secrets as "(set)"; "(not set)" where there is no value. */
void config_print(const struct config *c, FILE *out);

/* One option, for documentation; every string is static. */
struct config_info {
	const char *name;
	const char *type;     /* "text", "whole number", "size", ... */
	const char *fallback; /* the default, as it would be written; NULL for none */
	const char *supabase; /* the name in Supabase's .env; NULL for none */
	const char *help;     /* one sentence */
	bool secret;          /* not accepted on the command line, never printed */
	bool has_file_form;   /* x_y_file is accepted too */
};

/* The option at this place of the table; false past its end. */
bool config_info_at(size_t index, struct config_info *out);

void config_free(struct config *c);

#endif
