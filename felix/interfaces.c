/* What the node's own links and addresses mean for policy: host endpoints go by them, pods are open
 * to them, and kube-proxy in IPVS mode shows by its link. Part of felix; called by felix.c whenever
 * links or addresses may have changed. */
#include <stdio.h>
#include <string.h>

#include "felix/parts.h"
#include "felix/rules/ipvs_rules.h"

static const char *
link_name(const link_vec *links, int index)
{
    VEC_FOREACH (links, link) {
        if (link->index == index) {
            return link->name;
        }
    }
    return "";
}

typedef VEC(struct policy_interface) interface_vec;

static void
add_interface(const struct felix *felix, const char *name, const struct ip *ip,
              interface_vec *interfaces)
{
    const struct felix_settings *settings = felix->settings;
    struct policy_interface interface = {.ip = *ip};

    if (!interface_is_workload(&felix->prefixes, name) &&
        !interface_is_listed(settings->excluded_interfaces, name)) {
        snprintf(interface.ifname, sizeof interface.ifname, "%s", name);
        VEC_PUSH(interfaces, interface);
    }
}

/* kube-proxy in IPVS mode comes, goes, or has other services. */
static void
note_ipvs(struct felix *felix, const link_vec *links, const address_vec *addresses)
{
    prefix_vec found = VEC_INIT;
    bool has_ipvs = false;

    VEC_FOREACH (links, link) {
        has_ipvs |= strcmp(link->name, IPVS_LINK) == 0;
    }
    VEC_FOREACH (addresses, address) {
        if (strcmp(link_name(links, address->index), IPVS_LINK) == 0) {
            VEC_PUSH(&found, address->prefix);
        }
    }
    for (size_t i = 0; i < n_families(felix->settings); i++) {
        felix_want_prefixes(felix->ipvs[i], &found, family_of(i));
    }
    felix->rules_dirty |= has_ipvs != felix->has_ipvs;
    felix->has_ipvs = has_ipvs;
    VEC_DONE(&found);
}

/* Addresses of the node itself: host endpoints go by them, and pods are open to them. */
void
felix_calculate_interfaces(struct felix *felix)
{
    interface_vec found = VEC_INIT;
    address_vec addresses = VEC_INIT;
    link_vec links = VEC_INIT;

    if (link_list(felix->netlink, &links, NULL) && address_list(felix->netlink, &addresses, NULL)) {
        VEC_FOREACH (&addresses, address) {
            add_interface(felix, link_name(&links, address->index), &address->prefix.ip, &found);
        }
        policies_interfaces(felix->policies, found.items, found.n);
        note_ipvs(felix, &links, &addresses);
    }
    VEC_DONE(&found);
    VEC_DONE(&addresses);
    VEC_DONE(&links);
}
