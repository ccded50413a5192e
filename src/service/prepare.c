#include "service/prepare.h"

#include "core/crash.h"
#include "core/log.h"
#include "fs/folder.h"
#include "fs/manifest.h"
#include "service/apply.h"
#include "service/probe.h"
#include "service/settings.h"
#include "service/state.h"
#include "store/project.h"
#include "store/version.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static bool boot(struct service *s, struct arena *a, const struct project *project, const struct function *f,
		 struct activation *item, struct err *e)
{
	const struct manifest_version *v = state_manifest_version(a, f, 100, project->settings);
	json_t *json = v != NULL ? manifest_version_json(v) : NULL;
	bool ok;

	if (json == NULL)
		return err_no_memory(e);
	ok = probe_boot(s->probe, f->slug, json, &item->boot_check, &item->boot_ms, e);
	json_decref(json);
	item->booted_at = service_now();
	return ok;
}

/* The version and every other one of the split is on disk, and boots. */
static bool prepare(struct service *s, struct arena *a, const struct rollout_item *ri, struct activation *item,
		    struct err *e)
{
	struct function each[MAX_SHARES + 1] = {ri->function};
	struct project project = {0};
	struct pg_conn *c = NULL;
	size_t count = 1;
	bool pinned = false;
	bool ok;

	if (!service_shows(s)) {
		item->staged_at = service_now();
		return true;
	}
	ok = (ri->adopts || folder_check_slug(s->folder, ri->function.slug, e)) && pg_acquire(s->pool, &c, e) &&
	     (s->probe == NULL || project_find(c, a, s->cfg->project_ref, &project, e));

	for (size_t i = 0; ok && i < ri->shares.count; i++) {
		if (ri->shares.items[i].version == ri->function.version.number)
			continue;
		each[count] = ri->function;
		ok = version_find(c, a, ri->function.id, ri->shares.items[i].version, &each[count].version, e);
		count++;
	}
	for (size_t i = 0; ok && i < count; i++) {
		pinned = pinned || settings_pin(each[i].version.settings) != 0;
		ok = apply_ensure_release(s, c, a, &each[i], e);
	}
	/* Given back before the runtime is asked, which may take its time. */
	pg_release(c);
	item->staged_at = service_now();
	FA_CRASH_POINT("prepare.staged");
	/* A version that is pinned to a revision of the secrets boots with them. */
	ok = ok && (!pinned || apply_secrets(s, e));
	for (size_t i = 0; ok && s->probe != NULL && i < count; i++)
		if (i > 0 || !ri->skip_boot)
			ok = boot(s, a, &project, &each[i], item, e);
	FA_CRASH_POINT("prepare.booted");
	return ok;
}

/* Several functions are prepared side by side: what takes its time is the runtime booting them. */
#define PREPARERS 4

struct preparation {
	struct service *service;
	const struct actor *who;
	const struct rollout_item *from;
	size_t count;
	struct activation *items;
	struct err *errors; /* one for each item */
	bool *done;
	_Atomic size_t next;
};

static void *prepare_some(void *ctx)
{
	struct preparation *p = ctx;
	size_t i;

	log_context(p->who->request_id, p->who->name);
	while ((i = atomic_fetch_add(&p->next, 1)) < p->count) {
		const struct rollout_item *ri = &p->from[i];
		/* Of its own: arenas belong to one thread, and nothing in this one outlives the item. */
		struct arena *a = ri->function.version.number != 0 ? arena_new(0) : NULL;

		if (ri->function.version.number == 0)
			p->done[i] = true;
		else if (a == NULL)
			(void)err_no_memory(&p->errors[i]);
		else
			p->done[i] = prepare(p->service, a, ri, &p->items[i], &p->errors[i]);
		arena_free(a);
	}
	log_context(NULL, NULL);
	return NULL;
}

/* The first failure's kind, code and hint; the message names every function that failed, as far as it has room. */
static bool gather_failures(const struct rollout_item *from, size_t count, const struct err *errors, const bool *done,
			    struct err *e)
{
	size_t failed = 0;

	for (size_t i = 0; i < count; i++) {
		if (done[i])
			continue;
		if (failed++ == 0)
			*e = errors[i];
	}
	if (failed == 0)
		return true;
	if (count == 1)
		return false;
	e->message[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(e->message);

		if (!done[i])
			(void)snprintf(e->message + len, sizeof e->message - len, "%s%s: %s", len > 0 ? "; " : "",
				       from[i].function.slug, errors[i].message);
	}
	return false;
}

void prepare_each(struct service *s, const struct actor *who, const struct rollout_item *from, size_t count,
		  struct activation *items, struct err *errors, bool *done)
{
	struct preparation p = {
		.service = s,
		.who = who,
		.from = from,
		.count = count,
		.items = items,
		.errors = errors,
		.done = done,
	};
	pthread_t helpers[PREPARERS - 1];
	size_t started = 0;

	if (s->probe != NULL)
		while (started < PREPARERS - 1 && started + 1 < count &&
		       pthread_create(&helpers[started], NULL, prepare_some, &p) == 0)
			started++;
	/* This thread does its part; where no other could be started, all of it. */
	(void)prepare_some(&p);
	log_context(who->request_id, who->name);
	while (started > 0)
		(void)pthread_join(helpers[--started], NULL);
}

/* What was uploaded by itself before waits unsynced: all of it gets to the disk, and its name, together. */
static bool take_waiting(struct service *s, struct arena *a, const struct rollout_item *from, size_t count,
			 struct err *e)
{
	struct folder_batch *batch;
	bool ok;

	if (!folder_batch_new(&batch, s->folder, e))
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct version *v = &from[i].function.version;
		char *release = v->number != 0 ? folder_release_name(a, v->number, v->digest) : NULL;

		if (release != NULL)
			(void)folder_batch_take(batch, from[i].function.slug, release);
	}
	ok = folder_batch_publish(batch, e);
	folder_batch_free(batch);
	return ok;
}

bool prepare_all(struct service *s, struct arena *a, const struct actor *who, const struct rollout_item *from,
		 size_t count, struct activation *items, struct err *e)
{
	struct err *errors = arena_array(a, count, sizeof *errors);
	bool *done = arena_array(a, count, sizeof *done);

	if (errors == NULL || done == NULL)
		return err_no_memory(e);
	if (service_shows(s) && !take_waiting(s, a, from, count, e))
		return false;
	prepare_each(s, who, from, count, items, errors, done);
	return gather_failures(from, count, errors, done, e);
}
