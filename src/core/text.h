/*
 * text - small, bounded operations on strings and encodings.
 *
 * Nothing here allocates, except where an arena is given. Sizes are in bytes.
 */
#ifndef FA_CORE_TEXT_H
#define FA_CORE_TEXT_H

#include "core/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The outcome of a comparison that is read aloud more easily than strcmp's. */
bool text_eq(const char *a, const char *b);
bool text_starts(const char *s, const char *prefix);
bool text_ends(const char *s, const char *suffix);

/* True for well-formed UTF-8 (RFC 3629): no overlong form, no surrogate, nothing above U+10FFFF. */
bool text_utf8_valid(const char *s, size_t len);

/* Drops a multi-byte character that a cut left incomplete at the end of s. */
void text_cut_utf8(char *s);

/* Drops every byte of s that is not of a well-formed character. */
void text_mend_utf8(char *s);

/* Lower-case hexadecimal; out needs 2 * len + 1 bytes. */
void text_hex(const uint8_t *data, size_t len, char *out);

/* Reads exactly 2 * len hexadecimal digits of either case; false for anything else. */
bool text_unhex(const char *hex, uint8_t *out, size_t len);

/* A whole decimal number within [min, max]; false for an empty string, a sign before 0 digits, spaces or trailing text.
 */
bool text_int64(const char *s, int64_t min, int64_t max, int64_t *out);

/* "64", "512k", "20M", "1G" (powers of 1024) to bytes. */
bool text_size(const char *s, int64_t *out);

/* Milliseconds since the epoch as ISO 8601 in UTC, "2026-11-23T06:47:00.123Z"; out needs 25 bytes. */
void text_iso8601(int64_t ms, char out[25]);

/* ISO 8601 (RFC 3339, 5.6) to milliseconds since the epoch: a date and a time with seconds, an optional fraction, and Z
 * or an offset. False for anything else, and for days that no month has. */
bool text_parse_iso8601(const char *s, int64_t *ms);

/*
 * Percent-decodes len bytes (RFC 3986, 2.1; '+' stays as it is unless plus_is_space). NULL for a bad escape, for %00,
 * for a result that is not UTF-8, or when memory is out.
 */
char *text_url_decode(struct arena *a, const char *s, size_t len, bool plus_is_space);

/* Percent-encodes all but unreserved characters and '/' (RFC 3986, 2.3). NULL when memory is out. */
char *text_url_encode_path(struct arena *a, const char *s);

/* base64url without padding (RFC 4648, 5), strict: no padding, no stray bits, no other character. NULL where it is not
 * that. */
uint8_t *text_base64url_decode(struct arena *a, const char *s, size_t len, size_t *out_len);

/* Compares secrets in constant time for equal lengths; the length itself is not secret. */
bool text_secret_eq(const char *a, const char *b);

#endif
