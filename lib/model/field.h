/* Typed fields of a JSON object by dotted path ("spec.peerIP"). Absent and null are the same and no
 * error; a wrong type is an error that names the path. Objects are borrowed, texts live as long as
 * the object. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* The value, or NULL when absent or when something on the way is not an object. */
struct json_object *field_find(struct json_object *json, const char *path);
/* One member whose key may hold dots (labels, annotations); NULL when absent. */
struct json_object *field_member(struct json_object *json, const char *key);
/* Outputs are written only when the field is present; 'ret_has' may be NULL. */
MUST_CHECK bool field_text(struct json_object *json, const char *path, const char **ret_text,
                           struct err *err);
MUST_CHECK bool field_bool(struct json_object *json, const char *path, bool *ret_value,
                           bool *ret_has, struct err *err);
struct field_range {
    int64_t min, max;
};
MUST_CHECK bool field_int(struct json_object *json, const char *path, struct field_range range,
                          int64_t *ret_value, bool *ret_has, struct err *err);
/* Any finite number, as order and priority of policies are. */
MUST_CHECK bool field_double(struct json_object *json, const char *path, double *ret_value,
                             struct err *err);
/* The array, or NULL when absent. */
MUST_CHECK bool field_array(struct json_object *json, const char *path,
                            struct json_object **ret_array, struct err *err);
/* Text of a value that was found some other way; 'what' names it in the error. Refuses embedded
 * NULs: C would see a shorter text than the API. */
MUST_CHECK bool field_value_text(struct json_object *value, const char *what, const char **ret_text,
                                 struct err *err);
