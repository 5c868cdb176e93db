/* lib/selector: grammar, truth and canonical text. */
#include <stdio.h>
#include <string.h>

#include "lib/base/own.h"
#include "lib/selector/selector.h"
#include "test/unit/cmocka.h"

/* Labels of the tests: a=1 b=two role=tor-leaf empty= */
static const char *
get(const void *labels, const char *key)
{
    static const char *const pairs[][2] = {
        {"a", "1"}, {"b", "two"}, {"role", "tor-leaf"}, {"empty", ""}, {"all", "x"}};

    (void)labels;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        if (strcmp(pairs[i][0], key) == 0) {
            return pairs[i][1];
        }
    }
    return NULL;
}

static const struct {
    const char *text;
    bool is_match;
    const char *canonical;
} good[] = {
    {"", true, "all()"},
    {" \t", true, "all()"},
    {"all()", true, "all()"},
    {"all( )", true, "all()"},
    {"global()", false, "global()"},
    {"has(a)", true, "has(a)"},
    {"!has(a)", false, "!has(a)"},
    {"!!has(a)", true, "has(a)"},
    {"a == '1'", true, "a == \"1\""},
    {"a==\"1\"", true, "a == \"1\""},
    {"a == 'x\"y'", false, "a == 'x\"y'"},
    {"a != '1'", false, "a != \"1\""},
    {"missing != '1'", true, "missing != \"1\""},
    {"missing == ''", false, "missing == \"\""},
    {"empty == ''", true, "empty == \"\""},
    {"all == 'x'", true, "all == \"x\""},
    {"b contains 'w'", true, "b contains \"w\""},
    {"role starts with 'tor'", true, "role starts with \"tor\""},
    {"role startswith 'leaf'", false, "role starts with \"leaf\""},
    {"role ends   with 'leaf'", true, "role ends with \"leaf\""},
    {"a in {'2', '1', '2'}", true, "a in {\"1\", \"2\"}"},
    {"a in {}", false, "a in {}"},
    {"a not in {}", true, "a not in {}"},
    {"a notin {'1'}", false, "a not in {\"1\"}"},
    {"missing not in {'1'}", true, "missing not in {\"1\"}"},
    {"a == '2' && b == 'x' || has(a)", true, "((a == \"2\" && b == \"x\") || has(a))"},
    {"has(x) || has(a) && has(b)", true, "(has(x) || (has(a) && has(b)))"},
    {"!has(x) && (has(a) || has(x))", true, "(!has(x) && (has(a) || has(x)))"},
    {"!(has(a) && has(b) && has(role))", false, "!(has(a) && has(b) && has(role))"},
    {"node-role.kubernetes.io/x != 'y'", true, "node-role.kubernetes.io/x != \"y\""},
};

static void
good_selectors_are_true_or_false_and_print_canonically(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct err err = ERR_INIT;
        struct selector *selector = NULL, *again = NULL;
        AUTO(str) struct str text = STR_INIT;
        AUTO(str) struct str text_again = STR_INIT;

        if (!selector_parse(good[i].text, &selector, &err)) {
            fail_msg("'%s': %s", good[i].text, err.text);
        }
        if (selector_matches(selector, get, NULL) != good[i].is_match) {
            fail_msg("'%s' must be %s", good[i].text, good[i].is_match ? "true" : "false");
        }
        selector_print(selector, &text);
        assert_string_equal(str_text(&text), good[i].canonical);
        assert_true(selector_parse(str_text(&text), &again, &err));
        selector_print(again, &text_again);
        assert_string_equal(str_text(&text_again), str_text(&text));
        selector_free(selector);
        selector_free(again);
    }
}

static void
bad_selectors_are_refused_with_the_place(void **state)
{
    static const char *const bad[][2] = {
        {"a", "expected an operator"},
        {"a ==", "expected a string in quotes at character 5"},
        {"a == 'x", "closing quote at character 6"},
        {"a == x", "a string in quotes"},
        {"a = 'x'", "expected an operator"},
        {"== 'x'", "a label name at character 1"},
        {"(has(a)", "')' at character 8"},
        {"has(a))", "or the end at character 7"},
        {"has()", "a label name"},
        {"a in 'x'", "'{'"},
        {"a in {'x'", "',' or '}'"},
        {"a in {'x',}", "a string in quotes"},
        {"a not 'x'", "'in'"},
        {"a starts 'x'", "'with'"},
        {"has(a) has(b)", "or the end"},
        {"has(a) &&", "a label name"},
        {"has(a) & has(b)", "or the end"},
        {"a == 'x'; protocol bgp {}", "or the end"},
        {"!", "a label name"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        struct selector *selector = NULL;

        assert_false(selector_parse(bad[i][0], &selector, &err));
        if (strstr(err.text, bad[i][1]) == NULL) {
            fail_msg("'%s': '%s' does not say \"%s\"", bad[i][0], err.text, bad[i][1]);
        }
    }
}

static void
deep_and_long_selectors_cost_no_stack(void **state)
{
    AUTO(str) struct str text = STR_INIT;
    struct selector *selector = NULL;
    struct err err = ERR_INIT;

    (void)state;
    for (int i = 0; i < 60000; i++) {
        str_add_char(&text, '(');
    }
    assert_false(selector_parse(str_text(&text), &selector, &err));
    assert_non_null(strstr(err.text, "fewer parentheses"));
    str_clear(&text);
    for (int i = 0; i < 60000; i++) {
        str_add_char(&text, '!');
    }
    str_add(&text, "all()");
    assert_true(selector_parse(str_text(&text), &selector, &err));
    assert_true(selector_matches(selector, get, NULL));
    selector_free(selector);
    str_clear(&text);
    str_add(&text, "has(a)");
    for (int i = 0; i < 5000; i++) {
        str_add(&text, " && has(a)");
    }
    assert_true(selector_parse(str_text(&text), &selector, &err));
    assert_true(selector_matches(selector, get, NULL));
    str_clear(&text);
    selector_print(selector, &text);
    assert_int_equal(text.len, strlen("(has(a))") + 5000 * strlen(" && has(a)"));
    selector_free(selector);
    for (int i = 0; i < 10000; i++) {
        str_add(&text, "too long");
    }
    assert_false(selector_parse(str_text(&text), &selector, &err));
}

static void
the_keys_of_a_selector_are_listed(void **state)
{
    struct selector *selector = NULL;

    (void)state;
    assert_true(selector_parse("has(a) && b in {'x'} && !c == 'z'", &selector, NULL));
    assert_string_equal(selector_key(selector, 0), "a");
    assert_string_equal(selector_key(selector, 1), "b");
    assert_string_equal(selector_key(selector, 2), "c");
    assert_null(selector_key(selector, 3));
    selector_free(selector);
}

static void
a_selector_can_be_turned_to_inherited_labels(void **state)
{
    static const struct {
        const char *text, *member_key, *canonical;
    } cases[] = {
        {"", "m", "has(m)"},
        {"", NULL, "all()"},
        {"global()", "m", "!has(m)"},
        {"!global()", "m", "has(m)"},
        {"!!global() || !(!global())", "m", "(!has(m) || !has(m))"},
        {"global() && !all()", NULL, "(global() && !all())"},
        {"a == 'all()' && (has(b) || !c in {'x'}) && global()", "m",
         "(p.a == \"all()\" && (has(p.b) || !p.c in {\"x\"}) && !has(m))"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(str) struct str text = STR_INIT;
        struct selector *selector = NULL;
        assert_true(selector_parse(cases[i].text, &selector, NULL));
        selector_inherit(selector, "p.", cases[i].member_key);
        selector_print(selector, &text);
        assert_string_equal(str_text(&text), cases[i].canonical);
        selector_free(selector);
    }
}

static void
values_and_keys_that_no_selector_can_hold_are_told(void **state)
{
    AUTO(str) struct str text = STR_INIT;
    AUTO(str) struct str key = STR_INIT;

    (void)state;
    assert_true(selector_print_value("a'b", &text));
    assert_true(selector_print_value("a\"b", &text));
    assert_false(selector_print_value("a'b\"", &text));
    assert_string_equal(str_text(&text), "\"a'b\"'a\"b'");
    assert_true(selector_is_key("a.b/c-D_9"));
    assert_false(selector_is_key(""));
    assert_false(selector_is_key("a b"));
    assert_false(selector_is_key("a)"));
    for (int i = 0; i < 512; i++) {
        str_add_char(&key, 'a');
    }
    assert_true(selector_is_key(key.text));
    str_add_char(&key, 'a');
    assert_false(selector_is_key(key.text));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_selector_can_be_turned_to_inherited_labels),
        cmocka_unit_test(values_and_keys_that_no_selector_can_hold_are_told),
        cmocka_unit_test(good_selectors_are_true_or_false_and_print_canonically),
        cmocka_unit_test(bad_selectors_are_refused_with_the_place),
        cmocka_unit_test(deep_and_long_selectors_cost_no_stack),
        cmocka_unit_test(the_keys_of_a_selector_are_listed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
