/* Label sets of nodes and pods. */
#include "lib/model/labels.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/vec.h"
#include "lib/model/field.h"

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
    char *text = (char *)(labels.items + n);
    for (size_t i = 0; i < n; i++) {
        labels.items[i].key = copy_text(&text, pairs[i].key);
        labels.items[i].value = copy_text(&text, pairs[i].value);
    }
    qsort(labels.items, n, sizeof(*labels.items), compare_keys);
    return labels;
}

bool
labels_decode(struct json_object *json, struct labels *ret_labels, struct err *err)
{
    return labels_decode_map(field_find(json, "metadata.labels"), ret_labels, err);
}

bool
labels_decode_map(struct json_object *object, struct labels *ret_labels, struct err *err)
{
    VEC(struct label) pairs = VEC_INIT;
    bool is_good = true;

    if (object != NULL && !json_object_is_type(object, json_type_object)) {
        return err_set(err, "metadata.labels: is not an object");
    }
    if (object != NULL) {
        json_object_object_foreach(object, key, value)
        {
            const char *text = NULL;
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
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->items[i].key, b->items[i].key) != 0 ||
            strcmp(a->items[i].value, b->items[i].value) != 0) {
            return false;
        }
    }
    return true;
}
