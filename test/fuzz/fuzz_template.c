/* The template engine: the input is a template, over a context with one of everything. */
#include <json-c/json.h>
#include <stdint.h>

#include "confd/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static bool
read_input(void *owner, const char *name, struct str *ret_text, struct err *err)
{
    const struct input *input = owner;

    (void)name;
    (void)err;
    str_add_bytes(ret_text, input->data, input->size);
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.data = data, .size = size};
    struct templates *templates = NULL;
    AUTO(str) struct str out = STR_INIT;

    /* Nested lists multiply; a short template keeps that bounded. */
    if (size > 400 || !templates_new("t", read_input, &input, &templates, NULL)) {
        return 0;
    }
    struct json_object *context = json_tokener_parse(
        "{\"a\": \"text\", \"n\": 7, \"l\": [{\"x\": 1}, {\"x\": 2}], \"t\": true, \"f\": false,"
        " \"e\": [], \"o\": {\"y\": \"z\"}, \"q\": \"a\\\"b\", \"s\": [\"u\"], \"z\": null}");
    (void)!templates_render(templates, context, &out, NULL);
    json_object_put(context);
    templates_free(templates);
    return 0;
}
