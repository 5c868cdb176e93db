/* The rules around policy that depend on no policy: how packets come to dispatch, to the host's own
 * endpoints, and what is done with them afterwards. Called with the static rules, whenever settings
 * change or the first host endpoint comes or the last one goes.
 *
 *   raw PREROUTING/OUTPUT    host endpoints: doNotTrack
 *   mangle PREROUTING        host endpoints: preDNAT;  POSTROUTING: egress of what was DNATed
 *   filter FORWARD           refused → drop, established → accept, pods' dispatch, service loops
 *   filter INPUT, OUTPUT     pods to their node; the node to its own pods is never looked at
 *
 * Without host endpoints only packets of pods are touched.
 *
 * raw and mangle leave no bit behind but accept: each table is a commit of its own, and while the
 * mask of marks changes, another bit of theirs could be what filter takes for accept. */
#include "felix/rules/host_rules.h"

#include <stdio.h>
#include <string.h>

#include "felix/rules/dispatch.h"
#include "felix/rules/ipvs_rules.h"
#include "felix/rules/limit_rules.h"
#include "felix/rules/names.h"
#include "felix/rules/render.h"
#include "lib/base/alloc.h"

#define ESTABLISHED " -m conntrack --ctstate RELATED,ESTABLISHED"

static uint32_t
all_bits(const struct policy_marks *marks)
{
    return marks->accept | marks->pass | marks->matched | marks->block;
}

static void
add_hook(const struct policy_rules_config *config, struct ruleset *set, const char *table,
         const char *builtin, const char *target)
{
    const struct hook hook = {table, builtin, target, config->is_append_mode};

    ruleset_hook(set, &hook);
}

void
host_rules_clear(const struct policy_rules_config *config, struct chain *chain)
{
    AUTO(str) struct str clear = STR_INIT;

    render_set_mark(&clear, 0, all_bits(&config->marks));
    rule_add(chain, "", str_text(&clear));
}

/* Packets with the accept bit get the table's allow action. */
void
host_rules_accept_marked(const struct policy_rules_config *config, struct chain *chain,
                         enum rules_action action)
{
    AUTO(str) struct str accepted = STR_INIT;

    render_match_mark(&accepted, config->marks.accept, 0);
    rule_add(chain, str_text(&accepted), render_action(action));
}

/* The short path of open connections; 'match' says of which packets. */
void
host_rules_established(const struct policy_rules_config *config, struct chain *chain,
                       const char *match)
{
    AUTO(str) struct str established = STR_INIT;
    AUTO(str) struct str refused = STR_INIT;
    AUTO(str) struct str invalid = STR_INIT;
    AUTO(str) struct str mark = STR_INIT;
    const struct drop_tag tag = {DROP_INVALID, INGRESS, 0, ""};

    str_add(&refused, match);
    render_match_refused(&refused, &config->marks);
    rule_add(chain, str_text(&refused), " -g cali-refused");
    str_addf(&established, "%s" ESTABLISHED, match);
    if (config->filter_allow == RULES_RETURN) {
        /* Others' rules decide; those that look at the bit later see that we did not refuse. */
        render_set_mark(&mark, config->marks.accept, 0);
        rule_add(chain, str_text(&established), str_text(&mark));
    }
    rule_add(chain, str_text(&established), render_action(config->filter_allow));
    if (!config->keeps_invalid) {
        str_addf(&invalid, "%s -m conntrack --ctstate INVALID", match);
        rule_add_deny(chain, config, str_text(&invalid), &tag, " -j DROP");
    }
}

/* ---- chains that rules go to ------------------------------------------------------------------
 */

static void
mark_chain(struct ruleset *set, const char *table, const char *name, uint32_t bit, uint32_t clear)
{
    struct chain *chain = ruleset_chain(set, table, name);
    AUTO(str) struct str target = STR_INIT;

    render_set_mark(&target, bit, clear);
    rule_add(chain, "", str_text(&target));
}

static void
mark_chains(const struct policy_rules_config *config, const char *table, struct ruleset *set)
{
    uint32_t scratch = config->marks.matched | config->marks.block;

    mark_chain(set, table, "cali-allow", config->marks.accept, scratch);
    mark_chain(set, table, "cali-pass", config->marks.pass, scratch);
    mark_chain(set, table, "cali-staged", 0, scratch);
}

static void
drop_chain(const struct policy_rules_config *config, struct ruleset *set, const char *name,
           const struct drop_tag *tag)
{
    rule_add_deny(ruleset_chain(set, "filter", name), config, "", tag, " -j DROP");
}

static void
drop_chains(const struct policy_rules_config *config, struct ruleset *set)
{
    const struct drop_tag refused = {DROP_REFUSED, INGRESS, 0, ""};
    const struct drop_tag from = {DROP_UNKNOWN, EGRESS, 0, ""};
    const struct drop_tag to = {DROP_UNKNOWN, INGRESS, 0, ""};

    drop_chain(config, set, "cali-refused", &refused);
    drop_chain(config, set, "cali-unknown-from", &from);
    drop_chain(config, set, "cali-unknown-to", &to);
}

/* ---- neighbours ---------------------------------------------------------------------------------
 */

/* Without neighbour discovery a host endpoint would take IPv6 off the wire with everything that is
 * forwarded, pods' traffic too, whatever its policy says. ARP is not filtered either. Types: of
 * multicast listeners, routers, neighbours; the kernel takes them from the link alone. Empty for
 * IPv4: which chains there are does not depend on the family, see wanted_chains.c. */
static void
discovery_chain(uint8_t family, const char *table, struct ruleset *set)
{
    static const int types[] = {130, 131, 132, 133, 134, 135, 136, 143};
    struct chain *chain = ruleset_chain(set, table, "cali-discovery");

    for (size_t i = 0; i < ARRAY_LEN(types) && family == 6; i++) {
        chain_add(chain, "-p 58 -m icmp6 --icmpv6-type %d -j ACCEPT", types[i]);
    }
}

/* In front of every dispatch to host endpoints that what is not forwarded comes to. */
static void
add_discovery(uint8_t family, struct chain *chain, const char *match)
{
    if (family == 6) {
        rule_add(chain, match, " -p 58 -j cali-discovery");
    }
}

/* ---- failsafe ports ---------------------------------------------------------------------------
 */

/* A failsafe port seen from one end: 'options' are the peer's address and the port's side. */
static void
add_failsafes(const struct failsafe_port *ports, size_t n, uint8_t family, const char *options[2],
              struct chain *chain)
{
    for (size_t i = 0; i < n; i++) {
        AUTO(str) struct str match = STR_INIT;
        char text[PREFIX_TEXT_MAX];
        if (ports[i].has_net && ports[i].net.ip.family != family) {
            continue;
        }
        str_addf(&match, " -p %u", ports[i].protocol);
        if (ports[i].has_net && ports[i].net.len > 0) {
            str_addf(&match, " %s %s", options[0], prefix_format(&ports[i].net, text));
        }
        str_addf(&match, " -m multiport %s %u", options[1], ports[i].port);
        rule_add(chain, str_text(&match), " -j ACCEPT");
    }
}

static void
failsafe_chains(const struct policy_rules_config *config, uint8_t family, const char *table,
                struct ruleset *set)
{
    const char *to_us[2] = {"-s", "--dports"}, *from_peer[2] = {"-s", "--sports"};
    const char *to_peer[2] = {"-d", "--dports"}, *from_us[2] = {"-d", "--sports"};
    bool is_raw = strcmp(table, "raw") == 0;
    struct chain *chain = ruleset_chain(set, table, "cali-failsafe-in");

    add_failsafes(config->failsafe_in, config->n_failsafe_in, family, to_us, chain);
    if (is_raw) { /* before conntrack nobody knows what is an answer */
        add_failsafes(config->failsafe_out, config->n_failsafe_out, family, from_peer, chain);
    }
    chain = ruleset_chain(set, table, "cali-failsafe-out");
    add_failsafes(config->failsafe_out, config->n_failsafe_out, family, to_peer, chain);
    if (is_raw) {
        add_failsafes(config->failsafe_in, config->n_failsafe_in, family, from_us, chain);
    }
}

/* ---- tables before filter ---------------------------------------------------------------------
 */

void
host_rules_raw_input(const struct policy_rules_config *config, uint8_t family, struct chain *chain)
{
    if (config->has_host_endpoints) {
        char not_pods[32];
        snprintf(not_pods, sizeof not_pods, " ! -i %s+", config->workload_prefix);
        add_discovery(family, chain, not_pods);
        host_rules_clear(config, chain);
        chain_add(chain, "! -i %s+ -j cali-from-host-endpoint", config->workload_prefix);
        host_rules_accept_marked(config, chain, RULES_ACCEPT);
        host_rules_clear(config, chain);
    }
}

static void
raw_output(const struct policy_rules_config *config, uint8_t family, struct ruleset *set)
{
    struct chain *chain = ruleset_chain(set, "raw", "cali-OUTPUT");

    add_discovery(family, chain, "");
    host_rules_clear(config, chain);
    chain_add(chain, "! -o %s+ -j cali-to-host-endpoint", config->workload_prefix);
    host_rules_accept_marked(config, chain, RULES_ACCEPT);
    host_rules_clear(config, chain);
    add_hook(config, set, "raw", "OUTPUT", "cali-OUTPUT");
}

static void
mangle_rules(const struct policy_rules_config *config, uint8_t family, struct ruleset *set)
{
    struct chain *chain = ruleset_chain(set, "mangle", "cali-PREROUTING");
    AUTO(str) struct str accepted = STR_INIT;
    char match[80];

    render_match_mark(&accepted, config->marks.accept, 0);
    snprintf(match, sizeof match, " -i %s+", config->workload_prefix);
    rule_add(chain, match, " -j RETURN");
    rule_add(chain, ESTABLISHED, render_action(config->mangle_allow));
    host_rules_accept_marked(config, chain, config->mangle_allow);
    add_discovery(family, chain, "");
    rule_add(chain, "", " -j cali-from-host-endpoint");
    host_rules_accept_marked(config, chain, config->mangle_allow);
    host_rules_clear(config, chain);
    add_hook(config, set, "mangle", "PREROUTING", "cali-PREROUTING");

    chain = ruleset_chain(set, "mangle", "cali-POSTROUTING");
    rule_add(chain, "", " -j cali-qos-host");
    rule_add(chain, str_text(&accepted), " -j RETURN");
    rule_add(chain, ESTABLISHED, " -j RETURN");
    snprintf(match, sizeof match, " -o %s+", config->workload_prefix);
    rule_add(chain, match, " -j RETURN");
    host_rules_clear(config, chain);
    /* What is only forwarded was judged in FORWARD. */
    rule_add(chain, " -m addrtype --src-type LOCAL -m conntrack --ctstate DNAT",
             " -j cali-to-host-endpoint");
    add_hook(config, set, "mangle", "POSTROUTING", "cali-POSTROUTING");
}

/* ---- filter -----------------------------------------------------------------------------------
 */

static void
service_loops(const struct policy_rules_config *config, uint8_t family, struct ruleset *set)
{
    const struct drop_tag tag = {DROP_SERVICE_LOOP, EGRESS, 0, ""};
    struct chain *chain = ruleset_chain(set, "filter", "cali-cidr-block");

    for (size_t i = 0; i < config->n_service_nets && config->service_loop != RULES_RETURN; i++) {
        char text[PREFIX_TEXT_MAX];
        char match[PREFIX_TEXT_MAX + 8];
        if (config->service_nets[i].ip.family == family) {
            snprintf(match, sizeof match, " -d %s", prefix_format(&config->service_nets[i], text));
            rule_add_deny(chain, config, match, &tag, render_action(config->service_loop));
        }
    }
}

static void
forward_rules(const struct policy_rules_config *config, struct chain *chain)
{
    const char *prefix = config->workload_prefix;
    char from[32], to[32], only_to[64];
    AUTO(str) struct str not_accepted = STR_INIT;

    snprintf(from, sizeof from, " -i %s+", prefix);
    snprintf(to, sizeof to, " -o %s+", prefix);
    snprintf(only_to, sizeof only_to, " ! -i %s+ -o %s+", prefix, prefix);
    if (!config->allows_ipip_from_pods) {
        /* Ahead of open connections: what a pod answers may be IPIP, too. */
        AUTO(str) struct str ipip = STR_INIT;
        str_addf(&ipip, "%s -p 4", from);
        rule_add(chain, str_text(&ipip), " -j DROP");
    }
    limit_rules_refuse(config, chain);
    if (config->has_host_endpoints) {
        host_rules_established(config, chain, "");
        /* The bit of what raw and mangle accepted is still needed. */
        AUTO(str) struct str clear = STR_INIT;
        render_set_mark(&clear, 0, all_bits(&config->marks) & ~config->marks.accept);
        rule_add(chain, "", str_text(&clear));
        render_match_mark(&not_accepted, 0, config->marks.accept);
        rule_add(chain, str_text(&not_accepted), " -j cali-from-hep-forward");
    } else {
        host_rules_established(config, chain, from);
        host_rules_established(config, chain, only_to); /* what comes from a pod was looked at */
        host_rules_clear(config, chain);
    }
    rule_add(chain, from, " -j " DISPATCH_FROM);
    rule_add(chain, to, " -j " DISPATCH_TO);
    for (size_t i = 0; i < config->n_other_prefixes; i++) {
        snprintf(to, sizeof to, " -o %s+", config->other_prefixes[i]);
        rule_add(chain, to, " -g cali-unknown-to");
    }
    if (config->has_host_endpoints) {
        rule_add(chain, "", " -j cali-to-hep-forward");
    }
    rule_add(chain, "", " -j cali-cidr-block");
}

static void
workload_to_host(const struct policy_rules_config *config, uint8_t family, struct ruleset *set)
{
    static const int discovery[] = {130, 131, 132, 133, 135, 136};
    const struct drop_tag tag = {DROP_TO_HOST, EGRESS, 0, ""};
    struct chain *chain = ruleset_chain(set, "filter", "cali-wl-to-host");

    /* Of IPv6, what finds neighbours and routers and who listens to which group. */
    for (size_t i = 0; i < ARRAY_LEN(discovery) && family == 6; i++) {
        chain_add(chain, "-p 58 -m icmp6 --icmpv6-type %d -j ACCEPT", discovery[i]);
    }
    limit_rules_refuse(config, chain);
    host_rules_established(config, chain, "");
    ipvs_rules_workload_to_host(config, family, chain);
    chain_add(chain, "-j " DISPATCH_FROM);
    ipvs_rules_node_ports(config, chain);
    if (config->to_host == RULES_DROP || config->to_host == RULES_REJECT) {
        rule_add_deny(chain, config, "", &tag, render_action(config->to_host));
    } else {
        rule_add(chain, "", render_action(config->to_host));
    }
}

void
host_rules_input(const struct policy_rules_config *config, uint8_t family, struct chain *chain)
{
    ipvs_rules_input(config, chain);
    chain_add(chain, "-i %s+ -g cali-wl-to-host", config->workload_prefix);
    if (config->has_host_endpoints) {
        add_discovery(family, chain, "");
        host_rules_established(config, chain, "");
        host_rules_accept_marked(config, chain, config->filter_allow);
        host_rules_clear(config, chain);
        chain_add(chain, "-j cali-from-host-endpoint");
        host_rules_accept_marked(config, chain, config->filter_allow);
    }
}

void
host_rules_output(const struct policy_rules_config *config, uint8_t family, struct chain *chain)
{
    AUTO(str) struct str refused = STR_INIT;

    str_addf(&refused, " -o %s+", config->workload_prefix);
    render_match_refused(&refused, &config->marks);
    rule_add(chain, str_text(&refused), " -g cali-refused");
    ipvs_rules_output(config, chain);
    chain_add(chain, "-o %s+ -j RETURN", config->workload_prefix);
    if (config->has_host_endpoints) {
        add_discovery(family, chain, "");
        host_rules_established(config, chain, "");
        host_rules_accept_marked(config, chain, config->filter_allow);
        host_rules_clear(config, chain);
        /* The interface is the one from before DNAT: those are judged in mangle POSTROUTING. */
        chain_add(chain, "-m conntrack ! --ctstate DNAT -j cali-to-host-endpoint");
        host_rules_accept_marked(config, chain, config->filter_allow);
    }
}

static void
forward_accept(const struct policy_rules_config *config, struct ruleset *set)
{
    const struct hook hook = {"filter", "FORWARD", "cali-FORWARD-accept", true};

    /* Behind everybody's rules, so that a FORWARD chain whose policy is DROP does not hurt. */
    host_rules_accept_marked(config, ruleset_chain(set, "filter", "cali-FORWARD-accept"),
                             config->filter_allow);
    ruleset_hook(set, &hook);
}

void
policy_rules_static(const struct policy_rules_config *config, uint8_t family, struct ruleset *set)
{
    mark_chains(config, "filter", set);
    drop_chains(config, set);
    workload_to_host(config, family, set);
    service_loops(config, family, set);
    ipvs_rules_static(config, family, set);
    forward_rules(config, ruleset_chain(set, "filter", "cali-FORWARD"));
    add_hook(config, set, "filter", "FORWARD", "cali-FORWARD");
    forward_accept(config, set);
    if (config->has_host_endpoints) {
        mark_chains(config, "raw", set);
        mark_chains(config, "mangle", set);
        failsafe_chains(config, family, "raw", set);
        failsafe_chains(config, family, "mangle", set);
        failsafe_chains(config, family, "filter", set);
        raw_output(config, family, set);
        mangle_rules(config, family, set);
        static const char *const tables[] = {"raw", "mangle", "filter"};
        for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
            discovery_chain(family, tables[i], set);
        }
    }
}

/* ---- dispatch to the host's endpoints ---------------------------------------------------------
 */

struct host_dispatch {
    const char *table, *chain;
    enum verdict_use use;
    enum direction direction;
};

static int
endpoint_order(const void *a, const void *b)
{
    const struct policy_endpoint *const *x = a, *const *y = b;
    bool x_is_any = strcmp((*x)->ifname, "*") == 0, y_is_any = strcmp((*y)->ifname, "*") == 0;

    return x_is_any != y_is_any ? x_is_any - y_is_any : strcmp((*x)->ifname, (*y)->ifname);
}

static void
write_dispatch(const struct policy_rules_config *config, const struct host_dispatch *dispatch,
               const struct policy_endpoint *const *endpoints, size_t n, struct ruleset *set)
{
    struct chain *chain = ruleset_chain(set, dispatch->table, dispatch->chain);
    char option = dispatch->direction == INGRESS ? 'i' : 'o';

    chain_add(chain, "-%c %s+ -j RETURN", option, config->workload_prefix);
    for (size_t i = 0; i < config->n_other_prefixes; i++) {
        chain_add(chain, "-%c %s+ -j RETURN", option, config->other_prefixes[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const char *ifname = endpoints[i]->ifname;
        char name[CHAIN_NAME_MAX];
        endpoint_chain_name(ifname, true, dispatch->use, dispatch->direction, name);
        if (strcmp(ifname, "*") == 0) {
            chain_add(chain, "-g %s", name);
        } else if (rules_ifname_is_usable(ifname)) {
            chain_add(chain, "-%c %s -g %s", option, ifname, name);
        }
    }
}

/* Of what the node itself sends to outside all pools. */
static void
write_dscp(const struct policy_rules_config *config, uint8_t family,
           const struct policy_endpoint *const *endpoints, size_t n, struct ruleset *set)
{
    struct chain *chain = ruleset_chain(set, "mangle", "cali-qos-host");

    for (size_t i = 0; i < n; i++) {
        const char *ifname = endpoints[i]->ifname;
        AUTO(str) struct str out = STR_INIT;
        bool is_any = strcmp(ifname, "*") == 0;
        if (!is_any && !rules_ifname_is_usable(ifname)) {
            continue;
        }
        if (is_any) {
            str_addf(&out, " ! -o %s+", config->workload_prefix);
        } else {
            str_addf(&out, " -o %s", ifname);
        }
        if (endpoints[i]->dscp > 0) {
            AUTO(str) struct str match = STR_INIT;
            str_addf(&match,
                     "%s -m addrtype --src-type LOCAL -m set ! --match-set cali%u0" SET_ALL_POOLS
                     " dst -j DSCP --set-dscp %u",
                     str_text(&out), family, endpoints[i]->dscp - 1U);
            rule_add(chain, "", str_text(&match));
        }
        if (!is_any) {
            rule_add(chain, str_text(&out), " -j RETURN"); /* that for all others is none of its */
        }
    }
}

void
host_dispatch_chains(const struct policy_rules_config *config, uint8_t family,
                     const struct policy_endpoint *const *endpoints, size_t n, struct ruleset *set)
{
    static const struct host_dispatch all[] = {
        {"raw", "cali-from-host-endpoint", USE_UNTRACKED, INGRESS},
        {"raw", "cali-to-host-endpoint", USE_UNTRACKED, EGRESS},
        {"mangle", "cali-from-host-endpoint", USE_PRE_DNAT, INGRESS},
        {"mangle", "cali-to-host-endpoint", USE_NORMAL, EGRESS},
        {"filter", "cali-from-host-endpoint", USE_NORMAL, INGRESS},
        {"filter", "cali-to-host-endpoint", USE_NORMAL, EGRESS},
        {"filter", "cali-from-hep-forward", USE_FORWARD, INGRESS},
        {"filter", "cali-to-hep-forward", USE_FORWARD, EGRESS},
    };
    AUTO_FREE const struct policy_endpoint **sorted = xcalloc(n, sizeof(*sorted));

    for (size_t i = 0; i < n; i++) { /* memcpy() takes no NULL, not even of no length */
        sorted[i] = endpoints[i];
    }
    qsort(sorted, n, sizeof *sorted, endpoint_order);
    for (size_t i = 0; i < ARRAY_LEN(all) && config->has_host_endpoints; i++) {
        write_dispatch(config, &all[i], sorted, n, set);
    }
    if (config->has_host_endpoints) {
        write_dscp(config, family, sorted, n, set);
    }
}
