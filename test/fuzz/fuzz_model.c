/* Decoders of all kinds: the first byte is the kind, the rest JSON. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>

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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kind_issues issues = {.report = report};
    struct err err = ERR_INIT;

    if (size < 2) {
        return 0;
    }
    const struct kind_ops *ops = kind_ops((enum kind)(data[0] % N_KINDS));
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *json =
        json_tokener_parse_ex(tokener, (const char *)data + 1, (int)(size - 1));
    json_tokener_free(tokener);
    if (json == NULL) {
        return 0;
    }
    void *object = ops->decode(json, &issues, &err);
    void *again = ops->decode(json, NULL, NULL);
    if ((object == NULL) != (again == NULL) || (object == NULL && err.text[0] == '\0') ||
        (object != NULL && !ops->equal(object, again))) {
        abort();
    }
    ops->free(object);
    ops->free(again);
    json_object_put(json);
    return 0;
}
