/* lib/netlink against the running kernel, in a network namespace of the program's own. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/netlink/kset.h"
#include "lib/netlink/monitor.h"
#include "lib/netlink/netlink.h"
#include "test/unit/cmocka.h"
#include "test/unit/own_namespace.h"

static struct netlink *netlink;
static struct kset_link *kset;

static struct prefix
prefix(const char *text)
{
    struct prefix result;

    if (!prefix_parse_host(text, &result, NULL)) {
        fail_msg("'%s' is no prefix", text);
    }
    return result;
}

static int
add_link(const char *kind, const char *name)
{
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    struct ifinfomsg ifi = {0};
    struct link link;
    struct err err = ERR_INIT;

    nlmsg_append(msg, &ifi, sizeof ifi, NLMSG_ALIGNTO);
    nla_put_string(msg, IFLA_IFNAME, name);
    struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
    nla_put_string(msg, IFLA_INFO_KIND, kind);
    nla_nest_end(msg, info);
    if (!netlink_request(netlink, msg, &err) || !link_get(netlink, name, &link, &err)) {
        fail_msg("%s", err.text);
    }
    return link.index;
}

static int
enter_namespace(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    if (!enter_own_namespace()) {
        return -1;
    }
    if (!netlink_new(&netlink, &err) || !kset_open(&kset, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    return 0;
}

static int
leave(void **state)
{
    (void)state;
    netlink_free(netlink);
    kset_close(kset);
    return 0;
}

/* ---- links, addresses, routes
 * ---------------------------------------------------------------- */

static void
links_are_listed_changed_and_deleted(void **state)
{
    int index = add_link("bridge", "one");
    link_vec links = VEC_INIT;
    struct link link;
    struct err err = ERR_INIT;
    bool seen = false;

    (void)state;
    assert_true(link_get(netlink, "one", &link, NULL));
    assert_int_equal(link.index, index);
    assert_string_equal(link.kind, "bridge");
    assert_false(link.is_up);
    assert_true(link_set(netlink, index, true, 1234, &err));
    assert_true(link_get(netlink, "one", &link, NULL));
    assert_true(link.is_up);
    assert_int_equal(link.mtu, 1234);
    assert_true(link_set(netlink, index, true, 0, &err));
    assert_true(link_get(netlink, "one", &link, NULL));
    assert_int_equal(link.mtu, 1234);
    assert_true(link_list(netlink, &links, &err));
    VEC_FOREACH (&links, it) {
        seen |= it->index == index;
    }
    assert_true(seen);
    VEC_DONE(&links);
    assert_true(link_delete(netlink, index, &err));
    assert_false(link_get(netlink, "one", &link, &err));
    assert_int_equal(err.code, ENODEV);
    assert_false(link_delete(netlink, index, &err));
    assert_int_equal(err.code, ENODEV);
    assert_false(link_get(netlink, "a-name-longer-than-the-kernel-takes", &link, &err));
}

static size_t
count_addresses(int index, const char *text)
{
    address_vec addresses = VEC_INIT;
    struct prefix wanted = prefix(text);
    size_t n = 0;

    assert_true(address_list(netlink, &addresses, NULL));
    VEC_FOREACH (&addresses, it) {
        n += it->index == index && prefix_equal(&it->prefix, &wanted);
    }
    VEC_DONE(&addresses);
    return n;
}

static void
addresses_come_and_go_and_twice_is_once(void **state)
{
    static const char *const texts[] = {"10.1.2.3/24", "10.1.2.4/32", "fd00::5/64"};
    int index = add_link("bridge", "two");
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct prefix address = prefix(texts[i]);
        assert_int_equal(count_addresses(index, texts[i]), 0);
        assert_true(address_add(netlink, index, &address, &err));
        assert_true(address_add(netlink, index, &address, &err));
        assert_int_equal(count_addresses(index, texts[i]), 1);
        assert_true(address_delete(netlink, index, &address, &err));
        assert_int_equal(count_addresses(index, texts[i]), 0);
        assert_false(address_delete(netlink, index, &address, &err));
        assert_int_equal(err.code, EADDRNOTAVAIL);
    }
    assert_true(link_delete(netlink, index, &err));
}

static const struct route *
find_route(const route_vec *routes, const char *text)
{
    struct prefix dst = prefix(text);

    VEC_FOREACH (routes, route) {
        if (prefix_equal(&route->dst, &dst)) {
            return route;
        }
    }
    return NULL;
}

static void
routes_are_told_apart_by_their_protocol(void **state)
{
    int index = add_link("bridge", "three");
    struct route pod = {.dst = prefix("10.7.0.1/32"),
                        .index = index,
                        .protocol = 3,
                        .scope = RT_SCOPE_LINK,
                        .type = RTN_UNICAST,
                        .table = RT_TABLE_MAIN};
    struct route other = pod;
    struct route six = pod;
    route_vec routes = VEC_INIT;
    struct err err = ERR_INIT;

    (void)state;
    other.dst = prefix("10.8.0.0/16");
    other.protocol = 12;
    six.dst = prefix("fd00:7::1/128");
    six.scope = RT_SCOPE_UNIVERSE;
    assert_true(link_set(netlink, index, true, 0, &err));
    assert_true(route_replace(netlink, &pod, &err));
    assert_true(route_replace(netlink, &pod, &err));
    assert_true(route_replace(netlink, &other, &err));
    if (!route_replace(netlink, &six, &err)) {
        fail_msg("%s", err.text);
    }
    assert_true(route_list(netlink, 4, 3, &routes, &err));
    const struct route *found = find_route(&routes, "10.7.0.1/32");
    assert_non_null(found);
    assert_int_equal(found->index, index);
    assert_int_equal(found->scope, RT_SCOPE_LINK);
    assert_null(find_route(&routes, "10.8.0.0/16"));
    assert_true(route_list(netlink, 4, 0, &routes, &err));
    assert_non_null(find_route(&routes, "10.8.0.0/16"));
    assert_true(route_list(netlink, 6, 3, &routes, &err));
    assert_non_null(find_route(&routes, "fd00:7::1/128"));
    assert_true(route_delete(netlink, &pod, &err));
    assert_false(route_delete(netlink, &pod, &err));
    assert_int_equal(err.code, ESRCH);
    VEC_DONE(&routes);
    assert_true(link_delete(netlink, index, &err));
}

static void
a_pod_address_moves_to_another_interface_in_one_step(void **state)
{
    int from = add_link("bridge", "cali-old");
    int to = add_link("bridge", "cali-new");
    struct route route = {.dst = prefix("10.7.0.9/32"),
                          .index = from,
                          .protocol = 3,
                          .scope = RT_SCOPE_LINK,
                          .type = RTN_UNICAST};
    route_vec routes = VEC_INIT;
    struct err err = ERR_INIT;

    (void)state;
    assert_true(link_set(netlink, from, true, 0, &err) && link_set(netlink, to, true, 0, &err));
    assert_true(route_replace(netlink, &route, &err));
    route.index = to;
    assert_true(route_replace(netlink, &route, &err));
    assert_true(route_list(netlink, 4, 3, &routes, &err));
    assert_int_equal(routes.n, 1);
    assert_int_equal(routes.items[0].index, to);
    VEC_DONE(&routes);
    assert_true(link_delete(netlink, from, &err) && link_delete(netlink, to, &err));
}

/* ---- notifications
 * -------------------------------------------------------------------------------- */

struct heard {
    unsigned links, links_gone, addresses, routes_gone, confs;
    struct route route;
};

static void
on_note(void *owner, const struct monitor_note *note)
{
    struct heard *heard = owner;

    switch (note->event) {
    case MONITOR_LINK:
        heard->links += strcmp(note->link.name, "heard") == 0;
        break;
    case MONITOR_LINK_GONE:
        heard->links_gone += strcmp(note->link.name, "heard") == 0;
        break;
    case MONITOR_ADDRESS:
        heard->addresses++;
        break;
    case MONITOR_ROUTE_GONE:
        if (note->route.protocol == 3) {
            heard->routes_gone++;
            heard->route = note->route;
        }
        break;
    case MONITOR_CONF:
        heard->confs++;
        break;
    case MONITOR_RULE:
    case MONITOR_RULES:
    case MONITOR_RULES_LOST:
    case MONITOR_OVERRUN:
        break;
    }
}

static void
the_monitor_tells_what_others_change(void **state)
{
    struct heard heard = {0};
    struct monitor *monitor = NULL;
    struct err err = ERR_INIT;
    uv_loop_t loop;
    struct prefix address = prefix("10.5.5.5/24");
    struct route route = {
        .dst = prefix("10.7.0.1/32"), .protocol = 3, .scope = RT_SCOPE_LINK, .type = RTN_UNICAST};

    (void)state;
    uv_loop_init(&loop);
    assert_true(monitor_new(&loop, MONITOR_EVERYTHING, on_note, &heard, &monitor, &err));
    int index = add_link("bridge", "heard");
    assert_true(link_set(netlink, index, true, 0, &err));
    assert_true(address_add(netlink, index, &address, &err));
    route.index = index;
    assert_true(route_replace(netlink, &route, &err));
    assert_true(route_delete(netlink, &route, &err));
    FILE *file = fopen("/proc/sys/net/ipv4/conf/heard/forwarding", "w");
    assert_non_null(file);
    fputs("1\n", file);
    fclose(file);
    assert_true(link_delete(netlink, index, &err));
    for (int i = 0; i < 100 && heard.links_gone == 0; i++) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_true(heard.links >= 2);
    assert_int_equal(heard.links_gone, 1);
    assert_true(heard.addresses >= 1);
    assert_int_equal(heard.routes_gone, 1);
    assert_true(prefix_equal(&heard.route.dst, &route.dst));
    assert_int_equal(heard.route.index, index);
    assert_true(heard.confs >= 1);
    monitor_free(monitor);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* ---- ipsets
 * --------------------------------------------------------------------------------------- */

static struct kset_member
member(const char *text, const char *iface)
{
    struct kset_member result;

    memset(&result, 0, sizeof result);
    result.prefix = prefix(text);
    snprintf(result.iface, sizeof result.iface, "%s", iface);
    return result;
}

static bool
has(const struct kset_state *set, const struct kset_member *wanted)
{
    VEC_FOREACH (&set->members, it) {
        if (kset_member_compare(it, wanted) == 0) {
            return true;
        }
    }
    return false;
}

static void
sets_hold_what_was_added_and_adding_twice_is_fine(void **state)
{
    static const struct {
        enum kset_type type;
        uint8_t family;
        const char *members[3];
        const char *iface;
    } rows[] = {
        {KSET_HASH_NET, 4, {"10.0.0.0/8", "10.1.2.3/32", "192.168.0.0/17"}, ""},
        {KSET_HASH_NET, 6, {"fd00::/8", "fd00::1/128", "2001:db8::/33"}, ""},
        {KSET_HASH_NET_IFACE, 4, {"10.1.2.3/32", "10.1.2.4/32", "10.1.2.5/32"}, "cali0123456789a"},
        {KSET_HASH_NET_IFACE, 6, {"fd00::1/128", "fd00::2/128", "fd00::3/128"}, "cali1"},
    };
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct kset_spec spec = {"cali40test", rows[i].type, rows[i].family, 1000, 3};
        struct kset_member members[3];
        struct kset_state set;
        for (size_t k = 0; k < 3; k++) {
            members[k] = member(rows[i].members[k], rows[i].iface);
        }
        if (!kset_create(kset, &spec, &err) || !kset_add(kset, &spec, members, 3, &err) ||
            !kset_add(kset, &spec, members, 2, &err)) {
            fail_msg("%s", err.text);
        }
        assert_true(kset_read(kset, spec.name, &set, &err));
        assert_true(set.exists);
        assert_string_equal(set.type, kset_type_name(rows[i].type));
        assert_int_equal(set.family, rows[i].family);
        assert_int_equal(set.max_members, 1000);
        assert_int_equal(set.members.n, 3);
        for (size_t k = 0; k < 3; k++) {
            assert_true(has(&set, &members[k]));
        }
        kset_state_done(&set);
        assert_true(kset_delete(kset, &spec, members, 2, &err));
        assert_true(kset_delete(kset, &spec, members, 2, &err));
        assert_true(kset_read(kset, spec.name, &set, &err));
        assert_int_equal(set.members.n, 1);
        kset_state_done(&set);
        assert_true(kset_destroy(kset, spec.name, &err));
        assert_true(kset_destroy(kset, spec.name, &err));
        assert_true(kset_read(kset, spec.name, &set, &err));
        assert_false(set.exists);
    }
}

static void
a_set_of_many_members_takes_few_messages_and_reads_back_whole(void **state)
{
    static struct kset_member members[10000];
    const struct kset_spec spec = {"cali40many", KSET_HASH_NET, 4, 65536, ARRAY_LEN(members)};
    struct kset_state set;
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        char text[32];
        snprintf(text, sizeof text, "10.%zu.%zu.%zu/32", i >> 16, i >> 8 & 255, i & 255);
        members[i] = member(text, "");
    }
    assert_true(kset_create(kset, &spec, &err));
    assert_true(kset_add(kset, &spec, members, ARRAY_LEN(members), &err));
    assert_true(kset_read(kset, spec.name, &set, &err));
    assert_int_equal(set.members.n, ARRAY_LEN(members));
    kset_state_done(&set);
    assert_true(kset_delete(kset, &spec, members, ARRAY_LEN(members), &err));
    assert_true(kset_read(kset, spec.name, &set, &err));
    assert_int_equal(set.members.n, 0);
    kset_state_done(&set);
    assert_true(kset_destroy(kset, spec.name, &err));
}

static void
the_range_of_everything_is_held_as_two_halves(void **state)
{
    const struct kset_spec four = {"cali40all", KSET_HASH_NET, 4, 1000, 2};
    struct kset_member all = member("0.0.0.0/0", "");
    struct kset_member upper = member("128.0.0.0/1", "");
    struct kset_state set;
    struct err err = ERR_INIT;

    (void)state;
    assert_true(kset_create(kset, &four, &err));
    assert_true(kset_add(kset, &four, &all, 1, &err));
    assert_true(kset_read(kset, four.name, &set, &err));
    assert_int_equal(set.members.n, 2);
    assert_true(has(&set, &upper));
    kset_state_done(&set);
    assert_true(kset_delete(kset, &four, &all, 1, &err));
    assert_true(kset_read(kset, four.name, &set, &err));
    assert_int_equal(set.members.n, 0);
    kset_state_done(&set);
    assert_true(kset_destroy(kset, four.name, &err));
}

static void
swapping_exchanges_contents_of_sets_of_one_type(void **state)
{
    const struct kset_spec a = {"cali40a", KSET_HASH_NET, 4, 1000, 2};
    const struct kset_spec b = {"cali40b", KSET_HASH_NET, 4, 2000, 2};
    const struct kset_spec c = {"cali40c", KSET_HASH_NET_IFACE, 4, 2000, 2};
    struct kset_member one = member("10.0.0.1/32", "");
    struct kset_state set;
    struct err err = ERR_INIT;

    (void)state;
    assert_true(kset_create(kset, &a, &err) && kset_create(kset, &b, &err) &&
                kset_create(kset, &c, &err));
    assert_true(kset_add(kset, &b, &one, 1, &err));
    assert_true(kset_swap(kset, "cali40a", "cali40b", &err));
    assert_true(kset_read(kset, "cali40a", &set, &err));
    assert_int_equal(set.members.n, 1);
    assert_int_equal(set.max_members, 2000);
    kset_state_done(&set);
    assert_false(kset_swap(kset, "cali40a", "cali40c", &err));
    assert_non_null(strstr(err.text, "cali40a"));
    assert_true(kset_destroy(kset, "cali40a", &err) && kset_destroy(kset, "cali40b", &err) &&
                kset_destroy(kset, "cali40c", &err));
}

static void
what_the_kernel_refuses_is_told_with_the_set_name(void **state)
{
    const struct kset_spec full = {"cali40full", KSET_HASH_NET, 4, 2, 2};
    const struct kset_spec none = {"cali40none", KSET_HASH_NET, 4, 2, 2};
    struct kset_member members[] = {member("10.0.0.1/32", ""), member("10.0.0.2/32", ""),
                                    member("10.0.0.3/32", "")};
    struct err err = ERR_INIT;

    (void)state;
    assert_false(kset_add(kset, &none, members, 1, &err));
    assert_int_equal(err.code, ENOENT);
    assert_non_null(strstr(err.text, "cali40none"));
    assert_true(kset_create(kset, &full, &err));
    assert_false(kset_create(kset, &full, &err));
    assert_non_null(strstr(err.text, "cali40full"));
    assert_false(kset_add(kset, &full, members, 3, &err));
    assert_non_null(strstr(err.text, "cali40full"));
    assert_true(kset_destroy(kset, "cali40full", &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_are_listed_changed_and_deleted),
        cmocka_unit_test(addresses_come_and_go_and_twice_is_once),
        cmocka_unit_test(routes_are_told_apart_by_their_protocol),
        cmocka_unit_test(a_pod_address_moves_to_another_interface_in_one_step),
        cmocka_unit_test(the_monitor_tells_what_others_change),
        cmocka_unit_test(sets_hold_what_was_added_and_adding_twice_is_fine),
        cmocka_unit_test(a_set_of_many_members_takes_few_messages_and_reads_back_whole),
        cmocka_unit_test(the_range_of_everything_is_held_as_two_halves),
        cmocka_unit_test(swapping_exchanges_contents_of_sets_of_one_type),
        cmocka_unit_test(what_the_kernel_refuses_is_told_with_the_set_name),
    };

    return cmocka_run_group_tests(tests, enter_namespace, leave);
}
