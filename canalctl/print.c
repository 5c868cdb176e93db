/* Reading felix's answer leniently and printing it: aligned columns, nothing that moves a
 * terminal's cursor. Called by every command. */
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "canalctl/command.h"
#include "lib/base/alloc.h"
#include "lib/base/vec.h"

/* ---- reading
 * ---------------------------------------------------------------------------------- */

struct json_object *
ctl_get(struct json_object *json, const char *key)
{
    struct json_object *value = NULL;

    if (!json || !json_object_is_type(json, json_type_object)) {
        return NULL;
    }
    json_object_object_get_ex(json, key, &value);
    return value;
}

const char *
ctl_text(struct json_object *json, const char *key)
{
    struct json_object *value = ctl_get(json, key);

    return value && json_object_is_type(value, json_type_string) ? json_object_get_string(value)
                                                                 : "";
}

int64_t
ctl_int(struct json_object *json, const char *key)
{
    struct json_object *value = ctl_get(json, key);

    return value && json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
}

bool
ctl_bool(struct json_object *json, const char *key)
{
    struct json_object *value = ctl_get(json, key);

    return value && json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

size_t
ctl_len(struct json_object *array)
{
    return array && json_object_is_type(array, json_type_array) ? json_object_array_length(array)
                                                                : 0;
}

/* ---- printing
 * --------------------------------------------------------------------------------- */

static void
write_harmless(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        fputc((c < 0x20 && c != '\n') || c == 0x7f ? '?' : c, stdout);
    }
}

void
ctl_print(const struct str *text)
{
    write_harmless(str_text(text), text->len);
    fflush(stdout);
}

void
ctl_print_json(struct json_object *json)
{
    puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                  JSON_C_TO_STRING_NOSLASHESCAPE));
    fflush(stdout);
}

struct columns {
    size_t n;
    VEC(char *) cells; /* row by row */
};

struct columns *
columns_new(size_t n)
{
    struct columns *columns = NEW(struct columns);

    columns->n = n;
    return columns;
}

void
columns_free(struct columns *columns)
{
    VEC_FOREACH (&columns->cells, cell) {
        free(*cell);
    }
    VEC_DONE(&columns->cells);
    free(columns);
}

void
columns_add(struct columns *columns, ...)
{
    va_list args;
    size_t n = 0;

    va_start(args, columns);
    for (const char *cell = va_arg(args, const char *); cell && n < columns->n;
         cell = va_arg(args, const char *)) {
        VEC_PUSH(&columns->cells, xstrdup(*cell ? cell : "-"));
        n++;
    }
    va_end(args);
    for (; n < columns->n; n++) {
        VEC_PUSH(&columns->cells, xstrdup("-"));
    }
}

static size_t
width_of(const struct columns *columns, size_t column)
{
    size_t width = 0;

    for (size_t i = column; i < columns->cells.n; i += columns->n) {
        size_t len = strlen(columns->cells.items[i]);
        width = len > width ? len : width;
    }
    return width;
}

void
columns_print(const struct columns *columns)
{
    AUTO(str) struct str out = STR_INIT;
    AUTO_FREE size_t *widths = xcalloc(columns->n, sizeof *widths);

    for (size_t i = 0; i < columns->n; i++) {
        widths[i] = width_of(columns, i);
    }
    size_t column = 0;
    VEC_FOREACH (&columns->cells, cell) {
        if (column + 1 < columns->n) {
            str_addf(&out, "%-*s  ", (int)widths[column++], *cell);
        } else {
            str_addf(&out, "%s\n", *cell);
            column = 0;
        }
    }
    ctl_print(&out);
}
