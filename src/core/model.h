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
	int64_t generation;
	int64_t revision;
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
	const char *ezbr_sha256; /* hexadecimal; NULL for source versions */
	const char *message;     /* NULL for none */
	const char *source;      /* deploy, rollback, import, promote, template */
	int source_version;      /* 0 for none */
	const char *created_by;
	int64_t created_at;
};

struct function {
	const char *id;
	const char *project_ref;
	const char *slug;
	const char *name;
	const char *status;
	int active_version; /* 0 for none */
	int latest_version;
	int64_t created_at;
	int64_t updated_at;
	struct version version; /* the one that a call is about: the active one, unless it says otherwise */
};

struct function_list {
	struct function *items;
	size_t count;
};

struct file_list {
	struct file *items;
	size_t count;
};

/* An access token's row; the token itself is never stored. */
struct access_token {
	const char *id;
	const char *name;
	unsigned scopes;         /* auth/principal.h's bits */
	const char *project_ref; /* NULL: any */
	const char **slugs;      /* NULL: any; else patterns, NULL-terminated */
	const char *created_by;
	int64_t created_at;
	int64_t expires_at;   /* 0: never */
	int64_t revoked_at;   /* 0: not */
	int64_t last_used_at; /* 0: never */
};

/* One function's change within an activation. */
struct activation {
	const char *function_id;
	const char *slug;
	const char *deployment_id; /* NULL for a removal */
	const char *name;          /* NULL keeps it */
	int version_before;        /* filled by the store; 0 for none */
	int version_after;         /* 0 removes the function */
	const char *boot_check;    /* full, weak or NULL */
	int boot_ms;
	int64_t staged_at;
	int64_t booted_at;
};

/* What one call changes, as a unit. */
struct activation_set {
	const char *project_ref;
	struct activation *items;
	size_t count;
	const char *source;  /* as in the releases table */
	const char *message; /* NULL for none */
	bool restore;        /* deleted functions may come back */
	/* Results. */
	int64_t generation;
	int64_t release_number;
	int64_t release_id;
};

/* Who asks, for the records that name them. */
struct actor {
	const char *name;
	const char *token_id; /* "" for none */
	const char *address;
	const char *request_id;
};

#endif
