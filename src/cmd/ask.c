#include "cmd/ask.h"

#include "auth/auth.h"
#include "auth/scope.h"
#include "auth/token.h"
#include "cmd/cmd.h"
#include "core/buf.h"
#include "core/json.h"
#include "core/text.h"
#include "service/access.h"
#include "service/function.h"

#include <errno.h>
#include <netdb.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_ANSWER ((size_t)64 * 1024 * 1024)
#define TOKEN_LIFE_MS ((int64_t)30 * 60 * 1000)
/* A record holds at most 65,535 bytes. */
#define MAX_RECORD ((size_t)65535)

enum { BEGIN_REQUEST = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };

/* Connecting */

static int connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		int number = errno;

		(void)close(fd);
		errno = number;
		return -1;
	}
	return fd;
}

static int connect_tcp(struct arena *a, const char *on)
{
	const char *colon = strrchr(on, ':');
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char *host = colon != NULL ? arena_strndup(a, on, (size_t)(colon - on)) : NULL;
	int fd = -1;

	errno = EINVAL;
	if (host == NULL || getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return -1;
	for (const struct addrinfo *p = found; p != NULL && fd < 0; p = p->ai_next) {
		fd = socket(p->ai_family, p->ai_socktype | SOCK_CLOEXEC, p->ai_protocol);
		if (fd >= 0 && connect(fd, p->ai_addr, p->ai_addrlen) != 0) {
			(void)close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(found);
	return fd;
}

static int connect_service(struct arena *a, const struct config *cfg, struct err *e)
{
	const char *on = cfg->listen;
	int fd;

	if (text_starts(on, "fd:")) {
		(void)err_set(e, ERR_CONFIG, NULL, "The service's socket is inherited (listen = %s), so it has no name",
			      on);
		(void)err_hint(e, "Name the socket that nginx uses: --listen unix:/run/functions-admin/socket");
		return -1;
	}
	fd = text_starts(on, "unix:") ? connect_unix(on + 5) : connect_tcp(a, on);
	if (fd < 0) {
		(void)err_set(e, ERR_UNAVAILABLE, "not_running", "The service does not answer at %s: %s", on,
			      strerror(errno));
		(void)err_hint(e, "This command is carried out by the running service: start functions-admin serve.");
	}
	return fd;
}

/* FastCGI */

static void put_record(struct buf *b, int type, const void *data, size_t len)
{
	const unsigned char head[8] = {
		1, (unsigned char)type, 0, 1, (unsigned char)(len >> 8), (unsigned char)(len & 0xff), 0, 0};

	buf_put(b, head, sizeof head);
	buf_put(b, data, len);
}

static void put_length(struct buf *b, size_t len)
{
	const unsigned char wide[4] = {(unsigned char)(0x80 | (len >> 24)), (unsigned char)(len >> 16 & 0xff),
				       (unsigned char)(len >> 8 & 0xff), (unsigned char)(len & 0xff)};

	buf_put(b, wide, sizeof wide);
}

static void put_param(struct buf *b, const char *name, const char *value)
{
	put_length(b, strlen(name));
	put_length(b, strlen(value));
	buf_puts(b, name);
	buf_puts(b, value);
}

static bool send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static bool receive(int fd, void *out, size_t len)
{
	char *p = out;

	while (len > 0) {
		ssize_t n = recv(fd, p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* Everything on the standard output stream, up to the end of the request. */
static bool read_answer(int fd, struct buf *out)
{
	for (;;) {
		unsigned char head[8];
		char content[MAX_RECORD + 255];
		size_t len;

		if (!receive(fd, head, sizeof head))
			return false;
		len = (size_t)head[4] << 8 | head[5];
		if (!receive(fd, content, len + head[6]))
			return false;
		if (head[1] == END_REQUEST)
			return !out->failed;
		if (head[1] == STDOUT)
			buf_put(out, content, len);
	}
}

static void put_request(struct buf *b, const char *method, const char *uri, const char *token,
			const struct ask_body *body)
{
	static const unsigned char responder[8] = {0, 1, 0, 0, 0, 0, 0, 0};
	struct buf params = BUF_INIT(MAX_RECORD);
	struct buf value = BUF_INIT(MAX_RECORD);

	put_record(b, BEGIN_REQUEST, responder, sizeof responder);
	put_param(&params, "REQUEST_METHOD", method);
	put_param(&params, "REQUEST_URI", uri);
	put_param(&params, "SERVER_PROTOCOL", "HTTP/1.1");
	put_param(&params, "GATEWAY_INTERFACE", "CGI/1.1");
	put_param(&params, "REMOTE_ADDR", "127.0.0.1");
	if (token != NULL) {
		buf_printf(&value, "Bearer %s", token);
		buf_put(&value, "", 1);
		put_param(&params, "HTTP_AUTHORIZATION", value.failed ? "" : value.data);
	}
	if (body->type != NULL) {
		buf_wipe(&value);
		value.len = 0;
		buf_printf(&value, "%zu", body->len);
		buf_put(&value, "", 1);
		put_param(&params, "CONTENT_LENGTH", value.failed ? "" : value.data);
		put_param(&params, "CONTENT_TYPE", body->type);
	}
	put_record(b, PARAMS, params.data, params.len);
	put_record(b, PARAMS, NULL, 0);
	for (size_t at = 0; at < body->len; at += MAX_RECORD)
		put_record(b, STDIN, body->data + at, body->len - at < MAX_RECORD ? body->len - at : MAX_RECORD);
	put_record(b, STDIN, NULL, 0);
	if (params.failed || value.failed)
		b->failed = true;
	buf_wipe(&params);
	buf_wipe(&value);
	buf_free(&params);
	buf_free(&value);
}

/* The kind of error that gives this status. */
static enum err_kind kind_of(long status)
{
	for (int kind = ERR_MALFORMED; kind < ERR_CONFIG; kind++)
		if (err_http_status((enum err_kind)kind) == status)
			return (enum err_kind)kind;
	return ERR_INTERNAL;
}

/* "Status: 200 OK", headers, an empty line, the document. */
static bool take_answer(struct buf *answer, json_t **out, struct err *e)
{
	const char *end;
	const char *status;
	json_t *doc = NULL;
	const char *message = NULL;
	const char *hint = NULL;
	const char *code = NULL;
	long number;

	buf_put(answer, "", 1);
	if (answer->failed)
		return err_no_memory(e);
	end = strstr(answer->data, "\r\n\r\n");
	status = strstr(answer->data, "Status: ");
	number = status != NULL && end != NULL && status < end ? strtol(status + 8, NULL, 10) : 200;
	doc = end != NULL ? json_loads(end + 4, 0, NULL) : NULL;
	if (doc != NULL && number < 300) {
		*out = doc;
		return true;
	}
	(void)json_unpack(doc, "{s?:s, s?:s, s?:s}", "message", &message, "hint", &hint, "code", &code);
	(void)err_set(e, kind_of(number), code, "%s",
		      message != NULL ? message : "The service's answer cannot be read");
	if (hint != NULL)
		(void)err_hint(e, "%s", hint);
	json_decref(doc);
	return false;
}

static bool exchange(struct arena *a, const struct config *cfg, const char *method, const char *uri, const char *token,
		     const struct ask_body *body, struct buf *answer, struct err *e)
{
	struct buf request = BUF_INIT(MAX_ANSWER);
	int fd = connect_service(a, cfg, e);
	bool ok = false;

	if (fd < 0)
		goto out;
	put_request(&request, method, uri, token, body);
	if (request.failed)
		(void)err_no_memory(e);
	else if (!send_all(fd, request.data, request.len) || !read_answer(fd, answer))
		(void)err_set(e, ERR_UNAVAILABLE, NULL, "The service broke off; its log says why");
	else
		ok = true;
out:
	if (fd >= 0)
		(void)close(fd);
	buf_wipe(&request);
	buf_free(&request);
	return ok;
}

const char *ask_open(struct arena *a, const struct config *cfg, const char *path, struct err *e)
{
	const char *uri = arena_printf(a, "%s%s", cfg->base_path, path);
	struct buf answer = BUF_INIT(MAX_ANSWER);
	const char *text = NULL;

	if (uri == NULL)
		(void)err_no_memory(e);
	else if (exchange(a, cfg, "GET", uri, NULL, &(struct ask_body){0}, &answer, e) &&
		 (text = arena_strndup(a, answer.data != NULL ? answer.data : "", answer.len)) == NULL)
		(void)err_no_memory(e);
	buf_free(&answer);
	return text;
}

/* A credential for one call */

static bool ask_with(struct service *s, struct arena *a, const struct config *cfg, const struct auth *auth,
		     const char *name, const char *method, const char *ref, const char *path,
		     const struct ask_body *body, json_t **out, struct err *e)
{
	struct access_token token = {
		.scopes = SCOPE_FUNCTIONS_READ | SCOPE_FUNCTIONS_WRITE,
		.expires_at = service_now() + TOKEN_LIFE_MS,
	};
	struct buf answer = BUF_INIT(MAX_ANSWER);
	struct err ignored = ERR_INIT;
	uint8_t hash[TOKEN_HASH_BYTES];
	char text[TOKEN_SIZE];
	struct project project;
	const char *uri;
	bool ok;

	if (!function_project(s, a, ref, &project, e))
		return false;
	token.project_ref = project.ref;
	token.name = arena_printf(a, "%s by %s", name, cmd_actor()->name);
	uri = arena_printf(a, "%s/v1/projects/%s%s", cfg->base_path, project.ref, path);
	if (token.name == NULL || uri == NULL)
		return err_no_memory(e);
	token_generate(text);
	token_hash(auth_token_key(auth), text, hash);
	ok = access_create(s, a, cmd_actor(), &token, hash, e);
	if (ok) {
		ok = exchange(a, cfg, method, uri, text, body, &answer, e) && take_answer(&answer, out, e);
		if (!access_revoke(s, a, cmd_actor(), token.id, NULL, NULL, &ignored) && ok)
			(void)fprintf(stderr,
				      "functions-admin: the token of this call ends by itself in half an hour: %s\n",
				      ignored.message);
	}
	sodium_memzero(text, sizeof text);
	buf_free(&answer);
	return ok;
}

bool ask_with_body(struct service *s, const struct config *cfg, const char *name, const char *method, const char *ref,
		   const char *path, const struct ask_body *body, json_t **out, struct err *e)
{
	struct arena *a = arena_new(0);
	struct auth *auth = NULL;
	bool ok = a != NULL ? auth_new(&auth, cfg, s->pool, e) : err_no_memory(e);

	*out = NULL;
	ok = ok && ask_with(s, a, cfg, auth, name, method, ref, path, body, out, e);
	auth_free(auth);
	arena_free(a);
	return ok;
}

bool ask(struct service *s, const struct config *cfg, const char *name, const char *method, const char *ref,
	 const char *path, const json_t *body, json_t **out, struct err *e)
{
	char *text = body != NULL ? json_text(body, JSON_COMPACT) : NULL;
	const struct ask_body sent = {
		.type = body != NULL ? "application/json" : NULL,
		.data = text,
		.len = text != NULL ? strlen(text) : 0,
	};
	bool ok = body == NULL || text != NULL ? ask_with_body(s, cfg, name, method, ref, path, &sent, out, e)
					       : err_no_memory(e);

	free(text);
	return ok;
}
