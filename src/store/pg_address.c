#include "store/pg_address.h"

#include "store/pg.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool add_option(struct pg_address *a, size_t *n, const char *keyword, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return true;
	a->keywords[*n] = keyword;
	a->values[*n] = strdup(value);
	return a->values[(*n)++] != NULL;
}

bool pg_address_set(struct pg_address *a, const struct config *cfg)
{
	char port[24];
	char connect_timeout[24];
	size_t n = 0;

	(void)snprintf(port, sizeof port, "%lld", (long long)cfg->postgres_port);
	(void)snprintf(connect_timeout, sizeof connect_timeout, "%lld", (long long)cfg->db_connect_timeout);
	if (cfg->database_url != NULL && cfg->database_url[0] != '\0') {
		if (!add_option(a, &n, "dbname", cfg->database_url))
			return false;
	} else if (!add_option(a, &n, "host", cfg->postgres_host) || !add_option(a, &n, "port", port) ||
		   !add_option(a, &n, "dbname", cfg->postgres_db) || !add_option(a, &n, "user", cfg->postgres_user) ||
		   !add_option(a, &n, "password", cfg->postgres_password)) {
		return false;
	}
	return add_option(a, &n, "connect_timeout", connect_timeout) &&
	       add_option(a, &n, "application_name", "functions-admin") && add_option(a, &n, "client_encoding", "UTF8");
}

void pg_address_clear(struct pg_address *a)
{
	for (size_t i = 0; i < PG_ADDRESS_MAX; i++)
		free(a->values[i]);
}

static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
	for (; options != NULL && options->keyword != NULL; options++)
		if (strcmp(options->keyword, keyword) == 0 && options->val != NULL && options->val[0] != '\0')
			return options->val;
	return NULL;
}

/* Each host of a list is a name, an address, or a socket: its directory, or an abstract one's name after '@'. */
static bool has_tcp(const char *hosts)
{
	while (*hosts != '\0') {
		size_t len = strcspn(hosts, ",");

		if (len > 0 && hosts[0] != '/' && hosts[0] != '@')
			return true;
		hosts += len;
		hosts += *hosts == ',';
	}
	return false;
}

/* An entry that is left empty is the default: "5433," of postgresql://a:5433,b/postgres. */
static char *fill_ports(const char *list, const char *fallback)
{
	size_t size = strlen(list) + (strlen(list) + 1) * strlen(fallback) + 1;
	char *out = malloc(size);
	size_t n = 0;

	for (bool more = out != NULL; more;) {
		size_t len = strcspn(list, ",");

		n += (size_t)(len > 0 ? snprintf(out + n, size - n, "%.*s", (int)len, list)
				      : snprintf(out + n, size - n, "%s", fallback));
		more = list[len] == ',';
		if (more)
			out[n++] = ',';
		list += len + 1;
	}
	return out;
}

bool pg_ports(const struct config *cfg, char **ports, struct err *e)
{
	char port[24];
	PQconninfoOption *fallbacks = PQconndefaults();
	PQconninfoOption *given = NULL;
	const char *hosts = cfg->postgres_host;
	const char *list = port;

	(void)snprintf(port, sizeof port, "%lld", (long long)cfg->postgres_port);
	if (cfg->database_url != NULL && cfg->database_url[0] != '\0') {
		given = PQconninfoParse(cfg->database_url, NULL);
		hosts = option_value(given, "hostaddr");
		hosts = hosts != NULL ? hosts : option_value(given, "host");
		list = option_value(given, "port");
	}
	if (hosts == NULL)
		hosts = option_value(fallbacks, "hostaddr");
	if (hosts == NULL)
		hosts = option_value(fallbacks, "host");
	if (list == NULL)
		list = option_value(fallbacks, "port");
	*ports = hosts != NULL && has_tcp(hosts) && list != NULL ? fill_ports(list, "5432") : strdup("");
	PQconninfoFree(given);
	PQconninfoFree(fallbacks);
	return *ports != NULL || err_no_memory(e);
}
