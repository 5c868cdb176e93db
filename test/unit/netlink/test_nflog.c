/* lib/netlink/nflog against the running kernel, in a network namespace of the program's own: a rule
 * on the way out tells of what is sent to nobody over loopback. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "lib/netlink/nflog.h"
#include "test/unit/cmocka.h"
#include "test/unit/own_namespace.h"

#define GROUP 77
#define PREFIX "canal:R:e:12:0123456789abcdef"

static uv_loop_t loop;

static void
loopback_up(void)
{
    AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};

    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
}

static bool
add_rule(const char *tool)
{
    char command[256];

    snprintf(command, sizeof command,
             "%s -A OUTPUT -p udp --dport 4444 -j NFLOG --nflog-group %d --nflog-prefix %s "
             "2>/dev/null",
             tool, GROUP, PREFIX);
    return system(command) == 0; // NOLINT: constants only
}

static int
enter_namespace(void **state)
{
    (void)state;
    if (!enter_own_namespace()) {
        return -1;
    }
    loopback_up();
    uv_loop_init(&loop);
    return add_rule("iptables-nft") && add_rule("ip6tables-nft") ? 0 : -1;
}

struct seen {
    struct nflog_packet last;
    int n, wanted;
};

static void
on_packet(void *owner, const struct nflog_packet *packet)
{
    struct seen *seen = owner;

    seen->last = *packet;
    if (++seen->n == seen->wanted) {
        uv_stop(&loop);
    }
}

static void
on_late(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the kernel told of nothing");
}

static void
send_packets(int af, int n)
{
    AUTO_FD int fd = socket(af, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in four = {
        .sin_family = AF_INET, .sin_port = htons(4444), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(4444), .sin6_addr = IN6ADDR_LOOPBACK_INIT};

    for (int i = 0; i < n; i++) {
        ssize_t sent = af == AF_INET ? sendto(fd, "hello", 5, 0, (const void *)&four, sizeof four)
                                     : sendto(fd, "hello", 5, 0, (const void *)&six, sizeof six);
        assert_true(sent == 5 || errno == ECONNREFUSED);
    }
}

static void
packets_are_told_with_prefix_and_interface(void **state)
{
    struct seen seen = {.wanted = 1};
    const struct nflog_spec spec = {.group = GROUP, .packet = on_packet, .owner = &seen};
    struct nflog *nflog = NULL;
    struct err err = ERR_INIT;
    uv_timer_t late;
    const int families[] = {AF_INET, AF_INET6};

    (void)state;
    if (!nflog_open(&loop, &spec, &nflog, &err)) {
        fail_msg("%s", err.text);
    }
    uv_timer_init(&loop, &late);
    uv_timer_start(&late, on_late, 10000, 0);
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        seen = (struct seen){.wanted = 1};
        send_packets(families[i], 1);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_string_equal(seen.last.prefix, PREFIX);
        assert_int_equal(seen.last.out_index, if_nametoindex("lo"));
        assert_int_equal(seen.last.in_index, 0);
        assert_int_equal(seen.last.headers.source.family, families[i] == AF_INET ? 4 : 6);
        assert_int_equal(seen.last.headers.destination_port, 4444);
    }
    seen = (struct seen){.wanted = 500};
    send_packets(AF_INET, 500);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(seen.n, 500);
    assert_int_equal(nflog_n_overruns(nflog) + nflog_n_bad(nflog), 0);
    uv_close((uv_handle_t *)&late, NULL);
    nflog_close(nflog);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static void
a_group_has_one_listener(void **state)
{
    struct seen seen = {.wanted = 0};
    const struct nflog_spec spec = {.group = GROUP, .packet = on_packet, .owner = &seen};
    struct nflog *first = NULL, *second = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_true(nflog_open(&loop, &spec, &first, &err));
    assert_false(nflog_open(&loop, &spec, &second, &err));
    assert_non_null(strstr(err.text, "another process listens"));
    nflog_close(first);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(nflog_open(&loop, &spec, &second, &err));
    nflog_close(second);
    uv_run(&loop, UV_RUN_DEFAULT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_are_told_with_prefix_and_interface),
        cmocka_unit_test(a_group_has_one_listener),
    };

    return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
