/* Typed getters over json-c. Called by every decoder in lib/model and lib/proto, and by lib/kube
 * for its own few fields. */
#include "lib/json/json.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/str.h"

struct json_at
json_root(struct json_object *json)
{
    return (struct json_at){.json = json};
}

static bool
is_plain_key(const char *key)
{
    size_t len = strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    return len > 0 && key[len] == '\0';
}

static void
add_key(struct str *path, const char *key)
{
    if (!is_plain_key(key)) {
        str_addf(path, "[\"%.80s\"]", key);
        return;
    }
    if (path->len > 0) {
        str_add_char(path, '.');
    }
    str_addf(path, "%.80s", key);
}

static void
add_path(struct str *path, const struct json_at *at)
{
    const struct json_at *chain[JSON_DEPTH_MAX];
    size_t n = 0;

    for (; at && at->parent && n < ARRAY_LEN(chain); at = at->parent) {
        chain[n++] = at;
    }
    while (n > 0) {
        at = chain[--n];
        if (at->key) {
            add_key(path, at->key);
        } else {
            str_addf(path, "[%zu]", at->index);
        }
    }
}

const char *
json_path(const struct json_at *at, const char *key, char ret_text[JSON_PATH_MAX])
{
    AUTO(str) struct str path = STR_INIT;

    add_path(&path, at);
    if (key) {
        add_key(&path, key);
    }
    if (path.len < JSON_PATH_MAX) {
        snprintf(ret_text, JSON_PATH_MAX, "%s", str_text(&path));
    } else {
        /* The end says more than the beginning. */
        snprintf(ret_text, JSON_PATH_MAX, "...%s", path.text + path.len - (JSON_PATH_MAX - 4));
    }
    return ret_text;
}

void
json_add_path(const struct json_at *at, const char *key, struct err *err)
{
    char path[JSON_PATH_MAX];

    if (!err || json_path(at, key, path)[0] == '\0') {
        return;
    }
    err_add_context(err, "%s", path);
}

static const char *
type_text(struct json_object *json)
{
    switch (json_object_get_type(json)) {
    case json_type_null:
        return "null";
    case json_type_boolean:
        return "true or false";
    case json_type_double:
    case json_type_int:
        return "a number";
    case json_type_object:
        return "an object";
    case json_type_array:
        return "a list";
    case json_type_string:
        return "a string";
    }
    return "something else";
}

/* Finds a member; false with err when it is required and absent, or of another type. */
static bool
find(const struct json_at *at, const char *key, json_type type, enum json_need need,
     struct json_at *ret_at, struct err *err)
{
    static const char *const wanted[] = {
        [json_type_boolean] = "true or false", [json_type_int] = "a number",
        [json_type_object] = "an object",      [json_type_array] = "a list",
        [json_type_string] = "a string",
    };
    struct json_object *json = NULL;

    if (json_object_is_type(at->json, json_type_object)) {
        json_object_object_get_ex(at->json, key, &json);
    }
    if (!json && need == JSON_REQUIRED) {
        (void)err_set(err, "is missing");
        return json_wrap(at, key, err);
    }
    if (json && !json_object_is_type(json, type)) {
        (void)err_set(err, "%s is wanted, here is %s", wanted[type], type_text(json));
        return json_wrap(at, key, err);
    }
    *ret_at = (struct json_at){.json = json, .parent = at, .key = key};
    return true;
}

bool
json_get_object(const struct json_at *at, const char *key, enum json_need need,
                struct json_at *ret_at, struct err *err)
{
    return find(at, key, json_type_object, need, ret_at, err);
}

bool
json_get_array(const struct json_at *at, const char *key, enum json_need need,
               struct json_at *ret_at, struct err *err)
{
    return find(at, key, json_type_array, need, ret_at, err);
}

static bool
string_value(struct json_object *json, const char **ret_text, struct err *err)
{
    const char *text = json_object_get_string(json);
    size_t len = (size_t)json_object_get_string_len(json);

    if (len > JSON_STRING_MAX) {
        return err_set(err, "a string of %zu bytes is longer than %zu", len, JSON_STRING_MAX);
    }
    if (strlen(text) != len) {
        return err_set(err, "a NUL character inside '%.64s'", text);
    }
    *ret_text = text;
    return true;
}

bool
json_get_string(const struct json_at *at, const char *key, enum json_need need,
                const char **ret_text, struct err *err)
{
    struct json_at member;

    if (!find(at, key, json_type_string, need, &member, err)) {
        return false;
    }
    if (!member.json) {
        *ret_text = NULL;
        return true;
    }
    return string_value(member.json, ret_text, err) || json_wrap(at, key, err);
}

bool
json_get_bool(const struct json_at *at, const char *key, enum json_need need, bool *ret_value,
              struct err *err)
{
    struct json_at member;

    if (!find(at, key, json_type_boolean, need, &member, err)) {
        return false;
    }
    if (member.json) {
        *ret_value = json_object_get_boolean(member.json);
    }
    return true;
}

bool
json_get_int(const struct json_at *at, const char *key, struct json_range range, int64_t *ret_value,
             struct err *err)
{
    struct json_at member;

    if (!find(at, key, json_type_int, range.need, &member, err)) {
        return false;
    }
    if (!member.json) {
        return true;
    }
    int64_t value = json_object_get_int64(member.json);
    /* json-c clamps what does not fit 64 bits; INT64_MAX itself is never a sensible limit here. */
    if (value < range.min || value > range.max) {
        (void)err_set(err, "%lld is not from %lld to %lld", (long long)value, (long long)range.min,
                      (long long)range.max);
        return json_wrap(at, key, err);
    }
    *ret_value = value;
    return true;
}

bool
json_has(const struct json_at *at, const char *key)
{
    struct json_object *json = NULL;

    return json_object_is_type(at->json, json_type_object) &&
           json_object_object_get_ex(at->json, key, &json) && json;
}

size_t
json_len(const struct json_at *array)
{
    return json_object_is_type(array->json, json_type_array) ? json_object_array_length(array->json)
                                                             : 0;
}

struct json_at
json_item(const struct json_at *array, size_t index)
{
    return (struct json_at){
        .json = index < json_len(array) ? json_object_array_get_idx(array->json, index) : NULL,
        .parent = array,
        .index = index,
    };
}

bool
json_as_string(const struct json_at *at, const char **ret_text, struct err *err)
{
    if (!json_object_is_type(at->json, json_type_string)) {
        (void)err_set(err, "a string is wanted, here is %s", type_text(at->json));
        return json_wrap(at, NULL, err);
    }
    return string_value(at->json, ret_text, err) || json_wrap(at, NULL, err);
}

bool
json_as_object(const struct json_at *at, struct err *err)
{
    if (!json_object_is_type(at->json, json_type_object)) {
        (void)err_set(err, "an object is wanted, here is %s", type_text(at->json));
        return json_wrap(at, NULL, err);
    }
    return true;
}

bool
json_each_string(const struct json_at *object,
                 bool (*each)(void *owner, const char *key, const char *value, struct err *err),
                 void *owner, struct err *err)
{
    if (!object->json) {
        return true;
    }
    struct json_object_iterator it = json_object_iter_begin(object->json);
    struct json_object_iterator end = json_object_iter_end(object->json);
    for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
        const char *key = json_object_iter_peek_name(&it);
        struct json_at member = {
            .json = json_object_iter_peek_value(&it), .parent = object, .key = key};
        const char *value = NULL;
        if (!json_as_string(&member, &value, err)) {
            return false;
        }
        if (!each(owner, key, value, err)) {
            return json_wrap(&member, NULL, err);
        }
    }
    return true;
}

bool
json_parse(const char *text, size_t len, struct json_object **ret_json, struct err *err)
{
    if (len > INT32_MAX / 2) {
        return err_set(err, "JSON text of %zu bytes is too long", len);
    }
    /* One tokener for all: making one costs more than parsing a small object. */
    static struct json_tokener *tokener;
    if (!tokener && !(tokener = json_tokener_new_ex(JSON_DEPTH_MAX))) {
        return err_set(err, "json_tokener_new_ex failed");
    }
    json_tokener_reset(tokener);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *json = json_tokener_parse_ex(tokener, text, (int)len);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    if (error == json_tokener_continue && end == len) {
        /* A bare number ends only where the text does. */
        json = json_tokener_parse_ex(tokener, "", 1);
        error = json_tokener_get_error(tokener);
    }
    if (error != json_tokener_success) {
        json_object_put(json);
        return err_set(err, "not JSON at byte %zu: %s", end,
                       error == json_tokener_continue ? "it ends too early"
                                                      : json_tokener_error_desc(error));
    }
    while (end < len && strchr(" \t\r\n", text[end]) && text[end] != '\0') {
        end++;
    }
    if (end < len) {
        json_object_put(json);
        return err_set(err, "not JSON at byte %zu: something follows the value", end);
    }
    *ret_json = json;
    return true;
}

void
json_tree_done(struct json_object *const *json)
{
    json_object_put(*json);
}
