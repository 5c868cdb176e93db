/* crd.projectcalico.org/v1 IPPool; a pool whose CIDR is bad is refused whole. */
#pragma once

#include <stdbool.h>

#include "lib/net/prefix.h"

enum ipip_mode {
    IPIP_NEVER,
    IPIP_ALWAYS,
    IPIP_CROSS_SUBNET
};

struct ippool {
    char *name;
    struct prefix cidr;
    enum ipip_mode ipip_mode; /* always IPIP_NEVER for IPv6 */
    bool nat_outgoing;
    bool is_disabled;
    bool disable_bgp_export;
    char *node_selector; /* "" or "all()" selects every node; validated by whoever uses it */
    uint8_t block_size;
};
