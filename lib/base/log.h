/* Logging to standard error, and to a file and the system's log where that is wanted; one line a
 * message: `time level module text key=value`, or JSON. Each .c that logs has LOG_MODULE("name")
 * once at file scope. Levels: error = a person must act; warn = degraded, and what happens next;
 * info = a change a person would ask about; debug = the rest. Control characters in messages are
 * escaped: a message from outside cannot forge a line. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/own.h"

enum log_level {
    LOG_ERROR,
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG
};
enum log_format {
    LOG_TEXT,
    LOG_JSON
};

/* A place that repeats: at most one line per period, the next line says how many were held back. */
struct log_limit {
    uint64_t next_ms;
    uint32_t n_held;
};

void log_setup(enum log_level level, enum log_format format);
/* Appends lines of this level to a file, too, which is made with mode 0600; NULL: no longer. What
 * rotates it must copy and truncate. On failure no file is written. */
MUST_CHECK bool log_to_file(const char *path, enum log_level level, struct err *err);
/* Lines of this level go to the system's log, too, as from 'program' (borrowed); NULL: no longer.
 */
void log_to_syslog(const char *program, enum log_level level);
/* Debug lines only of modules whose name matches the regular expression; NULL: of all. */
MUST_CHECK bool log_debug_only(const char *expression, struct err *err);
/* Names as in settings: "error" "warn"/"warning" "info" "debug", any case; Calico's FATAL/TRACE
 * too. */
MUST_CHECK bool log_level_parse(const char *text, enum log_level *ret_level, struct err *err);
/* Level of one module, over the general one. */
void log_module_level(const char *module, enum log_level level);
bool log_enabled(enum log_level level, const char *module);
void log_write(enum log_level level, const char *module, const char *format, ...) PRINTF_LIKE(3, 4);
/* A line with a JSON object: behind the text, or as a member 'key' where lines are JSON. 'json' is
 * well-formed and has no newline. */
void log_write_object(enum log_level level, const char *module, const char *text, const char *key,
                      const char *json);
/* True when the place may log now. */
bool log_limit_pass(struct log_limit *limit, uint32_t period_s, uint32_t *ret_n_held);

#define LOG_MODULE(name) static const char log_module_name[] UNUSED = name

#define log_at(level, ...)                                    \
    do {                                                      \
        if (log_enabled((level), log_module_name)) {          \
            log_write((level), log_module_name, __VA_ARGS__); \
        }                                                     \
    } while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#define log_every(level, period_s, ...)                                                         \
    do {                                                                                        \
        static struct log_limit log_limit_here;                                                 \
        uint32_t log_n_held = 0;                                                                \
        if (log_enabled((level), log_module_name) &&                                            \
            log_limit_pass(&log_limit_here, (period_s), &log_n_held)) {                         \
            log_write((level), log_module_name, __VA_ARGS__);                                   \
            if (log_n_held > 0) {                                                               \
                log_write((level), log_module_name, "the message above was held back %u times", \
                          log_n_held);                                                          \
            }                                                                                   \
        }                                                                                       \
    } while (0)
#define log_warn_every(period_s, ...) log_every(LOG_WARN, (period_s), __VA_ARGS__)
#define log_error_every(period_s, ...) log_every(LOG_ERROR, (period_s), __VA_ARGS__)
