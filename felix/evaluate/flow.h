/* Whether a connection is allowed by both of its ends, as far as they are on this node. Pure. */
#pragma once

#include "felix/evaluate/evaluate.h"

struct flow_ends {
    const struct policy_endpoint *source, *destination; /* NULL: not on this node */
    bool is_from_node; /* the source is an address of this node: its own pods are open to it */
};

/* 'packet' is the first one of the connection, after DNAT. Host endpoints are not asked: what their
 * failsafe ports keep open is not in their lists. */
bool flow_is_allowed(const struct flow_ends *ends, const struct packet *packet,
                     const struct evaluate_sets *sets);
