#include "core/names.h"

#include "core/net.h"
#include "core/text.h"

#include <string.h>

bool names_check_slug(const char *slug, struct err *e)
{
	size_t len = strlen(slug);
	bool ok = len >= 1 && len <= NAMES_MAX_SLUG && ((slug[0] | 32) >= 'a' && (slug[0] | 32) <= 'z');

	for (size_t i = 1; ok && i < len; i++) {
		char c = slug[i];

		ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
	}
	if (!ok) {
		(void)err_set(e, ERR_INVALID, "invalid_slug", "The function slug is not valid");
		return err_hint(
			e, "A slug starts with a letter and has letters, digits, '-' and '_' only, at most %d in all.",
			NAMES_MAX_SLUG);
	}
	if (text_eq(slug, "main")) {
		(void)err_set(e, ERR_INVALID, "reserved_slug", "The function slug \"main\" is reserved");
		return err_hint(e, "The edge runtime's main service lies there. Choose another slug.");
	}
	return true;
}

bool names_is_ref(const char *ref)
{
	return strlen(ref) == 20 && ref[strspn(ref, "abcdefghijklmnopqrstuvwxyz")] == '\0';
}

bool names_check_slug_pattern(const char *pattern, struct err *e)
{
	size_t len = strlen(pattern);

	if (len >= 1 && len <= NAMES_MAX_SLUG &&
	    strspn(pattern, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-*") == len)
		return true;
	(void)err_set(e, ERR_INVALID, "invalid_slug_pattern", "\"%.60s\" is no slug and no pattern of slugs", pattern);
	return err_hint(e, "Write a slug, or a pattern such as ci-*.");
}

bool names_check_network(const char *network, struct err *e)
{
	struct net n;

	if (net_network(network, &n) && net_is_exact(&n))
		return true;
	(void)err_set(e, ERR_INVALID, "invalid_network", "\"%.60s\" is no IP address and no network", network);
	return err_hint(e, "Write it as in 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32.");
}

bool names_has_control(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7F)
			return true;
	return false;
}

bool names_check_name(const char *name, struct err *e)
{
	size_t len = strlen(name);

	if (len == 0 || len > NAMES_MAX_NAME || names_has_control(name) || !text_utf8_valid(name, len)) {
		(void)err_set(e, ERR_INVALID, "invalid_name", "The name is not valid");
		return err_hint(e, "A name has 1 to %d bytes of UTF-8 and no control characters.", NAMES_MAX_NAME);
	}
	return true;
}
