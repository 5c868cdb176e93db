/* Both ends of a connection. Called by felix for felix/dataplane/revoke. */
#include "felix/evaluate/flow.h"

static bool
is_allowed_at(const struct policy_endpoint *endpoint, enum direction direction,
              const struct packet *packet, const struct evaluate_sets *sets)
{
    struct decision decision;

    if (!endpoint || endpoint->is_host || !endpoint->lists[USE_NORMAL][direction]) {
        return true;
    }
    evaluate(endpoint->lists[USE_NORMAL][direction], packet, sets, &decision);
    return decision.verdict == VERDICT_ALLOW;
}

bool
flow_is_allowed(const struct flow_ends *ends, const struct packet *packet,
                const struct evaluate_sets *sets)
{
    if (!is_allowed_at(ends->source, EGRESS, packet, sets)) {
        return false;
    }
    return ends->is_from_node || is_allowed_at(ends->destination, INGRESS, packet, sets);
}
