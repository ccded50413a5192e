/*
 * net - IP addresses, networks and ports as text: "10.0.0.7", "10.0.0.0/8", "::1", "fd00::/8", "5432".
 *
 * Nothing here allocates or resolves names. An IPv4 address that came in IPv6's clothes (::ffff:10.0.0.7) counts as the
 * IPv4 address that it is.
 */
#ifndef FA_CORE_NET_H
#define FA_CORE_NET_H

#include <stdbool.h>
#include <stdint.h>

struct net {
	int bits;   /* of its kind of address: 32 or 128 */
	int prefix; /* how many of them count; all of them for an address */
	uint8_t bytes[16];
};

/* An address without a prefix; false for anything else. */
bool net_address(const char *s, struct net *out);

/* An address, or a network with a prefix; false for anything else. */
bool net_network(const char *s, struct net *out);

/*
 * What counts as one client where clients are counted: an IPv4 address, but of an IPv6 address the network of 64 bits,
 * since whoever has one address has all of these (RFC 6177). Other texts stay, cut to the size.
 */
#define NET_SUBSCRIBER_SIZE 64
void net_subscriber(const char *address, char out[NET_SUBSCRIBER_SIZE]);

/* A network as PostgreSQL's cidr takes it: no bit is set beyond its prefix. */
bool net_is_exact(const struct net *n);

/* True when everything in `inner` (an address or a network) lies in `outer`. */
bool net_contains(const struct net *outer, const struct net *inner);

/* The same for a list, "127.0.0.1, 10.0.0.0/8"; entries that are no networks hold nothing. */
bool net_list_contains(const char *list, const struct net *inner);

/* The same for a NULL-terminated array of networks. */
bool net_any_contains(const char *const *networks, const struct net *inner);

/* The port of a URL that begins with http:// or https://, written or by default; false for anything else. */
bool net_url_port(const char *url, int64_t *port);

/* The next of a list, "5432, 9000", which moves on behind it; false at its end (or NULL), and at what is no port. */
bool net_next_port(const char **list, int64_t *port);

#endif
