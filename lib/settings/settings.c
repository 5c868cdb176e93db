/* The settings table at work: defaults, then file, environment and flags on top. */
#include "lib/settings/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/parse.h"
#include "lib/base/str.h"
#include "lib/settings/help.h"

extern char **environ;

#define SETTINGS_FILE_MAX (1024 * 1024)

static bool
set_u32(const struct setting *row, const char *text, uint32_t *field, struct err *err)
{
    return parse_u32(text, row->min, row->max ? row->max : UINT32_MAX, field, err);
}

static bool
set_millis(const char *text, uint64_t *field, struct err *err)
{
    uint32_t ms = 0;

    if (parse_u32(text, 0, UINT32_MAX, &ms, NULL)) {
        *field = ms;
        return true;
    }
    return parse_duration_ms(text, field, err);
}

static bool
set_seconds(const struct setting *row, const char *text, uint32_t *field, struct err *err)
{
    uint32_t max = row->max ? row->max : UINT32_MAX;
    uint64_t ms = 0;

    if (!parse_duration_ms(text, &ms, err)) {
        return false;
    }
    if (ms % 1000 != 0 || ms / 1000 < row->min || ms / 1000 > max) {
        return err_set(err, "'%.64s' is not a whole number of seconds from %u to %u", text,
                       row->min, max);
    }
    *field = (uint32_t)(ms / 1000);
    return true;
}

static bool
set_mask(const struct setting *row, const char *text, uint32_t *field, struct err *err)
{
    uint32_t mask = 0;

    if (row->check && !row->check(text, err)) {
        return false;
    }
    if (!parse_mask(text, &mask, err)) {
        return false;
    }
    *field = mask;
    return true;
}

static bool
set_choice(const struct setting *row, const char *text, unsigned *field, struct err *err)
{
    AUTO(str) struct str known = STR_INIT;

    for (unsigned i = 0; row->choices[i]; i++) {
        if (strcasecmp(text, row->choices[i]) == 0) {
            *field = i;
            return true;
        }
        str_addf(&known, "%s%s", i ? ", " : "", row->choices[i]);
    }
    return err_set(err, "'%.64s' is not one of: %s", text, str_text(&known));
}

static bool
set_text(const struct setting *row, const char *text, char **field, struct err *err)
{
    const char *value = strcasecmp(text, "none") == 0 ? "" : text;

    /* A row that validates its text knows for itself what "none" means. */
    if (row->check) {
        value = text;
        if (!row->check(text, err)) {
            return false;
        }
    }
    free(*field);
    *field = xstrdup(value);
    return true;
}

static bool
set_row(const struct setting *row, void *target, const char *text, struct err *err)
{
    void *field = (char *)target + row->offset;

    switch (row->type) {
    case SETTING_TEXT:
        return set_text(row, text, field, err);
    case SETTING_BOOL:
    case SETTING_FLAG:
        return parse_bool(text, field, err);
    case SETTING_U32:
        return set_u32(row, text, field, err);
    case SETTING_DURATION:
        return parse_duration_ms(text, field, err);
    case SETTING_MILLIS:
        return set_millis(text, field, err);
    case SETTING_SECONDS:
        return set_seconds(row, text, field, err);
    case SETTING_MASK:
        return set_mask(row, text, field, err);
    case SETTING_CHOICE:
        return set_choice(row, text, field, err);
    }
    return err_set(err, "unknown setting type");
}

bool
settings_find(const struct settings_spec *spec, const char *name, size_t *ret_row)
{
    for (size_t i = 0; i < spec->n_rows; i++) {
        const struct setting *row = &spec->rows[i];
        if (strcasecmp(row->name, name) == 0 || (row->env && strcasecmp(row->env, name) == 0) ||
            (row->field && strcasecmp(row->field, name) == 0)) {
            *ret_row = i;
            return true;
        }
    }
    return false;
}

static const struct setting *
find_row(const struct settings_spec *spec, const char *key)
{
    size_t i = 0;

    return settings_find(spec, key, &i) ? &spec->rows[i] : NULL;
}

/* The row has a value from a source that objects of the API cannot overrule. */
static void
note_given(const struct settings_spec *spec, void *target, const struct setting *row)
{
    if (spec->given) {
        ((bool *)((char *)target + spec->given))[row - spec->rows] = true;
    }
}

bool
settings_is_from_api(const struct settings_spec *spec, const struct setting *row)
{
    if (row->is_local) {
        return false;
    }
    return row->effect != 0 || (spec->env_prefix && row->env &&
                                strncmp(row->env, spec->env_prefix, strlen(spec->env_prefix)) == 0);
}

static size_t
size_of(const struct setting *row)
{
    switch (row->type) {
    case SETTING_TEXT:
        return sizeof(char *);
    case SETTING_BOOL:
    case SETTING_FLAG:
        return sizeof(bool);
    case SETTING_U32:
    case SETTING_SECONDS:
    case SETTING_MASK:
        return sizeof(uint32_t);
    case SETTING_DURATION:
    case SETTING_MILLIS:
        return sizeof(uint64_t);
    case SETTING_CHOICE:
        return sizeof(unsigned);
    }
    return 0;
}

void
settings_copy_row(const struct setting *row, void *target, const void *source)
{
    void *to = (char *)target + row->offset;
    const void *from = (const char *)source + row->offset;

    if (row->type == SETTING_TEXT) {
        char **text = to;
        char *copy = xstrdup(*(char *const *)from);
        free(*text);
        *text = copy;
        return;
    }
    memcpy(to, from, size_of(row));
}

void
settings_copy(const struct settings_spec *spec, void *target, const void *source)
{
    for (size_t i = 0; i < spec->n_rows; i++) {
        settings_copy_row(&spec->rows[i], target, source);
    }
    if (spec->given) {
        memcpy((char *)target + spec->given, (const char *)source + spec->given,
               spec->n_rows * sizeof(bool));
    }
}

bool
settings_row_equal(const struct setting *row, const void *a, const void *b)
{
    const void *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;

    if (row->type == SETTING_TEXT) {
        return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    }
    return memcmp(x, y, size_of(row)) == 0;
}

bool
settings_set(const struct settings_spec *spec, void *target, const char *name, const char *value,
             struct err *err)
{
    const struct setting *row = find_row(spec, name);

    if (!row) {
        return err_set(err, "setting '%.64s' is not known", name);
    }
    return set_row(row, target, value, err) || err_wrap(err, "setting %s", row->name);
}

struct origin {
    const struct settings_spec *spec;
    const char *name; /* a path, or "environment" */
    void (*report)(const char *text);
};

static void
set_or_report(const struct origin *origin, const struct setting *row, void *target,
              const char *value)
{
    struct err err = ERR_INIT;
    char text[ERR_TEXT_MAX + 256];

    if (!set_row(row, target, value, &err)) {
        snprintf(text, sizeof text, "%s: setting %s: %s; it is ignored", origin->name, row->name,
                 err.text);
        origin->report(text);
        return;
    }
    note_given(origin->spec, target, row);
}

static char *
trim(char *text)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    for (size_t len = strlen(text); len > 0 && isspace((unsigned char)text[len - 1]); len--) {
        text[len - 1] = '\0';
    }
    return text;
}

static void
load_line(const struct origin *origin, void *target, char *line)
{
    char text[512];

    line = trim(line);
    if (*line == '\0' || *line == '#' || *line == ';' || *line == '[') {
        return;
    }
    char *equals = strchr(line, '=');
    if (!equals) {
        snprintf(text, sizeof text, "%s: '%.64s' is not KEY=VALUE; the line is ignored",
                 origin->name, line);
        origin->report(text);
        return;
    }
    *equals = '\0';
    const struct setting *row = find_row(origin->spec, trim(line));
    if (!row || row->type == SETTING_FLAG) {
        snprintf(text, sizeof text, "%s: setting '%.64s' is not known; it is ignored", origin->name,
                 line);
        origin->report(text);
        return;
    }
    set_or_report(origin, row, target, trim(equals + 1));
}

static void
load_file(const struct settings_spec *spec, void *target, void (*report)(const char *text))
{
    AUTO(str) struct str content = STR_INIT;
    struct err err = ERR_INIT;
    const char *named = spec->file_env ? getenv(spec->file_env) : NULL;
    const char *path = named ? named : spec->file;
    const struct origin origin = {.spec = spec, .name = path, .report = report};

    if (!path) {
        return;
    }
    if (!file_read(path, SETTINGS_FILE_MAX, &content, &err)) {
        /* The default file need not be there; one that was named must. */
        if (named || err.code != ENOENT) {
            report(err.text);
        }
        return;
    }
    char *save = NULL;
    for (char *line = strtok_r(content.text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        load_line(&origin, target, line);
    }
}

static void
load_environment(const struct settings_spec *spec, void *target, void (*report)(const char *text))
{
    const struct origin origin = {.spec = spec, .name = "environment", .report = report};

    for (char **it = environ; it && *it; it++) {
        const char *equals = strchr(*it, '=');
        if (!equals) {
            continue;
        }
        AUTO_FREE char *name = xstrndup(*it, (size_t)(equals - *it));
        const struct setting *row = NULL;
        for (size_t i = 0; i < spec->n_rows && !row; i++) {
            if (spec->rows[i].env && strcasecmp(spec->rows[i].env, name) == 0) {
                row = &spec->rows[i];
            }
        }
        if (row) {
            set_or_report(&origin, row, target, equals + 1);
        } else if (spec->env_prefix &&
                   strncasecmp(name, spec->env_prefix, strlen(spec->env_prefix)) == 0) {
            char text[256];
            snprintf(text, sizeof text, "environment: setting %.128s is not known; it is ignored",
                     name);
            report(text);
        }
    }
}

/* "--iptables-refresh-interval" for "IptablesRefreshInterval": dashes and case do not count. */
static const struct setting *
find_flag(const struct settings_spec *spec, const char *flag, size_t len)
{
    for (size_t i = 0; i < spec->n_rows; i++) {
        AUTO_FREE char *name = settings_flag_name(spec->rows[i].name);
        if (strlen(name) == len && strncmp(name, flag, len) == 0) {
            return &spec->rows[i];
        }
    }
    return NULL;
}

static bool
load_flag(const struct settings_spec *spec, void *target, char *const **arg, struct err *err)
{
    const char *flag = **arg;
    const char *equals = strchr(flag, '=');
    size_t len = equals ? (size_t)(equals - flag) : strlen(flag);

    if (strncmp(flag, "--", 2) != 0) {
        return err_set(err, "'%.64s' is not a flag", flag);
    }
    const struct setting *row = find_flag(spec, flag + 2, len - 2);
    if (!row) {
        return err_set(err, "'%.64s' is not known", flag);
    }
    const char *value = equals ? equals + 1 : NULL;
    if (!value && row->type == SETTING_FLAG) {
        value = "true";
    } else if (!value) {
        value = *++*arg;
    }
    if (!value) {
        return err_set(err, "%s wants a value", flag);
    }
    if (!set_row(row, target, value, err)) {
        return err_wrap(err, "%.*s", (int)len, flag);
    }
    note_given(spec, target, row);
    return true;
}

static bool
load_flags(const struct settings_spec *spec, char *const argv[], void *target, struct err *err)
{
    for (char *const *arg = argv + 1; *arg; arg++) {
        if (!load_flag(spec, target, &arg, err)) {
            return false;
        }
    }
    return true;
}

enum settings_outcome
settings_load(const struct settings_spec *spec, int argc, char *const argv[], void *target,
              void (*report)(const char *text))
{
    struct err err = ERR_INIT;

    for (int i = 1; i < argc; i++) {
        if (settings_help(spec, argv[i])) {
            return SETTINGS_EXIT_OK;
        }
    }
    for (size_t i = 0; i < spec->n_rows; i++) {
        if (!set_row(&spec->rows[i], target, spec->rows[i].initial, &err)) {
            fprintf(stderr, "%s: default of %s: %s\n", spec->program, spec->rows[i].name, err.text);
            return SETTINGS_EXIT_BAD;
        }
    }
    load_file(spec, target, report);
    load_environment(spec, target, report);
    if (!load_flags(spec, argv, target, &err)) {
        fprintf(stderr, "%s: %s; '%s --help' lists what there is\n", spec->program, err.text,
                spec->program);
        return SETTINGS_EXIT_BAD;
    }
    return SETTINGS_RUN;
}

void
settings_done(const struct settings_spec *spec, void *target)
{
    for (size_t i = 0; i < spec->n_rows; i++) {
        if (spec->rows[i].type == SETTING_TEXT) {
            char **text = (void *)((char *)target + spec->rows[i].offset);
            free(*text);
            *text = NULL;
        }
    }
}
