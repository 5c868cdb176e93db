/* lib/netlink/netfilter: attributes by type, with lengths that are not taken on trust. */
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/netlink/netfilter.h"
#include "lib/netlink/timeout.h"
#include "test/unit/cmocka.h"

static struct nlmsghdr *
start(char *room)
{
    return netfilter_message(room, NFNL_SUBSYS_ULOG, 1, NLM_F_ACK, AF_INET6, 0x1234);
}

static void
a_message_has_the_head_that_was_asked_for(void **state)
{
    static char room[256];
    const struct nlmsghdr *header = start(room);
    const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(header);

    (void)state;
    assert_int_equal(header->nlmsg_type, NFNL_SUBSYS_ULOG << 8 | 1);
    assert_int_equal(header->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
    assert_int_equal(header->nlmsg_len, NLMSG_LENGTH(sizeof *nfg));
    assert_int_equal(nfg->nfgen_family, AF_INET6);
    assert_memory_equal(&nfg->res_id, "\x12\x34", 2);
}

static void
attributes_are_found_by_type_and_read_in_network_order(void **state)
{
    static char room[256];
    struct nlmsghdr *header = start(room);
    const struct nlattr *attrs[NETFILTER_ATTRS] = {0};
    const struct nlattr *inner[NETFILTER_ATTRS] = {0};
    uint8_t byte = 0;

    (void)state;
    mnl_attr_put(header, 1, 4, "\x01\x02\x03\x04");
    mnl_attr_put(header, NETFILTER_ATTRS, 1, "x");
    struct nlattr *nest = mnl_attr_nest_start(header, 2);
    mnl_attr_put_u8(header, 3, 7);
    mnl_attr_put_strz(header, 4, "eth0");
    mnl_attr_nest_end(header, nest);
    assert_true(netfilter_attrs(header, attrs));
    assert_int_equal(netfilter_u32(attrs[1]), 0x01020304);
    assert_int_equal(netfilter_u16(attrs[1]), 0x0102);
    assert_true(netfilter_nested(attrs[2], inner));
    assert_true(netfilter_get_u8(inner[3], &byte));
    assert_int_equal(byte, 7);
    char text[16];
    netfilter_text(inner[4], text, sizeof text);
    assert_string_equal(text, "eth0");
}

static void
what_is_missing_or_too_short_is_nothing(void **state)
{
    static char room[256];
    struct nlmsghdr *header = start(room);
    const struct nlattr *attrs[NETFILTER_ATTRS] = {0};
    uint8_t byte = 9;
    char text[4];

    (void)state;
    mnl_attr_put(header, 1, 1, "\x01");
    mnl_attr_put(header, 2, 0, "");
    mnl_attr_put(header, 3, 6, "eth012"); /* no NUL */
    assert_true(netfilter_attrs(header, attrs));
    assert_int_equal(netfilter_u16(attrs[1]), 0);
    assert_int_equal(netfilter_u32(attrs[1]), 0);
    assert_int_equal(netfilter_u32(NULL), 0);
    assert_false(netfilter_get_u8(attrs[2], &byte));
    assert_false(netfilter_get_u8(NULL, &byte));
    assert_int_equal(byte, 9);
    netfilter_text(attrs[3], text, sizeof text);
    assert_string_equal(text, "eth");
    netfilter_text(NULL, text, sizeof text);
    assert_string_equal(text, "");
    assert_false(netfilter_nested(NULL, attrs));
    header->nlmsg_len = NLMSG_LENGTH(1); /* shorter than its own head */
    assert_false(netfilter_attrs(header, attrs));
}

static void
an_answer_is_waited_for_as_long_as_was_said(void **state)
{
    struct mnl_socket *sock = NULL;
    struct timeval timeout = {0};
    socklen_t len = sizeof timeout;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(netlink_timeout_s(), 10);
    netlink_set_timeout(3);
    assert_true(netfilter_open("test", &sock, &err));
    assert_int_equal(getsockopt(mnl_socket_get_fd(sock), SOL_SOCKET, SO_RCVTIMEO, &timeout, &len),
                     0);
    assert_int_equal(timeout.tv_sec, 3);
    mnl_socket_close(sock);
    netlink_set_timeout(10);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_has_the_head_that_was_asked_for),
        cmocka_unit_test(attributes_are_found_by_type_and_read_in_network_order),
        cmocka_unit_test(what_is_missing_or_too_short_is_nothing),
        cmocka_unit_test(an_answer_is_waited_for_as_long_as_was_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
