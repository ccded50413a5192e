#include "core/text.h"

#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool text_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

bool text_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s);
	size_t m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* The length of the well-formed sequence at s, or 0. The ranges are those of RFC 3629, section 4. */
static size_t utf8_sequence(const uint8_t *s, size_t left)
{
	uint8_t low = 0x80;
	uint8_t high = 0xBF;
	size_t more;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		more = 1;
	else if (s[0] >= 0xE0 && s[0] <= 0xEF)
		more = 2;
	else if (s[0] >= 0xF0 && s[0] <= 0xF4)
		more = 3;
	else
		return 0;
	if (left <= more)
		return 0;
	if (s[0] == 0xE0)
		low = 0xA0;
	else if (s[0] == 0xED)
		high = 0x9F;
	else if (s[0] == 0xF0)
		low = 0x90;
	else if (s[0] == 0xF4)
		high = 0x8F;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i <= more; i++)
		if (s[i] < 0x80 || s[i] > 0xBF)
			return 0;
	return more + 1;
}

bool text_utf8_valid(const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;

	while (len > 0) {
		uint64_t eight;
		size_t n;

		/* Most text is ASCII. */
		if (len >= sizeof eight) {
			memcpy(&eight, p, sizeof eight);
			if ((eight & UINT64_C(0x8080808080808080)) == 0) {
				p += sizeof eight;
				len -= sizeof eight;
				continue;
			}
		}
		n = utf8_sequence(p, len);
		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

void text_cut_utf8(char *s)
{
	size_t len = strlen(s);
	size_t back = 0;

	/* Only the last three bytes can belong to a sequence that the cut broke. */
	while (back < 3 && back < len && ((uint8_t)s[len - 1 - back] & 0xC0) == 0x80)
		back++;
	if (back < len && ((uint8_t)s[len - 1 - back] & 0x80) != 0 &&
	    utf8_sequence((const uint8_t *)s + len - 1 - back, back + 1) == 0)
		s[len - 1 - back] = '\0';
}

void text_mend_utf8(char *s)
{
	const uint8_t *from = (const uint8_t *)s;
	size_t left = strlen(s);

	while (left > 0) {
		size_t n = utf8_sequence(from, left);

		memmove(s, from, n);
		s += n;
		n = n > 0 ? n : 1;
		from += n;
		left -= n;
	}
	*s = '\0';
}

void text_hex(const uint8_t *data, size_t len, char *out)
{
	(void)sodium_bin2hex(out, 2 * len + 1, data, len);
}

bool text_unhex(const char *hex, uint8_t *out, size_t len)
{
	size_t got = 0;

	return strlen(hex) == 2 * len && sodium_hex2bin(out, len, hex, 2 * len, NULL, &got, NULL) == 0 && got == len;
}

bool text_int64(const char *s, int64_t min, int64_t max, int64_t *out)
{
	const char *digits = s[0] == '-' ? s + 1 : s;
	char *end;
	long long value;

	if (digits[0] < '0' || digits[0] > '9')
		return false;
	errno = 0;
	value = strtoll(s, &end, 10);
	if (errno != 0 || *end != '\0' || value < min || value > max)
		return false;
	*out = value;
	return true;
}

bool text_size(const char *s, int64_t *out)
{
	static const char units[] = "kMG";
	char number[24];
	size_t len = strlen(s);
	int64_t factor = 1;
	int64_t value;

	if (len == 0 || len >= sizeof number)
		return false;
	memcpy(number, s, len + 1);
	for (size_t i = 0; units[i] != '\0'; i++) {
		if (number[len - 1] == units[i]) {
			factor = (int64_t)1 << (10 * (i + 1));
			number[len - 1] = '\0';
			break;
		}
	}
	if (!text_int64(number, 0, INT64_MAX / factor, &value))
		return false;
	*out = value * factor;
	return true;
}

void text_iso8601(int64_t ms, char out[25])
{
	time_t seconds = (time_t)(ms / 1000);
	int rest = (int)(ms % 1000);
	struct tm tm;
	char day[20];

	if (rest < 0) {
		rest += 1000;
		seconds--;
	}
	if (gmtime_r(&seconds, &tm) == NULL || strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		memcpy(day, "1970-01-01T00:00:00", sizeof day);
	(void)snprintf(out, 25, "%s.%03dZ", day, rest);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The next `digits` decimal digits; -1 where they are not there. */
static int take_digits(const char **s, int digits)
{
	int n = 0;

	for (; digits > 0; digits--, (*s)++) {
		if (**s < '0' || **s > '9')
			return -1;
		n = n * 10 + (**s - '0');
	}
	return n;
}

static bool take_char(const char **s, const char *one_of)
{
	if (**s == '\0' || strchr(one_of, **s) == NULL)
		return false;
	(*s)++;
	return true;
}

/* "Z", "+02:00"; minutes east of Greenwich. */
static bool take_offset(const char **s, int *minutes)
{
	int sign = **s == '-' ? -1 : 1;
	int hour;
	int minute;

	*minutes = 0;
	if (take_char(s, "Zz"))
		return true;
	if (!take_char(s, "+-"))
		return false;
	hour = take_digits(s, 2);
	if (hour < 0 || hour > 23 || !take_char(s, ":"))
		return false;
	minute = take_digits(s, 2);
	*minutes = sign * (hour * 60 + minute);
	return minute >= 0 && minute <= 59;
}

bool text_parse_iso8601(const char *s, int64_t *ms)
{
	struct tm given = {0};
	struct tm back;
	int64_t fraction = 0;
	int offset;
	time_t seconds;

	given.tm_year = take_digits(&s, 4) - 1900;
	if (given.tm_year < 0 || !take_char(&s, "-"))
		return false;
	given.tm_mon = take_digits(&s, 2) - 1;
	if (given.tm_mon < 0 || !take_char(&s, "-"))
		return false;
	given.tm_mday = take_digits(&s, 2);
	if (!take_char(&s, "Tt "))
		return false;
	given.tm_hour = take_digits(&s, 2);
	if (given.tm_hour < 0 || !take_char(&s, ":"))
		return false;
	given.tm_min = take_digits(&s, 2);
	if (given.tm_min < 0 || !take_char(&s, ":"))
		return false;
	given.tm_sec = take_digits(&s, 2);
	if (given.tm_sec < 0)
		return false;
	if (take_char(&s, ".")) {
		int64_t unit = 100;

		if (*s < '0' || *s > '9')
			return false;
		for (; *s >= '0' && *s <= '9'; s++, unit /= 10)
			fraction += unit * (*s - '0');
	}
	back = given;
	if (!take_offset(&s, &offset) || *s != '\0')
		return false;
	/* timegm() takes 31 February for 3 March: what comes back must be what was given. */
	seconds = timegm(&back);
	if (back.tm_mday != given.tm_mday || back.tm_mon != given.tm_mon || back.tm_hour != given.tm_hour ||
	    back.tm_min != given.tm_min || back.tm_sec != given.tm_sec)
		return false;
	*ms = ((int64_t)seconds - (int64_t)offset * 60) * 1000 + fraction;
	return true;
}

char *text_url_decode(struct arena *a, const char *s, size_t len, bool plus_is_space)
{
	char *out = arena_alloc(a, len + 1);
	size_t n = 0;

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '%') {
			int high = len - i > 2 ? hex_digit(s[i + 1]) : -1;
			int low = len - i > 2 ? hex_digit(s[i + 2]) : -1;

			if (high < 0 || low < 0 || (high == 0 && low == 0))
				return NULL;
			out[n++] = (char)(high * 16 + low);
			i += 2;
		} else {
			out[n++] = plus_is_space && s[i] == '+' ? ' ' : s[i];
		}
	}
	out[n] = '\0';
	return memchr(out, '\0', n) == NULL && text_utf8_valid(out, n) ? out : NULL;
}

char *text_url_encode_path(struct arena *a, const char *s)
{
	static const char digits[] = "0123456789ABCDEF";
	char *out = arena_alloc(a, 3 * strlen(s) + 1);
	size_t n = 0;

	if (out == NULL)
		return NULL;
	for (; *s != '\0'; s++) {
		char c = *s;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~/", c) != NULL) {
			out[n++] = c;
		} else {
			out[n++] = '%';
			out[n++] = digits[(uint8_t)c >> 4];
			out[n++] = digits[(uint8_t)c & 15];
		}
	}
	out[n] = '\0';
	return out;
}

uint8_t *text_base64url_decode(struct arena *a, const char *s, size_t len, size_t *out_len)
{
	uint8_t *out = arena_alloc(a, len / 4 * 3 + 3);

	if (out == NULL || sodium_base642bin(out, len / 4 * 3 + 3, s, len, NULL, out_len, NULL,
					     sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		return NULL;
	return out;
}

bool text_secret_eq(const char *a, const char *b)
{
	size_t len = strlen(a);

	return len == strlen(b) && sodium_memcmp(a, b, len) == 0;
}
