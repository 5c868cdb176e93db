/* Typed reading of json-c trees. Every error names the field's path:
 * "spec.podCIDRs[1]: a string is wanted, here is a number".
 *
 *     struct json_at root = json_root(object);
 *     struct json_at spec;
 *     const char *cidr;
 *     if (!json_get_object(&root, "spec", JSON_REQUIRED, &spec, err) ||
 *         !json_get_string(&spec, "cidr", JSON_REQUIRED, &cidr, err)) {
 *         return false;
 *     }
 *     if (!prefix_parse(cidr, &pool->cidr, err)) {
 *         return json_wrap(&spec, "cidr", err);
 *     }
 *
 * A json_at points at its parent, which must stay where it is as long as the child is used. null
 * counts as absent, as the API server treats it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct json_object;

#define JSON_PATH_MAX 256
#define JSON_DEPTH_MAX 64
/* Strings longer than this are refused by the getters (annotations may have 256 KiB in all). */
#define JSON_STRING_MAX ((size_t)512 * 1024)

struct json_at {
    struct json_object *json; /* borrowed; NULL: absent */
    const struct json_at *parent;
    const char *key; /* member of the parent object; NULL: element 'index' of the parent array */
    size_t index;
};

enum json_need {
    JSON_OPTIONAL,
    JSON_REQUIRED
};

struct json_at json_root(struct json_object *json);
/* "spec.podCIDRs[1]" with 'key' (may be NULL) put behind; cut in front by "..." when too long. A
 * key that is not a plain word is shown as ["key"]. Returns ret_text. */
const char *json_path(const struct json_at *at, const char *key, char ret_text[JSON_PATH_MAX]);
/* err_wrap() with the path of 'at' and 'key' (NULL: of 'at' itself); returns false. */
#define json_wrap(at, key, err) (json_add_path((at), (key), (err)), false)
void json_add_path(const struct json_at *at, const char *key, struct err *err);

/* Absent and optional: true, and *ret_at has json NULL; getters on it find everything absent. */
MUST_CHECK bool json_get_object(const struct json_at *at, const char *key, enum json_need need,
                                struct json_at *ret_at, struct err *err);
MUST_CHECK bool json_get_array(const struct json_at *at, const char *key, enum json_need need,
                               struct json_at *ret_at, struct err *err);
/* Absent and optional: true, and *ret_text is NULL. Borrowed from the tree. A string with a NUL
 * character inside is refused. */
MUST_CHECK bool json_get_string(const struct json_at *at, const char *key, enum json_need need,
                                const char **ret_text, struct err *err);
/* Absent and optional: true, and *ret_value keeps what the caller put there (its default). */
MUST_CHECK bool json_get_bool(const struct json_at *at, const char *key, enum json_need need,
                              bool *ret_value, struct err *err);
struct json_range {
    int64_t min, max;
    enum json_need need;
};
MUST_CHECK bool json_get_int(const struct json_at *at, const char *key, struct json_range range,
                             int64_t *ret_value, struct err *err);
bool json_has(const struct json_at *at, const char *key); /* present and not null */

size_t json_len(const struct json_at *array); /* 0 when absent */
struct json_at json_item(const struct json_at *array, size_t index);
/* The value itself, for array elements. */
MUST_CHECK bool json_as_string(const struct json_at *at, const char **ret_text, struct err *err);
MUST_CHECK bool json_as_object(const struct json_at *at, struct err *err);

/* Calls each(owner, key, value) for every member whose value is a string, in document order. Any
 * other value is an error. Absent: nothing is called. False from each() ends it with its error. */
MUST_CHECK bool json_each_string(const struct json_at *object,
                                 bool (*each)(void *owner, const char *key, const char *value,
                                              struct err *err),
                                 void *owner, struct err *err);

/* One JSON value and nothing behind it but white space; nesting deeper than JSON_DEPTH_MAX is
 * refused. The caller gives it back with json_object_put(), or AUTO(json_tree). */
MUST_CHECK bool json_parse(const char *text, size_t len, struct json_object **ret_json,
                           struct err *err);
void json_tree_done(struct json_object *const *json); /* AUTO(json_tree) struct json_object *x; */
