/* kube-proxy in IPVS mode: services' addresses are on the node's link kube-ipvs0. See the drawing
 * in ipvs_rules.c. All do nothing without config->has_ipvs. */
#pragma once

#include "felix/rules/policy_rules.h"

#define IPVS_LINK "kube-ipvs0"

/* Parts of filter cali-INPUT, of what comes from pods to the node in it, and of cali-OUTPUT. */
void ipvs_rules_input(const struct policy_rules_config *config, struct chain *chain);
void ipvs_rules_workload_to_host(const struct policy_rules_config *config, uint8_t family,
                                 struct chain *chain);
/* The same, behind the pod's egress and ahead of what is done with the rest of it. */
void ipvs_rules_node_ports(const struct policy_rules_config *config, struct chain *chain);
void ipvs_rules_output(const struct policy_rules_config *config, struct chain *chain);
/* Chains of its own. */
void ipvs_rules_static(const struct policy_rules_config *config, uint8_t family,
                       struct ruleset *set);

/* Dispatch by source address, written whole. */
struct pod_address {
    const char *ifname;
    struct prefix prefix;
};
void ipvs_dispatch_chain(const struct policy_rules_config *config, uint8_t family,
                         const struct pod_address *pods, size_t n, struct ruleset *set);
