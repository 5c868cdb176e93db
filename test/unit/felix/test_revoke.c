/* felix/dataplane/revoke against the running kernel: real connections over the loopback of a
 * network namespace of the program's own, with the two rules that matter here. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <linux/icmp.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "felix/dataplane/revoke.h"
#include "lib/base/clock.h"
#include "lib/base/vec.h"
#include "lib/netlink/conntrack.h"
#include "lib/netlink/netlink.h"
#include "test/unit/cmocka.h"
#include "test/unit/own_namespace.h"

#define BIT REVOKE_BIT_DEFAULT
#define BIT_TEXT "0x80000000/0x80000000"
#define NEVER_MS 400 /* what has not come by then does not come */
#define SOON_MS 8000

extern char **environ;

static struct ip
ip(const char *text)
{
    struct ip value;

    assert_true(ip_parse(text, &value, NULL));
    return value;
}

static bool
runs(char *const argv[])
{
    pid_t pid = 0;
    int status = 1;

    return posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0 &&
           waitpid(pid, &status, 0) == pid && status == 0;
}

#define RUNS(...) runs((char *const[]){__VA_ARGS__, NULL})

static int
enter_namespace(void **state)
{
    struct netlink *netlink = NULL;
    struct link lo;
    struct err err = ERR_INIT;

    (void)state;
    if (!enter_own_namespace()) {
        return -1;
    }
    if (!netlink_new(&netlink, &err) || !link_get(netlink, "lo", &lo, &err) ||
        !link_set(netlink, lo.index, true, 0, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    netlink_free(netlink);
    static char v4[] = "iptables", v6[] = "ip6tables", a[] = "-A", in[] = "INPUT", m[] = "-m",
                j[] = "-j", connmark[] = "connmark", conntrack[] = "conntrack", mark[] = "--mark",
                bit[] = BIT_TEXT, drop[] = "DROP", accept[] = "ACCEPT", state_opt[] = "--ctstate",
                established[] = "ESTABLISHED", t[] = "-t", nat[] = "nat", out[] = "OUTPUT",
                d[] = "-d", vip[] = "127.0.9.9", dnat[] = "DNAT", to[] = "--to-destination",
                real[] = "127.0.2.2", w[] = "-w";
    char *const families[] = {v4, v6};
    for (size_t i = 0; i < 2; i++) {
        if (!RUNS(families[i], w, a, in, m, connmark, mark, bit, j, drop) ||
            !RUNS(families[i], w, a, in, m, conntrack, state_opt, established, j, accept)) {
            return -1;
        }
    }
    return RUNS(v4, w, t, nat, a, out, d, vip, j, dnat, to, real) ? 0 : -1;
}

/* ---- a run with a judge
 * ------------------------------------------------------------------------- */

struct world {
    uint16_t refused_port; /* every connection to it is refused */
    bool refuses_icmp;
    uint32_t judge_us; /* what judging takes, for nothing */
    struct packet last, last_arrived;
    bool is_last_by_ipvs;
    bool looks_before_dnat, touches_all;
    size_t n_turns;
    size_t n_runs;
    struct revoke_report report;
    bool has_failed;
};

static bool
is_allowed(void *owner, const struct flow *flow)
{
    const struct packet *packet = &flow->packet;
    struct world *world = owner;
    uint64_t until = clock_monotonic_us() + world->judge_us;

    world->last = *packet;
    world->last_arrived = flow->arrived;
    world->is_last_by_ipvs = flow->is_by_ipvs;
    while (world->judge_us > 0 && clock_monotonic_us() < until) {
    }
    if (packet->protocol == IPPROTO_ICMP) {
        return !world->refuses_icmp;
    }
    return packet->destination_port != world->refused_port;
}

static void
on_done(void *owner, const struct revoke_report *report, const struct err *err)
{
    struct world *world = owner;

    world->n_runs++;
    world->report = *report;
    world->has_failed = err != NULL;
}

static void
on_turn(uv_prepare_t *prepare)
{
    struct world *world = prepare->data;

    world->n_turns++;
}

static void
judge_again(struct world *world, const char *const *touched, size_t n)
{
    uv_loop_t loop;
    uv_prepare_t prepare;
    const struct revoke_spec spec = {
        .loop = &loop, .bit = BIT, .is_allowed = is_allowed, .done = on_done, .owner = world};

    uv_loop_init(&loop);
    uv_prepare_init(&loop, &prepare);
    prepare.data = world;
    uv_prepare_start(&prepare, on_turn);
    uv_unref((uv_handle_t *)&prepare);
    world->n_runs = world->n_turns = 0;
    struct revoke *revoke = revoke_new(&spec);
    for (size_t i = 0; i < n; i++) {
        struct ip address = ip(touched[i]);
        revoke_touch(revoke, &address);
    }
    if (world->touches_all) {
        revoke_touch_all(revoke);
    }
    revoke_look_before_dnat(revoke, world->looks_before_dnat);
    revoke_start(revoke);
    while (world->n_runs == 0 && uv_run(&loop, UV_RUN_ONCE)) {
    }
    assert_false(revoke_is_busy(revoke));
    revoke_free(revoke);
    uv_close((uv_handle_t *)&prepare, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(world->n_runs, 1);
    assert_false(world->has_failed);
}

#define JUDGE(world, ...)                                    \
    judge_again((world), (const char *const[]){__VA_ARGS__}, \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* ---- connections
 * -------------------------------------------------------------------------------- */

struct pair {
    int client, server;
    const char *name;
};

static socklen_t
address_of(const char *text, uint16_t port, struct sockaddr_storage *ret_address)
{
    struct ip value = ip(text);

    memset(ret_address, 0, sizeof *ret_address);
    if (value.family == 6) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret_address;
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        memcpy(&six->sin6_addr, value.bytes, 16);
        return sizeof *six;
    }
    struct sockaddr_in *four = (struct sockaddr_in *)ret_address;
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    memcpy(&four->sin_addr, value.bytes, 4);
    return sizeof *four;
}

static int
bound(int type, int protocol, const char *text, uint16_t port)
{
    struct sockaddr_storage address;
    socklen_t len = address_of(text, port, &address);
    int fd = socket(address.ss_family, type | SOCK_CLOEXEC, protocol);
    int one = 1;

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, len) != 0) {
        fail_msg("bind %s: %s", text, strerror(errno));
    }
    return fd;
}

static void
connect_to(int fd, const char *text, uint16_t port)
{
    struct sockaddr_storage address;
    socklen_t len = address_of(text, port, &address);

    if (connect(fd, (struct sockaddr *)&address, len) != 0) {
        fail_msg("connect %s port %u: %s", text, port, strerror(errno));
    }
}

static bool
arrives(int from, int to, int wait_ms)
{
    static char next = 'a';
    char sent = next++, seen = 0;
    uint64_t until = clock_monotonic_ms() + (uint64_t)wait_ms;

    if (send(from, &sent, 1, MSG_NOSIGNAL) != 1) {
        return false;
    }
    /* What was held back and comes after all counts as well. */
    while (seen != sent) {
        struct pollfd poll_fd = {.fd = to, .events = POLLIN};
        uint64_t now = clock_monotonic_ms();
        if (now >= until || poll(&poll_fd, 1, (int)(until - now)) != 1 ||
            recv(to, &seen, 1, 0) != 1) {
            return false;
        }
    }
    return true;
}

static void
assert_talks(const struct pair *pair)
{
    if (!arrives(pair->client, pair->server, SOON_MS) ||
        !arrives(pair->server, pair->client, SOON_MS)) {
        fail_msg("%s: does not talk", pair->name);
    }
}

static void
assert_silent(const struct pair *pair)
{
    if (arrives(pair->client, pair->server, NEVER_MS) ||
        arrives(pair->server, pair->client, NEVER_MS)) {
        fail_msg("%s: still talks", pair->name);
    }
}

static struct pair
stream_pair(int protocol, const char *from, const char *to, const char *listen_on, uint16_t port)
{
    struct pair pair = {.name = protocol == IPPROTO_TCP ? "TCP" : "SCTP"};
    int listener = bound(SOCK_STREAM, protocol, listen_on, port);

    assert_int_equal(listen(listener, 1), 0);
    pair.client = bound(SOCK_STREAM, protocol, from, 0);
    connect_to(pair.client, to, port);
    pair.server = accept(listener, NULL, NULL);
    assert_true(pair.server >= 0);
    close(listener);
    return pair;
}

static struct pair
udp_pair(const char *from, const char *to, uint16_t port)
{
    struct pair pair = {.name = "UDP"};

    pair.server = bound(SOCK_DGRAM, IPPROTO_UDP, to, port);
    pair.client = bound(SOCK_DGRAM, IPPROTO_UDP, from, (uint16_t)(port + 20000));
    connect_to(pair.client, to, port);
    connect_to(pair.server, from, (uint16_t)(port + 20000));
    return pair;
}

static void
close_pair(const struct pair *pair)
{
    close(pair->client);
    close(pair->server);
}

/* ---- cases
 * -------------------------------------------------------------------------------------- */

/* Two connections, one of which is taken away and given back. */
static void
check_pair(const struct pair *refused, const struct pair *kept, uint16_t port, const char *touched)
{
    struct world world = {.refused_port = port};

    assert_talks(refused);
    assert_talks(kept);
    JUDGE(&world, touched);
    assert_int_equal(world.report.n_refused, 1);
    assert_silent(refused);
    assert_talks(kept);
    /* Once more: nothing is left to do. */
    JUDGE(&world, touched);
    assert_int_equal(world.report.n_refused + world.report.n_allowed, 0);
    world.refused_port = 0;
    JUDGE(&world, touched);
    assert_int_equal(world.report.n_allowed, 1);
    assert_talks(refused);
    assert_talks(kept);
    close_pair(refused);
    close_pair(kept);
}

static void
tcp_ends_in_both_directions_and_comes_back(void **state)
{
    struct pair refused = stream_pair(IPPROTO_TCP, "127.0.1.1", "127.0.1.2", "127.0.1.2", 7001);
    struct pair kept = stream_pair(IPPROTO_TCP, "127.0.1.1", "127.0.1.2", "127.0.1.2", 7002);

    (void)state;
    check_pair(&refused, &kept, 7001, "127.0.1.1");
}

static void
the_server_s_address_finds_it_as_well(void **state)
{
    struct pair refused = stream_pair(IPPROTO_TCP, "127.0.1.3", "127.0.1.4", "127.0.1.4", 7001);
    struct pair kept = stream_pair(IPPROTO_TCP, "127.0.1.3", "127.0.1.4", "127.0.1.4", 7002);

    (void)state;
    check_pair(&refused, &kept, 7001, "127.0.1.4");
}

static void
udp_ends_in_both_directions_and_comes_back(void **state)
{
    struct pair refused = udp_pair("127.0.1.5", "127.0.1.6", 7001);
    struct pair kept = udp_pair("127.0.1.5", "127.0.1.6", 7002);

    (void)state;
    check_pair(&refused, &kept, 7001, "127.0.1.5");
}

static void
sctp_ends_in_both_directions_and_comes_back(void **state)
{
    int probe = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);

    (void)state;
    if (probe < 0) {
        print_message("this kernel has no SCTP\n");
        skip();
    }
    close(probe);
    struct pair refused = stream_pair(IPPROTO_SCTP, "127.0.1.7", "127.0.1.8", "127.0.1.8", 7001);
    struct pair kept = stream_pair(IPPROTO_SCTP, "127.0.1.7", "127.0.1.8", "127.0.1.8", 7002);
    check_pair(&refused, &kept, 7001, "127.0.1.7");
}

static void
ipv6_ends_in_both_directions_and_comes_back(void **state)
{
    struct pair refused = stream_pair(IPPROTO_TCP, "::1", "::1", "::1", 7001);
    struct pair kept = stream_pair(IPPROTO_TCP, "::1", "::1", "::1", 7002);

    (void)state;
    check_pair(&refused, &kept, 7001, "::1");
}

static void
after_dnat_is_what_counts(void **state)
{
    struct pair pair = stream_pair(IPPROTO_TCP, "127.0.2.1", "127.0.9.9", "127.0.2.2", 7001);
    struct world world = {.refused_port = 7001};
    struct ip real = ip("127.0.2.2"), client = ip("127.0.2.1");

    (void)state;
    assert_talks(&pair);
    JUDGE(&world, "127.0.9.9"); /* the service's address is nobody's */
    assert_int_equal(world.report.n_seen, 0);
    JUDGE(&world, "127.0.2.2", "127.0.2.1");
    assert_int_equal(world.report.n_seen, 1); /* by two addresses, once */
    assert_int_equal(world.report.n_refused, 1);
    assert_true(ip_equal(&world.last.source, &client));
    assert_true(ip_equal(&world.last.destination, &real));
    assert_silent(&pair);
    close_pair(&pair);
}

static void
before_dnat_counts_where_somebody_looks(void **state)
{
    struct pair pair = stream_pair(IPPROTO_TCP, "127.0.2.3", "127.0.9.9", "127.0.2.2", 7003);
    struct world world = {.refused_port = 7003, .looks_before_dnat = true};
    struct ip service = ip("127.0.9.9");

    (void)state;
    assert_talks(&pair);
    JUDGE(&world, "127.0.9.9");
    assert_int_equal(world.report.n_refused, 1);
    assert_true(ip_equal(&world.last_arrived.destination, &service));
    assert_false(world.is_last_by_ipvs);
    assert_silent(&pair);
    close_pair(&pair);
}

static void
everything_is_looked_at_when_everything_is_touched(void **state)
{
    struct pair four = stream_pair(IPPROTO_TCP, "127.0.11.1", "127.0.11.2", "127.0.11.2", 7005);
    struct pair six = stream_pair(IPPROTO_TCP, "::1", "::1", "::1", 7005);
    struct world world = {.refused_port = 7005, .touches_all = true};

    (void)state;
    judge_again(&world, NULL, 0);
    assert_int_equal(world.report.n_refused, 2);
    assert_silent(&four);
    assert_silent(&six);
    close_pair(&four);
    close_pair(&six);
}

static void
others_are_not_looked_at(void **state)
{
    struct pair pair = stream_pair(IPPROTO_TCP, "127.0.3.1", "127.0.3.2", "127.0.3.2", 7001);
    struct world world = {.refused_port = 7001};

    (void)state;
    JUDGE(&world, "127.0.3.3", "127.0.3.4", "127.0.3.5", "127.0.3.6", "127.0.3.7", "127.0.3.8");
    assert_int_equal(world.report.n_seen, 0);
    assert_talks(&pair);
    close_pair(&pair);
}

static void
icmp_is_judged_by_its_type(void **state)
{
    struct icmphdr echo = {.type = ICMP_ECHO, .un.echo.id = htons(4711)};
    struct sockaddr_storage to;
    socklen_t len = address_of("127.0.4.2", 0, &to);
    struct world world = {.refuses_icmp = true};
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    struct conntrack_tuple original = {.source = ip("127.0.4.1"),
                                       .destination = ip("127.0.4.2"),
                                       .protocol = IPPROTO_ICMP,
                                       .icmp_type = ICMP_ECHO,
                                       .icmp_id = 4711};
    struct conntrack_link *link = NULL;
    struct conntrack_entry entry;
    struct sockaddr_storage from;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, address_of("127.0.4.1", 0, &from)), 0);
    echo.checksum = (uint16_t) ~(0x0800 + 4711);
    echo.checksum = htons(echo.checksum);
    assert_int_equal(sendto(fd, &echo, sizeof echo, 0, (struct sockaddr *)&to, len), sizeof echo);
    JUDGE(&world, "127.0.4.2");
    assert_int_equal(world.report.n_seen, 1);
    assert_int_equal(world.last.icmp_type, ICMP_ECHO);
    assert_true(conntrack_open(&link, NULL));
    assert_true(conntrack_get(link, &original, &entry, NULL));
    assert_int_equal(entry.mark, BIT);
    conntrack_close(link);
    close(fd);
}

static void
long_work_leaves_the_loop_to_others(void **state)
{
    const unsigned n = 4500;
    struct world world = {.refused_port = 10000, .judge_us = 40};
    int fd = bound(SOCK_DGRAM, IPPROTO_UDP, "127.0.5.1", 0);

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        struct sockaddr_storage to;
        socklen_t len = address_of("127.0.5.2", (uint16_t)(10000 + i), &to);
        /* Nobody listens; errors of earlier ones are told here. */
        while (sendto(fd, "x", 1, 0, (struct sockaddr *)&to, len) != 1) {
            assert_int_equal(errno, ECONNREFUSED);
        }
    }
    JUDGE(&world, "127.0.5.1", "127.0.5.3", "127.0.5.4", "127.0.5.5", "127.0.5.6");
    assert_int_equal(world.report.n_seen, n);
    assert_int_equal(world.report.n_refused, 1);
    assert_true(world.n_turns > 30); /* 180 ms in slices of 3 ms */
    close(fd);
}

static void
it_can_be_freed_at_any_time(void **state)
{
    struct ip address = ip("127.0.5.1");

    (void)state;
    for (int turns = 0; turns < 12; turns++) {
        struct world world = {.judge_us = 40};
        uv_loop_t loop;
        const struct revoke_spec spec = {
            .loop = &loop, .bit = BIT, .is_allowed = is_allowed, .done = on_done, .owner = &world};
        uv_loop_init(&loop);
        struct revoke *revoke = revoke_new(&spec);
        revoke_start(revoke); /* nothing is touched: nothing runs */
        assert_false(revoke_is_busy(revoke));
        revoke_touch(revoke, &address);
        revoke_start(revoke);
        revoke_start(revoke);
        for (int i = 0; i < turns; i++) {
            uv_run(&loop, UV_RUN_NOWAIT);
        }
        revoke_free(revoke);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
    }
    revoke_free(NULL);
}

static void
what_is_touched_during_a_run_has_its_own(void **state)
{
    struct world world = {.refused_port = 1};
    struct ip first = ip("127.0.5.1"), second = ip("127.0.5.2");
    uv_loop_t loop;
    const struct revoke_spec spec = {
        .loop = &loop, .bit = BIT, .is_allowed = is_allowed, .done = on_done, .owner = &world};

    (void)state;
    uv_loop_init(&loop);
    struct revoke *revoke = revoke_new(&spec);
    revoke_touch(revoke, &first);
    revoke_start(revoke);
    revoke_touch(revoke, &second);
    revoke_start(revoke);
    while (revoke_is_busy(revoke)) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(world.n_runs, 2);
    revoke_free(revoke);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void
what_is_refused_stays_so_under_another_bit(void **state)
{
    static char v4[] = "iptables", a[] = "-I", in[] = "INPUT", m[] = "-m", j[] = "-j", w[] = "-w",
                connmark[] = "connmark", mark[] = "--mark", bit[] = "0x400/0x400", drop[] = "DROP",
                del[] = "-D", old_bit[] = BIT_TEXT, one[] = "1";
    struct pair refused = stream_pair(IPPROTO_TCP, "127.0.7.1", "127.0.7.2", "127.0.7.2", 7601);
    struct pair kept = stream_pair(IPPROTO_TCP, "127.0.7.1", "127.0.7.2", "127.0.7.2", 7602);
    struct world world = {.refused_port = 7601};
    uv_loop_t loop;
    const struct revoke_spec spec = {
        .loop = &loop, .bit = BIT, .is_allowed = is_allowed, .done = on_done, .owner = &world};

    (void)state;
    JUDGE(&world, "127.0.7.1");
    assert_silent(&refused);
    uv_loop_init(&loop);
    struct revoke *revoke = revoke_new(&spec);
    revoke_set_bit(revoke, 0x400);
    revoke_carry(revoke, BIT);
    assert_true(RUNS(v4, w, a, in, m, connmark, mark, bit, j, drop));
    revoke_start(revoke);
    while (revoke_is_busy(revoke)) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(world.report.carried, BIT);
    assert_int_equal(world.report.bit, 0x400);
    /* The rule of the old bit is not needed any more. */
    assert_true(RUNS(v4, w, del, in, m, connmark, mark, old_bit, j, drop));
    assert_silent(&refused);
    assert_talks(&kept);
    assert_true(RUNS(v4, w, del, in, one));
    assert_talks(&refused);
    assert_true(RUNS(v4, w, a, in, m, connmark, mark, old_bit, j, drop));
    assert_talks(&refused); /* it has the old bit no more */
    revoke_free(revoke);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    close_pair(&refused);
    close_pair(&kept);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_ends_in_both_directions_and_comes_back),
        cmocka_unit_test(the_server_s_address_finds_it_as_well),
        cmocka_unit_test(udp_ends_in_both_directions_and_comes_back),
        cmocka_unit_test(sctp_ends_in_both_directions_and_comes_back),
        cmocka_unit_test(ipv6_ends_in_both_directions_and_comes_back),
        cmocka_unit_test(after_dnat_is_what_counts),
        cmocka_unit_test(before_dnat_counts_where_somebody_looks),
        cmocka_unit_test(everything_is_looked_at_when_everything_is_touched),
        cmocka_unit_test(others_are_not_looked_at),
        cmocka_unit_test(icmp_is_judged_by_its_type),
        cmocka_unit_test(long_work_leaves_the_loop_to_others),
        cmocka_unit_test(it_can_be_freed_at_any_time),
        cmocka_unit_test(what_is_touched_during_a_run_has_its_own),
        cmocka_unit_test(what_is_refused_stays_so_under_another_bit),
    };

    return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
