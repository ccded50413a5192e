#include "service/node.h"

#include "core/clock.h"
#include "core/crash.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/text.h"
#include "service/apply.h"
#include "service/bell.h"
#include "service/drift.h"
#include "service/fleet.h"
#include "service/function.h"
#include "service/hold.h"
#include "service/prepare.h"
#include "service/probe.h"
#include "store/node.h"
#include "store/project.h"

#include "config.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define NODE_FILE "node"
#define LISTEN "LISTEN " NODE_WORK_CHANNEL "; LISTEN " NODE_REPORT_CHANNEL
#define LISTEN_FOR_WORK "LISTEN " NODE_WORK_CHANNEL

/* The lease is renewed this often within its time. */
#define BEATS 3
#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 5000
/* How often to look where nothing is notified, and of how many connections one can be spared for that. */
#define BLIND_MS 1000
#define FEW_CONNECTIONS 4
/* How often `serve` looks whether it has something to tell; nobody waits for that. */
#define NEWS_MS 1000
#define HOUR_SWEEPS (3600 / NODE_SWEEP_SECONDS)

/* A rollout of another process, which this host has staged, or could not; its functions are held until it is over. */
struct staged {
	struct staged *next;
	bool open;
	char id[CRYPTO_UUID_SIZE];
	size_t count;
	char *slugs[];
};

struct node_self {
	char id[CRYPTO_UUID_SIZE];
	char name[128];
	int64_t started_at;
	struct staged *staged;   /* of the work alone */
	_Atomic bool registered; /* from the first time on that the folder showed what it must */
	pthread_mutex_t lock;
	/* Guarded by lock: what the work finds, and every beat says. */
	int64_t generation;
	int64_t secrets_revision;
	int64_t failed_generation;
	bool verified;
	struct err failure;
};

struct node_loop {
	struct service *base;
	pthread_t thread;
	int wake_fd; /* readable: it is to stop */
	_Atomic bool stopping;
	bool has_work;      /* notified */
	bool check_ordered; /* somebody wants the files on disk compared */
	uint64_t sweeps;
	int64_t next_beat_ms;
	int64_t next_sweep_ms;
	int64_t pause_ms;
	struct pg_conn *conn; /* that listens; kept where the pool has others */
	/* The work that runs beside the loop. */
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool working; /* guarded by lock */
	bool sweeps_now;
	bool checks_now;
	bool ok;
};

/* Who this is */

static void read_name(const struct config *cfg, char *out, size_t size)
{
	if (cfg->node_name != NULL && cfg->node_name[0] != '\0')
		(void)snprintf(out, size, "%s", cfg->node_name);
	else if (gethostname(out, size) != 0)
		(void)snprintf(out, size, "unnamed");
	out[size - 1] = '\0';
}

bool node_open(struct service *s, struct err *e)
{
	struct node_self *n = calloc(1, sizeof *n);
	struct arena *a = arena_new(0);
	const char *found;
	size_t len;
	bool ok = n != NULL && a != NULL;

	if (!ok) {
		free(n);
		arena_free(a);
		return err_no_memory(e);
	}
	(void)pthread_mutex_init(&n->lock, NULL);
	n->started_at = service_now();
	read_name(s->cfg, n->name, sizeof n->name);
	found = folder_get(s->folder, a, NODE_FILE, CRYPTO_UUID_SIZE - 1, &len);
	if (found != NULL && len == CRYPTO_UUID_SIZE - 1) {
		memcpy(n->id, found, CRYPTO_UUID_SIZE);
	} else {
		crypto_uuid(n->id);
		ok = folder_put(s->folder, NODE_FILE, n->id, strlen(n->id), 0600, e);
	}
	arena_free(a);
	if (ok)
		s->node = n;
	else
		node_free(n);
	return ok;
}

void node_free(struct node_self *n)
{
	if (n == NULL)
		return;
	while (n->staged != NULL) {
		struct staged *next = n->staged->next;

		for (size_t i = 0; i < n->staged->count; i++)
			free(n->staged->slugs[i]);
		free(n->staged);
		n->staged = next;
	}
	(void)pthread_mutex_destroy(&n->lock);
	free(n);
}

const char *node_id(const struct service *s)
{
	return s->node != NULL ? s->node->id : NULL;
}

/* The lease */

/* news: those who wait for the nodes want to know. */
static bool say(struct service *s, bool news, struct node_orders *orders, struct err *e)
{
	struct node_self *n = s->node;
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	struct err failure;
	struct node_report report;
	bool ok = a != NULL || err_no_memory(e);

	/* Acquired first: what is said is what holds then. */
	ok = ok && pg_acquire(s->pool, &c, e);
	(void)pthread_mutex_lock(&n->lock);
	failure = n->failure;
	report = (struct node_report){
		.id = n->id,
		.project_ref = s->cfg->project_ref,
		.name = n->name,
		.kind = s->agent ? "agent" : "serve",
		.program = PACKAGE_VERSION,
		.lease_seconds = (int)(s->cfg->node_lease / 1000),
		.started_at = n->started_at,
		.generation = n->generation,
		.verified = n->verified,
		.secrets_revision = n->secrets_revision,
		.failed_generation = n->failed_generation,
		.failure = failure.kind != ERR_NONE ? &failure : NULL,
	};
	(void)pthread_mutex_unlock(&n->lock);
	ok = ok && node_renew(c, a, &report, news, orders, e);
	pg_release(c);
	arena_free(a);
	return ok;
}

static bool beat(struct node_loop *l)
{
	const int64_t interval = l->base->cfg->node_lease / BEATS;
	struct node_orders orders;
	struct err e = ERR_INIT;
	bool ok = true;

	for (struct service *s = l->base; s != NULL && ok; s = atomic_load(&s->further)) {
		if (s->node == NULL || !s->node->registered)
			continue;
		ok = say(s, false, &orders, &e);
		l->has_work = l->has_work || (ok && orders.catch_up);
		/* Asking again would find it taken back. */
		if (ok && orders.check) {
			l->check_ordered = true;
			l->next_sweep_ms = 0;
		}
	}
	if (!ok)
		log_warn("the database could not be told that this node lives: %s", e.message);
	l->next_beat_ms = clock_ms() + interval;
	return ok;
}

static void leave(struct service *s)
{
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	struct err e = ERR_INIT;

	/* Where this fails, the lease runs out by itself. */
	if (a == NULL || !pg_acquire(s->pool, &c, &e) ||
	    !node_leave(c, a, s->node->id, s->agent && s->cfg->node_ephemeral, &e))
		log_debug("the database could not be told that this node goes: %s", e.message);
	pg_release(c);
	arena_free(a);
}

/* Staging what others roll out */

static struct staged *find_staged(struct node_self *n, const char *id)
{
	struct staged *p = n->staged;

	while (p != NULL && !text_eq(p->id, id))
		p = p->next;
	return p;
}

static void drop_staged(struct service *s, struct staged *p)
{
	for (size_t i = 0; i < p->count; i++) {
		hold_drop(s, p->slugs[i], true);
		free(p->slugs[i]);
	}
	free(p);
}

/* The functions of those that are over may be tidied up. */
static void drop_finished(struct service *s)
{
	struct staged **at = &s->node->staged;

	while (*at != NULL) {
		struct staged *p = *at;

		if (p->open) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		drop_staged(s, p);
	}
}

/* Holds the functions of one rollout, steps[0..count). */
static struct staged *hold_steps(struct service *s, const struct rollout_step *steps, size_t count, struct err *e)
{
	struct staged *p = calloc(1, sizeof *p + count * sizeof p->slugs[0]);

	if (p == NULL) {
		(void)err_no_memory(e);
		return NULL;
	}
	p->open = true;
	(void)snprintf(p->id, sizeof p->id, "%s", steps[0].rollout_id);
	for (size_t i = 0; i < count; i++) {
		char *slug = strdup(steps[i].function.slug);

		if (slug == NULL || !hold_take(s, slug, e)) {
			(void)err_no_memory(e);
			free(slug);
			drop_staged(s, p);
			return NULL;
		}
		p->slugs[p->count++] = slug;
	}
	return p;
}

static bool report_staged(struct service *s, struct arena *a, const char *rollout_id, const struct err *failure,
			  struct err *e)
{
	struct pg_conn *c = NULL;
	const struct rollout_said said = {
		.project_ref = s->cfg->project_ref,
		.rollout_id = rollout_id,
		.node_id = s->node->id,
		.node_name = s->node->name,
		.failure = failure,
	};
	bool ok = pg_acquire(s->pool, &c, e) && rollout_staged(c, a, &said, e);

	pg_release(c);
	return ok;
}

static size_t same_rollout(const struct rollout_steps *steps, size_t from)
{
	size_t to = from;

	while (to < steps->count && text_eq(steps->items[to].rollout_id, steps->items[from].rollout_id))
		to++;
	return to;
}

/* The rollouts that are new here, prepared all at once: what takes its time is the runtime booting them. */
static bool stage_new(struct service *s, struct arena *a, const struct rollout_steps *steps, struct err *e)
{
	struct rollout_item *items = arena_array(a, steps->count, sizeof *items);
	struct activation *ignored = arena_array(a, steps->count, sizeof *ignored);
	struct err *errors = arena_array(a, steps->count, sizeof *errors);
	bool *done = arena_array(a, steps->count, sizeof *done);
	const struct actor who = {.name = s->node->name, .request_id = ""};
	bool ok = true;

	if (items == NULL || ignored == NULL || errors == NULL || done == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < steps->count; i++)
		items[i] = (struct rollout_item){
			.function = steps->items[i].function,
			.skip_boot = !steps->items[i].boots,
			/* Whether a directory may be replaced was decided where the deployment runs. */
			.adopts = true,
		};
	prepare_each(s, &who, items, steps->count, ignored, errors, done);
	FA_CRASH_POINT("node.staged");
	for (size_t i = 0, end; i < steps->count && ok; i = end) {
		const struct err *failure = NULL;

		end = same_rollout(steps, i);
		for (size_t j = i; j < end && failure == NULL; j++)
			failure = done[j] ? NULL : &errors[j];
		if (failure != NULL)
			log_warn("rollout %s cannot be staged here: %s", steps->items[i].rollout_id, failure->message);
		ok = report_staged(s, a, steps->items[i].rollout_id, failure, e);
		/* Not said, it will be found again and staged anew. */
		if (!ok)
			find_staged(s->node, steps->items[i].rollout_id)->open = false;
	}
	FA_CRASH_POINT("node.staging_reported");
	return ok;
}

static bool stage(struct service *s, struct arena *a, struct err *e)
{
	struct node_self *n = s->node;
	struct rollout_steps steps = {0};
	struct rollout_steps fresh = {0};
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) &&
		  rollout_open_steps(c, a, s->cfg->project_ref, service_instance(s), &steps, e);

	pg_release(c);
	if (!ok)
		return false;
	for (struct staged *p = n->staged; p != NULL; p = p->next)
		p->open = false;
	for (size_t i = 0, end; i < steps.count && ok; i = end) {
		struct staged *known = find_staged(n, steps.items[i].rollout_id);

		end = same_rollout(&steps, i);
		if (known != NULL) {
			known->open = true;
			continue;
		}
		known = hold_steps(s, &steps.items[i], end - i, e);
		ok = known != NULL;
		if (ok) {
			FA_CRASH_POINT("node.held");
			known->next = n->staged;
			n->staged = known;
			/* The new ones move to the front of the list. */
			memmove(&steps.items[fresh.count], &steps.items[i], (end - i) * sizeof steps.items[0]);
			fresh.count += end - i;
		}
	}
	fresh.items = steps.items;
	ok = ok && (fresh.count == 0 || stage_new(s, a, &fresh, e));
	drop_finished(s);
	return ok;
}

/* Showing what is active */

static void note(struct service *s, int64_t secrets_revision, int64_t failed_generation, bool verified,
		 const struct err *failure)
{
	struct node_self *n = s->node;

	(void)pthread_mutex_lock(&n->lock);
	n->generation = atomic_load(&s->shown);
	n->secrets_revision = secrets_revision;
	n->failed_generation = failed_generation;
	n->verified = verified;
	n->failure = failure != NULL ? *failure : (struct err)ERR_INIT;
	(void)pthread_mutex_unlock(&n->lock);
}

/* Folder, secrets and runtime as the project is now. */
static void follow_to(struct service *s, const struct project *project, bool ask_long)
{
	struct node_self *n = s->node;
	struct err e = ERR_INIT;
	int64_t secrets = n->secrets_revision;
	int64_t serves = 0;
	char ref[21];
	bool verified = false;
	bool ok = apply_generation(s, project->generation, &e) && apply_secrets(s, &e);

	if (ok)
		secrets = project->secrets_revision;
	if (ok && s->probe != NULL) {
		/* A runtime that was out of reach is asked in passing, until it is back. */
		ok = ask_long ? probe_wait_generation(s->probe, project->ref, project->generation, &e) &&
					probe_wait_secrets(s->probe, project->ref, secrets, &e)
			      : probe_generation(s->probe, ref, &serves, &e) &&
					(serves >= project->generation ||
					 err_set(&e, ERR_UNAVAILABLE, "runtime_behind",
						 "The runtime still serves generation %lld", (long long)serves));
		verified = ok;
	}
	if (!ok)
		log_warn("generation %lld cannot be %s here: %s", (long long)project->generation,
			 atomic_load(&s->shown) >= project->generation ? "confirmed" : "shown", e.message);
	note(s, secrets, ok ? 0 : project->generation, verified, ok ? NULL : &e);
}

static bool follow(struct service *s, struct arena *a, bool sweeps, struct err *e)
{
	struct node_self *n = s->node;
	struct project project;
	struct pg_conn *c = NULL;
	struct node_orders orders;
	bool ok = pg_acquire(s->pool, &c, e) && project_find(c, a, s->cfg->project_ref, &project, e);
	bool news;

	pg_release(c);
	if (!ok)
		return false;
	news = !n->registered || n->generation < project.generation || n->secrets_revision < project.secrets_revision;
	if (news || n->generation < atomic_load(&s->shown) ||
	    (sweeps && (n->failed_generation != 0 || (s->probe != NULL && !n->verified)))) {
		follow_to(s, &project, news);
		FA_CRASH_POINT("node.followed");
		n->registered = true;
		ok = say(s, true, &orders, e);
		FA_CRASH_POINT("node.reported");
	}
	return ok;
}

/* The oldest releases of every function, where no rollout has left that behind. */
static bool tidy_all(struct service *s, struct arena *a, struct err *e)
{
	struct function_list list;

	if (!function_all(s, a, s->cfg->project_ref, &list, e))
		return false;
	for (size_t i = 0; i < list.count; i++) {
		if (!hold_take(s, list.items[i].slug, e))
			return false;
		hold_drop(s, list.items[i].slug, true);
	}
	return true;
}

/* What an agent does again and again beside; `serve` has its own sweep (cmd/serve.c), but is told to check here. */
static bool keep_house(const struct node_loop *l, struct service *s, struct arena *a, struct err *e)
{
	bool compares = l->checks_now || l->sweeps % DRIFT_SWEEPS == 0;
	struct pg_conn *c = NULL;
	bool ok;

	if (l->checks_now)
		drift_forget(s);
	if (!s->agent)
		return !l->checks_now || drift_sweep(s, e);
	/* What the database says has been looked at already; many agents ask for it often, and mostly for nothing. */
	ok = compares ? apply_sweep(s, e) && drift_heal(s, e)
		      : apply_generation(s, atomic_load(&s->shown), e) && apply_keep_manifest(s, e);
	if (ok && l->sweeps % HOUR_SWEEPS == 0) {
		ok = pg_acquire(s->pool, &c, e) && apply_remove_gone(s, c, a, e);
		pg_release(c);
		ok = ok && tidy_all(s, a, e);
	}
	return ok;
}

static bool work_on(struct node_loop *l, struct service *s, struct err *e)
{
	struct arena *a = arena_new(0);
	bool ok = a != NULL || err_no_memory(e);

	/* An agent's folder agrees with the database before anybody waits for it. */
	if (ok && s->agent && !s->node->registered)
		ok = apply_reconcile(s, e);
	ok = ok && stage(s, a, e) && follow(s, a, l->sweeps_now, e) && (!l->sweeps_now || keep_house(l, s, a, e));
	arena_free(a);
	return ok;
}

static void *work(void *ctx)
{
	struct node_loop *l = ctx;
	bool all = true;

	for (struct service *s = l->base; s != NULL; s = atomic_load(&s->further)) {
		struct err e = ERR_INIT;

		if (s->node == NULL || work_on(l, s, &e))
			continue;
		log_warn("project %s: this node cannot follow: %s", s->cfg->project_ref, e.message);
		all = false;
	}
	(void)pthread_mutex_lock(&l->lock);
	l->ok = all;
	l->working = false;
	(void)pthread_cond_signal(&l->done);
	(void)pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* The loop */

static bool is_working(struct node_loop *l, int64_t until_ms)
{
	struct timespec until = clock_timespec(until_ms);
	bool working;

	(void)pthread_mutex_lock(&l->lock);
	while (l->working && pthread_cond_timedwait(&l->done, &l->lock, &until) == 0)
		;
	working = l->working;
	(void)pthread_mutex_unlock(&l->lock);
	return working;
}

/* However long it takes, the lease is renewed meanwhile. */
static bool work_and_beat(struct node_loop *l)
{
	pthread_t worker;

	l->sweeps_now = clock_ms() >= l->next_sweep_ms;
	l->checks_now = l->sweeps_now && (l->check_ordered || l->sweeps == 0);
	l->check_ordered = l->check_ordered && !l->checks_now;
	l->has_work = false;
	l->working = true;
	if (pthread_create(&worker, NULL, work, l) != 0) {
		(void)work(l);
	} else {
		while (is_working(l, l->next_beat_ms))
			(void)beat(l);
		(void)pthread_join(worker, NULL);
	}
	if (l->sweeps_now) {
		l->sweeps++;
		l->next_sweep_ms = clock_ms() + (int64_t)NODE_SWEEP_SECONDS * 1000;
	}
	return l->ok;
}

static void heard(void *ctx, const char *channel, const char *payload)
{
	struct node_loop *l = ctx;

	if (strcmp(channel, NODE_WORK_CHANNEL) == 0) {
		l->has_work = true;
		return;
	}
	bell_ring();
	for (struct service *s = l->base; s != NULL; s = atomic_load(&s->further))
		if (s->node != NULL && strcmp(s->node->id, payload) == 0)
			return;
	fleet_heard(l->base);
}

/* An agent with one connection needs it for the work. */
static bool shares_connection(const struct node_loop *l)
{
	return pg_pool_stats(l->base->pool).max == 1;
}

/* Where a pooler hands connections on, notifications find nobody. `serve` keeps a connection for them; where it has
 * few, they are for the requests. */
static bool can_listen(const struct node_loop *l)
{
	return pg_pool_keeps_sessions(l->base->pool) &&
	       (l->base->agent || pg_pool_stats(l->base->pool).max >= FEW_CONNECTIONS);
}

/* What would have been notified is looked for instead. */
static void wait_blindly(struct node_loop *l, int64_t left)
{
	struct pollfd stop = {.fd = l->wake_fd, .events = POLLIN};

	(void)poll(&stop, 1, (int)(left < 0 ? 0 : left < BLIND_MS ? left : BLIND_MS));
	l->has_work = true;
}

static void stop_listening(struct node_loop *l)
{
	fleet_listens(l->base, false);
	pg_release(l->conn);
	l->conn = NULL;
}

/* A deployment of this very process has made its folder show more than the others have been told. */
static bool has_news(const struct node_loop *l)
{
	for (struct service *s = l->base; s != NULL; s = atomic_load(&s->further))
		if (s->node != NULL && s->node->registered && atomic_load(&s->shown) > s->node->generation)
			return true;
	return false;
}

/* Until there is something to do. */
static bool listen_for_work(struct node_loop *l, struct err *e)
{
	int64_t next = l->next_beat_ms < l->next_sweep_ms ? l->next_beat_ms : l->next_sweep_ms;
	int64_t left = l->has_work ? 0 : next - clock_ms();
	bool ok;

	if (!l->base->agent && left > NEWS_MS)
		left = NEWS_MS;
	if (!can_listen(l)) {
		wait_blindly(l, left);
		return true;
	}
	ok = l->conn != NULL || pg_acquire(l->base->pool, &l->conn, e);
	/* Nobody waits for others in an agent. */
	ok = ok && pg_listen(l->conn, l->base->agent ? LISTEN_FOR_WORK : LISTEN, e);
	if (ok)
		fleet_listens(l->base, true);
	ok = ok && pg_wait(l->conn, l->wake_fd, left > 0 ? left : 0, heard, l, e);
	if (!ok || shares_connection(l))
		stop_listening(l);
	return ok;
}

/* Each pause is up to twice as long as the one before, at random, so that many nodes do not come back at one moment. */
static void rest(struct node_loop *l)
{
	uint32_t random;
	int64_t until;

	crypto_random(&random, sizeof random);
	until = clock_ms() + l->pause_ms / 2 + random % l->pause_ms;
	while (!atomic_load(&l->stopping) && clock_ms() < until) {
		const struct timespec step = {.tv_nsec = 50 * 1000000L};

		(void)nanosleep(&step, NULL);
	}
	l->pause_ms = 2 * l->pause_ms < LONGEST_PAUSE_MS ? 2 * l->pause_ms : LONGEST_PAUSE_MS;
	/* Whatever was notified meanwhile was not heard. */
	l->has_work = true;
}

static void *run(void *ctx)
{
	struct node_loop *l = ctx;

	l->has_work = true;
	while (!atomic_load(&l->stopping)) {
		struct err e = ERR_INIT;
		bool ok = listen_for_work(l, &e);

		if (!ok)
			log_warn("the database cannot be listened to: %s", e.message);
		if (atomic_load(&l->stopping))
			break;
		l->has_work = l->has_work || has_news(l);
		if (ok && (l->has_work || clock_ms() >= l->next_sweep_ms))
			ok = work_and_beat(l);
		if (ok && clock_ms() >= l->next_beat_ms)
			ok = beat(l);
		if (ok)
			l->pause_ms = FIRST_PAUSE_MS;
		else
			rest(l);
	}
	stop_listening(l);
	return NULL;
}

bool node_start(struct node_loop **out, struct service *base, struct err *e)
{
	struct node_loop *l = calloc(1, sizeof *l);
	int failed;

	if (l == NULL)
		return err_no_memory(e);
	l->base = base;
	l->pause_ms = FIRST_PAUSE_MS;
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	(void)pthread_mutex_init(&l->lock, NULL);
	clock_cond_init(&l->done);
	failed = pthread_create(&l->thread, NULL, run, l);
	if (failed != 0) {
		(void)close(l->wake_fd);
		free(l);
		return err_errno(e, failed, "Starting the node's thread");
	}
	*out = l;
	return true;
}

void node_stop(struct node_loop *l)
{
	static const uint64_t one = 1;

	if (l == NULL)
		return;
	atomic_store(&l->stopping, true);
	(void)!write(l->wake_fd, &one, sizeof one);
	(void)pthread_join(l->thread, NULL);
	for (struct service *s = l->base; s != NULL; s = atomic_load(&s->further))
		if (s->node != NULL && s->node->registered)
			leave(s);
	(void)close(l->wake_fd);
	(void)pthread_cond_destroy(&l->done);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}
