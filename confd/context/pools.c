/* Blocks of this node, pools and services: what goes to the kernel, and what peers may hear. */
#include <stdlib.h>
#include <string.h>

#include "confd/context/parts.h"

/* Another node with the same pods' network: one of both is wrong and nobody can know which. Both
 * are reported and left as they are: routing prefers the more specific block, and the node's own
 * pods stay reachable from itself because its own blocks never come from elsewhere. */
static void
report_overlaps(const struct build *build, const struct prefix *block, size_t index)
{
    char text[PREFIX_TEXT_MAX];
    const struct node *first = NULL;
    size_t n_others = 0;

    for (size_t i = 0; i < build->n_nodes; i++) {
        const struct node *other = build->nodes[i];
        for (size_t j = 0; other != build->self && j < other->n_pod_cidrs; j++) {
            if (prefix_overlaps(block, &other->pod_cidrs[j])) {
                first = n_others++ == 0 ? other : first;
                break;
            }
        }
    }
    if (first != NULL) {
        issue(build,
              "Node %s: spec.podCIDRs[%zu]: %s overlaps a block of Node %s (%zu nodes in all)",
              build->self->name, index, prefix_format(block, text), first->name, n_others);
    }
}

/* What 'disabled' asks for cannot be done here: pods get addresses of the node's pod CIDRs, which
 * Kubernetes gives a node once and for all. Somebody who drains the pool has to know. */
static void
report_disabled(const struct build *build, const struct prefix *block, size_t index)
{
    char text[PREFIX_TEXT_MAX];

    for (size_t i = 0; i < build->n_pools; i++) {
        const struct ippool *pool = build->pools[i];
        if (pool->is_disabled && prefix_contains(&pool->cidr, block)) {
            issue(build,
                  "IPPool %s: spec.disabled: pods of Node %s still get addresses of "
                  "spec.podCIDRs[%zu], %s; cordon the node to stop that",
                  pool->name, build->self->name, index, prefix_format(block, text));
        }
    }
}

static void
put_blocks(const struct build *build, uint8_t family, struct json_object *to)
{
    AUTO(str) struct str set = STR_INIT;
    struct json_object *list = new_list();
    char text[PREFIX_TEXT_MAX];

    for (size_t i = 0; i < build->self->n_pod_cidrs; i++) {
        const struct prefix *block = &build->self->pod_cidrs[i];
        if (block->ip.family != family) {
            continue;
        }
        report_overlaps(build, block, i);
        report_disabled(build, block, i);
        struct json_object *item = json_object_new_object();
        put_prefix(item, "cidr", block);
        put_origin(item, "Node %s, spec.podCIDRs[%zu]", build->self->name, i);
        json_object_array_add(list, item);
        str_addf(&set, "%s%s+", set.len > 0 ? ", " : "", prefix_format(block, text));
    }
    put_bool(to, "has_blocks", set.len > 0);
    put_text(to, "block_set", set.len > 0 ? str_text(&set) : NULL);
    put(to, "blocks", list);
}

static const char *
mode_name(enum ipip_mode mode)
{
    switch (mode) {
    case IPIP_ALWAYS:
        return "Always";
    case IPIP_CROSS_SUBNET:
        return "CrossSubnet";
    case IPIP_NEVER:
        break;
    }
    return "Never";
}

static const char *
route_word(enum ipip_mode mode)
{
    switch (mode) {
    case IPIP_ALWAYS:
        return "route_always";
    case IPIP_CROSS_SUBNET:
        return "route_cross_subnet";
    case IPIP_NEVER:
        break;
    }
    return "route_never";
}

static void
put_pools(const struct build *build, uint8_t family, struct json_object *to)
{
    struct json_object *pools = new_list(), *hidden = new_list();

    for (size_t i = 0; i < build->n_pools; i++) {
        const struct ippool *pool = build->pools[i];
        if (pool->cidr.ip.family != family) {
            continue;
        }
        struct json_object *item = json_object_new_object();
        put_prefix(item, "cidr", &pool->cidr);
        put_text(item, "route", route_word(pool->ipip_mode));
        put_text(item, "mode", mode_name(pool->ipip_mode));
        put_origin(item, "IPPool %s, %s%s", pool->name, mode_name(pool->ipip_mode),
                   pool->is_disabled ? ", disabled" : "");
        json_object_array_add(pools, item);
        if (pool->disable_bgp_export) {
            item = json_object_new_object();
            put_prefix(item, "cidr", &pool->cidr);
            put_origin(item, "IPPool %s, disableBGPExport", pool->name);
            json_object_array_add(hidden, item);
        }
    }
    put(to, "pools", pools);
    put(to, "hidden_pools", hidden);
}

static void
add_services(struct json_object *list, uint8_t family, const char *field,
             const struct prefix *cidrs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (cidrs[i].ip.family == family && cidrs[i].len > 0) {
            struct json_object *item = json_object_new_object();
            put_prefix(item, "cidr", &cidrs[i]);
            put_origin(item, "BGPConfiguration default, spec.%s[%zu]", field, i);
            json_object_array_add(list, item);
        }
    }
}

static struct json_object *
services_context(const struct build *build, uint8_t family)
{
    struct json_object *list = new_list();
    const struct bgp_configuration *config = build->global;

    if (config != NULL) {
        add_services(list, family, "serviceClusterIPs", config->service_cluster_ips,
                     config->n_service_cluster_ips);
        add_services(list, family, "serviceExternalIPs", config->service_external_ips,
                     config->n_service_external_ips);
        add_services(list, family, "serviceLoadBalancerIPs", config->service_load_balancer_ips,
                     config->n_service_load_balancer_ips);
    }
    return list;
}

struct json_object *
families_context(struct build *build)
{
    static const uint8_t families[] = {4, 6};
    struct json_object *list = new_list();

    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        struct json_object *item = json_object_new_object();
        put_text(item, "family", family_name(families[i]));
        put_int(item, "digit", families[i]);
        put_blocks(build, families[i], item);
        put_pools(build, families[i], item);
        put(item, "services", services_context(build, families[i]));
        /* peers.c adds the gateways of reachableBy. */
        put_bool(item, "has_reachable", false);
        put(item, "reachable", new_list());
        json_object_array_add(list, item);
    }
    return list;
}
