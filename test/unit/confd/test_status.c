/* confd/status: what `show protocols all` says about BGP sessions. */
#include <string.h>

#include "confd/status.h"
#include "lib/base/alloc.h"
#include "lib/bird/reply.h"
#include "test/unit/cmocka.h"

static const char answer[] =
    "2002-Name       Proto      Table      State  Since         Info\n"
    "1002-kernel4    Kernel     master4    up     2026-11-23 22:33:55  \n"
    "1006-  Channel ipv4\n"
    "     Routes:         9 imported, 9 exported, 2 preferred\n"
    " \n"
    "1002-mesh_b     BGP        ---        up     2026-11-23 22:33:56  Established   \n"
    "1006-  BGP state:          Established\n"
    "       Neighbor address: 10.1.0.2\n"
    "     Channel ipv4\n"
    "       Routes:         3 imported, 0 filtered, 12 exported, 1 preferred\n"
    " \n"
    "1002-peer_tor-a BGP        ---        start  2026-11-23 22:33:56  Active        Socket: "
    "Connection refused\n"
    "1006-  BGP state:          Active\n"
    "0000 \n";

static void
sessions_are_read_with_state_and_routes(void **state)
{
    struct bird_parser parser;
    struct bird_reply reply = {0};
    struct bgp_status status;
    bool is_ready = false;

    (void)state;
    bird_parser_init(&parser);
    bird_parser_add(&parser, answer, strlen(answer));
    assert_true(bird_parser_next(&parser, &is_ready, &reply, NULL));
    assert_true(is_ready);
    bgp_status_parse(&reply, &status);
    assert_int_equal(status.n, 2);
    assert_int_equal(status.n_established, 1);
    assert_string_equal(status.sessions[0].name, "mesh_b");
    assert_int_equal(status.sessions[0].n_imported, 3);
    assert_int_equal(status.sessions[0].n_exported, 12);
    assert_string_equal(status.sessions[1].name, "peer_tor-a");
    assert_string_equal(status.sessions[1].state, "Active");
    assert_int_equal(status.sessions[1].n_exported, 0);
    bgp_status_done(&status);
    bird_reply_done(&reply);
    bird_parser_done(&parser);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_are_read_with_state_and_routes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
