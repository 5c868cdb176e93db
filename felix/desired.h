/* What this node should hold, as values that pass from felix/calc to felix/rules and
 * felix/dataplane. */
#pragma once

#include <stdbool.h>

#include "lib/base/vec.h"
#include "lib/net/prefix.h"

typedef VEC(struct prefix) prefix_vec;

/* What is sent to 'ip' is for the pod of this node behind the interface. */
struct floating_address {
    struct ip ip;
    char ifname[16];
};
typedef VEC(struct floating_address) floating_vec;

struct desired_pools {
    prefix_vec all;           /* of both families, disabled ones too */
    prefix_vec masquerade;    /* those with natOutgoing */
    bool has_tunnel;          /* an IPv4 pool with ipipMode Always or CrossSubnet */
    struct ip tunnel_address; /* first host address of the pod CIDR in such a pool; family 0 none */
};

static inline void
desired_pools_done(struct desired_pools *pools)
{
    VEC_DONE(&pools->all);
    VEC_DONE(&pools->masquerade);
}
