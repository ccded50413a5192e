#include "auth/apikey.h"

#include "auth/token.h"
#include "core/text.h"

#include <string.h>

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The prefix, then at least one character of base64url, and no other. */
static bool is_opaque(const char *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return text_starts(s, prefix) && s[len] != '\0' && s[len + strspn(s + len, base64url)] == '\0';
}

static bool is_jwt(const char *s)
{
	for (int part = 1; part <= 3; part++) {
		size_t len = strspn(s, base64url);

		if (len == 0 || s[len] != (part < 3 ? '.' : '\0'))
			return false;
		s += len + 1;
	}
	return true;
}

enum apikey_kind apikey_classify(const char *credential)
{
	if (token_shape(credential))
		return APIKEY_ACCESS_TOKEN;
	if (is_opaque(credential, "sb_secret_"))
		return APIKEY_SECRET;
	if (is_opaque(credential, "sb_publishable_"))
		return APIKEY_PUBLISHABLE;
	return is_jwt(credential) ? APIKEY_JWT : APIKEY_OTHER;
}
