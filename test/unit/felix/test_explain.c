/* felix/server: what explain says of each end, that it agrees with the judging of flows, and how
 * rules read. */
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/evaluate/flow.h"
#include "felix/server/describe.h"
#include "felix/server/explain.h"
#include "lib/base/own.h"
#include "lib/json/json.h"
#include "test/unit/cmocka.h"

#define TCP 6

static struct ip
ip(const char *text)
{
    struct ip value;

    assert_true(ip_parse(text, &value, NULL));
    return value;
}

/* Every set holds 10.0.0.1 and nothing else. */
static bool
holds(void *owner, const struct policy_set *set, const struct policy_set_member *member)
{
    struct ip one = ip("10.0.0.1");

    (void)owner, (void)set;
    return ip_equal(&member->prefix.ip, &one);
}

static const struct evaluate_sets sets = {.holds = holds};

#define ANY                                                                                       \
    .protocol = RULE_ANY, .not_protocol = RULE_ANY, .icmp_type = RULE_ANY, .icmp_code = RULE_ANY, \
    .not_icmp_type = RULE_ANY, .not_icmp_code = RULE_ANY
#define NO_ICMP                                                             \
    .not_protocol = RULE_ANY, .icmp_type = RULE_ANY, .icmp_code = RULE_ANY, \
    .not_icmp_type = RULE_ANY, .not_icmp_code = RULE_ANY

static char default_tier[] = "default", admin_tier[] = "kube-admin", ns[] = "default";
static char name_allow[] = "allow-one", name_deny[] = "deny-all", name_staged[] = "try",
            name_pass[] = "pass", name_log[] = "watch";
static char one[] = "role == 'one'", all[] = "all()";
static struct port_range web_ports[] = {{80, 80}, {8000, 8100}};

static struct policy_rule allow_rules[] = {
    {.action = RULE_LOG, ANY},
    {.action = RULE_ALLOW,
     .written = 4,
     .protocol = TCP,
     NO_ICMP,
     .source = {.selector = one},
     .destination = {.ports = web_ports, .n_ports = 2}},
};
static struct policy_rule deny_rules[] = {{.action = RULE_DENY, ANY}};
static struct policy_rule pass_rules[] = {{.action = RULE_PASS, ANY}};
static struct policy_rule log_rules[] = {{.action = RULE_LOG, ANY}};

#define POLICY(origin_, name_, tier_, rules_)                                                      \
    {                                                                                              \
        .origin = origin_, .name = name_, .tier = tier_, .selector = all, .applies_ingress = true, \
        .applies_egress = true, .ingress = rules_, .n_ingress = ARRAY_LEN(rules_),                 \
        .egress = rules_, .n_egress = ARRAY_LEN(rules_), .order = 1000                             \
    }
static struct policy policies[] = {
    POLICY(POLICY_KUBERNETES, name_allow, default_tier, allow_rules),
    POLICY(POLICY_GLOBAL, name_deny, default_tier, deny_rules),
    POLICY(POLICY_GLOBAL, name_staged, default_tier, deny_rules),
    POLICY(POLICY_CLUSTER, name_pass, admin_tier, pass_rules),
    POLICY(POLICY_NAMESPACED, name_log, default_tier, log_rules),
};
static struct active_policy active[ARRAY_LEN(policies)];

static int
prepare(void **state)
{
    (void)state;
    policies[0].ns = policies[4].ns = ns;
    policies[2].is_staged = true;
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        active[i].policy = &policies[i];
    }
    return 0;
}

enum {
    ALLOW,
    DENY,
    STAGED,
    PASS,
    WATCH
};

static const struct active_policy *of_allow[] = {&active[STAGED], &active[ALLOW]};
static const struct active_policy *of_both[] = {&active[ALLOW], &active[DENY]};
static const struct active_policy *of_pass[] = {&active[PASS]};
static const struct active_policy *of_staged[] = {&active[STAGED]};
static const struct active_policy *of_watch[] = {&active[WATCH]};

static struct verdict_tier tiers_allow[] = {{default_tier, false, of_allow, 2}};
static struct verdict_tier tiers_both[] = {{admin_tier, true, of_pass, 1},
                                           {default_tier, false, of_both, 2}};
static struct verdict_tier tiers_staged[] = {{default_tier, false, of_staged, 1}};
static struct verdict_tier tiers_watch[] = {{default_tier, false, of_watch, 1}};

static struct verdict_list lists[][N_DIRECTIONS] = {
    {{USE_NORMAL, INGRESS, NULL, 0, true, "a"}, {USE_NORMAL, EGRESS, NULL, 0, true, "b"}},
    {{USE_NORMAL, INGRESS, NULL, 0, false, "c"}, {USE_NORMAL, EGRESS, NULL, 0, false, "d"}},
    {{USE_NORMAL, INGRESS, tiers_allow, 1, true, "e"},
     {USE_NORMAL, EGRESS, tiers_allow, 1, true, "f"}},
    {{USE_NORMAL, INGRESS, tiers_both, 2, true, "g"},
     {USE_NORMAL, EGRESS, tiers_both, 2, true, "h"}},
    {{USE_NORMAL, INGRESS, tiers_staged, 1, true, "i"},
     {USE_NORMAL, EGRESS, tiers_staged, 1, true, "j"}},
    {{USE_NORMAL, INGRESS, tiers_watch, 1, true, "k"},
     {USE_NORMAL, EGRESS, tiers_watch, 1, true, "l"}},
};
enum {
    L_OPEN,
    L_CLOSED,
    L_ALLOW,
    L_BOTH,
    L_STAGED,
    L_WATCH,
    N_LISTS
};

static struct policy_endpoint
endpoint_of(int in, int out)
{
    struct policy_endpoint endpoint = {.ifname = "cali0123456789a"};

    endpoint.lists[USE_NORMAL][INGRESS] = &lists[in][INGRESS];
    endpoint.lists[USE_NORMAL][EGRESS] = &lists[out][EGRESS];
    return endpoint;
}

static struct explain_question
question_of(const char *from, const char *to, uint16_t port)
{
    struct explain_question question = {.from = {.ip = ip(from), .where = EXPLAIN_OUTSIDE},
                                        .to = {.ip = ip(to), .where = EXPLAIN_OUTSIDE},
                                        .to_host = RULES_DROP};

    question.packet = (struct packet){.family = question.from.ip.family,
                                      .source = question.from.ip,
                                      .destination = question.to.ip,
                                      .protocol = TCP,
                                      .source_port = 40000,
                                      .destination_port = port};
    return question;
}

/* ---- reading the answer
 * ------------------------------------------------------------------------ */

static struct json_object *
at(struct json_object *json, const char *key)
{
    struct json_object *value = NULL;

    assert_true(json_object_object_get_ex(json, key, &value));
    return value;
}

static const char *
text(struct json_object *json, const char *key)
{
    return json_object_get_string(at(json, key));
}

static struct json_object *
item(struct json_object *json, const char *key, size_t index)
{
    return json_object_array_get_idx(at(json, key), index);
}

static void
assert_decision(struct json_object *answer, size_t index, const char *verdict, const char *reason)
{
    struct json_object *decision = item(answer, "decisions", index);

    if (strcmp(text(decision, "verdict"), verdict) != 0 ||
        strcmp(text(decision, "reason"), reason) != 0) {
        fail_msg("%s", json_object_to_json_string(decision));
    }
}

/* ---- what is said
 * ------------------------------------------------------------------------------ */

struct where_case {
    enum explain_where from, to;
    enum explain_verdict verdict;
    const char *said[2][2];
};

static void
each_place_has_its_reason(void **state)
{
    static const struct where_case cases[] = {
        {EXPLAIN_HERE,
         EXPLAIN_HERE,
         EXPLAIN_ALLOWED,
         {{"allowed", "profile"}, {"allowed", "rule"}}},
        {EXPLAIN_HERE,
         EXPLAIN_OTHER_NODE,
         EXPLAIN_ALLOWED,
         {{"allowed", "profile"}, {"elsewhere", "other-node"}}},
        {EXPLAIN_HERE,
         EXPLAIN_OUTSIDE,
         EXPLAIN_ALLOWED,
         {{"allowed", "profile"}, {"not policed", "outside"}}},
        {EXPLAIN_HERE,
         EXPLAIN_SERVICE,
         EXPLAIN_ALLOWED,
         {{"allowed", "profile"}, {"not policed", "outside"}}},
        {EXPLAIN_HERE,
         EXPLAIN_HOST,
         EXPLAIN_DENIED,
         {{"allowed", "profile"}, {"denied", "to-host"}}},
        {EXPLAIN_HOST,
         EXPLAIN_HERE,
         EXPLAIN_ALLOWED,
         {{"not policed", "host-to-pod"}, {"allowed", "host-to-pod"}}},
        {EXPLAIN_HOST,
         EXPLAIN_OUTSIDE,
         EXPLAIN_ALLOWED,
         {{"not policed", "no-host-endpoint"}, {"not policed", "outside"}}},
        {EXPLAIN_OTHER_HOST,
         EXPLAIN_HERE,
         EXPLAIN_ALLOWED,
         {{"elsewhere", "other-node"}, {"allowed", "rule"}}},
        {EXPLAIN_OUTSIDE,
         EXPLAIN_HOST,
         EXPLAIN_ALLOWED,
         {{"not policed", "outside"}, {"not policed", "no-host-endpoint"}}},
        {EXPLAIN_OTHER_NODE,
         EXPLAIN_OUTSIDE,
         EXPLAIN_ELSEWHERE,
         {{"elsewhere", "other-node"}, {"not policed", "outside"}}},
    };
    const struct policy_endpoint here = endpoint_of(L_ALLOW, L_OPEN);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct explain_question question = question_of("10.0.0.1", "10.0.0.2", 80);
        AUTO(json_tree) struct json_object *answer = json_object_new_object();
        question.from.where = cases[i].from;
        question.to.where = cases[i].to;
        question.from.endpoint = cases[i].from == EXPLAIN_HERE ? &here : NULL;
        question.to.endpoint = cases[i].to == EXPLAIN_HERE ? &here : NULL;
        assert_int_equal(explain_answer(&question, &sets, answer), cases[i].verdict);
        for (size_t k = 0; k < 2; k++) {
            assert_decision(answer, k, cases[i].said[k][0], cases[i].said[k][1]);
        }
        bool is_elsewhere = strcmp(cases[i].said[0][0], "elsewhere") == 0 ||
                            strcmp(cases[i].said[1][0], "elsewhere") == 0;
        assert_int_equal(json_object_get_boolean(at(answer, "complete")), !is_elsewhere);
    }
}

static void
a_pod_without_policy_yet_is_closed_and_to_itself_open(void **state)
{
    struct explain_question question = question_of("10.0.0.1", "10.0.0.2", 80);
    AUTO(json_tree) struct json_object *answer = json_object_new_object();
    AUTO(json_tree) struct json_object *itself = json_object_new_object();

    (void)state;
    question.from.where = EXPLAIN_HERE;
    assert_int_equal(explain_answer(&question, &sets, answer), EXPLAIN_DENIED);
    assert_decision(answer, 0, "denied", "not-programmed");
    question.to = question.from;
    assert_int_equal(explain_answer(&question, &sets, itself), EXPLAIN_ALLOWED);
    assert_decision(itself, 0, "allowed", "itself");
}

static void
host_endpoints_are_asked_but_for_failsafe_ports(void **state)
{
    static const struct failsafe_port ssh = {.protocol = TCP, .port = 22};
    struct policy_endpoint host = endpoint_of(L_CLOSED, L_OPEN);
    const struct {
        uint16_t port;
        enum explain_verdict verdict;
        const char *words[2];
    } cases[] = {{22, EXPLAIN_ALLOWED, {"allowed", "failsafe"}},
                 {23, EXPLAIN_DENIED, {"denied", "no-profile"}}};

    (void)state;
    host.is_host = true;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct explain_question question = question_of("192.0.2.1", "10.9.0.1", cases[i].port);
        AUTO(json_tree) struct json_object *answer = json_object_new_object();
        question.to.where = EXPLAIN_HOST;
        question.ends.in = &host;
        question.ends.failsafe_in = &ssh;
        question.ends.n_failsafe_in = 1;
        question.has_host_endpoints = question.is_by_route = true;
        assert_int_equal(explain_answer(&question, &sets, answer), cases[i].verdict);
        assert_decision(answer, 1, cases[i].words[0], cases[i].words[1]);
        assert_int_equal(json_object_array_length(at(answer, "notes")), 1);
    }
}

static void
what_the_kernel_does_not_hold_yet_is_said(void **state)
{
    struct explain_question question = question_of("192.0.2.1", "10.9.0.1", 80);
    AUTO(json_tree) struct json_object *answer = json_object_new_object();
    AUTO(json_tree) struct json_object *pending = json_object_new_object();

    (void)state;
    question.to.where = EXPLAIN_HOST;
    explain_answer(&question, &sets, answer);
    assert_true(json_object_get_boolean(at(answer, "in_force")));
    assert_int_equal(json_object_array_length(at(answer, "notes")), 0);
    question.is_pending = true;
    explain_answer(&question, &sets, pending);
    assert_false(json_object_get_boolean(at(pending, "in_force")));
    assert_int_equal(json_object_array_length(at(pending, "notes")), 1);
}

static void
tiers_and_policies_are_told_in_order(void **state)
{
    const struct policy_endpoint from = endpoint_of(L_OPEN, L_OPEN);
    const struct policy_endpoint to = endpoint_of(L_BOTH, L_OPEN);
    struct explain_question question = question_of("10.0.0.1", "10.0.0.2", 8050);
    AUTO(json_tree) struct json_object *answer = json_object_new_object();

    (void)state;
    question.from.where = question.to.where = EXPLAIN_HERE;
    question.from.endpoint = &from;
    question.to.endpoint = &to;
    assert_int_equal(explain_answer(&question, &sets, answer), EXPLAIN_ALLOWED);
    struct json_object *ingress = item(answer, "decisions", 1);
    assert_string_equal(text(ingress, "policy"), "NetworkPolicy default/allow-one");
    assert_int_equal(json_object_get_int(at(ingress, "rule")), 1);
    assert_int_equal(json_object_get_int(at(ingress, "written")), 4);
    assert_string_equal(text(ingress, "by"),
                        "NetworkPolicy default/allow-one, ingress rule 1: allow tcp from selector "
                        "(role == 'one') to ports 80,8000-8100");
    struct json_object *first = item(ingress, "tiers", 0), *second = item(ingress, "tiers", 1);
    assert_string_equal(text(first, "tier"), "kube-admin");
    assert_string_equal(text(first, "end"), "Pass");
    assert_string_equal(text(item(first, "policies", 0), "action"), "pass");
    assert_int_equal(json_object_array_length(at(item(second, "policies", 0), "logs")), 1);
    struct json_object *behind = item(second, "policies", 1);
    assert_string_equal(text(behind, "policy"), "GlobalNetworkPolicy deny-all");
    assert_false(json_object_get_boolean(at(behind, "reached")));
}

static void
staged_policies_are_shown_and_have_no_effect(void **state)
{
    const struct policy_endpoint end = endpoint_of(L_STAGED, L_ALLOW);
    struct explain_question question = question_of("10.0.0.9", "10.0.0.2", 80);
    AUTO(json_tree) struct json_object *answer = json_object_new_object();

    (void)state;
    question.from.where = question.to.where = EXPLAIN_HERE;
    question.from.endpoint = question.to.endpoint = &end;
    assert_int_equal(explain_answer(&question, &sets, answer), EXPLAIN_DENIED);
    assert_decision(answer, 0, "denied", "tier");
    assert_decision(answer, 1, "allowed", "profile");
    struct json_object *policy =
        item(item(item(answer, "decisions", 1), "tiers", 0), "policies", 0);
    assert_string_equal(text(policy, "policy"), "StagedGlobalNetworkPolicy try");
    assert_true(json_object_get_boolean(at(policy, "staged")));
    assert_string_equal(text(policy, "text"), "deny everything");
}

static void
explain_agrees_with_the_judging_of_flows(void **state)
{
    static const char *const addresses[] = {"10.0.0.1", "10.0.0.9"};
    static const uint16_t ports[] = {80, 81, 8100};
    size_t n_allowed = 0, n = 0;

    (void)state;
    for (int in = 0; in < N_LISTS; in++) {
        for (int out = 0; out < N_LISTS; out++) {
            const struct policy_endpoint end = endpoint_of(in, out);
            for (size_t i = 0; i < 2 * 2 * ARRAY_LEN(ports) * ARRAY_LEN(addresses); i++) {
                struct explain_question question =
                    question_of(addresses[i / 12], "10.0.0.2", ports[i % 3]);
                AUTO(json_tree) struct json_object *answer = json_object_new_object();
                struct flow_ends ends = {0};
                if (i / 3 % 2) {
                    question.from.where = EXPLAIN_HERE;
                    question.from.endpoint = ends.source = &end;
                } else if (i / 6 % 2) {
                    question.from.where = EXPLAIN_HOST;
                    ends.is_from_node = true;
                }
                question.to.where = EXPLAIN_HERE;
                question.to.endpoint = ends.destination = &end;
                const struct flow flow = {.packet = question.packet, .arrived = question.packet};
                bool is_allowed = flow_is_allowed(&ends, &flow, &sets);
                n_allowed += is_allowed;
                n++;
                assert_int_equal(explain_answer(&question, &sets, answer),
                                 is_allowed ? EXPLAIN_ALLOWED : EXPLAIN_DENIED);
            }
        }
    }
    assert_in_range(n_allowed, n / 5, n - n / 5);
}

/* ---- host endpoints
 * ---------------------------------------------------------------------------- */

static struct verdict_list host_lists[N_USES][N_LISTS][N_DIRECTIONS];

/* An endpoint of the host with these lists; N_LISTS: none. */
static struct policy_endpoint
host_with(const int of_use[N_USES])
{
    struct policy_endpoint host = {.key = "host n1-eth0", .ifname = "eth0", .is_host = true};

    for (enum verdict_use use = USE_NORMAL; use < N_USES; use++) {
        for (enum direction direction = INGRESS; direction <= EGRESS; direction++) {
            if (of_use[use] < N_LISTS) {
                struct verdict_list *list = &host_lists[use][of_use[use]][direction];
                *list = lists[of_use[use]][direction];
                list->use = use;
                host.lists[use][direction] = list;
            }
        }
    }
    return host;
}

static void
what_host_endpoints_say_is_told_in_order(void **state)
{
    static const int uses[N_USES] = {L_CLOSED, L_BOTH, L_WATCH, L_ALLOW};
    const struct policy_endpoint host = host_with(uses), pod = endpoint_of(L_OPEN, L_OPEN);
    struct explain_question question = question_of("192.0.2.1", "10.0.0.2", 80);
    AUTO(json_tree) struct json_object *denied = json_object_new_object();
    AUTO(json_tree) struct json_object *untracked = json_object_new_object();

    (void)state;
    question.to.where = EXPLAIN_HERE;
    question.to.endpoint = &pod;
    question.ends.in = &host;
    assert_int_equal(explain_answer(&question, &sets, denied), EXPLAIN_DENIED);
    assert_decision(denied, 0, "not policed", "outside");
    assert_decision(denied, 1, "not policed", "nothing"); /* untracked: not this client */
    assert_decision(denied, 2, "not policed", "nothing"); /* before DNAT: only a Log */
    assert_decision(denied, 3, "denied", "rule");
    assert_decision(denied, 4, "allowed", "profile"); /* the pod is asked all the same */
    struct json_object *forward = item(denied, "decisions", 3);
    assert_string_equal(text(forward, "of"), "host endpoint n1-eth0 (eth0), of what is forwarded");
    assert_string_equal(text(forward, "host_endpoint"), "n1-eth0");
    assert_string_equal(text(forward, "use"), "forward");
    assert_string_equal(text(forward, "interface"), "eth0");
    assert_string_equal(text(item(item(denied, "decisions", 1), "tiers", 0), "end"), "Pass");
    /* The client that an untracked policy lets through is asked nothing more by the host. */
    question.from.ip = question.packet.source = ip("10.0.0.1");
    assert_int_equal(explain_answer(&question, &sets, untracked), EXPLAIN_ALLOWED);
    assert_decision(untracked, 1, "allowed", "rule");
    assert_decision(untracked, 2, "allowed", "profile");
    assert_int_equal(json_object_array_length(at(untracked, "notes")), 1);
}

/* From whom to whom, and what is asked of the host on the way. */
static void
compare_with_flow(const struct policy_endpoint *host, const struct policy_endpoint *pod,
                  size_t number, size_t *n_allowed)
{
    static const enum explain_where ways[][2] = {{EXPLAIN_OUTSIDE, EXPLAIN_HOST},
                                                 {EXPLAIN_OUTSIDE, EXPLAIN_HERE},
                                                 {EXPLAIN_HERE, EXPLAIN_OUTSIDE},
                                                 {EXPLAIN_HOST, EXPLAIN_OUTSIDE},
                                                 {EXPLAIN_HOST, EXPLAIN_HOST}};
    static const char *const addresses[] = {"10.0.0.1", "10.0.0.9"};
    const enum explain_where *way = ways[number / 2];
    struct explain_question question = question_of(addresses[number % 2], "10.0.0.2", 80);
    AUTO(json_tree) struct json_object *answer = json_object_new_object();
    const struct flow flow = {.packet = question.packet, .arrived = question.packet};

    question.from.where = way[0];
    question.to.where = way[1];
    question.from.endpoint = way[0] == EXPLAIN_HERE ? pod : NULL;
    question.to.endpoint = way[1] == EXPLAIN_HERE ? pod : NULL;
    question.ends.in = way[0] != EXPLAIN_HERE && way[1] != EXPLAIN_OUTSIDE ? host : NULL;
    question.ends.out = question.ends.out_arrived = way[1] != EXPLAIN_HERE ? host : NULL;
    struct flow_ends ends = question.ends;
    ends.source = question.from.endpoint;
    ends.destination = question.to.endpoint;
    ends.is_from_node = way[0] == EXPLAIN_HOST;
    ends.is_to_node = way[1] == EXPLAIN_HOST;
    bool is_allowed = flow_is_allowed(&ends, &flow, &sets);
    *n_allowed += is_allowed;
    assert_int_equal(explain_answer(&question, &sets, answer),
                     is_allowed ? EXPLAIN_ALLOWED : EXPLAIN_DENIED);
}

static void
explain_agrees_with_the_judging_of_flows_past_host_endpoints(void **state)
{
    const struct policy_endpoint pod = endpoint_of(L_ALLOW, L_ALLOW);
    size_t n_allowed = 0, n = 0;

    (void)state;
    for (int i = 0; i < N_LISTS * (N_LISTS + 1) * (N_LISTS + 1) * (N_LISTS + 1); i++) {
        int of_use[N_USES] = {i % N_LISTS};
        for (int use = 1, rest = i / N_LISTS; use < N_USES; use++, rest /= N_LISTS + 1) {
            of_use[use] = rest % (N_LISTS + 1);
        }
        const struct policy_endpoint host = host_with(of_use);
        for (size_t number = 0; number < 10; number++, n++) {
            compare_with_flow(&host, &pod, number, &n_allowed);
        }
    }
    assert_in_range(n_allowed, n / 5, n - n / 5);
}

/* ---- rules in words
 * ---------------------------------------------------------------------------- */

static void
rules_read_like_sentences(void **state)
{
    static char http[] = "http", svc_ns[] = "kube-system", svc[] = "dns";
    static char *names[] = {http};
    static struct prefix nets[10];
    static char long_selector[1000];
    const struct {
        struct policy_rule rule;
        const char *text;
    } cases[] = {
        {{.action = RULE_ALLOW, ANY}, "allow everything"},
        {{.action = RULE_DENY,
          .family = 6,
          .protocol = 58,
          .not_protocol = RULE_ANY,
          .icmp_type = 128,
          .icmp_code = 0,
          .not_icmp_type = RULE_ANY,
          .not_icmp_code = RULE_ANY},
         "deny IPv6 icmpv6 type 128/0"},
        {{.action = RULE_PASS,
          .protocol = TCP,
          NO_ICMP,
          .destination = {.ports = web_ports,
                          .n_ports = 1,
                          .named_ports = names,
                          .n_named_ports = 1,
                          .not_ports = web_ports + 1,
                          .n_not_ports = 1}},
         "pass tcp to ports 80,http not ports 8000-8100"},
        {{.action = RULE_LOG, ANY, .source = {.service_ns = svc_ns, .service_name = svc}},
         "log from service kube-system/dns"},
        {{.action = RULE_DENY, ANY, .destination = {.node_selector = svc}}, "deny to nodes (dns)"},
        {{.action = RULE_ALLOW,
          ANY,
          .source = {.has_nets = true, .not_nets = nets, .n_not_nets = 1}},
         "allow from nets (none) not nets 10.0.0.0/8"},
        {{.action = RULE_ALLOW, ANY, .source = {.has_nets = true, .nets = nets, .n_nets = 10}},
         "allow from nets 10.0.0.0/8,10.0.0.0/8,10.0.0.0/8,10.0.0.0/8,10.0.0.0/8,10.0.0.0/8,"
         "10.0.0.0/8,10.0.0.0/8 and 2 more"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
        assert_true(prefix_parse("10.0.0.0/8", &nets[i], NULL));
    }
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(str) struct str out = STR_INIT;
        describe_rule(&cases[i].rule, &out);
        assert_string_equal(str_text(&out), cases[i].text);
    }
    memset(long_selector, 'x', sizeof long_selector - 1);
    const struct policy_rule rule = {
        .action = RULE_ALLOW, ANY, .source = {.selector = long_selector}};
    AUTO(str) struct str out = STR_INIT;
    describe_rule(&rule, &out);
    assert_in_range(out.len, 200, 240);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_place_has_its_reason),
        cmocka_unit_test(a_pod_without_policy_yet_is_closed_and_to_itself_open),
        cmocka_unit_test(host_endpoints_are_asked_but_for_failsafe_ports),
        cmocka_unit_test(what_the_kernel_does_not_hold_yet_is_said),
        cmocka_unit_test(tiers_and_policies_are_told_in_order),
        cmocka_unit_test(staged_policies_are_shown_and_have_no_effect),
        cmocka_unit_test(explain_agrees_with_the_judging_of_flows),
        cmocka_unit_test(what_host_endpoints_say_is_told_in_order),
        cmocka_unit_test(explain_agrees_with_the_judging_of_flows_past_host_endpoints),
        cmocka_unit_test(rules_read_like_sentences),
    };

    return cmocka_run_group_tests(tests, prepare, NULL);
}
