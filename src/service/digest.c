#include "service/digest.h"

#include "core/crypto.h"
#include "service/settings.h"

#include <endian.h>
#include <string.h>

/* Each piece with its length before it, so that no two different lists of pieces look alike. */
static void piece(struct sha256 *h, const void *data, size_t len)
{
	uint64_t size = htole64(len);

	sha256_update(h, &size, sizeof size);
	sha256_update(h, data, len);
}

static void text_piece(struct sha256 *h, const char *s)
{
	piece(h, s != NULL ? s : "", s != NULL ? strlen(s) : 0);
}

bool digest_version(struct arena *a, struct version *v, const struct file_list *files, struct err *e)
{
	const char *settings = settings_canonical(a, v->settings);
	struct sha256 *h = sha256_new();
	bool ok;

	if (h == NULL || settings == NULL) {
		sha256_free(h);
		return err_no_memory(e);
	}
	text_piece(h, v->kind == KIND_ESZIP ? "eszip" : "source");
	text_piece(h, v->entrypoint);
	text_piece(h, v->import_map);
	text_piece(h, v->verify_jwt ? "verify" : "open");
	/* As the database gives it back it has other spaces; what counts is what it says. */
	text_piece(h, settings);
	for (size_t i = 0; v->static_patterns != NULL && v->static_patterns[i] != NULL; i++)
		text_piece(h, v->static_patterns[i]);
	text_piece(h, "files");
	for (size_t i = 0; i < files->count; i++) {
		text_piece(h, files->items[i].path);
		piece(h, files->items[i].sha256, sizeof files->items[i].sha256);
	}
	ok = sha256_final(h, v->digest);
	sha256_free(h);
	return ok ? true : err_no_memory(e);
}
