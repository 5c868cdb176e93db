/* lib/json: typed getters and the paths their errors name. */
#include <json-c/json.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/json/json.h"
#include "lib/json/scan.h"
#include "test/unit/cmocka.h"

static struct json_object *
parse(const char *text)
{
    struct json_object *json = NULL;
    struct err err = ERR_INIT;

    if (!json_parse(text, strlen(text), &json, &err)) {
        fail_msg("%s", err.text);
    }
    return json;
}

static void
json_getters_read_every_type(void **state)
{
    AUTO(json_tree)
    struct json_object *json =
        parse("{\"s\":\"x\",\"i\":-5,\"b\":true,\"o\":{\"k\":\"v\"},\"a\":[\"p\",\"q\"]}");
    struct json_at root = json_root(json);
    struct json_at object, array;
    const char *text = NULL;
    int64_t number = 0;
    bool flag = false;

    (void)state;
    assert_true(json_get_string(&root, "s", JSON_REQUIRED, &text, NULL));
    assert_string_equal(text, "x");
    assert_true(json_get_int(&root, "i", (struct json_range){-5, 5, JSON_REQUIRED}, &number, NULL));
    assert_int_equal(number, -5);
    assert_true(json_get_bool(&root, "b", JSON_REQUIRED, &flag, NULL));
    assert_true(flag);
    assert_true(json_get_object(&root, "o", JSON_REQUIRED, &object, NULL));
    assert_true(json_get_string(&object, "k", JSON_REQUIRED, &text, NULL));
    assert_string_equal(text, "v");
    assert_true(json_get_array(&root, "a", JSON_REQUIRED, &array, NULL));
    assert_int_equal(json_len(&array), 2);
    struct json_at item = json_item(&array, 1);
    assert_true(json_as_string(&item, &text, NULL));
    assert_string_equal(text, "q");
}

static void
json_getters_take_absent_and_null_as_the_callers_default(void **state)
{
    AUTO(json_tree) struct json_object *json = parse("{\"n\":null}");
    struct json_at root = json_root(json);
    struct json_at object, array;
    const char *text = "before";
    int64_t number = 7;
    bool flag = true;

    (void)state;
    assert_true(json_get_string(&root, "n", JSON_OPTIONAL, &text, NULL));
    assert_null(text);
    assert_true(json_get_int(&root, "x", (struct json_range){0, 9, JSON_OPTIONAL}, &number, NULL));
    assert_int_equal(number, 7);
    assert_true(json_get_bool(&root, "n", JSON_OPTIONAL, &flag, NULL));
    assert_true(flag);
    assert_true(json_get_object(&root, "o", JSON_OPTIONAL, &object, NULL));
    assert_true(json_get_string(&object, "deeper", JSON_OPTIONAL, &text, NULL));
    assert_true(json_get_array(&object, "list", JSON_OPTIONAL, &array, NULL));
    assert_int_equal(json_len(&array), 0);
    assert_false(json_has(&root, "n"));
}

static void
json_errors_name_the_path_and_what_is_there(void **state)
{
    AUTO(json_tree)
    struct json_object *json =
        parse("{\"spec\":{\"podCIDRs\":[\"a\",5],\"n\":70000,\"s\":\"a\\u0000b\",\"a.b\":1}}");
    struct json_at root = json_root(json);
    struct json_at spec, list;
    struct err err = ERR_INIT;
    const char *text = NULL;
    int64_t number = 0;

    (void)state;
    assert_true(json_get_object(&root, "spec", JSON_REQUIRED, &spec, &err));
    assert_true(json_get_array(&spec, "podCIDRs", JSON_REQUIRED, &list, &err));
    struct json_at second = json_item(&list, 1);
    assert_false(json_as_string(&second, &text, &err));
    assert_string_equal(err.text, "spec.podCIDRs[1]: a string is wanted, here is a number");
    assert_false(json_get_string(&spec, "cidr", JSON_REQUIRED, &text, &err));
    assert_string_equal(err.text, "spec.cidr: is missing");
    assert_false(
        json_get_int(&spec, "n", (struct json_range){0, 65535, JSON_OPTIONAL}, &number, &err));
    assert_string_equal(err.text, "spec.n: 70000 is not from 0 to 65535");
    assert_false(json_get_string(&spec, "s", JSON_OPTIONAL, &text, &err));
    assert_string_equal(err.text, "spec.s: a NUL character inside 'a'");
    assert_false(json_get_string(&spec, "a.b", JSON_OPTIONAL, &text, &err));
    assert_string_equal(err.text, "spec[\"a.b\"]: a string is wanted, here is a number");
    assert_false(json_get_object(&root, "none", JSON_REQUIRED, &spec, &err));
    assert_string_equal(err.text, "none: is missing");
}

static void
json_path_stays_within_its_room(void **state)
{
    struct json_at chain[40] = {{0}};
    char key[100], path[JSON_PATH_MAX];

    (void)state;
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    for (size_t i = 1; i < 40; i++) {
        chain[i] = (struct json_at){.parent = &chain[i - 1], .key = key};
    }
    json_path(&chain[39], "end", path);
    assert_int_equal(strlen(path), JSON_PATH_MAX - 1);
    assert_memory_equal(path, "...", 3);
    assert_string_equal(path + strlen(path) - 4, ".end");
}

static bool
collect(void *owner, const char *key, const char *value, struct err *err)
{
    struct str *all = owner;

    if (strcmp(value, "bad") == 0) {
        return err_set(err, "is bad");
    }
    str_addf(all, "%s=%s ", key, value);
    return true;
}

static void
json_each_string_walks_a_map_and_stops_at_what_is_no_string(void **state)
{
    AUTO(json_tree)
    struct json_object *json = parse(
        "{\"labels\":{\"a\":\"1\",\"b/c\":\"2\"},\"worse\":{\"x\":[]},\"bad\":{\"y\":\"bad\"}}");
    struct json_at root = json_root(json);
    struct json_at map;
    AUTO(str) struct str all = STR_INIT;
    struct err err = ERR_INIT;

    (void)state;
    assert_true(json_get_object(&root, "labels", JSON_REQUIRED, &map, &err));
    assert_true(json_each_string(&map, collect, &all, &err));
    assert_string_equal(all.text, "a=1 b/c=2 ");
    assert_true(json_get_object(&root, "worse", JSON_REQUIRED, &map, &err));
    assert_false(json_each_string(&map, collect, &all, &err));
    assert_string_equal(err.text, "worse.x: a string is wanted, here is a list");
    assert_true(json_get_object(&root, "bad", JSON_REQUIRED, &map, &err));
    assert_false(json_each_string(&map, collect, &all, &err));
    assert_string_equal(err.text, "bad.y: is bad");
}

static void
json_parse_refuses_what_is_not_one_value(void **state)
{
    static const char *const bad[] = {"",    "{",   "{}x",      "{}{}",      "{\"a\":1,}", "[1 2]",
                                      "nul", "\"a", "\xff\xfe", "{\"a\" 1}", "]"};
    struct json_object *json = NULL;
    struct err err = ERR_INIT;
    char deep[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (json_parse(bad[i], strlen(bad[i]), &json, &err)) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    assert_false(json_parse(deep, sizeof deep, &json, &err));
    assert_true(json_parse(" {} \n", 5, &json, &err));
    json_object_put(json);
    assert_true(json_parse("12", 2, &json, &err));
    assert_int_equal(json_object_get_int(json), 12);
    json_object_put(json);
}

/* The end of the value at 'text' when each byte is looked at. */
static size_t
skip_slowly(const char *text, size_t len)
{
    size_t depth = 0;
    bool is_inside = false;

    for (size_t i = 0; i < len; i++) {
        if (is_inside) {
            if (text[i] == '\\') {
                i++; /* with the byte behind it */
            } else {
                is_inside = text[i] != '"';
            }
        } else if (text[i] == '"') {
            is_inside = true;
        } else if (text[i] == '{' || text[i] == '[') {
            depth++;
        } else if ((text[i] == '}' || text[i] == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static void
jumping_over_a_value_ends_where_walking_does(void **state)
{
    static const char rare[] = "{[\"x,: 1234567890abcdefghijklmnopqrstuvwxyz}]\\{[\"\"}]";
    static const char dense[] = "{[\"\"}]\\x";
    uint32_t random = 1;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        char text[400];
        const char *alphabet = round % 2 ? rare : dense;
        size_t n = round % 2 ? sizeof rare - 1 : sizeof dense - 1;
        size_t len = 1 + round % sizeof text;
        text[0] = '{';
        for (size_t i = 1; i < len; i++) {
            random = random * 1664525 + 1013904223;
            text[i] = alphabet[(random >> 16) % n];
            /* Long strings and deep values, too. */
            if (round % 3 == 0 && (random >> 8) % 4 && strchr("}]\"", text[i])) {
                text[i] = 'y';
            }
        }
        const char *end = json_skip_value(text, text + len);
        size_t slow = skip_slowly(text, len);
        assert_ptr_equal(end, slow ? text + slow : NULL);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_getters_read_every_type),
        cmocka_unit_test(json_getters_take_absent_and_null_as_the_callers_default),
        cmocka_unit_test(json_errors_name_the_path_and_what_is_there),
        cmocka_unit_test(json_path_stays_within_its_room),
        cmocka_unit_test(json_each_string_walks_a_map_and_stops_at_what_is_no_string),
        cmocka_unit_test(json_parse_refuses_what_is_not_one_value),
        cmocka_unit_test(jumping_over_a_value_ends_where_walking_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
