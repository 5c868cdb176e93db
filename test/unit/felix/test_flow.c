/* felix/evaluate/flow: what is asked of a packet on its way through the node, in which order, and
 * what follows from each answer. Lists are written as one letter per use:
 * a allows by a rule, d denies by a rule, p passes, - has nothing; of NORMAL - denies: no profile.
 */
#include <stdio.h>
#include <string.h>

#include "felix/evaluate/flow.h"
#include "lib/base/str.h"
#include "test/unit/cmocka.h"

#define TCP 6
#define ANY                                                                                       \
    .protocol = RULE_ANY, .not_protocol = RULE_ANY, .icmp_type = RULE_ANY, .icmp_code = RULE_ANY, \
    .not_icmp_type = RULE_ANY, .not_icmp_code = RULE_ANY

static char tier_name[] = "default";
static struct policy_rule rules[] = {
    {.action = RULE_ALLOW, ANY}, {.action = RULE_DENY, ANY}, {.action = RULE_PASS, ANY}};
static struct policy policies[] = {
    {.ingress = &rules[0], .n_ingress = 1, .egress = &rules[0], .n_egress = 1},
    {.ingress = &rules[1], .n_ingress = 1, .egress = &rules[1], .n_egress = 1},
    {.ingress = &rules[2], .n_ingress = 1, .egress = &rules[2], .n_egress = 1}};
static struct active_policy active[] = {
    {&policies[0], "a"}, {&policies[1], "d"}, {&policies[2], "p"}};
static const struct active_policy *of[] = {&active[0], &active[1], &active[2]};
static struct verdict_tier tiers[] = {
    {tier_name, false, &of[0], 1}, {tier_name, false, &of[1], 1}, {tier_name, false, &of[2], 1}};

/* An endpoint and its lists. */
struct made {
    struct policy_endpoint endpoint;
    struct verdict_list lists[N_USES][N_DIRECTIONS];
};

static struct ip
ip(const char *text)
{
    struct ip value;

    assert_true(ip_parse(text, &value, NULL));
    return value;
}

/* 'uses': letters of NORMAL, FORWARD, PRE_DNAT, UNTRACKED, the same in both directions. */
static const struct policy_endpoint *
make(struct made *made, bool is_host, const char *uses)
{
    static const char letters[] = "adp";

    memset(made, 0, sizeof *made);
    made->endpoint.is_host = is_host;
    snprintf(made->endpoint.ifname, sizeof made->endpoint.ifname, "%s", is_host ? "eth0" : "cali1");
    for (int use = 0; uses[use] != '\0'; use++) {
        const char *letter = strchr(letters, uses[use]);
        for (int direction = 0; direction < N_DIRECTIONS; direction++) {
            struct verdict_list *list = &made->lists[use][direction];
            *list = (struct verdict_list){.use = (enum verdict_use)use,
                                          .direction = (enum direction)direction};
            if (letter) {
                list->tiers = &tiers[letter - letters];
                list->n_tiers = 1;
            }
            if (letter || use == USE_NORMAL) {
                made->endpoint.lists[use][direction] = list;
            }
        }
    }
    return &made->endpoint;
}

static struct flow
flow_to(uint16_t port)
{
    struct flow flow = {.packet = {.family = 4,
                                   .source = ip("192.0.2.1"),
                                   .destination = ip("10.0.0.1"),
                                   .protocol = TCP,
                                   .source_port = 40000,
                                   .destination_port = port}};

    flow.arrived = flow.packet;
    return flow;
}

/* ---- what is asked, as text
 * --------------------------------------------------------------------- */

struct asked {
    struct str text;
};

static bool
holds(void *owner, const struct policy_set *set, const struct policy_set_member *member)
{
    (void)owner, (void)set, (void)member;
    return false;
}

static const struct evaluate_sets sets = {.holds = holds};

static bool
note(void *owner, const struct flow_check *check, bool *ret_is_by_rule)
{
    static const char *const names[] = {"normal", "forward", "pre-dnat", "untracked"};
    struct asked *asked = owner;
    struct decision decision;

    evaluate(check->endpoint->lists[check->use][check->direction], check->packet, &sets, &decision);
    str_addf(&asked->text, "%s%s %s %s:%u%s", asked->text.len ? ", " : "",
             check->endpoint->is_host ? names[check->use] : "pod",
             check->direction == INGRESS ? "in" : "out", check->endpoint->ifname,
             check->packet->destination_port, check->is_failsafe ? " failsafe" : "");
    *ret_is_by_rule = decision.reason == BY_RULE;
    return decision.verdict == VERDICT_ALLOW;
}

static void
assert_asked(const struct flow_ends *ends, const struct flow *flow, const char *wanted,
             bool is_allowed)
{
    struct asked asked = {.text = STR_INIT};

    flow_walk(ends, flow, note, &asked);
    assert_string_equal(str_text(&asked.text), wanted);
    str_done(&asked.text);
    assert_int_equal(flow_is_allowed(ends, flow, &sets), is_allowed);
}

/* ---- cases
 * -------------------------------------------------------------------------------------- */

static void
what_comes_to_the_node_meets_untracked_then_pre_dnat_then_normal(void **state)
{
    static const struct {
        const char *uses, *asked;
        bool is_allowed;
    } cases[] = {
        {"a---", "normal in eth0:80", true},
        {"d---", "normal in eth0:80", false},
        {"----", "normal in eth0:80", false},
        {"dda-", "pre-dnat in eth0:80", true},
        {"aad-", "pre-dnat in eth0:80", false},
        {"aap-", "pre-dnat in eth0:80, normal in eth0:80", true},
        {"ddpa", "untracked in eth0:80", true},
        {"aaad", "untracked in eth0:80", false},
        {"dapp", "untracked in eth0:80, pre-dnat in eth0:80, normal in eth0:80", false},
    };
    const struct flow flow = flow_to(80);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct made host;
        const struct flow_ends ends = {.is_to_node = true, .in = make(&host, true, cases[i].uses)};
        assert_asked(&ends, &flow, cases[i].asked, cases[i].is_allowed);
    }
}

static void
what_is_forwarded_meets_forward_on_both_sides(void **state)
{
    struct made in, out, pod;
    struct flow flow = flow_to(80);
    struct flow_ends ends = {.in = make(&in, true, "da--"), .out = make(&out, true, "da--")};

    (void)state;
    assert_asked(&ends, &flow, "forward in eth0:80, forward out eth0:80", true);
    ends.out = make(&out, true, "ad--");
    assert_asked(&ends, &flow, "forward in eth0:80, forward out eth0:80", false);
    /* What one before DNAT allows, FORWARD of the way out still denies. */
    ends.in = make(&in, true, "dda-");
    flow.arrived.destination_port = 30080;
    assert_asked(&ends, &flow, "pre-dnat in eth0:30080, forward out eth0:80", false);
    ends.out = NULL;
    ends.destination = make(&pod, false, "a");
    assert_asked(&ends, &flow, "pre-dnat in eth0:30080, pod in cali1:80", true);
    ends.destination = make(&pod, false, "d");
    assert_asked(&ends, &flow, "pre-dnat in eth0:30080, pod in cali1:80", false);
    /* Without applyOnForward nothing is asked. */
    ends.in = make(&in, true, "d---");
    ends.destination = make(&pod, false, "a");
    assert_asked(&ends, &flow, "pod in cali1:80", true);
}

static void
pods_meet_the_host_only_on_their_way_out(void **state)
{
    struct made host, pod, other;
    const struct flow flow = flow_to(80);
    struct flow_ends ends = {.source = make(&pod, false, "a"), .out = make(&host, true, "dd--")};

    (void)state;
    assert_asked(&ends, &flow, "pod out cali1:80, forward out eth0:80", false);
    ends.out = make(&host, true, "dadd");
    assert_asked(&ends, &flow, "pod out cali1:80, forward out eth0:80", true);
    ends.out = NULL;
    ends.destination = make(&other, false, "d");
    assert_asked(&ends, &flow, "pod out cali1:80, pod in cali1:80", false);
    ends.destination = NULL;
    ends.is_to_node = true;
    ends.in = make(&host, true, "dddd");
    assert_asked(&ends, &flow, "pod out cali1:80", true);
}

static void
what_the_node_sends_meets_untracked_then_normal(void **state)
{
    struct made host, before, pod;
    struct flow flow = flow_to(80);
    struct flow_ends ends = {.is_from_node = true, .out = make(&host, true, "addd")};

    (void)state;
    flow.arrived.destination_port = 443;
    assert_asked(&ends, &flow, "normal out eth0:80", true);
    ends.out_arrived = make(&before, true, "---d");
    assert_asked(&ends, &flow, "untracked out eth0:443", false);
    ends.out_arrived = make(&before, true, "---p");
    ends.out = make(&host, true, "daaa");
    assert_asked(&ends, &flow, "untracked out eth0:443, normal out eth0:80", false);
    /* To itself it goes out and comes in. */
    ends = (struct flow_ends){.is_from_node = true, .is_to_node = true};
    ends.in = ends.out = make(&host, true, "ad--");
    assert_asked(&ends, &flow, "normal out eth0:80, normal in eth0:80", true);
    /* Its own pods are open to it, whatever anybody says. */
    ends = (struct flow_ends){.is_from_node = true,
                              .destination = make(&pod, false, "d"),
                              .out = make(&host, true, "dddd"),
                              .out_arrived = make(&before, true, "dddd")};
    assert_asked(&ends, &flow, "", true);
}

static void
failsafe_ports_are_closed_by_nothing_but_what_is_forwarded(void **state)
{
    static const struct failsafe_port in[] = {{TCP, 22, false, {{0}, 0}}};
    static const struct failsafe_port out[] = {{TCP, 6443, false, {{0}, 0}}};
    struct made host;
    struct flow flow = flow_to(22);
    struct flow_ends ends = {.is_to_node = true,
                             .in = make(&host, true, "dddd"),
                             .failsafe_in = in,
                             .n_failsafe_in = 1,
                             .failsafe_out = out,
                             .n_failsafe_out = 1};

    (void)state;
    assert_asked(&ends, &flow,
                 "untracked in eth0:22 failsafe, pre-dnat in eth0:22 failsafe, "
                 "normal in eth0:22 failsafe",
                 true);
    ends.is_to_node = false;
    assert_asked(&ends, &flow,
                 "untracked in eth0:22 failsafe, pre-dnat in eth0:22 failsafe, forward in eth0:22",
                 false);
    /* An answer of a failsafe port: before tracking, and of an entry the wrong way round. */
    flow = flow_to(5000);
    flow.packet.source_port = flow.arrived.source_port = 6443;
    ends.is_to_node = true;
    assert_asked(&ends, &flow, "untracked in eth0:5000 failsafe, pre-dnat in eth0:5000", false);
    ends.is_open = true;
    assert_asked(&ends, &flow,
                 "untracked in eth0:5000 failsafe, pre-dnat in eth0:5000 failsafe, "
                 "normal in eth0:5000 failsafe",
                 true);
}

static void
failsafe_ports_may_be_for_some_peers_only(void **state)
{
    struct failsafe_port in[] = {{.protocol = TCP, .port = 22, .has_net = true}};
    struct made host;
    const struct flow flow = flow_to(22);
    const struct flow_ends ends = {
        .is_to_node = true, .in = make(&host, true, "d---"), .failsafe_in = in, .n_failsafe_in = 1};

    (void)state;
    assert_true(prefix_parse("192.0.2.0/24", &in[0].net, NULL));
    assert_asked(&ends, &flow, "normal in eth0:22 failsafe", true);
    assert_true(prefix_parse("192.0.3.0/24", &in[0].net, NULL));
    assert_asked(&ends, &flow, "normal in eth0:22", false);
}

static void
neighbours_and_ipip_are_not_policed(void **state)
{
    struct made host;
    struct flow flow = flow_to(0);
    const struct flow_ends ends = {.is_to_node = true, .in = make(&host, true, "d---")};

    (void)state;
    flow.packet.protocol = flow.arrived.protocol = 58;
    flow.packet.icmp_type = flow.arrived.icmp_type = 135;
    assert_asked(&ends, &flow, "", true);
    flow.packet.icmp_type = flow.arrived.icmp_type = 128;
    assert_asked(&ends, &flow, "normal in eth0:0", false);
    flow.packet.protocol = flow.arrived.protocol = 4;
    assert_asked(&ends, &flow, "", true);
}

static void
what_ipvs_sends_on_is_asked_as_it_arrived(void **state)
{
    struct made host, pod;
    struct flow flow = flow_to(8080);
    const struct flow_ends ends = {.in = make(&host, true, "ad--"),
                                   .destination = make(&pod, false, "a")};

    (void)state;
    flow.arrived.destination_port = 80;
    flow.is_by_ipvs = true;
    assert_asked(&ends, &flow, "normal in eth0:80, pod in cali1:8080", true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_to_the_node_meets_untracked_then_pre_dnat_then_normal),
        cmocka_unit_test(what_is_forwarded_meets_forward_on_both_sides),
        cmocka_unit_test(pods_meet_the_host_only_on_their_way_out),
        cmocka_unit_test(what_the_node_sends_meets_untracked_then_normal),
        cmocka_unit_test(failsafe_ports_are_closed_by_nothing_but_what_is_forwarded),
        cmocka_unit_test(failsafe_ports_may_be_for_some_peers_only),
        cmocka_unit_test(neighbours_and_ipip_are_not_policed),
        cmocka_unit_test(what_ipvs_sends_on_is_asked_as_it_arrived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
