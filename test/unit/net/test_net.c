/* lib/net: addresses and prefixes. */
#include <string.h>

#include "lib/net/prefix.h"
#include "test/unit/cmocka.h"

static struct prefix
prefix(const char *text)
{
    struct prefix value = {0};
    struct err err = ERR_INIT;

    if (!prefix_parse_host(text, &value, &err)) {
        fail_msg("%s", err.text);
    }
    return value;
}

static void
prefix_parse_refuses_what_is_not_a_prefix(void **state)
{
    static const char *const bad[] = {"",
                                      "10.0.0.0",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0/8",
                                      "10.0.0.1/24",
                                      "fd00::/129",
                                      "fd00::1/64",
                                      "010.0.0.0/8",
                                      "10.0.0.0/+8",
                                      "10.0.0.0/8 ",
                                      "10.0.0.0/8;}",
                                      "fe80::%eth0/64",
                                      "::ffff:10.0.0.0/0x8"};
    struct prefix value = {.len = 9};
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (prefix_parse(bad[i], &value, &err)) {
            fail_msg("'%s' was taken for a prefix", bad[i]);
        }
    }
    assert_int_equal(value.len, 9);
}

static void
prefix_text_round_trips(void **state)
{
    static const char *const texts[] = {"0.0.0.0/0", "10.1.2.0/24", "10.1.2.3/32",
                                        "::/0",      "fd00:1::/64", "fd00::1/128"};
    char text[PREFIX_TEXT_MAX];
    struct prefix value;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_true(prefix_parse(texts[i], &value, NULL));
        assert_string_equal(prefix_format(&value, text), texts[i]);
    }
}

static void
containment_follows_bits_and_family(void **state)
{
    struct prefix wide = prefix("10.0.0.0/9");
    struct prefix narrow = prefix("10.127.0.0/16");
    struct prefix other = prefix("10.128.0.0/16");
    struct prefix all6 = prefix("::/0");

    (void)state;
    assert_true(prefix_contains(&wide, &narrow));
    assert_false(prefix_contains(&narrow, &wide));
    assert_true(prefix_overlaps(&narrow, &wide));
    assert_false(prefix_overlaps(&wide, &other));
    assert_false(prefix_contains(&all6, &wide));
    assert_true(prefix_contains_ip(&wide, &narrow.ip));
    assert_false(prefix_contains_ip(&all6, &narrow.ip));
}

static void
ip_add_carries_and_stops_at_the_end(void **state)
{
    struct prefix from = prefix("10.0.0.255");
    struct prefix last = prefix("255.255.255.255");
    struct ip sum;
    char text[IP_TEXT_MAX];

    (void)state;
    assert_true(ip_add(&from.ip, 1, &sum));
    assert_string_equal(ip_format(&sum, text), "10.0.1.0");
    assert_false(ip_add(&last.ip, 1, &sum));
    struct prefix six = prefix("fd00::ffff:ffff");
    assert_true(ip_add(&six.ip, 2, &sum));
    assert_string_equal(ip_format(&sum, text), "fd00::1:0:1");
}

static void
global_unicast_leaves_out_special_addresses(void **state)
{
    static const char *const special[] = {
        "0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255",
        "::",      "::1",       "fe80::1",     "ff02::1"};
    static const char *const good[] = {"10.0.0.1", "192.0.2.1", "fd00::1", "2001:db8::1"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(special); i++) {
        struct prefix value = prefix(special[i]);
        assert_false(ip_is_global_unicast(&value.ip));
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct prefix value = prefix(good[i]);
        assert_true(ip_is_global_unicast(&value.ip));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefix_parse_refuses_what_is_not_a_prefix),
        cmocka_unit_test(prefix_text_round_trips),
        cmocka_unit_test(containment_follows_bits_and_family),
        cmocka_unit_test(ip_add_carries_and_stops_at_the_end),
        cmocka_unit_test(global_unicast_leaves_out_special_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
