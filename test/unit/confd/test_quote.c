/* confd/quote: nothing that comes out can leave its place in BIRD's configuration. */
#include <stdio.h>
#include <string.h>

#include "confd/quote.h"
#include "lib/base/own.h"
#include "test/unit/cmocka.h"

static void
symbols_are_readable_distinct_and_at_most_64_characters(void **state)
{
    static const char *const names[][2] = {
        {"n1", "mesh_n1"},
        {"protocol", "mesh_protocol"},
        {"node-a.zone-1", "'mesh_node-a.zone-1'"},
        {"n1_6", "mesh_n1_6"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO(str) struct str out = STR_INIT;
        quote_symbol("mesh_", names[i][0], &out);
        assert_string_equal(str_text(&out), names[i][1]);
    }
    for (size_t len = 1; len < 300; len++) {
        AUTO(str) struct str out = STR_INIT;
        AUTO(str) struct str other = STR_INIT;
        char name[300];
        memset(name, 'x', len);
        name[len] = '\0';
        quote_symbol("mesh_", name, &out);
        assert_true(out.len <= QUOTE_SYMBOL_MAX);
        name[len - 1] = 'y';
        quote_symbol("mesh_", name, &other);
        assert_string_not_equal(str_text(&out), str_text(&other));
    }
}

static void
hostile_names_become_harmless_symbols(void **state)
{
    static const char *const names[] = {"a\"b", "a'b", "a\nb", "a;b", "a}b", "a b", "\x80\xff"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO(str) struct str out = STR_INIT;
        quote_symbol("peer_", names[i], &out);
        assert_int_equal(strspn(str_text(&out), "abcdefghijklmnopqrstuvwxyz0123456789_"), out.len);
    }
}

static void
comments_stay_on_their_line(void **state)
{
    AUTO(str) struct str out = STR_INIT;
    AUTO(str) struct str text = STR_INIT;

    (void)state;
    quote_comment("a\nprotocol bgp evil {\r\x01\xff", &out);
    assert_string_equal(str_text(&out), "a?protocol bgp evil {???");
    for (int i = 0; i < 65536; i++) {
        str_add_char(&text, 'x');
    }
    str_clear(&out);
    quote_comment(str_text(&text), &out);
    assert_int_equal(out.len, 203);
    assert_false(quote_string_ok("a\"b", NULL));
    assert_false(quote_string_ok("a\nb", NULL));
    assert_true(quote_string_ok("/etc/canal/local.d/x.conf", NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symbols_are_readable_distinct_and_at_most_64_characters),
        cmocka_unit_test(hostile_names_become_harmless_symbols),
        cmocka_unit_test(comments_stay_on_their_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
