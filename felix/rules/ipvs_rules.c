/* Policy where kube-proxy works with IPVS. Called with the static rules, as host_rules.c is.
 *
 * IPVS takes packets behind filter INPUT, because a service's address is one of the node's, gives
 * them their destination and sends them on through OUTPUT. So FORWARD never sees them; the
 * interface they came from is known in INPUT only, where they really go in OUTPUT only:
 *
 *   filter INPUT      two bits of the mark: came in; came in from a pod
 *                     from a pod to an address of kube-ipvs0: left to IPVS, policy comes later
 *   (IPVS)
 *   nat INPUT         from a pod, and IPVS had no use for it: the connection is refused. It would
 *                     have reached the node itself, whatever the pod's policy says
 *   filter OUTPUT     came in → cali-ipvs: the source's egress, by its address, which raw
 *                     PREROUTING has checked; then the destination's ingress
 *
 * What a pod sends to a node port is judged twice: as sent to the node, and in OUTPUT. Where pods
 * may not reach the node, ports where node ports may be are left to IPVS nevertheless; what IPVS
 * has no use for is refused in nat INPUT, as with services. */
#include "felix/rules/ipvs_rules.h"

#include <stdio.h>

#include "felix/rules/dispatch.h"
#include "felix/rules/host_rules.h"
#include "felix/rules/names.h"
#include "felix/rules/render.h"

void
ipvs_rules_input(const struct policy_rules_config *config, struct chain *chain)
{
    AUTO(str) struct str from_pod = STR_INIT;
    AUTO(str) struct str arrived = STR_INIT;
    char match[32];

    if (!config->has_ipvs) {
        return;
    }
    /* What the node sends to itself is its own, and its own is not looked at. */
    render_set_mark(&arrived, config->marks.arrived, config->marks.from_pod);
    rule_add(chain, " ! -i lo", str_text(&arrived));
    render_set_mark(&from_pod, config->marks.from_pod, 0);
    snprintf(match, sizeof match, " -i %s+", config->workload_prefix);
    rule_add(chain, match, str_text(&from_pod));
}

void
ipvs_rules_workload_to_host(const struct policy_rules_config *config, uint8_t family,
                            struct chain *chain)
{
    if (config->has_ipvs) {
        chain_add(chain, "-m set --match-set cali%u0" SET_IPVS " dst -j RETURN", family);
    }
}

static const char *const with_ports[] = {"tcp", "udp", "sctp"};

/* Calls for the node's own ports that may be node ports matter only where the node is closed. */
static bool
leaves_node_ports(const struct policy_rules_config *config)
{
    return config->has_ipvs && config->node_ports &&
           (config->to_host == RULES_DROP || config->to_host == RULES_REJECT);
}

/* 'match': "" or begins with a blank. */
static void
add_node_ports(const struct policy_rules_config *config, const char *match, const char *target,
               struct chain *chain)
{
    for (size_t i = 0; i < ARRAY_LEN(with_ports) && leaves_node_ports(config); i++) {
        AUTO(str) struct str rule = STR_INIT;
        str_addf(&rule, "%s -p %s -m multiport --dports %s -m addrtype --dst-type LOCAL", match,
                 with_ports[i], config->node_ports);
        rule_add(chain, str_text(&rule), target);
    }
}

void
ipvs_rules_node_ports(const struct policy_rules_config *config, struct chain *chain)
{
    add_node_ports(config, "", " -j RETURN", chain);
}

void
ipvs_rules_output(const struct policy_rules_config *config, struct chain *chain)
{
    AUTO(str) struct str arrived = STR_INIT;

    if (config->has_ipvs) {
        render_match_either(&arrived, config->marks.arrived, config->marks.also_arrived);
        rule_add(chain, str_text(&arrived), " -g cali-ipvs");
    }
}

static void
not_taken(const struct policy_rules_config *config, uint8_t family, struct ruleset *set)
{
    const struct hook hook = {"nat", "INPUT", "cali-INPUT", config->is_append_mode};
    struct chain *chain = ruleset_chain(set, "nat", "cali-INPUT");
    AUTO(str) struct str from_pod = STR_INIT;
    AUTO(str) struct str match = STR_INIT;
    char target[64];

    render_match_either(&from_pod, config->marks.from_pod, config->marks.also_from_pod);
    str_addf(&match, "%s -m set --match-set cali%u0" SET_IPVS " dst", str_text(&from_pod), family);
    snprintf(target, sizeof target, " -j CONNMARK --set-xmark 0x%x/0x%x", config->marks.refused,
             config->marks.refused);
    rule_add(chain, str_text(&match), target);
    add_node_ports(config, str_text(&from_pod), target, chain);
    ruleset_hook(set, &hook);
}

void
ipvs_rules_static(const struct policy_rules_config *config, uint8_t family, struct ruleset *set)
{
    AUTO(str) struct str from_pod = STR_INIT;
    char to[32];

    if (!config->has_ipvs) {
        return;
    }
    struct chain *chain = ruleset_chain(set, "filter", "cali-ipvs");
    host_rules_established(config, chain, "");
    host_rules_clear(config, chain);
    render_match_either(&from_pod, config->marks.from_pod, config->marks.also_from_pod);
    rule_add(chain, str_text(&from_pod), " -j cali-ipvs-from");
    snprintf(to, sizeof to, " -o %s+", config->workload_prefix);
    rule_add(chain, to, " -j " DISPATCH_TO);
    if (config->has_host_endpoints) {
        rule_add(chain, "", " -j cali-to-hep-forward");
    }
    host_rules_accept_marked(config, chain, config->filter_allow);
    not_taken(config, family, set);
}

void
ipvs_dispatch_chain(const struct policy_rules_config *config, uint8_t family,
                    const struct pod_address *pods, size_t n, struct ruleset *set)
{
    if (!config->has_ipvs) {
        return;
    }
    struct chain *chain = ruleset_chain(set, "filter", "cali-ipvs-from");
    for (size_t i = 0; i < n; i++) {
        char text[PREFIX_TEXT_MAX];
        char name[CHAIN_NAME_MAX];
        if (pods[i].prefix.ip.family == family && rules_ifname_is_usable(pods[i].ifname)) {
            endpoint_chain_name(pods[i].ifname, false, USE_NORMAL, EGRESS, name);
            chain_add(chain, "-s %s -g %s", prefix_format(&pods[i].prefix, text), name);
        }
    }
    rule_add(chain, "", " -g cali-unknown-from");
}
