#include "service/fleet.h"

#include "core/clock.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/text.h"
#include "service/node.h"
#include "store/node.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* How long to wait for a notification before the rows are looked at all the same, each time twice as long: leases run
 * out in silence, and only the last of the nodes says that it is done. */
#define FIRST_LOOK_MS 100
#define LOOK_MS 1000
/* Where no notification comes. */
#define BLIND_LOOK_MS 50

/* What s->peers says. Nothing is known where notifications do not come. */
enum { PEERS_UNKNOWN, PEERS_NONE };

struct fleet {
	pthread_mutex_t lock;
	pthread_cond_t heard;
	uint64_t reports; /* guarded by lock, as all below */
	bool listening;
};

bool fleet_new(struct fleet **out, struct err *e)
{
	struct fleet *f = calloc(1, sizeof *f);

	if (f == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_init(&f->lock, NULL);
	clock_cond_init(&f->heard);
	*out = f;
	return true;
}

void fleet_free(struct fleet *f)
{
	if (f == NULL)
		return;
	(void)pthread_cond_destroy(&f->heard);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

static struct fleet *fleet_of(const struct service *s)
{
	return s->base != NULL ? s->base->fleet : s->fleet;
}

/* With the lock: whoever finds nobody there, and writes that down, does it before this or after. */
static void forget(struct service *base)
{
	for (struct service *s = base; s != NULL; s = atomic_load(&s->further))
		atomic_store(&s->peers, PEERS_UNKNOWN);
}

void fleet_heard(struct service *base)
{
	struct fleet *f = base->fleet;

	(void)pthread_mutex_lock(&f->lock);
	f->reports++;
	forget(base);
	(void)pthread_cond_broadcast(&f->heard);
	(void)pthread_mutex_unlock(&f->lock);
}

void fleet_listens(struct service *base, bool on)
{
	struct fleet *f = base->fleet;

	(void)pthread_mutex_lock(&f->lock);
	f->listening = on;
	forget(base);
	(void)pthread_mutex_unlock(&f->lock);
}

static uint64_t reports(struct fleet *f)
{
	uint64_t n;

	(void)pthread_mutex_lock(&f->lock);
	n = f->reports;
	(void)pthread_mutex_unlock(&f->lock);
	return n;
}

/* Nobody was there, and nobody has said anything since `seen`. */
static void nobody_there(struct service *s, uint64_t seen)
{
	struct fleet *f = fleet_of(s);

	(void)pthread_mutex_lock(&f->lock);
	if (f->listening && f->reports == seen)
		atomic_store(&s->peers, PEERS_NONE);
	(void)pthread_mutex_unlock(&f->lock);
}

/* Until a node reports something after `seen`, or it is time to look again. */
static void wait_for_report(struct fleet *f, uint64_t seen, int64_t look_ms, int64_t deadline)
{
	struct timespec until;
	int64_t ms = clock_ms();

	(void)pthread_mutex_lock(&f->lock);
	ms += f->listening ? look_ms : BLIND_LOOK_MS;
	ms = ms < deadline ? ms : deadline;
	until = clock_timespec(ms);
	while (f->reports == seen && pthread_cond_timedwait(&f->heard, &f->lock, &until) == 0)
		;
	(void)pthread_mutex_unlock(&f->lock);
}

/* Waiting */

struct question {
	bool staging;           /* who has staged, else who shows */
	const char *rollout_id; /* NULL: only who is there */
	int64_t generation;
	int64_t secrets_revision;
};

static bool ask(struct service *s, struct arena *a, const struct question *q, struct node_census *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) &&
		  (q->staging ? node_census_staged(c, a, s->cfg->project_ref, node_id(s), q->rollout_id, out, e)
			      : node_census_shown(c, a, s->cfg->project_ref, node_id(s), q->generation,
						  q->secrets_revision, out, e));

	pg_release(c);
	return ok;
}

/* What is wrong there, with the kind that the same error would have here. */
static bool failed_there(const struct node_census *census, struct err *e)
{
	static const struct {
		const char *code;
		enum err_kind kind;
	} kinds[] = {
		{"boot_failed", ERR_INVALID},
		{"no_space", ERR_NO_SPACE},
	};
	enum err_kind kind = ERR_UNAVAILABLE;

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (text_eq(kinds[i].code, census->failed_code))
			kind = kinds[i].kind;
	(void)err_set(e, kind, census->failed_code, "Node %s", census->failed_names);
	return err_hint(e, "functions-admin node shows the nodes. One that is out of order can be drained, and is not "
			   "waited for then.");
}

static bool no_answer(const struct node_census *census, int64_t timeout_ms, struct err *e)
{
	(void)err_set(e, ERR_UNAVAILABLE, "node_timeout", "Not done within %lld s by the nodes: %s",
		      (long long)(timeout_ms / 1000),
		      census->waiting_names != NULL ? census->waiting_names : "none is up");
	return err_hint(e, "functions-admin node shows the nodes. One that is out of order can be drained, and is not "
			   "waited for then.");
}

enum verdict { VERDICT_WAIT, VERDICT_DONE, VERDICT_FAILED };

static enum verdict judge(const struct service *s, const struct node_census *census)
{
	int64_t own = service_shows(s) ? 1 : 0;
	int64_t total = census->live + own;
	int64_t quorum = total / 2 + 1;

	if (text_eq(census->policy, "none"))
		return VERDICT_DONE;
	/* Somebody has to. */
	if (total == 0)
		return VERDICT_WAIT;
	if (!text_eq(census->policy, "quorum"))
		quorum = total;
	if (census->done + own >= quorum)
		return VERDICT_DONE;
	return total - census->failed < quorum ? VERDICT_FAILED : VERDICT_WAIT;
}

/* A database that is away for a moment is as good as nodes that have not come so far. */
static bool look_until_done(struct service *s, struct arena *a, const struct question *q, bool *verified, struct err *e)
{
	struct fleet *f = fleet_of(s);
	int64_t deadline = clock_ms() + s->cfg->node_timeout;
	int64_t look_ms = FIRST_LOOK_MS;

	for (;;) {
		struct node_census census = {0};
		uint64_t seen = reports(f);
		enum verdict verdict = VERDICT_WAIT;

		arena_reset(a);
		*e = (struct err)ERR_INIT;
		if (ask(s, a, q, &census, e))
			verdict = judge(s, &census);
		else if (e->kind != ERR_UNAVAILABLE)
			return false;
		if (verdict == VERDICT_DONE) {
			*verified = census.verified >= census.live && (census.live > 0 || service_shows(s));
			return true;
		}
		if (verdict == VERDICT_FAILED)
			return failed_there(&census, e);
		if (clock_ms() >= deadline)
			return e->kind == ERR_NONE ? no_answer(&census, s->cfg->node_timeout, e) : false;
		wait_for_report(f, seen, look_ms, deadline);
		look_ms = 2 * look_ms < LOOK_MS ? 2 * look_ms : LOOK_MS;
	}
}

static bool await(struct service *s, const struct question *q, bool *verified, struct err *e)
{
	struct arena *a = arena_new(0);
	bool ok = a != NULL ? look_until_done(s, a, q, verified, e) : err_no_memory(e);

	arena_free(a);
	return ok;
}

/* Staging */

/* The versions of a rollout, with those that share its calls. */
static bool make_plan(struct service *s, struct arena *a, const struct rollout *r, struct rollout_plan *plan,
		      struct err *e)
{
	size_t most = r->count * (MAX_SHARES + 1);
	const char **ids = arena_array(a, most, sizeof *ids);
	const char **deployments = arena_array(a, r->count, sizeof *deployments);
	int64_t *versions = arena_array(a, most, sizeof *versions);
	int64_t *boots = arena_array(a, most, sizeof *boots);

	if (ids == NULL || deployments == NULL || versions == NULL || boots == NULL)
		return err_no_memory(e);
	*plan = (struct rollout_plan){.project_ref = s->cfg->project_ref,
				      .instance = service_instance(s),
				      .function_ids = ids,
				      .versions = versions,
				      .boots = boots,
				      .deployment_ids = deployments};
	for (size_t i = 0; i < r->count; i++) {
		const struct rollout_item *item = &r->items[i];

		if (item->deployment_id[0] != '\0')
			deployments[plan->deployment_count++] = item->deployment_id;
		if (item->function.version.number == 0)
			continue;
		ids[plan->count] = item->function.id;
		versions[plan->count] = item->function.version.number;
		boots[plan->count++] = !item->skip_boot;
		for (size_t j = 0; j < item->shares.count; j++) {
			if (item->shares.items[j].version == item->function.version.number)
				continue;
			ids[plan->count] = item->function.id;
			versions[plan->count] = item->shares.items[j].version;
			boots[plan->count++] = 1;
		}
	}
	return true;
}

static bool no_node(struct err *e)
{
	(void)err_set(e, ERR_UNAVAILABLE, "no_node", "No node of the project is up");
	return err_hint(e,
			"Start functions-admin agent on the hosts of the runtimes; functions-admin node lists them.");
}

static bool open_rollout(struct service *s, struct arena *a, const struct rollout *r, struct fleet_rollout *out,
			 struct err *e)
{
	struct rollout_plan plan;
	struct pg_conn *c = NULL;
	bool ok = make_plan(s, a, r, &plan, e);

	/* What only removes functions needs nothing beforehand. */
	if (ok && plan.count == 0)
		return true;
	crypto_uuid(out->id);
	ok = ok && pg_acquire(s->pool, &c, e) && rollout_open(c, a, out->id, &plan, e);
	pg_release(c);
	if (!ok)
		out->id[0] = '\0';
	return ok;
}

bool fleet_is_alone(const struct service *s)
{
	return atomic_load(&s->peers) == PEERS_NONE && service_shows(s);
}

bool fleet_begin(struct service *s, struct arena *a, const struct rollout *r, struct fleet_rollout *out, struct err *e)
{
	const struct question q = {.staging = true};
	struct node_census census;
	uint64_t seen;

	out->id[0] = '\0';
	if (fleet_is_alone(s))
		return true;
	seen = reports(fleet_of(s));
	if (!ask(s, a, &q, &census, e))
		return false;
	if (census.live == 0) {
		nobody_there(s, seen);
		return service_shows(s) || text_eq(census.policy, "none") || no_node(e);
	}
	return open_rollout(s, a, r, out, e);
}

bool fleet_await_staged(struct service *s, const struct fleet_rollout *rollout, struct err *e)
{
	const struct question q = {.staging = true, .rollout_id = rollout->id};
	bool verified;

	return rollout->id[0] == '\0' || await(s, &q, &verified, e);
}

bool fleet_confirm(struct service *s, int64_t generation, int64_t secrets_revision, bool *verified, struct err *e)
{
	const struct question q = {.generation = generation, .secrets_revision = secrets_revision};

	return await(s, &q, verified, e);
}

void fleet_finish(struct service *s, struct arena *a, const struct fleet_rollout *rollout, int64_t generation)
{
	struct err failed = ERR_INIT;
	struct pg_conn *c = NULL;

	if (rollout->id[0] == '\0')
		return;
	if (!pg_acquire(s->pool, &c, &failed) || !rollout_finish(c, a, rollout->id, generation, &failed))
		log_warn("what the nodes did could not be recorded: %s", failed.message);
	pg_release(c);
}

bool fleet_check_policy(const json_t *setting, struct err *e)
{
	const char *policy = json_string_value(setting);

	return policy != NULL && (text_eq(policy, "all") || text_eq(policy, "quorum") || text_eq(policy, "none"))
		       ? true
		       : err_set(e, ERR_INVALID, NULL, "activation_policy must be \"all\", \"quorum\" or \"none\"");
}
