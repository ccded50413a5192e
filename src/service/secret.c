#include "service/secret.h"

#include "core/crash.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/text.h"
#include "service/apply.h"
#include "service/fleet.h"
#include "service/keyring.h"
#include "service/probe.h"
#include "store/audit.h"
#include "store/function.h"
#include "store/node.h"
#include "store/project.h"
#include "store/secret.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRETS_FILE "secrets.json"
#define SECRETS_MODE 0600
#define MAX_FILE ((size_t)512 * 1024 * 1024)
#define MAX_HISTORY 1000
#define ROTATE_ROWS 50

/* What the file shows. */
struct secret_file {
	int64_t revision;
	size_t pin_count;
	int64_t *pins;
};

void secret_file_free(struct secret_file *f)
{
	if (f == NULL)
		return;
	free(f->pins);
	free(f);
}

/* Sealing */

/* What a sealed value belongs to; moved to another row it does not open. */
static const char *context_of(struct arena *a, const char *project_ref, const char *function_id, const char *name)
{
	return arena_printf(a, "secret:%s:%s:%s", project_ref, function_id != NULL ? function_id : "", name);
}

static bool open_secret(const struct keyring *k, struct arena *a, const struct secret *item, struct buf *out,
			struct err *e)
{
	const char *context = context_of(a, item->project_ref, item->function_id, item->name);

	if (context == NULL)
		return err_no_memory(e);
	return keyring_open(k, context, item->sealed, item->sealed_len, out, e) || err_prefix(e, "%s", item->name);
}

static bool seal_secret(const struct crypto_key *key, struct arena *a, const char *project_ref, const char *function_id,
			const struct secret_value *v, struct secret *out, struct err *e)
{
	const char *context = context_of(a, project_ref, function_id, v->name);
	struct buf sealed = BUF_INIT(SECRET_MAX_VALUE + CRYPTO_SEAL_OVERHEAD);
	char *copy;
	bool ok;

	if (context == NULL)
		return err_no_memory(e);
	ok = crypto_seal(key, context, v->value, v->len, &sealed, e);
	copy = ok ? arena_alloc(a, sealed.len) : NULL;
	if (copy != NULL) {
		memcpy(copy, sealed.data, sealed.len);
		*out = (struct secret){.name = v->name, .sealed = copy, .sealed_len = sealed.len};
	} else if (ok) {
		ok = err_no_memory(e);
	}
	buf_free(&sealed);
	return ok;
}

/* Checking */

bool secret_check_name(const char *name, struct err *e)
{
	size_t len = strlen(name);

	if (len == 0 || len > SECRET_MAX_NAME)
		return err_set(e, ERR_INVALID, "invalid_secret_name", "A secret's name must have 1 to %zu bytes",
			       SECRET_MAX_NAME);
	for (const char *c = name; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7F || *c == '=')
			return err_set(e, ERR_INVALID, "invalid_secret_name",
				       "A secret's name must be printable ASCII without spaces and \"=\"");
	if (text_starts(name, "SUPABASE_") || text_starts(name, "FUNCTIONS_ADMIN_")) {
		(void)err_set(e, ERR_INVALID, "reserved_secret_name",
			      "The name %s is reserved: what starts with SUPABASE_ or FUNCTIONS_ADMIN_ is the "
			      "platform's",
			      name);
		return err_hint(e, "Choose another name; functions get the platform's variables by themselves.");
	}
	return true;
}

static int by_name(const void *x, const void *y)
{
	return strcmp(((const struct secret_value *)x)->name, ((const struct secret_value *)y)->name);
}

/* A copy, sorted by name, in which no name stands twice. */
static struct secret_value *check_values(struct arena *a, const struct secret_value *values, size_t count,
					 struct err *e)
{
	struct secret_value *sorted = arena_array(a, count, sizeof *sorted);

	if (sorted == NULL) {
		(void)err_no_memory(e);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		if (!secret_check_name(values[i].name, e))
			return NULL;
		if (values[i].len > SECRET_MAX_VALUE) {
			(void)err_set(e, ERR_INVALID, "secret_too_large", "The value of %s is larger than %zu bytes",
				      values[i].name, SECRET_MAX_VALUE);
			return NULL;
		}
		sorted[i] = values[i];
	}
	if (count > 0)
		qsort(sorted, count, sizeof *sorted, by_name);
	for (size_t i = 1; i < count; i++)
		if (text_eq(sorted[i - 1].name, sorted[i].name)) {
			(void)err_set(e, ERR_INVALID, "duplicate_secret", "The secret %s stands twice in the request",
				      sorted[i].name);
			return NULL;
		}
	return sorted;
}

/* Delivering */

/* As a JSON string; values are text without U+0000. */
static void put_string(struct buf *out, const char *text, size_t len)
{
	size_t plain = 0;

	buf_puts(out, "\"");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_put(out, text + plain, i - plain);
		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c == '\n')
			buf_puts(out, "\\n");
		else
			buf_printf(out, "\\u%04x", c);
		plain = i + 1;
	}
	buf_put(out, text + plain, len - plain);
	buf_puts(out, "\"");
}

/* "project":{…},"functions":{"hello":{…}}; the list has the project's first, then the functions' by slug. */
static bool put_set(const struct keyring *k, const struct secret_list *list, struct buf *out, struct err *e)
{
	struct arena *a = arena_new(0);
	struct buf value = BUF_INIT(SECRET_MAX_VALUE);
	const char *slug = NULL;
	bool first = true;
	bool ok = a != NULL || err_no_memory(e);

	buf_puts(out, "\"project\":{");
	for (size_t i = 0; ok && i < list->count; i++) {
		const struct secret *item = &list->items[i];

		if (item->slug != NULL && (slug == NULL || !text_eq(slug, item->slug))) {
			buf_puts(out, slug == NULL ? "},\"functions\":{" : "},");
			put_string(out, item->slug, strlen(item->slug));
			buf_puts(out, ":{");
			slug = item->slug;
			first = true;
		}
		ok = open_secret(k, a, item, &value, e);
		if (!first)
			buf_puts(out, ",");
		put_string(out, item->name, strlen(item->name));
		buf_puts(out, ":");
		put_string(out, value.data != NULL ? value.data : "", value.len);
		first = false;
		buf_clear(&value);
	}
	buf_puts(out, slug != NULL ? "}}" : "}");
	buf_wipe(&value);
	buf_free(&value);
	arena_free(a);
	return ok;
}

/* One consistent picture: which revisions are needed, and their sets. */
struct picture {
	struct project project;
	int64_t *pins;
	size_t pin_count;
	struct secret_list current;
	struct secret_list *pinned;
};

bool secret_is_delivered(const struct service *s, int64_t revision, const int64_t *pins, size_t pin_count)
{
	const struct secret_file *f = s->secret_file;
	const char *dir = s->cfg->secrets_dir;
	char path[4096];

	if (f == NULL || f->revision != revision || f->pin_count != pin_count ||
	    (pin_count > 0 && memcmp(f->pins, pins, pin_count * sizeof *pins) != 0))
		return false;
	if (dir == NULL)
		return folder_has(s->folder, SECRETS_FILE);
	return snprintf(path, sizeof path, "%s/" SECRETS_FILE, dir) < (int)sizeof path && access(path, F_OK) == 0;
}

static bool read_picture(struct service *s, struct pg_conn *c, struct arena *a, struct picture *p, bool *shown,
			 struct err *e)
{
	const char *ref = s->cfg->project_ref;
	struct pg_result *project;
	struct pg_result *pins;
	bool ok = pg_begin_snapshot(c, e) && project_ask(c, a, ref, &project, e) &&
		  secret_ask_pins(c, a, ref, &pins, e) && pg_flush(c, e) && project_read(project, &p->project, e) &&
		  secret_read_pins(pins, a, &p->pins, &p->pin_count, e);

	*shown = ok && secret_is_delivered(s, p->project.secrets_revision, p->pins, p->pin_count);
	if (ok && !*shown) {
		p->pinned = arena_array(a, p->pin_count, sizeof *p->pinned);
		ok = (p->pinned != NULL || err_no_memory(e)) &&
		     secret_set_at(c, a, ref, p->project.secrets_revision, &p->current, e);
		for (size_t i = 0; ok && i < p->pin_count; i++)
			ok = secret_set_at(c, a, ref, p->pins[i], &p->pinned[i], e);
	}
	if (ok)
		return pg_commit(c, e);
	pg_rollback(c);
	return false;
}

static bool render(const struct keyring *k, const struct picture *p, struct buf *out, struct err *e)
{
	buf_printf(out, "{\"revision\":%lld,", (long long)p->project.secrets_revision);
	if (!put_set(k, &p->current, out, e))
		return false;
	for (size_t i = 0; i < p->pin_count; i++) {
		buf_printf(out, "%s\"%lld\":{", i == 0 ? ",\"pinned\":{" : ",", (long long)p->pins[i]);
		if (!put_set(k, &p->pinned[i], out, e))
			return false;
		buf_puts(out, "}");
	}
	buf_puts(out, p->pin_count > 0 ? "}}" : "}");
	if (!out->failed)
		return true;
	/* A value is small beside the ceiling, so what fails far below it is the memory. */
	if (out->len < MAX_FILE / 2)
		return err_no_memory(e);
	return err_set(e, ERR_TOO_LARGE, "secrets_too_large",
		       "The secrets, with the revisions that versions are pinned to, do not fit in "
		       "%zu bytes",
		       MAX_FILE);
}

static bool remember(struct service *s, const struct picture *p)
{
	struct secret_file *f = calloc(1, sizeof *f);

	if (f == NULL || (f->pins = calloc(p->pin_count + 1, sizeof *f->pins)) == NULL) {
		free(f);
		return false;
	}
	f->revision = p->project.secrets_revision;
	f->pin_count = p->pin_count;
	if (p->pin_count > 0)
		memcpy(f->pins, p->pins, p->pin_count * sizeof *f->pins);
	secret_file_free(s->secret_file);
	s->secret_file = f;
	return true;
}

bool secret_deliver(struct service *s, struct pg_conn *c, struct arena *a, struct err *e)
{
	struct buf text = BUF_INIT(MAX_FILE);
	struct picture p = {0};
	const struct keyring *k;
	bool shown = false;
	bool ok;

	if (!read_picture(s, c, a, &p, &shown, e))
		return false;
	if (shown)
		return true;
	FA_CRASH_POINT("secrets.before_file");
	k = service_keyring(s, e);
	ok = k != NULL && render(k, &p, &text, e) &&
	     (s->cfg->secrets_dir != NULL
		      ? folder_put_outside(s->cfg->secrets_dir, SECRETS_FILE, text.data, text.len, SECRETS_MODE, e)
		      : folder_put(s->folder, SECRETS_FILE, text.data, text.len, SECRETS_MODE, e)) &&
	     (remember(s, &p) || err_no_memory(e));
	FA_CRASH_POINT("secrets.delivered");
	buf_wipe(&text);
	buf_free(&text);
	if (ok)
		log_info("secrets: revision %lld is delivered", (long long)p.project.secrets_revision);
	return ok;
}

/* The file and the runtime, after the database has changed (or may have: a repeated call confirms anew). */
static bool deliver_and_confirm(struct service *s, const char *project_ref, int64_t revision, struct err *e)
{
	bool verified;
	bool ok;

	/* Commands leave it to the service, which looks every few seconds; so does another project's folder. */
	if (s->folder == NULL || !text_eq(project_ref, s->cfg->project_ref))
		return true;
	ok = apply_secrets(s, e) &&
	     (s->probe == NULL || !service_shows(s) || probe_wait_secrets(s->probe, project_ref, revision, e)) &&
	     (fleet_is_alone(s) || fleet_confirm(s, 0, revision, &verified, e));
	if (!ok) {
		struct err why = *e;

		*e = (struct err)ERR_INIT;
		(void)err_set(e, ERR_UNAVAILABLE, "secrets_not_confirmed",
			      "Revision %lld of the secrets is stored, but the runtime may not use it yet: %s",
			      (long long)revision, why.message);
		(void)err_hint(e, "It will as soon as both work again; sending the same request again confirms it.");
	}
	return ok;
}

/* Changing */

/* One change in its transaction. */
struct change {
	struct service *s;
	struct arena *a;
	const struct actor *who;
	const char *project_ref;
	const char *slug;
	const char *function_id;
	struct pg_conn *c;
	struct secret_revision revision; /* the next one */
};

static bool find_function(struct change *ch, struct err *e)
{
	struct function f;

	if (ch->slug == NULL)
		return true;
	if (!function_find_active(ch->c, ch->a, ch->project_ref, ch->slug, &f, e))
		return false;
	ch->function_id = f.id;
	return true;
}

static bool begin_change(struct change *ch, struct err *e)
{
	int64_t current = 0;

	if (!pg_acquire(ch->s->pool, &ch->c, e) || !find_function(ch, e) || !pg_begin(ch->c, e) ||
	    !secret_lock(ch->c, ch->a, ch->project_ref, &current, e))
		return false;
	ch->revision.number = current + 1;
	return true;
}

/* Names are no secrets; values, and their digests, are left out. */
static const char *audit_target(struct arena *a, const char *slug, const char *const *names, size_t count)
{
	char *out = arena_strdup(a, slug != NULL ? slug : "project");

	for (size_t i = 0; out != NULL && i < count && i < 20; i++)
		out = arena_printf(a, "%s%s%s", out, i == 0 ? ": " : ", ", names[i]);
	return out != NULL && count > 20 ? arena_printf(a, "%s and %zu more", out, count - 20) : out;
}

static bool finish_change(struct change *ch, const char *action, const char *const *names, size_t count, struct err *e)
{
	int64_t oldest = ch->revision.number - ch->s->cfg->secrets_kept_revisions;
	const struct audit_entry entry = {
		.project_ref = ch->project_ref,
		.action = action,
		.target = audit_target(ch->a, ch->slug, names, count),
		.outcome = "done",
		.before = arena_printf(ch->a, "revision %lld", (long long)ch->revision.number - 1),
		.after = arena_printf(ch->a, "revision %lld", (long long)ch->revision.number),
	};

	if (entry.target == NULL || entry.before == NULL || entry.after == NULL)
		return err_no_memory(e);
	if (!secret_begin_revision(ch->c, ch->a, ch->project_ref, &ch->revision, ch->who, e) ||
	    (oldest > 0 && !secret_prune(ch->c, ch->a, ch->project_ref, oldest, e)) ||
	    !audit_write(ch->c, ch->a, ch->who, &entry, e) || !node_wake(ch->c, ch->a, ch->project_ref, e) ||
	    !pg_commit(ch->c, e))
		return false;
	FA_CRASH_POINT("secrets.after_commit");
	return true;
}

/* Whether the value in force is this very one. */
static bool is_same(const struct keyring *k, struct arena *a, const struct secret *item, const struct secret_value *v,
		    bool *same, struct err *e)
{
	struct buf value = BUF_INIT(SECRET_MAX_VALUE);
	bool ok = open_secret(k, a, item, &value, e);

	*same = ok && value.len == v->len && (v->len == 0 || sodium_memcmp(value.data, v->value, v->len) == 0);
	buf_wipe(&value);
	buf_free(&value);
	return ok;
}

/* Of the sorted values those that change something; also how many secrets there would be. */
static bool choose_changed(const struct keyring *k, struct change *ch, const struct secret_value *values, size_t count,
			   struct secret_value *changed, size_t *changed_count, struct err *e)
{
	struct secret_list now;
	size_t total;
	size_t j = 0;

	if (!secret_list(ch->c, ch->a, ch->project_ref, ch->function_id, &now, e))
		return false;
	total = now.count;
	*changed_count = 0;
	for (size_t i = 0; i < count; i++) {
		bool same = false;

		while (j < now.count && strcmp(now.items[j].name, values[i].name) < 0)
			j++;
		if (j == now.count || !text_eq(now.items[j].name, values[i].name))
			total++;
		else if (!is_same(k, ch->a, &now.items[j], &values[i], &same, e))
			return false;
		if (!same)
			changed[(*changed_count)++] = values[i];
	}
	if (total > SECRET_MAX_COUNT)
		return err_set(e, ERR_INVALID, "too_many_secrets", "There would be %zu secrets; %d is the most", total,
			       SECRET_MAX_COUNT);
	return true;
}

static bool store_values(struct change *ch, const struct keyring *k, const struct secret_value *values, size_t count,
			 struct err *e)
{
	const char **names = arena_array(ch->a, count, sizeof *names);
	struct secret *sealed = arena_array(ch->a, count, sizeof *sealed);
	int64_t ended = 0;

	if (names == NULL || sealed == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++) {
		names[i] = values[i].name;
		if (!seal_secret(keyring_current(k), ch->a, ch->project_ref, ch->function_id, &values[i], &sealed[i],
				 e))
			return false;
	}
	ch->revision.source = "set";
	ch->revision.changed = (int64_t)count;
	return secret_end(ch->c, ch->a, ch->project_ref, ch->function_id, names, count, ch->revision.number, &ended,
			  e) &&
	       secret_insert(ch->c, ch->a, ch->project_ref, ch->function_id, sealed, count, ch->revision.number, e) &&
	       finish_change(ch, "secrets.set", names, count, e);
}

bool secret_set(struct service *s, struct arena *a, const struct actor *who, const char *project_ref, const char *slug,
		const struct secret_value *values, size_t count, struct err *e)
{
	struct change ch = {.s = s, .a = a, .who = who, .project_ref = project_ref, .slug = slug};
	const struct keyring *k = service_keyring(s, e);
	struct secret_value *sorted = k != NULL ? check_values(a, values, count, e) : NULL;
	struct secret_value *changed = arena_array(a, count, sizeof *changed);
	size_t changed_count = 0;
	bool ok;

	if (sorted == NULL)
		return false;
	if (changed == NULL)
		return err_no_memory(e);
	ok = begin_change(&ch, e) && choose_changed(k, &ch, sorted, count, changed, &changed_count, e) &&
	     (changed_count == 0 || store_values(&ch, k, changed, changed_count, e));
	pg_release(ch.c);
	return ok && deliver_and_confirm(s, project_ref, ch.revision.number - (changed_count == 0), e);
}

bool secret_unset(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
		  const char *slug, const char *const *names, size_t count, struct err *e)
{
	struct change ch = {.s = s, .a = a, .who = who, .project_ref = project_ref, .slug = slug};
	int64_t ended = 0;
	bool ok = begin_change(&ch, e) &&
		  secret_end(ch.c, a, project_ref, ch.function_id, names, count, ch.revision.number, &ended, e);

	ch.revision.source = "unset";
	ch.revision.changed = ended;
	ok = ok && (ended == 0 || finish_change(&ch, "secrets.unset", names, count, e));
	pg_release(ch.c);
	return ok && deliver_and_confirm(s, project_ref, ch.revision.number - (ended == 0), e);
}

static bool no_revision(int64_t revision, struct err *e)
{
	(void)err_set(e, ERR_INVALID, "no_such_revision", "There is no revision %lld of the secrets",
		      (long long)revision);
	return err_hint(e, "GET .../secrets/revisions lists those that are kept.");
}

bool secret_rollback(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
		     int64_t revision, int64_t *now, struct err *e)
{
	struct change ch = {.s = s, .a = a, .who = who, .project_ref = project_ref};
	const char *name = arena_printf(a, "to revision %lld", (long long)revision);
	bool exists = false;
	bool ok = (name != NULL || err_no_memory(e)) && begin_change(&ch, e) &&
		  secret_revision_exists(ch.c, a, project_ref, revision, &exists, e) &&
		  (exists || no_revision(revision, e));

	ch.revision.source = "rollback";
	ch.revision.restored = revision;
	ok = ok && secret_restore(ch.c, a, project_ref, revision, ch.revision.number, &ch.revision.changed, e) &&
	     finish_change(&ch, "secrets.rollback", &name, 1, e);
	pg_release(ch.c);
	*now = ch.revision.number;
	return ok && deliver_and_confirm(s, project_ref, *now, e);
}

/* Reading */

bool secret_digests(struct service *s, struct arena *a, const char *project_ref, const char *slug,
		    struct secret_digest **out, size_t *count, struct err *e)
{
	struct change ch = {.s = s, .a = a, .project_ref = project_ref, .slug = slug};
	struct buf value = BUF_INIT(SECRET_MAX_VALUE);
	const struct keyring *k = service_keyring(s, e);
	struct secret_list list = {0};
	uint8_t sum[SHA256_BYTES];
	bool ok = k != NULL && pg_acquire(s->pool, &ch.c, e) && find_function(&ch, e) &&
		  secret_list(ch.c, a, project_ref, ch.function_id, &list, e);

	pg_release(ch.c);
	*count = list.count;
	*out = arena_array(a, list.count, sizeof **out);
	ok = ok && (*out != NULL || err_no_memory(e));
	for (size_t i = 0; ok && i < list.count; i++) {
		char *hex = arena_alloc(a, SHA256_HEX_SIZE);

		ok = (hex != NULL || err_no_memory(e)) && open_secret(k, a, &list.items[i], &value, e) &&
		     (crypto_sha256(value.data != NULL ? value.data : "", value.len, sum) || err_no_memory(e));
		if (ok)
			text_hex(sum, sizeof sum, hex);
		(*out)[i] = (struct secret_digest){list.items[i].name, hex, list.items[i].updated_at};
		buf_clear(&value);
	}
	buf_wipe(&value);
	buf_free(&value);
	return ok;
}

bool secret_history(struct service *s, struct arena *a, const char *project_ref, struct secret_revision **out,
		    size_t *count, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && secret_revisions(c, a, project_ref, MAX_HISTORY, out, count, e);

	pg_release(c);
	return ok;
}

bool secret_check_pin(struct service *s, struct arena *a, const char *project_ref, int64_t revision, struct err *e)
{
	struct pg_conn *c = NULL;
	bool exists = false;
	bool ok = pg_acquire(s->pool, &c, e) && secret_revision_exists(c, a, project_ref, revision, &exists, e);

	pg_release(c);
	return ok && (exists || no_revision(revision, e));
}

/* Changing the key */

static bool reseal(const struct keyring *k, struct pg_conn *c, struct arena *a, const struct secret *item,
		   const uint8_t key_id[CRYPTO_KEY_ID_BYTES], struct err *e)
{
	struct buf value = BUF_INIT(SECRET_MAX_VALUE);
	struct secret sealed;
	bool ok = open_secret(k, a, item, &value, e);

	if (ok) {
		const struct secret_value v = {item->name, value.data != NULL ? value.data : "", value.len};

		ok = seal_secret(keyring_current(k), a, item->project_ref, item->function_id, &v, &sealed, e) &&
		     secret_reseal(c, a, item->id, sealed.sealed, sealed.sealed_len, key_id, e);
	}
	buf_wipe(&value);
	buf_free(&value);
	return ok;
}

bool secret_rotate(struct service *s, const struct actor *who, int64_t *resealed, struct err *e)
{
	const struct keyring *k = service_keyring(s, e);
	struct arena *a = arena_new(0);
	uint8_t key_id[CRYPTO_KEY_ID_BYTES];
	struct pg_conn *c = NULL;
	struct secret_list list = {0};
	int64_t after = 0;
	bool ok = k != NULL && (a != NULL || err_no_memory(e)) && pg_acquire(s->pool, &c, e);

	*resealed = 0;
	if (ok)
		crypto_key_id(keyring_current(k), key_id);
	while (ok) {
		/* Small transactions: setting and reading go on meanwhile. A rollback puts values back as they were
		 * sealed, so none may be under way while this looks for the last ones. */
		ok = pg_begin(c, e) && secret_lock_all(c, a, e) &&
		     secret_sealed_otherwise(c, a, key_id, after, ROTATE_ROWS, &list, e);
		for (size_t i = 0; ok && i < list.count; i++) {
			ok = reseal(k, c, a, &list.items[i], key_id, e);
			after = list.items[i].id;
		}
		ok = ok && pg_commit(c, e);
		FA_CRASH_POINT("rotate.after_commit");
		*resealed += ok ? (int64_t)list.count : 0;
		if (list.count == 0)
			break;
		arena_reset(a);
	}
	if (ok) {
		char hex[2 * CRYPTO_KEY_ID_BYTES + 1];
		const struct audit_entry entry = {
			.action = "secrets.rotate_key", .target = "all", .outcome = "done", .after = hex};

		text_hex(key_id, sizeof key_id, hex);
		ok = audit_write(c, a, who, &entry, e);
	}
	pg_release(c);
	arena_free(a);
	return ok;
}
