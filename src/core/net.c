#include "core/net.h"

#include "core/text.h"

#include <arpa/inet.h>
#include <string.h>

#define MAX_ENTRY 64

/* The first 12 bytes of an IPv4 address in IPv6's form (RFC 4291, 2.5.5.2). */
static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

bool net_address(const char *s, struct net *out)
{
	*out = (struct net){.bits = 32, .prefix = 32};
	if (inet_pton(AF_INET, s, out->bytes) == 1)
		return true;
	out->bits = out->prefix = 128;
	if (inet_pton(AF_INET6, s, out->bytes) != 1)
		return false;
	if (memcmp(out->bytes, mapped, sizeof mapped) == 0) {
		memmove(out->bytes, out->bytes + sizeof mapped, 4);
		memset(out->bytes + 4, 0, sizeof mapped);
		out->bits = out->prefix = 32;
	}
	return true;
}

bool net_network(const char *s, struct net *out)
{
	const char *slash = strchr(s, '/');
	char address[MAX_ENTRY];
	int64_t prefix;

	if (slash == NULL)
		return net_address(s, out);
	if ((size_t)(slash - s) >= sizeof address)
		return false;
	memcpy(address, s, (size_t)(slash - s));
	address[slash - s] = '\0';
	/* A mapped address became an IPv4 one, and a prefix counted in IPv6 bits would mean something else. */
	if (!net_address(address, out) || (out->bits == 32 && strchr(address, ':') != NULL) ||
	    !text_int64(slash + 1, 0, out->bits, &prefix))
		return false;
	out->prefix = (int)prefix;
	return true;
}

void net_subscriber(const char *address, char out[NET_SUBSCRIBER_SIZE])
{
	size_t len = strnlen(address, NET_SUBSCRIBER_SIZE - 1);
	struct net n;

	memcpy(out, address, len);
	out[len] = '\0';
	/* Of what is no IPv6 address one form only is taken for an address. */
	if (strchr(address, ':') == NULL || !net_address(address, &n))
		return;
	if (n.bits == 128)
		memset(n.bytes + 8, 0, 8);
	(void)inet_ntop(n.bits == 128 ? AF_INET6 : AF_INET, n.bytes, out, NET_SUBSCRIBER_SIZE);
}

bool net_is_exact(const struct net *n)
{
	for (int bit = n->prefix; bit < n->bits; bit++)
		if (n->bytes[bit / 8] & 0x80 >> bit % 8)
			return false;
	return true;
}

bool net_contains(const struct net *outer, const struct net *inner)
{
	size_t whole = (size_t)outer->prefix / 8;
	int rest = outer->prefix % 8;

	if (outer->bits != inner->bits || inner->prefix < outer->prefix)
		return false;
	return memcmp(outer->bytes, inner->bytes, whole) == 0 &&
	       (rest == 0 || (outer->bytes[whole] ^ inner->bytes[whole]) >> (8 - rest) == 0);
}

bool net_list_contains(const char *list, const struct net *inner)
{
	while (*list != '\0') {
		size_t len = strcspn(list, ", ");
		char entry[MAX_ENTRY];
		struct net outer;

		if (len > 0 && len < sizeof entry) {
			memcpy(entry, list, len);
			entry[len] = '\0';
			if (net_network(entry, &outer) && net_contains(&outer, inner))
				return true;
		}
		list += len + strspn(list + len, ", ");
	}
	return false;
}

bool net_any_contains(const char *const *networks, const struct net *inner)
{
	struct net outer;

	for (; *networks != NULL; networks++)
		if (net_network(*networks, &outer) && net_contains(&outer, inner))
			return true;
	return false;
}

/* len digits of s. */
static bool read_port(const char *s, size_t len, int64_t *port)
{
	char text[6];

	if (len >= sizeof text)
		return false;
	memcpy(text, s, len);
	text[len] = '\0';
	return text_int64(text, 1, 65535, port);
}

bool net_url_port(const char *url, int64_t *port)
{
	bool tls = text_starts(url, "https://");
	const char *host = url + (tls ? 8 : 7);
	const char *colon;
	size_t len;

	if (!tls && !text_starts(url, "http://"))
		return false;
	len = strcspn(host, "/?#");
	colon = memrchr(host, ':', len);
	/* The last colon of [::1] is none before a port. */
	if (colon == NULL || memchr(colon, ']', len - (size_t)(colon - host)) != NULL) {
		*port = tls ? 443 : 80;
		return true;
	}
	return read_port(colon + 1, len - (size_t)(colon - host) - 1, port);
}

bool net_next_port(const char **list, int64_t *port)
{
	size_t len = *list != NULL ? strcspn(*list, ", ") : 0;

	if (len == 0 || !read_port(*list, len, port))
		return false;
	*list += len;
	*list += strspn(*list, ", ");
	return true;
}
