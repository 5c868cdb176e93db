/* felix/limits and felix/rules/limit_rules: from what pods ask for to sets and rules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/limits.h"
#include "felix/rules/static_rules.h"
#include "lib/base/alloc.h"
#include "test/unit/felix/chain_text.h"

/* ---- rules */

static const struct limit_value all_values[] = {
    {LIMIT_PACKETS, INGRESS, 100, 5},   {LIMIT_PACKETS, EGRESS, 1000000, 10000},
    {LIMIT_CONNECTIONS, INGRESS, 7, 0}, {LIMIT_CONNECTIONS, EGRESS, 4294967295, 0},
    {LIMIT_DSCP, EGRESS, 46, 0},
};

static void
render(const struct limit_value *values, size_t n, uint8_t family, struct ruleset *set)
{
    struct policy_rules_config config = {
        .workload_prefix = "cali", .limits = values, .n_limits = n};
    struct err err = ERR_INIT;

    assert_true(policy_marks_of_mask(POLICY_MARK_MASK_DEFAULT, &config.marks, &err));
    ruleset_init(set);
    limit_rules(&config, family, set);
}

static bool
has_hook(const struct ruleset *set, const char *builtin, const char *target)
{
    VEC_FOREACH (&set->hooks, hook) {
        if (strcmp(hook->table, "mangle") == 0 && strcmp(hook->builtin, builtin) == 0 &&
            strcmp(hook->target, target) == 0) {
            return true;
        }
    }
    return false;
}

static void
rules_count_by_pod_and_depend_on_values_only(void **state)
{
    struct ruleset set;

    (void)state;
    render(all_values, ARRAY_LEN(all_values), 4, &set);
    assert_chain(
        &set, "mangle", "cali-FORWARD",
        "-m set --match-set cali40pkts-i-100-5 dst -m hashlimit --hashlimit-above 100/sec "
        "--hashlimit-burst 5 --hashlimit-mode dstip --hashlimit-name cali-i-100-5 -j DROP\n"
        "-m set --match-set cali40pkts-e-1000000-10000 src -m hashlimit --hashlimit-above "
        "1000000/sec --hashlimit-burst 10000 --hashlimit-mode srcip --hashlimit-name "
        "cali-e-1000000-10000 -j DROP\n"
        "-p tcp -m conntrack --ctstate NEW -m set --match-set cali40conns-i-7 dst -m "
        "connlimit --connlimit-above 7 --connlimit-mask 32 --connlimit-daddr -j CONNMARK "
        "--set-xmark 0x40000/0x40000\n"
        "-p tcp -m conntrack --ctstate NEW -m set --match-set cali40conns-e-4294967295 src "
        "-m connlimit --connlimit-above 4294967295 --connlimit-mask 32 --connlimit-saddr "
        "-j CONNMARK --set-xmark 0x40000/0x40000\n");
    assert_int_equal(find_chain(&set, "mangle", "cali-INPUT")->rules.n, 2);
    assert_chain(
        &set, "mangle", "cali-qos-policy",
        "-m set --match-set cali40dscp-46 src -m set ! --match-set cali40all-ipam-pools dst "
        "-j DSCP --set-dscp 46\n");
    assert_true(has_hook(&set, "FORWARD", "cali-FORWARD") &&
                has_hook(&set, "INPUT", "cali-INPUT") &&
                has_hook(&set, "POSTROUTING", "cali-qos-policy"));
    ruleset_done(&set);
    render(&all_values[3], 1, 6, &set);
    assert_chain(
        &set, "mangle", "cali-FORWARD",
        "-p tcp -m conntrack --ctstate NEW -m set --match-set cali60conns-e-4294967295 src "
        "-m connlimit --connlimit-above 4294967295 --connlimit-mask 128 --connlimit-saddr "
        "-j CONNMARK --set-xmark 0x40000/0x40000\n");
    ruleset_done(&set);
}

static void
where_nobody_asks_nothing_is_rendered(void **state)
{
    struct ruleset set;

    (void)state;
    render(NULL, 0, 4, &set);
    assert_int_equal(set.chains.n + set.hooks.n, 0);
    ruleset_done(&set);
    render(all_values, 1, 4, &set); /* to pods only: what comes from them to the node passes none */
    assert_int_equal(set.chains.n, 1);
    assert_int_equal(set.hooks.n, 1);
    ruleset_done(&set);
}

/* ---- values */

struct room {
    struct asks *asks;
    struct sets *sets;
    struct limits *limits;
    struct prefix ip;
};

static const struct prefix *
lookup(void *owner, const char *ifname, size_t *ret_n)
{
    struct room *room = owner;

    (void)ifname;
    *ret_n = 1;
    return &room->ip;
}

/* The values as text, "=" when they are the old ones. */
static const char *
calculate(struct room *room)
{
    static char text[256];
    char name[LIMIT_SET_NAME_MAX];
    bool is_changed = limits_calculate(room->limits, room->asks, lookup, room);
    size_t n = 0;
    const struct limit_value *values = limits_values(room->limits, &n);

    snprintf(text, sizeof text, "%s", is_changed ? "" : "=");
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, " %s", limit_set_name(&values[i], name));
    }
    return text;
}

static void
pods_that_ask_for_the_same_share_a_value(void **state)
{
    static const struct pod_asks fast = {
        .ingress = {.packet_rate = 100000, .packet_burst = 5, .max_connections = 3}};
    static const struct pod_asks slow = {
        .egress = {.packet_rate = 10, .packet_burst = 5, .max_connections = 1ULL << 32},
        .ingress = {.packet_rate = 1ULL << 40, .packet_burst = 5},
        .dscp = 1};
    struct pod one = {.name = "one", .ns = "n", .asks = &fast};
    struct pod two = {.name = "two", .ns = "n", .asks = &fast};
    struct pod three = {.name = "three", .ns = "n", .asks = &slow};
    struct pod plain = {.name = "four", .ns = "n"};
    struct room room = {.asks = asks_new("cali"), .sets = sets_new(NULL)};

    (void)state;
    assert_true(prefix_parse("10.0.0.1/32", &room.ip, NULL));
    room.limits = limits_new(room.sets, true, 1024);
    assert_string_equal(calculate(&room), "=");
    assert_false(asks_note_pod(room.asks, NULL, &plain));
    assert_true(asks_note_pod(room.asks, NULL, &one));
    /* The burst is what may come between two ticks of the kernel's clock. */
    assert_string_equal(calculate(&room), " pkts-i-100000-1000 conns-i-3");
    assert_true(asks_note_pod(room.asks, NULL, &two));
    assert_string_equal(calculate(&room), "= pkts-i-100000-1000 conns-i-3");
    assert_true(asks_note_pod(room.asks, NULL, &three));
    /* What nothing can count is no limit. */
    assert_string_equal(calculate(&room), " pkts-i-100000-1000 pkts-e-10-5 conns-i-3 dscp-0");
    assert_true(asks_note_pod(room.asks, &one, NULL));
    assert_string_equal(calculate(&room), "= pkts-i-100000-1000 pkts-e-10-5 conns-i-3 dscp-0");
    assert_true(asks_note_pod(room.asks, &two, NULL));
    assert_string_equal(calculate(&room), " pkts-e-10-5 dscp-0");
    assert_true(asks_note_pod(room.asks, &three, NULL));
    assert_string_equal(calculate(&room), "");
    limits_free(room.limits);
    asks_free(room.asks);
    sets_free(room.sets);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_count_by_pod_and_depend_on_values_only),
        cmocka_unit_test(where_nobody_asks_nothing_is_rendered),
        cmocka_unit_test(pods_that_ask_for_the_same_share_a_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
