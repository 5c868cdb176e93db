/* Whether an object read straight from its text is what its decoder makes of it, with name, version
 * and no issue: for the unit test and the fuzz target. */
#pragma once

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/feed/keep.h"
#include "lib/json/json.h"
#include "lib/model/kind.h"

enum scanned {
    SCANNED_NOT, /* it is not plain */
    SCANNED_SAME,
    SCANNED_WRONG,
};

static void
scanned_issue(void *owner, const char *text)
{
    (void)text;
    *(bool *)owner = true;
}

static bool
scanned_text_is(struct json_object *metadata, const char *key, const char *text, size_t len)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(metadata, key, &value);
    if (value == NULL || text == NULL) {
        return value == NULL && text == NULL;
    }
    return (size_t)json_object_get_string_len(value) == len &&
           memcmp(json_object_get_string(value), text, len) == 0;
}

/* As lib/feed does with what is not plain. */
static enum scanned
scanned_compare(const struct kind_ops *ops, struct json_object *json, const void *object,
                const struct kind_head *head)
{
    bool has_issues = false;
    struct kind_issues issues = {.report = scanned_issue, .owner = &has_issues};
    struct json_object *metadata = NULL;
    void *decoded = ops->decode(json, &issues, NULL);
    bool is_same = decoded != NULL && !has_issues && ops->equal(decoded, object);

    json_object_object_get_ex(json, "metadata", &metadata);
    is_same = is_same && scanned_text_is(metadata, "name", head->name, strlen(head->name)) &&
              scanned_text_is(metadata, "namespace", head->ns, strlen(head->ns)) &&
              scanned_text_is(metadata, "resourceVersion", head->version, head->version_len);
    ops->free(decoded);
    return is_same ? SCANNED_SAME : SCANNED_WRONG;
}

static enum scanned
scanned(enum kind kind, const char *text, size_t len)
{
    const struct kind_ops *ops = kind_ops(kind);
    AUTO(str) struct str pruned = STR_INIT;
    AUTO(json_tree) struct json_object *json = NULL;
    struct kind_head head;
    enum scanned result = SCANNED_WRONG;
    void *object = ops->scan(text, len, &head);

    if (object == NULL) {
        return SCANNED_NOT;
    }
    if (json_prune(text, len, feed_keep(kind), &pruned, NULL) &&
        json_parse(pruned.text, pruned.len, &json, NULL)) {
        result = scanned_compare(ops, json, object, &head);
    }
    ops->free(object);
    return result;
}
