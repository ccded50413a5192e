#include "core/config_table.h"

#include "core/config.h"
#include "core/names.h"
#include "core/net.h"
#include "core/text.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

/* ---- What a text must look like: each returns what is wrong with the value, or NULL. ---- */

static const char *check_path(const char *v)
{
	return v[0] == '/' ? NULL : "is not an absolute path";
}

static bool is_port(const char *s)
{
	int64_t port;

	return text_int64(s, 1, 65535, &port);
}

static const char *check_listen(const char *v)
{
	const char *colon = strrchr(v, ':');
	int64_t fd;

	if (text_starts(v, "unix:")) {
		if (v[5] != '/')
			return "is not unix: and an absolute path";
		return strlen(v + 5) < sizeof(((struct sockaddr_un *)NULL)->sun_path)
			       ? NULL
			       : "has a path that is too long for a unix socket (107 bytes)";
	}
	if (text_starts(v, "fd:"))
		return text_int64(v + 3, 0, 65535, &fd) ? NULL : "is not fd: and a descriptor's number";
	if (colon == NULL || colon == v || !is_port(colon + 1))
		return "is not unix:PATH, HOST:PORT or fd:N";
	/* Only brackets tell an IPv6 address from its port. */
	if (memchr(v, ':', (size_t)(colon - v)) != NULL && !(v[0] == '[' && colon[-1] == ']'))
		return "has an IPv6 address without brackets";
	return NULL;
}

/* "/a/b": a path that can be cut off the front of another. */
static const char *check_base_path(const char *v)
{
	for (const char *c = v; *c != '\0'; c++)
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9') &&
		    strchr("-._~/", *c) == NULL)
			return "has a character that a path prefix must not have";
	if (v[0] != '/' || text_ends(v, "/") || strstr(v, "//") != NULL)
		return "does not begin with one slash, or ends with one";
	return NULL;
}

/* "10.0.0.0/8, ::1" */
static const char *check_networks(const char *v)
{
	while (*v != '\0') {
		size_t len = strcspn(v, ", ");
		char entry[64];
		char *slash;
		uint8_t address[16];
		int64_t bits;

		if (len >= sizeof entry)
			return "has an entry that is no IP address or network";
		memcpy(entry, v, len);
		entry[len] = '\0';
		slash = strchr(entry, '/');
		if (slash != NULL)
			*slash++ = '\0';
		if (inet_pton(AF_INET, entry, address) == 1) {
			if (slash != NULL && !text_int64(slash, 0, 32, &bits))
				return "has a network with a prefix that is not 0 to 32";
		} else if (inet_pton(AF_INET6, entry, address) == 1) {
			if (slash != NULL && !text_int64(slash, 0, 128, &bits))
				return "has a network with a prefix that is not 0 to 128";
		} else {
			return "has an entry that is no IP address or network";
		}
		v += len;
		v += strspn(v, ", ");
	}
	return NULL;
}

/* "deno.land, *.esm.sh" */
static const char *check_hosts(const char *v)
{
	for (; *v != '\0'; v++)
		if (!(*v >= 'a' && *v <= 'z') && !(*v >= '0' && *v <= '9') && strchr("-.*, ", *v) == NULL)
			return "has a character that is in no host name (lower-case letters are expected)";
	return NULL;
}

static const char *check_url(const char *v)
{
	const char *host = text_starts(v, "http://") ? v + 7 : text_starts(v, "https://") ? v + 8 : NULL;
	size_t host_len;
	const char *colon;

	if (host == NULL)
		return "does not begin with http:// or https://";
	if (strpbrk(v, " \"<>\\^`{|}") != NULL)
		return "has a character that no URL has";
	if (strpbrk(v, "?#") != NULL)
		return "has a query or a fragment";
	host_len = strcspn(host, "/");
	if (memchr(host, '@', host_len) != NULL)
		return "has a user name in it";
	colon = memrchr(host, ':', host_len);
	if (colon != NULL && memchr(colon, ']', host_len - (size_t)(colon - host)) == NULL) {
		char port[8];
		size_t len = host_len - (size_t)(colon - host) - 1;

		if (len >= sizeof port)
			return "has a wrong port";
		memcpy(port, colon + 1, len);
		port[len] = '\0';
		if (!is_port(port))
			return "has a wrong port";
		host_len = (size_t)(colon - host);
	}
	return host_len > 0 ? NULL : "has no host";
}

static const char *check_database_url(const char *v)
{
	return text_starts(v, "postgres://") || text_starts(v, "postgresql://")
		       ? NULL
		       : "does not begin with postgres:// or postgresql://";
}

static const char *check_host(const char *v)
{
	return strpbrk(v, " ,") == NULL ? NULL : "is not one host name, address or socket directory";
}

/* PostgreSQL cuts longer names silently (NAMEDATALEN), and another database would be opened. */
static const char *check_identifier(const char *v)
{
	return strlen(v) <= 63 ? NULL : "is longer than PostgreSQL's 63 bytes";
}

static const char *check_ref(const char *v)
{
	return names_is_ref(v) ? NULL : "is not 20 lower-case letters";
}

static const char *check_title(const char *v)
{
	return strlen(v) <= 256 ? NULL : "is longer than 256 bytes";
}

static const char *check_word(const char *v)
{
	return strlen(v) <= 64 && v[strspn(v, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0'
		       ? NULL
		       : "is not a word of lower-case letters, digits and hyphens (64 at most)";
}

static const char *check_jwt_secret(const char *v)
{
	return strlen(v) >= 32 ? NULL : "is shorter than 32 bytes";
}

/* "secret, secret": each as jwt_secret. */
static const char *check_jwt_secrets(const char *v)
{
	while (*v != '\0') {
		size_t len = strcspn(v, ", ");

		if (len < 32)
			return "has a secret that is shorter than 32 bytes";
		v += len + strspn(v + len, ", ");
	}
	return NULL;
}

/* "https://ui.example.com, http://localhost:3000": as browsers write them, without a path. */
static const char *check_origins(const char *v)
{
	while (*v != '\0') {
		size_t len = strcspn(v, ", ");
		const char *host = text_starts(v, "https://") ? v + 8 : text_starts(v, "http://") ? v + 7 : NULL;

		if (host == NULL || host >= v + len || memchr(host, '/', (size_t)(v + len - host)) != NULL ||
		    memchr(v, '*', len) != NULL)
			return "has an entry that is no origin";
		v += len + strspn(v + len, ", ");
	}
	return NULL;
}

/* The keys themselves are read by auth/jwt.c, which says more. */
static const char *check_jwks(const char *v)
{
	v += strspn(v, " \t\r\n");
	return *v == '{' || *v == '[' ? NULL : "is neither a JWK Set nor an array of keys";
}

static const char *check_printable(const char *v)
{
	for (; *v != '\0'; v++)
		if (*v <= ' ' || *v == 0x7F || (*v & 0x80) != 0)
			return "has a space or a character that is not ASCII";
	return NULL;
}

/* Ids as Supabase Auth writes them, since a token's sub is compared byte by byte. */
static const char *check_users(const char *v)
{
	while (*v != '\0') {
		size_t len = strcspn(v, ", ");

		if (len != 36 || strspn(v, "0123456789abcdef-") < 36 || v[8] != '-' || v[13] != '-' || v[18] != '-' ||
		    v[23] != '-')
			return "has an entry that is no user's id (a UUID in lower case)";
		v += len + strspn(v + len, ", ");
	}
	return NULL;
}

static const char *check_publishable(const char *v)
{
	return text_starts(v, "sb_publishable_") && v[15] != '\0' ? check_printable(v)
								  : "does not begin with sb_publishable_";
}

static const char *check_secret_key(const char *v)
{
	return text_starts(v, "sb_secret_") && v[10] != '\0' ? check_printable(v) : "does not begin with sb_secret_";
}

static const char *check_master_key(const char *v)
{
	return strlen(v) == 64 && strspn(v, "0123456789abcdefABCDEF") == 64 ? NULL : "is not 64 hexadecimal digits";
}

static const char *check_runtime_token(const char *v)
{
	return strlen(v) >= 16 ? check_printable(v) : "is shorter than 16 bytes";
}

static const char *check_pooling(const char *v)
{
	return text_eq(v, "session") || text_eq(v, "transaction") ? NULL : "is not session or transaction";
}

static const char *check_sandbox(const char *v)
{
	return text_eq(v, "on") || text_eq(v, "auto") || text_eq(v, "off") ? NULL : "is not on, auto or off";
}

/* "9000, 9001" */
static const char *check_ports(const char *v)
{
	int64_t port;
	int count = 0;

	while (net_next_port(&v, &port))
		count++;
	if (*v != '\0')
		return "has an entry that is no port";
	return count <= 32 ? NULL : "has more than 32 ports";
}

static const char *check_rate_limit(const char *v)
{
	return text_eq(v, "on") || text_eq(v, "dry") || text_eq(v, "off") ? NULL : "is not on, dry or off";
}

static const char *check_log_level(const char *v)
{
	return text_eq(v, "error") || text_eq(v, "warn") || text_eq(v, "info") || text_eq(v, "debug")
		       ? NULL
		       : "is not error, warn, info or debug";
}

static const char *check_log_format(const char *v)
{
	return text_eq(v, "text") || text_eq(v, "json") ? NULL : "is not text or json";
}

#define AT(field) offsetof(struct config, field)
#define KIB ((int64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND ((int64_t)1000)

/* A table is read by its rows. */
/* clang-format off */
const struct option config_options[] = {
	/* The service */
	{"listen", OPTION_TEXT, 0, AT(listen), "unix:/run/functions-admin/functions-admin.sock", NULL, 0, 0, check_listen,
	 "Where FastCGI requests are taken: unix:PATH, HOST:PORT, or fd:N for an inherited socket.",
	 "Write unix:/run/functions-admin/functions-admin.sock, 127.0.0.1:9001, [::1]:9001 or fd:3."},
	{"listen_mode", OPTION_OCTAL, 0, AT(listen_mode), "0660", NULL, 0, 0777, NULL,
	 "Mode of the unix socket; nginx needs to write to it.",
	 NULL},
	{"workers", OPTION_INT, 0, AT(workers), "8", NULL, 1, 256, NULL,
	 "Threads that answer requests.",
	 NULL},
	{"request_timeout", OPTION_DURATION, 0, AT(request_timeout), "30s", NULL, 1 * SECOND, 3600 * SECOND, NULL,
	 "The longest that a request waits for the database or the runtime.",
	 NULL},
	{"pid_file", OPTION_TEXT, 0, AT(pid_file), NULL, NULL, 0, 0, check_path,
	 "File that holds the number of the serving process.",
	 "Write a path that begins with a slash."},
	{"allow_root", OPTION_BOOL, 0, AT(allow_root), "off", NULL, 0, 0, NULL,
	 "Whether serve may run as root.",
	 NULL},
	{"sandbox", OPTION_TEXT, 0, AT(sandbox), "auto", NULL, 0, 0, check_sandbox,
	 "What serve gives up: system calls that it never makes (auto), files outside of its own folders and other connections too (on), nothing (off).",
	 "Write sandbox = on where the kernel has Landlock."},
	{"sandbox_paths", OPTION_TEXT, 0, AT(sandbox_paths), NULL, NULL, 0, 0, check_path,
	 "Further folders that serve may write to with sandbox = on, separated by commas: the functions folders of further projects.",
	 "Write paths that begin with a slash."},
	{"sandbox_ports", OPTION_TEXT, 0, AT(sandbox_ports), NULL, NULL, 0, 0, check_ports,
	 "Further TCP ports that serve may connect to with sandbox = on, separated by commas: the runtimes of further projects.",
	 "Write it as in 9001, 9002."},
	{"base_path", OPTION_TEXT, 0, AT(base_path), "/functions-admin", NULL, 0, 0, check_base_path,
	 "Prefix that is cut off request paths that have it.",
	 "Write it as in /functions-admin."},
	{"trusted_proxies", OPTION_TEXT, 0, AT(trusted_proxies), NULL, NULL, 0, 0, check_networks,
	 "Addresses and networks whose X-Forwarded-For is believed, separated by commas.",
	 "Write it as in 127.0.0.1, 172.16.0.0/12, ::1."},
	{"cors_origins", OPTION_TEXT, 0, AT(cors_origins), NULL, NULL, 0, 0, check_origins,
	 "Origins whose web pages may use the API from a browser, separated by commas; unset for none but its own.",
	 "Write it as in https://ui.example.com, http://localhost:3000."},

	/* The database */
	{"database_url", OPTION_TEXT, OPTION_SECRET, AT(database_url), NULL, "DATABASE_URL", 0, 0, check_database_url,
	 "The database as a URL; where it is set, the postgres_ options are not used.",
	 "Write it as in postgres://USER:PASSWORD@HOST:5432/postgres."},
	{"postgres_host", OPTION_TEXT, 0, AT(postgres_host), "db", "POSTGRES_HOST", 0, 0, check_host,
	 "Host of the database, or the directory of its unix socket.",
	 "Write one host, such as db."},
	{"postgres_port", OPTION_INT, 0, AT(postgres_port), "5432", "POSTGRES_PORT", 1, 65535, NULL,
	 "Port of the database.",
	 NULL},
	{"postgres_db", OPTION_TEXT, 0, AT(postgres_db), "postgres", "POSTGRES_DB", 0, 0, check_identifier,
	 "Name of the database.",
	 "Use Supabase's own database, postgres."},
	{"postgres_user", OPTION_TEXT, 0, AT(postgres_user), "postgres", "POSTGRES_USER", 0, 0, check_identifier,
	 "Role that connects to the database.",
	 "Use Supabase's own role, postgres."},
	{"postgres_password", OPTION_TEXT, OPTION_SECRET, AT(postgres_password), NULL, "POSTGRES_PASSWORD", 0, 0, NULL,
	 "Password of that role.",
	 NULL},
	{"db_role", OPTION_TEXT, 0, AT(db_role), "functions_admin_service", NULL, 0, 0, check_identifier,
	 "Role that serve takes once it is connected, where it may; empty: serve keeps the rights of the role that connects.",
	 "Leave it out: functions-admin migrate makes functions_admin_service with the rights that serve needs."},
	{"db_connections", OPTION_INT, 0, AT(db_connections), "0", NULL, 0, 1024, NULL,
	 "Most connections to the database that serve opens; workers wait for one another beyond. 0: six more than there are workers.",
	 NULL},
	{"db_pooling", OPTION_TEXT, 0, AT(db_pooling), "session", NULL, 0, 0, check_pooling,
	 "What a connection to the database is: a session of the server (session, also through a pooler in session mode), or a place in a pooler that gives each transaction to any session (transaction).",
	 "Write transaction for PgBouncer or Supavisor in transaction mode, else session."},
	{"db_connect_timeout", OPTION_INT, 0, AT(db_connect_timeout), "5", NULL, 2, 300, NULL,
	 "Seconds to wait for a connection to the database.",
	 NULL},

	/* The project */
	{"project_ref", OPTION_TEXT, 0, AT(project_ref), NULL, NULL, 0, 0, check_ref,
	 "Ref of the default project: 20 lower-case letters, the form that the Supabase CLI demands.",
	 "Make one with: tr -dc a-z < /dev/urandom | head -c 20"},
	{"project_name", OPTION_TEXT, 0, AT(project_name), "Default Project", NULL, 0, 0, check_title,
	 "Name of the default project, for people.",
	 "Write a shorter name."},
	{"organization", OPTION_TEXT, 0, AT(organization), "default", NULL, 0, 0, check_word,
	 "Organization that clients see beside the project.",
	 "Write a word such as default."},
	{"region", OPTION_TEXT, 0, AT(region), "local", NULL, 0, 0, check_word,
	 "Region that clients see beside the project.",
	 "Write a word such as local."},
	{"public_url", OPTION_URL, 0, AT(public_url), NULL, "SUPABASE_PUBLIC_URL", 0, 0, check_url,
	 "Where people reach the gateway.",
	 "Write it as in https://supabase.example.com."},
	{"functions_dir", OPTION_TEXT, 0, AT(functions_dir), NULL, NULL, 0, 0, check_path,
	 "The runtime's functions folder on this host; unset where only agents deploy.",
	 "Write the path of volumes/functions, beginning with a slash."},
	{"spool_dir", OPTION_TEXT, 0, AT(spool_dir), "/var/tmp", NULL, 0, 0, check_path,
	 "Folder for uploads while they are checked.",
	 "Write a path that begins with a slash."},
	{"functions_mode", OPTION_OCTAL, 0, AT(functions_mode), "0755", NULL, 0500, 0777, NULL,
	 "Mode of the folders that the runtime reads.",
	 NULL},

	/* Keys */
	{"jwt_secret", OPTION_TEXT, OPTION_SECRET, AT(jwt_secret), NULL, "JWT_SECRET", 0, 0, check_jwt_secret,
	 "Secret that signs the project's JWTs with HS256; 32 bytes or more, as all of Supabase demands.",
	 "Use the JWT_SECRET of Supabase's .env, or make one with: openssl rand -hex 32"},
	{"jwt_previous_secrets", OPTION_TEXT, OPTION_SECRET, AT(jwt_previous_secrets), NULL, NULL, 0, 0, check_jwt_secrets,
	 "Earlier JWT secrets that still verify, separated by commas, while keys are being changed; 15 at most.",
	 "Leave those out that sign nothing any more."},
	{"jwks", OPTION_TEXT, OPTION_SECRET, AT(jwks), NULL, "SUPABASE_JWKS", 0, 0, check_jwks,
	 "Keys that verify the project's JWTs: a JWK Set, or its array of keys, as JSON.",
	 "Write JSON such as {\"keys\": [...]}, or give its file with jwks_file."},
	{"jwks_url", OPTION_URL, 0, AT(jwks_url), NULL, NULL, 0, 0, check_url,
	 "Where the auth service publishes its keys; fetched when they are needed, the last good ones are kept.",
	 "Write it as in http://auth:9999/.well-known/jwks.json."},
	{"oauth_issuer", OPTION_TEXT, 0, AT(oauth_issuer), NULL, NULL, 0, 0, check_url,
	 "Issuer of the tokens with which users may come to the MCP endpoint, Supabase Auth with its OAuth server; unset for none.",
	 "Write it as in https://supabase.example.com/auth/v1, exactly as the tokens have it in iss."},
	{"oauth_audience", OPTION_TEXT, 0, AT(oauth_audience), NULL, NULL, 0, 0, check_printable,
	 "What such a token must have in aud; unset for the MCP endpoint's own address.",
	 "Write one value, without spaces."},
	{"oauth_users", OPTION_TEXT, 0, AT(oauth_users), NULL, NULL, 0, 0, check_users,
	 "The users who may come with such a token, by their ids in Supabase Auth, separated by commas; no other user may.",
	 "Write it as in 5b0ad7b8-1c0e-4d2f-9a39-0d6f2d1f1a55."},
	{"oauth_scopes", OPTION_TEXT, 0, AT(oauth_scopes), "functions:read", NULL, 0, 0, NULL,
	 "What these users may do, as scopes of access tokens, separated by commas.",
	 "Write it as in functions:read, functions:write."},
	{"anon_key", OPTION_TEXT, OPTION_SECRET, AT(anon_key), NULL, "ANON_KEY", 0, 0, check_printable,
	 "The project's anon key, for clients that ask for the API keys.",
	 "Use the ANON_KEY of Supabase's .env."},
	{"service_role_key", OPTION_TEXT, OPTION_SECRET, AT(service_role_key), NULL, "SERVICE_ROLE_KEY", 0, 0, check_printable,
	 "The project's service_role key, for clients that ask for the API keys.",
	 "Use the SERVICE_ROLE_KEY of Supabase's .env."},
	{"publishable_key", OPTION_TEXT, OPTION_SECRET, AT(publishable_key), NULL, "SUPABASE_PUBLISHABLE_KEY", 0, 0, check_publishable,
	 "The project's publishable key (sb_publishable_...).",
	 "Use the SUPABASE_PUBLISHABLE_KEY of Supabase's .env, or leave it unset."},
	{"secret_key", OPTION_TEXT, OPTION_SECRET, AT(secret_key), NULL, "SUPABASE_SECRET_KEY", 0, 0, check_secret_key,
	 "The project's secret key (sb_secret_...); who has it may do everything.",
	 "Use the SUPABASE_SECRET_KEY of Supabase's .env, or leave it unset."},
	{"master_key", OPTION_TEXT, OPTION_SECRET, AT(master_key), NULL, NULL, 0, 0, check_master_key,
	 "Key that hashes access tokens and seals secrets: 64 hexadecimal digits. Keep a copy; without it neither can be used.",
	 "Make one with: openssl rand -hex 32"},

	/* Secrets of functions */
	{"secrets_key", OPTION_TEXT, OPTION_SECRET, AT(secrets_key), NULL, NULL, 0, 0, check_master_key,
	 "Key that seals the secrets of functions, where it shall not be the master key: 64 hexadecimal digits.",
	 "Make one with: openssl rand -hex 32"},
	{"secrets_key_command", OPTION_TEXT, 0, AT(secrets_key_command), NULL, NULL, 0, 0, NULL,
	 "Command that prints secrets_key, run by a shell at the start: the client of a key management service.",
	 NULL},
	{"secrets_previous_keys", OPTION_TEXT, OPTION_SECRET, AT(secrets_previous_keys), NULL, NULL, 0, 0, NULL,
	 "Keys that sealed older secrets, separated by commas; needed until secret rotate-key has run.",
	 NULL},
	{"secrets_dir", OPTION_TEXT, 0, AT(secrets_dir), NULL, NULL, 0, 0, check_path,
	 "Folder for secrets.json, a tmpfs for example, where it shall not lie in the functions folder.",
	 "Write a path that begins with a slash; the runtime finds it by FUNCTIONS_ADMIN_SECRETS_DIR."},
	{"secrets_kept_revisions", OPTION_INT, 0, AT(secrets_kept_revisions), "50", NULL, 1, 10000, NULL,
	 "Revisions of the secrets that can be rolled back to; older values are deleted.",
	 NULL},

	/* The runtime */
	{"runtime_url", OPTION_URL, 0, AT(runtime_url), NULL, NULL, 0, 0, check_url,
	 "The edge runtime with this project's main service; unset where the stock one runs.",
	 "Write it as in http://functions:9000."},
	{"runtime_token", OPTION_TEXT, OPTION_SECRET, AT(runtime_token), NULL, NULL, 0, 0, check_runtime_token,
	 "Token that the main service's internal endpoints demand; the same in the runtime's environment.",
	 "Make one with: openssl rand -hex 32"},
	{"boot_check", OPTION_BOOL, 0, AT(boot_check), "on", NULL, 0, 0, NULL,
	 "Whether the runtime boots a version before it becomes active.",
	 NULL},
	{"boot_timeout", OPTION_DURATION, 0, AT(boot_timeout), "30s", NULL, 1 * SECOND, 600 * SECOND, NULL,
	 "The longest that a boot may take.",
	 NULL},
	/* Nodes */
	{"deploy_here", OPTION_BOOL, 0, AT(deploy_here), "on", NULL, 0, 0, NULL,
	 "Whether serve shows the functions in functions_dir itself; off: only the nodes that run functions-admin agent do, and "
	 "functions_dir is for uploads on their way.",
	 NULL},
	{"node_name", OPTION_TEXT, 0, AT(node_name), NULL, NULL, 0, 0, check_title,
	 "Name of this host among the nodes of a project; unset for its host name.",
	 "Write a shorter name."},
	{"node_lease", OPTION_DURATION, 0, AT(node_lease), "15s", NULL, 3 * SECOND, 600 * SECOND, NULL,
	 "How long a node that says nothing is still waited for.",
	 NULL},
	{"node_timeout", OPTION_DURATION, 0, AT(node_timeout), "60s", NULL, 1 * SECOND, 3600 * SECOND, NULL,
	 "The longest that a deployment waits for the other nodes, before it is activated and after.",
	 NULL},

	{"node_ephemeral", OPTION_BOOL, 0, AT(node_ephemeral), "off", NULL, 0, 0, NULL,
	 "Whether an agent that stops is forgotten at once, as a pod that never comes back; else it is shown as away for a week.",
	 NULL},
	{"replica_url", OPTION_TEXT, OPTION_SECRET, AT(replica_url), NULL, NULL, 0, 0, check_database_url,
	 "A streaming replica, as a URL, from which an agent reads the files of versions; what it has not got yet comes from the database.",
	 "Write it as in postgres://USER:PASSWORD@HOST:5432/postgres."},
	{"cache_bytes", OPTION_SIZE, 0, AT(cache_bytes), "256M", NULL, 0, 1024 * GIB, NULL,
	 "Disk that an agent keeps files of versions in, so that it fetches each content once; 0 for none.",
	 NULL},

	{"preflight_command", OPTION_TEXT, 0, AT(preflight_command), NULL, NULL, 0, 0, check_path,
	 "Program that looks at each upload of files before it is stored; a status other than 0 refuses it. Absolute path; its "
	 "working directory is the upload, its argument the entry point.",
	 "Name a program by its absolute path, such as /etc/functions-admin/preflight."},
	{"preflight_timeout", OPTION_DURATION, 0, AT(preflight_timeout), "30s", NULL, 1 * SECOND, 600 * SECOND, NULL,
	 "The longest that preflight_command may take.",
	 NULL},

	/* Limits */
	{"max_file_bytes", OPTION_SIZE, 0, AT(max_file_bytes), "20M", NULL, 1 * KIB, 1 * GIB, NULL,
	 "The largest file of a function.",
	 NULL},
	{"max_upload_bytes", OPTION_SIZE, 0, AT(max_upload_bytes), "64M", NULL, 1 * KIB, 4 * GIB, NULL,
	 "The largest upload; nginx has a limit of its own (client_max_body_size).",
	 NULL},
	{"max_files", OPTION_INT, 0, AT(max_files), "1000", NULL, 1, 100000, NULL,
	 "The most files that a function may have.",
	 NULL},
	{"max_path_bytes", OPTION_INT, 0, AT(max_path_bytes), "512", NULL, 16, 4000, NULL,
	 "The longest path of a file in a function, in bytes.",
	 NULL},
	{"max_json_bytes", OPTION_SIZE, 0, AT(max_json_bytes), "8M", NULL, 1 * KIB, 256 * MIB, NULL,
	 "The largest JSON body.",
	 NULL},
	{"max_eszip_bytes", OPTION_SIZE, 0, AT(max_eszip_bytes), "256M", NULL, 1 * KIB, 4 * GIB, NULL,
	 "The largest eszip bundle after decompression.",
	 NULL},
	{"max_disk_releases", OPTION_INT, 0, AT(max_disk_releases), "5", NULL, 1, 1000, NULL,
	 "Releases of a function that stay in the functions folder, the active one included.",
	 NULL},

	{"import_hosts", OPTION_TEXT, 0, AT(import_hosts), NULL, NULL, 0, 0, check_hosts,
	 "Hosts that functions may import from by URL, separated by commas; unset for any.",
	 "Write it as in deno.land, *.esm.sh."},

	/* Rates */
	{"rate_limit", OPTION_TEXT, 0, AT(rate_limit), "on", NULL, 0, 0, check_rate_limit,
	 "Whether too many requests are refused (on), only logged (dry), or not counted (off).",
	 "Write rate_limit = on."},
	{"rate_read", OPTION_INT, 0, AT(rate_read), "120000", NULL, 0, 60000000, NULL,
	 "Reading requests a minute, for each caller and each address; 0 for no limit.",
	 NULL},
	{"rate_write", OPTION_INT, 0, AT(rate_write), "12000", NULL, 0, 60000000, NULL,
	 "Changing requests a minute, for each caller and each address; 0 for no limit.",
	 NULL},
	{"rate_failures", OPTION_INT, 0, AT(rate_failures), "300", NULL, 0, 60000000, NULL,
	 "Bad credentials a minute from one address, beyond which only credentials that were good lately are looked at; 0 for no limit.",
	 NULL},

	/* Logs of functions */
	{"log_retention_days", OPTION_INT, 0, AT(log_retention_days), "7", NULL, 1, 3650, NULL,
	 "Days that the logs of functions are kept.",
	 NULL},
	{"log_max_bytes", OPTION_SIZE, 0, AT(log_max_bytes), "1G", NULL, 1 * MIB, 1024 * GIB, NULL,
	 "The most that the logs of functions may take in the database; the oldest days go first.",
	 NULL},

	/* Logs */
	{"log_level", OPTION_TEXT, 0, AT(log_level), "info", NULL, 0, 0, check_log_level,
	 "What is logged: error, warn, info or debug.",
	 "Write log_level = info."},
	{"log_format", OPTION_TEXT, 0, AT(log_format), "text", NULL, 0, 0, check_log_format,
	 "Form of the log: text or json.",
	 "Write log_format = json for log collectors."},
};
/* clang-format on */

const size_t config_option_count = sizeof config_options / sizeof config_options[0];

bool option_may_have_lines(const struct option *o)
{
	return o->check == check_jwks;
}
