/* crd.projectcalico.org/v1 IPPool; a pool whose CIDR is bad is refused whole. */
#pragma once

#include <stdbool.h>

#include "lib/net/prefix.h"

struct json_object;
struct kind_issues;

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
    bool is_disabled; /* no new addresses; routes, NAT and IPIP of those given go on */
    bool disable_bgp_export;
    char *node_selector; /* "" or "all()" selects every node; validated by whoever uses it */
    uint8_t block_size;
};

/* The row of the kind's table, see kind.h; equal compares what the struct holds. */
void *ippool_decode(struct json_object *json, const struct kind_issues *issues, struct err *err);
void ippool_free(void *object); /* NULL is fine */
bool ippool_equal(const void *a, const void *b);
