/* Decoders of all kinds: the first byte is the kind, the rest JSON. What the feed keeps of an
 * object (lib/feed/keep.h) must decode to the same as the whole object. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "lib/feed/keep.h"
#include "lib/json/json.h"
#include "lib/model/kind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
report(void *owner, const char *text)
{
    (void)owner;
    if (text[0] == '\0') {
        abort();
    }
}

/* As the feed does. Keys written with escapes are known to be missed. */
static void *
decode_kept(enum kind kind, const char *text, size_t len)
{
    AUTO(str) struct str pruned = STR_INIT;
    AUTO(json_tree) struct json_object *json = NULL;

    if (memchr(text, '\\', len) != NULL || !json_prune(text, len, feed_keep(kind), &pruned, NULL) ||
        !json_parse(pruned.text, pruned.len, &json, NULL)) {
        return NULL;
    }
    return kind_ops(kind)->decode(json, NULL, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(json_tree) struct json_object *json = NULL;
    struct kind_issues issues = {.report = report};
    struct err err = ERR_INIT;

    if (size < 2) {
        return 0;
    }
    enum kind kind = (enum kind)(data[0] % N_KINDS);
    const struct kind_ops *ops = kind_ops(kind);
    const char *text = (const char *)data + 1;
    if (!json_parse(text, size - 1, &json, NULL)) {
        return 0;
    }
    void *object = ops->decode(json, &issues, &err);
    void *again = ops->decode(json, NULL, NULL);
    void *kept = decode_kept(kind, text, size - 1);
    if ((object == NULL) != (again == NULL) || (object == NULL && err.text[0] == '\0') ||
        (object != NULL && !ops->equal(object, again)) ||
        (object != NULL && kept != NULL && !ops->equal(object, kept))) {
        abort();
    }
    ops->free(object);
    ops->free(again);
    ops->free(kept);
    return 0;
}
