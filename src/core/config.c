#include "core/config.h"

#include "core/buf.h"
#include "core/config_table.h"
#include "core/log.h"
#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_PATH PKG_SYSCONFDIR "/functions-admin/functions-admin.conf"
#define ENV_PREFIX "FUNCTIONS_ADMIN_"
#define FILE_SUFFIX "_file"

/* A configuration file holds at most a JWKS and some lines; a value file at most a JWKS. */
#define CONFIG_FILE_MAX ((size_t)1024 * 1024)
#define VALUE_FILE_MAX ((size_t)256 * 1024)

/* A second, and a KiB, in the units of the table. */
#define SECOND ((int64_t)1000)
#define KIB ((int64_t)1024)

#define NAME_MAX_BYTES 64
#define PLACE_MAX_BYTES 256

static const char *const type_names[] = {
	[OPTION_TEXT] = "text",
	[OPTION_URL] = "URL",
	[OPTION_INT] = "whole number",
	[OPTION_SIZE] = "size (64, 512k, 20M, 1G)",
	[OPTION_DURATION] = "duration (500ms, 30s, 5m, 1h)",
	[OPTION_OCTAL] = "octal mode",
	[OPTION_BOOL] = "on or off",
};

static bool is_string(const struct option *o)
{
	return o->type == OPTION_TEXT || o->type == OPTION_URL;
}

static bool is_secret(const struct option *o)
{
	return (o->flags & OPTION_SECRET) != 0;
}

static bool has_file_form(const struct option *o)
{
	return is_secret(o) || o->supabase != NULL;
}

static char **string_at(const struct config *c, const struct option *o)
{
	return (char **)((char *)c + o->offset);
}

static int64_t *number_at(const struct config *c, const struct option *o)
{
	return (int64_t *)((char *)c + o->offset);
}

static bool *bool_at(const struct config *c, const struct option *o)
{
	return (bool *)((char *)c + o->offset);
}

/* ---- Values as they were given, before they are read. ---- */

struct given {
	char *text; /* NULL: not given */
	bool from_file;
	char place[PLACE_MAX_BYTES]; /* where, for messages */
};

static void wipe_string(char *s)
{
	if (s == NULL)
		return;
	sodium_memzero(s, strlen(s));
	free(s);
}

static void given_free(struct given *g)
{
	for (size_t i = 0; i < config_option_count; i++)
		wipe_string(g[i].text);
}

/*
 * Finds the option of a name such as max_files or jwt_secret_file. Places are found by exact spelling only: a name that
 * is nearly right is a mistake to report.
 */
static const struct option *find(const char *name, bool *from_file)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < config_option_count; i++) {
		size_t own = strlen(config_options[i].name);

		if (strncmp(name, config_options[i].name, own) != 0)
			continue;
		*from_file = len != own;
		if (len == own || (has_file_form(&config_options[i]) && text_eq(name + own, FILE_SUFFIX)))
			return &config_options[i];
	}
	return NULL;
}

static bool give(struct given *layer, const struct option *o, bool from_file, const char *text, const char *place,
		 struct err *e)
{
	struct given *g = &layer[o - config_options];

	if (g->text != NULL) {
		if (g->from_file == from_file) {
			(void)err_set(e, ERR_CONFIG, NULL, "Option %s is given twice: %s and %s", o->name, g->place,
				      place);
			return err_hint(e, "Keep one of them.");
		}
		(void)err_set(e, ERR_CONFIG, NULL, "Option %s is given as a value and as a file: %s and %s", o->name,
			      g->place, place);
		return err_hint(e, "Keep %s or %s" FILE_SUFFIX ", not both.", o->name, o->name);
	}
	g->text = strdup(text);
	if (g->text == NULL)
		return err_no_memory(e);
	g->from_file = from_file;
	(void)snprintf(g->place, sizeof g->place, "%s", place);
	text_cut_utf8(g->place);
	return true;
}

/* Moves what a later layer gives over what the earlier ones gave. */
static void override(struct given *into, struct given *layer)
{
	for (size_t i = 0; i < config_option_count; i++) {
		if (layer[i].text == NULL)
			continue;
		wipe_string(into[i].text);
		into[i] = layer[i];
		layer[i].text = NULL;
	}
}

/* ---- Files. ---- */

static bool read_whole(const char *path, size_t max, struct buf *out, struct stat *st, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = false;
	char chunk[4096];
	ssize_t n;

	out->max = max;
	if (fd < 0 || fstat(fd, st) != 0) {
		(void)err_set(e, ERR_CONFIG, NULL, "%s cannot be read: %s", path, strerror(errno));
		(void)err_hint(e, "Check the path, and that this user may read it.");
		goto out;
	}
	while ((n = read(fd, chunk, sizeof chunk)) > 0)
		buf_put(out, chunk, (size_t)n);
	if (n < 0) {
		(void)err_set(e, ERR_CONFIG, NULL, "%s cannot be read: %s", path, strerror(errno));
		(void)err_hint(e, "Give the path of a plain file.");
	} else if (out->failed) {
		(void)err_set(e, ERR_CONFIG, NULL, "%s is larger than %zu bytes", path, max);
		(void)err_hint(e, "Check that this is the right file.");
	} else if (out->len > 0 && !text_utf8_valid(out->data, out->len)) {
		(void)err_set(e, ERR_CONFIG, NULL, "%s is not UTF-8 text", path);
		(void)err_hint(e, "Check that this is the right file.");
	} else if (out->len > 0 && memchr(out->data, '\0', out->len) != NULL) {
		(void)err_set(e, ERR_CONFIG, NULL, "%s has a zero byte in it", path);
		(void)err_hint(e, "Check that this is the right file.");
	} else {
		ok = true;
	}
out:
	sodium_memzero(chunk, sizeof chunk);
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

/* Cuts white space off both ends, in place. */
static char *trim(char *s)
{
	size_t len;

	s += strspn(s, " \t\r");
	len = strlen(s);
	while (len > 0 && strchr(" \t\r", s[len - 1]) != NULL)
		len--;
	s[len] = '\0';
	return s;
}

static bool read_line(struct given *layer, char *line, const char *place, bool *has_secret, struct err *e)
{
	const struct option *o;
	bool from_file;
	char *name = trim(line);
	char *equals;
	char *value;
	size_t len;

	if (*name == '\0' || *name == '#')
		return true;
	equals = strchr(name, '=');
	if (equals == NULL) {
		/* The line may be a secret that slipped: it stands in no message. */
		(void)err_set(e, ERR_CONFIG, NULL, "%s: the line is not of the form name = value", place);
		return err_hint(e, "Begin comments with #, and write each option on one line.");
	}
	*equals = '\0';
	value = trim(equals + 1);
	name = trim(name);
	o = find(name, &from_file);
	if (o == NULL) {
		(void)err_set(e, ERR_CONFIG, NULL, "%s: there is no option %.*s", place, NAME_MAX_BYTES, name);
		return err_hint(e, "functions-admin --help lists the options.");
	}
	len = strlen(value);
	if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
		(void)err_set(e, ERR_CONFIG, NULL, "%s: the value of option %s stands in quotes", place, o->name);
		return err_hint(e, "Leave the quotes out; a value is everything behind the equals sign.");
	}
	if (is_secret(o) && !from_file && len > 0)
		*has_secret = true;
	return give(layer, o, from_file, value, place, e);
}

/* `required`: somebody named the file, so that it must exist. */
static bool read_config_file(struct given *layer, const char *path, bool required, struct err *e)
{
	struct buf text = BUF_INIT(CONFIG_FILE_MAX);
	struct stat st;
	bool has_secret = false;
	bool ok = false;
	unsigned number = 0;
	char *line;

	if (!required && access(path, F_OK) != 0 && errno == ENOENT)
		return true;
	if (!read_whole(path, CONFIG_FILE_MAX, &text, &st, e)) {
		(void)err_prefix(e, "Configuration file");
		goto out;
	}
	for (line = text.data; line != NULL;) {
		char *end = strchr(line, '\n');
		char place[PLACE_MAX_BYTES];

		if (end != NULL)
			*end++ = '\0';
		(void)snprintf(place, sizeof place, "%.*s:%u", PLACE_MAX_BYTES - 16, path, ++number);
		if (!read_line(layer, line, place, &has_secret, e))
			goto out;
		line = end;
	}
	if (has_secret && (st.st_mode & S_IROTH) != 0)
		log_warn("The configuration file %s holds secrets and every user may read it. HINT: chmod 640 %s", path,
			 path);
	ok = true;
out:
	buf_wipe(&text);
	buf_free(&text);
	return ok;
}

/* ---- The environment. ---- */

static bool read_variable(struct given *layer, const struct option *o, const char *name, bool from_file, struct err *e)
{
	const char *value = getenv(name);
	char place[PLACE_MAX_BYTES];

	/* Compose files pass names on that have no value; that is no choice of anybody's. */
	if (value == NULL || *value == '\0')
		return true;
	(void)snprintf(place, sizeof place, "environment variable %s", name);
	return give(layer, o, from_file, value, place, e);
}

static bool read_variable_pair(struct given *layer, const struct option *o, const char *name, struct err *e)
{
	char file_name[2 * NAME_MAX_BYTES];

	if (!read_variable(layer, o, name, false, e))
		return false;
	(void)snprintf(file_name, sizeof file_name, "%s_FILE", name);
	return !has_file_form(o) || read_variable(layer, o, file_name, true, e);
}

/*
 * Unknown FUNCTIONS_ADMIN_ variables are left alone, unlike unknown names in the file: Kubernetes sets some for each
 * service (FUNCTIONS_ADMIN_SERVICE_HOST, ...).
 */
static bool read_environment(struct given *layer, struct err *e)
{
	for (size_t i = 0; i < config_option_count; i++) {
		const struct option *o = &config_options[i];
		char name[NAME_MAX_BYTES];

		(void)snprintf(name, sizeof name, ENV_PREFIX "%s", o->name);
		for (char *c = name; *c != '\0'; c++)
			if (*c >= 'a' && *c <= 'z')
				*c = (char)(*c - 'a' + 'A');
		if (!read_variable_pair(layer, o, name, e))
			return false;
		/* Our own name wins, so that one .env can serve both. */
		if (layer[i].text == NULL && o->supabase != NULL && !read_variable_pair(layer, o, o->supabase, e))
			return false;
	}
	return true;
}

/* ---- The command line. ---- */

/* True when the word is one of the command's own flags; *takes_next when its value is the next word. */
static bool is_own(const char *const *own, const char *word, bool *takes_next)
{
	*takes_next = false;
	for (; own != NULL && *own != NULL; own++) {
		size_t len = strlen(*own);

		if (!text_ends(*own, "=")) {
			if (text_eq(word, *own))
				return true;
			continue;
		}
		if (strncmp(word, *own, len) == 0)
			return true;
		if (strncmp(word, *own, len - 1) == 0 && word[len - 1] == '\0') {
			*takes_next = true;
			return true;
		}
	}
	return false;
}

/* "--max-files=3" becomes "max_files"; false when the word is no flag of that form. */
static bool option_name(const char *word, char out[NAME_MAX_BYTES])
{
	size_t len = strcspn(word, "=");
	size_t n = 0;

	if (!text_starts(word, "--") || len <= 2 || len - 2 >= NAME_MAX_BYTES)
		return false;
	for (size_t i = 2; i < len; i++) {
		if (word[i] == '_')
			return false;
		out[n++] = word[i] == '-' ? '_' : word[i];
	}
	out[n] = '\0';
	return true;
}

/* How much of the word to repeat in a message: what stands behind the equals sign may be a secret. */
static int flag_length(const char *word)
{
	size_t len = strcspn(word, "=");

	return len < 80 ? (int)len : 80;
}

static bool read_flags(struct given *layer, int *argc, char **argv, const char *const *own, const char **config_path,
		       struct err *e)
{
	int kept = *argc > 0 ? 1 : 0;

	for (int i = kept; i < *argc; i++) {
		const char *word = argv[i];
		const struct option *o = NULL;
		const char *value;
		char name[NAME_MAX_BYTES];
		char place[PLACE_MAX_BYTES];
		bool from_file = false;
		bool takes_next;
		bool is_config;

		if (word[0] != '-' || word[1] == '\0') {
			argv[kept++] = argv[i];
			continue;
		}
		if (is_own(own, word, &takes_next)) {
			argv[kept++] = argv[i];
			if (takes_next) {
				if (i + 1 == *argc) {
					(void)err_set(e, ERR_USAGE, NULL, "The flag %s needs a value", word);
					return err_hint(e, "Write %s VALUE.", word);
				}
				argv[kept++] = argv[++i];
			}
			continue;
		}
		is_config = text_eq(word, "--config") || text_starts(word, "--config=");
		if (!is_config && option_name(word, name))
			o = find(name, &from_file);
		if (!is_config && o == NULL) {
			(void)err_set(e, ERR_USAGE, NULL, "There is no flag %.*s", flag_length(word), word);
			return err_hint(e, "functions-admin --help lists the flags.");
		}
		(void)snprintf(place, sizeof place, "flag %.*s", flag_length(word), word);
		if (o != NULL && is_secret(o) && !from_file) {
			(void)err_set(e, ERR_USAGE, NULL,
				      "Option %s is a secret and is not taken from the command line, where every user "
				      "of this host can read it",
				      o->name);
			return err_hint(e, "Write it to a file and give %s-file PATH.", place + strlen("flag "));
		}
		value = strchr(word, '=');
		if (value != NULL) {
			value++;
		} else if (i + 1 < *argc) {
			value = argv[++i];
		} else {
			(void)err_set(e, ERR_USAGE, NULL, "The flag %s needs a value", word);
			return err_hint(e, "Write %s VALUE.", word);
		}
		if (is_config)
			*config_path = value;
		else if (!give(layer, o, from_file, value, place, e))
			return false;
	}
	*argc = kept;
	argv[kept] = NULL;
	return true;
}

/* ---- Reading the values. ---- */

/* The error of a wrong value. Secrets, and what could disturb a terminal, are not repeated. */
static bool refuse(const struct option *o, const struct given *g, const char *text, const char *problem,
		   const char *hint, struct err *e)
{
	bool show = !is_secret(o) && strlen(text) <= 100;

	for (const char *c = text; *c != '\0'; c++)
		if ((uint8_t)*c < 0x20 || *c == 0x7F)
			show = false;
	if (show)
		(void)err_set(e, ERR_CONFIG, NULL, "Option %s (%s): \"%s\" %s", o->name, g->place, text, problem);
	else
		(void)err_set(e, ERR_CONFIG, NULL, "Option %s (%s): the value %s", o->name, g->place, problem);
	return err_hint(e, "%s", hint);
}

static bool parse_duration(const char *s, int64_t *out)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	size_t digits = strspn(s, "0123456789");
	char number[16];
	int64_t value;

	if (digits == 0 || digits >= sizeof number)
		return false;
	memcpy(number, s, digits);
	number[digits] = '\0';
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (text_eq(s + digits, units[i].unit)) {
			if (!text_int64(number, 0, INT64_MAX / units[i].ms, &value))
				return false;
			*out = value * units[i].ms;
			return true;
		}
	}
	return false;
}

static bool parse_octal(const char *s, int64_t *out)
{
	size_t len = strlen(s);

	if (len == 0 || len > 5 || s[strspn(s, "01234567")] != '\0')
		return false;
	*out = strtol(s, NULL, 8);
	return true;
}

static bool parse_bool(const char *s, bool *out)
{
	static const char *const words[2][4] = {{"off", "false", "no", "0"}, {"on", "true", "yes", "1"}};

	for (int truth = 0; truth < 2; truth++) {
		for (int i = 0; i < 4; i++) {
			if (text_eq(s, words[truth][i])) {
				*out = truth == 1;
				return true;
			}
		}
	}
	return false;
}

/* A number as an operator would write it in the file. */
static void format_number(enum option_type type, int64_t value, char out[32])
{
	static const struct {
		enum option_type type;
		int64_t factor;
		const char *unit;
	} units[] = {{OPTION_SIZE, KIB * KIB * KIB, "G"},
		     {OPTION_SIZE, KIB * KIB, "M"},
		     {OPTION_SIZE, KIB, "k"},
		     {OPTION_DURATION, 3600 * SECOND, "h"},
		     {OPTION_DURATION, 60 * SECOND, "m"},
		     {OPTION_DURATION, SECOND, "s"},
		     {OPTION_DURATION, 1, "ms"}};

	if (type == OPTION_OCTAL) {
		(void)snprintf(out, 32, "%04" PRIo64, (uint64_t)value);
		return;
	}
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (units[i].type == type && value != 0 && value % units[i].factor == 0) {
			(void)snprintf(out, 32, "%" PRId64 "%s", value / units[i].factor, units[i].unit);
			return;
		}
	}
	(void)snprintf(out, 32, "%" PRId64, value);
}

static bool set_number(struct config *c, const struct option *o, const struct given *g, const char *text, struct err *e)
{
	char problem[128];
	char low[32];
	char high[32];
	int64_t value = 0;
	bool ok;

	switch (o->type) {
	case OPTION_SIZE:
		ok = text_size(text, &value);
		break;
	case OPTION_DURATION:
		ok = parse_duration(text, &value);
		break;
	case OPTION_OCTAL:
		ok = parse_octal(text, &value);
		break;
	default:
		ok = text_int64(text, INT64_MIN, INT64_MAX, &value);
		break;
	}
	if (ok && value >= o->min && value <= o->max) {
		*number_at(c, o) = value;
		return true;
	}
	format_number(o->type, o->min, low);
	format_number(o->type, o->max, high);
	if (ok)
		(void)snprintf(problem, sizeof problem, "is not between %s and %s", low, high);
	else
		(void)snprintf(problem, sizeof problem, "is no %s", type_names[o->type]);
	(void)refuse(o, g, text, problem, "", e);
	return o->fallback != NULL
		       ? err_hint(e, "Write a value between %s and %s; the default is %s.", low, high, o->fallback)
		       : err_hint(e, "Write a value between %s and %s.", low, high);
}

static bool set_string(struct config *c, const struct option *o, const struct given *g, char *text, struct err *e)
{
	const char *problem = NULL;
	size_t len = strlen(text);

	if (len == 0)
		return true;
	/* A JWKS may be laid out over lines; nothing else has a line break in it. */
	for (const char *s = text; *s != '\0' && problem == NULL; s++)
		if (((uint8_t)*s < 0x20 || *s == 0x7F) && !(option_may_have_lines(o) && strchr("\n\r\t", *s) != NULL))
			problem = "has a control character in it";
	if (problem == NULL && o->check != NULL)
		problem = o->check(text);
	if (problem != NULL)
		return refuse(o, g, text, problem, o->hint != NULL ? o->hint : "Write it on one line.", e);
	/* Paths are put behind URLs, with a slash of their own. */
	while (o->type == OPTION_URL && text[len - 1] == '/')
		text[--len] = '\0';
	*string_at(c, o) = strdup(text);
	return *string_at(c, o) != NULL || err_no_memory(e);
}

static bool set_value(struct config *c, const struct option *o, const struct given *g, char *text, struct err *e)
{
	if (!text_utf8_valid(text, strlen(text)))
		return refuse(o, g, "", "is not UTF-8 text", "Save it as UTF-8.", e);
	if (is_string(o))
		return set_string(c, o, g, text, e);
	if (o->type != OPTION_BOOL)
		return set_number(c, o, g, text, e);
	return parse_bool(text, bool_at(c, o)) || refuse(o, g, text, "is not on or off", "Write on or off.", e);
}

static bool set_from_file(struct config *c, const struct option *o, const struct given *g, struct err *e)
{
	struct buf content = BUF_INIT(VALUE_FILE_MAX);
	struct stat st;
	bool ok = false;

	if (!read_whole(g->text, VALUE_FILE_MAX, &content, &st, e)) {
		(void)err_prefix(e, "Option %s (%s)", o->name, g->place);
		goto out;
	}
	if (content.len > 0 && content.data[content.len - 1] == '\n') {
		content.data[--content.len] = '\0';
		if (content.len > 0 && content.data[content.len - 1] == '\r')
			content.data[--content.len] = '\0';
	}
	if (content.len == 0) {
		(void)err_set(e, ERR_CONFIG, NULL, "Option %s (%s): the file %s is empty", o->name, g->place, g->text);
		(void)err_hint(e, "Write the value into the file, or leave the option out.");
		goto out;
	}
	ok = set_value(c, o, g, content.data, e);
out:
	buf_wipe(&content);
	buf_free(&content);
	return ok;
}

static bool set_all(struct config *c, const struct given *given, struct err *e)
{
	for (size_t i = 0; i < config_option_count; i++) {
		const struct given *g = &given[i];

		if (g->text == NULL)
			continue;
		if (!(g->from_file ? set_from_file(c, &config_options[i], g, e)
				   : set_value(c, &config_options[i], g, g->text, e)))
			return false;
	}
	return true;
}

bool config_load(struct config **out, int *argc, char **argv, const char *const *own, struct err *e)
{
	struct given *all = calloc(config_option_count, sizeof *all);
	struct given *layer = calloc(config_option_count, sizeof *layer);
	struct given *flags = calloc(config_option_count, sizeof *flags);
	struct config *c = calloc(1, sizeof *c);
	const char *path = NULL;
	bool ok = false;

	*out = NULL;
	if (all == NULL || layer == NULL || flags == NULL || c == NULL) {
		(void)err_no_memory(e);
		goto out;
	}
	/* The command line is read first, since it may name the file. */
	if (!read_flags(flags, argc, argv, own, &path, e))
		goto out;
	for (size_t i = 0; i < config_option_count; i++)
		if (config_options[i].fallback != NULL &&
		    !give(all, &config_options[i], false, config_options[i].fallback, "the default", e))
			goto out;
	if (path == NULL)
		path = getenv("FUNCTIONS_ADMIN_CONFIG");
	if (path != NULL && *path == '\0')
		path = NULL;
	if (!read_config_file(layer, path != NULL ? path : DEFAULT_PATH, path != NULL, e))
		goto out;
	override(all, layer);
	if (!read_environment(layer, e))
		goto out;
	override(all, layer);
	override(all, flags);
	if (!set_all(c, all, e))
		goto out;
	*out = c;
	c = NULL;
	ok = true;
out:
	config_free(c);
	if (all != NULL)
		given_free(all);
	if (layer != NULL)
		given_free(layer);
	if (flags != NULL)
		given_free(flags);
	free(all);
	free(layer);
	free(flags);
	return ok;
}

/* What everything that runs for long needs. */
static bool check_common(const struct config *c, struct err *e)
{
	if (c->project_ref == NULL) {
		(void)err_set(e, ERR_CONFIG, NULL, "Option project_ref is not set");
		return err_hint(e,
				"Choose 20 lower-case letters, once for all: tr -dc a-z < /dev/urandom | head -c 20");
	}
	/* Over a unix socket, PostgreSQL may know the caller without a password. */
	if (c->database_url == NULL && c->postgres_password == NULL &&
	    (c->postgres_host == NULL || c->postgres_host[0] != '/')) {
		(void)err_set(e, ERR_CONFIG, NULL, "Option postgres_password is not set, nor is database_url");
		return err_hint(e, "Pass POSTGRES_PASSWORD of Supabase's .env on, or set database_url_file.");
	}
	if (c->master_key == NULL) {
		(void)err_set(e, ERR_CONFIG, NULL, "Option master_key is not set");
		return err_hint(e, "Make one with: openssl rand -hex 32. Keep a copy of it.");
	}
	return true;
}

bool config_check_serve(const struct config *c, struct err *e)
{
	if (!check_common(c, e))
		return false;
	if (c->jwt_secret == NULL && c->jwks == NULL && c->jwks_url == NULL) {
		(void)err_set(e, ERR_CONFIG, NULL, "Option jwt_secret is not set, nor is jwks");
		return err_hint(e, "Pass JWT_SECRET of Supabase's .env on.");
	}
	return true;
}

bool config_check_agent(const struct config *c, struct err *e)
{
	if (!check_common(c, e))
		return false;
	if (c->functions_dir == NULL) {
		(void)err_set(e, ERR_CONFIG, NULL, "Option functions_dir is not set");
		return err_hint(e, "It is the folder that the edge runtime of this host reads, volumes/functions.");
	}
	return true;
}

void config_print_help(FILE *out)
{
	for (size_t i = 0; i < config_option_count; i++) {
		const struct option *o = &config_options[i];

		(void)fprintf(out, "%s = %s  %s\n", o->name, o->fallback != NULL ? o->fallback : "(not set)", o->help);
	}
}

void config_print(const struct config *c, FILE *out)
{
	for (size_t i = 0; i < config_option_count; i++) {
		const struct option *o = &config_options[i];
		char number[32];
		const char *value = number;

		if (is_string(o)) {
			value = *string_at(c, o);
			if (value == NULL)
				value = "(not set)";
			else if (is_secret(o))
				value = "(set)";
		} else if (o->type == OPTION_BOOL) {
			value = *bool_at(c, o) ? "on" : "off";
		} else {
			format_number(o->type, *number_at(c, o), number);
		}
		(void)fprintf(out, "%s = %s\n", o->name, value);
	}
}

bool config_info_at(size_t index, struct config_info *out)
{
	const struct option *o;

	if (index >= config_option_count)
		return false;
	o = &config_options[index];
	*out = (struct config_info){
		.name = o->name,
		.type = type_names[o->type],
		.fallback = o->fallback,
		.supabase = o->supabase,
		.help = o->help,
		.secret = is_secret(o),
		.has_file_form = has_file_form(o),
	};
	return true;
}

void config_free(struct config *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < config_option_count; i++)
		if (is_string(&config_options[i]))
			wipe_string(*string_at(c, &config_options[i]));
	free(c);
}
