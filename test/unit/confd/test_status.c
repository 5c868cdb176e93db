/* confd/status and confd/tunnel: what is read out of BIRD's answers. */
#include <string.h>

#include "confd/status.h"
#include "confd/tunnel.h"
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

static const char interfaces[] = "2005-Interface  State  IPv4 address       IPv6 address\n"
                                 "1005-lo         up     127.0.0.1/8        ::1/128\n"
                                 " tunl0      down   10.244.5.1/32      \n"
                                 " tunl01     up                        \n"
                                 "0000 \n";

/* The caller gives it to bird_reply_done(). */
static struct bird_reply
reply_of(const char *text)
{
    struct bird_parser parser;
    struct bird_reply reply = {0};
    bool is_ready = false;

    bird_parser_init(&parser);
    bird_parser_add(&parser, text, strlen(text));
    assert_true(bird_parser_next(&parser, &is_ready, &reply, NULL));
    assert_true(is_ready);
    bird_parser_done(&parser);
    return reply;
}

static void
an_interface_is_up_only_when_bird_says_so(void **state)
{
    struct bird_reply reply = reply_of(interfaces), nothing = {0};

    (void)state;
    assert_true(tunnel_bird_sees_up(&reply, "lo"));
    assert_false(tunnel_bird_sees_up(&reply, "tunl0"));
    assert_true(tunnel_bird_sees_up(&reply, "tunl01"));
    assert_false(tunnel_bird_sees_up(&reply, "Interface"));
    assert_false(tunnel_bird_sees_up(&nothing, "tunl0"));
    bird_reply_done(&reply);
}

static void
sessions_are_read_with_state_and_routes(void **state)
{
    struct bird_reply reply = reply_of(answer);
    struct bgp_status status;

    (void)state;
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
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interface_is_up_only_when_bird_says_so),
        cmocka_unit_test(sessions_are_read_with_state_and_routes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
