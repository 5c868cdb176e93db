/* The logger. Its level and format are the one piece of process-wide state: they are set once at
 * start and read everywhere. */
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log_syslog.h"
#include "lib/base/str.h"

#define N_MODULE_LEVELS 32
#define MODULE_NAME_MAX 32

static struct {
    enum log_level level;
    enum log_format format;
    struct {
        char module[MODULE_NAME_MAX];
        enum log_level level;
    } modules[N_MODULE_LEVELS];
    size_t n_modules;
    int file; /* -1: none */
    enum log_level file_level;
    bool has_syslog;
    enum log_level syslog_level;
    bool has_debug_only;
    regex_t debug_only;
} log_state = {.level = LOG_INFO, .file = -1};

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

void
log_setup(enum log_level level, enum log_format format)
{
    log_state.level = level;
    log_state.format = format;
}

bool
log_to_file(const char *path, enum log_level level, struct err *err)
{
    if (log_state.file >= 0) {
        close(log_state.file);
        log_state.file = -1;
    }
    if (!path) {
        return true;
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0) {
        return err_sys(err, errno, "open %s for the log", path);
    }
    log_state.file = fd;
    log_state.file_level = level;
    return true;
}

void
log_to_syslog(const char *program, enum log_level level)
{
    log_state.has_syslog = program != NULL;
    log_state.syslog_level = level;
    log_syslog_open(program);
}

bool
log_debug_only(const char *expression, struct err *err)
{
    if (log_state.has_debug_only) {
        regfree(&log_state.debug_only);
        log_state.has_debug_only = false;
    }
    if (!expression) {
        return true;
    }
    if (regcomp(&log_state.debug_only, expression, REG_EXTENDED | REG_NOSUB) != 0) {
        return err_set(err, "'%.64s' is not a regular expression", expression);
    }
    log_state.has_debug_only = true;
    return true;
}

bool
log_level_parse(const char *text, enum log_level *ret_level, struct err *err)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {{"error", LOG_ERROR}, {"fatal", LOG_ERROR},  {"panic", LOG_ERROR},
                 {"warn", LOG_WARN},   {"warning", LOG_WARN}, {"info", LOG_INFO},
                 {"debug", LOG_DEBUG}, {"trace", LOG_DEBUG}};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcasecmp(text, names[i].name) == 0) {
            *ret_level = names[i].level;
            return true;
        }
    }
    return err_set(err, "'%s' is not a log level (error, warn, info, debug)", text);
}

void
log_module_level(const char *module, enum log_level level)
{
    for (size_t i = 0; i < log_state.n_modules; i++) {
        if (strcmp(log_state.modules[i].module, module) == 0) {
            log_state.modules[i].level = level;
            return;
        }
    }
    if (log_state.n_modules < N_MODULE_LEVELS) {
        snprintf(log_state.modules[log_state.n_modules].module, MODULE_NAME_MAX, "%s", module);
        log_state.modules[log_state.n_modules].level = level;
        log_state.n_modules++;
    }
}

static bool
is_for_screen(enum log_level level, const char *module)
{
    for (size_t i = 0; i < log_state.n_modules; i++) {
        if (strcmp(log_state.modules[i].module, module) == 0) {
            return level <= log_state.modules[i].level;
        }
    }
    return level <= log_state.level;
}

static bool
is_for_file(enum log_level level)
{
    return log_state.file >= 0 && level <= log_state.file_level;
}

static bool
is_for_syslog(enum log_level level)
{
    return log_state.has_syslog && level <= log_state.syslog_level;
}

bool
log_enabled(enum log_level level, const char *module)
{
    if (!is_for_screen(level, module) && !is_for_file(level) && !is_for_syslog(level)) {
        return false;
    }
    return level != LOG_DEBUG || !log_state.has_debug_only ||
           regexec(&log_state.debug_only, module, 0, NULL, 0) == 0;
}

static void
add_escaped(struct str *line, const char *text, bool json)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c < 0x20 || *c == 0x7f) {
            str_addf(line, json ? "\\u%04x" : "\\x%02x", *c);
        } else if (json && (*c == '"' || *c == '\\')) {
            str_addf(line, "\\%c", *c);
        } else {
            str_add_char(line, (char)*c);
        }
    }
}

/* Up to the text's end; the line is open. */
static void
begin_line(struct str *line, enum log_level level, const char *module, const char *text)
{
    char now[32];

    clock_rfc3339(now, sizeof now);
    if (log_state.format == LOG_JSON) {
        str_addf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"module\":\"%s\",\"msg\":\"", now,
                 level_names[level], module);
        add_escaped(line, text, true);
        str_add_char(line, '"');
    } else {
        str_addf(line, "%s %-5s %s: ", now, level_names[level], module);
        add_escaped(line, text, false);
    }
}

/* One write per line, so lines of several processes on one file do not mix. */
static void
end_line(struct str *line, enum log_level level, const char *module)
{
    str_add(line, log_state.format == LOG_JSON ? "}" : "");
    if (is_for_syslog(level)) {
        log_syslog_write((int)level, str_text(line));
    }
    str_add_char(line, '\n');
    /* What cannot be written is lost: there is nowhere to say so. */
    if (is_for_screen(level, module)) {
        ssize_t written = write(STDERR_FILENO, line->text, line->len);
        (void)written;
    }
    if (is_for_file(level)) {
        ssize_t written = write(log_state.file, line->text, line->len);
        (void)written;
    }
}

void
log_write(enum log_level level, const char *module, const char *format, ...)
{
    AUTO(str) struct str text = STR_INIT;
    AUTO(str) struct str line = STR_INIT;
    va_list args;

    va_start(args, format);
    str_vaddf(&text, format, args);
    va_end(args);
    begin_line(&line, level, module, str_text(&text));
    end_line(&line, level, module);
}

void
log_write_object(enum log_level level, const char *module, const char *text, const char *key,
                 const char *json)
{
    AUTO(str) struct str line = STR_INIT;

    begin_line(&line, level, module, text);
    if (log_state.format == LOG_JSON) {
        str_addf(&line, ",\"%s\":%s", key, json);
    } else {
        str_addf(&line, " %s", json);
    }
    end_line(&line, level, module);
}

bool
log_limit_pass(struct log_limit *limit, uint32_t period_s, uint32_t *ret_n_held)
{
    uint64_t now = clock_monotonic_ms();

    if (limit->next_ms > now) {
        limit->n_held++;
        return false;
    }
    *ret_n_held = limit->n_held;
    limit->n_held = 0;
    limit->next_ms = now + (uint64_t)period_s * 1000;
    return true;
}
