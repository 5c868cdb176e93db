/* Which address of this node other nodes shall use: Calico's IP_AUTODETECTION_METHOD, as a pure
 * function over what the kernel and the Node object say. */
#pragma once

#include "lib/model/node.h"
#include "lib/netlink/netlink.h"

enum detect_kind {
    DETECT_FIRST_FOUND,
    DETECT_INTERFACE,
    DETECT_SKIP_INTERFACE,
    DETECT_CIDR,
    DETECT_CAN_REACH,
    DETECT_INTERNAL_IP,
};

#define DETECT_ITEMS_MAX 16

struct detect_method {
    enum detect_kind kind;
    char text[256]; /* what stands behind "=" */
};

/* "first-found", "interface=RE[,RE]", "skip-interface=RE[,RE]", "cidr=C[,C]", "can-reach=ADDRESS",
 * "kubernetes-internal-ip". Checks expressions, prefixes and address too. */
MUST_CHECK bool detect_parse(const char *text, struct detect_method *ret_method, struct err *err);

struct detect_input {
    const link_vec *links;
    const address_vec *addresses;
    const struct node *node;  /* NULL while unknown */
    struct ip reachable_from; /* for can-reach: the source the kernel chose; family 0 none */
};

/* The address with its prefix length. */
MUST_CHECK bool detect_address(const struct detect_method *method, uint8_t family,
                               const struct detect_input *input, struct prefix *ret_address,
                               struct err *err);
/* The source address the kernel would use towards 'target'; nothing is sent. */
MUST_CHECK bool detect_source_towards(const char *target, struct ip *ret_source, struct err *err);
