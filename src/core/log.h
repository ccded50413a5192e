/*
 * log - one event a line on standard error, as text or as JSON.
 *
 * The request's id and actor are added centrally: a thread sets its context once (log_context) and every line it writes
 * carries them. Values of secrets never reach this module. Thread-safe; each line is one write(2).
 */
#ifndef FA_CORE_LOG_H
#define FA_CORE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* level: error, warn, info or debug; format: text or json. False for any other word; nothing changes then. */
bool log_setup(const char *level, const char *format);

/* The request that this thread works on; NULL for none. The strings must live until the next call. */
void log_context(const char *request_id, const char *actor);

bool log_enabled(enum log_level level);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
