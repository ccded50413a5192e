/*
 * names - what functions, tokens and the like may be called.
 */
#ifndef FA_CORE_NAMES_H
#define FA_CORE_NAMES_H

#include "core/error.h"

#include <stdbool.h>

#define NAMES_MAX_SLUG 128
#define NAMES_MAX_NAME 256

/* ^[A-Za-z][A-Za-z0-9_-]*$, at most 128 bytes, not reserved ("main"; what starts with '_' or '.' fails the pattern).
 * ERR_INVALID. */
MUST_CHECK bool names_check_slug(const char *slug, struct err *e);

/* A project's ref: 20 lower-case letters. */
bool names_is_ref(const char *ref);

/* A display name: 1 to 256 bytes of UTF-8 without control characters. ERR_INVALID. */
MUST_CHECK bool names_check_name(const char *name, struct err *e);

/* A slug, or a pattern of slugs, in which '*' stands for any run of characters. ERR_INVALID. */
MUST_CHECK bool names_check_slug_pattern(const char *pattern, struct err *e);

/* "10.0.0.0/8", "2001:db8::7": an address or a network without bits beyond its prefix. ERR_INVALID. */
MUST_CHECK bool names_check_network(const char *network, struct err *e);

/* True where a byte below 0x20, or 0x7F, is in s. */
bool names_has_control(const char *s);

#endif
