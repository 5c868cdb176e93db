/* The chains of one endpoint: two rules that lead to the list it shares with others. Called for
 * every local endpoint, pods and interfaces of the host.
 *
 * For a pod "from" (cali-fw-) is its egress, "to" (cali-tw-) its ingress. For the host it is the
 * network that speaks: "from" (cali-fh-) is ingress, "to" (cali-th-) egress. */
#include "felix/rules/policy_rules.h"

#include <stdio.h>
#include <string.h>

#include "felix/rules/render.h"

#define VXLAN_PORT 4789

static void
write_encapsulation_guard(const struct policy_rules_config *config, struct chain *chain)
{
    /* The next node would take what is inside for traffic of a node. */
    if (!config->allows_ipip_from_pods) {
        rule_add(chain, " -p 4", " -j DROP");
    }
    if (!config->allows_vxlan_from_pods) {
        char match[64];
        snprintf(match, sizeof match, " -p 17 -m multiport --dports %d", VXLAN_PORT);
        rule_add(chain, match, " -j DROP");
    }
}

static void
write_chain(const struct policy_rules_config *config, const struct policy_endpoint *endpoint,
            enum verdict_use use, enum direction direction, struct ruleset *set, const char *table)
{
    const struct verdict_list *list = endpoint->lists[use][direction];
    char name[CHAIN_NAME_MAX];
    char target[CHAIN_NAME_MAX + 8];
    struct chain *chain = ruleset_chain(
        set, table, endpoint_chain_name(endpoint->ifname, endpoint->is_host, use, direction, name));

    if (!endpoint->is_host && direction == EGRESS) {
        write_encapsulation_guard(config, chain);
    }
    if (endpoint->is_host && use != USE_FORWARD) {
        rule_add(chain, "",
                 direction == INGRESS ? " -j cali-failsafe-in" : " -j cali-failsafe-out");
    }
    if (list) {
        snprintf(target, sizeof target, " -g %s", verdict_list_chain_name(list, name));
        rule_add(chain, "", target);
    }
}

void
endpoint_chains(const struct policy_rules_config *config, uint8_t family,
                const struct policy_endpoint *endpoint, struct ruleset *set)
{
    (void)family;
    if (strcmp(endpoint->ifname, "*") != 0 && !rules_ifname_is_usable(endpoint->ifname)) {
        return;
    }
    for (enum direction direction = INGRESS; direction <= EGRESS; direction++) {
        write_chain(config, endpoint, USE_NORMAL, direction, set, "filter");
        if (endpoint->is_host) {
            write_chain(config, endpoint, USE_FORWARD, direction, set, "filter");
            write_chain(config, endpoint, USE_UNTRACKED, direction, set, "raw");
        }
    }
    if (endpoint->is_host) {
        write_chain(config, endpoint, USE_PRE_DNAT, INGRESS, set, "mangle");
        write_chain(config, endpoint, USE_NORMAL, EGRESS, set, "mangle");
    }
}
