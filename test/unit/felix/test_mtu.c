/* felix/node/mtu: which interface's MTU pods get. */
#include <stdio.h>
#include <string.h>

#include "felix/node/mtu.h"
#include "test/unit/cmocka.h"

static void
pods_get_the_mtu_of_the_interface_with_the_address_or_of_those_that_match(void **state)
{
    static const struct link all[] = {
        {.index = 1, .name = "lo", .mtu = 65536, .is_up = true, .is_loopback = true},
        {.index = 2, .name = "eth0", .mtu = 1500, .is_up = true},
        {.index = 3, .name = "bond0", .mtu = 9000, .is_up = true},
        {.index = 4, .name = "eth1", .mtu = 1400, .is_up = true},
        {.index = 5, .name = "eth2", .mtu = 576, .is_up = false},
    };
    static const struct {
        int index;
        const char *pattern;
        uint32_t mtu;
    } cases[] = {
        {2, "", 1500},        {3, "none", 9000},         {0, "", 0},
        {9, "", 0},           {3, "^eth.*", 1400},       {2, "^bond", 9000},
        {2, "^wlan.*", 1500}, {2, "^(lo|bond0)$", 9000}, {3, "(", 9000},
    };
    link_vec links = VEC_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        VEC_PUSH(&links, all[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t mtu = mtu_of_node(&links, cases[i].index, cases[i].pattern);
        if (mtu != cases[i].mtu) {
            fail_msg("index %d, pattern '%s': %u", cases[i].index, cases[i].pattern, mtu);
        }
    }
    VEC_DONE(&links);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pods_get_the_mtu_of_the_interface_with_the_address_or_of_those_that_match),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
