/*
 * config_table - the rows of the option table; only config.c reads it. What the options mean to the rest of the program
 * stands in config.h.
 */
#ifndef FA_CORE_CONFIG_TABLE_H
#define FA_CORE_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type { OPTION_TEXT, OPTION_URL, OPTION_INT, OPTION_SIZE, OPTION_DURATION, OPTION_OCTAL, OPTION_BOOL };

/* Flags. */
enum { OPTION_SECRET = 1 << 0 };

struct option {
	const char *name;
	enum option_type type;
	unsigned flags;
	size_t offset;
	const char *fallback; /* the default, read like any other value */
	const char *supabase; /* its name in Supabase's .env */
	int64_t min;          /* numbers: bytes, milliseconds, or as they stand */
	int64_t max;
	const char *(*check)(const char *value);
	const char *help;
	const char *hint; /* what to do about a wrong value; numbers have one of their own */
};

extern const struct option config_options[];
extern const size_t config_option_count;

/* True for the text that may go over several lines. */
bool option_may_have_lines(const struct option *o);

#endif
