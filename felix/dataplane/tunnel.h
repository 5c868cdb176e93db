/* tunl0: there, up, with exactly one address and the right MTU while a pool uses IPIP; without our
 * address when none does. The device itself stays: routes of BIRD may still point at it, and the
 * kernel's own fallback device cannot be deleted anyway. */
#pragma once

#include "lib/netlink/netlink.h"

struct tunnel {
    bool is_wanted;
    struct ip address; /* family 0: none known yet (no pod CIDR) */
    uint32_t mtu;      /* 0: leave */
    bool was_wanted;   /* since start: only then is an unwanted tunl0 cleaned */
    uint64_t n_repaired;
    bool is_in_place;
};

/* Compares and repairs. err.code EOPNOTSUPP: the kernel has no ipip. */
MUST_CHECK bool tunnel_apply(struct tunnel *tunnel, struct netlink *netlink, struct err *err);
