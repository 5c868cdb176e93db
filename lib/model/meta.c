/* Shared parts of the kinds' decoders. */
#include "lib/model/meta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/json/json.h"
#include "lib/model/field.h"
#include "lib/model/labels.h"

static bool
is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
meta_is_name(const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || len > 253 || !is_lower_alnum(text[0]) || !is_lower_alnum(text[len - 1])) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_lower_alnum(text[i]) && text[i] != '-' && text[i] != '.') {
            return false;
        }
    }
    return true;
}

static bool
name_decode(struct json_object *json, const char *path, char **ret_name, struct err *err)
{
    const char *name = NULL;

    if (!field_text(json, path, &name, err)) {
        return false;
    }
    if (name == NULL) {
        return err_set(err, "%s: is missing", path);
    }
    if (!meta_is_name(name)) {
        return err_set(err, "%s: '%.64s' is not a DNS subdomain", path, name);
    }
    *ret_name = xstrdup(name);
    return true;
}

bool
meta_name(struct json_object *json, char **ret_name, struct err *err)
{
    return name_decode(json, "metadata.name", ret_name, err);
}

bool
meta_namespace(struct json_object *json, char **ret_name, struct err *err)
{
    return name_decode(json, "metadata.namespace", ret_name, err);
}

#define CALICO_METADATA "projectcalico.org/metadata"

bool
meta_calico(struct json_object *json, struct json_object **ret_metadata, struct err *err)
{
    struct json_object *own = field_find(json, "metadata");
    struct json_object *annotation =
        field_member(field_member(own, "annotations"), CALICO_METADATA);
    const char *text = NULL;

    if (annotation == NULL) {
        *ret_metadata = json_object_get(own);
        return true;
    }
    if (!field_value_text(annotation, "annotation " CALICO_METADATA, &text, err)) {
        return false;
    }
    if (text[0] == '\0') {
        *ret_metadata = json_object_get(own);
        return true;
    }
    struct json_object *parsed = NULL;
    if (!json_parse(text, strlen(text), &parsed, err)) {
        return err_wrap(err, "annotation " CALICO_METADATA);
    }
    if (!json_object_is_type(parsed, json_type_object)) {
        json_object_put(parsed);
        return err_set(err, "annotation " CALICO_METADATA ": is not an object");
    }
    *ret_metadata = parsed;
    return true;
}

bool
meta_calico_labels(struct json_object *json, struct labels *ret_labels, struct err *err)
{
    struct json_object *metadata = NULL;

    if (!meta_calico(json, &metadata, err)) {
        return false;
    }
    bool is_good = labels_decode_map(field_member(metadata, "labels"), ret_labels, err);
    json_object_put(metadata);
    return is_good;
}

bool
meta_calico_own_labels(struct json_object *json, const struct kind_issues *issues,
                       struct labels *ret_labels, struct err *err)
{
    struct json_object *metadata = NULL;

    if (!meta_calico(json, &metadata, err)) {
        return false;
    }
    bool is_good = labels_decode_own(field_member(metadata, "labels"), issues, ret_labels, err);
    json_object_put(metadata);
    return is_good;
}

bool
text_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
texts_equal(char *const *a, size_t n_a, char *const *b, size_t n_b)
{
    if (n_a != n_b) {
        return false;
    }
    for (size_t i = 0; i < n_a; i++) {
        if (!text_equal(a[i], b[i])) {
            return false;
        }
    }
    return true;
}

bool
field_copy(struct json_object *json, const char *path, char **ret_text, struct err *err)
{
    const char *text = NULL;

    if (!field_text(json, path, &text, err)) {
        return false;
    }
    *ret_text = text != NULL && text[0] != '\0' ? xstrdup(text) : NULL;
    return true;
}

void
texts_free(char **texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(texts[i]);
    }
    free(texts);
}

bool
field_copy_texts(struct json_object *json, const char *path, char ***ret_texts, size_t *ret_n,
                 struct err *err)
{
    struct json_object *array = NULL;
    char what[96];

    if (!field_array(json, path, &array, err)) {
        return false;
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    char **texts = n > 0 ? xcalloc(n, sizeof(char *)) : NULL;
    for (size_t i = 0; i < n; i++) {
        const char *text = NULL;
        snprintf(what, sizeof what, "%s[%zu]", path, i);
        if (!field_value_text(json_object_array_get_idx(array, i), what, &text, err)) {
            texts_free(texts, n);
            return false;
        }
        texts[i] = xstrdup(text);
    }
    *ret_texts = texts;
    *ret_n = n;
    return true;
}
