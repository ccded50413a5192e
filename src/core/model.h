/*
 * model - the domain's records, as the store reads and writes them and the layers above pass them on.
 *
 * Strings live in the arena that was given to the call which made the record. Times are milliseconds since the epoch.
 */
#ifndef FA_CORE_MODEL_H
#define FA_CORE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct project {
	const char *ref;
	const char *id;
	const char *name;
	bool is_default;
	const char *settings;      /* JSON object */
	const char *functions_dir; /* NULL: the configuration's, or none */
	const char *runtime_url;   /* NULL: the configuration's, or none */
	const void *keys;          /* sealed; NULL: the configuration's */
	size_t keys_len;
	int64_t generation;
	int64_t release_number; /* of the newest release */
	int64_t revision;
	int64_t epoch;            /* of the database's connections: revisions of another epoch say nothing */
	int64_t secrets_revision; /* the set of secrets that functions get */
	int64_t created_at;
};

enum version_kind { KIND_SOURCE, KIND_ESZIP };

/* The name under which the uploaded body of an eszip version stands in its file list. */
#define ESZIP_FILE "bundle.ezbr"

struct file {
	const char *path; /* relative, validated by fs/bundle.h */
	uint8_t sha256[32];
	int64_t size;
};

/* What a caller wishes for a version's verify_jwt. */
enum verify_choice { VERIFY_KEEP, VERIFY_ON, VERIFY_OFF };

struct version {
	int number;
	enum version_kind kind;
	const char *name;
	const char *entrypoint;       /* a path among the files, or for an eszip a specifier inside the bundle */
	const char *import_map;       /* NULL for none */
	const char **static_patterns; /* NULL-terminated */
	bool verify_jwt;
	const char *settings; /* JSON object */
	uint8_t digest[32];
	int64_t size;
	int file_count;
	const char *ezbr_sha256;    /* hexadecimal; NULL for source versions */
	const char *message;        /* NULL for none */
	const char *source;         /* deploy, settings, import, promote, template */
	const char *source_project; /* NULL where it is the function's own */
	int source_version;         /* 0 for none */
	const char *created_by;
	int64_t created_at;
};

struct function {
	const char *id;
	const char *project_ref;
	const char *slug;
	const char *name;
	const char *status;
	const char *sticky; /* JSON {"by", "name"}; NULL for none */
	int active_version; /* 0 for none */
	int latest_version;
	int64_t created_at;
	int64_t updated_at;
	struct version version; /* the one that a call is about: the active one, unless it says otherwise */
};

/* A version's part of a function's calls. */
struct share {
	int version;
	int percent; /* 0: reached by the override header only */
};

#define MAX_SHARES 4

struct shares {
	struct share items[MAX_SHARES];
	size_t count; /* 0: everything goes to the active version */
};

struct function_list {
	struct function *items;
	size_t count;
};

/* What lately happened to a function that serves. */
struct function_activity {
	const char *slug;
	const char *updated_by;    /* who made what serves; NULL: nothing says so */
	const char *traffic;       /* JSON: how its calls are split; NULL: they are not */
	int64_t error_at;          /* of its newest error in the last day; 0 for none */
	const char *error_source;  /* deployment, or the kind of the event */
	const char *error_message; /* its beginning */
};

struct activity_list {
	struct function_activity *items;
	size_t count;
};

struct file_list {
	struct file *items;
	size_t count;
};

struct version_list {
	struct version *items;
	size_t count;
};

struct deployment {
	const char *id;
	const char *function_id;
	const char *slug;
	int version;
	int64_t release_number; /* 0 for none */
	const char *status;     /* pending, staged, booted, active, verified, bundled, failed, rolled_back */
	const char *error_code; /* NULL for none */
	const char *error_message;
	const char *boot_check; /* full, weak; NULL: none was made */
	int boot_ms;
	const char *created_by;
	const char *request_id;
	int64_t created_at; /* this and the times below: 0 where it did not come to that */
	int64_t staged_at;
	int64_t booted_at;
	int64_t active_at;
	int64_t verified_at;
	int64_t finished_at;
};

struct deployment_list {
	struct deployment *items;
	size_t count;
};

/* A host that shows the project's functions. */
struct node {
	const char *id;
	const char *project_ref;
	const char *name;
	const char *kind; /* serve, agent */
	const char *program;
	bool alive;
	bool draining;
	bool verified; /* its runtime has confirmed the generation */
	int64_t started_at;
	int64_t seen_at; /* about when it was last heard of */
	int64_t generation;
	int64_t behind;    /* generations */
	int64_t behind_ms; /* since the oldest change that it does not show yet; 0: none */
	int64_t shown_at;
	int64_t secrets_revision;
	int64_t failed_generation; /* 0: nothing has failed */
	const char *error_code;    /* NULL for none */
	const char *error_message;
	int64_t error_at;
};

struct release_item {
	const char *function_id;
	const char *slug;
	int version_before;         /* 0: it did not serve */
	int version_after;          /* 0: it was removed */
	const char *traffic_before; /* JSON; NULL: no split */
	const char *traffic_after;
};

struct release {
	int64_t id;
	int64_t number; /* 1, 2, 3, ... within the project: what callers name it by */
	int64_t generation;
	const char
		*source; /* deploy, delete, rollback, restore, traffic, settings, import, promote, template, revert */
	const char *message;
	const char *created_by;
	const char *request_id;
	int64_t created_at;
	struct release_item *items;
	size_t item_count;
};

struct release_list {
	struct release *items;
	size_t count;
};

/* A module inside a bundle that was a local file, as it was written where the bundle still has that, else as it runs.
 */
struct source_module {
	const char *path; /* relative, as bundle_check_path() wants it */
	const void *data;
	size_t len;
};

/* An access token's row; the token itself is never stored. */
struct access_token {
	const char *id;
	const char *name;
	unsigned scopes;         /* auth/principal.h's bits */
	const char *project_ref; /* NULL: any */
	const char **slugs;      /* NULL: any; else patterns, NULL-terminated */
	const char **networks;   /* NULL: any; else where it may be used from (core/net.h), NULL-terminated */
	const char *created_by;
	int64_t created_at;
	int64_t expires_at;   /* 0: never */
	int64_t revoked_at;   /* 0: not */
	int64_t last_used_at; /* 0: never */
};

/* What a caller has seen of a function, for If-Match: nothing is changed when it is something else by now. */
struct expectation {
	bool set;
	int active_version;
	int64_t updated_at;
};

/* One function's change within an activation. */
struct activation {
	const char *function_id;
	const char *slug;
	const char *deployment_id;  /* NULL for a removal */
	const char *name;           /* NULL keeps it */
	int version_before;         /* filled by the store; 0 for none */
	int version_after;          /* 0 removes the function */
	const char *traffic_before; /* filled by the store; NULL for no split */
	const char *traffic_after;  /* JSON [{"version", "percent"}]; NULL for no split */
	const char *sticky;         /* JSON; NULL keeps it */
	struct expectation expected;
	const char *boot_check; /* full, weak or NULL */
	int boot_ms;
	int64_t staged_at;
	int64_t booted_at;
};

/* One secret, sealed; what its members mean besides depends on the call. */
struct secret {
	int64_t id;
	const char *project_ref;
	const char *function_id; /* NULL: the project's */
	const char *slug;        /* of that function */
	const char *name;
	const void *sealed;
	size_t sealed_len;
	uint8_t key_id[4]; /* of the key that sealed it */
	int64_t updated_at;
};

struct secret_list {
	struct secret *items;
	size_t count;
};

/* One change of a project's secrets, by which the set got this number. */
struct secret_revision {
	int64_t number;
	const char *source; /* set, unset, rollback */
	int64_t restored;   /* of a rollback: whose set is in force again; 0 for none */
	int64_t changed;    /* how many values */
	const char *created_by;
	int64_t created_at;
};

/* Something that a function said or did. */
struct function_event {
	int64_t id;
	int64_t at;
	const char *slug; /* "" for what is about no function */
	int version;
	const char *kind;  /* log, boot, boot_failure, exception, shutdown, call, dropped */
	const char *level; /* debug, info, warning, error */
	const char *message;
	const char *execution_id; /* NULL for none */
	int status;               /* of a call; 0 for none */
	int ms;                   /* a call's, a boot's; -1 for none */
	int64_t count;            /* how many were dropped */
};

/* Numbers over events; times are -1 where there was nothing to measure. */
struct function_stats {
	int64_t key; /* a version, or when the interval began */
	int64_t calls;
	int64_t refused; /* calls with status 400 and more */
	int64_t errors;  /* those with 500 and more */
	int64_t exceptions;
	int64_t boots;
	int64_t boot_failures;
	int64_t logs;
	int64_t p50_ms;
	int64_t p95_ms;
	int64_t p99_ms;
	int64_t max_ms;
	int64_t avg_ms;
	int64_t boot_p50_ms;
	int64_t boot_p95_ms;
};

/* What one call changes, as a unit. */
struct activation_set {
	const char *project_ref;
	struct activation *items;
	size_t count;
	const char *source;  /* as in the releases table */
	const char *message; /* NULL for none */
	bool restore;        /* deleted functions may come back */
	const char *node;    /* this host's, as in table nodes; NULL: it shows no functions */
	/* Results. */
	int64_t generation;
	bool alone; /* no other node of the project lives */
	int64_t release_number;
	int64_t at;           /* by the database's clock: the functions' updated_at */
	const char *settings; /* the project's, and its secrets, as of this generation */
	int64_t secrets_revision;
};

/* Who asks, for the records that name them. */
struct actor {
	const char *name;
	const char *token_id; /* "" for none */
	const char *address;
	const char *request_id;
};

#endif
