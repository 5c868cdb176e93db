/* core/v1 Node as far as routing needs it, with the projectcalico.org annotations. */
#pragma once

#include <stdint.h>

#include "lib/model/labels.h"
#include "lib/net/prefix.h"

struct json_object;
struct kind_issues;

struct node {
    char *name;
    struct labels labels;
    struct prefix *pod_cidrs; /* spec.podCIDRs, else spec.podCIDR; bad ones left out and reported */
    size_t n_pod_cidrs;
    /* Annotations projectcalico.org/IPv4Address and IPv6Address, with prefix length; family 0 when
     * absent or bad. */
    struct prefix bgp_ip4;
    struct prefix bgp_ip6;
    /* First InternalIP of each family in status.addresses; family 0 when there is none. */
    struct ip internal_ip4;
    struct ip internal_ip6;
    /* Where the node itself is reached: all InternalIPs and ExternalIPs of status.addresses and the
     * two of the annotations; sorted, none twice. */
    struct ip *ips;
    size_t n_ips;
    uint32_t asn;             /* annotation projectcalico.org/ASNumber; 0 when absent */
    char *rr_cluster_id;      /* annotation projectcalico.org/RouteReflectorClusterID or NULL */
    struct ip ipip_tunnel_ip; /* annotation projectcalico.org/IPv4IPIPTunnelAddr; family 0 absent */
};

/* The address other nodes reach this node under: the annotation's, else the InternalIP as /32 or
 * /128; family 0 when the node has neither. */
struct prefix node_address(const struct node *node, uint8_t family);

bool node_ips_equal(const struct node *a, const struct node *b);

/* The row of the kind's table, see kind.h; equal compares what the struct holds. */
void *node_decode(struct json_object *json, const struct kind_issues *issues, struct err *err);
void node_free(void *object); /* NULL is fine */
bool node_equal(const void *a, const void *b);
