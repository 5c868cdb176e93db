/* The splitter: the same bytes in one piece and in random pieces give the same objects and the same
 * verdict; and for a list that json-c takes, the objects are the ones json-c sees. The first byte
 * chooses the mode, the second seeds the chunking. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "lib/json/json.h"
#include "lib/kube/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
add(void *owner, const char *json, size_t len, struct err *err)
{
    (void)err;
    str_add_bytes(owner, json, len);
    str_add_char(owner, '\n');
    return true;
}

static bool
ignore(void *owner, const char *json, size_t len, struct err *err)
{
    (void)owner;
    (void)json;
    (void)len;
    (void)err;
    return true;
}

static bool
run(enum split_mode mode, const char *text, size_t len, uint32_t random, struct str *objects)
{
    static const struct split_ops ops = {add, ignore};
    struct split split;
    bool good = true;

    split_init(&split, mode, &ops, objects);
    while (good && len > 0) {
        size_t piece = len;
        if (random) {
            random = random * 1664525 + 1013904223;
            piece = 1 + (random >> 24) % ((random >> 20) % 2 ? 3 : 90);
            piece = piece < len ? piece : len;
        }
        /* A copy of its own size, so that a read behind it is seen. */
        char *copy = malloc(piece);
        memcpy(copy, text, piece);
        good = split_feed(&split, copy, piece, NULL);
        free(copy);
        text += piece;
        len -= piece;
    }
    good = good && split_end(&split, NULL);
    split_done(&split);
    return good;
}

static void
compare_with_json_c(const char *text, size_t len, bool is_taken, const struct str *objects)
{
    AUTO(json_tree) struct json_object *json = NULL;
    struct json_object *items = NULL;
    const char *at = str_text(objects);

    if (!is_taken || !json_parse(text, len, &json, NULL) ||
        !json_object_object_get_ex(json, "items", &items) || !items) {
        return;
    }
    for (size_t i = 0; i < json_object_array_length(items); i++) {
        const char *plain = json_object_to_json_string_ext(json_object_array_get_idx(items, i), 0);
        AUTO(json_tree) struct json_object *mine = NULL;
        /* Objects may have line breaks inside: the splitter's text is cut by length, here by the
         * parser that stops behind one value. */
        struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
        mine = json_tokener_parse_ex(tokener, at, (int)strlen(at));
        at += json_tokener_get_parse_end(tokener);
        at += strspn(at, " \t\r\n");
        json_tokener_free(tokener);
        if (!mine || strcmp(json_object_to_json_string_ext(mine, 0), plain) != 0) {
            abort();
        }
    }
    if (*at != '\0') {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    AUTO(str) struct str whole = STR_INIT;
    AUTO(str) struct str pieces = STR_INIT;
    enum split_mode mode = data[0] % 2 ? SPLIT_STREAM : SPLIT_LIST;
    const char *text = (const char *)data + 2;
    bool is_good = run(mode, text, size - 2, 0, &whole);
    if (run(mode, text, size - 2, data[1] + 1U, &pieces) != is_good ||
        strcmp(str_text(&whole), str_text(&pieces)) != 0) {
        abort();
    }
    if (mode == SPLIT_LIST && !memchr(text, 0, size - 2) && !memchr(text, '\\', size - 2)) {
        compare_with_json_c(text, size - 2, is_good, &whole);
    }
    return 0;
}
