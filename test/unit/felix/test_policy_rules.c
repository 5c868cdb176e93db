/* felix/rules: one policy rule, one policy, one list, one endpoint as text. That the tools take
 * these texts is shown in test_rules_restore.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/rules/drop_tag.h"
#include "felix/rules/policy_rules.h"
#include "felix/rules/set_names.h"
#include "test/unit/cmocka.h"
#include "test/unit/felix/chain_text.h"

/* Names of sets that can be read, in place of hashes. */
static void
set_is(struct policy_set *set, enum policy_set_kind kind, const char *text)
{
    *set = (struct policy_set){.kind = kind};
    snprintf(set->id, sizeof set->id, "%s", text);
}

void
set_of_selector(const char *canonical, struct policy_set *ret_set)
{
    set_is(ret_set, SET_NETS, canonical);
}

void
set_of_nodes(const char *canonical, struct policy_set *ret_set)
{
    char text[POLICY_SET_ID_MAX];

    snprintf(text, sizeof text, "node.%s", canonical);
    set_is(ret_set, SET_NETS, text);
}

void
set_of_named_port(const char *canonical, uint8_t protocol, const char *name,
                  struct policy_set *ret_set)
{
    char text[POLICY_SET_ID_MAX];

    snprintf(text, sizeof text, "%s-%u-%s", canonical ? canonical : "", protocol, name);
    set_is(ret_set, SET_IP_PORTS, text);
}

void
set_of_service(const char *ns, const char *name, bool with_ports, struct policy_set *ret_set)
{
    char text[POLICY_SET_ID_MAX];

    snprintf(text, sizeof text, "%s.%s", ns, name);
    set_is(ret_set, with_ports ? SET_IP_PORTS : SET_NETS, text);
}

void
set_kernel_name(const struct policy_set *set, uint8_t family, char ret_name[32])
{
    snprintf(ret_name, 32, "cali%u0%.20s", family, set->id);
}

/* ---- values ----------------------------------------------------------------------------------
 */

/* "{ANY_RULE, .protocol = 6}" says what differs. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define ANY_RULE                                                                                  \
    .protocol = RULE_ANY, .not_protocol = RULE_ANY, .icmp_type = RULE_ANY, .icmp_code = RULE_ANY, \
    .not_icmp_type = RULE_ANY, .not_icmp_code = RULE_ANY

static struct prefix
net(const char *text)
{
    struct prefix result;

    assert_true(prefix_parse(text, &result, NULL));
    return result;
}

static struct policy_rules_config
config(void)
{
    struct policy_rules_config result = {.workload_prefix = "cali"};

    assert_true(policy_marks_of_mask(POLICY_MARK_MASK_DEFAULT, &result.marks, NULL));
    result.deny = result.to_host = result.service_loop = RULES_DROP;
    return result;
}

/* Without the comments, which say the same in each. */
static char *
without_comments(char *text)
{
    char *at = NULL;

    while ((at = strstr(text, "-m comment --comment \""))) {
        char *end = strchr(strchr(at, '"') + 1, '"') + 2;
        memmove(at, end, strlen(end) + 1);
    }
    return text;
}

static char *
rendered(const struct policy_rules_config *config, uint8_t family, struct policy_rule *rule,
         bool is_staged)
{
    struct policy policy = {.origin = POLICY_NAMESPACED,
                            .is_staged = is_staged,
                            .ns = (char[]){"ns"},
                            .name = (char[]){"pol"},
                            .tier = (char[]){"default"},
                            .applies_ingress = true,
                            .ingress = rule,
                            .n_ingress = 1};
    const struct active_policy active = {&policy, "0123456789abcdef0123456789abcdef"};
    struct ruleset set;

    ruleset_init(&set);
    policy_chains(config, family, &active, &set);
    char *text = without_comments(text_of(&set.chains.items[0]));
    ruleset_done(&set);
    return text;
}

static void
assert_rule(uint8_t family, struct policy_rule rule, const char *want)
{
    const struct policy_rules_config plain = config();
    char *text = rendered(&plain, family, &rule, false);

    assert_string_equal(text, want);
    free(text);
}

/* ---- one rule --------------------------------------------------------------------------------
 */

static void
protocols_and_icmp_are_matched(void **state)
{
    (void)state;
    assert_rule(4, (struct policy_rule){ANY_RULE}, "-g cali-allow\n");
    assert_rule(4, (struct policy_rule){ANY_RULE, .action = RULE_DENY}, "-j DROP\n");
    assert_rule(4, (struct policy_rule){ANY_RULE, .action = RULE_PASS}, "-g cali-pass\n");
    assert_rule(4, (struct policy_rule){ANY_RULE, .protocol = 47}, "-p 47 -g cali-allow\n");
    assert_rule(4, (struct policy_rule){ANY_RULE, .not_protocol = 6}, "! -p 6 -g cali-allow\n");
    assert_rule(4, (struct policy_rule){ANY_RULE, .protocol = 6, .not_protocol = 17},
                "-p 6 -g cali-allow\n");
    assert_rule(4, (struct policy_rule){ANY_RULE, .protocol = 6, .not_protocol = 6}, "");
    assert_rule(4, (struct policy_rule){ANY_RULE, .protocol = 1, .icmp_type = 8},
                "-p 1 -m icmp --icmp-type 8 -g cali-allow\n");
    assert_rule(6, (struct policy_rule){ANY_RULE, .protocol = 1, .icmp_type = 8}, "");
    assert_rule(6, (struct policy_rule){ANY_RULE, .icmp_type = 1, .icmp_code = 4},
                "-p 58 -m icmp6 --icmpv6-type 1/4 -g cali-allow\n");
    assert_rule(
        4, (struct policy_rule){ANY_RULE, .protocol = 1, .not_icmp_type = 3, .not_icmp_code = 4},
        "-p 1 -m icmp ! --icmp-type 3/4 -g cali-allow\n");
    assert_rule(4, (struct policy_rule){ANY_RULE, .family = 6}, "");
    assert_rule(6, (struct policy_rule){ANY_RULE, .family = 6}, "-g cali-allow\n");
}

static void
networks_are_those_of_the_family(void **state)
{
    struct prefix both[] = {net("10.0.0.0/8"), net("fd00::/8")};
    struct prefix all[] = {net("10.0.0.0/8"), net("0.0.0.0/0")};

    (void)state;
    assert_rule(
        4, (struct policy_rule){ANY_RULE, .source = {.has_nets = true, .nets = both, .n_nets = 2}},
        "-s 10.0.0.0/8 -g cali-allow\n");
    assert_rule(6,
                (struct policy_rule){ANY_RULE,
                                     .destination = {.has_nets = true, .nets = both, .n_nets = 2}},
                "-d fd00::/8 -g cali-allow\n");
    assert_rule(
        6, (struct policy_rule){ANY_RULE, .source = {.has_nets = true, .nets = both, .n_nets = 1}},
        "");
    assert_rule(4, (struct policy_rule){ANY_RULE, .source = {.has_nets = true}}, "");
    assert_rule(
        4, (struct policy_rule){ANY_RULE, .source = {.has_nets = true, .nets = all, .n_nets = 2}},
        "-g cali-allow\n");
    assert_rule(4, (struct policy_rule){ANY_RULE, .source = {.not_nets = both, .n_not_nets = 2}},
                "! -s 10.0.0.0/8 -g cali-allow\n");
    assert_rule(4, (struct policy_rule){ANY_RULE, .source = {.not_nets = all, .n_not_nets = 2}},
                "");
    assert_rule(6, (struct policy_rule){ANY_RULE, .source = {.not_nets = all, .n_not_nets = 2}},
                "-g cali-allow\n");
}

static void
alternatives_become_rules_and_exceptions_take_back(void **state)
{
    struct prefix two[] = {net("10.0.0.0/8"), net("11.0.0.0/8")};
    struct prefix out[] = {net("10.1.0.0/16"), net("10.2.0.0/16")};

    (void)state;
    assert_rule(4,
                (struct policy_rule){ANY_RULE, .protocol = 6,
                                     .source = {.has_nets = true, .nets = two, .n_nets = 2}},
                "-p 6 -s 10.0.0.0/8 -g cali-allow\n-p 6 -s 11.0.0.0/8 -g cali-allow\n");
    assert_rule(4,
                (struct policy_rule){ANY_RULE, .action = RULE_DENY,
                                     .source = {.has_nets = true, .nets = two, .n_nets = 2},
                                     .destination = {.has_nets = true, .nets = two, .n_nets = 2}},
                "-s 10.0.0.0/8 -j MARK --set-xmark 0x80000/0x80000\n"
                "-s 11.0.0.0/8 -j MARK --set-xmark 0x80000/0x80000\n"
                "-d 10.0.0.0/8 -j MARK --set-xmark 0x100000/0x100000\n"
                "-d 11.0.0.0/8 -j MARK --set-xmark 0x100000/0x100000\n"
                "-m mark --mark 0x0/0x100000 -j MARK --set-xmark 0x0/0x80000\n"
                "-j MARK --set-xmark 0x0/0x100000\n"
                "-m mark --mark 0x80000/0x80000 -j DROP\n");
    assert_rule(4,
                (struct policy_rule){ANY_RULE, .destination = {.has_nets = true,
                                                               .nets = two,
                                                               .n_nets = 1,
                                                               .not_nets = out,
                                                               .n_not_nets = 2}},
                "-d 10.0.0.0/8 -j MARK --set-xmark 0x80000/0x80000\n"
                "-d 10.1.0.0/16 -j MARK --set-xmark 0x0/0x80000\n"
                "-d 10.2.0.0/16 -j MARK --set-xmark 0x0/0x80000\n"
                "-m mark --mark 0x80000/0x80000 -g cali-allow\n");
}

static void
ports_are_split_where_multiport_is_full(void **state)
{
    struct port_range few[] = {{80, 80}, {8000, 8100}};
    struct port_range many[16];
    char *names[] = {(char[]){"http"}};

    (void)state;
    for (uint16_t i = 0; i < 16; i++) {
        many[i] = (struct port_range){(uint16_t)(i + 1), (uint16_t)(i < 14 ? i + 1 : i + 100)};
    }
    assert_rule(
        4,
        (struct policy_rule){ANY_RULE, .protocol = 6, .destination = {.ports = few, .n_ports = 2}},
        "-p 6 -m multiport --dports 80,8000:8100 -g cali-allow\n");
    assert_rule(4,
                (struct policy_rule){ANY_RULE, .protocol = 17,
                                     .source = {.not_ports = few, .n_not_ports = 2}},
                "-p 17 -m multiport ! --sports 80,8000:8100 -g cali-allow\n");
    assert_rule(4,
                (struct policy_rule){ANY_RULE, .protocol = 132,
                                     .destination = {.ports = many, .n_ports = 16}},
                "-p 132 -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14 -g cali-allow\n"
                "-p 132 -m multiport --dports 15:114,16:115 -g cali-allow\n");
    assert_rule(4,
                (struct policy_rule){ANY_RULE, .protocol = 6,
                                     .destination = {.not_ports = many, .n_not_ports = 16}},
                "-p 6 -m multiport ! --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14"
                " -m multiport ! --dports 15:114,16:115 -g cali-allow\n");
    assert_rule(
        4,
        (struct policy_rule){ANY_RULE, .protocol = 6,
                             .destination = {.ports = few,
                                             .n_ports = 2,
                                             .named_ports = names,
                                             .n_named_ports = 1,
                                             .selector = (char[]){"sel"}}},
        "-p 6 -m set --match-set cali40sel dst -m multiport --dports 80,8000:8100 -g cali-allow\n"
        "-p 6 -m set --match-set cali40sel dst -m set --match-set cali40sel-6-http dst,dst"
        " -g cali-allow\n");
    assert_rule(6,
                (struct policy_rule){ANY_RULE, .protocol = 6,
                                     .source = {.not_named_ports = names, .n_not_named_ports = 1}},
                "-p 6 -m set ! --match-set cali60-6-http src,src -g cali-allow\n");
    /* A decoder never gives ports without a protocol; if it did, nothing would open. */
    assert_rule(4, (struct policy_rule){ANY_RULE, .destination = {.ports = few, .n_ports = 2}}, "");
    assert_rule(4,
                (struct policy_rule){ANY_RULE, .action = RULE_DENY,
                                     .destination = {.ports = few, .n_ports = 2}},
                "-j DROP\n");
}

static void
selectors_and_services_are_sets(void **state)
{
    static struct port_range port[] = {{80, 80}};

    (void)state;
    assert_rule(6,
                (struct policy_rule){
                    ANY_RULE, .protocol = 132,
                    .destination = {.node_selector = (char[]){"a"}, .ports = port, .n_ports = 1}},
                "-p 132 -m multiport --dports 80 -m set --match-set cali60node.a dst"
                " -g cali-allow\n");
    assert_rule(4,
                (struct policy_rule){ANY_RULE, .source = {.selector = (char[]){"a"}},
                                     .destination = {.not_selector = (char[]){"b"}}},
                "-m set --match-set cali40a src -m set ! --match-set cali40b dst -g cali-allow\n");
    assert_rule(6,
                (struct policy_rule){ANY_RULE, .source = {.service_ns = (char[]){"n"},
                                                          .service_name = (char[]){"s"}}},
                "-m set --match-set cali60n.s src -g cali-allow\n");
    assert_rule(4,
                (struct policy_rule){ANY_RULE, .destination = {.service_ns = (char[]){"n"},
                                                               .service_name = (char[]){"s"}}},
                "-m set --match-set cali40n.s dst,dst -g cali-allow\n");
}

static void
a_denial_is_told_once_and_rejects_where_it_can(void **state)
{
    struct policy_rules_config told = config();
    struct policy_rule rule = {ANY_RULE, .action = RULE_DENY, .protocol = 6};

    (void)state;
    told.nflog_group = 2;
    told.nflog_limit = (struct rate_limit){10, "second", 20};
    told.deny = RULES_REJECT;
    char *text = rendered(&told, 4, &rule, false);
    assert_string_equal(text,
                        "-p 6 -j MARK --set-xmark 0x80000/0x80000\n"
                        "-m mark --mark 0x80000/0x80000 -m limit --limit 10/second --limit-burst 20"
                        " -j NFLOG --nflog-group 2 --nflog-size 128 --nflog-prefix"
                        " canal:R:i:0:0123456789abcdef0123456789abcdef\n"
                        "-m mark --mark 0x80000/0x80000 -j REJECT\n");
    free(text);
}

static void
log_rules_carry_a_harmless_prefix(void **state)
{
    struct policy_rules_config noisy = config();
    struct policy_rule rule = {ANY_RULE, .action = RULE_LOG, .protocol = 6};

    (void)state;
    char *text = rendered(&noisy, 4, &rule, false);
    assert_string_equal(text, "-p 6 -j LOG --log-level 5 --log-prefix \"calico-packet: \"\n");
    free(text);
    noisy.log_prefix = "%t|%k|%n|%p|%x%";
    text = rendered(&noisy, 4, &rule, false);
    assert_string_equal(
        text, "-p 6 -j LOG --log-level 5 --log-prefix \"default_NetworkPolicy_pol_n: \"\n");
    free(text);
    noisy.log_prefix = "a\"\n; b";
    noisy.log_limit = (struct rate_limit){5, "minute", 0};
    text = rendered(&noisy, 4, &rule, false);
    assert_string_equal(text, "-p 6 -j MARK --set-xmark 0x80000/0x80000\n"
                              "-m mark --mark 0x80000/0x80000 -m limit --limit 5/minute -j LOG"
                              " --log-level 5 --log-prefix \"a___ b: \"\n"
                              "-m mark --mark 0x80000/0x80000 -j MARK --set-xmark 0x0/0x80000\n");
    free(text);
}

static void
a_staged_policy_changes_nothing(void **state)
{
    struct policy_rules_config told = config();
    struct prefix two[] = {net("10.0.0.0/8"), net("11.0.0.0/8")};
    static const enum rule_action actions[] = {RULE_ALLOW, RULE_DENY, RULE_PASS};

    (void)state;
    told.nflog_group = 2;
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        struct policy_rule rule = {
            ANY_RULE, .action = actions[i],
            .source = {
                .has_nets = true, .nets = two, .n_nets = 1, .not_nets = two, .n_not_nets = 2}};
        char *text = rendered(&told, 4, &rule, true);
        assert_non_null(strstr(text, "-m mark --mark 0x80000/0x80000 -g cali-staged\n"));
        assert_null(strstr(text, "DROP"));
        assert_null(strstr(text, "NFLOG"));
        free(text);
        rule.source.n_not_nets = 0;
        text = rendered(&told, 4, &rule, true);
        assert_string_equal(text, "-s 10.0.0.0/8 -j RETURN\n");
        free(text);
    }
    struct policy_rule log = {ANY_RULE, .action = RULE_LOG, .protocol = 6};
    char *text = rendered(&told, 4, &log, true);
    assert_string_equal(text, "-p 6 "); /* and no target: it counts */
    free(text);
}

static void
hostile_names_stay_inside_their_quotes(void **state)
{
    const struct policy_rules_config plain = config();
    char comment[600];
    struct policy_rule rule = {ANY_RULE, .comment = comment};
    struct policy policy = {.origin = POLICY_GLOBAL,
                            .name = (char[]){"x\" -j ACCEPT\n-A INPUT -j ACCEPT \\"},
                            .applies_egress = true,
                            .egress = &rule,
                            .n_egress = 1};
    const struct active_policy active = {&policy, "00"};
    struct ruleset set;

    (void)state;
    memset(comment, 0xc3, sizeof comment);
    comment[sizeof comment - 1] = '\0';
    ruleset_init(&set);
    policy_chains(&plain, 4, &active, &set);
    assert_int_equal(set.chains.n, 1);
    const char *text = set.chains.items[0].rules.items[0];
    const char *open = strchr(text, '"');
    const char *close = strchr(open + 1, '"');
    assert_int_equal(close - open - 1, 255);
    assert_string_equal(close, "\" -g cali-allow");
    assert_null(strpbrk(text, "\n\\"));
    assert_memory_equal(open + 1, "Policy x_ -j ACCEPT_-A INPUT -j ACCEPT _ egress 0 ____", 54);
    ruleset_done(&set);
}

static void
every_policy_rule_has_its_counters(void **state)
{
    struct policy_rules_config told = config();
    struct prefix two[] = {net("10.0.0.0/8"), net("11.0.0.0/8")};
    struct policy_rule rules[] = {
        {ANY_RULE},
        {ANY_RULE, .family = 6},
        {ANY_RULE, .source = {.has_nets = true, .nets = two, .n_nets = 2}},
        {ANY_RULE, .action = RULE_DENY},
        {ANY_RULE, .action = RULE_LOG},
    };
    struct policy policy = {.name = (char[]){"p"}, .ingress = rules, .n_ingress = ARRAY_LEN(rules)};
    const struct active_policy active = {&policy, "00"};
    static const int want[] = {0, 2, 2, -1, -1, 3, 4};
    count_vec counts = VEC_INIT;

    (void)state;
    told.nflog_group = 1;
    policy_chain_counts(&told, 4, &active, INGRESS, &counts);
    assert_int_equal(counts.n, ARRAY_LEN(want));
    assert_memory_equal(counts.items, want, sizeof want);
    VEC_DONE(&counts);
}

/* ---- lists and endpoints ----------------------------------------------------------------------
 */

static struct policy enforced = {.name = (char[]){"e"}};
static struct policy staged = {.name = (char[]){"s"}, .is_staged = true};

static char *
list_text(struct verdict_list *list, const char *table)
{
    struct policy_rules_config plain = config();
    struct ruleset set;
    char name[CHAIN_NAME_MAX];

    snprintf(list->id, sizeof list->id, "abc");
    ruleset_init(&set);
    verdict_list_chains(&plain, 4, list, &set);
    assert_int_equal(set.chains.n, 1);
    assert_string_equal(set.chains.items[0].table, table);
    assert_string_equal(set.chains.items[0].name, verdict_list_chain_name(list, name));
    char *text = text_of(&set.chains.items[0]);
    ruleset_done(&set);
    return text;
}

#define CLEAR "-j MARK --set-xmark 0x0/0x1b0000\n"
#define RETURN_ACCEPTED "-m mark --mark 0x10000/0x10000 -j RETURN\n"

static void
a_list_walks_tiers_and_ends_as_its_use_says(void **state)
{
    const struct active_policy a = {&enforced, "aa"}, b = {&enforced, "bb"}, s = {&staged, "cc"};
    const struct active_policy *two[] = {&a, &b}, *last[] = {&b}, *only_staged[] = {&s};
    struct verdict_tier tiers[] = {{(char[]){"one"}, true, two, 2},
                                   {(char[]){"two"}, false, only_staged, 1},
                                   {(char[]){"three"}, false, last, 1}};
    struct verdict_list list = {.direction = INGRESS, .tiers = tiers, .n_tiers = 3};
    static const struct {
        enum verdict_use use;
        const char *table, *accepted, *tier_end, *end;
    } uses[] = {
        {USE_NORMAL, "filter", RETURN_ACCEPTED, "-m mark --mark 0x0/0x20000 -j DROP\n",
         "-j DROP\n"},
        {USE_FORWARD, "filter", RETURN_ACCEPTED, "-m mark --mark 0x0/0x20000 -j DROP\n",
         "-j MARK --set-xmark 0x10000/0x10000\n"},
        {USE_PRE_DNAT, "mangle", RETURN_ACCEPTED, "", ""},
        {USE_UNTRACKED, "raw", "-m mark --mark 0x10000/0x10000 -j CT --notrack\n" RETURN_ACCEPTED,
         "", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
        char *want = NULL;
        assert_true(asprintf(&want,
                             CLEAR "-j cali-pi-aa\n"
                                   "-m mark --mark 0x0/0x30000 -j cali-pi-bb\n%s"
                                   "-j MARK --set-xmark 0x0/0x20000\n-j cali-pi-cc\n"
                                   "-j MARK --set-xmark 0x0/0x20000\n-j cali-pi-bb\n%s%s%s",
                             uses[i].accepted, uses[i].accepted, uses[i].tier_end,
                             uses[i].end) > 0);
        list.use = uses[i].use;
        char *text = list_text(&list, uses[i].table);
        assert_string_equal(text, want);
        free(text);
        free(want);
    }
}

static void
a_list_without_tiers_leaves_it_to_the_profile(void **state)
{
    const struct active_policy s = {&staged, "cc"};
    const struct active_policy *only_staged[] = {&s};
    struct verdict_tier tier = {(char[]){"two"}, false, only_staged, 1};
    struct verdict_list list = {.direction = EGRESS, .is_profile_allow = true};

    (void)state;
    char *text = list_text(&list, "filter");
    assert_string_equal(text, CLEAR "-j MARK --set-xmark 0x10000/0x10000\n");
    free(text);
    list.is_profile_allow = false;
    text = list_text(&list, "filter");
    assert_string_equal(text, CLEAR "-j DROP\n");
    free(text);
    list.use = USE_FORWARD;
    list.tiers = &tier;
    list.n_tiers = 1;
    text = list_text(&list, "filter");
    assert_string_equal(text, CLEAR "-j cali-po-cc\n-j MARK --set-xmark 0x10000/0x10000\n");
    free(text);
}

static void
pods_ignore_policies_for_hosts(void **state)
{
    struct policy_rules_config with_hosts = config(), without = config();
    struct policy_rule rule = {ANY_RULE};

    (void)state;
    with_hosts.has_host_endpoints = true;
    for (int is_untracked = 0; is_untracked <= 1; is_untracked++) {
        struct policy policy = {.origin = POLICY_GLOBAL,
                                .name = (char[]){"x"},
                                .is_untracked = is_untracked,
                                .is_pre_dnat = !is_untracked,
                                .applies_ingress = true,
                                .ingress = &rule,
                                .n_ingress = 1};
        const struct active_policy active = {&policy, "00"};
        struct ruleset set;

        ruleset_init(&set);
        policy_chains(&without, 4, &active, &set);
        assert_int_equal(set.chains.n, 0);
        policy_chains(&with_hosts, 4, &active, &set);
        assert_int_equal(set.chains.n, 1);
        assert_string_equal(set.chains.items[0].table, is_untracked ? "raw" : "mangle");
        ruleset_done(&set);
    }
}

static void
a_pod_has_two_short_chains(void **state)
{
    struct policy_rules_config plain = config();
    const struct verdict_list in = {.direction = INGRESS, .id = "11"};
    const struct verdict_list out = {.direction = EGRESS, .id = "22"};
    struct policy_endpoint pod = {
        .key = "pod a/b", .ifname = "cali12345678901", .lists = {{&in, &out}}};
    struct ruleset set;

    (void)state;
    ruleset_init(&set);
    endpoint_chains(&plain, 4, &pod, &set);
    assert_int_equal(set.chains.n, 2);
    assert_chain(&set, "filter", "cali-tw-cali12345678901", "-g cali-ti-11\n");
    assert_chain(&set, "filter", "cali-fw-cali12345678901",
                 "-p 4 -j DROP\n-p 17 -m multiport --dports 4789 -j DROP\n-g cali-to-22\n");
    ruleset_done(&set);
    ruleset_init(&set);
    plain.allows_ipip_from_pods = plain.allows_vxlan_from_pods = true;
    endpoint_chains(&plain, 4, &pod, &set);
    assert_chain(&set, "filter", "cali-fw-cali12345678901", "-g cali-to-22\n");
    ruleset_done(&set);
    ruleset_init(&set);
    snprintf(pod.ifname, sizeof pod.ifname, "cali\" -j x");
    endpoint_chains(&plain, 4, &pod, &set);
    assert_int_equal(set.chains.n, 0);
    ruleset_done(&set);
}

/* ---- small things -----------------------------------------------------------------------------
 */

static void
drop_tags_are_read_back(void **state)
{
    static const char *const bad[] = {"",
                                      "canal:R",
                                      "canal:X:i:0:",
                                      "canal:R:z:0:",
                                      "canal:R:i:00:",
                                      "canal:R:i: 0:",
                                      "canal:R:i:-1:",
                                      "canal:R:i:0:xyz",
                                      "canal:R:i:0:0123456789abcdef0123456789abcdef0",
                                      "other"};

    (void)state;
    for (unsigned reason = 0; reason < N_DROP_REASONS; reason++) {
        struct drop_tag tag = {(enum drop_reason)reason, EGRESS, 999999999,
                               "0123456789abcdef0123456789abcdef"};
        struct drop_tag back = {0};
        char text[DROP_TAG_MAX];
        drop_tag_format(&tag, text);
        assert_true(strlen(text) < DROP_TAG_MAX - 1);
        assert_true(drop_tag_parse(text, &back));
        assert_int_equal(back.reason, reason);
        assert_int_equal(back.direction, EGRESS);
        assert_int_equal(back.index, 999999999);
        assert_string_equal(back.id, tag.id);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct drop_tag back;
        assert_false(drop_tag_parse(bad[i], &back));
    }
}

static void
marks_and_rates_are_checked(void **state)
{
    static const char *const bad[] = {"",         "10",           "/minute",
                                      "0/minute", "10/week",      "10/",
                                      "-1/day",   "10001/second", "10/minute -j ACCEPT"};
    struct policy_marks marks;
    struct rate_limit limit = {.burst = 7};

    (void)state;
    assert_true(policy_marks_of_mask(0xffff0000, &marks, NULL));
    assert_int_equal(marks.accept, 0x10000);
    assert_int_equal(marks.block, 0x100000);
    assert_true(policy_marks_of_mask(0x80402017, &marks, NULL));
    assert_int_equal(marks.block, 0x2000);
    assert_int_equal(marks.from_pod, 0x80000000);
    assert_false(policy_marks_of_mask(0x3f, &marks, NULL));
    assert_true(rate_limit_parse("10/minute", &limit, NULL));
    assert_int_equal(limit.n, 10);
    assert_string_equal(limit.unit, "minute");
    assert_int_equal(limit.burst, 7);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(rate_limit_parse(bad[i], &limit, NULL));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protocols_and_icmp_are_matched),
        cmocka_unit_test(networks_are_those_of_the_family),
        cmocka_unit_test(alternatives_become_rules_and_exceptions_take_back),
        cmocka_unit_test(ports_are_split_where_multiport_is_full),
        cmocka_unit_test(selectors_and_services_are_sets),
        cmocka_unit_test(a_denial_is_told_once_and_rejects_where_it_can),
        cmocka_unit_test(log_rules_carry_a_harmless_prefix),
        cmocka_unit_test(a_staged_policy_changes_nothing),
        cmocka_unit_test(hostile_names_stay_inside_their_quotes),
        cmocka_unit_test(every_policy_rule_has_its_counters),
        cmocka_unit_test(a_list_walks_tiers_and_ends_as_its_use_says),
        cmocka_unit_test(a_list_without_tiers_leaves_it_to_the_profile),
        cmocka_unit_test(pods_ignore_policies_for_hosts),
        cmocka_unit_test(a_pod_has_two_short_chains),
        cmocka_unit_test(drop_tags_are_read_back),
        cmocka_unit_test(marks_and_rates_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
