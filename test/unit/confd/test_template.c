/* confd/template: what the engine makes of templates and contexts, and what it refuses. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "confd/template.h"
#include "lib/base/own.h"
#include "test/unit/cmocka.h"

static const char *const (*files)[2];

static bool
read_file(void *owner, const char *name, struct str *ret_text, struct err *err)
{
    (void)owner;
    for (size_t i = 0; files[i][0] != NULL; i++) {
        if (strcmp(files[i][0], name) == 0) {
            str_add(ret_text, files[i][1]);
            return true;
        }
    }
    return err_set(err, "no file %s", name);
}

/* Renders "t" of 'set' over the context; false with the error in 'err'. */
static bool
render(const char *const (*set)[2], const char *context, struct str *out, struct err *err)
{
    struct templates *templates = NULL;
    struct json_object *json = json_tokener_parse(context);
    bool is_good;

    files = set;
    assert_non_null(json);
    is_good = templates_new("t", read_file, NULL, &templates, err) &&
              templates_render(templates, json, out, err);
    templates_free(templates);
    json_object_put(json);
    return is_good;
}

static void
renders(const char *text, const char *context, const char *wanted)
{
    const char *const set[][2] = {{"t", text}, {"part.conf", "<{{a}}>\n"}, {NULL, NULL}};
    AUTO(str) struct str out = STR_INIT;
    struct err err = ERR_INIT;

    if (!render(set, context, &out, &err)) {
        fail_msg("'%s': %s", text, err.text);
    }
    assert_string_equal(str_text(&out), wanted);
}

static void
fails(const char *text, const char *context, const char *reason)
{
    const char *const set[][2] = {{"t", text}, {"loop", "{{> loop}}"}, {NULL, NULL}};
    AUTO(str) struct str out = STR_INIT;
    struct err err = ERR_INIT;

    if (render(set, context, &out, &err)) {
        fail_msg("'%s' must fail", text);
    }
    if (strstr(err.text, reason) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, reason);
    }
}

static void
templates_render_what_the_context_says(void **state)
{
    (void)state;
    renders("plain { text }\n", "{}", "plain { text }\n");
    renders("", "{}", "");
    renders("{{a}} and {{ b }}", "{\"a\": \"x\", \"b\": 4294967295}", "x and 4294967295");
    renders("{{#l}}{{n}},{{/l}}", "{\"l\": [{\"n\": 1}, {\"n\": 2}]}", "1,2,");
    renders("{{#l}}{{.}} {{/l}}", "{\"l\": [\"x\", \"y\"]}", "x y ");
    renders("{{#l}}{{n}}{{a}} {{/l}}", "{\"a\": 9, \"l\": [{\"n\": 1}, {\"n\": 2, \"a\": 3}]}",
            "19 23 ");
    renders("{{#o}}{{n}}{{/o}}{{#no}}x{{/no}}{{^no}}none{{/no}}",
            "{\"o\": {\"n\": 1}, \"no\": null}", "1none");
    renders("{{#t}}yes{{/t}}{{^t}}no{{/t}}{{#f}}yes{{/f}}{{^f}}no{{/f}}",
            "{\"t\": true, \"f\": false}", "yesno");
    renders("{{#a}}{{#b}}{{x}}{{/b}}{{/a}}", "{\"a\": [{\"b\": [{\"x\": 1}]}]}", "1");
    renders("{{#s}}<{{.}}>{{/s}}", "{\"s\": \"x\"}", "<x>");
}

static void
a_line_with_only_a_tag_leaves_no_line(void **state)
{
    (void)state;
    renders("a\n{{#l}}\n  x {{n}};\n{{/l}}\nb\n", "{\"l\": [{\"n\": 1}, {\"n\": 2}]}",
            "a\n  x 1;\n  x 2;\nb\n");
    renders("a\n  {{^l}}  \nnone\n  {{/l}}\nb\n", "{\"l\": []}", "a\nnone\nb\n");
    renders("{{! note }}\na\n{{! two\nlines }}\nb", "{}", "a\nb");
    renders("x {{! note }} y\n", "{}", "x  y\n");
    renders("{{> part.conf}}\n{{> part.conf}}\n", "{\"a\": 1}", "<1>\n<1>\n");
    renders("{{a}}\n", "{\"a\": 1}", "1\n");
}

static void
what_is_wrong_is_named_with_file_and_line(void **state)
{
    (void)state;
    fails("a\n{{x}}", "{}", "template t:2: 'x' is not in the context");
    fails("{{#x}}{{/x}}", "{}", "template t:1: 'x' is not in the context");
    fails("{{x}}", "{\"x\": null}", "is not a text or number");
    fails("{{x}}", "{\"x\": [1]}", "is not a text or number");
    fails("{{x}}", "{\"x\": \"a\\nb\"}", "cannot carry");
    fails("{{x}}", "{\"x\": \"a\\\"; evil\"}", "cannot carry");
    fails("\n\n{{#x}}\n", "{\"x\": []}", "template t:3: section is not closed: 'x'");
    fails("{{/x}}", "{}", "nothing is open that this closes: 'x'");
    fails("{{#x}}\n{{#y}}{{/x}}", "{}", "template t:2: another section is open");
    fails("a\n{{x", "{}", "template t:2: '}}' is missing");
    fails("{{}}", "{}", "not a name");
    fails("{{x.y}}", "{}", "not a name");
    fails("{{> ../../etc/passwd}}", "{}", "not a name");
    fails("{{> gone}}", "{}", "template t:1: no file gone");
    fails("{{> loop}}", "{}", "included too deeply");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_render_what_the_context_says),
        cmocka_unit_test(a_line_with_only_a_tag_leaves_no_line),
        cmocka_unit_test(what_is_wrong_is_named_with_file_and_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
