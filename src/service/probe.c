#include "service/probe.h"

#include "core/buf.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/text.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ANSWER ((size_t)1024 * 1024)
#define MAX_IDLE 8
/* A header line with a key in it. */
#define JWT_LINE 8300
#define TOKEN_HEADER "x-functions-admin-token"

struct probe {
	char *url;
	struct curl_slist *headers;
	int64_t boot_timeout_ms;
	int64_t timeout_ms;
	pthread_mutex_t lock;
	CURL *idle[MAX_IDLE]; /* each with its connection, for the next question */
	size_t idle_count;
};

static struct curl_slist *make_headers(const char *token)
{
	struct curl_slist *list = NULL;
	struct curl_slist *next;
	char line[512];
	const char *const lines[] = {line, "Content-Type: application/json", "Expect:"};

	(void)snprintf(line, sizeof line, TOKEN_HEADER ": %s", token);
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		next = curl_slist_append(list, lines[i]);
		if (next == NULL) {
			curl_slist_free_all(list);
			return NULL;
		}
		list = next;
	}
	return list;
}

bool probe_new(struct probe **out, const char *runtime_url, const char *token, int64_t boot_timeout_ms,
	       int64_t timeout_ms, struct err *e)
{
	struct probe *p = calloc(1, sizeof *p);
	size_t len = strlen(runtime_url);

	if (p == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_init(&p->lock, NULL);
	p->boot_timeout_ms = boot_timeout_ms;
	p->timeout_ms = timeout_ms;
	p->url = strndup(runtime_url, len > 0 && runtime_url[len - 1] == '/' ? len - 1 : len);
	p->headers = make_headers(token);
	if (p->url == NULL || p->headers == NULL) {
		probe_free(p);
		return err_no_memory(e);
	}
	*out = p;
	return true;
}

void probe_free(struct probe *p)
{
	if (p == NULL)
		return;
	while (p->idle_count > 0)
		curl_easy_cleanup(p->idle[--p->idle_count]);
	curl_slist_free_all(p->headers);
	(void)pthread_mutex_destroy(&p->lock);
	free(p->url);
	free(p);
}

static CURL *take_handle(struct probe *p)
{
	CURL *h = NULL;

	(void)pthread_mutex_lock(&p->lock);
	if (p->idle_count > 0)
		h = p->idle[--p->idle_count];
	(void)pthread_mutex_unlock(&p->lock);
	return h != NULL ? h : curl_easy_init();
}

static void give_handle(struct probe *p, CURL *h)
{
	(void)pthread_mutex_lock(&p->lock);
	if (p->idle_count < MAX_IDLE) {
		p->idle[p->idle_count++] = h;
		h = NULL;
	}
	(void)pthread_mutex_unlock(&p->lock);
	curl_easy_cleanup(h);
}

static size_t take_answer(char *data, size_t size, size_t count, void *ctx)
{
	struct buf *b = ctx;

	buf_put(b, data, size * count);
	return b->failed ? 0 : size * count;
}

static bool unreachable(struct err *e, const char *what)
{
	metrics_count(METRICS_RUNTIME_UNREACHABLE, 1);
	(void)err_set(e, ERR_UNAVAILABLE, "runtime_unavailable", "The edge runtime %s", what);
	return err_hint(e, "Is it running, with this project's main service? functions-admin doctor tells more; "
			   "boot_check = off deploys "
			   "without asking it.");
}

/* The JSON that the runtime answers with 200; the caller drops the reference. NULL with the error set. */
static json_t *ask(struct probe *p, const char *path, const char *body, int64_t timeout_ms, struct err *e)
{
	struct buf answer = BUF_INIT(MAX_ANSWER);
	CURL *h = take_handle(p);
	json_t *doc = NULL;
	char url[1024];
	long status = 0;
	CURLcode code;

	if (h == NULL) {
		(void)err_no_memory(e);
		return NULL;
	}
	(void)snprintf(url, sizeof url, "%s%s", p->url, path);
	curl_easy_reset(h);
	if (curl_easy_setopt(h, CURLOPT_URL, url) != CURLE_OK ||
	    curl_easy_setopt(h, CURLOPT_HTTPHEADER, p->headers) != CURLE_OK ||
	    (body != NULL && curl_easy_setopt(h, CURLOPT_POSTFIELDS, body) != CURLE_OK)) {
		curl_easy_cleanup(h);
		(void)err_no_memory(e);
		return NULL;
	}
	(void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(h, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	(void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_answer);
	(void)curl_easy_setopt(h, CURLOPT_WRITEDATA, &answer);
	code = curl_easy_perform(h);
	if (code == CURLE_OK)
		code = curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OUT_OF_MEMORY)
		(void)err_no_memory(e);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		(void)unreachable(e, "did not answer in time");
	else if (code != CURLE_OK)
		(void)unreachable(e, "cannot be reached");
	else if (status == 403)
		(void)unreachable(e, "refused our token");
	else if (status != 200 || answer.data == NULL || (doc = json_loadb(answer.data, answer.len, 0, NULL)) == NULL)
		(void)unreachable(e, "does not run this project's main service");
	if (code != CURLE_OK || doc == NULL)
		log_warn("runtime: %s%s: %s, status %ld", p->url, path, curl_easy_strerror(code), status);
	buf_free(&answer);
	if (code == CURLE_OK)
		give_handle(p, h);
	else
		curl_easy_cleanup(h);
	return doc;
}

bool probe_boot(struct probe *p, const char *slug, const json_t *version, const char **check, int *boot_ms,
		struct err *e)
{
	json_t *question = json_pack("{s:s, s:O}", "slug", slug, "version", version);
	char *body = question != NULL ? json_text(question, JSON_COMPACT) : NULL;
	const char *kind = "weak";
	const char *name = "Error";
	const char *message = "unknown";
	json_t *answer = NULL;
	int booted = 0;
	bool ok = false;

	json_decref(question);
	if (body == NULL)
		return err_no_memory(e);
	answer = ask(p, "/_internal/boot", body, p->boot_timeout_ms, e);
	free(body);
	if (answer == NULL)
		return false;
	*boot_ms = 0;
	if (json_unpack(answer, "{s:b, s?s, s?i, s?{s?s, s?s}}", "ok", &booted, "check", &kind, "boot_ms", boot_ms,
			"error", "name", &name, "message", &message) != 0) {
		(void)unreachable(e, "does not run this project's main service");
	} else if (!booted) {
		metrics_count(METRICS_RUNTIME_REFUSED, 1);
		(void)err_set(e, ERR_INVALID, "boot_failed", "The function does not boot: %s: %s", name, message);
		(void)err_hint(e, "Nothing was activated; what served before still serves.");
	} else {
		metrics_count(METRICS_RUNTIME_BOOTED, 1);
		*check = text_eq(kind, "full") ? "full" : "weak";
		ok = true;
	}
	json_decref(answer);
	return ok;
}

/* What the main service says that it serves. */
struct served {
	char project[21];
	int64_t generation;
	int64_t secrets_revision;
};

static bool ask_served(struct probe *p, struct served *out, struct err *e)
{
	json_t *answer = ask(p, "/_internal/generation", NULL, p->timeout_ms, e);
	const char *ref = NULL;
	json_int_t generation = 0;
	json_int_t secrets = -1;
	bool ok;

	if (answer == NULL)
		return false;
	ok = json_unpack(answer, "{s:s, s:I, s?I}", "project", &ref, "generation", &generation, "secrets_revision",
			 &secrets) == 0 &&
	     strlen(ref) < sizeof out->project;
	if (ok) {
		memcpy(out->project, ref, strlen(ref) + 1);
		out->generation = generation;
		out->secrets_revision = secrets;
	} else {
		(void)unreachable(e, "has no manifest of this project");
	}
	json_decref(answer);
	return ok;
}

static size_t drop_answer(char *data, size_t size, size_t count, void *ctx)
{
	(void)data;
	(void)ctx;
	return size * count;
}

bool probe_call(struct probe *p, const char *method, const char *path, const char *bearer, int64_t timeout_ms,
		long *status, struct err *e)
{
	struct curl_slist *headers = NULL;
	CURL *h = take_handle(p);
	CURLcode code = CURLE_OUT_OF_MEMORY;
	char line[JWT_LINE];
	char url[1024];

	if (h == NULL)
		return err_no_memory(e);
	(void)snprintf(url, sizeof url, "%s%s", p->url, path);
	(void)snprintf(line, sizeof line, "Authorization: Bearer %s", bearer != NULL ? bearer : "");
	curl_easy_reset(h);
	if (bearer != NULL)
		headers = curl_slist_append(NULL, line);
	if ((bearer == NULL || headers != NULL) && curl_easy_setopt(h, CURLOPT_URL, url) == CURLE_OK &&
	    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK) {
		(void)curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
		(void)curl_easy_setopt(h, CURLOPT_NOBODY, text_eq(method, "HEAD") ? 1L : 0L);
		(void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
		(void)curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
		(void)curl_easy_setopt(h, CURLOPT_PROXY, "");
		(void)curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
		(void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, drop_answer);
		code = curl_easy_perform(h);
	}
	if (code == CURLE_OK)
		code = curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, status);
	curl_slist_free_all(headers);
	/* One whose call failed, for want of memory for example, may go on failing. */
	if (code == CURLE_OK)
		give_handle(p, h);
	else
		curl_easy_cleanup(h);
	if (code == CURLE_OUT_OF_MEMORY)
		return err_no_memory(e);
	return code == CURLE_OK ? true : unreachable(e, "gave no answer");
}

bool probe_generation(struct probe *p, char project[21], int64_t *generation, struct err *e)
{
	struct served served;

	if (!ask_served(p, &served, e))
		return false;
	memcpy(project, served.project, sizeof served.project);
	*generation = served.generation;
	return true;
}

/* Waits for both numbers. `late`: what the error says. */
static bool wait_for(struct probe *p, const char *project_ref, int64_t generation, int64_t secrets, const char *late,
		     struct err *e)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	int64_t deadline = clock_ms() + p->timeout_ms;
	struct served served;

	for (;;) {
		if (!ask_served(p, &served, e))
			return false;
		if (!text_eq(served.project, project_ref)) {
			(void)err_set(e, ERR_UNAVAILABLE, "runtime_project",
				      "The edge runtime serves another project (%s)", served.project);
			return err_hint(e, "runtime_url and functions_dir must belong together.");
		}
		if (served.generation >= generation && served.secrets_revision >= secrets)
			return true;
		if (clock_ms() >= deadline)
			return unreachable(e, late);
		(void)nanosleep(&pause, NULL);
	}
}

bool probe_wait_generation(struct probe *p, const char *project_ref, int64_t generation, struct err *e)
{
	return wait_for(p, project_ref, generation, -1, "still serves the previous generation", e);
}

bool probe_wait_secrets(struct probe *p, const char *project_ref, int64_t revision, struct err *e)
{
	return wait_for(p, project_ref, 0, revision, "still uses earlier secrets", e);
}

json_t *probe_counts(struct probe *p, struct err *e)
{
	json_t *answer = ask(p, "/_internal/counts", NULL, p->timeout_ms, e);
	json_t *counts = json_object_get(answer, "counts");

	if (answer != NULL && !json_is_array(counts))
		(void)unreachable(e, "does not run this project's main service");
	counts = json_is_array(counts) ? json_incref(counts) : NULL;
	json_decref(answer);
	return counts;
}
