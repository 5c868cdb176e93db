/* YAML and JSON manifests into the store. Used by confd.c with --objects. */
#include "confd/objects.h"

#include <json-c/json.h>
#include <libfyaml.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/model/kind.h"

struct reading {
    struct store *store;
    void (*report)(void *owner, const char *text);
    void *owner;
    const char *kind; /* of the object at hand, for issues */
    const char *name;
    uint32_t mark;
};

static const char *
text_of(struct json_object *json, const char *key)
{
    struct json_object *value = NULL;

    return json_object_is_type(json, json_type_object) &&
                   json_object_object_get_ex(json, key, &value) &&
                   json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : "";
}

static void
report_issue(void *owner, const char *text)
{
    struct reading *reading = owner;
    AUTO(str) struct str line = STR_INIT;

    str_addf(&line, "%s %.64s: %s", reading->kind, reading->name, text);
    reading->report(reading->owner, str_text(&line));
}

static void
object_put(struct reading *reading, struct json_object *json)
{
    struct json_object *items = NULL, *metadata = NULL;
    struct kind_issues issues = {.report = report_issue, .owner = reading};
    struct err err = ERR_INIT;

    if (json_object_is_type(json, json_type_object) &&
        json_object_object_get_ex(json, "items", &items) &&
        json_object_is_type(items, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(items); i++) {
            object_put(reading, json_object_array_get_idx(items, i));
        }
        return;
    }
    for (int kind = 0; kind < N_KINDS; kind++) {
        const struct kind_ops *ops = kind_ops((enum kind)kind);
        if (strcmp(ops->name, text_of(json, "kind")) != 0 || ops->is_namespaced) {
            continue;
        }
        json_object_object_get_ex(json, "metadata", &metadata);
        reading->kind = ops->name;
        reading->name = text_of(metadata, "name");
        void *object = ops->decode(json, &issues, &err);
        if (object == NULL) {
            report_issue(reading, err.text);
            return;
        }
        store_put(reading->store, (enum kind)kind, reading->name, object);
        store_stamp(reading->store, (enum kind)kind, reading->name, 1, reading->mark);
    }
}

static bool
document_put(struct reading *reading, struct fy_document *document, struct err *err)
{
    AUTO_FREE char *text =
        fy_emit_document_to_string(document, (enum fy_emitter_cfg_flags)FYECF_MODE_JSON_ONELINE);
    struct json_object *json = text != NULL ? json_tokener_parse(text) : NULL;

    if (json == NULL) {
        return err_set(err, "a document is not an object");
    }
    object_put(reading, json);
    json_object_put(json);
    return true;
}

bool
objects_read(const char *path, struct store *store, void (*report)(void *owner, const char *text),
             void *owner, struct err *err)
{
    static uint32_t mark;
    struct reading reading = {.store = store, .report = report, .owner = owner, .mark = ++mark};
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_JSON_NONE};
    struct fy_parser *parser = fy_parser_create(&cfg);
    bool is_good = true;

    if (parser == NULL || fy_parser_set_input_file(parser, path) != 0) {
        fy_parser_destroy(parser);
        return err_set(err, "cannot read %s", path);
    }
    for (struct fy_document *document = NULL;
         is_good && (document = fy_parse_load_document(parser)) != NULL;) {
        is_good = fy_document_root(document) == NULL || document_put(&reading, document, err);
        fy_parse_document_destroy(parser, document);
    }
    if (is_good && fy_parser_get_stream_error(parser)) {
        is_good = err_set(err, "not YAML");
    }
    fy_parser_destroy(parser);
    for (int kind = 0; is_good && kind < N_KINDS; kind++) {
        store_sweep(store, (enum kind)kind, reading.mark);
    }
    return is_good || err_wrap(err, "%s", path);
}
