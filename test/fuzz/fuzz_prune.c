/* The pruner and the member finder: they read nothing outside the text, and for an object json-c
 * takes, what is kept is what json-c sees there. Jumping over a value ends where going over it byte
 * by byte does. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "lib/json/json.h"
#include "lib/json/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_keep inside[] = {JSON_KEEP("name", NULL), JSON_KEEP("n", NULL),
                                          JSON_KEEP_END};
static const struct json_keep keep[] = {JSON_KEEP("metadata", inside), JSON_KEEP("spec", NULL),
                                        JSON_KEEP_END};

static bool
same(struct json_object *a, struct json_object *b)
{
    return strcmp(json_object_to_json_string_ext(a, 0), json_object_to_json_string_ext(b, 0)) == 0;
}

static void
compare_name(struct json_object *whole, struct json_object *pruned)
{
    struct json_object *a = NULL;
    struct json_object *b = NULL;

    if (!json_object_is_type(whole, json_type_object)) {
        if (!same(whole, pruned)) {
            abort();
        }
        return;
    }
    json_object_object_get_ex(whole, "name", &a);
    json_object_object_get_ex(pruned, "name", &b);
    if (!same(a, b)) {
        abort();
    }
}

static void
compare(struct json_object *whole, struct json_object *pruned)
{
    struct json_object *a = NULL;
    struct json_object *b = NULL;

    if (json_object_object_get_ex(whole, "spec", &a) !=
            json_object_object_get_ex(pruned, "spec", &b) ||
        (a && !same(a, b))) {
        abort();
    }
    a = b = NULL;
    if (json_object_object_get_ex(whole, "metadata", &a) !=
        json_object_object_get_ex(pruned, "metadata", &b)) {
        abort();
    }
    if (!json_object_is_type(a, json_type_array)) {
        compare_name(a, b);
        return;
    }
    size_t n = json_object_array_length(a);
    if (!json_object_is_type(b, json_type_array) || json_object_array_length(b) != n) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        compare_name(json_object_array_get_idx(a, i), json_object_array_get_idx(b, i));
    }
}

/* json_skip_value() of what begins with a bracket, one byte after the other. */
static const char *
skip_slowly(const char *text, const char *end)
{
    size_t depth = 0;
    bool is_inside = false;

    for (; text < end; text++) {
        if (is_inside) {
            if (*text == '\\') {
                text++; /* with the byte behind it */
            } else {
                is_inside = *text != '"';
            }
        } else if (*text == '"') {
            is_inside = true;
        } else if (*text == '{' || *text == '[') {
            depth++;
        } else if ((*text == '}' || *text == ']') && --depth == 0) {
            return text + 1;
        }
    }
    return NULL;
}

static void
compare_skips(const char *text, size_t size)
{
    const char *end = text + size;
    const char *last = size < 256 ? end : text + 256;

    for (const char *at = text; at < last; at++) {
        if ((*at == '{' || *at == '[') && json_skip_value(at, end) != skip_slowly(at, end)) {
            abort();
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(str) struct str out = STR_INIT;
    AUTO(json_tree) struct json_object *whole = NULL;
    AUTO(json_tree) struct json_object *pruned = NULL;
    const char *text = (const char *)data;
    compare_skips(text, size);
    const char *value = NULL;
    size_t value_len = 0;
    bool is_pruned = json_prune(text, size, keep, &out, NULL);

    if (json_find(text, size, "spec", &value, &value_len) &&
        (value < text || value + value_len > text + size)) {
        abort();
    }
    /* json-c takes some things that are not JSON ('x' as a string, escapes in keys are read by it
     * and not by the pruner): the comparison is for plain texts. */
    if (memchr(text, 0, size) || memchr(text, '\\', size) || memchr(text, '\'', size) ||
        !json_parse(text, size, &whole, NULL) || !json_object_is_type(whole, json_type_object)) {
        return 0;
    }
    if (!is_pruned || !json_parse(out.text, out.len, &pruned, NULL)) {
        abort();
    }
    compare(whole, pruned);
    return 0;
}
