/* tunl0: there, up, with exactly one address and the right MTU while a pool uses IPIP; without our
 * address, and otherwise not looked at, when none does. The device itself stays: routes of BIRD may
 * still point at it, and the kernel's own fallback device cannot be deleted anyway. */
#pragma once

#include "lib/netlink/netlink.h"

struct tunnel {
    bool is_wanted;
    struct ip address;  /* family 0: none known yet (no pod CIDR) */
    uint32_t mtu;       /* 0: leave */
    struct ip leftover; /* the address we gave it last, or an earlier run did; family 0 none */
    uint64_t n_repaired;
    bool is_in_place;
};

/* Compares and repairs. err.code EOPNOTSUPP: the kernel has no ipip. */
MUST_CHECK bool tunnel_apply(struct tunnel *tunnel, struct netlink *netlink, struct err *err);
