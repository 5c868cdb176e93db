/* The way of a connection through this node. Called by felix for felix/dataplane/revoke, and by
 * felix/server/explain.c, which tells what is met. The rules that do the same in the kernel are in
 * felix/rules/host_rules.c. */
#include "felix/evaluate/flow.h"

#include <netinet/in.h>

struct way {
    const struct flow_ends *ends;
    const struct flow *flow;
    flow_judge *judge;
    void *owner;
};

enum outcome {
    GOES_ON,
    ACCEPTED, /* by a rule */
    STOPPED,
};

static bool
is_failsafe_port(const struct failsafe_port *ports, size_t n, uint8_t protocol, uint16_t port,
                 const struct ip *peer)
{
    for (size_t i = 0; i < n; i++) {
        if (ports[i].protocol == protocol && ports[i].port == port &&
            (!ports[i].has_net || prefix_contains_ip(&ports[i].net, peer))) {
            return true;
        }
    }
    return false;
}

/* Before connection tracking nobody knows what is an answer: there, ports count from both sides. */
static bool
is_failsafe(const struct flow_ends *ends, const struct flow_check *check)
{
    const struct packet *packet = check->packet;
    bool is_in = check->direction == INGRESS;
    const struct failsafe_port *in = ends->failsafe_in, *out = ends->failsafe_out;
    const struct ip *peer = is_in ? &packet->source : &packet->destination;

    if (!check->endpoint->is_host || check->use == USE_FORWARD) {
        return false;
    }
    if (is_failsafe_port(is_in ? in : out, is_in ? ends->n_failsafe_in : ends->n_failsafe_out,
                         packet->protocol, packet->destination_port, peer)) {
        return true;
    }
    return (check->use == USE_UNTRACKED || ends->is_open) &&
           is_failsafe_port(is_in ? out : in, is_in ? ends->n_failsafe_out : ends->n_failsafe_in,
                            packet->protocol, packet->source_port, peer);
}

/* What rules ahead of policy let through: neighbour discovery, and IPIP between nodes. */
static bool
is_beside_policy(const struct flow_check *check)
{
    const struct packet *packet = check->packet;
    uint8_t type = packet->icmp_type;

    if (!check->endpoint->is_host || check->use == USE_FORWARD) {
        return false;
    }
    return (packet->protocol == IPPROTO_IPIP && check->use == USE_NORMAL) ||
           (packet->protocol == IPPROTO_ICMPV6 && ((type >= 130 && type <= 136) || type == 143));
}

static enum outcome
ask(const struct way *way, const struct policy_endpoint *endpoint, enum verdict_use use,
    enum direction direction)
{
    bool is_early = use == USE_UNTRACKED || use == USE_PRE_DNAT ||
                    (use == USE_NORMAL && direction == INGRESS && endpoint && endpoint->is_host &&
                     way->flow->is_by_ipvs);
    struct flow_check check = {.endpoint = endpoint,
                               .use = use,
                               .direction = direction,
                               .packet = is_early ? &way->flow->arrived : &way->flow->packet};
    bool is_by_rule = false;

    if (!endpoint || !endpoint->lists[use][direction] || is_beside_policy(&check)) {
        return GOES_ON;
    }
    check.is_failsafe = is_failsafe(way->ends, &check);
    bool is_allowed = way->judge(way->owner, &check, &is_by_rule);
    if (check.is_failsafe) {
        return GOES_ON;
    }
    return !is_allowed ? STOPPED : is_by_rule ? ACCEPTED : GOES_ON;
}

static void
come_in(const struct way *way)
{
    const struct policy_endpoint *in = way->ends->in;

    if (ask(way, in, USE_UNTRACKED, INGRESS) == GOES_ON &&
        ask(way, in, USE_PRE_DNAT, INGRESS) == GOES_ON) {
        bool is_input = way->ends->is_to_node || way->flow->is_by_ipvs;
        ask(way, in, is_input ? USE_NORMAL : USE_FORWARD, INGRESS);
    }
}

static void
leave_node(const struct way *way)
{
    if (ask(way, way->ends->out_arrived, USE_UNTRACKED, EGRESS) == GOES_ON) {
        ask(way, way->ends->out, USE_NORMAL, EGRESS);
    }
}

void
flow_walk(const struct flow_ends *ends, const struct flow *flow, flow_judge *judge, void *owner)
{
    const struct way way = {ends, flow, judge, owner};

    if (ends->is_from_node && ends->destination) {
        return;
    }
    if (ends->source) {
        ask(&way, ends->source, USE_NORMAL, EGRESS);
    } else if (ends->is_from_node) {
        leave_node(&way);
    }
    if (!ends->source && (!ends->is_from_node || ends->is_to_node)) {
        come_in(&way);
    }
    if (ends->destination) {
        ask(&way, ends->destination, USE_NORMAL, INGRESS);
    } else if (!ends->is_from_node && !ends->is_to_node) {
        ask(&way, ends->out, USE_FORWARD, EGRESS);
    }
}

/* ---- a verdict --------------------------------------------------------------------------------
 */

struct verdict_walk {
    const struct evaluate_sets *sets;
    bool is_denied;
};

static bool
judge_by_list(void *owner, const struct flow_check *check, bool *ret_is_by_rule)
{
    struct verdict_walk *walk = owner;
    struct decision decision;

    if (check->is_failsafe || walk->is_denied) {
        return true;
    }
    evaluate(check->endpoint->lists[check->use][check->direction], check->packet, walk->sets,
             &decision);
    *ret_is_by_rule = decision.reason == BY_RULE;
    walk->is_denied = decision.verdict == VERDICT_DENY;
    return !walk->is_denied;
}

bool
flow_is_allowed(const struct flow_ends *ends, const struct flow *flow,
                const struct evaluate_sets *sets)
{
    struct verdict_walk walk = {sets, false};

    flow_walk(ends, flow, judge_by_list, &walk);
    return !walk.is_denied;
}
