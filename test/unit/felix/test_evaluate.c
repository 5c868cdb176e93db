/* felix/evaluate: rules, tiers and uses against tables written from the semantics. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/evaluate/evaluate.h"
#include "felix/rules/set_names.h"
#include "lib/base/own.h"
#include "test/unit/cmocka.h"

/* In the tables what is not given is 0; this is the number 0. */
#define ZERO (-2)
#define TCP 6
#define UDP 17
#define SCTP 132

/* ---- a cluster of a few addresses
 * --------------------------------------------------------------- */

static struct ip
ip(const char *text)
{
    struct ip value;

    assert_true(ip_parse(text, &value, NULL));
    return value;
}

static bool
is_one_of(const struct ip *address, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct ip other = ip(texts[i]);
        if (ip_equal(address, &other)) {
            return true;
        }
    }
    return false;
}

static bool
is_set(const struct policy_set *set, const char *what)
{
    struct policy_set other;

    if (strcmp(what, "svc/web") == 0) {
        set_of_service("svc", "web", set->kind == SET_IP_PORTS, &other);
    } else if (strncmp(what, "node:", 5) == 0) {
        set_of_nodes(what + 5, &other);
    } else if (what[0] == ':') {
        set_of_named_port(NULL, TCP, what + 1, &other);
    } else if (strncmp(what, "red:", 4) == 0) {
        set_of_named_port("red", TCP, what + 4, &other);
    } else {
        set_of_selector(what, &other);
    }
    return strcmp(other.id, set->id) == 0 && other.kind == set->kind;
}

/* 10.0.0.1, 10.0.0.2 and fd00::1 are red, 10.0.0.3 is blue; port "http" is 80 on .1 and 8080 on .3;
 * service svc/web is 10.0.0.1:80; red nodes are 10.0.0.3 and fd00::3. */
static bool
holds(void *owner, const struct policy_set *set, const struct policy_set_member *member)
{
    static const char *const red[] = {"10.0.0.1", "10.0.0.2", "fd00::1"};
    static const char *const blue[] = {"10.0.0.3"};
    const struct ip *address = &member->prefix.ip;
    bool is_first = is_one_of(address, red, 1);
    bool is_third = is_one_of(address, blue, 1);

    (void)owner;
    assert_int_equal(member->prefix.len, ip_bits(address));
    if (is_set(set, "red")) {
        return is_one_of(address, red, ARRAY_LEN(red));
    }
    if (is_set(set, "blue")) {
        return is_third;
    }
    if (is_set(set, "red:http")) {
        return is_first && member->protocol == TCP && member->port == 80;
    }
    if (is_set(set, ":http")) {
        return member->protocol == TCP &&
               ((is_first && member->port == 80) || (is_third && member->port == 8080));
    }
    if (is_set(set, "node:red")) {
        return is_third || is_one_of(address, (const char *const[]){"fd00::3"}, 1);
    }
    if (is_set(set, "svc/web")) {
        return is_first &&
               (set->kind == SET_NETS || (member->protocol == TCP && member->port == 80));
    }
    return false;
}

struct shot {
    const char *from, *to;
    uint8_t protocol;
    uint16_t from_port, to_port; /* ICMP: type, code */
};

static struct packet
packet_of(const struct shot *shot)
{
    struct packet packet = {.source = ip(shot->from), .destination = ip(shot->to)};

    packet.family = packet.source.family;
    packet.protocol = shot->protocol;
    if (shot->protocol == 1 || shot->protocol == 58) {
        packet.icmp_type = (uint8_t)shot->from_port;
        packet.icmp_code = (uint8_t)shot->to_port;
    } else {
        packet.source_port = shot->from_port;
        packet.destination_port = shot->to_port;
    }
    return packet;
}

/* ---- rules
 * -------------------------------------------------------------------------------------- */

static struct prefix nets_ten[1], nets_both[2], nets_six[1], nets_all[1];
static struct port_range web_ports[] = {{80, 80}, {8000, 8100}};
static struct port_range top_port[] = {{65535, 65535}};
static char name_http[] = "http", name_none[] = "none", red[] = "red", blue[] = "blue";
static char svc[] = "svc", web[] = "web";
static char *http_port[] = {name_http};
static char *no_such_port[] = {name_none};

static int
make_nets(void **state)
{
    (void)state;
    assert_true(prefix_parse("10.0.0.0/24", &nets_ten[0], NULL));
    assert_true(prefix_parse("10.0.0.2/32", &nets_both[0], NULL));
    assert_true(prefix_parse("fd00::/64", &nets_both[1], NULL));
    nets_six[0] = nets_both[1];
    assert_true(prefix_parse("0.0.0.0/0", &nets_all[0], NULL));
    return 0;
}

static int16_t
complete_number(int16_t number)
{
    return number == 0 ? RULE_ANY : number == ZERO ? 0 : number;
}

static struct policy_rule
complete(const struct policy_rule *given)
{
    struct policy_rule rule = *given;

    rule.protocol = complete_number(given->protocol);
    rule.not_protocol = complete_number(given->not_protocol);
    rule.icmp_type = complete_number(given->icmp_type);
    rule.icmp_code = complete_number(given->icmp_code);
    rule.not_icmp_type = complete_number(given->not_icmp_type);
    rule.not_icmp_code = complete_number(given->not_icmp_code);
    return rule;
}

struct rule_case {
    const char *name;
    struct policy_rule rule;
    struct shot shot;
    bool matches;
};

#define T(from, to, port)          \
    {                              \
        from, to, TCP, 40000, port \
    }

static const struct rule_case rule_cases[] = {
    {"an empty rule matches TCP", {.family = 0}, T("10.0.0.1", "10.0.0.3", 80), true},
    {"an empty rule matches any protocol", {.family = 0}, {"10.0.0.1", "10.0.0.3", 50, 0, 0}, true},
    {"an empty rule matches IPv6", {.family = 0}, T("fd00::1", "fd00::2", 80), true},
    {"family 4", {.family = 4}, T("10.0.0.1", "10.0.0.3", 80), true},
    {"family 4 is not IPv6", {.family = 4}, T("fd00::1", "fd00::2", 80), false},
    {"family 6", {.family = 6}, T("fd00::1", "fd00::2", 80), true},
    {"protocol", {.protocol = UDP}, {"10.0.0.1", "10.0.0.3", UDP, 1, 2}, true},
    {"another protocol", {.protocol = UDP}, T("10.0.0.1", "10.0.0.3", 80), false},
    {"not protocol", {.not_protocol = UDP}, T("10.0.0.1", "10.0.0.3", 80), true},
    {"not this protocol", {.not_protocol = UDP}, {"10.0.0.1", "10.0.0.3", UDP, 1, 2}, false},
    {"protocol 0 is a protocol", {.protocol = ZERO}, T("10.0.0.1", "10.0.0.3", 80), false},

    {"source net",
     {.source = {.has_nets = true, .nets = nets_ten, .n_nets = 1}},
     T("10.0.0.9", "1.1.1.1", 80),
     true},
    {"source outside of the net",
     {.source = {.has_nets = true, .nets = nets_ten, .n_nets = 1}},
     T("10.0.1.9", "1.1.1.1", 80),
     false},
    {"nets of the other family match nothing",
     {.destination = {.has_nets = true, .nets = nets_six, .n_nets = 1}},
     T("10.0.0.1", "10.0.0.3", 80),
     false},
    {"nets that are all gone match nothing",
     {.destination = {.has_nets = true}},
     T("10.0.0.1", "10.0.0.3", 80),
     false},
    {"mixed nets, IPv4",
     {.destination = {.has_nets = true, .nets = nets_both, .n_nets = 2}},
     T("10.0.0.1", "10.0.0.2", 80),
     true},
    {"mixed nets, IPv6",
     {.destination = {.has_nets = true, .nets = nets_both, .n_nets = 2}},
     T("fd01::1", "fd00::2", 80),
     true},
    {"except",
     {.source = {.has_nets = true,
                 .nets = nets_ten,
                 .n_nets = 1,
                 .not_nets = nets_both,
                 .n_not_nets = 2}},
     T("10.0.0.2", "1.1.1.1", 80),
     false},
    {"beside the exception",
     {.source = {.has_nets = true,
                 .nets = nets_ten,
                 .n_nets = 1,
                 .not_nets = nets_both,
                 .n_not_nets = 2}},
     T("10.0.0.1", "1.1.1.1", 80),
     true},
    {"an exception of all addresses leaves none",
     {.source = {.not_nets = nets_all, .n_not_nets = 1}},
     T("10.0.0.1", "1.1.1.1", 80),
     false},
    {"exceptions of the other family do not matter",
     {.source = {.not_nets = nets_six, .n_not_nets = 1}},
     T("10.0.0.1", "1.1.1.1", 80),
     true},

    {"source selector", {.source = {.selector = red}}, T("10.0.0.1", "10.0.0.3", 80), true},
    {"source selector, IPv6", {.source = {.selector = red}}, T("fd00::1", "fd00::2", 80), true},
    {"not the source selector",
     {.source = {.selector = red}},
     T("10.0.0.3", "10.0.0.1", 80),
     false},
    {"destination selector",
     {.destination = {.selector = blue}},
     T("10.0.0.1", "10.0.0.3", 80),
     true},
    {"both ends",
     {.source = {.selector = red}, .destination = {.selector = blue}},
     T("10.0.0.3", "10.0.0.3", 80),
     false},
    {"notSelector matches addresses unknown to the cluster",
     {.source = {.not_selector = red}},
     T("192.0.2.1", "10.0.0.3", 80),
     true},
    {"notSelector", {.source = {.not_selector = red}}, T("10.0.0.1", "10.0.0.3", 80), false},
    {"selector and nets",
     {.source = {.selector = red, .has_nets = true, .nets = nets_both, .n_nets = 2}},
     T("10.0.0.1", "10.0.0.3", 80),
     false},

    {"port",
     {.protocol = TCP, .destination = {.ports = web_ports, .n_ports = 2}},
     T("10.0.0.1", "10.0.0.3", 80),
     true},
    {"port range, its first",
     {.protocol = TCP, .destination = {.ports = web_ports, .n_ports = 2}},
     T("10.0.0.1", "10.0.0.3", 8000),
     true},
    {"port range, its last",
     {.protocol = TCP, .destination = {.ports = web_ports, .n_ports = 2}},
     T("10.0.0.1", "10.0.0.3", 8100),
     true},
    {"port range, behind it",
     {.protocol = TCP, .destination = {.ports = web_ports, .n_ports = 2}},
     T("10.0.0.1", "10.0.0.3", 8101),
     false},
    {"the last port there is",
     {.protocol = TCP, .destination = {.ports = top_port, .n_ports = 1}},
     T("10.0.0.1", "10.0.0.3", 65535),
     true},
    {"source port",
     {.protocol = TCP, .source = {.ports = web_ports, .n_ports = 2}},
     {"10.0.0.1", "10.0.0.3", TCP, 80, 40000},
     true},
    {"a source port is no destination port",
     {.protocol = TCP, .source = {.ports = web_ports, .n_ports = 2}},
     T("10.0.0.1", "10.0.0.3", 80),
     false},
    {"ports of SCTP",
     {.protocol = SCTP, .destination = {.ports = web_ports, .n_ports = 2}},
     {"10.0.0.1", "10.0.0.3", SCTP, 1, 80},
     true},
    {"ports of TCP are not SCTP's",
     {.protocol = TCP, .destination = {.ports = web_ports, .n_ports = 2}},
     {"10.0.0.1", "10.0.0.3", SCTP, 1, 80},
     false},
    {"a port where the protocol has none",
     {.destination = {.ports = web_ports, .n_ports = 2}},
     {"10.0.0.1", "10.0.0.3", 1, 8, 0},
     false},
    {"not port",
     {.protocol = TCP, .destination = {.not_ports = web_ports, .n_not_ports = 2}},
     T("10.0.0.1", "10.0.0.3", 81),
     true},
    {"not this port",
     {.protocol = TCP, .destination = {.not_ports = web_ports, .n_not_ports = 2}},
     T("10.0.0.1", "10.0.0.3", 8050),
     false},
    {"named port",
     {.protocol = TCP, .destination = {.named_ports = http_port, .n_named_ports = 1}},
     T("10.0.0.1", "10.0.0.3", 8080),
     true},
    {"named port, the number of another pod",
     {.protocol = TCP, .destination = {.named_ports = http_port, .n_named_ports = 1}},
     T("10.0.0.2", "10.0.0.3", 80),
     false},
    {"named port nobody has",
     {.protocol = TCP, .destination = {.named_ports = no_such_port, .n_named_ports = 1}},
     T("10.0.0.1", "10.0.0.3", 8080),
     false},
    {"named port of another protocol",
     {.protocol = UDP, .destination = {.named_ports = http_port, .n_named_ports = 1}},
     {"10.0.0.1", "10.0.0.3", UDP, 1, 8080},
     false},
    {"numbers or names: the number",
     {.protocol = TCP,
      .destination =
          {.ports = top_port, .n_ports = 1, .named_ports = http_port, .n_named_ports = 1}},
     T("10.0.0.1", "10.0.0.3", 65535),
     true},
    {"numbers or names: the name",
     {.protocol = TCP,
      .destination =
          {.ports = top_port, .n_ports = 1, .named_ports = http_port, .n_named_ports = 1}},
     T("10.0.0.2", "10.0.0.1", 80),
     true},
    {"named port with a selector",
     {.protocol = TCP,
      .destination = {.selector = red, .named_ports = http_port, .n_named_ports = 1}},
     T("10.0.0.2", "10.0.0.1", 80),
     true},
    {"named port of an endpoint that does not match",
     {.protocol = TCP,
      .destination = {.selector = red, .named_ports = http_port, .n_named_ports = 1}},
     T("10.0.0.2", "10.0.0.3", 8080),
     false},
    {"a number beside a selector wants the selector, too",
     {.protocol = TCP, .destination = {.selector = red, .ports = web_ports, .n_ports = 2}},
     T("10.0.0.2", "10.0.0.3", 8080),
     false},
    {"not a named port",
     {.protocol = TCP, .destination = {.not_named_ports = http_port, .n_not_named_ports = 1}},
     T("10.0.0.1", "10.0.0.3", 8080),
     false},
    {"another than the named port",
     {.protocol = TCP, .destination = {.not_named_ports = http_port, .n_not_named_ports = 1}},
     T("10.0.0.1", "10.0.0.3", 80),
     true},

    {"service as destination",
     {.destination = {.service_ns = svc, .service_name = web}},
     T("10.0.0.2", "10.0.0.1", 80),
     true},
    {"service as destination, another port",
     {.destination = {.service_ns = svc, .service_name = web}},
     T("10.0.0.2", "10.0.0.1", 81),
     false},
    {"service as source: any port",
     {.source = {.service_ns = svc, .service_name = web}},
     T("10.0.0.1", "10.0.0.3", 443),
     true},
    {"not the service",
     {.source = {.service_ns = svc, .service_name = web}},
     T("10.0.0.2", "10.0.0.3", 443),
     false},

    {"a node of that selector",
     {.destination = {.node_selector = red}},
     T("10.0.0.1", "10.0.0.3", 443),
     true},
    {"a node of that selector, IPv6",
     {.destination = {.node_selector = red}},
     T("fd00::1", "fd00::3", 443),
     true},
    {"what the same selector matches is no node",
     {.destination = {.node_selector = red}},
     T("10.0.0.3", "10.0.0.1", 443),
     false},
    {"a node, another port",
     {.protocol = TCP, .destination = {.node_selector = red, .ports = web_ports, .n_ports = 2}},
     T("10.0.0.1", "10.0.0.3", 443),
     false},

    {"ICMP type", {.protocol = 1, .icmp_type = 8}, {"10.0.0.1", "10.0.0.3", 1, 8, 0}, true},
    {"ICMP type 0", {.protocol = 1, .icmp_type = ZERO}, {"10.0.0.1", "10.0.0.3", 1, 8, 0}, false},
    {"ICMP type and code",
     {.protocol = 1, .icmp_type = 3, .icmp_code = 1},
     {"10.0.0.1", "10.0.0.3", 1, 3, 4},
     false},
    {"ICMP type, any code",
     {.protocol = 1, .icmp_type = 3},
     {"10.0.0.1", "10.0.0.3", 1, 3, 4},
     true},
    {"ICMPv6 type", {.protocol = 58, .icmp_type = 128}, {"fd00::1", "fd00::2", 58, 128, 0}, true},
    {"ICMPv6 in IPv4 has no type",
     {.protocol = 58, .icmp_type = 128},
     {"10.0.0.1", "10.0.0.3", 58, 128, 0},
     false},
    {"an ICMP type is not looked for in TCP",
     {.icmp_type = ZERO},
     T("10.0.0.1", "10.0.0.3", 80),
     false},
    {"not ICMP type", {.protocol = 1, .not_icmp_type = 8}, {"10.0.0.1", "10.0.0.3", 1, 0, 0}, true},
    {"not this ICMP type",
     {.protocol = 1, .not_icmp_type = 8},
     {"10.0.0.1", "10.0.0.3", 1, 8, 0},
     false},
    {"not this ICMP type and code: another code is fine",
     {.protocol = 1, .not_icmp_type = 3, .not_icmp_code = 1},
     {"10.0.0.1", "10.0.0.3", 1, 3, 4},
     true},
};

static void
rules_match_what_they_say(void **state)
{
    const struct evaluate_sets sets = {.holds = holds};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rule_cases); i++) {
        const struct rule_case *it = &rule_cases[i];
        struct packet packet = packet_of(&it->shot);
        struct policy_rule rule = complete(&it->rule);
        if (evaluate_rule_matches(&rule, &packet, &sets) != it->matches) {
            fail_msg("%s: %s", it->name, it->matches ? "did not match" : "matched");
        }
    }
}

/* ---- tiers
 * -------------------------------------------------------------------------------------- */

/* A list in a few characters: tiers end with '.', default Pass, or '!', default Deny; a word is a
 * policy, staged when it starts with '~', its letters are rules that match everything (A D L P) or
 * nothing (a d l p); '-' is a policy without rules. A last '+': the profile allows. */
struct made {
    struct policy_rule rules[32];
    struct policy policies[16];
    struct active_policy active[16];
    const struct active_policy *refs[16];
    struct verdict_tier tiers[8];
    struct verdict_list list;
};

static struct policy_rule
make_rule(char letter)
{
    struct policy_rule rule = complete(&(struct policy_rule){.family = 0});
    char lower = (char)(letter | 0x20);

    rule.action = lower == 'a'   ? RULE_ALLOW
                  : lower == 'd' ? RULE_DENY
                  : lower == 'l' ? RULE_LOG
                                 : RULE_PASS;
    if (letter == lower) {
        rule.source.has_nets = true; /* and none: never matches */
    }
    return rule;
}

static const char *
make_policy(struct made *made, const char *text, size_t *n_rules, struct policy *policy)
{
    struct policy_rule *first = &made->rules[*n_rules];
    size_t n = 0;

    if (*text == '~') {
        policy->is_staged = true;
        text++;
    }
    for (; strchr("AaDdLlPp-", *text) && *text != '\0'; text++) {
        if (*text != '-') {
            made->rules[(*n_rules)++] = make_rule(*text);
            n++;
        }
    }
    if (made->list.direction == INGRESS) {
        policy->ingress = first;
        policy->n_ingress = n;
    } else {
        policy->egress = first;
        policy->n_egress = n;
    }
    return text;
}

static void
make_list(struct made *made, enum verdict_use use, enum direction direction, const char *text)
{
    size_t n_rules = 0, n_policies = 0, n_tiers = 0, first = 0;

    memset(made, 0, sizeof *made);
    made->list.use = use;
    made->list.direction = direction;
    while (*text != '\0') {
        if (*text == '.' || *text == '!') {
            struct verdict_tier *tier = &made->tiers[n_tiers++];
            tier->is_default_pass = *text == '.';
            tier->policies = &made->refs[first];
            tier->n_policies = n_policies - first;
            first = n_policies;
            text++;
        } else if (*text == '+') {
            made->list.is_profile_allow = true;
            text++;
        } else if (*text == ' ') {
            text++;
        } else {
            struct active_policy *active = &made->active[n_policies];
            active->policy = &made->policies[n_policies];
            made->refs[n_policies] = active;
            text = make_policy(made, text, &n_rules, &made->policies[n_policies]);
            n_policies++;
        }
    }
    made->list.tiers = made->tiers;
    made->list.n_tiers = n_tiers;
}

struct list_case {
    const char *text;
    enum verdict_use use;
    enum verdict verdict;
    enum verdict_reason reason;
    size_t policy, rule; /* index of all; SIZE_MAX: none */
};

#define NONE SIZE_MAX

static const struct list_case list_cases[] = {
    /* nothing applies */
    {"+", USE_NORMAL, VERDICT_ALLOW, BY_PROFILE, NONE, 0},
    {"", USE_NORMAL, VERDICT_DENY, BY_NO_PROFILE, NONE, 0},
    {"", USE_FORWARD, VERDICT_ALLOW, BY_NOTHING, NONE, 0},
    {"", USE_PRE_DNAT, VERDICT_ALLOW, BY_NOTHING, NONE, 0},
    {"", USE_UNTRACKED, VERDICT_ALLOW, BY_NOTHING, NONE, 0},
    /* a policy that applies isolates */
    {"-! +", USE_NORMAL, VERDICT_DENY, BY_TIER, 0, 0},
    {"-! ", USE_FORWARD, VERDICT_DENY, BY_TIER, 0, 0},
    {"-! ", USE_PRE_DNAT, VERDICT_ALLOW, BY_NOTHING, NONE, 0},
    {"-! ", USE_UNTRACKED, VERDICT_ALLOW, BY_NOTHING, NONE, 0},
    {"a d! +", USE_NORMAL, VERDICT_DENY, BY_TIER, 1, 0},
    {"L! +", USE_NORMAL, VERDICT_DENY, BY_TIER, 0, 0},
    /* the first that decides */
    {"A! ", USE_NORMAL, VERDICT_ALLOW, BY_RULE, 0, 0},
    {"D! +", USE_NORMAL, VERDICT_DENY, BY_RULE, 0, 0},
    {"aDA! +", USE_NORMAL, VERDICT_DENY, BY_RULE, 0, 1},
    {"dAD! ", USE_NORMAL, VERDICT_ALLOW, BY_RULE, 0, 1},
    {"d A! ", USE_NORMAL, VERDICT_ALLOW, BY_RULE, 1, 0},
    {"A D! ", USE_NORMAL, VERDICT_ALLOW, BY_RULE, 0, 0},
    {"LLA! ", USE_NORMAL, VERDICT_ALLOW, BY_RULE, 0, 2},
    {"D! ", USE_PRE_DNAT, VERDICT_DENY, BY_RULE, 0, 0},
    {"A! ", USE_UNTRACKED, VERDICT_ALLOW, BY_RULE, 0, 0},
    /* tiers */
    {"a. A! ", USE_NORMAL, VERDICT_ALLOW, BY_RULE, 1, 0},
    {"a! A! +", USE_NORMAL, VERDICT_DENY, BY_TIER, 0, 0},
    {"A! D! ", USE_NORMAL, VERDICT_ALLOW, BY_RULE, 0, 0},
    {"P D! A! ", USE_NORMAL, VERDICT_ALLOW, BY_RULE, 2, 0},
    {"PD! A! ", USE_NORMAL, VERDICT_ALLOW, BY_RULE, 1, 0},
    {"P! +", USE_NORMAL, VERDICT_ALLOW, BY_PROFILE, NONE, 0},
    {"P! ", USE_NORMAL, VERDICT_DENY, BY_NO_PROFILE, NONE, 0},
    {"P! ", USE_FORWARD, VERDICT_ALLOW, BY_NOTHING, NONE, 0},
    {"a. ", USE_FORWARD, VERDICT_ALLOW, BY_NOTHING, NONE, 0},
    {"a. a. +", USE_NORMAL, VERDICT_ALLOW, BY_PROFILE, NONE, 0},
    {"p! +", USE_NORMAL, VERDICT_DENY, BY_TIER, 0, 0},
    /* staged ones are not there */
    {"~D! +", USE_NORMAL, VERDICT_ALLOW, BY_PROFILE, NONE, 0},
    {"~D! A! ", USE_NORMAL, VERDICT_ALLOW, BY_RULE, 1, 0},
    {"~D A! ", USE_NORMAL, VERDICT_ALLOW, BY_RULE, 1, 0},
    {"~A a! +", USE_NORMAL, VERDICT_DENY, BY_TIER, 1, 0},
    {"a ~A! +", USE_NORMAL, VERDICT_DENY, BY_TIER, 0, 0},
    {"~P D! +", USE_NORMAL, VERDICT_DENY, BY_RULE, 1, 0},
    {"~D! ", USE_FORWARD, VERDICT_ALLOW, BY_NOTHING, NONE, 0},
};

struct steps {
    char text[128];
    const struct made *made;
};

static void
note_step(void *owner, const struct evaluate_step *step)
{
    struct steps *steps = owner;
    size_t used = strlen(steps->text);
    int rule = step->rule == SIZE_MAX ? -1 : (int)step->rule;

    snprintf(steps->text + used, sizeof steps->text - used, "%td.%td:%d ",
             step->tier - steps->made->tiers, step->policy - steps->made->active, rule);
}

static void
check_list(const struct list_case *it, enum direction direction, bool with_steps)
{
    struct made made;
    struct steps steps = {.made = &made};
    const struct evaluate_sets sets = {
        .holds = holds, .step = with_steps ? note_step : NULL, .owner = &steps};
    const struct shot shot = T("10.0.0.1", "10.0.0.3", 80);
    struct packet packet = packet_of(&shot);
    struct decision decision;

    make_list(&made, it->use, direction, it->text);
    evaluate(&made.list, &packet, &sets, &decision);
    const struct active_policy *policy = it->policy == NONE ? NULL : &made.active[it->policy];
    if (decision.verdict != it->verdict || decision.reason != it->reason ||
        decision.policy != policy || decision.rule != it->rule) {
        fail_msg("'%s' use %d: verdict %d reason %d rule %zu", it->text, it->use, decision.verdict,
                 decision.reason, decision.rule);
    }
    assert_int_equal(decision.tier != NULL, policy != NULL);
}

static void
lists_decide_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(list_cases); i++) {
        for (int variant = 0; variant < 4; variant++) {
            check_list(&list_cases[i], variant & 1 ? EGRESS : INGRESS, variant & 2);
        }
    }
}

static void
steps_tell_what_was_met(void **state)
{
    static const struct {
        const char *list, *steps;
    } cases[] = {
        {"A! ", "0.0:0 "},
        {"a LdA! ", "0.0:-1 0.1:0 0.1:2 "},
        {"~D a. P D! D! +", "0.0:0 0.1:-1 1.2:0 2.4:0 "},
        {"L! +", "0.0:0 0.0:-1 "},
        {"+", ""},
    };
    const struct shot shot = T("10.0.0.1", "10.0.0.3", 80);
    struct packet packet = packet_of(&shot);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct made made;
        struct steps steps = {.made = &made};
        const struct evaluate_sets sets = {.holds = holds, .step = note_step, .owner = &steps};
        struct decision decision;
        make_list(&made, USE_NORMAL, EGRESS, cases[i].list);
        evaluate(&made.list, &packet, &sets, &decision);
        assert_string_equal(steps.text, cases[i].steps);
    }
}

static void
the_other_direction_is_not_looked_at(void **state)
{
    const struct evaluate_sets sets = {.holds = holds};
    const struct shot shot = T("10.0.0.1", "10.0.0.3", 80);
    struct packet packet = packet_of(&shot);
    struct decision decision;
    struct made made;

    (void)state;
    make_list(&made, USE_NORMAL, INGRESS, "A! ");
    made.list.direction = EGRESS;
    evaluate(&made.list, &packet, &sets, &decision);
    assert_int_equal(decision.verdict, VERDICT_DENY);
    assert_int_equal(decision.reason, BY_TIER);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_match_what_they_say),
        cmocka_unit_test(lists_decide_in_order),
        cmocka_unit_test(steps_tell_what_was_met),
        cmocka_unit_test(the_other_direction_is_not_looked_at),
    };

    return cmocka_run_group_tests(tests, make_nets, NULL);
}
