/* felix/rules: dispatch to pods by the name of their interface, and the hooks around it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/rules/dispatch.h"
#include "felix/rules/policy_rules.h"
#include "felix/rules/ipvs_rules.h"
#include "felix/rules/static_rules.h"
#include "lib/base/alloc.h"
#include "lib/base/table.h"
#include "test/unit/cmocka.h"
#include "test/unit/felix/chain_text.h"

/* ---- tree ------------------------------------------------------------------------------------
 */

/* What the kernel would hold after all changes: name -> text. */
struct kernel {
    struct table *chains;
    size_t n_written;
};

static void
take(struct kernel *kernel, struct ruleset *set)
{
    VEC_FOREACH (&set->chains, chain) {
        assert_string_equal(chain->table, "filter");
        free(table_put(kernel->chains, chain->name, text_of(chain)));
        kernel->n_written++;
    }
    ruleset_done(set);
}

static void
on_gone(void *owner, const char *chain)
{
    struct kernel *kernel = owner;
    char *text = table_take(kernel->chains, chain);

    assert_non_null(text);
    free(text);
}

static void
flush(struct dispatch *dispatch, struct kernel *kernel)
{
    struct ruleset set;

    ruleset_init(&set);
    kernel->n_written = 0;
    dispatch_changes(dispatch, &set, on_gone, kernel);
    take(kernel, &set);
}

static void
a_pod_changes_its_leaf_and_seldom_more(void **state)
{
    struct dispatch *dispatch = dispatch_new("cali");
    struct kernel kernel = {.chains = table_new()};

    (void)state;
    flush(dispatch, &kernel);
    assert_int_equal(kernel.n_written, 2);
    assert_string_equal(table_get(kernel.chains, DISPATCH_FROM), "-g cali-unknown-from\n");
    assert_string_equal(table_get(kernel.chains, DISPATCH_TO), "-g cali-unknown-to\n");
    assert_true(dispatch_put(dispatch, "cali12345678901"));
    assert_false(dispatch_put(dispatch, "cali12345678901"));
    flush(dispatch, &kernel);
    assert_int_equal(kernel.n_written, 6);
    assert_string_equal(table_get(kernel.chains, DISPATCH_FROM),
                        "-i cali1+ -g cali-from-wl-dispatch-1\n-g cali-unknown-from\n");
    assert_string_equal(table_get(kernel.chains, DISPATCH_TO "-1"),
                        "-o cali12+ -g cali-to-wl-dispatch-12\n-g cali-unknown-to\n");
    assert_true(dispatch_put(dispatch, "cali12abcdef012"));
    flush(dispatch, &kernel);
    assert_int_equal(kernel.n_written, 2);
    assert_string_equal(table_get(kernel.chains, DISPATCH_FROM "-12"),
                        "-i cali12345678901 -g cali-fw-cali12345678901\n"
                        "-i cali12abcdef012 -g cali-fw-cali12abcdef012\n-g cali-unknown-from\n");
    flush(dispatch, &kernel);
    assert_int_equal(kernel.n_written, 0);
    dispatch_remove(dispatch, "cali12345678901");
    dispatch_remove(dispatch, "cali12345678901");
    dispatch_remove(dispatch, "cali12abcdef012");
    flush(dispatch, &kernel);
    assert_int_equal(kernel.n_written, 2);
    assert_int_equal(table_count(kernel.chains), 2);
    table_free(kernel.chains, free);
    dispatch_free(dispatch);
}

static void
names_that_are_short_or_strange_are_no_way_in(void **state)
{
    static const char *const strange[] = {"eth0", "cali+", "cali 1", "cali\"", "cali0123456789ab",
                                          ""};
    struct dispatch *dispatch = dispatch_new("cali");
    struct ruleset set;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strange); i++) {
        assert_false(dispatch_put(dispatch, strange[i]));
    }
    assert_true(dispatch_put(dispatch, "cali"));
    assert_true(dispatch_put(dispatch, "cali1"));
    assert_true(dispatch_put(dispatch, "cali12"));
    ruleset_init(&set);
    dispatch_chains(dispatch, &set);
    assert_int_equal(set.chains.n, 6);
    assert_chain(&set, "filter", DISPATCH_TO,
                 "-o cali -g cali-tw-cali\n-o cali1+ -g cali-to-wl-dispatch-1\n"
                 "-g cali-unknown-to\n");
    assert_chain(&set, "filter", DISPATCH_TO "-1",
                 "-o cali1 -g cali-tw-cali1\n-o cali12+ -g cali-to-wl-dispatch-12\n"
                 "-g cali-unknown-to\n");
    assert_chain(&set, "filter", DISPATCH_TO "-12",
                 "-o cali12 -g cali-tw-cali12\n-g cali-unknown-to\n");
    ruleset_done(&set);
    dispatch_free(dispatch);
}

/* Small and repeatable. */
static unsigned
next_random(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 8;
}

static void
whatever_happened_it_is_as_if_built_anew(void **state)
{
    struct dispatch *dispatch = dispatch_new("cali");
    struct kernel kernel = {.chains = table_new()};
    bool is_there[300] = {false};
    unsigned seed = 7;

    (void)state;
    for (int round = 0; round < 60; round++) {
        struct dispatch *fresh = dispatch_new("cali");
        struct kernel anew = {.chains = table_new()};
        for (int i = 0; i < 25; i++) {
            unsigned pod = next_random(&seed) % ARRAY_LEN(is_there);
            char name[16];
            snprintf(name, sizeof name, "cali%02x%x", pod % 40, pod);
            if (is_there[pod]) {
                dispatch_remove(dispatch, name);
            } else {
                assert_true(dispatch_put(dispatch, name));
            }
            is_there[pod] = !is_there[pod];
        }
        for (unsigned pod = 0; pod < ARRAY_LEN(is_there); pod++) {
            char name[16];
            snprintf(name, sizeof name, "cali%02x%x", pod % 40, pod);
            if (is_there[pod]) {
                dispatch_put(fresh, name);
            }
        }
        flush(dispatch, &kernel);
        flush(fresh, &anew);
        assert_int_equal(table_count(kernel.chains), table_count(anew.chains));
        TABLE_FOREACH (anew.chains, entry) {
            assert_string_equal(table_get(kernel.chains, table_key(entry)), table_value(entry));
        }
        table_free(anew.chains, free);
        dispatch_free(fresh);
    }
    table_free(kernel.chains, free);
    dispatch_free(dispatch);
}

/* ---- hooks -----------------------------------------------------------------------------------
 */

static void
with_policy(struct policy_rules_config *policy, uint8_t family, struct ruleset *set)
{
    const struct static_rules_config config = {.workload_prefix = "cali", .policy = policy};

    policy->workload_prefix = "cali";
    policy->to_host = policy->service_loop = policy->deny = RULES_DROP;
    assert_true(policy_marks_of_mask(POLICY_MARK_MASK_DEFAULT, &policy->marks, NULL));
    ruleset_init(set);
    static_rules(&config, family, set);
}

static void
without_host_endpoints_only_pods_are_looked_at(void **state)
{
    struct prefix nets[] = {{{4, {10, 96}}, 12}, {{6, {0xfd}}, 108}};
    struct policy_rules_config policy = {.service_nets = nets, .n_service_nets = 2};
    struct ruleset set;

    (void)state;
    with_policy(&policy, 4, &set);
    assert_chain(&set, "filter", "cali-FORWARD",
                 "-i cali+ -p 4 -j DROP\n"
                 "-i cali+ -m connmark --mark 0x40000/0x40000 -g cali-refused\n"
                 "-i cali+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
                 "-i cali+ -m conntrack --ctstate INVALID -j DROP\n"
                 "! -i cali+ -o cali+ -m connmark --mark 0x40000/0x40000 -g cali-refused\n"
                 "! -i cali+ -o cali+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
                 "! -i cali+ -o cali+ -m conntrack --ctstate INVALID -j DROP\n"
                 "-j MARK --set-xmark 0x0/0x1b0000\n"
                 "-i cali+ -j cali-from-wl-dispatch\n"
                 "-o cali+ -j cali-to-wl-dispatch\n"
                 "-j cali-cidr-block\n");
    assert_chain(&set, "filter", "cali-FORWARD-accept",
                 "-m mark --mark 0x10000/0x10000 -j ACCEPT\n");
    assert_chain(&set, "filter", "cali-cidr-block", "-d 10.96.0.0/12 -j DROP\n");
    assert_chain(
        &set, "filter", "cali-INPUT",
        "-p ipencap -m set --match-set cali40all-hosts-net src -m addrtype --dst-type LOCAL"
        " -j ACCEPT\n-p ipencap -j DROP\n-i cali+ -g cali-wl-to-host\n");
    assert_chain(
        &set, "filter", "cali-OUTPUT",
        "-p ipencap -m set --match-set cali40all-hosts-net dst -m addrtype --src-type LOCAL"
        " -j ACCEPT\n-o cali+ -m connmark --mark 0x40000/0x40000 -g cali-refused\n"
        "-o cali+ -j RETURN\n");
    assert_chain(&set, "filter", "cali-wl-to-host",
                 "-m connmark --mark 0x40000/0x40000 -g cali-refused\n"
                 "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
                 "-m conntrack --ctstate INVALID -j DROP\n"
                 "-j cali-from-wl-dispatch\n-j DROP\n");
    assert_chain(&set, "filter", "cali-refused", "-j DROP\n");
    assert_chain(&set, "filter", "cali-allow", "-j MARK --set-xmark 0x10000/0x190000\n");
    assert_chain(&set, "filter", "cali-pass", "-j MARK --set-xmark 0x20000/0x1a0000\n");
    assert_null(find_chain(&set, "mangle", "cali-PREROUTING"));
    VEC_FOREACH (&set.hooks, hook) {
        assert_string_not_equal(hook->table, "mangle");
    }
    ruleset_done(&set);
    with_policy(&policy, 6, &set);
    assert_chain(&set, "filter", "cali-cidr-block", "-d fd00::/108 -j DROP\n");
    const struct chain *chain = find_chain(&set, "filter", "cali-wl-to-host");
    assert_string_equal(chain->rules.items[4], "-p 58 -m icmp6 --icmpv6-type 135 -j ACCEPT");
    ruleset_done(&set);
}

static void
settings_change_what_is_done(void **state)
{
    struct policy_rules_config policy = {.filter_allow = RULES_RETURN,
                                         .keeps_invalid = true,
                                         .allows_ipip_from_pods = true,
                                         .nflog_group = 3};
    struct ruleset set;

    (void)state;
    with_policy(&policy, 4, &set);
    assert_chain(
        &set, "filter", "cali-FORWARD",
        "-i cali+ -m connmark --mark 0x40000/0x40000 -g cali-refused\n"
        "-i cali+ -m conntrack --ctstate RELATED,ESTABLISHED -j MARK --set-xmark"
        " 0x10000/0x10000\n"
        "-i cali+ -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n"
        "! -i cali+ -o cali+ -m connmark --mark 0x40000/0x40000 -g cali-refused\n"
        "! -i cali+ -o cali+ -m conntrack --ctstate RELATED,ESTABLISHED -j MARK --set-xmark"
        " 0x10000/0x10000\n"
        "! -i cali+ -o cali+ -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n"
        "-j MARK --set-xmark 0x0/0x1b0000\n"
        "-i cali+ -j cali-from-wl-dispatch\n"
        "-o cali+ -j cali-to-wl-dispatch\n"
        "-j cali-cidr-block\n");
    assert_chain(&set, "filter", "cali-FORWARD-accept",
                 "-m mark --mark 0x10000/0x10000 -j RETURN\n");
    assert_chain(
        &set, "filter", "cali-refused",
        "-j NFLOG --nflog-group 3 --nflog-size 128 --nflog-prefix canal:C:i:0:\n-j DROP\n");
    ruleset_done(&set);
}

static void
host_endpoints_are_dispatched_in_every_table(void **state)
{
    static const struct failsafe_port in[] = {{6, 22, false, {{0}, 0}},
                                              {6, 80, true, {{6, {0xfd}}, 8}}};
    static const struct failsafe_port out[] = {{17, 53, true, {{4, {10}}, 8}}};
    struct policy_rules_config policy = {.has_host_endpoints = true,
                                         .failsafe_in = in,
                                         .n_failsafe_in = 2,
                                         .failsafe_out = out,
                                         .n_failsafe_out = 1};
    const struct verdict_list list = {.direction = INGRESS, .id = "11"};
    const struct policy_endpoint any = {.ifname = "*", .is_host = true}, eth = {.ifname = "eth0",
                                                                                .is_host = true,
                                                                                .dscp = 47,
                                                                                .lists = {{&list}}};
    const struct policy_endpoint *both[] = {&any, &eth};
    struct ruleset set;

    (void)state;
    with_policy(&policy, 4, &set);
    host_dispatch_chains(&policy, 4, both, 2, &set);
    endpoint_chains(&policy, 4, &any, &set);
    endpoint_chains(&policy, 4, &eth, &set);
    assert_chain(&set, "filter", "cali-from-host-endpoint",
                 "-i cali+ -j RETURN\n-i eth0 -g cali-fh-eth0\n-g cali-fh-every-other-iface\n");
    assert_chain(&set, "raw", "cali-to-host-endpoint",
                 "-o cali+ -j RETURN\n-o eth0 -g cali-th-eth0\n-g cali-th-every-other-iface\n");
    assert_chain(&set, "mangle", "cali-qos-host",
                 "-o eth0 -m addrtype --src-type LOCAL -m set ! --match-set cali40all-ipam-pools "
                 "dst -j DSCP --set-dscp 46\n-o eth0 -j RETURN\n");
    assert_chain(&set, "filter", "cali-to-hep-forward",
                 "-o cali+ -j RETURN\n-o eth0 -g cali-thfw-eth0\n-g cali-thfw-every-other-iface\n");
    assert_chain(&set, "filter", "cali-fh-eth0", "-j cali-failsafe-in\n-g cali-ti-11\n");
    assert_chain(&set, "filter", "cali-fhfw-eth0", "");
    assert_chain(&set, "mangle", "cali-th-every-other-iface", "-j cali-failsafe-out\n");
    assert_chain(&set, "filter", "cali-failsafe-in", "-p 6 -m multiport --dports 22 -j ACCEPT\n");
    assert_chain(&set, "raw", "cali-failsafe-in",
                 "-p 6 -m multiport --dports 22 -j ACCEPT\n"
                 "-p 17 -s 10.0.0.0/8 -m multiport --sports 53 -j ACCEPT\n");
    assert_chain(&set, "raw", "cali-failsafe-out",
                 "-p 17 -d 10.0.0.0/8 -m multiport --dports 53 -j ACCEPT\n"
                 "-p 6 -m multiport --sports 22 -j ACCEPT\n");
    assert_chain(&set, "raw", "cali-PREROUTING",
                 "-i cali+ -j cali-from-wl\n-j MARK --set-xmark 0x0/0x1b0000\n"
                 "! -i cali+ -j cali-from-host-endpoint\n"
                 "-m mark --mark 0x10000/0x10000 -j ACCEPT\n"
                 "-j MARK --set-xmark 0x0/0x1b0000\n");
    ruleset_done(&set);
}

static void
neighbours_are_found_whatever_a_host_endpoint_denies(void **state)
{
    struct policy_rules_config policy = {.has_host_endpoints = true};
    struct ruleset set;

    (void)state;
    with_policy(&policy, 6, &set);
    assert_chain(&set, "raw", "cali-PREROUTING",
                 "-i cali+ -j cali-from-wl\n! -i cali+ -p 58 -j cali-discovery\n"
                 "-j MARK --set-xmark 0x0/0x1b0000\n"
                 "! -i cali+ -j cali-from-host-endpoint\n"
                 "-m mark --mark 0x10000/0x10000 -j ACCEPT\n"
                 "-j MARK --set-xmark 0x0/0x1b0000\n");
    static const char *const places[][2] = {{"raw", "cali-OUTPUT"},
                                            {"mangle", "cali-PREROUTING"},
                                            {"filter", "cali-INPUT"},
                                            {"filter", "cali-OUTPUT"}};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        const struct chain *chain = find_chain(&set, places[i][0], places[i][1]);
        size_t discovery = SIZE_MAX, dispatch = SIZE_MAX;
        for (size_t j = 0; j < chain->rules.n; j++) {
            const char *text = chain->rules.items[j];
            discovery = strcmp(text, "-p 58 -j cali-discovery") == 0 ? j : discovery;
            dispatch = strstr(text, "-host-endpoint") ? j : dispatch;
        }
        assert_true(discovery < dispatch && dispatch != SIZE_MAX);
        assert_string_equal(find_chain(&set, places[i][0], "cali-discovery")->rules.items[5],
                            "-p 58 -m icmp6 --icmpv6-type 135 -j ACCEPT");
    }
    ruleset_done(&set);
    with_policy(&policy, 4, &set);
    assert_int_equal(find_chain(&set, "filter", "cali-discovery")->rules.n, 0);
    ruleset_done(&set);
}

static void
what_ipvs_sends_on_is_judged_in_output(void **state)
{
    struct policy_rules_config policy = {.has_ipvs = true};
    const struct pod_address pods[] = {{"cali1", {{4, {10, 0, 0, 1}}, 32}},
                                       {"cali2", {{6, {0xfd}}, 128}},
                                       {"cali3", {{4, {10, 0, 0, 3}}, 32}},
                                       {"cali 4", {{4, {10, 0, 0, 4}}, 32}}};
    struct ruleset set;

    (void)state;
    with_policy(&policy, 6, &set);
    ipvs_dispatch_chain(&policy, 6, pods, ARRAY_LEN(pods), &set);
    assert_chain(&set, "filter", "cali-INPUT",
                 "! -i lo -j MARK --set-xmark 0x200000/0x600000\n"
                 "-i cali+ -j MARK --set-xmark 0x400000/0x400000\n"
                 "-i cali+ -g cali-wl-to-host\n");
    assert_chain(&set, "filter", "cali-OUTPUT",
                 "-o cali+ -m connmark --mark 0x40000/0x40000 -g cali-refused\n"
                 "-m mark --mark 0x200000/0x200000 -g cali-ipvs\n"
                 "-o cali+ -j RETURN\n");
    assert_chain(&set, "filter", "cali-ipvs",
                 "-m connmark --mark 0x40000/0x40000 -g cali-refused\n"
                 "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
                 "-m conntrack --ctstate INVALID -j DROP\n"
                 "-j MARK --set-xmark 0x0/0x1b0000\n"
                 "-m mark --mark 0x400000/0x400000 -j cali-ipvs-from\n"
                 "-o cali+ -j cali-to-wl-dispatch\n"
                 "-m mark --mark 0x10000/0x10000 -j ACCEPT\n");
    assert_chain(&set, "filter", "cali-ipvs-from",
                 "-s fd00::/128 -g cali-fw-cali2\n"
                 "-g cali-unknown-from\n");
    assert_chain(&set, "nat", "cali-INPUT",
                 "-m mark --mark 0x400000/0x400000 -m set --match-set cali60all-ipvs-net dst"
                 " -j CONNMARK --set-xmark 0x40000/0x40000\n");
    ruleset_done(&set);
    with_policy(&policy, 4, &set);
    ipvs_dispatch_chain(&policy, 4, pods, ARRAY_LEN(pods), &set);
    const struct chain *chain = find_chain(&set, "filter", "cali-wl-to-host");
    assert_string_equal(chain->rules.items[3],
                        "-m set --match-set cali40all-ipvs-net dst -j RETURN");
    assert_chain(&set, "filter", "cali-ipvs-from",
                 "-s 10.0.0.1/32 -g cali-fw-cali1\n"
                 "-s 10.0.0.3/32 -g cali-fw-cali3\n"
                 "-g cali-unknown-from\n");
    ruleset_done(&set);
}

static void
node_ports_are_left_to_ipvs_where_the_node_is_closed(void **state)
{
    struct policy_rules_config policy = {
        .has_ipvs = true, .to_host = RULES_DROP, .node_ports = "30000:32767,80:80"};
    struct ruleset set;

    (void)state;
    with_policy(&policy, 4, &set);
    const struct chain *chain = find_chain(&set, "filter", "cali-wl-to-host");
    assert_int_equal(chain->rules.n, 9);
    assert_string_equal(chain->rules.items[4], "-j cali-from-wl-dispatch");
    assert_string_equal(chain->rules.items[5],
                        "-p tcp -m multiport --dports 30000:32767,80:80 -m addrtype"
                        " --dst-type LOCAL -j RETURN");
    assert_string_equal(chain->rules.items[8], "-j DROP");
    chain = find_chain(&set, "nat", "cali-INPUT");
    assert_int_equal(chain->rules.n, 4);
    assert_string_equal(chain->rules.items[3],
                        "-m mark --mark 0x400000/0x400000 -p sctp -m multiport --dports"
                        " 30000:32767,80:80 -m addrtype --dst-type LOCAL"
                        " -j CONNMARK --set-xmark 0x40000/0x40000");
    ruleset_done(&set);
    policy.node_ports = NULL;
    with_policy(&policy, 4, &set);
    assert_int_equal(find_chain(&set, "nat", "cali-INPUT")->rules.n, 1);
    ruleset_done(&set);
}

static void
bits_of_an_earlier_mask_count_until_they_are_gone(void **state)
{
    struct policy_rules_config policy = {.has_ipvs = true};
    struct policy_marks first, second, third;
    struct ruleset set;

    (void)state;
    assert_true(policy_marks_of_mask(0xffff0000, &first, NULL));
    assert_true(policy_marks_of_mask(0xff000000, &second, NULL));
    assert_true(policy_marks_of_mask(0xfffe0000, &third, NULL));
    policy_marks_follow(&first, &first, false);
    assert_int_equal(first.also_refused | first.also_arrived | first.also_from_pod, 0);
    policy_marks_follow(&second, &first, false);
    assert_int_equal(second.also_refused, 0x40000);
    policy_marks_follow(&third, &second, false);
    assert_int_equal(third.also_refused, 0x4040000);
    assert_int_equal(third.also_arrived, 0x20200000);
    policy_marks_follow(&first, &third, true);
    assert_int_equal(first.also_refused, 0x80000);

    with_policy(&policy, 4, &set);
    const struct chain *chain = find_chain(&set, "filter", "cali-FORWARD");
    assert_string_equal(chain->rules.items[1],
                        "-i cali+ -m connmark --mark 0x40000/0x40000 -g cali-refused");
    ruleset_done(&set);
    policy.marks = third;
    ruleset_init(&set);
    policy_rules_static(&policy, 4, &set);
    chain = find_chain(&set, "filter", "cali-ipvs");
    assert_string_equal(chain->rules.items[0],
                        "-m connmark ! --mark 0x0/0x40c0000 -g cali-refused");
    ruleset_done(&set);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_changes_its_leaf_and_seldom_more),
        cmocka_unit_test(names_that_are_short_or_strange_are_no_way_in),
        cmocka_unit_test(whatever_happened_it_is_as_if_built_anew),
        cmocka_unit_test(without_host_endpoints_only_pods_are_looked_at),
        cmocka_unit_test(settings_change_what_is_done),
        cmocka_unit_test(host_endpoints_are_dispatched_in_every_table),
        cmocka_unit_test(what_ipvs_sends_on_is_judged_in_output),
        cmocka_unit_test(neighbours_are_found_whatever_a_host_endpoint_denies),
        cmocka_unit_test(node_ports_are_left_to_ipvs_where_the_node_is_closed),
        cmocka_unit_test(bits_of_an_earlier_mask_count_until_they_are_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
