/* Typed getters for decoders of resource kinds. */
#include "lib/model/field.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct json_object *
field_member(struct json_object *json, const char *key)
{
    struct json_object *value = NULL;

    if (!json_object_is_type(json, json_type_object) ||
        !json_object_object_get_ex(json, key, &value)) {
        return NULL;
    }
    return value;
}

struct json_object *
field_find(struct json_object *json, const char *path)
{
    char key[64];

    while (json != NULL) {
        size_t len = strcspn(path, ".");
        if (len >= sizeof key) {
            return NULL;
        }
        memcpy(key, path, len);
        key[len] = '\0';
        json = field_member(json, key);
        if (path[len] == '\0') {
            break;
        }
        path += len + 1;
    }
    return json;
}

bool
field_value_text(struct json_object *value, const char *what, const char **ret_text,
                 struct err *err)
{
    if (!json_object_is_type(value, json_type_string)) {
        return err_set(err, "%s: is not a string", what);
    }
    const char *text = json_object_get_string(value);
    if (strlen(text) != (size_t)json_object_get_string_len(value)) {
        return err_set(err, "%s: contains a NUL character", what);
    }
    *ret_text = text;
    return true;
}

bool
field_text(struct json_object *json, const char *path, const char **ret_text, struct err *err)
{
    struct json_object *value = field_find(json, path);

    return value == NULL || field_value_text(value, path, ret_text, err);
}

bool
field_bool(struct json_object *json, const char *path, bool *ret_value, bool *ret_has,
           struct err *err)
{
    struct json_object *value = field_find(json, path);

    if (value == NULL) {
        return true;
    }
    if (!json_object_is_type(value, json_type_boolean)) {
        return err_set(err, "%s: is not true or false", path);
    }
    *ret_value = json_object_get_boolean(value);
    if (ret_has != NULL) {
        *ret_has = true;
    }
    return true;
}

bool
field_int(struct json_object *json, const char *path, struct field_range range, int64_t *ret_value,
          bool *ret_has, struct err *err)
{
    struct json_object *value = field_find(json, path);

    if (value == NULL) {
        return true;
    }
    if (!json_object_is_type(value, json_type_int)) {
        return err_set(err, "%s: is not a whole number", path);
    }
    int64_t number = json_object_get_int64(value);
    if (number < range.min || number > range.max) {
        return err_set(err, "%s: %" PRId64 " is not within %" PRId64 "-%" PRId64, path, number,
                       range.min, range.max);
    }
    *ret_value = number;
    if (ret_has != NULL) {
        *ret_has = true;
    }
    return true;
}

bool
field_double(struct json_object *json, const char *path, double *ret_value, struct err *err)
{
    struct json_object *value = field_find(json, path);

    if (value == NULL) {
        return true;
    }
    /* json-c reads NaN and Infinity, which would break every order they are part of. */
    if ((!json_object_is_type(value, json_type_int) &&
         !json_object_is_type(value, json_type_double)) ||
        !isfinite(json_object_get_double(value))) {
        return err_set(err, "%s: is not a number", path);
    }
    *ret_value = json_object_get_double(value);
    return true;
}

bool
field_array(struct json_object *json, const char *path, struct json_object **ret_array,
            struct err *err)
{
    struct json_object *value = field_find(json, path);

    if (value != NULL && !json_object_is_type(value, json_type_array)) {
        return err_set(err, "%s: is not a list", path);
    }
    *ret_array = value;
    return true;
}
