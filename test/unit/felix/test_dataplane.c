/* felix/dataplane: sets and pod routes against the running kernel, in a namespace of the program's
 * own. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/dataplane/endpoints.h"
#include "felix/dataplane/sets.h"
#include "felix/dataplane/sysctl.h"
#include "test/unit/cmocka.h"
#include "test/unit/own_namespace.h"

static struct netlink *netlink;
static struct kset_link *kset;

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

static struct kset_member
member(const char *text)
{
    struct kset_member result = {0};

    assert_true(prefix_parse_host(text, &result.prefix, NULL));
    return result;
}

static size_t
kernel_count(const char *name)
{
    struct kset_state state;

    assert_true(kset_read(kset, name, &state, NULL));
    assert_true(state.exists);
    size_t n = state.members.n;
    kset_state_done(&state);
    return n;
}

static void
apply(struct sets *sets)
{
    struct err err = ERR_INIT;

    if (!sets_apply(sets, &err)) {
        fail_msg("%s", err.text);
    }
}

/* ---- sets
 * -------------------------------------------------------------------------------------- */

static void
a_set_is_made_filled_and_mended(void **state)
{
    struct sets *sets = sets_new(kset);
    struct set *set = sets_define(sets, "mend", KSET_HASH_NET, 4, 1000);
    struct kset_member one = member("10.0.0.1"), two = member("10.0.0.2"),
                       all = member("0.0.0.0/0");
    const struct kset_spec spec = {"cali40mend", KSET_HASH_NET, 4, 1000, 0};

    (void)state;
    set_want(set, &one);
    set_want(set, &one);
    assert_false(set_holds(set, &one));
    apply(sets);
    assert_true(set_holds(set, &one));
    assert_int_equal(kernel_count("cali40mend"), 1);
    set_want(set, &two);
    set_unwant(set, &one);
    apply(sets);
    assert_int_equal(kernel_count("cali40mend"), 1);
    assert_false(set_holds(set, &one));
    assert_int_equal(sets_n_repaired(sets), 0);

    assert_true(kset_delete(kset, &spec, &two, 1, NULL) && kset_add(kset, &spec, &one, 1, NULL));
    sets_resync(sets);
    apply(sets);
    assert_int_equal(kernel_count("cali40mend"), 1);
    assert_true(set_holds(set, &two));
    assert_true(sets_n_repaired(sets) >= 1);

    assert_true(kset_destroy(kset, "cali40mend", NULL));
    set_want(set, &one);
    apply(sets);
    assert_int_equal(kernel_count("cali40mend"), 2);

    set_want_all(set, &all, 1);
    uint64_t before = sets_n_repaired(sets);
    for (int i = 0; i < 3; i++) {
        apply(sets);
        assert_int_equal(kernel_count("cali40mend"), 2);
        sets_resync(sets);
    }
    assert_int_equal(sets_n_repaired(sets), before);
    set_want_all(set, NULL, 0);
    apply(sets);
    assert_int_equal(kernel_count("cali40mend"), 0);
    sets_free(sets);
    assert_true(kset_destroy(kset, "cali40mend", NULL));
}

static bool
exists(const char *name)
{
    struct kset_state state;

    assert_true(kset_read(kset, name, &state, NULL));
    bool is_there = state.exists;
    kset_state_done(&state);
    return is_there;
}

static void
a_set_of_ports_tells_ports_and_protocols_apart(void **state)
{
    struct sets *sets = sets_new(kset);
    struct set *set = sets_define(sets, "n:ports", KSET_HASH_IP_PORT, 4, 1000);
    struct kset_member tcp = member("10.0.0.1"), udp = member("10.0.0.1");
    struct kset_state read;

    (void)state;
    tcp.protocol = 6;
    tcp.port = 80;
    udp.protocol = 17;
    udp.port = 53;
    set_want(set, &tcp);
    set_want(set, &udp);
    apply(sets);
    set_unwant(set, &udp);
    apply(sets);
    assert_true(kset_read(kset, "cali40n:ports", &read, NULL));
    assert_string_equal(read.type, "hash:ip,port");
    assert_int_equal(read.members.n, 1);
    assert_int_equal(kset_member_compare(&read.members.items[0], &tcp), 0);
    kset_state_done(&read);
    sets_resync(sets);
    apply(sets);
    assert_int_equal(sets_n_repaired(sets), 0);
    sets_free(sets);
    assert_true(kset_destroy(kset, "cali40n:ports", NULL));
}

static void
dropped_and_left_over_sets_go_and_those_of_others_stay(void **state)
{
    const struct kset_spec left = {"cali40left", KSET_HASH_NET, 4, 1000, 0};
    const struct kset_spec foreign = {"foreign", KSET_HASH_NET, 4, 1000, 0};
    struct sets *sets = sets_new(kset);
    struct set *kept = sets_define(sets, "kept", KSET_HASH_NET, 4, 1000);
    struct set *gone = sets_define(sets, "gone", KSET_HASH_NET, 4, 1000);
    struct kset_member one = member("10.0.0.1");

    (void)state;
    assert_true(kset_create(kset, &left, NULL) && kset_create(kset, &foreign, NULL));
    set_want(kept, &one);
    set_want(gone, &one);
    apply(sets);
    sets_drop(sets, gone);
    assert_false(sets_destroy_some(sets));
    assert_true(exists("cali40gone"));
    sets_release(sets, true);
    while (sets_destroy_some(sets)) {
    }
    assert_false(exists("cali40gone") || exists("cali40left"));
    assert_true(exists("cali40kept") && exists("foreign"));

    /* Wanted again before it was destroyed: it stays, and holds what is wanted now. */
    sets_drop(sets, kept);
    sets_release(sets, false);
    kept = sets_define(sets, "kept", KSET_HASH_NET, 4, 1000);
    apply(sets);
    assert_false(sets_destroy_some(sets));
    assert_int_equal(kernel_count("cali40kept"), 0);
    sets_free(sets);
    assert_true(kset_destroy(kset, "cali40kept", NULL) && kset_destroy(kset, "foreign", NULL));
}

static void
a_set_of_another_shape_is_exchanged(void **state)
{
    static const struct kset_spec olds[] = {{"cali40shape", KSET_HASH_NET_IFACE, 4, 500, 0},
                                            {"cali40shape", KSET_HASH_NET, 6, 1000, 0},
                                            {"cali40shape", KSET_HASH_NET, 4, 500, 0}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(olds); i++) {
        struct sets *sets = sets_new(kset);
        struct set *set = sets_define(sets, "shape", KSET_HASH_NET, 4, 1000);
        struct kset_member one = member("10.0.0.1");
        struct kset_state read;
        assert_true(kset_create(kset, &olds[i], NULL));
        set_want(set, &one);
        apply(sets);
        assert_true(kset_read(kset, "cali40shape", &read, NULL));
        assert_string_equal(read.type, "hash:net");
        assert_int_equal(read.family, 4);
        assert_int_equal(read.max_members, 1000);
        assert_int_equal(read.members.n, 1);
        kset_state_done(&read);
        assert_true(kset_read(kset, "cali4t0", &read, NULL));
        assert_false(read.exists);
        sets_free(sets);
        assert_true(kset_destroy(kset, "cali40shape", NULL));
    }
}

static void
before_the_first_sync_members_are_only_added(void **state)
{
    const struct kset_spec old = {"cali40only", KSET_HASH_NET, 4, 1000, 0};
    struct sets *sets = sets_new(kset);
    struct set *set = sets_define(sets, "only", KSET_HASH_NET, 4, 1000);
    struct kset_member of_earlier_run = member("10.0.0.1"), now = member("10.0.0.2");

    (void)state;
    sets_only_add(sets, true);
    assert_false(sets_exist(sets));
    set_want(set, &now);
    assert_false(sets_apply(sets, NULL));
    assert_true(kset_create(kset, &old, NULL) && kset_add(kset, &old, &of_earlier_run, 1, NULL));
    assert_true(sets_exist(sets));
    apply(sets);
    assert_int_equal(kernel_count("cali40only"), 2);
    sets_only_add(sets, false);
    sets_resync(sets);
    apply(sets);
    assert_int_equal(kernel_count("cali40only"), 1);
    sets_free(sets);
    assert_true(kset_destroy(kset, "cali40only", NULL));
}

/* ---- endpoints
 * --------------------------------------------------------------------------------- */

static int
add_link(const char *name, bool up)
{
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    struct ifinfomsg ifi = {0};
    struct link link;

    nlmsg_append(msg, &ifi, sizeof ifi, NLMSG_ALIGNTO);
    nla_put_string(msg, IFLA_IFNAME, name);
    struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
    nla_put_string(msg, IFLA_INFO_KIND, "bridge");
    nla_nest_end(msg, info);
    assert_true(netlink_request(netlink, msg, NULL));
    assert_true(link_get(netlink, name, &link, NULL));
    assert_true(link_set(netlink, link.index, up, 0, NULL));
    return link.index;
}

/* The interface a route of ours leads to, 0: there is none. */
static int
routed_to(const char *text)
{
    struct prefix dst;
    route_vec routes = VEC_INIT;
    int index = 0;

    assert_true(prefix_parse_host(text, &dst, NULL));
    assert_true(route_list(netlink, dst.ip.family, 3, &routes, NULL));
    VEC_FOREACH (&routes, route) {
        index = prefix_equal(&route->dst, &dst) ? route->index : index;
    }
    VEC_DONE(&routes);
    return index;
}

struct pods {
    struct sets *sets;
    struct endpoints *endpoints;
};

static int
make_pods(void **state)
{
    struct pods *pods = calloc(1, sizeof *pods);
    struct endpoints_spec spec = {.netlink = netlink, .route_protocol = 3};

    pods->sets = sets_new(kset);
    spec.workloads4 = sets_define(pods->sets, "wl", KSET_HASH_NET_IFACE, 4, 1000);
    spec.workloads6 = sets_define(pods->sets, "wl", KSET_HASH_NET_IFACE, 6, 1000);
    pods->endpoints = endpoints_new(&spec);
    *state = pods;
    return 0;
}

static int
drop_pods(void **state)
{
    struct pods *pods = *state;

    endpoints_free(pods->endpoints);
    sets_free(pods->sets);
    free(pods);
    return kset_destroy(kset, "cali40wl", NULL) && kset_destroy(kset, "cali60wl", NULL) ? 0 : -1;
}

static void
put(struct pods *pods, const char *ifname, const char *ip4, const char *ip6)
{
    struct prefix ips[2];
    size_t n = 0;

    assert_true(prefix_parse_host(ip4, &ips[n++], NULL));
    if (ip6) {
        assert_true(prefix_parse_host(ip6, &ips[n++], NULL));
    }
    endpoints_put(pods->endpoints, ifname, ips, n);
}

static void
write_all(struct pods *pods)
{
    struct err err = ERR_INIT;

    apply(pods->sets);
    if (!endpoints_apply(pods->endpoints, &err)) {
        fail_msg("%s", err.text);
    }
}

static void
tell_link(struct pods *pods, const char *name, int index, bool is_gone)
{
    struct link link = {.index = index, .is_up = !is_gone};

    snprintf(link.name, sizeof link.name, "%s", name);
    endpoints_on_link(pods->endpoints, &link, is_gone);
}

static void
a_pod_gets_routes_members_and_settings_and_loses_them(void **state)
{
    struct pods *pods = *state;
    int index = add_link("cali1", true);

    put(pods, "cali1", "10.0.0.1", "fd00::1");
    assert_false(endpoints_is_programmed(pods->endpoints, "cali1"));
    write_all(pods);
    assert_true(endpoints_is_programmed(pods->endpoints, "cali1"));
    assert_int_equal(routed_to("10.0.0.1"), index);
    assert_int_equal(routed_to("fd00::1"), index);
    assert_int_equal(kernel_count("cali40wl"), 1);
    assert_int_equal(kernel_count("cali60wl"), 1);
    bool changed = false;
    assert_true(sysctl_workload("cali1", true, &changed, NULL));
    assert_false(changed);
    endpoints_remove(pods->endpoints, "cali1");
    write_all(pods);
    assert_int_equal(routed_to("10.0.0.1"), 0);
    assert_int_equal(routed_to("fd00::1"), 0);
    assert_int_equal(kernel_count("cali40wl"), 0);
    assert_true(link_delete(netlink, index, NULL));
}

static void
a_pod_waits_for_its_link_and_follows_it(void **state)
{
    struct pods *pods = *state;

    put(pods, "cali1", "10.0.0.1", NULL);
    write_all(pods);
    assert_false(endpoints_is_programmed(pods->endpoints, "cali1"));
    int index = add_link("cali1", true);
    tell_link(pods, "cali1", index, false);
    write_all(pods);
    assert_int_equal(routed_to("10.0.0.1"), index);
    assert_true(link_delete(netlink, index, NULL));
    int next = add_link("cali1", true);
    tell_link(pods, "cali1", next, false);
    tell_link(pods, "cali1", index, true); /* late word of the old one */
    write_all(pods);
    assert_true(endpoints_is_programmed(pods->endpoints, "cali1"));
    assert_int_equal(routed_to("10.0.0.1"), next);
    assert_true(link_delete(netlink, next, NULL));
    tell_link(pods, "cali1", next, true);
    write_all(pods);
    assert_false(endpoints_is_programmed(pods->endpoints, "cali1"));
}

static struct route
route_by(const char *text, int index, uint8_t protocol)
{
    struct route route = {.index = index, .protocol = protocol, .type = RTN_UNICAST};

    assert_true(prefix_parse_host(text, &route.dst, NULL));
    route.scope = route.dst.ip.family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    return route;
}

static bool
is_routed_by(const char *text, uint8_t protocol)
{
    struct prefix dst;
    route_vec routes = VEC_INIT;
    bool found = false;

    assert_true(prefix_parse_host(text, &dst, NULL));
    assert_true(route_list(netlink, dst.ip.family, protocol, &routes, NULL));
    VEC_FOREACH (&routes, route) {
        found |= prefix_equal(&route->dst, &dst);
    }
    VEC_DONE(&routes);
    return found;
}

static void
routes_of_others_go_only_when_it_is_set(void **state)
{
    struct pods *pods = *state;
    int index = add_link("cali1", true), other = add_link("other1", true);
    const struct route foreign[] = {route_by("192.0.2.0/24", index, RTPROT_BOOT),
                                    route_by("192.0.2.9", index, RTPROT_STATIC),
                                    route_by("fd09::/64", index, RTPROT_STATIC),
                                    route_by("198.51.100.0/24", other, RTPROT_BOOT),
                                    route_by("203.0.113.0/24", index, RTPROT_BIRD)};
    struct endpoint_routes routes = {.removes_foreign = false};

    put(pods, "cali1", "10.0.0.1", "fd00::1");
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
        assert_true(route_replace(netlink, &foreign[i], NULL));
    }
    write_all(pods);
    assert_true(endpoints_resync(pods->endpoints, NULL));
    write_all(pods);
    assert_true(is_routed_by("192.0.2.0/24", RTPROT_BOOT));
    assert_true(is_routed_by("192.0.2.9", RTPROT_STATIC));
    routes.removes_foreign = true;
    endpoints_configure(pods->endpoints, &routes);
    assert_true(endpoints_resync(pods->endpoints, NULL));
    write_all(pods);
    assert_false(is_routed_by("192.0.2.0/24", RTPROT_BOOT));
    assert_false(is_routed_by("192.0.2.9", RTPROT_STATIC));
    assert_false(is_routed_by("fd09::/64", RTPROT_STATIC));
    assert_true(is_routed_by("198.51.100.0/24", RTPROT_BOOT));
    assert_true(is_routed_by("203.0.113.0/24", RTPROT_BIRD));
    assert_int_equal(routed_to("10.0.0.1"), index);
    assert_int_equal(routed_to("fd00::1"), index);
    assert_true(link_delete(netlink, index, NULL));
    assert_true(link_delete(netlink, other, NULL));
}

static void
float_to(struct pods *pods, const char *ifname, const char *const texts[], size_t n)
{
    floating_vec list = VEC_INIT;

    for (size_t i = 0; i < n; i++) {
        struct floating_address address = {0};
        assert_true(ip_parse(texts[i], &address.ip, NULL));
        snprintf(address.ifname, sizeof address.ifname, "%s", ifname);
        VEC_PUSH(&list, address);
    }
    assert_false(endpoints_float(pods->endpoints, &list));
    VEC_DONE(&list);
}

static void
floating_addresses_are_routed_to_who_has_them_and_in_no_set(void **state)
{
    static const char *const both[] = {"10.9.0.1", "fd00::9"}, *const other[] = {"10.9.0.2"};
    struct pods *pods = *state;
    int one = add_link("cali1", true), two = add_link("cali2", true);

    float_to(pods, "cali1", both, 2); /* before the pod is known */
    put(pods, "cali1", "10.0.0.1", "fd00::1");
    put(pods, "cali2", "10.0.0.2", NULL);
    write_all(pods);
    assert_int_equal(routed_to("10.9.0.1"), one);
    assert_int_equal(routed_to("fd00::9"), one);
    assert_int_equal(kernel_count("cali40wl"), 2);
    const struct route lost = route_by("10.9.0.1", one, 3);
    assert_true(route_delete(netlink, &lost, NULL));
    assert_true(endpoints_resync(pods->endpoints, NULL));
    write_all(pods);
    assert_int_equal(routed_to("10.9.0.1"), one);
    float_to(pods, "cali2", both, 1);
    write_all(pods);
    assert_int_equal(routed_to("10.9.0.1"), two);
    assert_int_equal(routed_to("fd00::9"), 0);
    float_to(pods, "cali2", other, 1);
    write_all(pods);
    assert_int_equal(routed_to("10.9.0.1"), 0);
    assert_int_equal(routed_to("10.9.0.2"), two);
    endpoints_remove(pods->endpoints, "cali2");
    write_all(pods);
    assert_int_equal(routed_to("10.9.0.2"), 0);
    assert_int_equal(routed_to("10.0.0.1"), one);
    assert_true(link_delete(netlink, one, NULL));
    assert_true(link_delete(netlink, two, NULL));
}

static void
routes_are_left_to_others_when_it_is_set(void **state)
{
    struct pods *pods = *state;
    int index = add_link("cali1", true);
    struct endpoint_routes routes = {.are_left = true, .removes_foreign = true};
    const struct route foreign = route_by("192.0.2.0/24", index, RTPROT_BOOT);

    endpoints_configure(pods->endpoints, &routes);
    put(pods, "cali1", "10.0.0.1", NULL);
    assert_true(route_replace(netlink, &foreign, NULL));
    write_all(pods);
    assert_true(endpoints_resync(pods->endpoints, NULL));
    write_all(pods);
    assert_int_equal(routed_to("10.0.0.1"), 0);
    assert_true(endpoints_is_programmed(pods->endpoints, "cali1"));
    assert_true(is_routed_by("192.0.2.0/24", RTPROT_BOOT));
    routes.are_left = routes.removes_foreign = false;
    endpoints_configure(pods->endpoints, &routes);
    write_all(pods);
    assert_int_equal(routed_to("10.0.0.1"), index);
    assert_true(link_delete(netlink, index, NULL));
}

static struct ip
source_of_route_to(const char *text)
{
    struct prefix dst;
    route_vec routes = VEC_INIT;
    struct ip source = {0};

    assert_true(prefix_parse_host(text, &dst, NULL));
    assert_true(route_list(netlink, dst.ip.family, 3, &routes, NULL));
    VEC_FOREACH (&routes, route) {
        source = prefix_equal(&route->dst, &dst) ? route->source : source;
    }
    VEC_DONE(&routes);
    return source;
}

static void
a_route_has_the_source_that_is_set_if_this_node_has_it(void **state)
{
    struct pods *pods = *state;
    int index = add_link("cali1", true), host = add_link("host1", true);
    struct endpoint_routes routes = {0};
    struct prefix own;
    struct err err = ERR_INIT;

    assert_true(prefix_parse_host("172.16.0.1", &own, NULL));
    assert_true(address_add(netlink, host, &own, NULL));
    put(pods, "cali1", "10.0.0.1", NULL);
    write_all(pods);
    assert_int_equal(source_of_route_to("10.0.0.1").family, 0);
    routes.source4 = own.ip;
    endpoints_configure(pods->endpoints, &routes);
    write_all(pods);
    struct ip source = source_of_route_to("10.0.0.1");
    assert_true(ip_equal(&source, &own.ip));
    /* One that this node has not is told once; the pod keeps a route. */
    assert_true(ip_parse("172.16.0.2", &routes.source4, NULL));
    endpoints_configure(pods->endpoints, &routes);
    assert_false(endpoints_apply(pods->endpoints, &err));
    assert_non_null(strstr(err.text, "172.16.0.2 is no address of this node"));
    write_all(pods);
    assert_true(endpoints_is_programmed(pods->endpoints, "cali1"));
    assert_int_equal(routed_to("10.0.0.1"), index);
    assert_int_equal(source_of_route_to("10.0.0.1").family, 0);
    assert_true(link_delete(netlink, index, NULL));
    assert_true(link_delete(netlink, host, NULL));
}

static void
an_address_belongs_to_the_pod_that_got_it_last(void **state)
{
    struct pods *pods = *state;
    int one = add_link("cali1", true), two = add_link("cali2", true);

    put(pods, "cali1", "10.0.0.1", "fd00::1");
    write_all(pods);
    put(pods, "cali2", "10.0.0.1", NULL);
    write_all(pods);
    assert_int_equal(routed_to("10.0.0.1"), two);
    assert_int_equal(routed_to("fd00::1"), one);
    assert_int_equal(kernel_count("cali40wl"), 1);
    endpoints_remove(pods->endpoints, "cali1");
    write_all(pods);
    assert_int_equal(routed_to("10.0.0.1"), two);
    assert_true(link_delete(netlink, one, NULL) && link_delete(netlink, two, NULL));
}

static void
a_resync_mends_routes_and_leaves_those_of_others(void **state)
{
    struct pods *pods = *state;
    int index = add_link("cali1", true);
    struct route route = {
        .index = index, .protocol = 3, .scope = RT_SCOPE_LINK, .type = RTN_UNICAST};
    struct route foreign = route;
    struct err err = ERR_INIT;

    put(pods, "cali1", "10.0.0.1", NULL);
    write_all(pods);
    assert_true(prefix_parse_host("10.0.0.1", &route.dst, NULL));
    assert_true(route_delete(netlink, &route, &err));
    assert_true(prefix_parse_host("10.0.0.7", &route.dst, NULL));
    assert_true(route_replace(netlink, &route, &err));
    assert_true(prefix_parse_host("10.0.0.8", &foreign.dst, NULL));
    foreign.protocol = 99;
    assert_true(route_replace(netlink, &foreign, &err));
    assert_true(endpoints_resync(pods->endpoints, &err));
    write_all(pods);
    assert_int_equal(routed_to("10.0.0.1"), index);
    assert_int_equal(routed_to("10.0.0.7"), 0);
    assert_true(route_delete(netlink, &foreign, &err));
    assert_int_equal(endpoints_n_repaired(pods->endpoints), 1);
    assert_true(link_delete(netlink, index, NULL));
}

static void
a_bad_pod_does_not_hold_the_others_up(void **state)
{
    struct pods *pods = *state;
    int index = add_link("cali2", true);

    put(pods, "cali1", "10.0.0.1", NULL); /* its link went the moment it was looked at */
    tell_link(pods, "cali1", 9999, false);
    put(pods, "cali2", "10.0.0.2", NULL);
    apply(pods->sets);
    assert_true(endpoints_apply(pods->endpoints, NULL));
    assert_true(endpoints_is_programmed(pods->endpoints, "cali2"));
    assert_false(endpoints_is_programmed(pods->endpoints, "cali1"));
    assert_true(link_delete(netlink, index, NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_made_filled_and_mended),
        cmocka_unit_test(a_set_of_ports_tells_ports_and_protocols_apart),
        cmocka_unit_test(dropped_and_left_over_sets_go_and_those_of_others_stay),
        cmocka_unit_test(a_set_of_another_shape_is_exchanged),
        cmocka_unit_test(before_the_first_sync_members_are_only_added),
        cmocka_unit_test_setup_teardown(a_pod_gets_routes_members_and_settings_and_loses_them,
                                        make_pods, drop_pods),
        cmocka_unit_test_setup_teardown(a_pod_waits_for_its_link_and_follows_it, make_pods,
                                        drop_pods),
        cmocka_unit_test_setup_teardown(routes_of_others_go_only_when_it_is_set, make_pods,
                                        drop_pods),
        cmocka_unit_test_setup_teardown(floating_addresses_are_routed_to_who_has_them_and_in_no_set,
                                        make_pods, drop_pods),
        cmocka_unit_test_setup_teardown(routes_are_left_to_others_when_it_is_set, make_pods,
                                        drop_pods),
        cmocka_unit_test_setup_teardown(a_route_has_the_source_that_is_set_if_this_node_has_it,
                                        make_pods, drop_pods),
        cmocka_unit_test_setup_teardown(an_address_belongs_to_the_pod_that_got_it_last, make_pods,
                                        drop_pods),
        cmocka_unit_test_setup_teardown(a_resync_mends_routes_and_leaves_those_of_others, make_pods,
                                        drop_pods),
        cmocka_unit_test_setup_teardown(a_bad_pod_does_not_hold_the_others_up, make_pods,
                                        drop_pods),
    };

    return cmocka_run_group_tests(tests, enter_namespace, leave);
}
