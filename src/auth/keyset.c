#include "auth/keyset.h"

#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/text.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES ((size_t)256 * 1024)
#define TIMEOUT_MS 3000L
#define OLD_AFTER 600 /* seconds */
#define PAUSE 30

struct keyset {
	char *url;
	pthread_mutex_t fetching;      /* held by the one thread that fetches */
	pthread_rwlock_t lock;         /* guards what follows */
	struct jwt_verifier *verifier; /* NULL before the first good fetch */
	int64_t fetched;               /* seconds of a clock that only goes forward; the last good fetch */
	int64_t tried;                 /* the last fetch, good or not */
	bool has_tried;
};

bool keyset_new(struct keyset **out, const char *url, struct err *e)
{
	struct keyset *k = calloc(1, sizeof *k);

	*out = NULL;
	if (k == NULL || (k->url = strdup(url)) == NULL) {
		free(k);
		return err_no_memory(e);
	}
	(void)pthread_mutex_init(&k->fetching, NULL);
	(void)pthread_rwlock_init(&k->lock, NULL);
	*out = k;
	return true;
}

void keyset_free(struct keyset *k)
{
	if (k == NULL)
		return;
	jwt_verifier_free(k->verifier);
	(void)pthread_mutex_destroy(&k->fetching);
	(void)pthread_rwlock_destroy(&k->lock);
	free(k->url);
	free(k);
}

static int64_t seconds_now(void)
{
	return clock_ms() / 1000;
}

static size_t take(char *data, size_t size, size_t count, void *ctx)
{
	struct buf *b = ctx;

	buf_put(b, data, size * count);
	return b->failed ? 0 : size * count;
}

/* The document at the URL into b; false, with the reason, for anything but a 200. */
static bool download(const char *url, struct buf *b, const char **why)
{
	CURL *curl = curl_easy_init();
	long status = 0;
	CURLcode done;

	*why = "out of memory";
	if (curl == NULL)
		return false;
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	/* Keys come from where the operator says, whatever the environment's proxy is. */
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, b);
	done = curl_easy_perform(curl);
	if (done == CURLE_OK)
		(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	*why = b->failed          ? "it is larger than 256 KiB"
	       : done != CURLE_OK ? curl_easy_strerror(done)
				  : "its status is not 200";
	curl_easy_cleanup(curl);
	return done == CURLE_OK && status == 200;
}

static void fetch(struct keyset *k)
{
	struct buf b = BUF_INIT(MAX_BYTES);
	struct jwt_verifier *fresh = NULL;
	struct jwt_verifier *old = NULL;
	struct err e = ERR_INIT;
	const char *why = "";

	buf_puts(&b, "");
	if (!download(k->url, &b, &why))
		log_warn("jwks_url: the keys cannot be fetched: %s; those that are there are kept", why);
	else if (!jwt_verifier_new(&fresh, NULL, b.data, &e))
		log_warn("jwks_url: %s; the keys that are there are kept", e.message);
	buf_free(&b);
	(void)pthread_rwlock_wrlock(&k->lock);
	k->tried = seconds_now();
	k->has_tried = true;
	if (fresh != NULL) {
		old = k->verifier;
		k->verifier = fresh;
		k->fetched = k->tried;
	}
	(void)pthread_rwlock_unlock(&k->lock);
	jwt_verifier_free(old);
}

/* Fetches where the set is missing or old, or `unknown` says that a token names another key; not within the pause. */
static void refresh(struct keyset *k, bool unknown)
{
	int64_t now = seconds_now();
	bool due;

	(void)pthread_rwlock_rdlock(&k->lock);
	due = !k->has_tried ||
	      (now - k->tried >= PAUSE && (unknown || k->verifier == NULL || now - k->fetched >= OLD_AFTER));
	(void)pthread_rwlock_unlock(&k->lock);
	if (!due)
		return;
	/* Whoever comes second waits only where there is nothing to go on with. */
	if (pthread_mutex_trylock(&k->fetching) == 0) {
		fetch(k);
		(void)pthread_mutex_unlock(&k->fetching);
	} else if (unknown) {
		(void)pthread_mutex_lock(&k->fetching);
		(void)pthread_mutex_unlock(&k->fetching);
	}
}

/* *known: whether the token's key is in the set. */
static bool verify(struct keyset *k, struct arena *a, const char *token, int64_t now, struct jwt_claims *out,
		   bool *known, struct err *e)
{
	bool ok;

	(void)pthread_rwlock_rdlock(&k->lock);
	*known = k->verifier != NULL && jwt_knows_key(k->verifier, a, token);
	ok = k->verifier != NULL
		     ? jwt_verify(k->verifier, a, token, now, out, e)
		     : err_set(e, ERR_UNAUTHORIZED, "token_signature", "The token's signature does not verify");
	(void)pthread_rwlock_unlock(&k->lock);
	return ok;
}

bool keyset_verify(struct keyset *k, struct arena *a, const char *token, int64_t now, struct jwt_claims *out,
		   struct err *e)
{
	bool known;

	refresh(k, false);
	if (verify(k, a, token, now, out, &known, e))
		return true;
	if (known || !text_eq(e->code, "token_signature"))
		return false;
	refresh(k, true);
	return verify(k, a, token, now, out, &known, e);
}
