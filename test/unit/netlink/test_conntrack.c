/* lib/netlink/conntrack against the running kernel, in a network namespace of the program's own.
 * Entries are put there as conntrack -I does; no packet is sent. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/vec.h"
#include "lib/netlink/conntrack.h"
#include "test/unit/cmocka.h"
#include "test/unit/own_namespace.h"

#define TCP 6
#define UDP 17
#define SCTP 132

static struct conntrack_link *conns;
static struct mnl_socket *maker;

static struct ip
ip(const char *text)
{
    struct ip value;

    assert_true(ip_parse(text, &value, NULL));
    return value;
}

struct tuple_spec {
    const char *from, *to;
    uint8_t protocol;
    uint16_t from_port, to_port; /* ICMP: type and id */
};

static void
put_tuple(struct nlmsghdr *header, uint16_t attr, const struct tuple_spec *spec)
{
    struct ip from = ip(spec->from), to = ip(spec->to);
    bool six = from.family == 6;
    struct nlattr *tuple = mnl_attr_nest_start(header, attr);
    struct nlattr *nest = mnl_attr_nest_start(header, CTA_TUPLE_IP);

    mnl_attr_put(header, six ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, six ? 16 : 4, from.bytes);
    mnl_attr_put(header, six ? CTA_IP_V6_DST : CTA_IP_V4_DST, six ? 16 : 4, to.bytes);
    mnl_attr_nest_end(header, nest);
    nest = mnl_attr_nest_start(header, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(header, CTA_PROTO_NUM, spec->protocol);
    if (spec->protocol == 1 || spec->protocol == 58) {
        mnl_attr_put_u8(header, six ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE,
                        (uint8_t)spec->from_port);
        mnl_attr_put_u8(header, six ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE, 0);
        mnl_attr_put_u16(header, six ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID,
                         htons(spec->to_port));
    } else {
        mnl_attr_put_u16(header, CTA_PROTO_SRC_PORT, htons(spec->from_port));
        mnl_attr_put_u16(header, CTA_PROTO_DST_PORT, htons(spec->to_port));
    }
    mnl_attr_nest_end(header, nest);
    mnl_attr_nest_end(header, tuple);
}

static void
put_tcp_state(struct nlmsghdr *header)
{
    struct nlattr *info = mnl_attr_nest_start(header, CTA_PROTOINFO);
    struct nlattr *tcp = mnl_attr_nest_start(header, CTA_PROTOINFO_TCP);

    mnl_attr_put_u8(header, CTA_PROTOINFO_TCP_STATE, 3); /* established */
    mnl_attr_nest_end(header, tcp);
    mnl_attr_nest_end(header, info);
}

struct made_entry {
    struct tuple_spec original, reply;
    uint32_t mark;
};

static void
make_entry(const struct made_entry *entry)
{
    char buffer[4096] = {0}, answer[4096];
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
    bool six = strchr(entry->original.from, ':') != NULL;

    header->nlmsg_type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_NEW;
    header->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
    struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(header, sizeof *nfg);
    nfg->nfgen_family = six ? AF_INET6 : AF_INET;
    put_tuple(header, CTA_TUPLE_ORIG, &entry->original);
    put_tuple(header, CTA_TUPLE_REPLY, &entry->reply);
    mnl_attr_put_u32(header, CTA_TIMEOUT, htonl(600));
    mnl_attr_put_u32(header, CTA_MARK, htonl(entry->mark));
    mnl_attr_put_u32(header, CTA_STATUS, htonl(IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED));
    if (entry->original.protocol == TCP) {
        put_tcp_state(header);
    }
    assert_true(mnl_socket_sendto(maker, header, header->nlmsg_len) > 0);
    ssize_t n = mnl_socket_recvfrom(maker, answer, sizeof answer);
    assert_true(n > 0);
    if (mnl_cb_run(answer, (size_t)n, 0, 0, NULL, NULL) < 0) {
        fail_msg("%s -> %s protocol %d: %s", entry->original.from, entry->original.to,
                 entry->original.protocol, strerror(errno));
    }
}

static const struct made_entry entries[] = {
    {{"10.0.0.1", "10.0.0.2", TCP, 40000, 80}, {"10.0.0.2", "10.0.0.1", TCP, 80, 40000}, 0},
    /* DNAT: a service's address on the way out, a pod's in the reply */
    {{"10.0.0.1", "10.96.0.1", UDP, 5000, 53}, {"10.0.0.3", "10.0.0.1", UDP, 5353, 5000}, 0x4000},
    {{"10.0.0.4", "10.0.0.2", SCTP, 1000, 2000}, {"10.0.0.2", "10.0.0.4", SCTP, 2000, 1000}, 0},
    {{"10.0.0.5", "10.0.0.6", 1, 8, 77}, {"10.0.0.6", "10.0.0.5", 1, 0, 77}, 0},
    {{"fd00::1", "fd00::2", TCP, 40000, 80}, {"fd00::2", "fd00::1", TCP, 80, 40000}, 1},
    {{"fd00::1", "fd00::3", 58, 128, 9}, {"fd00::3", "fd00::1", 58, 129, 9}, 0},
};

static int
enter_namespace(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    if (!enter_own_namespace()) {
        return -1;
    }
    maker = mnl_socket_open(NETLINK_NETFILTER);
    if (!maker || mnl_socket_bind(maker, 0, MNL_SOCKET_AUTOPID) != 0 ||
        !conntrack_open(&conns, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        make_entry(&entries[i]);
    }
    return 0;
}

static int
leave(void **state)
{
    (void)state;
    conntrack_close(conns);
    mnl_socket_close(maker);
    return 0;
}

/* ---- reading
 * ---------------------------------------------------------------------------------- */

typedef VEC(struct conntrack_entry) entry_vec;

static void
keep(void *owner, const struct conntrack_entry *entry)
{
    entry_vec *vec = owner;

    VEC_PUSH(vec, *entry);
}

static entry_vec
dump(uint8_t family, enum conntrack_side side, const char *address)
{
    struct conntrack_filter filter = {.family = family, .side = side};
    entry_vec found = VEC_INIT;
    struct err err = ERR_INIT;
    bool is_end = false;

    if (address) {
        filter.ip = ip(address);
    }
    if (!conntrack_dump(conns, &filter, &err)) {
        fail_msg("%s", err.text);
    }
    while (!is_end) {
        if (!conntrack_dump_more(conns, keep, &found, &is_end, &err)) {
            fail_msg("%s", err.text);
        }
    }
    return found;
}

static void
assert_tuple(const struct conntrack_tuple *tuple, const struct tuple_spec *spec)
{
    struct ip from = ip(spec->from), to = ip(spec->to);

    assert_true(ip_equal(&tuple->source, &from));
    assert_true(ip_equal(&tuple->destination, &to));
    assert_int_equal(tuple->protocol, spec->protocol);
    if (spec->protocol == 1 || spec->protocol == 58) {
        assert_int_equal(tuple->icmp_type, spec->from_port);
        assert_int_equal(tuple->icmp_id, spec->to_port);
    } else {
        assert_int_equal(tuple->source_port, spec->from_port);
        assert_int_equal(tuple->destination_port, spec->to_port);
    }
}

static const struct conntrack_entry *
find(const entry_vec *found, const struct tuple_spec *original)
{
    struct ip from = ip(original->from), to = ip(original->to);

    VEC_FOREACH (found, it) {
        if (ip_equal(&it->original.source, &from) && ip_equal(&it->original.destination, &to) &&
            it->original.protocol == original->protocol) {
            return it;
        }
    }
    fail_msg("no entry %s -> %s", original->from, original->to);
    return NULL;
}

static void
a_dump_tells_both_tuples_and_the_mark(void **state)
{
    entry_vec found[2] = {dump(4, CONNTRACK_ALL, NULL), dump(6, CONNTRACK_ALL, NULL)};

    (void)state;
    assert_int_equal(found[0].n, 4);
    assert_int_equal(found[1].n, 2);
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        bool six = strchr(entries[i].original.from, ':') != NULL;
        const struct conntrack_entry *entry = find(&found[six], &entries[i].original);
        assert_tuple(&entry->original, &entries[i].original);
        assert_tuple(&entry->reply, &entries[i].reply);
        assert_int_equal(entry->mark, entries[i].mark);
        assert_true(entry->status & IPS_SEEN_REPLY);
        assert_int_equal(entry->zone, 0);
        assert_false(entry->has_master);
    }
    VEC_DONE(&found[0]);
    VEC_DONE(&found[1]);
}

static void
a_dump_tells_only_what_is_asked_for(void **state)
{
    static const struct {
        uint8_t family;
        enum conntrack_side side;
        const char *ip;
        size_t n;
    } cases[] = {
        {4, CONNTRACK_ORIGINAL_SOURCE, "10.0.0.1", 2}, {4, CONNTRACK_REPLY_SOURCE, "10.0.0.2", 2},
        {4, CONNTRACK_REPLY_SOURCE, "10.0.0.3", 1},    {4, CONNTRACK_REPLY_SOURCE, "10.96.0.1", 0},
        {4, CONNTRACK_ORIGINAL_SOURCE, "10.0.0.9", 0}, {6, CONNTRACK_ORIGINAL_SOURCE, "fd00::1", 2},
        {6, CONNTRACK_REPLY_SOURCE, "fd00::2", 1},     {6, CONNTRACK_ORIGINAL_SOURCE, "fd00::9", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        entry_vec found = dump(cases[i].family, cases[i].side, cases[i].ip);
        if (found.n != cases[i].n) {
            fail_msg("%s: %zu", cases[i].ip, found.n);
        }
        VEC_DONE(&found);
    }
}

static void
large_tables_come_in_pieces(void **state)
{
    static char addresses[3000][16];
    const struct conntrack_filter filter = {.family = 4};
    entry_vec found = VEC_INIT;
    bool is_end = false;
    size_t n_reads = 0;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(addresses); i++) {
        snprintf(addresses[i], sizeof addresses[i], "10.9.%u.%u", i / 250, i % 250);
        const struct made_entry entry = {
            {addresses[i], "10.0.0.2", UDP, 7, 8}, {"10.0.0.2", addresses[i], UDP, 8, 7}, 0};
        make_entry(&entry);
    }
    assert_true(conntrack_dump(conns, &filter, NULL));
    for (; !is_end; n_reads++) {
        assert_true(conntrack_dump_more(conns, keep, &found, &is_end, NULL));
    }
    assert_int_equal(found.n, ARRAY_LEN(addresses) + 4);
    assert_true(n_reads > 3);
    VEC_DONE(&found);
}

/* ---- one entry
 * -------------------------------------------------------------------------------- */

static struct conntrack_tuple
tuple(const struct tuple_spec *spec)
{
    struct conntrack_tuple result = {
        .source = ip(spec->from), .destination = ip(spec->to), .protocol = spec->protocol};

    if (spec->protocol == 1 || spec->protocol == 58) {
        result.icmp_type = (uint8_t)spec->from_port;
        result.icmp_id = spec->to_port;
    } else {
        result.source_port = spec->from_port;
        result.destination_port = spec->to_port;
    }
    return result;
}

static uint32_t
mark_of(const struct tuple_spec *spec)
{
    struct conntrack_tuple original = tuple(spec);
    struct conntrack_entry entry;
    struct err err = ERR_INIT;

    if (!conntrack_get(conns, &original, &entry, &err)) {
        fail_msg("%s", err.text);
    }
    return entry.mark;
}

static void
marks_change_only_inside_of_their_mask(void **state)
{
    struct conntrack_marking markings[ARRAY_LEN(entries)];
    size_t n_gone = 99;

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
            markings[i] = (struct conntrack_marking){tuple(&entries[i].original),
                                                     round == 0 ? 0x80000000U : 0, 0x80000000U};
        }
        assert_true(conntrack_mark(conns, markings, ARRAY_LEN(markings), &n_gone, NULL));
        assert_int_equal(n_gone, 0);
        for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
            assert_int_equal(mark_of(&entries[i].original),
                             entries[i].mark | (round == 0 ? 0x80000000U : 0));
        }
    }
}

static void
entries_that_are_gone_are_counted_not_made(void **state)
{
    static struct conntrack_marking markings[350];
    const struct tuple_spec gone = {"10.0.0.77", "10.0.0.2", TCP, 1, 80};
    struct conntrack_tuple no_such = tuple(&gone);
    struct conntrack_entry entry;
    struct err err = ERR_INIT;
    size_t n_gone = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(markings); i++) {
        markings[i] = (struct conntrack_marking){no_such, 2, 2};
        markings[i].original.source_port = (uint16_t)i;
    }
    markings[120].original = tuple(&entries[0].original);
    assert_true(conntrack_mark(conns, markings, ARRAY_LEN(markings), &n_gone, &err));
    assert_int_equal(n_gone, ARRAY_LEN(markings) - 1);
    assert_int_equal(mark_of(&entries[0].original), 2);
    assert_false(conntrack_get(conns, &no_such, &entry, &err));
    assert_int_equal(err.code, ENOENT);
    /* The answers to all that did not get in the way of what comes next. */
    assert_int_equal(mark_of(&entries[1].original), entries[1].mark);
}

static void
entries_are_deleted_one_by_one(void **state)
{
    static const struct made_entry made[] = {
        {{"10.8.0.1", "10.8.0.2", UDP, 5000, 53}, {"10.8.0.2", "10.8.0.1", UDP, 53, 5000}, 0},
        {{"10.8.0.1", "10.8.0.2", UDP, 5001, 53}, {"10.8.0.2", "10.8.0.1", UDP, 53, 5001}, 0},
        {{"fd08::1", "fd08::2", 58, 128, 7}, {"fd08::2", "fd08::1", 58, 129, 7}, 0},
    };
    struct conntrack_tuple originals[250];
    struct conntrack_entry entry;
    size_t n_gone = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        make_entry(&made[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(originals); i++) {
        originals[i] = tuple(&made[0].original);
        originals[i].source_port = (uint16_t)(6000 + i);
    }
    originals[10] = tuple(&made[0].original);
    originals[240] = tuple(&made[2].original);
    assert_true(conntrack_delete(conns, originals, ARRAY_LEN(originals), &n_gone, NULL));
    assert_int_equal(n_gone, ARRAY_LEN(originals) - 2);
    assert_false(conntrack_get(conns, &originals[10], &entry, NULL));
    assert_false(conntrack_get(conns, &originals[240], &entry, NULL));
    originals[0] = tuple(&made[1].original);
    assert_true(conntrack_get(conns, &originals[0], &entry, NULL));
    assert_true(conntrack_delete(conns, originals, 1, &n_gone, NULL));
    assert_int_equal(n_gone, 0);
}

/* ---- messages that no kernel sends
 * -------------------------------------------------------------- */

static size_t
whole_message(char *buffer)
{
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);

    header->nlmsg_type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_NEW;
    struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(header, sizeof *nfg);
    nfg->nfgen_family = AF_INET;
    put_tuple(header, CTA_TUPLE_ORIG, &entries[0].original);
    put_tuple(header, CTA_TUPLE_REPLY, &entries[0].reply);
    mnl_attr_put_u32(header, CTA_MARK, htonl(5));
    mnl_attr_put_u16(header, CTA_ZONE, htons(3));
    put_tuple(header, CTA_TUPLE_MASTER, &entries[2].original);
    return header->nlmsg_len;
}

static void
messages_that_are_cut_are_not_entries(void **state)
{
    char *whole = calloc(1, 1024);
    size_t len = whole_message(whole);
    struct conntrack_entry entry;

    (void)state;
    assert_true(conntrack_parse((struct nlmsghdr *)(void *)whole, &entry));
    assert_int_equal(entry.mark, 5);
    assert_int_equal(entry.zone, 3);
    assert_true(entry.has_master);
    assert_tuple(&entry.master, &entries[2].original);
    for (size_t cut = sizeof(struct nlmsghdr); cut < len; cut += 4) {
        char *copy = malloc(cut); /* exactly: what reads behind it is caught */
        memcpy(copy, whole, cut);
        ((struct nlmsghdr *)(void *)copy)->nlmsg_len = (uint32_t)cut;
        bool good = conntrack_parse((struct nlmsghdr *)(void *)copy, &entry);
        assert_true(!good || entry.reply.protocol == TCP);
        free(copy);
    }
    ((struct nlmsghdr *)(void *)whole)->nlmsg_type = NLMSG_ERROR;
    assert_false(conntrack_parse((struct nlmsghdr *)(void *)whole, &entry));
    free(whole);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dump_tells_both_tuples_and_the_mark),
        cmocka_unit_test(a_dump_tells_only_what_is_asked_for),
        cmocka_unit_test(marks_change_only_inside_of_their_mask),
        cmocka_unit_test(entries_that_are_gone_are_counted_not_made),
        cmocka_unit_test(entries_are_deleted_one_by_one),
        cmocka_unit_test(large_tables_come_in_pieces),
        cmocka_unit_test(messages_that_are_cut_are_not_entries),
    };

    return cmocka_run_group_tests(tests, enter_namespace, leave);
}
