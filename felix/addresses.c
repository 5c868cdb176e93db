/* Whose an address is, as far as the cluster says; and which floating ones pods of this node have.
 * Part of felix; called by felix.c, tables.c and people_explain.c. */
#include "felix/people.h"
#include "lib/model/node.h"

const char *
addresses_node(const struct felix *felix, const struct ip *ip)
{
    for (size_t i = 0; i < store_count(felix->store, KIND_NODE); i++) {
        const struct node *node = store_at(felix->store, KIND_NODE, i);
        if (ip_equal(&node->internal_ip4, ip) || ip_equal(&node->internal_ip6, ip) ||
            ip_equal(&node->bgp_ip4.ip, ip) || ip_equal(&node->bgp_ip6.ip, ip) ||
            ip_equal(&node->ipip_tunnel_ip, ip)) {
            return node->name;
        }
    }
    return NULL;
}

bool
addresses_is_service(const struct felix *felix, const struct ip *ip)
{
    const struct policy_rules_config *config = &felix->rules->policy;

    for (size_t i = 0; i < config->n_service_nets; i++) {
        if (prefix_contains_ip(&config->service_nets[i], ip)) {
            return true;
        }
    }
    return false;
}

/* Whoever may annotate a pod must not take what others rely on. */
static const char *
use(void *owner, const struct ip *ip)
{
    const struct felix *felix = owner;

    if (policies_is_own_address(felix->policies, ip) || addresses_node(felix, ip)) {
        return "a node's";
    }
    if (addresses_is_service(felix, ip)) {
        return "a service's";
    }
    return people_find_pod(felix, ip) ? "a pod's own" : NULL;
}

void
addresses_float(struct felix *felix)
{
    floating_vec list = VEC_INIT;

    felix->floating_dirty = false;
    if (felix->settings->floating_ips == 1) {
        floating_list(felix->floating, use, felix, &list);
    }
    policies_floating(felix->policies, &list);
    if (endpoints_float(felix->endpoints, &list)) {
        felix->next_routes_ms = 0; /* what an earlier run left can be told now */
    }
    VEC_DONE(&list);
}

void
addresses_settled(struct felix *felix)
{
    floating_pair_vec pairs = VEC_INIT;

    policies_floating_pairs(felix->policies, &pairs);
    forget_follow(felix->forget, pairs.items, pairs.n);
    VEC_DONE(&pairs);
}
