/* Label sets. */
#include "lib/model/labels.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/vec.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"

static int
compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

static char *
copy_text(char **at, const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = memcpy(*at, text, len);

    *at += len;
    return copy;
}

struct labels
labels_from(const struct label *pairs, size_t n)
{
    struct labels labels = {.n = n};
    size_t len = n * sizeof(*labels.items);

    if (n == 0) {
        return labels;
    }
    for (size_t i = 0; i < n; i++) {
        len += strlen(pairs[i].key) + strlen(pairs[i].value) + 2;
    }
    labels.items = xmalloc(len);
    memcpy(labels.items, pairs, n * sizeof *pairs);
    qsort(labels.items, n, sizeof(*labels.items), compare_keys);
    /* Sorted first: then equal labels are equal bytes, see labels_bytes(). */
    char *text = (char *)(labels.items + n);
    for (size_t i = 0; i < n; i++) {
        labels.items[i].key = copy_text(&text, labels.items[i].key);
        labels.items[i].value = copy_text(&text, labels.items[i].value);
    }
    return labels;
}

const char *
labels_bytes(const struct labels *labels, size_t *ret_len)
{
    if (labels->n == 0) {
        *ret_len = 0;
        return NULL;
    }
    const struct label *last = &labels->items[labels->n - 1];
    *ret_len = (size_t)(last->value + strlen(last->value) + 1 - labels->items[0].key);
    return labels->items[0].key;
}

bool
labels_is_reserved(const char *key)
{
    static const char *const whole[] = {"projectcalico.org/namespace",
                                        "projectcalico.org/serviceaccount",
                                        "projectcalico.org/orchestrator"};

    if (strncmp(key, "pcns.", 5) == 0 || strncmp(key, "pcsa.", 5) == 0) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
        if (strcmp(key, whole[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void
report_reserved(const char *key, const struct kind_issues *issues)
{
    struct err issue = ERR_INIT;

    (void)err_set(&issue, "label %.64s: is not for objects to set; left out", key);
    kind_issue(issues, &issue);
}

static bool
decode(struct json_object *map, bool takes_reserved, const struct kind_issues *issues,
       struct labels *ret_labels, struct err *err)
{
    VEC(struct label) pairs = VEC_INIT;
    bool is_good = true;

    if (map != NULL && !json_object_is_type(map, json_type_object)) {
        return err_set(err, "metadata.labels: is not an object");
    }
    if (map != NULL) {
        json_object_object_foreach(map, key, value)
        {
            const char *text = NULL;
            if (!takes_reserved && labels_is_reserved(key)) {
                report_reserved(key, issues);
                continue;
            }
            if (!field_value_text(value, "metadata.labels", &text, err)) {
                is_good = err_wrap(err, "label %.64s", key);
                break;
            }
            /* Cast away const: labels_from() only reads. */
            VEC_PUSH(&pairs, (struct label){.key = key, .value = (char *)(uintptr_t)text});
        }
    }
    if (is_good) {
        *ret_labels = labels_from(pairs.items, pairs.n);
    }
    VEC_DONE(&pairs);
    return is_good;
}

bool
labels_decode(struct json_object *json, struct labels *ret_labels, struct err *err)
{
    return labels_decode_map(field_find(json, "metadata.labels"), ret_labels, err);
}

bool
labels_decode_map(struct json_object *map, struct labels *ret_labels, struct err *err)
{
    return decode(map, true, NULL, ret_labels, err);
}

bool
labels_decode_own(struct json_object *map, const struct kind_issues *issues,
                  struct labels *ret_labels, struct err *err)
{
    return decode(map, false, issues, ret_labels, err);
}

void
labels_done(struct labels *labels)
{
    free(labels->items);
    *labels = (struct labels){0};
}

const char *
labels_get(const struct labels *labels, const char *key)
{
    size_t low = 0, high = labels->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(labels->items[middle].key, key);
        if (order == 0) {
            return labels->items[middle].value;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const char *
labels_lookup(const void *labels, const char *key)
{
    return labels_get(labels, key);
}

bool
labels_equal(const struct labels *a, const struct labels *b)
{
    if (a->n != b->n) {
        return false;
    }
    if (a->items == b->items) {
        return true; /* shared, see lib/model/share.h */
    }
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->items[i].key, b->items[i].key) != 0 ||
            strcmp(a->items[i].value, b->items[i].value) != 0) {
            return false;
        }
    }
    return true;
}
